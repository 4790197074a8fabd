//! Proves a log from its first record to its last, or names the first that is wrong. Reads only, and works while a gateway
//! writes.

use std::io;
use std::path::Path;

use kernel::audit::{ChainHash, RecordFault, Verifier};

use super::head::{self, Head};
use super::lines::{Forwards, Line};
use super::segment::{self, Segment};

/// A log in which nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many records.
    pub entries: u64,
    /// The chain after them.
    pub chain: ChainHash,
    /// What the log itself says about how far it reached; never beyond `entries`.
    pub head: Head,
    /// Bytes after the last record that are not yet a record: one that is being written, or was cut off by a crash.
    pub unfinished: u64,
}

/// The first thing that is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {seq}, in `{file}` at byte {offset}: {why}")]
pub struct Tampered {
    /// The record, counted from 0.
    pub seq: u64,
    /// The file's name.
    pub file: String,
    /// Where the record begins in the file, in bytes.
    pub offset: u64,
    /// What is wrong.
    pub why: Why,
}

/// What can be wrong with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// The record itself.
    #[error(transparent)]
    Record(#[from] RecordFault),
    /// The record has no end, though the log had reached beyond it.
    #[error("the record is cut off")]
    CutOff,
    /// The segment that should begin here is missing, or a record before it.
    #[error("records are missing: the next file begins with record {next}")]
    Gap {
        /// What the next file begins with.
        next: u64,
    },
    /// The log ends before the head that it once had.
    #[error("the log ends here, and had {size} records once")]
    ShorterThanHead {
        /// How many records there once were.
        size: u64,
    },
    /// The records lead to another chain than the head says: they were all written anew.
    #[error("the record does not lead to the chain of the recorded head")]
    OtherChain,
    /// `head.json` is missing.
    #[error("the recorded head is missing")]
    NoHead,
    /// `head.json` is not what Parapet writes.
    #[error("the recorded head cannot be read")]
    UnreadableHead,
}

/// A log that does not verify, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Something is wrong with it.
    #[error(transparent)]
    Tampered(#[from] Tampered),
    /// The folder holds no log.
    #[error("there is no audit log in this folder")]
    NoLog,
    /// It cannot be read.
    #[error("the audit log cannot be read: {0}")]
    Unreadable(io::ErrorKind),
}

impl From<io::Error> for VerifyError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NoLog,
            kind => Self::Unreadable(kind),
        }
    }
}

/// Verifies the log in `dir`. Streams: memory stays below a hundred kilobytes whatever the log's size.
pub fn verify(dir: &Path) -> Result<Verified, VerifyError> {
    // The head is read first: a log that is being written may grow beyond it meanwhile, never fall behind it.
    let head = Head::load(dir)?;
    let segments = segment::list(dir)?;
    let head = match head {
        Some(Some(head)) => head,
        Some(None) => return Err(at_head(0, Why::UnreadableHead).into()),
        None if segments.is_empty() => return Err(VerifyError::NoLog),
        None => return Err(at_head(0, Why::NoHead).into()),
    };
    let mut walk = Walk { verifier: Verifier::default(), head, unfinished: 0 };
    for segment in &segments {
        if segment.first != walk.verifier.size() || walk.unfinished > 0 {
            let why = Why::Gap { next: segment.first };
            return Err(Tampered { seq: walk.verifier.size(), file: segment.name(), offset: 0, why }.into());
        }
        walk.segment(segment)?;
    }
    let entries = walk.verifier.size();
    if entries < head.size {
        let last = segments.last();
        let file = last.map_or_else(|| head::NAME.to_owned(), Segment::name);
        let offset = last.map_or(Ok(0), |last| std::fs::metadata(&last.path).map(|meta| meta.len()))?;
        return Err(Tampered { seq: entries, file, offset, why: Why::ShorterThanHead { size: head.size } }.into());
    }
    Ok(Verified { entries, chain: walk.verifier.chain(), head, unfinished: walk.unfinished })
}

fn at_head(seq: u64, why: Why) -> Tampered {
    Tampered { seq, file: head::NAME.to_owned(), offset: 0, why }
}

struct Walk {
    verifier: Verifier,
    head: Head,
    unfinished: u64,
}

impl Walk {
    fn segment(&mut self, segment: &Segment) -> Result<(), VerifyError> {
        let mut lines = Forwards::open(&segment.path, 0)?;
        loop {
            self.compare_with_head(segment)?;
            let offset = lines.offset();
            let fault = match lines.next()? {
                None => return Ok(()),
                Some(Line::Whole(line)) => match self.verifier.accept(line) {
                    Ok(_) => continue,
                    Err(fault) => Why::Record(fault),
                },
                // Beyond the head it may be a record that is being written.
                Some(Line::Unfinished(rest)) if self.verifier.size() >= self.head.size => {
                    self.unfinished = rest.len() as u64;
                    return Ok(());
                }
                Some(Line::Reserved) => match lines.begun()? {
                    0 => return Ok(()),
                    begun if self.verifier.size() >= self.head.size => {
                        self.unfinished = begun;
                        return Ok(());
                    }
                    _ => Why::CutOff,
                },
                Some(Line::Unfinished(_)) => Why::CutOff,
                Some(Line::TooLong) => Why::Record(RecordFault::Unreadable),
            };
            return Err(Tampered { seq: self.verifier.size(), file: segment.name(), offset, why: fault }.into());
        }
    }

    fn compare_with_head(&self, segment: &Segment) -> Result<(), Tampered> {
        if self.verifier.size() == self.head.size && self.verifier.chain() != self.head.chain {
            let seq = self.head.size.saturating_sub(1);
            return Err(Tampered { seq, file: segment.name(), offset: 0, why: Why::OtherChain });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
