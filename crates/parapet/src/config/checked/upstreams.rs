//! The protected systems.

use std::net::IpAddr;

use kernel::policy::{Disclosure, Mode, Upstream};

use crate::config::checked::{
    ChannelBinding, Detect, UpstreamAddress, UpstreamConnection, UpstreamEntry, UpstreamTls, choose, file, name,
    parse_name, read, secret_source,
};
use crate::config::problem::Problem;
use crate::config::raw::Section;
use crate::config::value;

pub(super) fn all(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Vec<UpstreamEntry>> {
    let named = section.named();
    let count = named.len();
    let entries: Vec<UpstreamEntry> =
        named.into_iter().filter_map(|(label, section)| one(label, &section, problems)).collect();
    (entries.len() == count).then_some(entries)
}

fn one(label: &str, section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<UpstreamEntry> {
    let name = name(label, section, "an upstream", problems);
    let _protocol = choose(section, "protocol", &[("postgres", ())], problems);
    let environment = read(section, "environment", parse_name, problems);
    let mode = choose(section, "mode", &[("enforce", Mode::Enforce), ("observe", Mode::Observe)], problems);
    let words = [("full", Disclosure::Full), ("policy", Disclosure::Policy), ("id", Disclosure::Id)];
    let disclosure = choose(section, "disclosure", &words, problems);
    let classes = classes(section, problems);
    let connection = connection(section, problems);
    let hold = read(section, "hold", value::duration, problems);
    let words = [("off", Detect::Off), ("signal", Detect::Signal), ("mask", Detect::Mask)];
    let detect = choose(section, "detect", &words, problems);
    let label_providers = section.list("label_providers").into_iter().map(|entry| entry.text).collect();
    let max_message = max_message(section, problems);
    let max_sessions = read(
        section,
        "max_sessions",
        |text| text.parse().ok().filter(|count| *count > 0).ok_or("it takes a whole number from 1"),
        problems,
    );
    Some(UpstreamEntry {
        upstream: Upstream {
            name: name?,
            environment: environment?,
            mode: mode?,
            disclosure: disclosure?,
            classes: classes?,
        },
        connection: connection?,
        hold: hold?,
        max_message: max_message?,
        max_sessions: max_sessions?,
        label_providers,
        detect: detect?,
    })
}

fn max_message(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<usize> {
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
