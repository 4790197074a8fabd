//! Reads configuration and policies again when their files change, or at SIGHUP. A bad file never replaces a good one.
//!
//! Folders are watched, not files, and looked at every few seconds besides: editors replace files, and Kubernetes swaps
//! the links that a ConfigMap is mounted by.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

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
        tokio::time::sleep(CALM).await;
        let now = fingerprint(house);
        if asked || now != seen {
            seen = now;
            // The outcome is logged and entered; there is nobody else to tell.
            let _told = house.reload().await;
        }
    }
}

async fn hung_up(signal: Option<&mut tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

fn watch(house: &House, changed: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let changed = Arc::clone(changed);
    let mut watcher = notify::recommended_watcher(move |_event| changed.notify_one()).ok()?;
    for folder in folders(house) {
        // What cannot be watched is still looked at every few seconds.
        if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
            tracing::debug!(folder = %folder.display(), %error, "not watched");
        }
    }
    Some(watcher)
}

fn folders(house: &House) -> Vec<PathBuf> {
    let configuration = house.configuration();
    let parents = house.origin.files.iter().filter_map(|file| file.parent().map(PathBuf::from));
    configuration.policy_folders.iter().cloned().chain(parents).collect()
}

/// A digest of everything that a reload would read; absent files count, too.
fn fingerprint(house: &House) -> Vec<u8> {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for file in policy_files(&house.configuration()).unwrap_or_default() {
        context.update(file.name.as_bytes());
        context.update(file.text.as_bytes());
    }
    for file in &house.origin.files {
        context.update(&std::fs::read(file).unwrap_or_default());
    }
    context.finish().as_ref().to_vec()
}
