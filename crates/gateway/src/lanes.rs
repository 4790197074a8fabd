//! The threads of the data path. Each has a single-threaded runtime and keeps the sessions that it was given, from the
//! first byte to the last: nothing migrates, nothing is stolen, and no timer of another part of the product is set on
//! them, because every look at the clock between two messages costs a session dearly.
//!
//! What takes long (the analysis of a huge statement, a file) goes to the blocking pool of the lane's runtime.

use std::io;
use std::num::NonZeroUsize;
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
    /// Starts so many lanes, whose threads have stacks of `stack` bytes.
    ///
    /// # Errors
    /// The system gives no threads or no file descriptors.
    pub fn start(many: NonZeroUsize, stack: usize) -> io::Result<Self> {
        let others = (1..many.get()).map(|number| Lane::start(number, stack)).collect::<io::Result<_>>()?;
        Ok(Self { first: Lane::start(0, stack)?, others })
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
    fn start(number: usize, stack: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().thread_stack_size(stack).build()?;
        let handle = runtime.handle().clone();
        let (until, ended) = oneshot::channel();
        std::thread::Builder::new().name(format!("lane-{number}")).stack_size(stack).spawn(move || {
            // An error says that the sender was dropped, which is what is waited for.
            let _dropped = runtime.block_on(ended);
        })?;
        Ok(Self { handle, sessions: Arc::default(), _until: until })
    }
}

#[cfg(test)]
mod tests;
