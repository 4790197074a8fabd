//! Server-sent events (WHATWG HTML, 9.2): the `data` of each event is JSON and goes through the machine; `event`, `id` and `retry` pass,
//! but where the whole of the data is masked: then they could say it. Comments and unknown fields, which no client reads, lose their text.
//!
//! Data that is `[DONE]` passes: that is how streams of language models end.

use super::MaskError;
use super::machine::Machine;

/// The one thing that is no JSON and passes.
const DONE: &[u8] = b"[DONE]";
/// As long as the longest name of a field.
const LONGEST_NAME: usize = 5;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// The name is being read.
    Name,
    /// `data`, before the blank that may follow the colon.
    DataBegin,
    Data,
    /// Its text passes.
    Pass,
    /// Its text is left out.
    Drop,
}

#[derive(Debug)]
pub(super) struct Events {
    machine: Machine,
    /// All that an event says is masked.
    whole: bool,
    line: Line,
    name: Vec<u8>,
    /// The last line ended with a carriage return; a line feed behind it belongs to it.
    returned: bool,
    /// The beginning of an event's data, while it could be [`DONE`].
    probe: Option<Vec<u8>>,
}

impl Events {
    pub(super) const fn new(machine: Machine, whole: bool) -> Self {
        Self { machine, whole, line: Line::Name, name: Vec::new(), returned: false, probe: Some(Vec::new()) }
    }

    pub(super) const fn machine(&self) -> &Machine {
        &self.machine
    }

    pub(super) fn look_no_more(&mut self) {
        self.machine.look_no_more();
    }

    pub(super) fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), MaskError> {
        let mut rest = input;
        while let Some((byte, after)) = rest.split_first() {
            let returned = std::mem::take(&mut self.returned);
            match (byte, self.line) {
                (b'\n', _) if returned => {
                    out.push(b'\n');
                    rest = after;
                }
                (b'\n' | b'\r', _) => {
                    self.end_line(out)?;
                    out.push(*byte);
                    self.returned = *byte == b'\r';
                    rest = after;
                }
                (_, Line::Name) => {
                    self.name_byte(*byte, out);
                    rest = after;
                }
                (b' ', Line::DataBegin) => {
                    self.line = Line::Data;
                    out.push(b' ');
                    rest = after;
                }
                (_, Line::DataBegin) => self.line = Line::Data,
                (_, Line::Data | Line::Pass | Line::Drop) => {
                    let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                    let (text, after) = rest.split_at_checked(end).unwrap_or((rest, b""));
                    match self.line {
                        Line::Data => self.data(text, out)?,
                        Line::Pass => out.extend_from_slice(text),
                        Line::Name | Line::DataBegin | Line::Drop => {}
                    }
                    rest = after;
                }
            }
        }
        Ok(())
    }

    fn name_byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        if byte == b':' {
            let name = std::mem::take(&mut self.name);
            self.line = match name.as_slice() {
                b"data" => Line::DataBegin,
                b"event" | b"id" | b"retry" if !self.whole => Line::Pass,
                _ => Line::Drop,
            };
            if self.line != Line::Drop {
                out.extend_from_slice(&name);
            }
            out.push(b':');
        } else if self.name.len() <= LONGEST_NAME {
            // One byte more than any name tells that it is none.
            self.name.push(byte);
        }
    }

    /// Data is held back only as long as it could be [`DONE`].
    fn data(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), MaskError> {
        let Some(mut probe) = self.probe.take() else { return self.machine.feed(text, out) };
        let mut rest = text;
        while let Some((byte, after)) = rest.split_first() {
            if DONE.get(probe.len()) != Some(byte) {
                self.machine.feed(&probe, out)?;
                return self.machine.feed(rest, out);
            }
            probe.push(*byte);
            rest = after;
        }
        self.probe = Some(probe);
        Ok(())
    }

    fn end_line(&mut self, out: &mut Vec<u8>) -> Result<(), MaskError> {
        let blank = self.line == Line::Name && self.name.is_empty();
        // A name without a colon is a field without a value.
        if self.line == Line::Name && !blank {
            self.name_byte(b':', out);
        }
        if blank {
            self.machine.end_document(out)?;
            self.probe = Some(Vec::new());
        } else if matches!(self.line, Line::Data | Line::DataBegin) {
            match self.probe.take() {
                Some(probe) if probe == DONE => out.extend_from_slice(&probe),
                Some(probe) if probe.is_empty() => self.probe = Some(probe),
                Some(probe) => self.machine.feed(&probe, out)?,
                None => {}
            }
            // The line end is a part of the data, where it is a blank between two tokens.
            let before = out.len();
            self.machine.feed(b"\n", out)?;
            if out.len() > before {
                out.pop();
            }
        }
        self.line = Line::Name;
        self.name.clear();
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), MaskError> {
        // What stands behind the last blank line is no event, and no client takes it for one.
        let begun = self.line != Line::Name || !self.name.is_empty();
        if begun || self.probe.as_ref().is_some_and(|probe| !probe.is_empty()) || !self.machine.is_between() {
            return Err(MaskError::Truncated);
        }
        self.machine.end_document(out)
    }
}
