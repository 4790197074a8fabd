//! Reads configuration, policies and certificates again when their files change, or at SIGHUP. A bad file never replaces a good one, and
//! nothing is in force that the audit log has not taken.
//!
//! Folders are watched, not files, and looked at every few seconds besides: editors replace files, and Kubernetes swaps
//! the links that a ConfigMap is mounted by.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use kernel::audit::{AppendError, Batch, Entry, Event};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use crate::certificates::{self, Certificates, Unusable};
use crate::config::Configuration;
use crate::snapshots::{LoadError, policy_files};
use crate::wiring::House;
use crate::{admin, signals};

/// How long after a first change the rest of a save may come.
const CALM: Duration = Duration::from_millis(200);
/// How often the files are looked at without a sign.
const EVERY: Duration = Duration::from_secs(5);

/// Why a reload left something as it was.
#[derive(Debug)]
pub(crate) struct NotReloaded {
    /// For people.
    pub(crate) told: String,
    /// The same files may do later.
    again: bool,
}

impl NotReloaded {
    fn wrong(told: impl ToString) -> Self {
        Self { told: told.to_string(), again: false }
    }

    fn unentered(what: &str, error: AppendError) -> Self {
        tracing::error!(what, %error, "not loaded, since the audit log does not take its entry; the old one stays until it does");
        let told = format!("error[PAR0210]: the {what} is not replaced until the audit log takes entries: {error}");
        Self { told, again: true }
    }
}

/// What went wrong, of two.
fn both(one: Result<(), NotReloaded>, other: Result<(), NotReloaded>) -> Result<(), NotReloaded> {
    match (one, other) {
        (Ok(()), result) | (result, Ok(())) => result,
        (Err(one), Err(other)) => {
            Err(NotReloaded { told: format!("{}\n{}", one.told, other.told), again: one.again || other.again })
        }
    }
}

impl From<LoadError> for NotReloaded {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Unentered(error) => Self::unentered("configuration", error),
            LoadError::Unreadable { .. } | LoadError::Problems(_) => Self::wrong(error),
        }
    }
}

impl House {
    /// Reads configuration, policies and certificates again. What is wrong replaces nothing, and is entered in the log. What is right
    /// is entered before it is in force: what the log does not take replaces nothing either. Addresses of listeners, and
    /// upstreams, take effect at the next start.
    ///
    /// Neither waits for the other: a certificate that was replaced badly must not keep a policy from being tightened, and
    /// one that is about to expire must not wait for a mistake in the configuration.
    pub(crate) async fn reload(&self) -> Result<(), NotReloaded> {
        // One that waits for a list must not put into force what it read before another's.
        let _alone = self.reloading.lock().await;
        let mut result = self.reload_configuration().await;
        for certificates in &self.certificates {
            result = both(result, self.reload_certificate(certificates).await);
        }
        result
    }

    async fn reload_certificate(&self, certificates: &Certificates) -> Result<(), NotReloaded> {
        let configuration = self.configuration();
        let listener = certificates.listener();
        let (tls, state) = (configuration.listener_tls(listener), &configuration.gateway.state);
        let loaded =
            |what: &str| self.enter(Event::Admin { by: None, action: "certificate load", object: what, reason: None });
        match certificates.reload(tls, state, self.clock.now(), loaded).await {
            Ok(None) => Ok(()),
            Ok(Some(what)) => {
                tracing::info!(certificate = what, "certificate loaded");
                Ok(())
            }
            Err(Unusable::Unentered(error)) => Err(NotReloaded::unentered("certificate", error)),
            Err(error) => {
                let why = error.to_string();
                let (action, reason) = ("certificate refuse", Some(why.as_str()));
                self.enter_refusal(Event::Admin { by: None, action, object: listener, reason });
                tracing::error!(listener, why, "certificate refused; the old one stays");
                Err(NotReloaded::wrong(format!("error[PAR0413]: the listener's certificate is not replaced: {why}")))
            }
        }
    }

    async fn reload_configuration(&self) -> Result<(), NotReloaded> {
        match self.reread_configuration().await {
            Ok(digest) => {
                tracing::info!(digest, "configuration loaded");
                Ok(())
            }
            Err(unentered) if unentered.again => Err(unentered),
            Err(refused) => {
                self.enter_refusal(Event::Configuration { result: "refused", digest: "" });
                tracing::error!(problems = refused.told, "configuration refused; the old one stays");
                Err(refused)
            }
        }
    }

    /// Reads the configuration, and puts it into force with everything that it names, or nothing of it. Its digest.
    async fn reread_configuration(&self) -> Result<String, NotReloaded> {
        let configuration = (self.origin.reread)().map_err(NotReloaded::wrong)?;
        let reopened = signals::reopen(self, &configuration).await.map_err(NotReloaded::wrong)?;
        let digest = configuration.digest.clone();
        let loaded = || self.enter(Event::Configuration { result: "loaded", digest: &digest });
        self.publisher.reload(&configuration, &self.workloads.standings(), reopened.threats(), loaded)?;
        // Whatever caused the reload: a person who was removed may call no more.
        self.people.send_replace(Arc::new(admin::people(&configuration)));
        *self.configuration.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(configuration);
        signals::replace(self, reopened).await;
        Ok(digest)
    }

    /// Enters at once: between the entry and what it says nobody else comes.
    fn enter(&self, event: Event<'_>) -> Result<(), AppendError> {
        let mut batch = Batch::default();
        batch.push(&Entry { at: self.clock.now(), event });
        self.log.append_now(&batch).map(drop)
    }

    fn enter_refusal(&self, event: Event<'_>) {
        if let Err(error) = self.enter(event) {
            tracing::error!(%error, "what was refused could not be entered in the audit log");
        }
    }
}

/// Follows the files. Never returns.
pub(crate) async fn follow(house: &Arc<House>) {
    let changed = Arc::new(Notify::new());
    let _watcher = watch(house, &changed);
    let mut hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok();
    let mut seen = fingerprint(house);
    loop {
        let asked = tokio::select! {
            () = changed.notified() => false,
            () = tokio::time::sleep(EVERY) => false,
            () = hung_up(hangup.as_mut()) => true,
        };
        let now = calm(house).await;
        if asked || now != seen {
            // The outcome is logged and entered; there is nobody else to tell.
            let reloaded = house.reload().await;
            // What the log did not take is tried again at the next look.
            seen = if reloaded.is_err_and(|refused| refused.again) { Vec::new() } else { now };
        }
    }
}

/// The fingerprint once nothing changes any more: a certificate and its key are two files, which do not fit until both are
/// there. Files that never come to rest are read as they are.
async fn calm(house: &House) -> Vec<u8> {
    const LONGEST: u32 = 10;
    let mut now = fingerprint(house);
    for _turn in 0..LONGEST {
        tokio::time::sleep(CALM).await;
        let then = std::mem::replace(&mut now, fingerprint(house));
        if then == now {
            break;
        }
    }
    now
}

async fn hung_up(signal: Option<&mut tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

fn watch(house: &House, changed: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let changed = Arc::clone(changed);
    let tell = move |event: notify::Result<notify::Event>| {
        // To look at the files is no change of them: who took it for one would look for ever.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            changed.notify_one();
        }
    };
    let mut watcher = notify::recommended_watcher(tell).ok()?;
    for folder in folders(house) {
        // What cannot be watched is still looked at every few seconds.
        if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
            tracing::debug!(folder = %folder.display(), %error, "not watched");
        }
    }
    Some(watcher)
}

/// The files that the listeners' TLS is read from.
fn certificates(configuration: &Configuration) -> Vec<PathBuf> {
    let state = &configuration.gateway.state;
    configuration.listeners().into_iter().flat_map(|(_, tls)| certificates::files(tls, state)).collect()
}

fn folders(house: &House) -> Vec<PathBuf> {
    let configuration = house.configuration();
    let certificates = certificates(&configuration);
    let files = house.origin.files.iter().chain(&certificates);
    let parents = files.filter_map(|file| file.parent().map(PathBuf::from));
    let folders: BTreeSet<PathBuf> = configuration.policy_folders.iter().cloned().chain(parents).collect();
    folders.into_iter().collect()
}

/// A digest of everything that a reload would read; absent files count, too.
fn fingerprint(house: &House) -> Vec<u8> {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let configuration = house.configuration();
    for file in policy_files(&configuration).unwrap_or_default() {
        context.update(file.name.as_bytes());
        context.update(file.text.as_bytes());
    }
    let certificates = certificates(&configuration);
    for file in house.origin.files.iter().chain(&certificates) {
        // A private key may be among them.
        context.update(&zeroize::Zeroizing::new(std::fs::read(file).unwrap_or_default()));
    }
    context.finish().as_ref().to_vec()
}
