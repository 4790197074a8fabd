//! The audit log: its folder and name, when an entry counts, the key over its keys, and who witnesses whom.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use kernel::audit::{KeyUse, VerifierKey};
use store::log::Durability;

use crate::config::checked::{SecretSource, choose, parse, secret_source};
use crate::config::problem::Problem;
use crate::config::raw::Section;
use crate::config::value::{self, Unreadable};

/// The audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuditPart {
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// Its name in what is signed; none: the name that it was given at its first start.
    pub(crate) origin: Option<String>,
    /// When an entry counts as written.
    pub(crate) durability: Durability,
    /// Where the key over the keys is; none: in the state folder.
    pub(crate) master_key: Option<SecretSource>,
    /// Where heads and tiles are read.
    pub(crate) listen: Option<SocketAddr>,
    /// Who witnesses this log: where they are asked, and their keys.
    pub(crate) witnesses: Vec<(String, VerifierKey)>,
    /// The logs that this node witnesses.
    pub(crate) witnessed: Vec<VerifierKey>,
}

pub(super) fn audit(section: &Section<'_>, state: &Path, problems: &mut Vec<Problem>) -> Option<AuditPart> {
    let before = problems.len();
    let folder = section.get("folder").map(|folder| section.raw().resolve(&folder.place, &folder.text));
    let origin = section.get("origin").and_then(|entry| parse(&entry, "origin", origin, problems));
    let words = [("process", Durability::Process), ("disk", Durability::Disk)];
    let durability = choose(section, "durability", &words, problems);
    let master_key = section.get("master_key").and_then(|_| secret_source(section, "master_key", problems));
    let listen = section.get("listen").and_then(|entry| parse(&entry, "listen", value::listen, problems));
    let mut witnesses = Vec::new();
    for (_, witness) in section.section("witnesses").named() {
        let url = witness.get("url").and_then(|entry| parse(&entry, "url", witness_url, problems));
        let key = key_of(&witness, KeyUse::Cosign, problems);
        witnesses.extend(url.zip(key));
    }
    let witnessed = section.section("witnessed").named();
    let witnessed = witnessed.iter().filter_map(|(_, log)| key_of(log, KeyUse::Sign, problems)).collect();
    let part = AuditPart {
        folder: folder.unwrap_or_else(|| state.join("audit")),
        origin,
        durability: durability?,
        master_key,
        listen,
        witnesses,
        witnessed,
    };
    (problems.len() == before).then_some(part)
}

/// A name without a scheme, as signed heads have it in their first line.
fn origin(text: &str) -> Result<String, Unreadable> {
    let clean = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'+');
    let fits = !text.is_empty() && text.len() <= 200 && clean && !text.contains("://");
    fits.then(|| text.to_owned())
        .ok_or("an origin is a name without scheme, space or `+`, such as `parapet.example/audit`")
}

fn witness_url(text: &str) -> Result<String, Unreadable> {
    let url = format!("{}/add-checkpoint", text.trim_end_matches('/'));
    match url.parse::<gateway::upstream::fetch::Location>() {
        Ok(_) => Ok(url),
        Err(_) => Err("a witness is at `https://…`, or at `http://` on loopback"),
    }
}

fn key_of(section: &Section<'_>, key_use: KeyUse, problems: &mut Vec<Problem>) -> Option<VerifierKey> {
    let read = |text: &str| match text.parse::<VerifierKey>() {
        Ok(key) if key.key_use() == key_use => Ok(key),
        Ok(_) if key_use == KeyUse::Cosign => {
            Err("this is a log's key; a witness's own is needed (`parapet audit head` there)")
        }
        Ok(_) => Err("this is a witness's key; the log's own is needed (`parapet audit head` there)"),
        Err(_) => Err("a key is `name+id+base64`, as `parapet audit head` shows it"),
    };
    section.get("key").and_then(|entry| parse(&entry, "key", read, problems))
}
