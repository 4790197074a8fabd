//! The bounded pump between a client and an upstream: full duplex in one task, so that neither side's reading waits for
//! the other side's writing, and at most one receive and one send a direction a round trip.
//!
//! It knows no protocol. What arrives waits in `inbound` until the caller has consumed it; what the caller sends waits in
//! `outbound` until the peer takes it. Above [`HIGH_WATER`] the caller must stop reading the other side, which
//! [`Relay::poll_wait`] does by itself. An idle side holds no buffer: they come from a pool of the thread.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use kernel::id::DecisionId;
use kernel::verdict::{Receipt, RefusalReceipt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that may wait for a peer before the other side is no longer read.
pub const HIGH_WATER: usize = 256 * 1024;
/// Bytes of one receive.
const CHUNK: usize = 64 * 1024;
/// A remainder of at most this size is copied out, so that the large buffer goes back to the pool.
const SMALL: usize = 2 * 1024;
/// Large buffers that a thread keeps.
const POOLED: usize = 8;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn take_buffer() -> Vec<u8> {
    POOL.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; CHUNK])
}

fn give_buffer(buffer: Vec<u8>) {
    if buffer.len() == CHUNK {
        POOL.with_borrow_mut(|pool| {
            if pool.len() < POOLED {
                pool.push(buffer);
            }
        });
    }
}

/// What has arrived and is not consumed yet.
#[derive(Debug, Default)]
enum Inbound {
    #[default]
    Empty,
    /// A buffer of the pool, always `CHUNK` long, of which `start..end` is waiting.
    Pooled { buffer: Vec<u8>, start: usize, end: usize },
    /// What did not make a whole message yet, in a buffer of its own.
    Owned(Vec<u8>),
}

/// One of the two connections.
#[derive(Debug)]
pub struct Side<S> {
    stream: S,
    inbound: Inbound,
    outbound: Vec<u8>,
    /// How much of `outbound` has been taken by the peer.
    sent: usize,
    /// A TLS stream holds records of its own until it is flushed; for a plain socket that does nothing.
    unflushed: bool,
    closed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Side<S> {
    /// A connection with what was read from it already.
    pub fn new(stream: S, already_read: Vec<u8>) -> Self {
        let inbound = if already_read.is_empty() { Inbound::Empty } else { Inbound::Owned(already_read) };
        Self { stream, inbound, outbound: Vec::new(), sent: 0, unflushed: true, closed: false }
    }

    /// What has arrived and is not consumed yet.
    pub fn inbound(&self) -> &[u8] {
        match &self.inbound {
            Inbound::Empty => &[],
            Inbound::Pooled { buffer, start, end } => buffer.get(*start..*end).unwrap_or_default(),
            Inbound::Owned(bytes) => bytes,
        }
    }

    /// Takes what has arrived out, to be consumed while this side is written to; give the rest back with [`Self::put_back`].
    pub fn take_inbound(&mut self) -> Taken {
        Taken(std::mem::take(&mut self.inbound))
    }

    /// Gives back what was taken, less the first `consumed` bytes.
    pub fn put_back(&mut self, taken: Taken, consumed: usize) {
        self.inbound = match taken.0 {
            Inbound::Empty => Inbound::Empty,
            Inbound::Pooled { buffer, start, end } => {
                let start = start.saturating_add(consumed);
                if start >= end {
                    give_buffer(buffer);
                    Inbound::Empty
                } else if end - start <= SMALL {
                    let rest = buffer.get(start..end).unwrap_or_default().to_vec();
                    give_buffer(buffer);
                    Inbound::Owned(rest)
                } else {
                    Inbound::Pooled { buffer, start, end }
                }
            }
            Inbound::Owned(mut bytes) => {
                if consumed >= bytes.len() {
                    Inbound::Empty
                } else {
                    bytes.drain(..consumed);
                    Inbound::Owned(bytes)
                }
            }
        };
    }

    /// Has the peer closed its direction?
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// How many bytes wait for the peer.
    pub fn waiting(&self) -> usize {
        self.outbound.len() - self.sent
    }

    /// Sends now what the peer takes without waiting, and keeps the rest in order. Errors show at the next wait.
    pub fn send(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if self.waiting() == 0 && !bytes.is_empty() {
            self.unflushed = true;
            let mut context = Context::from_waker(Waker::noop());
            while let Poll::Ready(Ok(taken)) = Pin::new(&mut self.stream).poll_write(&mut context, rest) {
                rest = rest.get(taken..).unwrap_or_default();
                if taken == 0 || rest.is_empty() {
                    break;
                }
            }
        }
        self.outbound.extend_from_slice(rest);
    }

    /// Puts bytes behind what waits already, to be sent with it at the next wait or [`Self::send`].
    pub fn queue(&mut self) -> &mut Vec<u8> {
        &mut self.outbound
    }

    /// Sends what waits, until it is taken or fails.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.outbound.is_empty() && !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        self.unflushed = true;
        while self.sent < self.outbound.len() {
            let rest = self.outbound.get(self.sent..).unwrap_or_default();
            match Pin::new(&mut self.stream).poll_write(context, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(taken)) => self.sent += taken,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if !self.outbound.is_empty() {
            self.sent = 0;
            self.outbound.clear();
            if self.outbound.capacity() > SMALL {
                self.outbound = Vec::new();
            }
        }
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Receives once, by way of a buffer of the pool, which it may keep. Ready when something arrived or the peer closed.
    fn poll_receive(&mut self, context: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<()>> {
        let mut reader = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut reader))?;
        let received = reader.filled().len();
        self.closed |= received == 0;
        let fresh = buffer.get(..received).unwrap_or_default();
        match &mut self.inbound {
            Inbound::Empty if received > 0 => {
                // A small rest is copied out when it is put back.
                self.inbound = Inbound::Pooled { buffer: std::mem::take(buffer), start: 0, end: received };
            }
            Inbound::Empty => {}
            Inbound::Owned(bytes) => bytes.extend_from_slice(fresh),
            Inbound::Pooled { buffer: old, start, end } => {
                let mut bytes = old.get(*start..*end).unwrap_or_default().to_vec();
                bytes.extend_from_slice(fresh);
                give_buffer(std::mem::take(old));
                self.inbound = Inbound::Owned(bytes);
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Bytes taken out of a side's inbound, to look at while the sides are written to.
#[derive(Debug, Default)]
pub struct Taken(Inbound);

impl Taken {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Inbound::Empty => &[],
            Inbound::Pooled { buffer, start, end } => buffer.get(*start..*end).unwrap_or_default(),
            Inbound::Owned(bytes) => bytes,
        }
    }
}

/// Which side has news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The client sent something, or closed.
    Client,
    /// The upstream sent something, or closed.
    Upstream,
}

/// Which side failed.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The client's connection failed.
    #[error("the client's connection failed")]
    Client(#[source] io::Error),
    /// The upstream's connection failed.
    #[error("the upstream's connection failed")]
    Upstream(#[source] io::Error),
}

/// Messages of a protocol that run nothing and name no resource, encoded by the protocol from a closed set of forms. They
/// go under the receipt of the session's own connecting.
pub(crate) trait Control {
    /// The encoded bytes.
    fn bytes(&self) -> &[u8];
}

/// A client and its upstream.
#[derive(Debug)]
pub struct Relay<C, U> {
    /// The one who asks.
    pub client: Side<C>,
    /// The one who is asked. Private: bytes go to it by a receipt or as control messages, and in no other way.
    upstream: Side<U>,
    /// Who had news last. The other is looked at first: most often it is its turn, and neither can keep the other waiting.
    last: News,
}

impl<C: AsyncRead + AsyncWrite + Unpin, U: AsyncRead + AsyncWrite + Unpin> Relay<C, U> {
    /// A relay between two open connections.
    pub fn new(client: Side<C>, upstream: Side<U>) -> Self {
        Self { client, upstream, last: News::Upstream }
    }

    /// Puts what a receipt admits behind what waits for the upstream.
    pub fn admit(&mut self, receipt: Receipt) {
        self.upstream.outbound.extend_from_slice(&receipt.into_wire());
    }

    /// Puts a refusal probe behind what waits for the upstream: `write` makes it from the decision alone.
    pub(crate) fn admit_probe<E>(
        &mut self,
        receipt: &RefusalReceipt,
        write: impl FnOnce(&DecisionId, &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        write(&receipt.decision(), &mut self.upstream.outbound)
    }

    /// Puts control messages behind what waits for the upstream.
    pub(crate) fn control(&mut self, control: &impl Control) {
        self.upstream.outbound.extend_from_slice(control.bytes());
    }

    /// Sends what waits for the upstream, as far as it takes it without waiting.
    pub fn push_upstream(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        // Errors show at the next wait.
        let _flushed = self.upstream.poll_flush(&mut context);
    }

    /// Has the upstream closed, and is everything that it sent consumed?
    pub fn upstream_is_done(&self) -> bool {
        self.upstream.closed && self.upstream.inbound().is_empty()
    }

    /// Takes what the upstream has sent out, to be consumed while the client is written to.
    pub fn take_from_upstream(&mut self) -> Taken {
        self.upstream.take_inbound()
    }

    /// Gives back what was taken, less the first `consumed` bytes.
    pub fn put_back_to_upstream(&mut self, taken: Taken, consumed: usize) {
        self.upstream.put_back(taken, consumed);
    }

    /// Sends what waits and receives from either side, until one has news. The client is read only if `read_client`, and
    /// a side is read only while less than [`HIGH_WATER`] waits for the other.
    pub fn poll_wait(&mut self, context: &mut Context<'_>, read_client: bool) -> Poll<Result<News, RelayError>> {
        if let Poll::Ready(Err(error)) = self.upstream.poll_flush(context) {
            return Poll::Ready(Err(RelayError::Upstream(error)));
        }
        if let Poll::Ready(Err(error)) = self.client.poll_flush(context) {
            return Poll::Ready(Err(RelayError::Client(error)));
        }
        let sides = match self.last {
            News::Client => [News::Upstream, News::Client],
            News::Upstream => [News::Client, News::Upstream],
        };
        let mut buffer = take_buffer();
        let news = sides.into_iter().find_map(|side| self.look(side, context, read_client, &mut buffer));
        give_buffer(buffer);
        news.map_or(Poll::Pending, Poll::Ready)
    }

    /// Receives from one side, unless it must wait; none if it has no news.
    fn look(
        &mut self,
        side: News,
        context: &mut Context<'_>,
        read_client: bool,
        buffer: &mut Vec<u8>,
    ) -> Option<Result<News, RelayError>> {
        let received = match side {
            News::Client if read_client && self.upstream.waiting() < HIGH_WATER && !self.client.closed => {
                self.client.poll_receive(context, buffer).map_err(RelayError::Client)
            }
            News::Upstream if self.client.waiting() < HIGH_WATER && !self.upstream.closed => {
                self.upstream.poll_receive(context, buffer).map_err(RelayError::Upstream)
            }
            News::Client | News::Upstream => Poll::Pending,
        };
        let Poll::Ready(received) = received else { return None };
        self.last = side;
        Some(received.map(|()| side))
    }

    /// Takes it apart. What still waits for the upstream is not sent: its connection is there to be closed, and nothing else.
    pub fn part(self) -> (Side<C>, U) {
        (self.client, self.upstream.stream)
    }
}
