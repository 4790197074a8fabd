//! What is true around an operation: where it comes from, when, and what the session has done so far.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::provenance::Provenance;
use crate::task::{Left, Task};
use crate::time::Timestamp;

/// What a session has done so far. Policies see the counters rounded down to 1, 2 or 5 times a power of ten (see
/// [`rounded`]), so that a verdict is computed anew only when a counter has grown by much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SessionHistory {
    /// Rows that left towards the client.
    pub rows_read: u64,
    /// Bytes that left towards the client.
    pub bytes_read: u64,
    /// Requests that were decided.
    pub decisions: u64,
    /// Requests that were denied.
    pub denials: u64,
}

/// What is true around an operation.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// When it is judged.
    pub now: Timestamp,
    /// The client's address.
    pub source: IpAddr,
    /// Threat lists that name the address.
    pub threats: Arc<BTreeSet<Arc<str>>>,
    /// Threat lists that are too old: whether they name the address is not known for sure.
    pub stale: Arc<BTreeSet<Arc<str>>>,
    /// Does TLS protect the client's connection?
    pub tls: bool,
    /// Is a transaction open at the upstream?
    pub in_transaction: bool,
    /// What the session has done so far.
    pub session: SessionHistory,
    /// From what run the session comes, and for what task; none where nothing is known of it.
    pub provenance: Option<Arc<Provenance>>,
    /// What is left of the task's limits.
    pub left: Left,
}

impl Circumstances {
    /// Those of a session that begins: nothing has happened yet, and nothing is known of where it comes from.
    pub fn beginning(now: Timestamp, source: IpAddr, tls: bool) -> Self {
        Self {
            now,
            source,
            threats: Arc::default(),
            stale: Arc::default(),
            tls,
            in_transaction: false,
            session: SessionHistory::default(),
            provenance: None,
            left: Left::default(),
        }
    }

    /// The same under these threat lists.
    #[must_use]
    pub fn under(self, threats: &crate::threats::Threats) -> Self {
        let (naming, stale) = (threats.naming(self.source), Arc::clone(threats.stale()));
        Self { threats: naming, stale, ..self }
    }

    /// The task of the session.
    pub fn task(&self) -> Option<&Arc<Task>> {
        self.provenance.as_ref()?.task.as_ref()
    }
}

/// The largest of 0, 1, 2, 5, 10, 20, 50, 100, … that is not above `count`.
pub const fn rounded(count: u64) -> u64 {
    if count == 0 {
        return 0;
    }
    let magnitude = 10u64.pow(count.ilog10());
    match count / magnitude {
        5.. => 5 * magnitude,
        2..5 => 2 * magnitude,
        _ => magnitude,
    }
}

/// The next value at which [`rounded`] changes.
pub const fn next_step(count: u64) -> u64 {
    if count == 0 {
        return 1;
    }
    let magnitude = 10u64.pow(count.ilog10());
    match count / magnitude {
        5.. => magnitude.saturating_mul(10),
        2..5 => magnitude.saturating_mul(5),
        _ => magnitude.saturating_mul(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_move_in_steps() {
        for (count, down, next) in [
            (0, 0, 1),
            (1, 1, 2),
            (4, 2, 5),
            (5, 5, 10),
            (9, 5, 10),
            (10, 10, 20),
            (99_999, 50_000, 100_000),
            (100_000, 100_000, 200_000),
            (u64::MAX, 10_000_000_000_000_000_000, u64::MAX),
        ] {
            assert_eq!(rounded(count), down, "{count}");
            assert_eq!(next_step(count), next, "{count}");
        }
    }
}
