//! The audit log's form: what an entry says, how entries are chained, and the one way from a verdict to a receipt.
//!
//! The leaf (an entry's canonical bytes and their hash) is kept apart from how and where a log stores it.

mod batch;
mod body;
mod chain;
mod enter;
mod entry;
mod like;
mod record;
mod verify;

pub use batch::{Batch, Pending};
pub use body::{DecisionBody, VerdictSummary, decision_body};
pub use chain::{ChainHash, leaf_hash, next_chain_hash};
pub use enter::Entered;
pub use entry::{Entry, Event};
pub use like::{expand, full_permit, like, unexpanded};
pub use record::{LONGEST_ENTRY, LONGEST_RECORD, Record, parse_chain, write_record};
pub use verify::{RecordFault, Verifier};

/// The position of a leaf in the log, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct LeafIndex(pub u64);

/// Why entries could not be appended. The request that they are about must then fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The log cannot be written: disk full, permission, or a failed device.
    #[error("the audit log cannot be written")]
    Unwritable,
    /// The log did not answer before the deadline.
    #[error("the audit log did not answer in time")]
    TimedOut,
    /// An entry is longer than a leaf may be.
    #[error("an audit entry is longer than 65535 bytes")]
    TooLong,
}
