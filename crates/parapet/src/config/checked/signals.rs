//! Threat lists, the streams that security events come by, and the receivers of our own.
//!
//! What would let a stranger speak is refused when it is loaded: a stream that pushes without a token, a URL that is not
//! encrypted, an address that others reach without TLS.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use kernel::threats::Format;
use kernel::workload::Name;

use crate::config::checked::identity::{is_safe_url, unhex};
use crate::config::checked::{JwksSource, SecretSource, choose, file, must_be_file, name, parse, read, secret_source};
use crate::config::problem::Problem;
use crate::config::raw::{Entry, Section};
use crate::config::value;

/// A threat list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ThreatEntry {
    /// What policies find in `context.source.threats`.
    pub(crate) name: Name,
    /// Where it is.
    pub(crate) place: ListPlace,
    /// Its form.
    pub(crate) format: Format,
    /// How often a URL is fetched.
    pub(crate) refresh: Duration,
    /// Beyond this age it is too old.
    pub(crate) max_age: Duration,
    /// The most networks that it may name.
    pub(crate) max_networks: usize,
}

/// Where a list is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListPlace {
    /// In a file.
    File(PathBuf),
    /// Behind HTTPS; behind plain HTTP on loopback alone.
    Url(String),
}

/// Security events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SignalsPart {
    /// Where transmitters push, and receivers read; none where neither is configured.
    pub(crate) listener: Option<SignalListener>,
    /// The `iss` of our own events.
    pub(crate) issuer: Option<String>,
    /// Whose events are taken.
    pub(crate) streams: Vec<StreamEntry>,
    /// Who gets ours.
    pub(crate) receivers: Vec<ReceiverEntry>,
}

/// Where the endpoints of security events listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignalListener {
    /// The address.
    pub(crate) listen: SocketAddr,
    /// The chain and where its key is; none on loopback, behind a proxy that ends TLS.
    pub(crate) certificate: Option<(PathBuf, SecretSource)>,
}

/// A stream that security events come by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamEntry {
    /// Its name here.
    pub(crate) name: Name,
    /// The exact `iss`.
    pub(crate) issuer: String,
    /// The `aud`, alone.
    pub(crate) audience: String,
    /// Where its keys are.
    pub(crate) jwks: JwksSource,
    /// For a stream that pushes: SHA-256 of the token that it shows.
    pub(crate) token_hash: Option<[u8; 32]>,
    /// For a stream that is polled: where, and the pause where nothing is new.
    pub(crate) poll: Option<(String, Duration)>,
    /// The token that is shown to the transmitter.
    pub(crate) authorization: Option<SecretSource>,
    /// Where a verification event is asked for, and how often.
    pub(crate) verification: Option<(String, Duration)>,
    /// The transmitter's id of the stream.
    pub(crate) stream_id: Option<String>,
    /// After so long without anything the stream is silent.
    pub(crate) silent_after: Duration,
    /// Opaque ids and subjects, and whose they are.
    pub(crate) subjects: BTreeMap<String, Name>,
    /// Domains of owners, in lower case.
    pub(crate) owner_domains: Vec<String>,
    /// Members of subjects that must be understood.
    pub(crate) critical_members: BTreeSet<String>,
}

/// A receiver of our own security events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReceiverEntry {
    /// Its name here.
    pub(crate) name: Name,
    /// The `aud` of what it gets.
    pub(crate) audience: String,
    /// SHA-256 of the token by which it manages and polls its stream.
    pub(crate) token_hash: Option<[u8; 32]>,
    /// Where it is pushed to, and the token that is shown there.
    pub(crate) push: Option<(String, Option<SecretSource>)>,
}

pub(super) fn threats(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Vec<ThreatEntry>> {
    all_of(section, problems, threat)
}

/// Reads every named table; none if any cannot be read.
fn all_of<T>(
    section: &Section<'_>,
    problems: &mut Vec<Problem>,
    one: impl Fn(&str, &Section<'_>, &mut Vec<Problem>) -> Option<T>,
) -> Option<Vec<T>> {
    let named: Vec<Option<T>> =
        section.named().into_iter().map(|(label, section)| one(label, &section, problems)).collect();
    named.into_iter().collect()
}

fn threat(label: &str, section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<ThreatEntry> {
    let name = name(label, section, "a threat list", problems);
    let source = section.get("source")?;
    let place = match source.text.strip_prefix("file://") {
        Some(path) => {
            let path = section.raw().resolve(&source.place, path);
            must_be_file(&path, &source, "source", problems);
            Some(ListPlace::File(path))
        }
        None => url(&source, "source", problems).map(ListPlace::Url),
    };
    let column = section.get("column").map(|entry| entry.text);
    let format = match (&*section.get("format")?.text, column) {
        ("csv", column) => Some(Format::Csv { column }),
        ("lines", None) => Some(Format::Lines),
        ("stix", None) => Some(Format::Stix),
        ("lines" | "stix", Some(_)) => {
            let problem = Problem::new("PAR0405", &section.place(), "`column` is for the format `csv`");
            problems.push(problem.key_only().help("leave it out, or set `format = \"csv\"`"));
            None
        }
        // Not one of the three, which is what is said.
        _ => {
            choose(section, "format", &[("lines", ()), ("csv", ()), ("stix", ())], problems)?;
            None
        }
    };
    let refresh = read(section, "refresh", value::duration, problems);
    let max_age = read(section, "max_age", value::duration, problems);
    let max_networks = read(section, "max_networks", positive, problems);
    Some(ThreatEntry {
        name: name?,
        place: place?,
        format: format?,
        refresh: refresh?.max(Duration::from_secs(10)),
        max_age: max_age?,
        max_networks: max_networks?,
    })
}

fn positive(text: &str) -> Result<usize, value::Unreadable> {
    text.parse().ok().filter(|number| *number > 0).ok_or("it takes a whole number above zero")
}

/// An encrypted URL, or one on this machine.
fn url(entry: &Entry, key: &str, problems: &mut Vec<Problem>) -> Option<String> {
    if is_safe_url(&entry.text) {
        return Some(entry.text.clone());
    }
    let problem = Problem::new("PAR0426", &entry.place, format!("`{key}` must be `https://…`"));
    problems
        .push(problem.help("plain HTTP is taken on loopback alone; what comes by it, anybody on its way could write"));
    None
}

fn token_hash(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<[u8; 32]> {
    let entry = section.get("token_hash")?;
    let hash = entry.text.strip_prefix("sha256:").and_then(unhex);
    if hash.is_none() {
        let problem =
            Problem::new("PAR0406", &entry.place, "`token_hash` must be the hash of the token, not the token");
        problems.push(problem.key_only().help("`sha256:` and 64 hexadecimal digits: `printf %s TOKEN | sha256sum`"));
    }
    hash
}

fn missing(section: &Section<'_>, key: &str, why: &str, problems: &mut Vec<Problem>) {
    let problem = Problem::new("PAR0403", &section.place(), format!("`{key}` is missing")).key_only();
    problems.push(problem.help(why));
}

pub(super) fn all(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<SignalsPart> {
    let before = problems.len();
    let listener = listener(section, problems);
    let issuer = section.get("issuer").and_then(|entry| url(&entry, "issuer", problems));
    let streams = all_of(&section.section("streams"), problems, stream);
    let receivers = all_of(&section.section("receivers"), problems, receiver);
    let (streams, receivers) = (streams?, receivers?);
    if listener.is_none() && streams.iter().any(|stream| stream.poll.is_none()) {
        missing(section, "signals.listen", "a stream pushes its events there: set it, or poll the stream", problems);
    }
    if !receivers.is_empty() && issuer.is_none() {
        missing(section, "signals.issuer", "receivers tell our events by it", problems);
    }
    if !receivers.is_empty() && listener.is_none() {
        missing(section, "signals.listen", "receivers find our keys there", problems);
    }
    (problems.len() == before).then_some(SignalsPart { listener, issuer, streams, receivers })
}

fn listener(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<SignalListener> {
    let entry = section.get("listen")?;
    let listen = read(section, "listen", value::listen, problems)?;
    let certificate = file(section, "certificate", problems);
    let key = secret_source(section, "key", problems);
    if certificate.is_some() != key.is_some() {
        missing(section, "signals.key", "a certificate needs its key, and a key its certificate", problems);
    }
    let certificate = certificate.zip(key);
    if certificate.is_none() && !listen.ip().is_loopback() {
        let message = format!("`{listen}` is reachable from other hosts and needs TLS");
        let problem = Problem::new("PAR0410", &entry.place, message);
        problems.push(problem.help("set `certificate` and `key`, or listen on 127.0.0.1 behind a proxy that ends TLS"));
    }
    Some(SignalListener { listen, certificate })
}

fn stream(label: &str, section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<StreamEntry> {
    let name = name(label, section, "a stream", problems);
    let (issuer, audience) = (section.get("issuer")?, section.get("audience")?);
    if audience.text.is_empty() {
        let problem = Problem::new("PAR0421", &audience.place, "a stream without an audience is not trusted");
        problems.push(problem.help("set `audience` to the `aud` that its events for Parapet have"));
    }
    let jwks = match section.get("jwks") {
        Some(entry) => match entry.text.strip_prefix("file://") {
            Some(path) => {
                let path = section.raw().resolve(&entry.place, path);
                must_be_file(&path, &entry, "jwks", problems);
                Some(JwksSource::File(path))
            }
            None => url(&entry, "jwks", problems).map(JwksSource::Url),
        },
        None => url(&issuer, "issuer", problems).map(JwksSource::Discovery),
    };
    let polled = choose(section, "delivery", &[("push", false), ("poll", true)], problems)?;
    let token_hash = token_hash(section, problems);
    let endpoint = section.get("endpoint").and_then(|entry| url(&entry, "endpoint", problems));
    let every = read(section, "poll_every", value::duration, problems)?;
    match polled {
        false if token_hash.is_none() => {
            missing(section, "token_hash", "a transmitter that pushes shows a token, whose hash stands here", problems);
        }
        true if endpoint.is_none() => missing(section, "endpoint", "where its events are fetched", problems),
        _ => {}
    }
    let verification = section.get("verification").and_then(|entry| url(&entry, "verification", problems));
    let verify_every = read(section, "verify_every", value::duration, problems)?.max(Duration::from_secs(10));
    let mut subjects = BTreeMap::new();
    for (subject, entry) in section.map("subjects") {
        subjects.insert(subject, parse(&entry, "subjects", super::parse_name, problems)?);
    }
    Some(StreamEntry {
        name: name?,
        issuer: issuer.text,
        audience: audience.text,
        jwks: jwks?,
        token_hash: token_hash.filter(|_| !polled),
        poll: if polled { Some((endpoint?, every)) } else { None },
        authorization: secret_source(section, "authorization", problems),
        verification: verification.map(|location| (location, verify_every)),
        stream_id: section.get("stream_id").map(|entry| entry.text),
        silent_after: read(section, "silent_after", value::duration, problems)?,
        subjects,
        owner_domains: section.list("owner_domains").iter().map(|entry| entry.text.to_ascii_lowercase()).collect(),
        critical_members: section.list("critical_members").into_iter().map(|entry| entry.text).collect(),
    })
}

fn receiver(label: &str, section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<ReceiverEntry> {
    let name = name(label, section, "a receiver", problems);
    let audience = section.get("audience")?.text;
    let token_hash = token_hash(section, problems);
    let endpoint = section.get("endpoint").and_then(|entry| url(&entry, "endpoint", problems));
    let authorization = secret_source(section, "authorization", problems);
    if endpoint.is_none() && token_hash.is_none() {
        missing(section, "token_hash", "a receiver that polls shows a token; or push to it, at `endpoint`", problems);
    }
    Some(ReceiverEntry { name: name?, audience, token_hash, push: endpoint.map(|url| (url, authorization)) })
}
