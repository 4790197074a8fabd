//! The tasks that force records to the disk and then move the recorded head forward, at most once a period or as soon as
//! somebody waits for it, and that seal what is there.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use kernel::ports::Clock;
use kernel::time::Timestamp;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::append::{Shared, Unsynced};
use super::head::Head;
use super::seal::SealError;

/// Runs what the log cannot do without. Where it ends before it is told to, nothing more is taken: records would be neither forced
/// to the disk nor sealed, and nobody would know.
pub(super) fn needed(
    shared: Arc<Shared>,
    stopped: watch::Receiver<bool>,
    work: impl Future<Output = ()> + Send,
) -> impl Future<Output = ()> + Send {
    let needed = Needed { shared, stopped, ended: false };
    async move {
        // All of it, and not its last field alone.
        let mut needed = needed;
        work.await;
        needed.ended = true;
    }
}

struct Needed {
    shared: Arc<Shared>,
    stopped: watch::Receiver<bool>,
    /// By itself: it was not dropped with its runtime, as where a start fails.
    ended: bool,
}

impl Drop for Needed {
    fn drop(&mut self) {
        // An error means that the log was dropped.
        let told = *self.stopped.borrow() || self.stopped.has_changed().is_err();
        if !told {
            if self.ended || std::thread::panicking() {
                tracing::error!("what keeps the audit log has ended; no more requests are let through");
            }
            self.shared.give_up();
        }
    }
}

/// Runs until it is told to stop; what is there then is forced to the disk, and sealed, before it ends.
pub(super) async fn keep(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut period = tokio::time::interval(shared.options.sync_every);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // A full disk is looked at every fifth period: recovering reads the last segment.
    let mut periods = 0u32;
    let mut last = Moment::read(&*shared.clock);
    loop {
        let over = tokio::select! {
            _ = period.tick() => false,
            () = shared.wanted.notified() => {
                force(&shared, Forced::Records).await;
                continue;
            }
            // An error means that the log was dropped.
            _ = stopped.changed() => true,
        };
        let now = Moment::read(&*shared.clock);
        watch_clock(&shared, last, now);
        last = now;
        force(&shared, Forced::RecordsAndHead).await;
        if over {
            seal(&shared).await;
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

/// What both clocks said at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) wall: Timestamp,
    pub(super) steady: Duration,
}

impl Moment {
    fn read(clock: &dyn Clock) -> Self {
        const AT_ONCE: Duration = Duration::from_millis(100);
        let mut steady = clock.steady();
        // A process that was held up between the two readings would see a step that nobody made.
        for _ in 0..3 {
            let (wall, after) = (clock.now(), clock.steady());
            if after.saturating_sub(steady) < AT_ONCE {
                return Self { wall, steady: after };
            }
            steady = after;
        }
        Self { wall: clock.now(), steady }
    }
}

/// So far the clocks may go apart within a period, in milliseconds.
const TOLERATED: i64 = 1000;

/// Times in the log are the machine's: where they step back or forward, by what the steady clock says has passed, the log says
/// so.
pub(super) fn watch_clock(shared: &Shared, last: Moment, now: Moment) {
    let expected = last.wall.after(now.steady.saturating_sub(last.steady));
    let step = now.wall.millis().saturating_sub(expected.millis());
    if step.abs() <= TOLERATED {
        return;
    }
    note_step(
        shared,
        &if step < 0 {
            format!("the clock stepped back by {} ms, from {expected}", -step)
        } else {
            format!("the clock stepped forward by {step} ms, from {expected}: it was set, or the machine slept")
        },
    );
}

/// While nobody wrote, the clock may have gone back as well: to before the last head.
pub(super) fn watch_opening(shared: &Shared, last_head: Timestamp) {
    let back = last_head.millis().saturating_sub(shared.clock.now().millis());
    if back > TOLERATED {
        note_step(shared, &format!("the clock is {back} ms before the last head of the log, of {last_head}"));
    }
}

fn note_step(shared: &Shared, reason: &str) {
    tracing::warn!(reason, "the clock has stepped");
    if shared.note("audit clock", "audit", Some(reason)).is_err() {
        tracing::error!("the step of the clock could not be entered in the audit log");
    }
}

/// What is forced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forced {
    /// What somebody waits for, and nothing else.
    Records,
    /// And how far they reach.
    RecordsAndHead,
}

async fn force(shared: &Arc<Shared>, forced: Forced) {
    let Some(unsynced) = shared.unsynced(forced == Forced::RecordsAndHead) else { return };
    let unsynced = Arc::new(unsynced);
    let mut blocking = {
        let (shared, unsynced) = (Arc::clone(shared), Arc::clone(&unsynced));
        // fdatasync can take seconds: not on a thread that serves connections.
        tokio::task::spawn_blocking(move || force_now(&shared, &unsynced, forced))
    };
    let within = shared.options.sync_within;
    let result = match tokio::time::timeout(within, &mut blocking).await {
        Ok(result) => result,
        Err(_elapsed) => {
            tracing::error!(?within, "the disk of the audit log does not answer; no more requests are let through");
            shared.stall(true);
            let result = blocking.await;
            shared.stall(false);
            result
        }
    };
    let result = result.unwrap_or_else(|_| Err(Unforced::Records(io::Error::from(io::ErrorKind::Other))));
    if let Err(Unforced::Records(error)) = &result {
        tracing::error!(kind = ?error.kind(), "the audit log cannot be forced to the disk; no more requests are let through");
    }
    shared.synced(&unsynced, forced == Forced::RecordsAndHead, &result);
}

/// What is not on the disk.
#[derive(Debug)]
pub(super) enum Unforced {
    /// Records, which the system may have dropped.
    Records(io::Error),
    /// The head alone, as on a full disk: the records are there.
    Head(io::Error),
}

fn force_now(shared: &Shared, unsynced: &Unsynced, forced: Forced) -> Result<(), Unforced> {
    let records = || {
        if unsynced.dropped {
            return Err(io::ErrorKind::Other.into());
        }
        for file in &unsynced.files {
            file.sync_data()?;
        }
        // A segment that is new has a name to be made durable, too.
        if forced == Forced::RecordsAndHead || unsynced.renewed {
            shared.folder.sync_all()?;
        }
        Ok(())
    };
    records().map_err(Unforced::Records)?;
    match forced {
        Forced::Records => Ok(()),
        Forced::RecordsAndHead => {
            let head = Head { size: unsynced.size, chain: unsynced.chain, at: shared.clock.now() };
            head.store(&shared.dir).map_err(Unforced::Head)
        }
    }
}

/// Seals what is forced to the disk, at most once a period.
pub(super) async fn keep_sealed(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut durable = shared.durable.subscribe();
    durable.mark_changed();
    loop {
        tokio::select! {
            changed = durable.changed() => if changed.is_err() { return },
            _ = stopped.changed() => return,
        }
        durable.mark_unchanged();
        seal(&shared).await;
        tokio::select! {
            () = tokio::time::sleep(shared.options.sync_every) => {}
            _ = stopped.changed() => return,
        }
    }
}

async fn seal(shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    if tokio::task::spawn_blocking(move || seal_now(&shared)).await.is_err() {
        tracing::error!("sealing the audit log failed");
    }
}

/// Signs a head over what is forced to the disk. Blocks.
pub(super) fn seal_now(shared: &Shared) {
    let Some(sealer) = &shared.sealer else { return };
    let mut sealer = sealer.lock().unwrap_or_else(PoisonError::into_inner);
    let durable = *shared.durable.borrow();
    let fresh = shared.take_unsealed(sealer.size(), durable.size);
    match sealer.seal(durable.size, durable.chain, fresh, shared.clock.now()) {
        Ok(()) => {
            let signed = sealer.signed.clone();
            shared.sealed.send_if_modified(|known| {
                let newer = *known != signed;
                *known = signed;
                newer
            });
        }
        // The log itself says whether requests pass: a head is only late.
        Err(SealError::Unusable(error)) => {
            tracing::warn!(kind = ?error.kind(), "the audit log's head cannot be signed yet");
        }
        Err(SealError::Tampered(tampered)) => {
            tracing::error!(%tampered, "the audit log was changed while it is written; no more requests are let through");
            shared.give_up();
        }
    }
}
