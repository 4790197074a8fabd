//! HTTP APIs under guard: where they are, whom clients ask for, and what may be asked.
//!
//! Endpoints come from the OpenAPI document, from the profile of a secret store and from the configuration; fields of
//! responses carry classes, which policies see.

mod credential;
mod endpoints;

pub(crate) use endpoints::assemble;

use std::path::PathBuf;
use std::time::Duration;

use gateway::protocol::http::KeepLimits;
use gateway::upstream::credential::Kind as CredentialKind;
use gateway::upstream::origin::{Origin, Scheme};
use kernel::policy::Upstream;
use wire::http::authority::Authority;
use wire::http::endpoint::{Endpoint, Field, Unlisted};
use wire::http::path::CanonicalPath;
use wire::http::secret_store::Profile;

use crate::config::checked::upstreams::{self, Shared};
use crate::config::checked::{Detect, ListenerTls, choose, file, read};
use crate::config::problem::Problem;
use crate::config::raw::Section;
use crate::config::value;

/// Where clients of HTTP APIs connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpListener {
    /// The address.
    pub(crate) listen: std::net::SocketAddr,
    /// How connections are protected.
    pub(crate) tls: ListenerTls,
}

/// An HTTP API: what policies see of it, and how to reach it.
#[derive(Clone, Debug)]
pub(crate) struct ApiEntry {
    /// What policies see.
    pub(crate) upstream: Upstream,
    /// Where it is.
    pub(crate) origin: Origin,
    /// The hosts that clients ask for: lower case, without a port. None: only the egress gateway leads there.
    pub(crate) hosts: Vec<String>,
    /// The paths below which it answers, decoded. None is all.
    pub(crate) prefixes: Vec<String>,
    /// Its endpoints.
    pub(crate) endpoints: Vec<Endpoint>,
    /// Fields with classes that any endpoint's response may have.
    pub(crate) everywhere: Vec<Field>,
    /// What becomes of paths that no endpoint names.
    pub(crate) unlisted: Unlisted,
    /// What kind of secret store it is, if it is one.
    pub(crate) store: Option<Profile>,
    /// The changes of protocol that pass.
    pub(crate) upgrades: Vec<String>,
    /// PEM file of the authorities for its certificate; the system's if there is none.
    pub(crate) ca: Option<PathBuf>,
    /// What the gateway adds so that it takes requests for its own.
    pub(crate) credential: Option<CredentialKind>,
    /// Do cookies pass?
    pub(crate) cookies: bool,
    /// What is done about values that look sensitive, in fields without a class.
    pub(crate) detect: Detect,
    /// How long a request may wait for its approval with the client attached.
    pub(crate) hold: Duration,
    /// How long it may take until the head of its answer.
    pub(crate) answer: Duration,
    /// How long a WebSocket may be silent both ways.
    pub(crate) idle: Duration,
    /// The longest message of a WebSocket, in bytes.
    pub(crate) max_message: usize,
    /// The longest body that is read where something needs it whole, in bytes.
    pub(crate) max_body: usize,
    /// What is kept of requests that wait for people without their clients; none if nothing is.
    pub(crate) keeps: Option<KeepLimits>,
    /// How many sessions may be open at once.
    pub(crate) max_sessions: u32,
}

pub(super) fn one(section: &Section<'_>, shared: Shared, problems: &mut Vec<Problem>) -> Option<ApiEntry> {
    let before = problems.len();
    let origin = origin(section, problems);
    let hosts = hosts(section, problems);
    let prefixes = prefixes(section, problems);
    let unlisted = choose(section, "unlisted", &[("deny", Unlisted::Deny), ("allow", Unlisted::Allow)], problems);
    let upgrades = upgrades(section, problems);
    let cookies = choose(section, "cookies", &[("true", true), ("false", false)], problems);
    let answer = read(section, "answer_timeout", value::duration, problems);
    let idle = read(section, "idle_timeout", value::duration, problems);
    let max_message = upstreams::max_message(section, problems);
    let max_body = max_body(section, problems);
    let ca = file(section, "ca", problems);
    let keeps = keeps(section, problems);
    let found = unlisted.and_then(|unlisted| endpoints::all(section, &shared.name, unlisted, problems));
    let credential = credential::read(&section.section("credential"), origin.as_ref(), problems);
    let found = found?;
    if problems.len() > before {
        return None;
    }
    Some(ApiEntry {
        upstream: shared.upstream(found.classes),
        origin: origin?,
        hosts,
        prefixes,
        endpoints: found.endpoints,
        everywhere: found.everywhere,
        unlisted: unlisted?,
        store: found.store,
        upgrades,
        ca,
        credential,
        cookies: cookies?,
        detect: shared.detect,
        hold: shared.hold,
        answer: answer?,
        idle: idle?,
        max_message: max_message?,
        max_body: max_body?,
        keeps: keeps?,
        max_sessions: shared.max_sessions,
    })
}

fn origin(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Origin> {
    let entry = section.get("url")?;
    let origin: Origin = match entry.text.parse() {
        Ok(origin) => origin,
        Err(invalid) => {
            // A URL may hold a password by mistake.
            let problem = Problem::new("PAR0405", &entry.place, "`url` cannot be read").key_only();
            problems.push(problem.help(format!("{invalid}; such as `https://api.payments.example`")));
            return None;
        }
    };
    if origin.scheme() == Scheme::Http && !origin.is_loopback() {
        let problem = Problem::new("PAR0411", &entry.place, "an upstream on another host needs TLS");
        problems.push(problem.help("use `https://`; name its authority with `ca`"));
        return None;
    }
    Some(origin)
}

fn hosts(section: &Section<'_>, problems: &mut Vec<Problem>) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    for entry in section.list("hosts") {
        match Authority::read(&entry.text) {
            Ok(authority) if authority.port().is_none() && !hosts.iter().any(|known| **known == **authority.host()) => {
                hosts.push(authority.host().as_ref().to_owned());
            }
            Ok(authority) if authority.port().is_none() => {
                problems.push(Problem::new("PAR0407", &entry.place, "the host is named twice"));
            }
            Ok(_) | Err(_) => {
                let problem = Problem::new("PAR0405", &entry.place, "the host cannot be read");
                problems
                    .push(problem.help("a host is a name such as `payments.internal`, or an address, without a port"));
            }
        }
    }
    hosts
}

fn prefixes(section: &Section<'_>, problems: &mut Vec<Problem>) -> Vec<String> {
    let mut prefixes = Vec::new();
    for entry in section.list("paths") {
        if is_reserved(&entry.text) {
            let problem = Problem::new("PAR0405", &entry.place, "the path is the gateway's own");
            problems.push(problem.help(endpoints::RESERVED));
        } else if CanonicalPath::read(&entry.text)
            .is_ok_and(|path| path.as_str() == entry.text && !entry.text.contains('%'))
        {
            prefixes.push(entry.text);
        } else {
            let problem = Problem::new("PAR0405", &entry.place, "the path cannot be read");
            problems.push(problem.help("a path begins with `/` and has neither `%`, `..` nor a query, such as `/api`"));
        }
    }
    prefixes
}

/// Would the gateway answer there itself?
fn is_reserved(path: &str) -> bool {
    path == "/.parapet" || path.starts_with("/.parapet/")
}

fn upgrades(section: &Section<'_>, problems: &mut Vec<Problem>) -> Vec<String> {
    let mut upgrades = Vec::new();
    for entry in section.list("upgrades") {
        // Frames of other protocols are not understood, and HTTP/2 must not be changed to behind a proxy.
        if entry.text.eq_ignore_ascii_case("websocket") {
            upgrades.push(entry.text);
        } else {
            let problem = Problem::new("PAR0405", &entry.place, "the change of protocol is not known");
            problems.push(problem.help("it takes `websocket`"));
        }
    }
    upgrades
}

/// What is kept, if anything; none where that cannot be read.
fn keeps(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Option<KeepLimits>> {
    const MOST_REQUESTS: u32 = 10_000;
    const LEAST: usize = 1 << 10;
    const MOST: usize = 16 << 20;
    // What is no truth value is refused where values are read.
    let on = section.get("respond_async").is_some_and(|entry| entry.text == "true");
    let kept = section.section("kept");
    let size = |text: &str| match value::size(text)? {
        bytes @ LEAST..=MOST => Ok(bytes),
        _ => Err("what is kept is limited to 1KiB to 16MiB"),
    };
    let count = |text: &str| match text.parse() {
        Ok(count @ 1..=MOST_REQUESTS) => Ok(count),
        Ok(_) | Err(_) => Err("a number from 1 to 10000"),
    };
    let limits = (
        read(&kept, "requests", count, problems),
        read(&kept, "body", size, problems),
        read(&kept, "answer", size, problems),
        read(&kept, "time", value::duration, problems),
    );
    let (Some(requests), Some(body), Some(answer), Some(time)) = limits else { return None };
    Some(on.then_some(KeepLimits { requests, body, answer, time }))
}

fn max_body(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<usize> {
    const LEAST: usize = 1 << 10;
    const MOST: usize = 64 << 20;
    let read_size = |text: &str| match value::size(text)? {
        bytes @ LEAST..=MOST => Ok(bytes),
        _ => Err("a body's limit is from 1KiB to 64MiB"),
    };
    read(section, "max_body", read_size, problems)
}
