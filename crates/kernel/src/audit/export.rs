//! The self-contained export of a part of the log: a header line, then the records as they stand in the log. Verified from
//! its first byte to its last in one pass, without the log and without a network.
//!
//! The header holds the roots of the complete subtrees left and right of the part, so that its leaves lead to the root in the
//! signed checkpoint: none of them changed, none is missing between, and what stands before is what older checkpoints signed.

use serde::{Deserialize, Serialize};

use crate::audit::checkpoint::{Checkpoint, hash_text, parse_hash};
use crate::audit::note::{Note, NoteError, VerifierKey};
use crate::audit::tree::{Frontier, TreeHash, between};
use crate::audit::{ChainHash, RecordFault, Verifier, parse_chain};

/// The form that is written and read.
pub const EXPORT_SCHEMA: &str = "parapet.audit-export/v1";

/// The first line, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportHeader {
    /// [`EXPORT_SCHEMA`].
    pub schema: String,
    /// The sequence of the first record.
    pub first: u64,
    /// The sequence after the last record.
    pub end: u64,
    /// The chain before the first record, in hexadecimal: by it the first bad record is named.
    pub chain: String,
    /// Roots of the complete subtrees of the leaves before, from the left.
    pub left: Vec<String>,
    /// Roots of the complete subtrees of the leaves after, from the left, up to the checkpoint's size.
    pub right: Vec<String>,
    /// The log's keys as it says itself: whoever verifies brings the keys that they trust.
    pub keys: Vec<String>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

impl ExportHeader {
    /// Of records `first..end`, before which the chain is `chain`.
    pub fn new(
        (first, end): (u64, u64),
        chain: ChainHash,
        left: &Frontier,
        right: &[TreeHash],
        keys: &[VerifierKey],
        checkpoint: &Note,
    ) -> Self {
        Self {
            schema: EXPORT_SCHEMA.to_owned(),
            first,
            end,
            chain: chain.to_string(),
            left: left.subtrees().iter().map(hash_text).collect(),
            right: right.iter().map(hash_text).collect(),
            keys: keys.iter().map(ToString::to_string).collect(),
            checkpoint: checkpoint.to_string(),
        }
    }
}

/// Why an export proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportFault {
    /// The first line.
    #[error("the first line is not the header of an export")]
    Header,
    /// The checkpoint.
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] NoteError),
    /// A record.
    #[error("record {seq}: {fault}")]
    Record {
        /// Its sequence.
        seq: u64,
        /// What is wrong.
        fault: RecordFault,
    },
    /// The number of records is another.
    #[error("record {seq}: the export has records up to {end} by its header")]
    Number {
        /// The first that is missing, or is too many.
        seq: u64,
        /// Where the header says that it ends.
        end: u64,
    },
    /// An older checkpoint is not a beginning of this log.
    #[error("record {}: the log does not lead from the checkpoint of size {size}: another history was signed then", size.saturating_sub(1))]
    OtherHistory {
        /// The size of the older checkpoint.
        size: u64,
    },
    /// The records do not lead to the signed root.
    #[error("record {first}, or one after it: the records do not lead to the root that was signed")]
    OtherRoot {
        /// The first record of the export.
        first: u64,
    },
}

/// What an export proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportProved {
    /// The sequence of the first record.
    pub first: u64,
    /// The sequence after the last.
    pub end: u64,
    /// The signed head.
    pub checkpoint: Checkpoint,
    /// The names of the keys that signed, with the time for witnesses, as `name` or `name at time`.
    pub signed_by: Vec<String>,
    /// Sizes of the older checkpoints that are proved to be beginnings of this log.
    pub consistent_with: Vec<u64>,
}

/// Verifies an export line by line.
#[derive(Debug)]
pub struct ExportVerifier {
    header: ExportHeader,
    checkpoint: Checkpoint,
    signed_by: Vec<String>,
    known: Vec<Checkpoint>,
    consistent: Vec<u64>,
    verifier: Verifier,
    frontier: Frontier,
    right: Vec<TreeHash>,
}

impl ExportVerifier {
    /// Takes the header. `keys` are trusted; without any, those that the export itself names, which proves its integrity and
    /// not whose log it is. `known` are older checkpoints of the same log, to be proved its beginnings.
    pub fn begin(header: &str, keys: &[VerifierKey], known: Vec<Checkpoint>) -> Result<Self, ExportFault> {
        let header: ExportHeader = serde_json::from_str(header).map_err(|_| ExportFault::Header)?;
        let own: Result<Vec<VerifierKey>, _> = header.keys.iter().map(|key| key.parse()).collect();
        let own = own.map_err(|_| ExportFault::Header)?;
        let keys = if keys.is_empty() { &own } else { keys };
        let (checkpoint, note) = Checkpoint::open(&header.checkpoint, keys)?;
        let signed_by = note
            .verify(keys)?
            .iter()
            .map(|signed| match signed.at {
                Some(at) => format!("{} at {at}", signed.key.name()),
                None => signed.key.name().to_owned(),
            })
            .collect();
        let hashes = |texts: &[String]| texts.iter().map(|text| parse_hash(text)).collect::<Option<Vec<TreeHash>>>();
        let left = hashes(&header.left).and_then(|left| Frontier::of(header.first, left));
        let well_formed = header.schema == EXPORT_SCHEMA
            && header.first <= header.end
            && header.end <= checkpoint.size
            && header.right.len() == between(header.end, checkpoint.size).len();
        let (Some(frontier), Some(right), Some(chain), true) =
            (left, hashes(&header.right), parse_chain(header.chain.as_bytes()), well_formed)
        else {
            return Err(ExportFault::Header);
        };
        let mut begun = Self {
            verifier: Verifier::after(header.first, chain),
            header,
            checkpoint,
            signed_by,
            known,
            consistent: Vec::new(),
            frontier,
            right,
        };
        begun.compare()?;
        Ok(begun)
    }

    /// Takes the next record's line, without its newline.
    pub fn accept(&mut self, line: &[u8]) -> Result<(), ExportFault> {
        let seq = self.verifier.size();
        if seq >= self.header.end {
            return Err(ExportFault::Number { seq, end: self.header.end });
        }
        let (_, leaf) = self.verifier.accept(line).map_err(|fault| ExportFault::Record { seq, fault })?;
        self.frontier.push(TreeHash(leaf));
        self.compare()
    }

    /// An older checkpoint of exactly this size has this root, or the log is another.
    fn compare(&mut self) -> Result<(), ExportFault> {
        let size = self.frontier.size();
        if self.known.iter().all(|known| known.size != size) {
            return Ok(());
        }
        let root = self.frontier.root();
        for known in self.known.iter().filter(|known| known.size == size) {
            if known.root != root || known.origin != self.checkpoint.origin {
                return Err(ExportFault::OtherHistory { size });
            }
            self.consistent.push(size);
        }
        Ok(())
    }

    /// After the last record: does all of it lead to what was signed?
    pub fn finish(mut self) -> Result<ExportProved, ExportFault> {
        let seq = self.verifier.size();
        if seq != self.header.end {
            return Err(ExportFault::Number { seq, end: self.header.end });
        }
        for ((_, height), root) in between(seq, self.checkpoint.size).into_iter().zip(std::mem::take(&mut self.right)) {
            // Heights follow from the sizes, so that each fits.
            let _fits = self.frontier.push_subtree(height, root);
            self.compare()?;
        }
        if self.frontier.size() != self.checkpoint.size || self.frontier.root() != self.checkpoint.root {
            return Err(ExportFault::OtherRoot { first: self.header.first });
        }
        // One that is larger than the signed log is of a history that this log does not have.
        if let Some(known) = self.known.iter().find(|known| known.size > self.checkpoint.size) {
            return Err(ExportFault::OtherHistory { size: known.size });
        }
        Ok(ExportProved {
            first: self.header.first,
            end: self.header.end,
            checkpoint: self.checkpoint,
            signed_by: self.signed_by,
            consistent_with: self.consistent,
        })
    }
}

#[cfg(test)]
mod tests;
