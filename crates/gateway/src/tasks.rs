//! Owns every task that is spawned: names it, logs its panic, and drains it at shutdown. The only place that spawns.
//!
//! What must not end before the process does is kept ([`Tasks::keep`]). A task that must end early listens to [`Stopping`]. What has not ended when the drain's deadline comes is told so, and cut if it
//! does not end then. Nothing here decides or moves bytes.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::lanes;

/// How long a task may take to end once the deadline has come: to enter the end of its session.
const LAST_CALL: Duration = Duration::from_secs(1);
/// How long a task that was cut may take to let go of what it holds.
const LETTING_GO: Duration = Duration::from_secs(1);

/// Every task of the process. Clones own the same tasks.
#[derive(Clone)]
pub struct Tasks {
    shared: Arc<Shared>,
}

/// How far the process is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Runs,
    Stops,
    /// The deadline has come.
    Over,
}

struct Shared {
    phase: watch::Sender<Phase>,
    /// The first that ended although it was to be kept.
    lost: watch::Sender<Option<&'static str>>,
    running: watch::Sender<usize>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    closed: bool,
    next: u64,
    tasks: HashMap<u64, Task>,
}

struct Task {
    name: &'static str,
    // None for the moment between its registration and its spawning.
    abort: Option<AbortHandle>,
}

/// What became of the tasks at a drain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drained {
    /// How many tasks ended by themselves, once they were told to stop.
    pub ended: usize,
    /// The names of those that were cut at the deadline, sorted; a name stands once per task.
    pub cut: Vec<&'static str>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Self {
        let shared = Shared {
            phase: watch::Sender::new(Phase::Runs),
            lost: watch::Sender::new(None),
            running: watch::Sender::new(0),
            table: Mutex::new(Table::default()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Runs `work` as a task of its own, on the same lane where it is called on one. While the process drains, new work is
    /// dropped instead, and logged.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.spawn_on(&lanes::home(), name, work);
    }

    /// Runs `work` as [`Self::spawn`] does, on another runtime.
    pub fn spawn_on(&self, runtime: &Handle, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let mut table = self.shared.table();
        if table.closed {
            tracing::info!(task = name, "not started, since the gateway is stopping");
            return;
        }
        let id = table.next;
        table.next += 1;
        table.tasks.insert(id, Task { name, abort: None });
        self.shared.running.send_modify(|running| *running += 1);
        let registered = Registered { id, shared: Arc::clone(&self.shared) };
        let handle = runtime.spawn(async move {
            // Also dropped when the task is cut, so that the table never names a task that is gone.
            let _registered = registered;
            caught(name, work).await;
        });
        // The table is still locked, so the task cannot have left it.
        if let Some(task) = table.tasks.get_mut(&id) {
            task.abort = Some(handle.abort_handle());
        }
    }

    /// Runs what must not end before the process stops, such as who follows revocations. Where it ends all the same, or panics, the
    /// gateway may not go on as if nothing had happened: the log says so, and [`Self::lost`] tells who stops it.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn keep(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let shared = Arc::clone(&self.shared);
        self.spawn(name, async move {
            caught(name, work).await;
            if *shared.phase.borrow() == Phase::Runs {
                tracing::error!(task = name, "a task that the gateway needs has ended");
                shared.lost.send_if_modified(|lost| lost.replace(lost.unwrap_or(name)).is_none());
            }
        });
    }

    /// Resolves once something that is kept has ended: its name.
    pub async fn lost(&self) -> &'static str {
        let mut lost = self.shared.lost.subscribe();
        match lost.wait_for(Option::is_some).await.map(|lost| *lost) {
            Ok(Some(name)) => name,
            // Not while `self` is there, which has the sender.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Has something that is kept ended?
    pub fn has_lost(&self) -> bool {
        self.shared.lost.borrow().is_some()
    }

    /// Tells when the process begins to stop.
    pub fn stopping(&self) -> Stopping {
        Stopping { phase: self.shared.phase.subscribe() }
    }

    /// How many tasks run now.
    pub fn running(&self) -> usize {
        *self.shared.running.borrow()
    }

    /// How many tasks of each name run now, sorted by name.
    pub fn by_name(&self) -> Vec<(&'static str, usize)> {
        let mut names: Vec<_> = self.shared.table().tasks.values().map(|task| task.name).collect();
        names.sort_unstable();
        names.chunk_by(|one, two| one == two).filter_map(|same| Some((*same.first()?, same.len()))).collect()
    }

    /// Tells every task to stop, accepts no new ones, waits for at most `patience`, tells the rest that it is over, and cuts who does
    /// not listen.
    pub async fn drain(&self, patience: Duration) -> Drained {
        self.shared.table().closed = true;
        let before = self.running();
        self.shared.phase.send_replace(Phase::Stops);
        if self.all_ended(patience).await {
            return Drained { ended: before, cut: Vec::new() };
        }
        let late = self.by_name();
        self.shared.phase.send_replace(Phase::Over);
        tracing::warn!(tasks = ?late, "what did not end in time ends");
        if self.all_ended(LAST_CALL).await {
            return Drained { ended: before, cut: Vec::new() };
        }
        let mut cut = self.cut_all();
        cut.sort_unstable();
        tracing::warn!(tasks = ?cut, "cut what did not end at the deadline");
        if !self.all_ended(LETTING_GO).await {
            tracing::error!(tasks = ?self.by_name(), "tasks that were cut still run");
        }
        Drained { ended: before.saturating_sub(cut.len()), cut }
    }

    fn cut_all(&self) -> Vec<&'static str> {
        let table = self.shared.table();
        for abort in table.tasks.values().filter_map(|task| task.abort.as_ref()) {
            abort.abort();
        }
        table.tasks.values().map(|task| task.name).collect()
    }

    async fn all_ended(&self, patience: Duration) -> bool {
        let mut running = self.shared.running.subscribe();
        let ended = tokio::time::timeout(patience, running.wait_for(|running| *running == 0)).await;
        // The sender lives in `self`, so that only the deadline can end the wait early.
        matches!(ended, Ok(Ok(_)))
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("running", &self.running()).finish_non_exhaustive()
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        // No code that can panic runs under the lock; should it be poisoned all the same, the table is whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task's place in the table.
struct Registered {
    id: u64,
    shared: Arc<Shared>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let gone = self.shared.table().tasks.remove(&self.id);
        // The abort handle is dropped outside of the lock.
        drop(gone);
        self.shared.running.send_modify(|running| *running = running.saturating_sub(1));
    }
}

/// Does all of these at once, within one task. Resolves when all are done.
pub async fn together<W: Future<Output = ()>>(works: impl IntoIterator<Item = W>) {
    let mut left: Vec<_> = works.into_iter().map(Box::pin).collect();
    poll_fn(|context| {
        left.retain_mut(|work| work.as_mut().poll(context).is_pending());
        if left.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Runs `work` to its end or its panic, which is logged: a task must not vanish in silence.
async fn caught(name: &'static str, work: impl Future<Output = ()>) {
    let mut work = pin!(work);
    poll_fn(|context| {
        // Nothing of `work` is used after its panic, so that a broken invariant inside it cannot be seen.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(state) => state,
            Err(_panic) => {
                // The panic hook has printed the message and the place.
                tracing::error!(task = name, "the task panicked");
                Poll::Ready(())
            }
        }
    })
    .await;
}

/// The signal that the process stops. Each clone waits by itself.
#[derive(Clone, Debug)]
pub struct Stopping {
    phase: watch::Receiver<Phase>,
}

impl Stopping {
    /// Resolves once the process begins to stop; at once if it already does.
    pub async fn begun(&mut self) {
        // An error means that `Tasks` is gone, and the process with it.
        drop(self.phase.wait_for(|phase| *phase >= Phase::Stops).await);
    }

    /// Resolves once the time to end has passed: what still runs ends at once, or is cut.
    pub async fn over(&mut self) {
        drop(self.phase.wait_for(|phase| *phase == Phase::Over).await);
    }

    /// Does the process stop?
    pub fn has_begun(&self) -> bool {
        *self.phase.borrow() >= Phase::Stops
    }
}

#[cfg(test)]
mod tests;
