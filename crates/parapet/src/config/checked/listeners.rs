//! The gateway's own parts: state, listeners and policy folders.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::checked::{
    AdminListener, GatewayPart, HttpListener, ListenerTls, PostgresListener, TokenListener, choose, file, read,
    secret_source,
};
use crate::config::layers::Place;
use crate::config::problem::Problem;
use crate::config::raw::{Entry, Section};
use crate::config::value::{self, Unreadable};

pub(super) fn gateway(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<GatewayPart> {
    let state = section.get("state").map(|entry| section.raw().resolve(&entry.place, &entry.text));
    let public_url = read(section, "public_url", public_url, problems);
    let drain = read(section, "drain", value::duration, problems);
    Some(GatewayPart { state: state?, public_url: public_url?, drain: drain? })
}

/// `http://` or `https://`, a host, and nothing that would end a link early.
pub(super) fn public_url(text: &str) -> Result<String, Unreadable> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let clean = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\"<>".contains(&byte));
    if rest.is_empty() || rest.starts_with('/') || !clean {
        return Err("a public URL begins with `https://` or `http://` and has neither `?` nor `#`");
    }
    Ok(text.trim_end_matches('/').to_owned())
}

pub(super) fn admin(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<AdminListener> {
    let entry = section.get("listen")?;
    let listen = read(section, "listen", value::listen, problems)?;
    if !listen.ip().is_loopback() {
        let problem = Problem::new("PAR0410", &entry.place, "the admin API listens on loopback only");
        problems.push(problem.help("use `127.0.0.1:PORT`; put a proxy with TLS in front for other hosts"));
        return None;
    }
    Some(AdminListener { listen })
}

/// Where a listener is to listen. `Some(None)`: it is not configured. `None`: it is, without an address.
pub(super) fn listen_entry(
    section: &Section<'_>,
    name: &str,
    example: &str,
    problems: &mut Vec<Problem>,
) -> Option<Option<Entry>> {
    let entry = section.get("listen");
    if entry.is_none() && section.exists() {
        let problem = Problem::new("PAR0403", &section.place(), format!("`{name}.listen` is missing")).key_only();
        problems.push(problem.help(format!("such as `listen = \"{example}\"`")));
        return None;
    }
    Some(entry)
}

/// Where a listener listens, and how it is protected: in clear on loopback only.
pub(super) fn listener(
    section: &Section<'_>,
    listens: &Entry,
    problems: &mut Vec<Problem>,
) -> Option<(SocketAddr, ListenerTls)> {
    let listen = read(section, "listen", value::listen, problems);
    let tls = listener_tls(section, problems);
    let (listen, tls) = (listen?, tls?);
    if tls == ListenerTls::Off && !listen.ip().is_loopback() {
        problems.push(without_tls(&listens.place, listen));
        return None;
    }
    Some((listen, tls))
}

/// `Some(None)`: no listener is configured. `None`: it is, and wrong.
pub(super) fn postgres(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Option<PostgresListener>> {
    let Some(entry) = listen_entry(section, "postgres", "127.0.0.1:15432", problems)? else { return Some(None) };
    let (listen, tls) = listener(section, &entry, problems)?;
    let names = section.list("oauthbearer");
    if let Some(first) = names.first().filter(|_| tls == ListenerTls::Off) {
        // The mechanism has no protection of its own (RFC 7628, section 4).
        let problem = Problem::new("PAR0410", &first.place, "OAUTHBEARER needs TLS");
        problems.push(problem.help("set `tls` to `self-signed`, `spiffe` or a table with `certificate` and `key`"));
        return None;
    }
    let oauthbearer = names.into_iter().map(|entry| entry.text).collect();
    Some(Some(PostgresListener { listen, tls, oauthbearer }))
}

/// `Some(None)`: no listener is configured. `None`: it is, and wrong.
pub(super) fn http(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Option<HttpListener>> {
    let Some(entry) = listen_entry(section, "http", "127.0.0.1:18080", problems)? else { return Some(None) };
    let (listen, tls) = listener(section, &entry, problems)?;
    Some(Some(HttpListener { listen, tls }))
}

/// `Some(None)`: no token endpoint is configured. `None`: it is, and wrong.
pub(super) fn tokens(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Option<TokenListener>> {
    let Some(entry) = listen_entry(section, "tokens", "127.0.0.1:18001", problems)? else { return Some(None) };
    let listen = read(section, "listen", value::listen, problems);
    let tls = choose(section, "tls", &[("postgres", true), ("off", false)], problems);
    let url = match section.get("url") {
        Some(_) => Some(read(section, "url", public_url, problems)?),
        None => None,
    };
    let (listen, tls) = (listen?, tls?);
    if !tls && !listen.ip().is_loopback() {
        problems.push(without_tls(&entry.place, listen));
        return None;
    }
    Some(Some(TokenListener { listen, tls, url }))
}

fn without_tls(place: &Place, listen: SocketAddr) -> Problem {
    // A client sends its token as the password: off loopback that is never without TLS.
    Problem::new("PAR0410", place, format!("`{listen}` is reachable from other hosts and needs TLS"))
        .help("set `tls` to `self-signed` or to a table with `certificate` and `key`, or listen on 127.0.0.1")
}

fn listener_tls(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<ListenerTls> {
    let table = section.section("tls");
    if table.is_table() {
        let certificate = file(&table, "certificate", problems);
        let key = secret_source(&table, "key", problems);
        let client_ca = file(&table, "client_ca", problems);
        return Some(ListenerTls::Certificate { certificate: certificate?, key: key?, client_ca });
    }
    read(
        section,
        "tls",
        |text| match text {
            "off" => Ok(ListenerTls::Off),
            "self-signed" => Ok(ListenerTls::SelfSigned),
            "spiffe" => Ok(ListenerTls::Spiffe),
            _ => {
                Err("it takes `self-signed`, `spiffe`, `off` (loopback only), or a table with `certificate` and `key`")
            }
        },
        problems,
    )
}

pub(super) fn policy_folders(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Vec<PathBuf>> {
    let before = problems.len();
    let entries = section.list("folders");
    if entries.is_empty() {
        let problem = Problem::new("PAR0409", &section.place(), "no policy folder is configured").key_only();
        problems.push(problem.help("without a policy that permits, everything is denied: name at least one folder"));
    }
    let mut folders = Vec::new();
    for entry in &entries {
        let folder = section.raw().resolve(&entry.place, &entry.text);
        if folders.contains(&folder) {
            problems.push(Problem::new("PAR0407", &entry.place, "the policy folder is named twice"));
        } else if !folder.is_dir() {
            let problem = Problem::new("PAR0409", &entry.place, "the policy folder is not there");
            problems.push(problem.help(format!("looked for {}", folder.display())));
        } else if !holds_policies(&folder) {
            let problem = Problem::new("PAR0409", &entry.place, "the policy folder holds no `*.cedar` file");
            problems.push(problem.help("without a policy that permits, everything is denied"));
        }
        folders.push(folder);
    }
    (problems.len() == before).then_some(folders)
}

fn holds_policies(folder: &std::path::Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| entry.path().extension().is_some_and(|extension| extension == "cedar"))
}
