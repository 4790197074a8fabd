//! The task that forces records to the disk, at most once a period, and then moves the recorded head forward.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::append::{Shared, Unsynced};
use super::head::Head;
use super::segment::sync_dir;

/// Runs until it is told to stop; what is there then is forced to the disk before it ends.
pub(super) async fn keep(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut period = tokio::time::interval(shared.options.sync_every);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // A full disk is looked at every fifth period: recovering reads the last segment.
    let mut periods = 0u32;
    loop {
        let over = tokio::select! {
            _ = period.tick() => false,
            // An error means that the log was dropped.
            _ = stopped.changed() => true,
        };
        force(&shared).await;
        if over {
            return;
        }
        periods = (periods + 1) % 5;
        if periods == 0 {
            let shared = Arc::clone(&shared);
            if tokio::task::spawn_blocking(move || shared.heal()).await.is_err() {
                tracing::error!("recovering the audit log failed");
            }
        }
    }
}

async fn force(shared: &Arc<Shared>) {
    let Some(unsynced) = shared.unsynced() else { return };
    let size = unsynced.size;
    let blocking = {
        let shared = Arc::clone(shared);
        // fdatasync can take seconds: not on a thread that serves connections.
        tokio::task::spawn_blocking(move || force_now(&shared, &unsynced))
    };
    let result = blocking.await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::Other)));
    if let Err(error) = &result {
        tracing::error!(kind = ?error.kind(), "the audit log cannot be forced to the disk; no more requests are let through");
    }
    shared.synced(size, &result);
}

fn force_now(shared: &Shared, unsynced: &Unsynced) -> io::Result<()> {
    for file in &unsynced.files {
        file.sync_data()?;
    }
    sync_dir(&shared.dir)?;
    Head { size: unsynced.size, chain: unsynced.chain, at: shared.clock.now() }.store(&shared.dir)
}
