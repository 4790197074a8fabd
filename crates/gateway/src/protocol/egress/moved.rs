//! What moves through a connection to a destination: counted both ways, capped where a policy says so, and ended when nothing
//! has moved for long. One task looks at all of them, so that no tunnel has a timer of its own.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// How often it is looked what has moved.
const LOOK: Duration = Duration::from_secs(30);
/// After so many looks at which nothing had moved, a connection ends: ten minutes.
const PATIENCE: u32 = 20;

/// What has moved.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Bytes from the destination.
    received: AtomicU64,
    /// Bytes to it.
    sent: AtomicU64,
    /// The most that may be received; zero for no cap.
    cap: u64,
    seen: AtomicU64,
    looks: AtomicU32,
    is_idle: AtomicBool,
    idle: Notify,
}

impl Moved {
    /// Bytes from the destination.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Bytes to it.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Has it taken all that it may?
    pub(super) fn is_full(&self) -> bool {
        self.cap > 0 && self.received() > self.cap
    }

    /// Resolves when nothing has moved for long.
    pub(super) async fn idle(&self) {
        while !self.is_idle.load(Ordering::Acquire) {
            self.idle.notified().await;
        }
    }

    fn look(&self) {
        let now = self.received().wrapping_add(self.sent());
        if self.seen.swap(now, Ordering::Relaxed) != now {
            self.looks.store(0, Ordering::Relaxed);
        } else if self.looks.fetch_add(1, Ordering::Relaxed) + 1 >= PATIENCE {
            self.is_idle.store(true, Ordering::Release);
            self.idle.notify_one();
        }
    }
}

/// Everything that is open.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<Vec<Weak<Moved>>>);

impl Idle {
    /// Begins to count.
    pub(super) fn watch(&self, cap: Option<u64>) -> Arc<Moved> {
        let moved = Arc::new(Moved { cap: cap.unwrap_or(0), ..Moved::default() });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&moved));
        moved
    }

    /// Looks again and again. Never returns.
    pub(super) async fn look(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.look_once();
        }
    }

    fn look_once(&self) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|moved| moved.upgrade().inspect(|moved| moved.look()).is_some());
    }
}

/// A connection to a destination, whose bytes are counted.
#[derive(Debug)]
pub(super) struct Counted<S> {
    stream: S,
    moved: Arc<Moved>,
}

impl<S> Counted<S> {
    pub(super) fn new(stream: S, moved: Arc<Moved>) -> Self {
        Self { stream, moved }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.moved.received.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        if self.moved.is_full() {
            buffer.set_filled(before);
            return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(taken)) = &written {
            self.moved.sent.fetch_add(*taken as u64, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A stream of which something was read already.
#[derive(Debug)]
pub(super) struct Rewound<S> {
    ahead: Vec<u8>,
    read: usize,
    stream: S,
}

impl<S> Rewound<S> {
    pub(super) fn new(ahead: Vec<u8>, stream: S) -> Self {
        Self { ahead, read: 0, stream }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let rest = this.ahead.get(this.read..).unwrap_or_default();
        if rest.is_empty() {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let many = rest.len().min(buffer.remaining());
        buffer.put_slice(rest.get(..many).unwrap_or_default());
        this.read += many;
        if this.read == this.ahead.len() {
            (this.ahead, this.read) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
