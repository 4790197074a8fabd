//! Taking a security event: verified, mapped, made effective, and only then acknowledged. The same way for what is pushed to
//! the gateway and for what it polls.

use std::fmt;
use std::sync::Arc;

use kernel::ports::PortFuture;
use kernel::signal::SecurityEvent;
use kernel::workload::Name;

use crate::login::security_event::{SetRefusal, Streams};

/// The event's effects could not be made durable; it must come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event could not be made effective")]
pub struct NotTaken;

/// Why an event is not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// The other side is at fault, or its keys cannot be had.
    #[error(transparent)]
    Refused(#[from] SetRefusal),
    /// We are.
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
}

impl ReceiveError {
    /// The error code of RFC 8935; none where the event should come again.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::NotTaken(_) => None,
        }
    }
}

/// Makes a verified event effective. When it resolves without an error, the effects are durable and published.
pub type Take = Arc<dyn Fn(SecurityEvent) -> PortFuture<'static, Result<(), NotTaken>> + Send + Sync>;

/// Notes that something was refused: by stream, with a reason that holds nothing of what came.
pub type Refuse = Arc<dyn Fn(Name, String) -> PortFuture<'static, ()> + Send + Sync>;

/// Takes events.
#[derive(Clone)]
pub struct Receiver {
    streams: Arc<Streams>,
    take: Take,
    refuse: Refuse,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("streams", &self.streams).finish_non_exhaustive()
    }
}

impl Receiver {
    /// Over streams, with what follows.
    pub fn new(streams: Arc<Streams>, take: Take, refuse: Refuse) -> Self {
        Self { streams, take, refuse }
    }

    /// Takes one SET that came by a stream. Without an error it may be acknowledged.
    pub async fn receive(&self, stream: &Name, set: &str) -> Result<(), ReceiveError> {
        match self.streams.verify(stream, set).await {
            Ok(event) => Ok((self.take)(event).await?),
            Err(refusal) => {
                tracing::warn!(%stream, %refusal, "a security event is refused");
                (self.refuse)(stream.clone(), refusal.to_string()).await;
                Err(refusal.into())
            }
        }
    }
}
