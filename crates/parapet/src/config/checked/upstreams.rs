//! The protected systems.

use std::net::IpAddr;
use std::time::Duration;

use kernel::policy::{Disclosure, Mode, Upstream};
use kernel::workload::Name;

use crate::config::checked::{
    ApiEntry, ChannelBinding, Detect, UpstreamAddress, UpstreamConnection, UpstreamEntry, UpstreamTls, choose, file,
    http, name, parse_name, read, secret_source,
};
use crate::config::keys;
use crate::config::problem::Problem;
use crate::config::raw::Section;
use crate::config::value;

/// The upstreams, by what they speak.
pub(super) struct Upstreams {
    /// PostgreSQL.
    pub(super) databases: Vec<UpstreamEntry>,
    /// HTTP.
    pub(super) apis: Vec<ApiEntry>,
}

/// What an upstream speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Postgres,
    Http,
}

/// What upstreams of all protocols say.
pub(super) struct Shared {
    pub(super) name: Name,
    environment: Name,
    mode: Mode,
    disclosure: Disclosure,
    pub(super) hold: Duration,
    pub(super) detect: Detect,
    pub(super) max_sessions: u32,
}

impl Shared {
    /// What policies see of it.
    pub(super) fn upstream(&self, classes: Vec<(String, String)>) -> Upstream {
        let Self { name, environment, mode, disclosure, .. } = self;
        Upstream { name: name.clone(), environment: environment.clone(), mode: *mode, disclosure: *disclosure, classes }
    }
}

pub(super) fn all(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Upstreams> {
    let named = section.named();
    let count = named.len();
    let mut all = Upstreams { databases: Vec::new(), apis: Vec::new() };
    for (label, section) in named {
        one(label, &section, &mut all, problems);
    }
    twice(section, &all.apis, problems);
    (all.databases.len() + all.apis.len() == count).then_some(all)
}

/// Finds two APIs that one request would lead to.
fn twice(section: &Section<'_>, apis: &[ApiEntry], problems: &mut Vec<Problem>) {
    let mut known: Vec<(&str, &str)> = Vec::new();
    for api in apis {
        let everywhere = [String::from("/")];
        let prefixes = if api.prefixes.is_empty() { &everywhere[..] } else { &api.prefixes };
        for route in api.hosts.iter().flat_map(|host| prefixes.iter().map(move |prefix| (&**host, &**prefix))) {
            let route = (route.0, route.1.trim_end_matches('/'));
            if known.contains(&route) {
                let message =
                    format!("`{}{}/` leads to `{}` and to another upstream", route.0, route.1, api.upstream.name);
                problems.push(Problem::new("PAR0407", &section.place(), message).key_only());
            }
        }
        known.extend(
            api.hosts.iter().flat_map(|host| api.prefixes.iter().map(move |one| (&**host, one.trim_end_matches('/')))),
        );
        if api.prefixes.is_empty() {
            known.extend(api.hosts.iter().map(|host| (&**host, "")));
        }
    }
}

fn one(label: &str, section: &Section<'_>, all: &mut Upstreams, problems: &mut Vec<Problem>) {
    let words = [("postgres", Protocol::Postgres), ("http", Protocol::Http)];
    let protocol = choose(section, "protocol", &words, problems);
    let shared = shared(label, section, problems);
    let Some(protocol) = protocol else { return };
    let (word, required): (&str, &[&'static str]) = match protocol {
        Protocol::Postgres => ("postgres", &["address", "database", "user"]),
        Protocol::Http => ("http", &["url"]),
    };
    for key in required {
        if !section.section(key).exists() {
            let message = format!("`upstreams.{label}.{key}` is missing");
            let about = keys::at(&["upstreams", "*", key]).map_or("", |key| key.about);
            problems.push(Problem::new("PAR0403", &section.place(), message).key_only().help(about));
        }
    }
    for key in keys::foreign_to(word) {
        let set = section.section(key);
        if set.exists() {
            let problem =
                Problem::new("PAR0402", &set.place(), format!("`{key}` means nothing in `upstreams.{label}`"));
            problems.push(problem.key_only().help(format!("its `protocol` is `{word}`")));
        }
    }
    match protocol {
        Protocol::Postgres => all.databases.extend(database(section, shared, problems)),
        Protocol::Http => all.apis.extend(shared.and_then(|shared| http::one(section, shared, problems))),
    }
}

fn shared(label: &str, section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Shared> {
    let name = name(label, section, "an upstream", problems);
    let environment = read(section, "environment", parse_name, problems);
    let mode = choose(section, "mode", &[("enforce", Mode::Enforce), ("observe", Mode::Observe)], problems);
    let words = [("full", Disclosure::Full), ("policy", Disclosure::Policy), ("id", Disclosure::Id)];
    let disclosure = choose(section, "disclosure", &words, problems);
    let hold = read(section, "hold", value::duration, problems);
    let words = [("off", Detect::Off), ("signal", Detect::Signal), ("mask", Detect::Mask)];
    let detect = choose(section, "detect", &words, problems);
    let max_sessions = read(
        section,
        "max_sessions",
        |text| text.parse().ok().filter(|count| *count > 0).ok_or("it takes a whole number from 1"),
        problems,
    );
    Some(Shared {
        name: name?,
        environment: environment?,
        mode: mode?,
        disclosure: disclosure?,
        hold: hold?,
        detect: detect?,
        max_sessions: max_sessions?,
    })
}

fn database(section: &Section<'_>, shared: Option<Shared>, problems: &mut Vec<Problem>) -> Option<UpstreamEntry> {
    let classes = classes(section, problems);
    let connection = connection(section, problems);
    let label_providers = section.list("label_providers").into_iter().map(|entry| entry.text).collect();
    let max_message = max_message(section, problems);
    let shared = shared?;
    Some(UpstreamEntry {
        upstream: shared.upstream(classes?),
        connection: connection?,
        hold: shared.hold,
        max_message: max_message?,
        max_sessions: shared.max_sessions,
        label_providers,
        detect: shared.detect,
    })
}

pub(super) fn max_message(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<usize> {
    const LEAST: usize = 8 << 10;
    const MOST: usize = 1 << 30;
    let read_size = |text: &str| match value::size(text)? {
        bytes @ LEAST..=MOST => Ok(bytes),
        _ => Err("a message's limit is from 8KiB to 1GiB"),
    };
    read(section, "max_message", read_size, problems)
}

fn connection(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<UpstreamConnection> {
    let address = read(section, "address", value::upstream_address, problems);
    let password = secret_source(section, "password", problems);
    let ca = file(section, "ca", problems);
    let tls = choose(section, "tls", &[("verify-full", true), ("off", false)], problems);
    let words = [("prefer", ChannelBinding::Prefer), ("require", ChannelBinding::Require)];
    let channel_binding = choose(section, "channel_binding", &words, problems);
    let database = section.get("database").map(|entry| entry.text);
    let user = section.get("user").map(|entry| entry.text);
    let address = address?;
    let tls = match (tls?, &address) {
        // TLS is not spoken over Unix sockets, by PostgreSQL neither.
        (_, UpstreamAddress::Unix(_)) | (false, _) => UpstreamTls::Off,
        (true, UpstreamAddress::Tcp { .. }) => UpstreamTls::VerifyFull { ca },
    };
    if tls == UpstreamTls::Off && !is_local(&address) {
        let place = section.get("tls").map(|entry| entry.place)?;
        let problem = Problem::new("PAR0411", &place, "an upstream on another host needs TLS");
        problems.push(problem.help("leave `tls` out: it is `verify-full`; name its authority with `ca`"));
        return None;
    }
    if channel_binding == Some(ChannelBinding::Require) && tls == UpstreamTls::Off {
        let place = section.get("channel_binding").map(|entry| entry.place)?;
        let problem = Problem::new("PAR0411", &place, "channel binding needs TLS, and `tls` is off");
        problems.push(problem.help("set `tls = \"verify-full\"` or `channel_binding = \"prefer\"`"));
        return None;
    }
    Some(UpstreamConnection {
        address,
        database: database?,
        user: user?,
        password,
        tls,
        channel_binding: channel_binding?,
    })
}

/// Can the bytes be seen by nobody else on the network? A name other than `localhost` can resolve to anything.
fn is_local(address: &UpstreamAddress) -> bool {
    match address {
        UpstreamAddress::Unix(_) => true,
        UpstreamAddress::Tcp { host, .. } => {
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

fn classes(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Vec<(String, String)>> {
    let before = problems.len();
    let mut classes = Vec::new();
    for (class, globs) in section.lists("classes") {
        for glob in globs {
            let segments: Vec<&str> = glob.text.split('.').collect();
            let well_formed = matches!(segments.len(), 2 | 3) && segments.iter().all(|segment| !segment.is_empty());
            if well_formed && parse_name(&class).is_ok() {
                classes.push((glob.text, class.clone()));
            } else {
                let problem =
                    Problem::new("PAR0405", &glob.place, format!("class `{class}` has a glob that cannot be read"));
                problems.push(problem.help("a glob is `schema.table.column` or `schema.table`, such as `*.*.email`"));
            }
        }
    }
    (problems.len() == before).then_some(classes)
}
