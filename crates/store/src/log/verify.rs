//! Proves a log from its first record to its last, or names the first that is wrong: by the chain, by the head that the folder
//! keeps, and by the signed heads that it leads to. Reads only, and works while a gateway writes.

use std::io;
use std::path::Path;

use kernel::audit::tree::Frontier;
use kernel::audit::{ChainHash, Checkpoint, NoteError, RecordFault, TreeHash, Verifier, VerifierKey};

use super::hashes::Hashes;
use super::head::{self, Head};
use super::lines::{Forwards, Line};
use super::locate::{From as FromRecord, chain_after};
use super::seal::{self, CHECKPOINT, COSIGNED, SealError, read_checkpoint};
use super::segment::{self, Segment};

/// What a log must agree with, besides itself.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// The keys that are trusted to sign its heads, and those of witnesses. Without any: those that the folder itself names.
    pub keys: Vec<VerifierKey>,
    /// Heads of the same log that were kept elsewhere.
    pub known: Vec<Checkpoint>,
    /// The first record to look at; those before are taken for what the signed tree says.
    pub first: u64,
    /// The record to end before.
    pub end: Option<u64>,
}

/// A log in which nothing is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many records.
    pub entries: u64,
    /// The chain after them.
    pub chain: ChainHash,
    /// What the log itself says about how far it reached; never beyond `entries`.
    pub head: Head,
    /// The first record that was looked at.
    pub first: u64,
    /// The root of the tree over the entries.
    pub root: TreeHash,
    /// The signed head that it leads to; none if the folder has none.
    pub signed: Option<Checkpoint>,
    /// Who signed that head, with the time for witnesses.
    pub signed_by: Vec<String>,
    /// Sizes of the heads kept elsewhere that are beginnings of this log.
    pub consistent_with: Vec<u64>,
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
    /// The signed head in the folder.
    #[error("the signed head: {0}")]
    Checkpoint(NoteError),
    /// Keys were given, and no signed head is there.
    #[error("there is no signed head")]
    NoCheckpoint,
    /// The log ends before a head that was signed once.
    #[error("the log ends here, and {size} records of it were signed once")]
    ShorterThanCheckpoint {
        /// How many were signed.
        size: u64,
    },
    /// The records do not lead to a head that was signed once: they were written anew, or are another log's.
    #[error("the records do not lead to the head that was signed over the first {size}")]
    OtherTree {
        /// How many were signed.
        size: u64,
    },
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

impl From<SealError> for VerifyError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Unusable(error) => error.into(),
            SealError::Tampered(tampered) => tampered.into(),
        }
    }
}

/// Verifies the log in `dir`. Streams: memory stays below a hundred kilobytes whatever the log's size.
pub fn verify(dir: &Path) -> Result<Verified, VerifyError> {
    verify_as(dir, &Expected::default())
}

/// Verifies the log in `dir`, or a range of it, against what was kept elsewhere.
pub fn verify_as(dir: &Path, expected: &Expected) -> Result<Verified, VerifyError> {
    // Heads are read first: a log that is being written may grow beyond them meanwhile, never fall behind them.
    let signed = signed(dir, expected)?;
    let head = Head::load(dir)?;
    let segments = segment::list(dir)?;
    let head = match head {
        Some(Some(head)) => head,
        Some(None) => return Err(at_head(0, Why::UnreadableHead).into()),
        None if segments.is_empty() => return Err(VerifyError::NoLog),
        None => return Err(at_head(0, Why::NoHead).into()),
    };
    let mut known: Vec<(Checkpoint, bool)> = expected.known.iter().map(|known| (known.clone(), true)).collect();
    known.extend(signed.heads.iter().map(|head| (head.clone(), false)));
    let mut walk = Walk::begin(dir, &segments, head, known, expected)?;
    let from = walk.from;
    for segment in segments.iter().filter(|segment| segment.first >= from) {
        if walk.over() {
            break;
        }
        if (segment.first != walk.verifier.size() && segment.first != from) || walk.unfinished > 0 {
            let why = Why::Gap { next: segment.first };
            return Err(Tampered { seq: walk.verifier.size(), file: segment.name(), offset: 0, why }.into());
        }
        walk.segment(segment)?;
    }
    walk.finish(&segments, signed)
}

/// The signed heads of a folder.
struct SignedHeads {
    heads: Vec<Checkpoint>,
    by: Vec<String>,
}

fn signed(dir: &Path, expected: &Expected) -> Result<SignedHeads, VerifyError> {
    let own = seal::read_keys(dir)?;
    let keys = if expected.keys.is_empty() { &own } else { &expected.keys };
    let newest = read_checkpoint(dir, CHECKPOINT, keys)?;
    if newest.is_none() && !expected.keys.is_empty() {
        return Err(Tampered { seq: 0, file: CHECKPOINT.to_owned(), offset: 0, why: Why::NoCheckpoint }.into());
    }
    let cosigned = read_checkpoint(dir, COSIGNED, keys)?;
    let mut by = Vec::new();
    for (_, note) in [&newest, &cosigned].into_iter().flatten() {
        for signed in note.verify(keys).map_err(|why| seal::bad_checkpoint(CHECKPOINT, why))? {
            let who = match signed.at {
                Some(at) => format!("{} at {at}", signed.key.name()),
                None => signed.key.name().to_owned(),
            };
            if !by.contains(&who) {
                by.push(who);
            }
        }
    }
    Ok(SignedHeads { heads: [newest, cosigned].into_iter().flatten().map(|(head, _)| head).collect(), by })
}

fn at_head(seq: u64, why: Why) -> Tampered {
    Tampered { seq, file: head::NAME.to_owned(), offset: 0, why }
}

struct Walk<'w> {
    dir: &'w Path,
    verifier: Verifier,
    frontier: Frontier,
    /// Heads to be compared with, and whether they were kept elsewhere.
    known: Vec<(Checkpoint, bool)>,
    consistent: Vec<u64>,
    head: Head,
    first: u64,
    /// The first record of the segment to begin with.
    from: u64,
    /// Where in it.
    offset: u64,
    end: Option<u64>,
    unfinished: u64,
}

impl<'w> Walk<'w> {
    fn begin(
        dir: &'w Path,
        segments: &[Segment],
        head: Head,
        known: Vec<(Checkpoint, bool)>,
        expected: &Expected,
    ) -> Result<Self, VerifyError> {
        let first = expected.first;
        let mut walk = Self {
            dir,
            verifier: Verifier::default(),
            frontier: Frontier::default(),
            known,
            consistent: Vec::new(),
            head,
            first,
            from: 0,
            offset: 0,
            end: expected.end,
            unfinished: 0,
        };
        if first > 0 {
            // The tree's own hashes stand for what is before. They are right if a signed head is reached over them.
            let place = super::locate::locate(segments, first)?;
            let missing = || Tampered { seq: first, file: head::NAME.to_owned(), offset: 0, why: Why::CutOff };
            let place = place.ok_or_else(missing)?;
            let chain = chain_after(segments, first)?.ok_or_else(missing)?;
            walk.frontier = kernel::audit::tree::frontier(&Hashes::of(dir), first)?;
            walk.verifier = Verifier::after(first, chain);
            walk.from = segments.get(place.segment).map_or(0, |segment| segment.first);
            walk.offset = place.offset;
        }
        walk.compare_with_signed("")?;
        Ok(walk)
    }

    fn over(&self) -> bool {
        self.end.is_some_and(|end| self.verifier.size() >= end)
    }

    fn segment(&mut self, segment: &Segment) -> Result<(), VerifyError> {
        let mut lines = Forwards::open(&segment.path, std::mem::take(&mut self.offset))?;
        let name = segment.name();
        loop {
            self.compare_with_head(segment)?;
            if self.over() {
                return Ok(());
            }
            let offset = lines.offset();
            let fault = match lines.next()? {
                None => return Ok(()),
                Some(Line::Whole(line)) => match self.verifier.accept(line) {
                    Ok((_, leaf)) => {
                        self.frontier.push(TreeHash(leaf));
                        self.compare_with_signed(&name)?;
                        continue;
                    }
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
            return Err(Tampered { seq: self.verifier.size(), file: name, offset, why: fault }.into());
        }
    }

    fn compare_with_head(&self, segment: &Segment) -> Result<(), Tampered> {
        if self.verifier.size() == self.head.size && self.verifier.chain() != self.head.chain {
            let seq = self.head.size.saturating_sub(1);
            return Err(Tampered { seq, file: segment.name(), offset: 0, why: Why::OtherChain });
        }
        Ok(())
    }

    fn compare_with_signed(&mut self, file: &str) -> Result<(), Tampered> {
        let size = self.frontier.size();
        // Two or three comparisons a record, and a root only where one was signed.
        if self.known.iter().all(|(known, _)| known.size != size) {
            return Ok(());
        }
        let root = self.frontier.root();
        for (known, elsewhere) in self.known.iter().filter(|(known, _)| known.size == size) {
            if known.root != root {
                let seq = self.first_other_leaf(size).unwrap_or(size.saturating_sub(1));
                return Err(Tampered { seq, file: file.to_owned(), offset: 0, why: Why::OtherTree { size } });
            }
            if *elsewhere {
                self.consistent.push(size);
            }
        }
        Ok(())
    }

    /// The records were written anew, chain and all. The tree's own hashes, if they are still those that were signed, name the
    /// first that is another.
    fn first_other_leaf(&self, size: u64) -> Option<u64> {
        let segments = segment::list(self.dir).ok()?;
        let mut lines = FromRecord::record(&segments, self.first).ok()??;
        let mut seq = self.first;
        while seq < size {
            let count = (size - seq).min(4096);
            for kept in Hashes::of(self.dir).read(0, seq, count).ok()? {
                let record = kernel::audit::Record::parse(lines.next().ok()??)?;
                if seal::leaf(record.entry) != kept {
                    return Some(seq);
                }
                seq += 1;
            }
        }
        None
    }

    fn finish(self, segments: &[Segment], signed: SignedHeads) -> Result<Verified, VerifyError> {
        let entries = self.verifier.size();
        let at_end = |why: Why| -> Result<Tampered, io::Error> {
            let last = segments.last();
            let file = last.map_or_else(|| head::NAME.to_owned(), Segment::name);
            let offset = last.map_or(Ok(0), |last| std::fs::metadata(&last.path).map(|meta| meta.len()))?;
            Ok(Tampered { seq: entries, file, offset, why })
        };
        if !self.over() {
            if entries < self.head.size {
                return Err(at_end(Why::ShorterThanHead { size: self.head.size })?.into());
            }
            if let Some((known, _)) = self.known.iter().find(|(known, _)| known.size > entries) {
                return Err(at_end(Why::ShorterThanCheckpoint { size: known.size })?.into());
            }
        }
        // Of one log there is one name.
        let mut origins = self.known.iter().map(|(known, _)| &known.origin);
        if let Some(first) = origins.next()
            && origins.any(|origin| origin != first)
        {
            return Err(at_end(Why::Checkpoint(NoteError::UnknownKeys))?.into());
        }
        Ok(Verified {
            entries,
            chain: self.verifier.chain(),
            head: self.head,
            first: self.first,
            root: self.frontier.root(),
            signed: signed.heads.into_iter().next(),
            signed_by: signed.by,
            consistent_with: self.consistent,
            unfinished: self.unfinished,
        })
    }
}

#[cfg(test)]
mod tests;
