//! The egress gateway: where jobs reach it, what policies see of it, and which addresses they may reach through it.

use std::net::{IpAddr, SocketAddr};

use gateway::upstream::address::Host;
use ipnet::IpNet;
use kernel::policy::{Disclosure, Mode, Upstream};

use crate::config::checked::listeners::{listen_entry, listener};
use crate::config::checked::{ListenerTls, choose, parse_name, read};
use crate::config::problem::Problem;
use crate::config::raw::{Entry, Section};

/// The egress gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EgressPart {
    /// The address.
    pub(crate) listen: SocketAddr,
    /// How connections are protected.
    pub(crate) tls: ListenerTls,
    /// What policies see.
    pub(crate) upstream: Upstream,
    /// Networks besides the public internet.
    pub(crate) allow: Vec<IpNet>,
    /// Addresses of hosts that are not looked up.
    pub(crate) hosts: Vec<(String, IpAddr)>,
    /// Is it looked into what goes to configured upstreams?
    pub(crate) intercept: bool,
    /// How many sessions may be open at once.
    pub(crate) max_sessions: u32,
}

/// `Some(None)`: no egress gateway is configured. `None`: it is, and wrong.
pub(super) fn egress(
    section: &Section<'_>,
    upstreams: &Section<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Option<EgressPart>> {
    let Some(entry) = listen_entry(section, "egress", "127.0.0.1:18082", problems)? else { return Some(None) };
    let before = problems.len();
    let listener = listener(section, &entry, problems);
    let upstream = upstream(section, upstreams, problems);
    let allow = section.list("allow").iter().filter_map(|entry| network(entry, problems)).collect();
    let hosts = hosts(section, problems);
    let intercept = choose(section, "intercept", &[("true", true), ("false", false)], problems);
    let max_sessions = read(
        section,
        "max_sessions",
        |text| text.parse().ok().filter(|count| *count > 0).ok_or("it takes a whole number from 1"),
        problems,
    );
    if problems.len() > before {
        return None;
    }
    let (listen, tls) = listener?;
    Some(Some(EgressPart {
        listen,
        tls,
        upstream: upstream?,
        allow,
        hosts,
        intercept: intercept?,
        max_sessions: max_sessions?,
    }))
}

fn upstream(section: &Section<'_>, upstreams: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Upstream> {
    let name = read(section, "name", parse_name, problems);
    if let Some(name) = &name
        && upstreams.named().iter().any(|(known, _)| *known == name.as_str())
    {
        let place = section.get("name").map_or_else(|| section.place(), |entry| entry.place);
        let problem = Problem::new("PAR0407", &place, format!("an upstream is named `{name}` already"));
        problems.push(problem.help("set `egress.name` to a name of its own"));
    }
    let environment = read(section, "environment", parse_name, problems);
    let mode = choose(section, "mode", &[("enforce", Mode::Enforce), ("observe", Mode::Observe)], problems);
    let words = [("full", Disclosure::Full), ("policy", Disclosure::Policy), ("id", Disclosure::Id)];
    let disclosure = choose(section, "disclosure", &words, problems);
    Some(Upstream { name: name?, environment: environment?, mode: mode?, disclosure: disclosure?, classes: Vec::new() })
}

/// A network, or one address.
fn network(entry: &Entry, problems: &mut Vec<Problem>) -> Option<IpNet> {
    let network = entry.text.parse().or_else(|_| entry.text.parse::<IpAddr>().map(IpNet::from)).ok();
    if network.is_none() {
        let problem = Problem::new("PAR0405", &entry.place, "the network cannot be read");
        problems.push(problem.help("a network is an address and a length, such as `10.20.0.0/16`, or one address"));
    }
    network
}

fn hosts(section: &Section<'_>, problems: &mut Vec<Problem>) -> Vec<(String, IpAddr)> {
    let mut hosts = Vec::new();
    for (name, entry) in section.map("hosts") {
        let named = matches!(name.parse::<Host>(), Ok(Host::Name(host)) if host == name);
        match entry.text.parse::<IpAddr>() {
            Ok(address) if named => hosts.push((name, address)),
            Ok(_) | Err(_) => {
                let problem = Problem::new("PAR0405", &entry.place, "the host cannot be read");
                problems.push(
                    problem.help("such as `\"repo.internal\" = \"10.20.0.7\"`: a name in lower case, and an address"),
                );
            }
        }
    }
    hosts
}
