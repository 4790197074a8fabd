//! The threads of the data path. Each has a single-threaded runtime and keeps the sessions that it was given, from the
//! first byte to the last: nothing migrates, and nothing is stolen.
//!
//! A lane has no timers of its own, because even an empty wheel is looked through after each wait: those that are set on it
//! are another runtime's. That one is also the current runtime on a lane, so sockets that the lane is to wait for are opened
//! [`at_home`], and what is to run on it is spawned on [`home`].

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The lanes of a gateway. Dropping them ends their threads, and with them whatever still runs there.
#[derive(Debug)]
pub struct Lanes {
    first: Lane,
    others: Vec<Lane>,
}

#[derive(Debug)]
struct Lane {
    handle: Handle,
    /// Has a clone for each session of the lane.
    sessions: Arc<()>,
    /// Never sent on: the thread ends when this is dropped.
    _until: oneshot::Sender<()>,
}

impl Lanes {
    /// Starts so many lanes, whose threads have stacks of `stack` bytes. `timers` is a runtime with timers that runs
    /// for as long as they do.
    ///
    /// # Errors
    /// The system gives no threads or no file descriptors.
    pub fn start(many: NonZeroUsize, stack: usize, timers: &Handle) -> io::Result<Self> {
        let others = (1..many.get()).map(|number| Lane::start(number, stack, timers)).collect::<io::Result<_>>()?;
        Ok(Self { first: Lane::start(0, stack, timers)?, others })
    }

    /// Where the next session goes: the lane with the fewest. It counts for as long as its seat is kept. Tasks do not say
    /// how busy a lane is, because idle connections to upstreams are tasks too.
    pub fn least_busy(&self) -> (&Handle, Seat) {
        let sessions = |lane: &&Lane| Arc::strong_count(&lane.sessions);
        let other = self.others.iter().min_by_key(sessions);
        let lane = other.filter(|other| sessions(other) < sessions(&&self.first)).unwrap_or(&self.first);
        (&lane.handle, Seat { _taken: Arc::clone(&lane.sessions) })
    }
}

/// A session's seat on its lane.
#[derive(Debug)]
pub struct Seat {
    _taken: Arc<()>,
}

impl Lane {
    fn start(number: usize, stack: usize, timers: &Handle) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().thread_stack_size(stack).build()?;
        let (handle, timers) = (runtime.handle().clone(), timers.clone());
        let (until, ended) = oneshot::channel();
        std::thread::Builder::new().name(format!("lane-{number}")).stack_size(stack).spawn(move || {
            HOME.set(Some(runtime.handle().clone()));
            runtime.block_on(async {
                // Holds for all that this thread polls until the future ends, not for this future alone.
                let _timers = timers.enter();
                // An error says that the sender was dropped, which is what is waited for.
                let _dropped = ended.await;
            });
        })?;
        Ok(Self { handle, sessions: Arc::default(), _until: until })
    }
}

thread_local! {
    /// The runtime of the lane whose thread this is.
    static HOME: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// The runtime that this thread moves: on a lane its own, elsewhere the current one.
///
/// # Panics
/// Outside of a runtime.
pub(crate) fn home() -> Handle {
    HOME.with_borrow(Option::clone).unwrap_or_else(Handle::current)
}

/// Opens sockets for this thread to wait for. On a lane, `opening` may set no timer: it would panic.
pub(crate) async fn at_home<Opening: Future>(opening: Opening) -> Opening::Output {
    let home = home();
    let mut opening = pin!(opening);
    poll_fn(|context| {
        let _home = home.enter();
        opening.as_mut().poll(context)
    })
    .await
}

#[cfg(test)]
mod tests;
