//! Verifies a log record by record, from nothing or from a known point. Reads no files: the caller brings the lines.

use crate::audit::record::Record;
use crate::audit::{ChainHash, LeafIndex, leaf_hash, next_chain_hash};

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// The line is no record.
    #[error("the line is not a record of the log")]
    Unreadable,
    /// Another record stands here: one is missing, doubled or out of order.
    #[error("record {found} stands where {expected} belongs: one is missing, doubled or out of order")]
    OutOfSequence {
        /// The sequence that belongs here.
        expected: u64,
        /// The one that the line claims.
        found: u64,
    },
    /// The chain does not lead to it: the entry or its hash was changed.
    #[error("the record was changed: its entry does not lead from the record before to its chain hash")]
    Changed,
    /// The entry is no JSON.
    #[error("the entry is not JSON")]
    NotJson,
}

/// Where a verification stands: how many records were good, and the chain after them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verifier {
    next: u64,
    chain: ChainHash,
}

impl Verifier {
    /// Continues after `size` records whose chain is `chain`. `Verifier::default()` begins at the first record.
    pub fn after(size: u64, chain: ChainHash) -> Self {
        Self { next: size, chain }
    }

    /// How many records stand before the next one.
    pub fn size(&self) -> u64 {
        self.next
    }

    /// The chain so far.
    pub fn chain(&self) -> ChainHash {
        self.chain
    }

    /// Takes the next line, without its newline. After a fault the verifier stands where it stood.
    pub fn accept<'a>(&mut self, line: &'a [u8]) -> Result<(Record<'a>, [u8; 32]), RecordFault> {
        let before = *self;
        let (record, leaf) = self.accept_leaf(line)?;
        // The chain proves that the bytes are those that were written, not that they say anything.
        if serde_json::from_slice::<serde::de::IgnoredAny>(record.entry).is_err() {
            *self = before;
            return Err(RecordFault::NotJson);
        }
        Ok((record, leaf))
    }

    /// As `accept`, without looking at what the entry says. With the record comes its leaf's hash.
    pub fn accept_leaf<'a>(&mut self, line: &'a [u8]) -> Result<(Record<'a>, [u8; 32]), RecordFault> {
        let record = Record::parse(line).ok_or(RecordFault::Unreadable)?;
        if record.seq != LeafIndex(self.next) {
            return Err(RecordFault::OutOfSequence { expected: self.next, found: record.seq.0 });
        }
        let leaf = leaf_hash(record.entry);
        let chain = next_chain_hash(&self.chain, &leaf);
        if chain != record.chain {
            return Err(RecordFault::Changed);
        }
        self.chain = chain;
        self.next = self.next.saturating_add(1);
        Ok((record, leaf))
    }
}

#[cfg(test)]
mod tests;
