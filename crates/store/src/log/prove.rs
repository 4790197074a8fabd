//! Proofs of a log in a folder, by the tree's hashes and the head that was signed last: that an entry stands in it, that it
//! goes on from an older head, a part of it as a file of its own, and its tiles. Reads only, and works while a gateway writes.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use kernel::audit::tree::{self, Nodes as _};
use kernel::audit::{
    ChainHash, Checkpoint, ExportHeader, Note, NoteError, ProofFile, Record, TILE_WIDTH, TilePath, TreeHash,
    VerifierKey, push_to_bundle,
};

use super::hashes::Hashes;
use super::locate::{From, chain_after};
use super::seal::{CHECKPOINT, COSIGNED, read_checkpoint, read_keys};
use super::segment;

/// Why something cannot be proved.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// No head was signed yet.
    #[error("no head of the log was signed yet")]
    NotSigned,
    /// The signed head in the folder.
    #[error("the signed head: {0}")]
    Checkpoint(NoteError),
    /// It is not under the signed head.
    #[error("the signed head has {size} entries, so that there is no {asked}")]
    Beyond {
        /// How many entries are signed.
        size: u64,
        /// What was asked for.
        asked: u64,
    },
    /// The records are not what was signed.
    #[error("the log is not what was signed; verify it")]
    Damaged,
    /// It cannot be read, or the export not written.
    #[error("the audit log cannot be read: {0}")]
    Unreadable(io::ErrorKind),
}

impl std::convert::From<io::Error> for ProveError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Self::Damaged,
            kind => Self::Unreadable(kind),
        }
    }
}

/// Proves what stands under one signed head.
#[derive(Debug)]
pub struct Prover {
    dir: PathBuf,
    checkpoint: Checkpoint,
    note: Note,
    hashes: Hashes,
}

impl Prover {
    /// Under the head that witnesses have signed, if that has at least `size` entries, and else under the last one.
    pub fn open(dir: &Path, size: u64) -> Result<Self, ProveError> {
        let keys = read_keys(dir)?;
        let read = |name: &str| {
            read_checkpoint(dir, name, &keys).map_err(|error| match error {
                super::seal::SealError::Unusable(error) => error.into(),
                super::seal::SealError::Tampered(_) => ProveError::Checkpoint(NoteError::Malformed),
            })
        };
        let cosigned = read(COSIGNED)?.filter(|(checkpoint, _)| size > 0 && checkpoint.size >= size);
        let (checkpoint, note) = match cosigned {
            Some(cosigned) => cosigned,
            None => read(CHECKPOINT)?.ok_or(ProveError::NotSigned)?,
        };
        Ok(Self { dir: dir.to_owned(), checkpoint, note, hashes: Hashes::of(dir) })
    }

    /// The signed head.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The signed head with its signatures.
    pub fn note(&self) -> &Note {
        &self.note
    }

    fn covers(&self, size: u64) -> Result<(), ProveError> {
        let signed = self.checkpoint.size;
        (size <= signed).then_some(()).ok_or(ProveError::Beyond { size: signed, asked: size })
    }

    /// The bytes of an entry.
    pub fn entry(&self, seq: u64) -> Result<Vec<u8>, ProveError> {
        self.record(seq).map(|(entry, _)| entry)
    }

    /// The bytes of an entry, and the chain that its record names. The chain is proved by no head.
    pub fn record(&self, seq: u64) -> Result<(Vec<u8>, ChainHash), ProveError> {
        self.covers(seq.saturating_add(1))?;
        let segments = segment::list(&self.dir)?;
        let mut lines = From::record(&segments, seq)?.ok_or(ProveError::Damaged)?;
        let record = lines.next()?.and_then(Record::parse).ok_or(ProveError::Damaged)?;
        Ok((record.entry.to_vec(), record.chain))
    }

    /// The public keys that the folder names. Whoever can write the folder can write them.
    pub fn keys(&self) -> Result<Vec<VerifierKey>, ProveError> {
        Ok(read_keys(&self.dir)?)
    }

    /// The proof that the entry at `seq` stands in the log, with the entry.
    pub fn inclusion(&self, seq: u64) -> Result<ProofFile, ProveError> {
        self.covers(seq.saturating_add(1))?;
        let path = tree::inclusion_proof(&self.hashes, seq, self.checkpoint.size)?;
        Ok(ProofFile { extra: Some(self.entry(seq)?), index: seq, path, checkpoint: self.note.clone() })
    }

    /// The proof that the log goes on from its first `old` entries.
    pub fn consistency(&self, old: u64) -> Result<Vec<TreeHash>, ProveError> {
        self.covers(old)?;
        Ok(tree::consistency_proof(&self.hashes, old, self.checkpoint.size)?)
    }

    /// Writes records `first..end` with all that proves them, in the form of `kernel::audit::ExportHeader`.
    pub fn export(&self, (first, end): (u64, u64), out: &mut dyn Write) -> Result<(), ProveError> {
        self.covers(end)?;
        self.covers(first)?;
        let segments = segment::list(&self.dir)?;
        let chain = chain_after(&segments, first)?.ok_or(ProveError::Damaged)?;
        let left = tree::frontier(&self.hashes, first)?;
        let right: io::Result<Vec<TreeHash>> = tree::between(end, self.checkpoint.size)
            .into_iter()
            .map(|(at, height)| self.hashes.node(height, at >> height))
            .collect();
        let keys = read_keys(&self.dir)?;
        let header = ExportHeader::new((first, end), chain, &left, &right?, &keys, &self.note);
        let header = serde_json::to_string(&header).map_err(|_| ProveError::Damaged)?;
        writeln!(out, "{header}")?;
        let mut lines = From::record(&segments, first)?;
        for _ in first..end {
            let line = lines.as_mut().ok_or(ProveError::Damaged)?.next()?.ok_or(ProveError::Damaged)?;
            out.write_all(line)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// A tile or a bundle of entries, by its path; `None` if this head has none there. A full tile answers for each part of it.
    pub fn tile(&self, path: TilePath) -> Result<Option<Vec<u8>>, ProveError> {
        if !path.exists(self.checkpoint.size) {
            return Ok(None);
        }
        match path {
            TilePath::Hashes { level, index, width } => {
                let hashes = self.hashes.read(u32::from(level), index * TILE_WIDTH, u64::from(width))?;
                Ok(Some(hashes.iter().flat_map(|hash| hash.0).collect()))
            }
            TilePath::Entries { index, width } => {
                let segments = segment::list(&self.dir)?;
                let mut lines = From::record(&segments, index * TILE_WIDTH)?.ok_or(ProveError::Damaged)?;
                let mut bundle = Vec::new();
                for _ in 0..width {
                    let record = lines.next()?.and_then(Record::parse).ok_or(ProveError::Damaged)?;
                    if !push_to_bundle(record.entry, &mut bundle) {
                        return Err(ProveError::Damaged);
                    }
                }
                Ok(Some(bundle))
            }
        }
    }
}

#[cfg(test)]
mod tests;
