//! The entries that short ones refer to: recent ones in bounded memory, any other by its time.
//!
//! The id of a decision says when it was made, and entries stand in the log nearly by their time, so that one is found by
//! halving. If the clock was set back meanwhile, the whole log is read. What is found is not verified: `verify.rs` does.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kernel::audit::{expand, full_permit, unexpanded};
use kernel::id::DecisionId;
use kernel::time::Timestamp;

use super::lines::{Forwards, Line};
use super::segment::Segment;

/// How far entries may stand from where their time says, for the quick way.
const BEFORE: i64 = 2_000;
const AFTER: Duration = Duration::from_secs(30);

/// Bytes between which is read rather than halved.
const NEAR: u64 = 256 * 1024;

/// Full entries of permits, and which decisions have none. Memory stays below a fixed number of bytes.
#[derive(Debug)]
pub(super) struct Referred {
    segments: Arc<[Segment]>,
    young: Generation,
    old: Generation,
    most: usize,
}

#[derive(Debug, Default)]
struct Generation {
    entries: HashMap<DecisionId, Option<Arc<[u8]>>>,
    bytes: usize,
}

/// The 24 characters of an entry's time, which sort as it does.
type At = [u8; 24];

impl Referred {
    /// Bytes of all entries that are kept. A body is a kilobyte or less, as a rule.
    const MOST: usize = 4 << 20;

    pub(super) fn new(segments: Arc<[Segment]>) -> Self {
        Self { segments, young: Generation::default(), old: Generation::default(), most: Self::MOST }
    }

    /// Keeps an entry that later ones may refer to.
    pub(super) fn note(&mut self, entry: &[u8]) {
        if let Some(decision) = full_permit(entry) {
            self.keep(decision, Some(entry.into()));
        }
    }

    /// The short entry in full, by what it refers to; marked if that is not there.
    pub(super) fn expanded(
        &mut self,
        entry: &[u8],
        first: DecisionId,
        stop: Option<&AtomicBool>,
    ) -> io::Result<Vec<u8>> {
        let known = match self.recall(first) {
            Some(known) => known,
            None => {
                let found = self.look_up(first, stop)?;
                self.keep(first, found.clone());
                found
            }
        };
        Ok(known.and_then(|first| expand(entry, &first)).unwrap_or_else(|| unexpanded(entry)))
    }

    fn recall(&mut self, decision: DecisionId) -> Option<Option<Arc<[u8]>>> {
        if let Some(known) = self.young.entries.get(&decision) {
            return Some(known.clone());
        }
        let known = self.old.entries.get(&decision)?.clone();
        self.keep(decision, known.clone());
        Some(known)
    }

    /// What is used stays; what was not used for a generation goes.
    fn keep(&mut self, decision: DecisionId, entry: Option<Arc<[u8]>>) {
        const EACH: usize = 96;
        let bytes = EACH + entry.as_ref().map_or(0, |entry| entry.len());
        if self.young.bytes + bytes > self.most / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        if self.young.entries.insert(decision, entry).is_none() {
            self.young.bytes += bytes;
        }
    }

    fn look_up(&mut self, wanted: DecisionId, stop: Option<&AtomicBool>) -> io::Result<Option<Arc<[u8]>>> {
        let from = Timestamp::from_millis(wanted.at().millis().saturating_sub(BEFORE)).text();
        let until = wanted.at().after(AFTER).text();
        let segments = Arc::clone(&self.segments);
        let (place, mut offset) = place(&segments, &from)?;
        for segment in segments.iter().skip(place) {
            match self.read(segment, offset, Some(&until), wanted, stop)? {
                Reading::Found(entry) => return Ok(Some(entry)),
                Reading::Ended => offset = 0,
                Reading::Passed => break,
            }
        }
        for segment in segments.iter().rev() {
            if let Reading::Found(entry) = self.read(segment, 0, None, wanted, stop)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Reads a segment from an offset on, to the entry that is wanted. Keeps what comes before it: neighbours are asked for next.
    fn read(
        &mut self,
        segment: &Segment,
        offset: u64,
        until: Option<&At>,
        wanted: DecisionId,
        stop: Option<&AtomicBool>,
    ) -> io::Result<Reading> {
        let mut lines = Forwards::open(&segment.path, offset)?;
        if offset > 0 {
            // The rest of a line.
            lines.next()?;
        }
        while let Some(Line::Whole(line)) = lines.next()? {
            if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                return Ok(Reading::Passed);
            }
            let Some(entry) = entry_of(line) else { continue };
            if until.is_some_and(|until| at_of(entry).is_some_and(|at| at > *until)) {
                return Ok(Reading::Passed);
            }
            if let Some(decision) = full_permit(entry) {
                let entry: Arc<[u8]> = entry.into();
                self.keep(decision, Some(Arc::clone(&entry)));
                if decision == wanted {
                    return Ok(Reading::Found(entry));
                }
            }
        }
        Ok(Reading::Ended)
    }
}

/// What came of reading a segment.
enum Reading {
    Found(Arc<[u8]>),
    /// The segment is over.
    Ended,
    /// The time in which the entry must stand is over.
    Passed,
}

/// A segment and an offset in it, before the first entry whose time is `from` or later. The offset is 0 or within a line.
fn place(segments: &[Segment], from: &At) -> io::Result<(usize, u64)> {
    let earlier =
        |segment: &Segment, offset| Ok::<_, io::Error>(time_after(segment, offset)?.is_some_and(|at| at < *from));
    let (mut low, mut high) = (0, segments.len());
    while high - low > 1 {
        let middle = low.midpoint(high);
        match segments.get(middle) {
            Some(segment) if earlier(segment, 0)? => low = middle,
            Some(_) | None => high = middle,
        }
    }
    let Some(segment) = segments.get(low) else { return Ok((0, 0)) };
    let (mut begin, mut end) = (0, std::fs::metadata(&segment.path)?.len());
    while end - begin > NEAR {
        let middle = begin.midpoint(end);
        if earlier(segment, middle)? {
            begin = middle;
        } else {
            end = middle;
        }
    }
    Ok((low, begin))
}

/// The time of the first entry that begins after an offset, or at 0.
fn time_after(segment: &Segment, offset: u64) -> io::Result<Option<At>> {
    let mut lines = Forwards::open(&segment.path, offset)?;
    if offset > 0 {
        lines.next()?;
    }
    Ok(match lines.next()? {
        Some(Line::Whole(line)) => entry_of(line).and_then(at_of),
        Some(Line::Unfinished(_) | Line::TooLong | Line::Reserved) | None => None,
    })
}

/// The entry in a record's line. Not verified, as the record is not: a wrong line is none that is looked for.
fn entry_of(line: &[u8]) -> Option<&[u8]> {
    line.get(memchr::memchr(b' ', line)? + 66..)
}

fn at_of(entry: &[u8]) -> Option<At> {
    entry.strip_prefix(b"{\"v\":1,\"at\":\"")?.first_chunk().copied()
}

#[cfg(test)]
mod tests;
