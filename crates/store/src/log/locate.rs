//! Finds a record by its sequence, without an index: lines begin with their sequence, so that a segment is searched by halves.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use kernel::audit::{ChainHash, Record};

use super::lines::{Forwards, LONGEST_LINE, Line};
use super::segment::Segment;

/// Where a record's line begins.
#[derive(Debug)]
pub(super) struct Place {
    /// Which of the segments.
    pub(super) segment: usize,
    /// In bytes.
    pub(super) offset: u64,
}

/// Where record `seq` begins; `None` if it is not there.
pub(super) fn locate(segments: &[Segment], seq: u64) -> io::Result<Option<Place>> {
    let Some(index) = segments.partition_point(|segment| segment.first <= seq).checked_sub(1) else { return Ok(None) };
    let Some(segment) = segments.get(index) else { return Ok(None) };
    let mut lines = Forwards::open(&segment.path, near(segment, seq)?)?;
    loop {
        let offset = lines.offset();
        match lines.next()? {
            Some(Line::Whole(line)) => match sequence(line) {
                Some(found) if found < seq => {}
                Some(found) if found == seq => return Ok(Some(Place { segment: index, offset })),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        }
    }
}

/// A place at which a line begins whose record is not after `seq`, at most some records before it.
fn near(segment: &Segment, seq: u64) -> io::Result<u64> {
    const NEAR: u64 = 64 * 1024;
    let mut file = File::open(&segment.path)?;
    let (mut low, mut high) = (0, file.metadata()?.len());
    let mut chunk = Vec::new();
    while high - low > NEAR {
        let middle = low + (high - low) / 2;
        file.seek(SeekFrom::Start(middle))?;
        chunk.clear();
        // The rest of one record, and the beginning of the next.
        (&mut file).take(LONGEST_LINE as u64 + 32).read_to_end(&mut chunk)?;
        let next = memchr::memchr(b'\n', &chunk).map(|newline| newline + 1);
        let found = next.and_then(|next| Some((next, sequence(chunk.get(next..)?)?)));
        match found {
            Some((next, found)) if found <= seq && middle + next as u64 <= high => low = middle + next as u64,
            // Behind it, or in space that is reserved for records to come.
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The sequence at the beginning of a line. Reads no more than that.
fn sequence(line: &[u8]) -> Option<u64> {
    let end = line.iter().take(21).position(|byte| *byte == b' ')?;
    std::str::from_utf8(line.get(..end)?).ok()?.parse().ok()
}

/// Reads the lines of records from one on, through all segments.
#[derive(Debug)]
pub(super) struct From<'s> {
    segments: &'s [Segment],
    at: usize,
    lines: Forwards,
}

impl<'s> From<'s> {
    /// `None` if there is no such record.
    pub(super) fn record(segments: &'s [Segment], seq: u64) -> io::Result<Option<Self>> {
        let Some(place) = locate(segments, seq)? else { return Ok(None) };
        let Some(segment) = segments.get(place.segment) else { return Ok(None) };
        Ok(Some(Self { segments, at: place.segment, lines: Forwards::open(&segment.path, place.offset)? }))
    }

    /// The next line, without its newline; `None` where the records end.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            // Polonius would let this be one `match`: the line borrows what the next segment replaces.
            if self.lines.at_record()? {
                return match self.lines.next()? {
                    Some(Line::Whole(line)) => Ok(Some(line)),
                    _ => Ok(None),
                };
            }
            self.at += 1;
            let Some(segment) = self.segments.get(self.at) else { return Ok(None) };
            self.lines = Forwards::open(&segment.path, 0)?;
        }
    }
}

/// The chain after the first `size` records, as the log has it; `None` if it has fewer.
pub(super) fn chain_after(segments: &[Segment], size: u64) -> io::Result<Option<ChainHash>> {
    let Some(last) = size.checked_sub(1) else { return Ok(Some(ChainHash::default())) };
    let Some(mut lines) = From::record(segments, last)? else { return Ok(None) };
    Ok(lines.next()?.and_then(Record::parse).map(|record| record.chain))
}

#[cfg(test)]
mod tests;
