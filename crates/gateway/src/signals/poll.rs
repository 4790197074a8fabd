//! Fetching security events from a transmitter that does not push (RFC 8936), and asking any transmitter to prove that its
//! stream lives (SSF 1.0, section 8.1.4).
//!
//! What was taken is acknowledged with the next request, and what was refused is told; what could not be made durable is
//! neither, and comes again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kernel::ports::{Clock, PortFuture};
use kernel::workload::Name;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::receive::{ReceiveError, Receiver};
use crate::upstream::fetch::{Answer, FetchError, Fetcher, Location};
use crate::upstream::secret::SecretSource;

/// The most events of one answer.
const MOST: usize = 100;
/// The longest answer, in bytes.
const LONGEST: usize = 8 << 20;
/// How long an answer may take. The transmitter may hold a request that has nothing to tell for half of it.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pauses after failures: from the first to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How a stream is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    /// The stream.
    pub stream: Name,
    /// Where its events are polled; none for one that pushes.
    pub endpoint: Option<Location>,
    /// How often it is polled, where the transmitter answers at once.
    pub every: Duration,
    /// Where a verification event is asked for, and how often.
    pub verification: Option<(Location, Duration)>,
    /// The transmitter's id of the stream.
    pub stream_id: Option<String>,
    /// The bearer token that is shown to the transmitter.
    pub authorization: Option<SecretSource>,
}

/// Notes that a stream was asked to prove that it lives.
pub type NoteAsked = Arc<dyn Fn(Name) -> PortFuture<'static, ()> + Send + Sync>;

/// Asks a transmitter.
pub struct Poller {
    asking: Asking,
    fetcher: Fetcher,
    receiver: Receiver,
    clock: Arc<dyn Clock>,
    note_asked: NoteAsked,
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("asking", &self.asking).finish_non_exhaustive()
    }
}

/// What is sent to the transmitter (RFC 8936, section 2.2).
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    max_events: usize,
    return_immediately: bool,
    ack: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    set_errs: BTreeMap<String, SetError>,
}

#[derive(Debug, Serialize)]
struct SetError {
    err: &'static str,
    description: &'static str,
}

/// What comes back.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Polled {
    sets: BTreeMap<String, String>,
    #[serde(default)]
    more_available: bool,
}

/// Why a poll brought nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum PollError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the transmitter answers with status {0}")]
    Status(u16),
    #[error("the transmitter's answer is not that of RFC 8936")]
    Malformed,
    #[error("the token for the transmitter cannot be read")]
    Secret,
}

impl Poller {
    /// Asks one stream.
    pub fn new(
        asking: Asking,
        fetcher: Fetcher,
        receiver: Receiver,
        clock: Arc<dyn Clock>,
        note_asked: NoteAsked,
    ) -> Self {
        Self { asking, fetcher, receiver, clock, note_asked }
    }

    /// Polls for as long as the gateway runs. Never returns.
    pub async fn follow(&self) {
        let Some(endpoint) = &self.asking.endpoint else { return std::future::pending().await };
        let mut request = Request { max_events: MOST, ..Request::default() };
        let mut pause = PAUSES.0;
        loop {
            match self.poll(endpoint, &request).await {
                Ok(polled) => {
                    pause = PAUSES.0;
                    let more = polled.more_available;
                    request = self.take(polled).await;
                    // What was taken is acknowledged at once, so that it is not sent to another.
                    let pending = !request.ack.is_empty() || !request.set_errs.is_empty();
                    request.return_immediately = pending || more;
                    if !pending && !more {
                        tokio::time::sleep(self.asking.every).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(stream = %self.asking.stream, %error, "security events cannot be polled");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    /// Asks for a verification event at the start, and every so often. Never returns.
    pub async fn verify(&self) {
        let Some((location, every)) = &self.asking.verification else { return std::future::pending().await };
        loop {
            let state = format!("{:016x}", self.clock.random());
            let body = json!({ "stream_id": self.asking.stream_id, "state": state }).to_string();
            match self.post(location, body).await {
                Ok(Answer { status: 200..=204, .. }) => (self.note_asked)(self.asking.stream.clone()).await,
                Ok(Answer { status, .. }) => {
                    tracing::warn!(stream = %self.asking.stream, status, "a verification event is not given");
                }
                Err(error) => {
                    tracing::warn!(stream = %self.asking.stream, %error, "a verification event cannot be asked for");
                }
            }
            tokio::time::sleep(*every).await;
        }
    }

    async fn poll(&self, endpoint: &Location, request: &Request) -> Result<Polled, PollError> {
        let body = serde_json::to_string(request).map_err(|_| PollError::Malformed)?;
        let answer = self.post(endpoint, body).await?;
        match answer.status {
            200 | 202 => serde_json::from_slice(&answer.body).map_err(|_| PollError::Malformed),
            status => Err(PollError::Status(status)),
        }
    }

    async fn post(&self, location: &Location, body: String) -> Result<Answer, PollError> {
        let token = match &self.asking.authorization {
            Some(source) => Some(source.read().await.map_err(|_| PollError::Secret)?),
            None => None,
        };
        let posted = self.fetcher.post(location, "application/json", token.as_ref(), body.into(), LONGEST, PATIENCE);
        Ok(posted.await?)
    }

    /// Takes what came; the next request.
    async fn take(&self, polled: Polled) -> Request {
        let mut next = Request { max_events: MOST, ..Request::default() };
        for (id, set) in polled.sets.into_iter().take(MOST) {
            match self.receiver.receive(&self.asking.stream, &set).await {
                Ok(()) => next.ack.push(id),
                Err(error) => match error.code() {
                    Some(err) => {
                        next.set_errs.insert(id, SetError { err, description: "refused" });
                    }
                    None => {
                        let at_fault = matches!(error, ReceiveError::NotTaken(_));
                        tracing::error!(stream = %self.asking.stream, at_fault, "a security event must come again");
                    }
                },
            }
        }
        next
    }
}
