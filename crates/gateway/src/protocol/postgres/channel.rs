//! One message at a time, for the phases in which a connection is opened: before the relay takes over.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use wire::postgres::frame::{self, Framing};

/// A connection that is being opened, with what was read ahead.
#[derive(Debug)]
pub(super) struct Channel<S> {
    stream: S,
    buffer: Vec<u8>,
}

/// Why no message came.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChannelError {
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    Closed,
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// What came is no message, or too long for this phase.
    #[error("the peer sent something that is no message")]
    Malformed,
    /// Nothing came in time.
    #[error("the peer did not answer in time")]
    TimedOut,
}

/// A message's tag and body.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) tag: u8,
    pub(super) body: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Channel<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// A connection from which something was read ahead.
    pub(super) fn with_read_ahead(stream: S, buffer: Vec<u8>) -> Self {
        Self { stream, buffer }
    }

    /// The stream, and what was read ahead.
    pub(super) fn into_parts(self) -> (S, Vec<u8>) {
        (self.stream, self.buffer)
    }

    /// Reads the next message, of at most `cap` bytes, within `patience`.
    pub(super) async fn receive(&mut self, cap: u32, patience: Duration) -> Result<Message, ChannelError> {
        tokio::time::timeout(patience, self.receive_at_leisure(cap)).await.map_err(|_elapsed| ChannelError::TimedOut)?
    }

    async fn receive_at_leisure(&mut self, cap: u32) -> Result<Message, ChannelError> {
        loop {
            match frame::frame(&self.buffer, cap) {
                Framing::Complete(frame) => {
                    let message = Message { tag: frame.tag, body: frame.body.to_vec() };
                    let total = frame.whole.len();
                    self.buffer.drain(..total);
                    return Ok(message);
                }
                Framing::Incomplete { .. } => {}
                Framing::Malformed(_) => return Err(ChannelError::Malformed),
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(ChannelError::Closed);
            }
        }
    }

    /// Sends bytes, within `patience`.
    pub(super) async fn send(&mut self, bytes: &[u8], patience: Duration) -> Result<(), ChannelError> {
        let send = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        tokio::time::timeout(patience, send).await.map_err(|_elapsed| ChannelError::TimedOut)?.map_err(ChannelError::Io)
    }
}
