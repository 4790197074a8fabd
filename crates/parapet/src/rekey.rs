//! The change of the master key. A new one is put before the old in `master.key`, or by people where the configuration says; the next
//! start closes under it all that stood under the old, enters that, and drops the old. Until then both open.
//!
//! So a start that ends half-way loses nothing, and the one after it completes the change. How a file is replaced, and its old form
//! overwritten, is `store::log::exchange`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use control::MasterKeyRefusal;
use kernel::audit::{Batch, Entry, Event};
use kernel::ports::{AuditLog, Clock};
use store::database::Database;
use store::log::{
    LogLock, MasterKey, Rekeyed, content_keys_path, exchange, rekey_contents, rekey_signing_keys, settle,
};
use zeroize::Zeroizing;

use crate::audit::{self, master_path};
use crate::config::checked::AuditPart;
use crate::kept_key::KeptKey;
use crate::{certificates, egress, parts, pdp, task_house, transmit};

/// Can the gateway change the master key, or is that for others, or begun?
pub(crate) fn may_begin(part: &AuditPart, state: &Path) -> Result<(), MasterKeyRefusal> {
    text(part, state).map(drop)
}

/// Puts a fresh master key before the one that counts. It is used from the next start on.
pub(crate) fn begin(part: &AuditPart, state: &Path) -> Result<(), MasterKeyRefusal> {
    let renewed = MasterKey::renewed_text(&text(part, state)?).map_err(|_| MasterKeyRefusal::Unwritable)?;
    exchange(&master_path(state), renewed.as_bytes()).map_err(|error| {
        tracing::error!(kind = ?error.kind(), "a new master key could not be written");
        MasterKeyRefusal::Unwritable
    })
}

/// Is it the gateway's to write? Not where the configuration says where it is, nor where a link leads out of the state folder.
fn is_ours(part: &AuditPart, state: &Path) -> bool {
    part.master_key.is_none() && !master_path(state).is_symlink()
}

/// The text of the one that counts, if it is alone and the gateway's own.
fn text(part: &AuditPart, state: &Path) -> Result<Zeroizing<String>, MasterKeyRefusal> {
    if !is_ours(part, state) {
        return Err(MasterKeyRefusal::Configured);
    }
    let text = fs::read_to_string(master_path(state)).map_err(|_| MasterKeyRefusal::Unwritable)?;
    let text = Zeroizing::new(text);
    let counts = MasterKey::from_text(&text).map_err(|_| MasterKeyRefusal::Unwritable)?;
    if counts.is_changing() { Err(MasterKeyRefusal::Waiting) } else { Ok(text) }
}

/// The keys that the gateway has made for itself, each in a file of its own.
fn kept_keys(state: &Path) -> [KeptKey; 4] {
    [certificates::self_signed_key(state), pdp::kept_key(state), parts::mask_kept_key(state), transmit::kept_key(state)]
}

/// Every file that a change replaces.
fn files(part: &AuditPart, state: &Path, lock: &LogLock) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = kept_keys(state).iter().map(|key| key.path().to_owned()).collect();
    files.extend(task_house::key_paths(state));
    files.extend([audit::keys_path(state), egress::keys_path(state), content_keys_path(lock)]);
    if is_ours(part, state) {
        files.push(master_path(state));
    }
    files
}

/// Closes all that the gateway keeps under the newest master key, if there are several; none if there is one. What an earlier change
/// has left that was cut short is overwritten in either case. Whoever holds the lock has none of it open.
pub(crate) async fn close_anew(
    part: &AuditPart,
    state: &Path,
    lock: &LogLock,
    master: &MasterKey,
    database: &Database,
) -> anyhow::Result<Option<Rekeyed>> {
    for path in files(part, state, lock) {
        settle(&path).with_context(|| format!("what an earlier change left beside {}", path.display()))?;
    }
    if !master.is_changing() {
        return Ok(None);
    }
    let mut done = Rekeyed::default();
    let mut count = |what: &str, part: Rekeyed| {
        if part.left > 0 {
            tracing::warn!(left = part.left, "{what}: some open under no master key, and are left as they are");
        }
        done += part;
    };
    // First, because it fails where the file is damaged: the old key alone opens everything then.
    count(
        "keys of the audit log's content",
        rekey_contents(lock, master).context("the keys of the audit log's content")?,
    );
    count("signing keys of the audit log", rekey_signing_keys(&audit::keys_path(state), master)?);
    for key in kept_keys(state) {
        count(&key.path().display().to_string(), key.rekey(master)?);
    }
    count("keys of the egress's authorities", egress::rekey(state, master)?);
    count("keys of tokens", task_house::rekey(state, master)?);
    count("keys of kept requests", store::kept::rekey(database, master).await.context("the keys of kept requests")?);
    Ok(Some(done))
}

/// Enters that the change is complete, and drops the old keys where they are the gateway's own.
pub(crate) async fn complete(
    part: &AuditPart,
    state: &Path,
    log: &dyn AuditLog,
    clock: &dyn Clock,
    done: Option<Rekeyed>,
) -> anyhow::Result<()> {
    let Some(Rekeyed { closed, left }) = done else { return Ok(()) };
    let object = format!("master key: {closed} keys were closed under the new one");
    let reason = (left > 0).then(|| format!("{left} more open under no key, and are left as they are"));
    let event = Event::Admin { by: None, action: "audit rekey", object: &object, reason: reason.as_deref() };
    let mut batch = Batch::default();
    batch.push(&Entry { at: clock.now(), event });
    batch.make_durable();
    log.append(&batch).await?;
    if !is_ours(part, state) {
        tracing::warn!("the master key is changed: take the old one away from where you keep it");
        return Ok(());
    }
    let path = master_path(state);
    let text = Zeroizing::new(fs::read_to_string(&path).context("master.key")?);
    exchange(&path, MasterKey::newest_text(&text).as_bytes()).context("master.key")?;
    tracing::info!(closed, "the master key is changed");
    Ok(())
}

#[cfg(test)]
mod tests;
