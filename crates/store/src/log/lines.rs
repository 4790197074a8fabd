//! Lines of a segment file, forwards and backwards, in bounded memory. A line longer than a record can be is not kept.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Longer lines are not kept: longer than any record, and any piece of content.
pub(super) const LONGEST_LINE: usize = 128 * 1024;

const CHUNK: usize = 64 * 1024;

/// One line, without its newline.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A line that ends.
    Whole(&'a [u8]),
    /// The rest of the file, which has no newline.
    Unfinished(&'a [u8]),
    /// Longer than any line.
    TooLong,
    /// Space that is reserved for records to come: it begins with a zero, as no record does.
    Reserved,
}

/// How many bytes there are before the zeros at the end.
pub(super) fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// Reads lines from the start, or from an offset.
#[derive(Debug)]
pub(super) struct Forwards {
    file: BufReader<File>,
    line: Vec<u8>,
    /// Where the next line begins, in bytes.
    offset: u64,
}

impl Forwards {
    pub(super) fn open(path: &Path, offset: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { file: BufReader::with_capacity(CHUNK, file), line: Vec::new(), offset })
    }

    /// Where the next line begins, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next line; `None` at the end of the file. After `TooLong` no more can be read, after `Reserved` only behind
    /// `pass_zeros`.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        if self.file.fill_buf()?.first() == Some(&0) {
            return Ok(Some(Line::Reserved));
        }
        // One more byte than the longest line and its newline shows that there is more.
        let most = LONGEST_LINE as u64 + 2;
        let read = (&mut self.file).take(most).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        if self.line.last() == Some(&b'\n') {
            self.offset += read as u64;
            self.line.pop();
            return Ok(Some(Line::Whole(&self.line)));
        }
        Ok(Some(if read as u64 == most { Line::TooLong } else { Line::Unfinished(&self.line) }))
    }

    /// Does a line begin here? False at the end of the file and in reserved space.
    pub(super) fn at_record(&mut self) -> io::Result<bool> {
        Ok(self.file.fill_buf()?.first().is_some_and(|byte| *byte != 0))
    }

    /// Passes over zeros. Does anything stand behind them, as where a page did not reach the disk?
    pub(super) fn pass_zeros(&mut self) -> io::Result<bool> {
        loop {
            let chunk = self.file.fill_buf()?;
            let (zeros, length) = (chunk.iter().take_while(|byte| **byte == 0).count(), chunk.len());
            self.file.consume(zeros);
            self.offset += zeros as u64;
            if zeros < length || length == 0 {
                return Ok(length > 0);
            }
        }
    }

    /// How many bytes follow, without the zeros at their end: what was begun in reserved space and not finished.
    pub(super) fn begun(mut self) -> io::Result<u64> {
        let (mut read, mut begun) = (0, 0);
        loop {
            let chunk = self.file.fill_buf()?;
            if chunk.is_empty() {
                return Ok(begun);
            }
            if let used @ 1.. = used(chunk) {
                begun = read + used as u64;
            }
            let length = chunk.len();
            read += length as u64;
            self.file.consume(length);
        }
    }
}

/// Reads whole lines from the end. Reserved space, and a last line that is unfinished, are passed over.
#[derive(Debug)]
pub(super) struct Backwards {
    file: File,
    /// Everything before this offset is still to be read.
    start: u64,
    /// What was read and not yet given out; ends with a newline or is empty.
    held: Vec<u8>,
    trimmed: bool,
}

impl Backwards {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let start = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, start, held: Vec::new(), trimmed: false })
    }

    /// The line before, without its newline; `None` at the start of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if !self.trimmed {
                if let Some(newline) = self.held.iter().rposition(|byte| *byte == b'\n') {
                    self.held.truncate(newline + 1);
                    self.trimmed = true;
                    continue;
                }
            } else {
                let before = self.held.len().saturating_sub(1);
                let end = self.held.get(..before).and_then(|held| held.iter().rposition(|byte| *byte == b'\n'));
                match end {
                    Some(newline) => {
                        let mut line = self.held.split_off(newline + 1);
                        line.pop();
                        if line.first() == Some(&0) {
                            // Begun in reserved space and not finished.
                            continue;
                        }
                        return Ok(Some(line));
                    }
                    None if self.start == 0 => {
                        let mut line = std::mem::take(&mut self.held);
                        return Ok((line.pop().is_some()).then_some(line));
                    }
                    None => {}
                }
            }
            if self.start == 0 {
                return Ok(None);
            }
            if self.held.len() > LONGEST_LINE + 1 {
                return Err(io::Error::from(io::ErrorKind::InvalidData));
            }
            self.read_chunk()?;
        }
    }

    /// Puts the chunk before what is held in front of it, without the zeros at the end of the file.
    fn read_chunk(&mut self) -> io::Result<()> {
        let length = self.start.min(CHUNK as u64);
        self.start -= length;
        self.file.seek(SeekFrom::Start(self.start))?;
        let mut chunk = Vec::with_capacity(CHUNK + self.held.len());
        (&mut self.file).take(length).read_to_end(&mut chunk)?;
        if chunk.len() as u64 != length {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        if self.held.is_empty() {
            chunk.truncate(used(&chunk));
        }
        chunk.append(&mut self.held);
        self.held = chunk;
        Ok(())
    }
}
