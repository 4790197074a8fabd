//! Opens a log for writing: takes the lock, proves the last segment, and puts a torn last record aside.
//!
//! A crash of the process tears nothing that was acknowledged; a crash of the machine can tear what was written after the
//! recorded head, and leave zeros where pages did not reach the disk. So beyond the head a last record may be bad, or all
//! that follows if there are zeros in it. Any other bad record is an error, and nothing is written.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kernel::audit::{ChainHash, LONGEST_RECORD, Record, RecordFault, Verifier};
use kernel::time::Timestamp;

use super::head::{self, Head};
use super::lines::{Backwards, Forwards, Line, used};
use super::seal::SealError;
use super::segment::{self, Segment, sync_dir};
use super::verify::{Tampered, Why};

/// What was found on opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// How many records the log holds.
    pub entries: u64,
    /// A last record that was cut off, if there was one; the caller enters a note about it.
    pub torn: Option<Torn>,
    /// Records without `head.json`, which was written anew; the caller enters a note about it.
    pub head_was_missing: bool,
}

/// A torn record that was cut off the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The sequence that it would have had, and that the next record gets.
    pub seq: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Where they are now.
    pub kept_in: PathBuf,
}

/// Why a log cannot be opened for writing.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes it.
    #[error("another process writes this audit log")]
    Locked,
    /// It is not as it was written.
    #[error("the audit log was tampered with: {0}")]
    Tampered(#[from] Tampered),
    /// The folder or a file in it cannot be used.
    #[error("the audit log's folder cannot be used: {0}")]
    Unusable(io::ErrorKind),
}

impl From<SealError> for OpenError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Unusable(error) => error.into(),
            SealError::Tampered(tampered) => tampered.into(),
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Unusable(error.kind())
    }
}

/// A log that is ready to be appended to.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) file: File,
    pub(super) length: u64,
    pub(super) size: u64,
    pub(super) chain: ChainHash,
    /// When the head was recorded that was there, if one was.
    pub(super) last_head: Option<Timestamp>,
    pub(super) opened: Opened,
}

/// Takes the folder for this process, making it if need be. The lock ends with the file. Blocks for at most half a second.
pub(super) fn lock(dir: &Path) -> Result<File, OpenError> {
    // Entries name people and statements: nobody else on the machine reads them.
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(dir.join("lock"))?;
    // A process that ends, or a child between fork and exec, holds the lock for a moment longer.
    for _ in 0..20 {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(25)),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
    Err(OpenError::Locked)
}

/// Recovers the log of a locked folder. Reads the last segment and the last record of the one before.
pub(super) fn recover(dir: &Path, now: Timestamp) -> Result<Ready, OpenError> {
    let segments = segment::list(dir)?;
    let stored = Head::load(dir)?;
    let empty = Head { size: 0, chain: ChainHash::default(), at: now };
    let head = match stored {
        Some(Some(head)) => head,
        Some(None) => return Err(fault(0, head::NAME.to_owned(), 0, Why::UnreadableHead)),
        None => empty,
    };
    let Some(last) = segments.last() else {
        if head.size > 0 {
            return Err(fault(0, head::NAME.to_owned(), 0, Why::ShorterThanHead { size: head.size }));
        }
        // The head comes first: segments without one are suspicious.
        empty.store(dir)?;
        let file = create_segment(dir, 0)?;
        sync_dir(dir)?;
        let opened = Opened { entries: 0, torn: None, head_was_missing: false };
        return Ok(Ready { file, length: 0, size: 0, chain: empty.chain, last_head: None, opened });
    };
    let before = segments.len().checked_sub(2).and_then(|index| segments.get(index));
    let mut verifier = start_of(last, before)?;
    let (length, bad) = walk(last, &mut verifier, &head)?;
    if verifier.size() < head.size {
        let why = bad.unwrap_or(Why::ShorterThanHead { size: head.size });
        return Err(fault(verifier.size(), last.name(), length, why));
    }
    let torn = bad.map(|why| put_aside(dir, last, verifier.size(), length, why)).transpose()?;
    let file = OpenOptions::new().read(true).write(true).open(&last.path)?;
    // What was reserved and not used.
    file.set_len(length)?;
    // The process that wrote them may have died before it forced them to the disk; the head must not run ahead.
    if let Some(before) = before {
        File::open(&before.path)?.sync_data()?;
    }
    file.sync_data()?;
    Head { size: verifier.size(), chain: verifier.chain(), at: now }.store(dir)?;
    let opened = Opened { entries: verifier.size(), torn, head_was_missing: stored.is_none() };
    let last_head = stored.flatten().map(|head| head.at);
    Ok(Ready { file, length, size: verifier.size(), chain: verifier.chain(), last_head, opened })
}

/// Makes a new, empty segment. It must not exist. Its name is durable after the next `sync_dir`.
pub(super) fn create_segment(dir: &Path, first: u64) -> io::Result<File> {
    let path = Segment::new(dir, first).path;
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

fn fault(seq: u64, file: String, offset: u64, why: Why) -> OpenError {
    OpenError::Tampered(Tampered { seq, file, offset, why })
}

/// A verifier at the first record of a segment, by the last record of the segment before.
fn start_of(segment: &Segment, before: Option<&Segment>) -> Result<Verifier, OpenError> {
    let Some(before) = before else {
        return match segment.first {
            0 => Ok(Verifier::default()),
            next => Err(fault(0, segment.name(), 0, Why::Gap { next })),
        };
    };
    let unreadable = || fault(segment.first.saturating_sub(1), before.name(), 0, Why::Record(RecordFault::Unreadable));
    let line = Backwards::open(&before.path)?.next()?.ok_or_else(unreadable)?;
    let record = Record::parse(&line).ok_or_else(unreadable)?;
    if record.seq.0.checked_add(1) != Some(segment.first) {
        return Err(fault(record.seq.0.saturating_add(1), segment.name(), 0, Why::Gap { next: segment.first }));
    }
    Ok(Verifier::after(segment.first, record.chain))
}

/// Verifies a segment to its end, and says where its good records end, and why the next is bad if it is.
fn walk(segment: &Segment, verifier: &mut Verifier, head: &Head) -> Result<(u64, Option<Why>), OpenError> {
    let mut lines = Forwards::open(&segment.path, 0)?;
    loop {
        let offset = lines.offset();
        if verifier.size() == head.size && verifier.chain() != head.chain {
            return Err(fault(head.size.saturating_sub(1), segment.name(), offset, Why::OtherChain));
        }
        match lines.next()? {
            None => return Ok((offset, None)),
            Some(Line::Whole(line)) => {
                if let Err(fault) = verifier.accept(line) {
                    return Ok((offset, Some(Why::Record(fault))));
                }
            }
            Some(Line::Unfinished(_) | Line::TooLong) => return Ok((offset, Some(Why::CutOff))),
            Some(Line::Reserved) => {
                let begun = lines.begun()? > 0;
                return Ok((offset, begun.then_some(Why::CutOff)));
            }
        }
    }
}

/// Moves the bad end of a segment to a file of its own. If it is more than a single record, there must be zeros in it, as
/// where a page was lost: otherwise it was no accident.
fn put_aside(dir: &Path, segment: &Segment, seq: u64, offset: u64, why: Why) -> Result<Torn, OpenError> {
    let mut file = OpenOptions::new().read(true).write(true).open(&segment.path)?;
    file.seek(SeekFrom::Start(offset))?;
    // A segment is in bounds, so its end is.
    let mut rest = Vec::new();
    file.read_to_end(&mut rest)?;
    rest.truncate(used(&rest));
    let newline = rest.iter().position(|byte| *byte == b'\n');
    let several = rest.len() > LONGEST_RECORD + 1 || newline.is_some_and(|newline| newline + 1 != rest.len());
    if several && !rest.contains(&0) {
        return Err(fault(seq, segment.name(), offset, why));
    }
    let kept_in = (0..1000u32)
        .map(|attempt| dir.join(format!("{seq:020}-{attempt}.torn")))
        .find(|path| !path.exists())
        .ok_or(io::Error::from(io::ErrorKind::AlreadyExists))?;
    fs::write(&kept_in, &rest)?;
    File::open(&kept_in)?.sync_all()?;
    sync_dir(dir)?;
    file.set_len(offset)?;
    file.sync_all()?;
    Ok(Torn { seq, bytes: rest.len() as u64, kept_in })
}
