//! Delivering our own security events to those who listen, by push (RFC 8935). What the receiver does not acknowledge stays
//! in the store, and is sent again.

use std::time::Duration;

use kernel::secret::Secret;

use crate::upstream::fetch::{Answer, FetchError, Fetcher, Location};

/// How long a receiver may take to acknowledge.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer, in bytes.
const LONGEST: usize = 64 * 1024;

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// The receiver has it.
    Acknowledged,
    /// The receiver refuses it: sending it again would not help.
    Refused,
    /// It is to be sent again: the receiver is gone, busy, or does not know us at the moment.
    Later {
        /// Why, for the log.
        why: String,
    },
}

/// Pushes one SET.
pub async fn push(
    fetcher: &Fetcher,
    location: &Location,
    authorization: Option<&Secret<String>>,
    set: &str,
) -> Delivered {
    let body = set.to_owned().into();
    let posted = fetcher.post(location, "application/secevent+jwt", authorization, body, LONGEST, PATIENCE).await;
    match posted {
        Ok(Answer { status: 200..=299, .. }) => Delivered::Acknowledged,
        // RFC 8935, section 2.3: the event itself is at fault.
        Ok(Answer { status: 400, .. }) => Delivered::Refused,
        Ok(Answer { status, .. }) => Delivered::Later { why: format!("status {status}") },
        Err(error) => Delivered::Later { why: FetchError::to_string(&error) },
    }
}
