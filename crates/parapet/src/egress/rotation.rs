//! The egress's certificate authority while the gateway runs: looked at again and again, followed by the next one in time, and told to
//! clients in two files. The rules of time, and the keys at rest, are in `keys.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use gateway::protocol::egress::{CertificateAuthority, system_authorities};
use gateway::tls;
use kernel::audit::{Batch, Entry, Event};
use kernel::ports::{AuditLog, Clock};
use store::log::MasterKey;
use tokio::task::JoinError;

use super::{authority_path, bundle_path, keys};
use crate::certificates;

/// How often it is looked whether it is time.
const EVERY: Duration = Duration::from_secs(3600);

/// An authority that people are told of, by the SHA-256 of its certificate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It was made, and clients are to trust it.
    Made(String),
    /// It signs, in the place of another.
    Signs(String),
}

/// What is needed to look.
pub(super) struct Rotation {
    state: PathBuf,
    /// Does the egress's listener show the gateway's own certificate? Then clients are to trust that, too.
    shows_own: bool,
    master: Arc<MasterKey>,
    clock: Arc<dyn Clock>,
    authority: Arc<CertificateAuthority>,
    /// The certificate of the one that signs.
    signs: Mutex<String>,
}

impl Rotation {
    /// Opens the authority, or makes it, and tells clients.
    pub(super) fn open(
        state: &Path,
        shows_own: bool,
        master: Arc<MasterKey>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<(Self, Vec<Step>)> {
        let opened = open(state, shows_own, &master, &*clock)?;
        let authority = CertificateAuthority::new(&opened.certificate, &opened.key, Arc::clone(&clock))?;
        let made = opened.made.as_deref().map(fingerprint).transpose()?.map(Step::Made);
        let (authority, signs) = (Arc::new(authority), Mutex::new(opened.certificate));
        let rotation = Self { state: state.to_owned(), shows_own, master, clock, authority, signs };
        Ok((rotation, made.into_iter().collect()))
    }

    /// The authority, as whichever it signs.
    pub(super) fn authority(&self) -> Arc<CertificateAuthority> {
        Arc::clone(&self.authority)
    }

    /// Looks whether it is time for another, as the start does. Reads and writes files.
    pub(super) fn look(&self) -> anyhow::Result<Vec<Step>> {
        let mut signs = self.signs.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = open(&self.state, self.shows_own, &self.master, &*self.clock)?;
        let mut steps = Vec::new();
        if let Some(made) = &opened.made {
            steps.push(Step::Made(fingerprint(made)?));
        }
        if opened.certificate != *signs {
            self.authority.replace(&opened.certificate, &opened.key)?;
            steps.push(Step::Signs(fingerprint(&opened.certificate)?));
            *signs = opened.certificate;
        }
        Ok(steps)
    }
}

/// Looks again and again. An authority that cannot be followed goes on signing.
pub(super) async fn follow(rotation: Arc<Rotation>, log: Arc<dyn AuditLog>) {
    loop {
        tokio::time::sleep(EVERY).await;
        if turn(&rotation, &*log).await.is_err() {
            return;
        }
    }
}

/// Looks, and enters what has come of it. While the log takes nothing, nothing is stepped. An error if it was cut short.
async fn turn(rotation: &Arc<Rotation>, log: &dyn AuditLog) -> Result<(), JoinError> {
    // An empty batch asks whether the log takes entries.
    if log.append(&Batch::default()).await.is_err() {
        tracing::warn!("the audit log takes no entries: the egress's certificate authority stays as it is meanwhile");
        return Ok(());
    }
    let looking = Arc::clone(rotation);
    match tokio::task::spawn_blocking(move || looking.look()).await? {
        Ok(steps) => enter(log, &*rotation.clock, &steps).await,
        Err(error) => {
            let error = format!("{error:#}");
            tracing::error!(error, "the egress's certificate authority cannot be looked after");
        }
    }
    Ok(())
}

/// Enters what has come of a look.
pub(super) async fn enter(log: &dyn AuditLog, clock: &dyn Clock, steps: &[Step]) {
    for step in steps {
        let (object, reason) = match step {
            Step::Made(certificate) => (certificate, "made: clients are to trust it"),
            Step::Signs(certificate) => (certificate, "signs in the place of the one before"),
        };
        tracing::info!(certificate = object, reason, "the egress's certificate authority");
        let event = Event::Admin { by: None, action: "egress authority", object, reason: Some(reason) };
        let mut batch = Batch::default();
        batch.push(&Entry { at: clock.now(), event });
        if log.append(&batch).await.is_err() {
            tracing::error!("a step of the egress's certificate authority could not be entered in the audit log");
        }
    }
}

fn open(state: &Path, shows_own: bool, master: &MasterKey, clock: &dyn Clock) -> anyhow::Result<keys::Opened> {
    let label = || format!("{:08x}", clock.random() >> 32);
    let folder = super::folder(state);
    keys::open(&folder, master, clock.now(), label, |trusted| tell(state, shows_own, trusted))
        .with_context(|| format!("the egress's certificate authority in {}", folder.display()))
}

/// Writes what clients are told to trust: the authorities alone, and with those that this machine trusts.
fn tell(state: &Path, shows_own: bool, trusted: &str) -> anyhow::Result<()> {
    let mut bundle = system_authorities() + trusted;
    if shows_own {
        let own = certificates::self_signed_path(state);
        bundle += &fs::read_to_string(&own).with_context(|| format!("cannot read {}", own.display()))?;
    }
    write(&authority_path(state), trusted)?;
    write(&bundle_path(state), &bundle)
}

/// Replaces a file that clients read at any time: they find the old text or the new one.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if fs::read(path).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    let fresh = path.with_extension("new");
    fs::write(&fresh, text)
        .and_then(|()| fs::rename(&fresh, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The SHA-256 of a certificate in PEM.
fn fingerprint(certificate: &str) -> anyhow::Result<String> {
    let chain = tls::certificates(certificate.as_bytes())?;
    Ok(chain.first().map(certificates::fingerprint).unwrap_or_default())
}

#[cfg(test)]
mod tests;
