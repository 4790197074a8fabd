//! The audit log's form: what an entry says, how entries are chained, and the one way from a verdict to a receipt.
//!
//! The leaf (an entry's canonical bytes and their hash) is kept apart from how and where a log stores it. Over the leaves
//! stands a Merkle tree (`tree.rs`), whose heads are signed (`note.rs`, `checkpoint.rs`) and read by tiles (`tile.rs`).

mod batch;
mod body;
mod chain;
mod checkpoint;
mod content;
mod enter;
mod entry;
mod export;
mod like;
mod note;
mod record;
mod tile;
pub mod tree;
mod verify;

pub use batch::{Batch, Part, PartContent, Pending};
pub use body::{About, DecisionBody, VerdictSummary, decision_body};
pub use chain::{ChainHash, leaf_hash, next_chain_hash};
pub use checkpoint::{Checkpoint, ProofError, ProofFile, decimal, hash_text, parse_hash};
pub use content::{Committed, ContentOf, commit, commitment, restore};
pub use enter::Entered;
pub use entry::{Answered, Entry, Event, Exchange, Kept};
pub use export::{EXPORT_SCHEMA, ExportFault, ExportHeader, ExportProved, ExportVerifier};
pub use like::{expand, full_permit, like, unexpanded};
pub use note::{InvalidKey, KeyUse, Note, NoteError, Signature, Signed, SignerKey, VerifierKey, parse_signatures};
pub use record::{LONGEST_ENTRY, LONGEST_RECORD, Record, parse_chain, write_record};
pub use tile::{TILE_WIDTH, TilePath, complete_root, push_to_bundle};
pub use tree::TreeHash;
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
