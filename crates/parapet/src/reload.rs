//! Reads configuration, policies and certificates again when their files change, or at SIGHUP. A bad file never replaces a good one.
//!
//! Folders are watched, not files, and looked at every few seconds besides: editors replace files, and Kubernetes swaps
//! the links that a ConfigMap is mounted by.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use crate::certificates;
use crate::config::Configuration;
use crate::snapshots::policy_files;
use crate::wiring::House;

/// How long after a first change the rest of a save may come.
const CALM: Duration = Duration::from_millis(200);
/// How often the files are looked at without a sign.
const EVERY: Duration = Duration::from_secs(5);

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
            seen = now;
            // The outcome is logged and entered; there is nobody else to tell.
            let _told = house.reload().await;
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
