//! A client's connection as hyper sees it. On HTTP/1 a strict second parser reads each byte first: what it refuses never
//! reaches hyper, and is answered here (hazard HT01).
//!
//! A client that closes its sending side while it waits keeps its answer: hyper is told of the end when the answer has left.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use wire::http::Violation;
use wire::http::framing::{Framing, FramingLimits};

use super::refuse;
use super::watch::Pulse;

/// How long a client may take for a head, from its first byte.
const HEAD: Duration = Duration::from_secs(10);
/// How long a client may take none of what is written to it.
const STALL: Duration = Duration::from_secs(60);
/// How long a connection may be idle between requests.
pub(super) const IDLE: Duration = Duration::from_secs(75);
/// How long a client that has closed its sending side may be quiet.
const HALF_CLOSED: Duration = Duration::from_secs(30);

/// What the reading side and the exchanges of one connection share.
#[derive(Debug)]
pub(super) struct Line {
    /// None on HTTP/2.
    framing: Option<Mutex<Framing>>,
    /// How many exchanges are under way.
    exchanges: AtomicUsize,
    /// The client has closed its sending side in the middle of an exchange.
    gone: AtomicBool,
    hung_up: Notify,
    /// What ended the stream of requests has been given to be entered.
    entered: AtomicBool,
    /// Who wants to read what is kept back until the answer has left.
    reader: Mutex<Option<Waker>>,
    pub(super) pulse: Arc<Pulse>,
}

impl Line {
    pub(super) fn new(http1: bool, pulse: Arc<Pulse>) -> Arc<Self> {
        let framing = http1.then(|| Mutex::new(Framing::new(FramingLimits::default())));
        Arc::new(Self {
            framing,
            exchanges: AtomicUsize::new(0),
            gone: AtomicBool::new(false),
            hung_up: Notify::new(),
            entered: AtomicBool::new(false),
            reader: Mutex::default(),
            pulse,
        })
    }

    fn framing(&self) -> Option<MutexGuard<'_, Framing>> {
        self.framing.as_ref().map(|framing| framing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What ended the stream of requests, if something did.
    pub(super) fn violation(&self) -> Option<Violation> {
        self.framing().and_then(|framing| framing.violation())
    }

    /// The same, for who enters it: it is given once.
    pub(super) fn violation_to_enter(&self) -> Option<Violation> {
        self.violation().filter(|_violation| !self.entered.swap(true, Ordering::Relaxed))
    }

    /// Another protocol begins. Refused where bytes came before its time (hazard HT11).
    pub(super) fn release(&self) -> Result<(), Violation> {
        self.framing().map_or(Err(Violation::Upgrade), |mut framing| framing.release())
    }

    /// The change of protocol that was asked for is refused, and HTTP goes on.
    pub(super) fn resume(&self) {
        if let Some(mut framing) = self.framing() {
            framing.resume();
        }
    }

    /// An exchange begins; it is under way until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        self.pulse.rest();
        Busy(Arc::clone(self))
    }

    fn reader(&self) -> MutexGuard<'_, Option<Waker>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps back what there is to read until the answer has left.
    fn keep_back<T>(&self, context: &Context<'_>) -> Poll<T> {
        *self.reader() = Some(context.waker().clone());
        Poll::Pending
    }

    fn is_busy(&self) -> bool {
        self.exchanges.load(Ordering::Relaxed) > 0
    }

    /// Nothing presses but the next request.
    fn calm(&self) {
        if self.is_busy() {
            self.pulse.rest();
        } else {
            self.pulse.expect(IDLE);
        }
    }

    /// Resolves when the client has closed its sending side. Never on HTTP/2, where a stream that is reset is dropped.
    pub(super) async fn hung_up(&self) {
        while !self.gone.load(Ordering::Acquire) {
            self.hung_up.notified().await;
        }
    }
}

/// An exchange that is under way.
#[derive(Debug)]
pub(super) struct Busy(Arc<Line>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.exchanges.fetch_sub(1, Ordering::Relaxed);
        self.0.calm();
        let reader = self.0.reader().take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// A client's connection.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    stream: S,
    line: Arc<Line>,
    /// What was read before it was known which protocol is spoken.
    ahead: Vec<u8>,
    /// The peer has not taken all that was written.
    stalled: bool,
    head_pending: bool,
    /// No byte may be read any more.
    broken: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guarded<S> {
    pub(super) fn new(stream: S, ahead: Vec<u8>, line: Arc<Line>) -> Self {
        line.pulse.expect(IDLE);
        Self { stream, line, ahead, stalled: false, head_pending: false, broken: false }
    }

    /// The rest of the stream cannot be read in one way. Says so where no answer is under way, and ends it.
    fn end(&mut self, context: &mut Context<'_>, violation: Violation, in_body: bool) -> Poll<io::Result<()>> {
        if self.line.is_busy() && !in_body {
            // The answer to the request before comes first.
            return self.line.keep_back(context);
        }
        if !in_body && !self.stalled {
            let answer = refuse::bare(violation);
            // Nothing else waits for this client, so that its socket takes so little at once.
            let mut rest = answer.as_slice();
            while let Poll::Ready(Ok(taken @ 1..)) = Pin::new(&mut self.stream).poll_write(context, rest) {
                rest = rest.get(taken..).unwrap_or_default();
                if rest.is_empty() {
                    break;
                }
            }
            let _flushed = Pin::new(&mut self.stream).poll_flush(context);
            let _closed = Pin::new(&mut self.stream).poll_shutdown(context);
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, violation)))
    }

    /// Looks at what has come, and takes out what may not be read.
    fn look(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>, before: usize) -> Poll<io::Result<()>> {
        let line = Arc::clone(&self.line);
        let Some(mut framing) = line.framing() else { return Poll::Ready(Ok(())) };
        let fresh = buffer.filled().get(before..).unwrap_or_default();
        match framing.feed(fresh) {
            Ok(()) => {
                let pending = framing.head_pending();
                if pending != self.head_pending {
                    self.head_pending = pending;
                    if pending {
                        line.pulse.expect(HEAD);
                    } else {
                        line.pulse.rest();
                    }
                }
                Poll::Ready(Ok(()))
            }
            Err(violation) => {
                self.broken = true;
                let (passed, in_body) = (framing.passed(), framing.body_pending());
                drop(framing);
                buffer.set_filled(before + passed);
                if passed > 0 { Poll::Ready(Ok(())) } else { self.end(context, violation, in_body) }
            }
        }
    }

    fn wrote(&mut self, taken: &Poll<io::Result<usize>>) {
        match (taken, self.stalled) {
            (Poll::Pending, false) => {
                self.stalled = true;
                self.line.pulse.expect(STALL);
            }
            (Poll::Ready(_), true) => {
                self.stalled = false;
                self.line.calm();
            }
            _ => {}
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.broken {
            let state = this.line.framing().map(|framing| (framing.violation(), framing.body_pending()));
            let Some((Some(violation), in_body)) = state else { return Poll::Ready(Ok(())) };
            return this.end(context, violation, in_body);
        }
        let before = buffer.filled().len();
        if !this.ahead.is_empty() {
            let many = this.ahead.len().min(buffer.remaining());
            buffer.put_slice(this.ahead.get(..many).unwrap_or_default());
            this.ahead.drain(..many);
            return this.look(context, buffer, before);
        }
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) if buffer.filled().len() == before && buffer.remaining() > 0 => {
                // On HTTP/2 an end is an end.
                let between = this.line.framing().is_some_and(|framing| !framing.body_pending());
                if this.line.is_busy() && between {
                    this.line.gone.store(true, Ordering::Release);
                    this.line.hung_up.notify_one();
                    this.line.pulse.expect(HALF_CLOSED);
                    return this.line.keep_back(context);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(())) => this.look(context, buffer, before),
            other => other,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let taken = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(&taken);
        taken
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let taken = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(&taken);
        taken
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
