//! Rewriting `COPY … TO STDOUT` in text and CSV. The stream may be cut anywhere: a line is looked at when it is whole, so that its
//! number of fields is known before any of it leaves, and any split gives the same bytes.
//!
//! A field that passes is copied as it came. A masked one is decoded, masked as the text form of its type, and written again;
//! it is quoted if it was, which is how FORCE_QUOTE is kept without knowing it.

use std::sync::Arc;

use kernel::verdict::Undecidable;

use super::key::MaskKey;
use super::rows::{Column, write_value};
use super::value::Value;
use crate::sql::CopyLayout;

/// A line that is longer than this is refused.
const MOST: usize = 64 << 20;

/// How the lines of one COPY are rewritten.
#[derive(Clone, Debug)]
pub struct CopyMask {
    columns: Vec<Column>,
    layout: CopyLayout,
    key: Arc<MaskKey>,
    /// The next line holds names.
    header: bool,
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    plain: Vec<u8>,
    hidden: Vec<u8>,
}

/// Where the scan of a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At the begin of a field, or in one without quotes.
    Bare,
    Quoted,
}

impl CopyMask {
    pub(super) fn new(columns: Vec<Column>, layout: CopyLayout, key: &Arc<MaskKey>) -> Self {
        let header = layout.header;
        Self { columns, layout, key: key.clone(), header, begun: Vec::new(), plain: Vec::new(), hidden: Vec::new() }
    }

    /// Takes a piece of the stream, and appends what may leave: every line that is whole by now.
    ///
    /// # Errors
    /// [`Undecidable::CannotMask`] if a line has another number of fields than the plan, or is too long. The stream must end
    /// then: what is appended is part of it.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Undecidable> {
        if self.begun.is_empty() {
            // The server sends whole lines, so nearly always there is nothing to keep.
            let rest = self.lines(piece, out)?;
            self.begun.extend_from_slice(rest);
        } else {
            let mut whole = std::mem::take(&mut self.begun);
            whole.extend_from_slice(piece);
            let rest = self.lines(&whole, out)?.len();
            whole.drain(..whole.len() - rest);
            self.begun = whole;
        }
        if self.begun.len() > MOST { Err(Undecidable::CannotMask) } else { Ok(()) }
    }

    /// The stream is complete.
    ///
    /// # Errors
    /// [`Undecidable::CannotMask`] if it ends within a line.
    pub fn finish(&self) -> Result<(), Undecidable> {
        if self.begun.is_empty() { Ok(()) } else { Err(Undecidable::CannotMask) }
    }

    /// Rewrites the lines that are whole; what is left.
    fn lines<'p>(&mut self, text: &'p [u8], out: &mut Vec<u8>) -> Result<&'p [u8], Undecidable> {
        let mut rest = text;
        while let Some(end) = self.line_end(rest) {
            let (line, after) = rest.split_at_checked(end).ok_or(Undecidable::CannotMask)?;
            rest = after;
            self.line(line, out)?;
        }
        Ok(rest)
    }

    /// The length of the first line, its end included. In text a line's end is escaped within a value; in CSV it is quoted.
    fn line_end(&self, text: &[u8]) -> Option<usize> {
        if !self.layout.csv {
            return memchr::memchr(b'\n', text).map(|place| place + 1);
        }
        let mut at = At::Bare;
        let mut begin = 0;
        loop {
            let rest = text.get(begin..)?;
            let (found, next) = match at {
                At::Bare => {
                    let found = memchr::memchr2(self.layout.quote, b'\n', rest)?;
                    if rest.get(found) == Some(&b'\n') && self.layout.quote != b'\n' {
                        return Some(begin + found + 1);
                    }
                    (found, At::Quoted)
                }
                At::Quoted => {
                    let found = memchr::memchr2(self.layout.quote, self.layout.escape, rest)?;
                    let escapes = rest.get(found) == Some(&self.layout.escape);
                    match rest.get(found + 1) {
                        // Whether it escapes or closes is told by what follows.
                        None => return None,
                        Some(next) if escapes && (*next == self.layout.quote || *next == self.layout.escape) => {
                            (found + 1, At::Quoted)
                        }
                        Some(_) if rest.get(found) == Some(&self.layout.quote) => (found, At::Bare),
                        Some(_) => (found, At::Quoted),
                    }
                }
            };
            at = next;
            begin += found + 1;
        }
    }

    /// Appends the masked form of one line.
    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), Undecidable> {
        let (content, end) = match line {
            [content @ .., b'\n'] => (content, &b"\n"[..]),
            content => (content, &b""[..]),
        };
        let names = std::mem::take(&mut self.header);
        out.reserve(line.len() + 32);
        let mut rest = Some(content);
        let mut run = content;
        for place in 0..self.columns.len() {
            let text = rest.ok_or(Undecidable::CannotMask)?;
            let length = self.field_end(text);
            let field = text.get(..length).unwrap_or_default();
            rest = text.get(length + 1..);
            let Some(Column::Masked { mask, kind, array, .. }) = self.columns.get(place).copied() else { continue };
            if names || field == &*self.layout.null {
                continue;
            }
            out.extend_from_slice(run.get(..run.len() - text.len()).unwrap_or_default());
            run = text.get(length..).unwrap_or_default();
            self.plain.clear();
            self.hidden.clear();
            let quoted = self.decode(field);
            let of = Value { mask, value: &self.plain, binary: false, key: &self.key };
            if write_value(of, kind, array, &mut self.hidden) {
                self.encode(quoted, out);
            } else {
                out.extend_from_slice(&self.layout.null);
            }
        }
        // A table without columns has empty lines.
        if rest.is_some() && !(self.columns.is_empty() && content.is_empty()) {
            return Err(Undecidable::CannotMask);
        }
        out.extend_from_slice(run);
        out.extend_from_slice(end);
        Ok(())
    }

    /// The length of the first field.
    fn field_end(&self, text: &[u8]) -> usize {
        let layout = &self.layout;
        if !layout.csv {
            // A delimiter within a value has a backslash before it, and so has a backslash.
            let mut begin = 0;
            while let Some(found) = text.get(begin..).and_then(|rest| memchr::memchr2(layout.delimiter, b'\\', rest)) {
                begin += found;
                if text.get(begin) == Some(&layout.delimiter) {
                    return begin;
                }
                begin += 2;
            }
            return text.len();
        }
        let mut at = At::Bare;
        let mut bytes = text.iter().enumerate().peekable();
        while let Some((place, byte)) = bytes.next() {
            match at {
                At::Bare if *byte == layout.delimiter => return place,
                At::Bare if *byte == layout.quote => at = At::Quoted,
                At::Bare => {}
                At::Quoted => {
                    let next = bytes.peek().map(|(_, next)| **next);
                    if *byte == layout.escape && next.is_some_and(|next| next == layout.quote || next == layout.escape)
                    {
                        bytes.next();
                    } else if *byte == layout.quote {
                        at = At::Bare;
                    }
                }
            }
        }
        text.len()
    }

    /// Decodes a field into `plain`; whether it was quoted.
    fn decode(&mut self, field: &[u8]) -> bool {
        if !self.layout.csv {
            unescape(field, &mut self.plain);
            return false;
        }
        let (quote, escape) = (self.layout.quote, self.layout.escape);
        let [first, inner @ .., last] = field else {
            self.plain.extend_from_slice(field);
            return false;
        };
        if *first != quote || *last != quote {
            self.plain.extend_from_slice(field);
            return false;
        }
        let mut bytes = inner.iter().peekable();
        while let Some(byte) = bytes.next() {
            if *byte == escape
                && let Some(next) = bytes.next_if(|next| **next == quote || **next == escape)
            {
                self.plain.push(*next);
            } else {
                self.plain.push(*byte);
            }
        }
        true
    }

    /// Appends what is in `hidden`, as a field.
    fn encode(&self, quoted: bool, out: &mut Vec<u8>) {
        let layout = &self.layout;
        if !layout.csv {
            escape(&self.hidden, layout.delimiter, out);
            return;
        }
        let special = |byte: &u8| *byte == layout.delimiter || *byte == layout.quote || matches!(byte, b'\n' | b'\r');
        let looks_null = self.hidden == *layout.null;
        let ends_data = self.hidden == b"\\.";
        if !quoted && !looks_null && !ends_data && !self.hidden.iter().any(special) {
            out.extend_from_slice(&self.hidden);
            return;
        }
        out.push(layout.quote);
        for byte in &self.hidden {
            if *byte == layout.quote || *byte == layout.escape {
                out.push(layout.escape);
            }
            out.push(*byte);
        }
        out.push(layout.quote);
    }
}

/// The escapes that the server writes in text.
const ESCAPES: [(u8, u8); 7] =
    [(b'b', 0x08), (b'f', 0x0C), (b'n', b'\n'), (b'r', b'\r'), (b't', b'\t'), (b'v', 0x0B), (b'\\', b'\\')];

fn unescape(field: &[u8], out: &mut Vec<u8>) {
    let mut rest = field;
    while let Some(place) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(rest.get(..place).unwrap_or_default());
        match rest.get(place + 1) {
            Some(letter) => {
                let known = ESCAPES.iter().find(|(escape, _)| escape == letter);
                out.push(known.map_or(*letter, |(_, meant)| *meant));
                rest = rest.get(place + 2..).unwrap_or_default();
            }
            None => rest = &[],
        }
    }
    out.extend_from_slice(rest);
}

fn escape(value: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    for byte in value {
        match ESCAPES.iter().find(|(_, meant)| meant == byte) {
            Some((letter, _)) => out.extend([b'\\', *letter]),
            None if *byte == delimiter => out.extend([b'\\', *byte]),
            None => out.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests;
