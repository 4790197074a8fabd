//! `parapet doctor --bundle`: one JSON file for whoever is asked for help. It holds what doctor found, the configuration without
//! secrets, and what was decided lately without what was said: no statement, no value, nobody's words.
//!
//! Only what is listed here goes in. Then everything that is known to be secret is looked for in the result, and if any of it
//! stands there, nothing is written.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::{Map, Value, json};
use store::log::{Filter, Order};
use zeroize::Zeroizing;

use crate::cli::audit::log_folder;
use crate::cli::client::{Client, state_folder};
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::time;
use crate::config::problem::Problem;
use crate::config::{Raw, Sources, explain, variable};

/// How many entries of the log.
const ENTRIES: usize = 200;
/// The members of an entry that say what happened, and not what was said.
const MEMBERS: [&str; 14] = [
    "at", "kind", "decision", "session", "approval", "grant", "workload", "upstream", "verdict", "state", "result",
    "outcome", "prepares", "bundle",
];
/// Those of an operation.
const ASKED: [&str; 3] = ["action", "verb", "kind"];
/// A secret that is shorter is found in every text.
const SHORTEST: usize = 6;

/// What a bundle is made of.
pub(super) struct Findings<'a> {
    /// Doctor's lines.
    pub(super) checks: &'a Value,
    /// Where the configuration was read.
    pub(super) sources: Sources,
}

/// Writes the bundle.
pub(super) async fn write(path: &Path, findings: Findings<'_>, globals: &Globals) -> Result<(), Failure> {
    let status = match Client::new(globals) {
        Ok(client) => client.get("/v1/status").await.unwrap_or(Value::Null),
        Err(_) => Value::Null,
    };
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut problems = Vec::new();
    let lines = explain::lines(&Raw::read(findings.sources, &mut problems), None);
    let bundle = json!({
        "schema": "parapet.support/v1",
        "written_at": time::now().to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "system": {
            "name": std::env::consts::OS,
            "release": release.trim(),
            "machine": std::env::consts::ARCH,
        },
        "checks": findings.checks,
        "configuration": configuration(&lines, &problems),
        "status": status,
        "log": log(&log_folder(globals)),
    });
    let text = serde_json::to_string_pretty(&bundle).map_err(|error| Failure::from(anyhow::Error::from(error)))?;
    if secrets(globals, &lines).iter().any(|secret| holds(&text, secret)) {
        let failure = Failure::new(Exit::Failed, "PAR0301", "a secret would stand in the bundle: nothing was written");
        return Err(failure.help("report this; until then `parapet doctor --json` shows the checks alone"));
    }
    let refused = |error: std::io::Error| {
        let failure = Failure::new(Exit::Failed, "PAR0301", format!("{}: {}", path.display(), error.kind()));
        failure.help("name a file that is not there yet")
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(refused)?;
    file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).map_err(refused)
}

/// What is configured, and by which layer. Of a secret, no more than how it is found.
fn configuration(lines: &[explain::Line], problems: &[Problem]) -> Value {
    let values = lines.iter().map(|line| {
        let value = if line.secret { scheme(&line.value) } else { without_credentials(&line.value) };
        json!({ "key": line.key, "value": value, "layer": line.layer })
    });
    let mistakes: Vec<_> = problems.iter().map(|problem| problem.code).collect();
    json!({ "mistakes": mistakes, "values": values.collect::<Vec<_>>() })
}

/// `env://…` of `env://SHOP_DB_PASSWORD`: a command's arguments may hold what should not be there.
fn scheme(value: &str) -> String {
    match value.trim_start_matches('"').split_once("://") {
        Some((scheme, _)) => format!("{scheme}://…"),
        None => "(hidden)".to_owned(),
    }
}

/// Without `user:password@` of any URL.
fn without_credentials(value: &str) -> String {
    let mut parts = value.split("://");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(['/', '"', ' ', ',']).unwrap_or(part.len());
        let (authority, rest) = part.split_at_checked(end).unwrap_or((part, ""));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        text.push_str("://");
        text.push_str(host);
        text.push_str(rest);
    }
    text
}

/// The newest entries, newest first, of what is listed above.
fn log(folder: &Path) -> Value {
    let search = match store::log::search(folder, Filter::default(), Order::NewestFirst) {
        Ok(search) => search,
        Err(error) => return json!({ "error": error.to_string() }),
    };
    let mut entries = Vec::new();
    for found in search.take(ENTRIES) {
        match found {
            Ok(found) => entries.push(entry(found.seq, &found.entry)),
            Err(error) => return json!({ "entries": entries, "error": error.to_string() }),
        }
    }
    json!({ "entries": entries })
}

fn entry(seq: u64, entry: &Value) -> Value {
    let mut kept = picked(entry, &MEMBERS);
    kept.insert("seq".to_owned(), seq.into());
    let by = ["/reason/why", "/reason/policy", "/reason/code", "/by/policy"];
    for (pointer, name) in by.into_iter().zip(["why", "policy", "code", "policy"]) {
        if let Some(value) = entry.pointer(pointer).filter(|value| value.is_string()) {
            kept.insert(name.to_owned(), value.clone());
        }
    }
    // Of what people did, the verb; their reasons and the names that they typed are their own.
    if entry.get("kind").and_then(Value::as_str) == Some("admin") {
        kept.extend(picked(entry, &["action"]));
    }
    let operations = entry.get("operations").and_then(Value::as_array).into_iter().flatten();
    let operations: Vec<Value> = operations.map(|operation| Value::Object(picked(operation, &ASKED))).collect();
    if !operations.is_empty() {
        kept.insert("operations".to_owned(), operations.into());
    }
    Value::Object(kept)
}

fn picked(object: &Value, members: &[&str]) -> Map<String, Value> {
    let member = |name: &&str| Some(((*name).to_owned(), object.get(*name)?.clone()));
    members.iter().filter_map(member).collect()
}

/// What is known to be secret on this side: what the keys that are about secrets lead to, and what stands for a person.
fn secrets(globals: &Globals, lines: &[explain::Line]) -> Vec<Zeroizing<String>> {
    let mut found: Vec<Option<String>> =
        ["PARAPET_TOKEN", "PARAPET_WORKLOAD_TOKEN", "PGPASSWORD"].map(variable).into_iter().collect();
    let state = state_folder(globals);
    found.extend(["admin.token", "master.key"].map(|name| std::fs::read_to_string(state.join(name)).ok()));
    for line in lines.iter().filter(|line| line.secret) {
        found.push(match line.value.trim_matches('"').split_once("://") {
            Some(("env", name)) => variable(name),
            Some(("file", path)) => std::fs::read_to_string(path).ok(),
            // A program is not run for this: what it prints has been read by nobody.
            _ => None,
        });
    }
    // A key is many lines, of which each would say something.
    let texts = found.into_iter().flatten().map(Zeroizing::new);
    texts.flat_map(|text| text.lines().map(|line| Zeroizing::new(line.trim().to_owned())).collect::<Vec<_>>()).collect()
}

fn holds(text: &str, secret: &str) -> bool {
    if secret.len() < SHORTEST || secret.starts_with("-----") {
        return false;
    }
    let quoted = Value::from(secret).to_string();
    text.contains(secret) || text.contains(quoted.trim_matches('"'))
}

#[cfg(test)]
mod tests;
