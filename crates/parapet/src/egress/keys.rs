//! The keys of the egress's certificate authority, in the state folder: each closed in the envelope of the master key, as the audit
//! log's are.
//!
//! An authority is followed by the next one a year before it ends. Clients are told to trust both from then on, and the old one signs
//! for a month more: a client that read the file in that time knows the new one before it meets it. `rotation.rs` looks when it is time.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use gateway::protocol::egress::CertificateAuthority;
use gateway::tls;
use kernel::time::Timestamp;
use serde::{Deserialize, Serialize};
use store::log::{MasterKey, Rekeyed, erase, exchange};
use zeroize::Zeroizing;

/// So long before its end an authority is followed by another.
const AHEAD: Duration = Duration::from_secs(365 * 86_400);
/// So long the old one signs on.
const OVERLAP: Duration = Duration::from_secs(30 * 86_400);
/// What stands in the file.
const FILE: &str = "authorities.json";
/// What the envelope says it holds, before the certificate.
const PURPOSE: &str = "egress authority ";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    certificate: String,
    wrapped: String,
    signs_from_ms: i64,
}

/// The authority that signs, and what clients are told to trust.
pub(super) struct Opened {
    /// Its certificate, as PEM.
    pub(super) certificate: String,
    /// Its key, as PEM.
    pub(super) key: Zeroizing<String>,
    /// The certificate of one that was just made, as PEM.
    pub(super) made: Option<String>,
}

/// The file that they stand in.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// Opens the authorities of this folder, or makes the first, or the next. `label` tells one from those of other gateways. `tell`
/// makes known the certificates of all that count, as PEM, and is called before one that is new is kept: from then on it is a month.
pub(super) fn open(
    folder: &Path,
    master: &MasterKey,
    now: Timestamp,
    label: impl Fn() -> String,
    tell: impl FnOnce(&str) -> anyhow::Result<()>,
) -> anyhow::Result<Opened> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let path = path(folder);
    let mut kept: Vec<Kept> = match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| anyhow!("{} cannot be read", path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => in_clear(folder, master)?.into_iter().collect(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    // Read before anything is written: an authority that cannot be read must not vanish. One that does not count now stays, too: it
    // may be the clock that is wrong.
    let spans = kept.iter().map(span).collect::<anyhow::Result<Vec<_>>>()?;
    let last = spans.into_iter().filter(|span| span.contains(&now)).map(|span| span.end).max();
    let ahead = i64::try_from(AHEAD.as_millis()).unwrap_or(i64::MAX);
    let mut fresh = None;
    if last.is_none_or(|end| end.millis() - now.millis() < ahead) {
        let signs_from = if last.is_some() { now.after(OVERLAP) } else { now };
        let next = made(master, &label(), now, signs_from)?;
        fresh = Some(next.certificate.clone());
        kept.push(next);
    }
    let counts = |kept: &&Kept| span(kept).is_ok_and(|span| span.contains(&now));
    tell(&kept.iter().filter(counts).map(|kept| kept.certificate.as_str()).collect::<String>())?;
    if fresh.is_some() || !path.is_file() {
        store(&path, &kept)?;
    }
    // The key of before stands in no file, once it stands in the envelope.
    let clear = folder.join("ca.key");
    erase(&clear).with_context(|| format!("cannot remove {}", clear.display()))?;
    let mut signs = kept.iter().rev().filter(counts);
    let signs = signs.find(|kept| kept.signs_from_ms <= now.millis());
    let signs = signs.or(kept.iter().find(counts)).ok_or_else(|| anyhow!("there is no authority"))?;
    let key = master.unwrap_text(&purpose(&signs.certificate), &signs.wrapped)?;
    let key = String::from_utf8(key.to_vec()).map(Zeroizing::new).map_err(|_| anyhow!("the key is no text"))?;
    Ok(Opened { certificate: signs.certificate.clone(), key, made: fresh })
}

/// Closes the keys of the authorities of this folder anew, where the master key changes.
pub(super) fn rekey(folder: &Path, master: &MasterKey) -> anyhow::Result<Rekeyed> {
    let path = path(folder);
    let mut done = Rekeyed::default();
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(done),
        bytes => bytes.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let mut all: Vec<Kept> =
        serde_json::from_slice(&bytes).map_err(|_| anyhow!("{} cannot be read", path.display()))?;
    for kept in &mut all {
        if let Some(anew) = done.count(master.rewrap_text(&purpose(&kept.certificate), &kept.wrapped))? {
            kept.wrapped = anew;
        }
    }
    if done.closed > 0 {
        exchange(&path, &serde_json::to_vec(&all)?).with_context(|| format!("cannot replace {}", path.display()))?;
    }
    Ok(done)
}

fn purpose(certificate: &str) -> String {
    format!("{PURPOSE}{certificate}")
}

fn made(master: &MasterKey, label: &str, now: Timestamp, signs_from: Timestamp) -> anyhow::Result<Kept> {
    let made = CertificateAuthority::make(label, now)?;
    let wrapped = master.wrap_text(&purpose(&made.certificate), made.key.as_bytes())?;
    Ok(Kept { certificate: made.certificate, wrapped, signs_from_ms: signs_from.millis() })
}

/// An authority whose key stands in a file of its own, as a gateway of before has written it.
fn in_clear(folder: &Path, master: &MasterKey) -> anyhow::Result<Option<Kept>> {
    let (certificate, key) = (folder.join("ca.pem"), folder.join("ca.key"));
    if !certificate.is_file() || !key.is_file() {
        return Ok(None);
    }
    let (certificate, key) = (fs::read_to_string(certificate)?, Zeroizing::new(fs::read_to_string(key)?));
    let wrapped = master.wrap_text(&purpose(&certificate), key.as_bytes())?;
    Ok(Some(Kept { certificate, wrapped, signs_from_ms: 0 }))
}

/// When it counts.
fn span(kept: &Kept) -> anyhow::Result<Range<Timestamp>> {
    let chain = tls::certificates(kept.certificate.as_bytes())?;
    let span = chain.first().and_then(tls::validity).map(|(from, until)| from..until);
    span.ok_or_else(|| anyhow!("a certificate cannot be read"))
}

fn store(path: &Path, kept: &[Kept]) -> anyhow::Result<()> {
    store::log::replace(path, &serde_json::to_vec(kept)?).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests;
