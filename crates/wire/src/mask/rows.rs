//! Rewriting rows: the body of a DataRow, and a line of `COPY … TO STDOUT` in text format. One pass, and no allocation
//! but the growth of the output.

use std::sync::Arc;

use kernel::verdict::{Mask, Undecidable};

use super::Cell;
use super::cell::{self, MaskKey};

/// How the rows of one result are rewritten.
#[derive(Clone, Debug)]
pub struct RowMask {
    cells: Vec<Cell>,
    key: Arc<MaskKey>,
}

/// Takes `N` bytes off the front.
fn take<'b, const N: usize>(rest: &mut &'b [u8]) -> Result<&'b [u8; N], Undecidable> {
    let (head, tail) = rest.split_first_chunk().ok_or(Undecidable::UnsupportedMessage)?;
    *rest = tail;
    Ok(head)
}

impl RowMask {
    /// Masks on types that do not take text become NULL.
    pub(super) fn new(cells: &[Cell], types: impl Iterator<Item = Option<u32>>, key: &Arc<MaskKey>) -> Self {
        let cells = cells.iter().zip(types).map(|(cell, type_oid)| match cell {
            Cell::Pass => Cell::Pass,
            Cell::Masked(mask) if type_oid.is_some_and(cell::is_text) => Cell::Masked(*mask),
            Cell::Masked(_) => Cell::Masked(Mask::Null),
        });
        Self { cells: cells.collect(), key: key.clone() }
    }

    /// Appends the masked form of a DataRow's body (the bytes behind type and length) to `out`. Text types look the same
    /// in both formats and all others become NULL, so formats do not matter. On error `out` is as long as it was.
    ///
    /// # Errors
    /// [`Undecidable::CannotMask`] if the row has another number of columns than the plan;
    /// [`Undecidable::UnsupportedMessage`] if the body is malformed.
    pub fn apply_row(&self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Undecidable> {
        let start = out.len();
        self.rewrite(body, out).inspect_err(|_| out.truncate(start))
    }

    fn rewrite(&self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Undecidable> {
        let mut rest = body;
        let count = take::<2>(&mut rest)?;
        if usize::from(u16::from_be_bytes(*count)) != self.cells.len() {
            return Err(Undecidable::CannotMask);
        }
        out.reserve(body.len());
        out.extend_from_slice(count);
        for cell in &self.cells {
            let prefix = take::<4>(&mut rest)?;
            let length = i32::from_be_bytes(*prefix);
            if length == -1 {
                out.extend_from_slice(prefix);
                continue;
            }
            let length = usize::try_from(length).map_err(|_| Undecidable::UnsupportedMessage)?;
            let (value, after) = rest.split_at_checked(length).ok_or(Undecidable::UnsupportedMessage)?;
            rest = after;
            match cell {
                Cell::Pass => {
                    out.extend_from_slice(prefix);
                    out.extend_from_slice(value);
                }
                Cell::Masked(mask) => self.masked(*mask, value, out)?,
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(Undecidable::UnsupportedMessage) }
    }

    /// A masked value with its length before it.
    fn masked(&self, mask: Mask, value: &[u8], out: &mut Vec<u8>) -> Result<(), Undecidable> {
        let place = out.len();
        out.extend_from_slice(&(-1i32).to_be_bytes());
        let begin = out.len();
        if cell::write(mask, value, &self.key, out) {
            let length = i32::try_from(out.len() - begin).map_err(|_| Undecidable::CannotMask)?;
            if let Some(prefix) = out.get_mut(place..begin) {
                prefix.copy_from_slice(&length.to_be_bytes());
            }
        }
        Ok(())
    }

    /// Appends the masked form of one line of COPY in text format: fields between tabs, backslash escapes, `\N` for NULL.
    /// The line's end, if it is there, stays. On error `out` is as long as it was.
    ///
    /// # Errors
    /// [`Undecidable::CannotMask`] if the line has another number of fields than the plan.
    pub fn apply_copy_text(&self, line: &[u8], out: &mut Vec<u8>) -> Result<(), Undecidable> {
        let start = out.len();
        let (content, end) = match line {
            [content @ .., b'\r', b'\n'] => (content, &b"\r\n"[..]),
            [content @ .., b'\n'] => (content, &b"\n"[..]),
            content => (content, &b""[..]),
        };
        let mut cells = self.cells.iter();
        let mut plain = Vec::new();
        let mut hidden = Vec::new();
        for (place, field) in content.split(|byte| *byte == b'\t').enumerate() {
            let Some(cell) = cells.next() else {
                out.truncate(start);
                return Err(Undecidable::CannotMask);
            };
            if place > 0 {
                out.push(b'\t');
            }
            match cell {
                Cell::Masked(mask) if field != b"\\N" => {
                    plain.clear();
                    hidden.clear();
                    unescape(field, &mut plain);
                    if cell::write(*mask, &plain, &self.key, &mut hidden) {
                        escape(&hidden, out);
                    } else {
                        out.extend_from_slice(b"\\N");
                    }
                }
                Cell::Pass | Cell::Masked(_) => out.extend_from_slice(field),
            }
        }
        if cells.next().is_some() {
            out.truncate(start);
            return Err(Undecidable::CannotMask);
        }
        out.extend_from_slice(end);
        Ok(())
    }
}

/// The escapes that the server writes.
const ESCAPES: [(u8, u8); 7] =
    [(b'b', 0x08), (b'f', 0x0C), (b'n', b'\n'), (b'r', b'\r'), (b't', b'\t'), (b'v', 0x0B), (b'\\', b'\\')];

fn unescape(field: &[u8], out: &mut Vec<u8>) {
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        if let Some(letter) = bytes.next() {
            let known = ESCAPES.iter().find(|(escape, _)| escape == letter);
            out.push(known.map_or(*letter, |(_, meant)| *meant));
        }
    }
}

fn escape(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        match ESCAPES.iter().find(|(_, meant)| meant == byte) {
            Some((letter, _)) => out.extend([b'\\', *letter]),
            None => out.push(*byte),
        }
    }
}
