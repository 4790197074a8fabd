//! Deadlines without timers: who must get on within a time says so in a [`Pulse`], and one task looks at all of them.
//!
//! A timer on a lane makes every wait of that lane dearer (see ARCHITECTURE, "Speed"); two atomic writes a request do not.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::forward::Pool;

/// How often it is looked who is late. Deadlines are that coarse.
const TICK: Duration = Duration::from_millis(500);

/// Looks who is late.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Ticks since the start.
    now: Arc<AtomicU64>,
    pulses: Mutex<Vec<Weak<Pulse>>>,
}

/// Somebody who may have to get on within a time.
#[derive(Debug)]
pub(super) struct Pulse {
    now: Arc<AtomicU64>,
    /// The tick at which it is late; zero for never.
    due: AtomicU64,
    is_late: AtomicBool,
    late: Notify,
}

impl Watch {
    /// A pulse that expects nothing yet.
    pub(super) fn pulse(&self) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse {
            now: Arc::clone(&self.now),
            due: AtomicU64::new(0),
            is_late: AtomicBool::new(false),
            late: Notify::new(),
        });
        self.locked().push(Arc::downgrade(&pulse));
        pulse
    }

    /// Looks again and again, and now and then at idle connections. Never returns.
    pub(super) async fn look(&self, pool: &Pool) {
        loop {
            for _ in 0..2 {
                tokio::time::sleep(TICK).await;
                self.tick();
            }
            pool.tidy();
        }
    }

    fn tick(&self) {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.locked().retain(|pulse| pulse.upgrade().inspect(|pulse| pulse.look(now)).is_some());
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Pulse>>> {
        self.pulses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pulse {
    /// It must get on within this time, give or take a tick.
    pub(super) fn expect(&self, within: Duration) {
        let ticks = u64::try_from(within.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX / 2);
        self.is_late.store(false, Ordering::Relaxed);
        self.due.store(self.now.load(Ordering::Relaxed) + ticks + 1, Ordering::Relaxed);
    }

    /// It may take its time.
    pub(super) fn rest(&self) {
        self.due.store(0, Ordering::Relaxed);
        self.is_late.store(false, Ordering::Relaxed);
    }

    /// Resolves when it is late.
    pub(super) async fn late(&self) {
        // A wake that was left from an earlier deadline says nothing.
        while !self.is_late.load(Ordering::Acquire) {
            self.late.notified().await;
        }
    }

    fn look(&self, now: u64) {
        let due = self.due.load(Ordering::Relaxed);
        if due != 0 && due <= now {
            self.due.store(0, Ordering::Relaxed);
            self.is_late.store(true, Ordering::Release);
            self.late.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_late_is_woken_and_nobody_else() {
        let watch = Watch::default();
        let (slow, calm, saved) = (watch.pulse(), watch.pulse(), watch.pulse());
        slow.expect(Duration::from_secs(1));
        saved.expect(Duration::from_secs(1));
        for _ in 0..2 {
            watch.tick();
        }
        saved.rest();
        assert!(!slow.is_late.load(Ordering::Relaxed));
        watch.tick();
        slow.late().await;
        assert!(!calm.is_late.load(Ordering::Relaxed) && !saved.is_late.load(Ordering::Relaxed));
        drop(calm);
        watch.tick();
        assert_eq!(watch.locked().len(), 2);
    }
}
