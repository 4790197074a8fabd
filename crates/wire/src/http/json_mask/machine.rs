//! JSON as a stream: a state for each place in the grammar, a frame for each structure, and the one value that is held back
//! while its mask is made. What passes is copied in runs, as long as the input; nothing is allocated for it.

use kernel::verdict::Mask;

use super::super::json_text::{self, Number};
use super::super::utf8::Utf8;
use super::inspect::Inspector;
use super::places::State as Place;
use super::replace::{self, Token};
use super::{DEEPEST_ANSWER, Detect, LONGEST_INSPECTED, LONGEST_VALUE, MaskError, Masks};
use crate::detect::Kind;

/// The longest number that is masked as one.
const LONGEST_NUMBER: usize = 256;
/// An escaped character is at most six times as long as the byte that it stands for.
const ESCAPED: usize = 6;

/// Where in the grammar the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// At the very beginning, where a byte order mark of three bytes may stand, of which so many came.
    Mark(u8),
    Value,
    FirstElement,
    FirstName,
    Name,
    Colon,
    After,
    /// Behind a document.
    Done,
    /// Inside of a name or a text.
    String {
        name: bool,
        escape: Escape,
    },
    Number(Number),
    /// Inside of `true`, `false` or `null`, of which so many bytes came.
    Word(&'static [u8], usize),
}

/// Where in an escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    None,
    Begun,
    /// So many hexadecimal digits are to come.
    Hex(u8),
}

/// What happens to the value that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Treat {
    Pass,
    Inspect,
    Mask(Mask),
}

/// A structure that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) object: bool,
    /// Its place: these states of the arena.
    pub(super) from: usize,
    pub(super) to: usize,
    /// The mask on each element of an array that is itself masked.
    pub(super) mask: Option<Mask>,
}

/// The piece that is being read.
struct Piece<'i> {
    input: &'i [u8],
    /// From here on nothing has been written.
    run: usize,
    /// Where the name or the value that may be held back begins in this piece.
    token: usize,
}

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) masks: Masks,
    inspector: Option<Inspector>,
    /// Whether the detectors look at values that pass.
    pub(super) looks: bool,
    utf8: Utf8,
    pub(super) state: State,
    /// Whether the record separator of RFC 7464 may stand between documents.
    separators: bool,
    pub(super) frames: Vec<Frame>,
    /// The states of all open structures, and those of the member that is being read.
    pub(super) arena: Vec<Place>,
    /// How many frames stay when the structure that is left out ends.
    pub(super) muted: Option<usize>,
    treat: Treat,
    /// The beginning of a name or value that came in earlier pieces.
    held: Vec<u8>,
    /// The value was too long to be held.
    overlong: bool,
    scratch: Vec<u8>,
    masked: u64,
    /// Values at masked places pass, and are searched for what a mask made: was there one?
    seeks: Option<bool>,
}

impl Machine {
    pub(super) fn new(masks: Masks, separators: bool) -> Self {
        Self::with(masks, separators, None)
    }

    /// One that replaces nothing: it searches the places of the masks for what a mask made.
    pub(super) fn seeking(masks: Masks, separators: bool) -> Self {
        Self::with(masks, separators, Some(false))
    }

    fn with(masks: Masks, separators: bool, seeks: Option<bool>) -> Self {
        let arena = masks.places.root();
        let detector = masks.detector.as_ref().filter(|_| masks.detect != Detect::Off && seeks.is_none());
        let inspector = detector.map(|detector| Inspector::new(detector.clone()));
        Self {
            masks,
            looks: inspector.is_some(),
            inspector,
            utf8: Utf8::default(),
            state: State::Mark(0),
            separators,
            frames: Vec::new(),
            arena,
            muted: None,
            treat: Treat::Pass,
            held: Vec::new(),
            overlong: false,
            scratch: Vec::new(),
            masked: 0,
            seeks,
        }
    }

    /// What detectors only count is not looked at any more.
    pub(super) fn look_no_more(&mut self) {
        self.looks &= self.masks.detect != Detect::Signal;
    }

    /// Whether what was sought was found.
    pub(super) fn has_found(&self) -> bool {
        self.seeks == Some(true)
    }

    pub(super) const fn masked(&self) -> u64 {
        self.masked
    }

    pub(super) fn found(&self) -> impl Iterator<Item = (Kind, u32)> + '_ {
        self.inspector.iter().flat_map(Inspector::found)
    }

    /// Whether a document is over, or none has begun.
    pub(super) const fn is_between(&self) -> bool {
        matches!(self.state, State::Done | State::Mark(0))
    }

    pub(super) fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), MaskError> {
        self.utf8.feed(input).map_err(|_invalid| MaskError::NotUtf8)?;
        let mut piece = Piece { input, run: 0, token: 0 };
        let mut at = 0;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            at += match self.state {
                State::String { name, escape } => self.string(name, escape, rest, at, &mut piece, out)?,
                State::Number(number) => self.number(number, rest, at, &mut piece, out)?,
                State::Word(word, seen) => self.word(word, seen, rest, at, &mut piece, out)?,
                _ => match self.skim(rest)? {
                    0 => self.between(rest, at, &mut piece, out)?,
                    skimmed => skimmed,
                },
            };
        }
        self.suspend(&mut piece, out);
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), MaskError> {
        if let State::Number(number) = self.state
            && number.is_whole()
            && self.frames.is_empty()
        {
            self.end_value(Token::Number, 0, &mut Piece { input: b"", run: 0, token: 0 }, out)?;
        }
        if self.is_between() && self.utf8.is_whole() { Ok(()) } else { Err(MaskError::Truncated) }
    }

    /// Writes what passes up to a place.
    fn cut(&self, piece: &mut Piece<'_>, to: usize, out: &mut Vec<u8>) {
        if self.muted.is_none() {
            out.extend_from_slice(piece.input.get(piece.run..to).unwrap_or_default());
        }
        piece.run = to;
    }

    /// At the end of a piece: what passes is written, and what may not pass yet is held.
    fn suspend(&mut self, piece: &mut Piece<'_>, out: &mut Vec<u8>) {
        let end = piece.input.len();
        if self.muted.is_some() {
            return;
        }
        let tail = piece.input.get(piece.token..).unwrap_or_default();
        match self.state {
            State::String { name: true, .. } => {
                // Names pass; they are held to be recognised.
                self.hold(tail, self.longest_name());
                self.cut(piece, end, out);
            }
            State::String { name: false, .. } | State::Number(_) | State::Word(..) if self.treat != Treat::Pass => {
                self.cut(piece, piece.token, out);
                if self.held.len() + tail.len() > self.longest() && self.only_looks() {
                    let begun = std::mem::take(&mut self.held);
                    self.look_at_beginning(&begun, tail);
                    out.extend_from_slice(&begun);
                    self.cut(piece, end, out);
                    self.treat = Treat::Pass;
                } else {
                    self.hold(tail, self.longest());
                }
            }
            _ => self.cut(piece, end, out),
        }
    }

    fn hold(&mut self, tail: &[u8], longest: usize) {
        if self.overlong || self.held.len() + tail.len() > longest {
            self.overlong = true;
            self.held.clear();
        } else {
            self.held.extend_from_slice(tail);
        }
    }

    /// The longest name that can be one that is looked for, with its quotation marks.
    fn longest_name(&self) -> usize {
        self.masks.places.longest_name() * ESCAPED + 2
    }

    /// The longest value that is held.
    const fn longest(&self) -> usize {
        match (self.treat, self.state) {
            (Treat::Inspect, _) => LONGEST_INSPECTED,
            (Treat::Mask(_), State::Number(_)) => LONGEST_NUMBER,
            (Treat::Pass | Treat::Mask(_), _) => LONGEST_VALUE,
        }
    }

    /// Whether the value passes whatever the detectors find.
    fn only_looks(&self) -> bool {
        self.treat == Treat::Inspect && self.masks.detect == Detect::Signal
    }

    /// Runs the detectors over as much of a long text as they look at.
    fn look_at_beginning(&mut self, begun: &[u8], rest: &[u8]) {
        let mut beginning = begun.to_vec();
        beginning.extend_from_slice(rest);
        beginning.truncate(LONGEST_INSPECTED);
        if let Some(inspector) = &mut self.inspector {
            inspector.scan(Token::Text, &beginning);
        }
    }

    /// Bytes outside of names and values.
    fn between(
        &mut self,
        rest: &[u8],
        at: usize,
        piece: &mut Piece<'_>,
        out: &mut Vec<u8>,
    ) -> Result<usize, MaskError> {
        let blanks = json_text::blanks(rest);
        if let State::Mark(seen) = self.state {
            return self.mark(seen, rest);
        }
        let Some(byte) = rest.get(blanks).copied() else { return Ok(blanks) };
        let at = at + blanks;
        let object = self.frames.last().is_some_and(|frame| frame.object);
        match (self.state, byte) {
            (State::Done, 0x1E) if self.separators => {}
            (State::FirstElement, b']') | (State::FirstName, b'}') => self.close(at, piece),
            (State::After, b']') if !object => self.close(at, piece),
            (State::After, b'}') if object => self.close(at, piece),
            (State::After, b',') => self.state = if object { State::Name } else { State::Value },
            (State::Colon, b':') => self.state = State::Value,
            (State::FirstName | State::Name, b'"') => {
                self.begin(at, piece);
                self.state = State::String { name: true, escape: Escape::None };
            }
            (State::Value | State::FirstElement | State::Done, _) => self.begin_value(byte, at, piece, out)?,
            _ => return Err(MaskError::Invalid),
        }
        Ok(blanks + 1)
    }

    /// A byte order mark, which readers leave out.
    fn mark(&mut self, seen: u8, rest: &[u8]) -> Result<usize, MaskError> {
        const MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];
        let expected = MARK.get(usize::from(seen));
        if rest.first() == expected {
            self.state = if seen == 2 { State::Done } else { State::Mark(seen + 1) };
            return Ok(1);
        }
        if seen > 0 {
            return Err(MaskError::Invalid);
        }
        self.state = State::Done;
        Ok(0)
    }

    /// A name or a value begins.
    fn begin(&mut self, at: usize, piece: &mut Piece<'_>) {
        piece.token = at;
        self.held.clear();
        self.overlong = false;
    }

    /// The states of the value that begins, as a part of the arena, and the mask of the array that it is an element of.
    fn place(&self) -> (usize, usize, Option<Mask>) {
        match self.frames.last() {
            None => (0, self.arena.len(), None),
            // What is sought may stand anywhere below.
            Some(frame) if frame.object => (frame.to, self.arena.len(), frame.mask.filter(|_| self.seeks.is_some())),
            Some(frame) => (frame.from, frame.to, frame.mask),
        }
    }

    fn begin_value(&mut self, byte: u8, at: usize, piece: &mut Piece<'_>, out: &mut Vec<u8>) -> Result<(), MaskError> {
        let (from, to, inherited) = self.place();
        let mask = if self.muted.is_some() {
            None
        } else {
            let own = self.masks.places.mask(self.arena.get(from..to).unwrap_or_default());
            own.into_iter().chain(inherited).min()
        };
        let state = match byte {
            b'{' | b'[' => return self.open(Frame { object: byte == b'{', from, to, mask }, at, piece, out),
            b'"' => State::String { name: false, escape: Escape::None },
            b't' => State::Word(b"true", 1),
            b'f' => State::Word(b"false", 1),
            b'n' => State::Word(b"null", 1),
            _ => State::Number(Number::Start.step(byte).ok_or(MaskError::Invalid)?),
        };
        self.begin(at, piece);
        self.state = state;
        self.treat = match mask {
            Some(mask) => Treat::Mask(mask),
            None if self.muted.is_none() && self.looks && !matches!(state, State::Word(..)) => Treat::Inspect,
            None => Treat::Pass,
        };
        Ok(())
    }

    fn open(&mut self, frame: Frame, at: usize, piece: &mut Piece<'_>, out: &mut Vec<u8>) -> Result<(), MaskError> {
        if self.frames.len() >= DEEPEST_ANSWER {
            return Err(MaskError::TooDeep);
        }
        if let Some(mask) = frame.mask
            && self.seeks.is_none()
            && (frame.object || mask == Mask::Null)
        {
            self.cut(piece, at, out);
            replace::write_unseen(mask, out);
            self.masked += 1;
            self.muted = Some(self.frames.len());
        }
        self.state = if frame.object { State::FirstName } else { State::FirstElement };
        self.frames.push(frame);
        Ok(())
    }

    fn close(&mut self, at: usize, piece: &mut Piece<'_>) {
        self.frames.pop();
        if self.muted == Some(self.frames.len()) {
            self.muted = None;
            piece.run = at + 1;
        }
        self.after();
    }

    /// Behind a value.
    fn after(&mut self) {
        match self.frames.last() {
            Some(frame) => {
                self.arena.truncate(frame.to);
                self.state = State::After;
            }
            None => self.state = State::Done,
        }
    }

    fn string(
        &mut self,
        name: bool,
        escape: Escape,
        rest: &[u8],
        at: usize,
        piece: &mut Piece<'_>,
        out: &mut Vec<u8>,
    ) -> Result<usize, MaskError> {
        let plain = if escape == Escape::None { json_text::plain(rest) } else { 0 };
        let Some(byte) = rest.get(plain) else { return Ok(plain) };
        let escape = match (escape, byte) {
            (Escape::None, b'"') => {
                let end = at + plain + 1;
                if name {
                    self.end_name(end, piece)?;
                } else {
                    self.end_value(Token::Text, end, piece, out)?;
                }
                return Ok(plain + 1);
            }
            (Escape::None, b'\\') => Escape::Begun,
            (Escape::Begun, b'u') => Escape::Hex(4),
            (Escape::Begun, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')
            | (Escape::Hex(1), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => Escape::None,
            (Escape::Hex(left), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => Escape::Hex(left - 1),
            _ => return Err(MaskError::Invalid),
        };
        self.state = State::String { name, escape };
        Ok(plain + 1)
    }

    fn end_name(&mut self, end: usize, piece: &Piece<'_>) -> Result<(), MaskError> {
        self.state = State::Colon;
        let Some(frame) = self.frames.last().copied() else { return Err(MaskError::Invalid) };
        if self.muted.is_some() || frame.from == frame.to {
            return Ok(());
        }
        let part = piece.input.get(piece.token..end).unwrap_or_default();
        let whole = !self.overlong && self.held.len() + part.len() <= self.longest_name();
        let raw = if self.held.is_empty() {
            part
        } else {
            if whole {
                self.held.extend_from_slice(part);
            }
            self.held.as_slice()
        };
        let content = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
        let name = match (whole, memchr::memchr(b'\\', content)) {
            (false, _) => None,
            (true, None) => Some(content),
            (true, Some(_)) => {
                self.scratch.clear();
                json_text::unescape(content, &mut self.scratch).ok_or(MaskError::Invalid)?;
                Some(self.scratch.as_slice())
            }
        };
        // Of an object's states, those from the frame's are looked at: what is appended are the member's.
        let (own, places) = (self.arena.len(), &self.masks.places);
        debug_assert_eq!(own, frame.to);
        places.follow(frame.from, name, &mut self.arena);
        self.held.clear();
        Ok(())
    }

    fn number(
        &mut self,
        number: Number,
        rest: &[u8],
        at: usize,
        piece: &mut Piece<'_>,
        out: &mut Vec<u8>,
    ) -> Result<usize, MaskError> {
        let mut number = number;
        for (place, byte) in rest.iter().enumerate() {
            match number.step(*byte) {
                Some(next) => number = next,
                // Between documents something has to tell where a number ends.
                None if self.frames.is_empty() && !b" \t\n\r\"[{\x1E".contains(byte) => return Err(MaskError::Invalid),
                None if number.is_whole() => {
                    self.end_value(Token::Number, at + place, piece, out)?;
                    return Ok(place);
                }
                None => return Err(MaskError::Invalid),
            }
        }
        self.state = State::Number(number);
        Ok(rest.len())
    }

    fn word(
        &mut self,
        word: &'static [u8],
        seen: usize,
        rest: &[u8],
        at: usize,
        piece: &mut Piece<'_>,
        out: &mut Vec<u8>,
    ) -> Result<usize, MaskError> {
        if rest.first() != word.get(seen) {
            return Err(MaskError::Invalid);
        }
        if seen + 1 < word.len() {
            self.state = State::Word(word, seen + 1);
        } else {
            self.end_value(Token::Word, at + 1, piece, out)?;
        }
        Ok(1)
    }

    /// A value is whole: it passes, or something stands in its place.
    fn end_value(
        &mut self,
        token: Token,
        end: usize,
        piece: &mut Piece<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), MaskError> {
        let treat = self.treat;
        if treat != Treat::Pass {
            let longest = self.longest();
            let part = piece.input.get(piece.token..end).unwrap_or_default();
            self.cut(piece, piece.token, out);
            let mut held = std::mem::take(&mut self.held);
            let overlong = self.overlong || held.len() + part.len() > longest;
            let earlier = !held.is_empty();
            let raw = if earlier && !overlong {
                held.extend_from_slice(part);
                held.as_slice()
            } else {
                part
            };
            let passes = match treat {
                Treat::Pass => true,
                Treat::Mask(_) if let Some(found) = &mut self.seeks => {
                    *found |= !overlong && replace::is_masked(token, raw, &self.masks.key, &mut self.scratch);
                    true
                }
                Treat::Mask(mask) => {
                    self.masked += 1;
                    if overlong {
                        let mask = if token == Token::Number { Mask::Null } else { mask };
                        replace::write_unseen(mask, out);
                    } else if !replace::write(token, mask, raw, &self.masks.key, &mut self.scratch, out) {
                        return Err(MaskError::Invalid);
                    }
                    false
                }
                Treat::Inspect if overlong && self.masks.detect == Detect::Signal => {
                    self.look_at_beginning(&held, part);
                    out.extend_from_slice(&held);
                    true
                }
                Treat::Inspect => !self.replaces(token, raw, overlong, out),
            };
            if !passes {
                piece.run = end;
            } else if earlier && !overlong {
                out.extend_from_slice(&held);
                piece.run = end;
            }
            held.clear();
            self.held = held;
        }
        self.after();
        Ok(())
    }

    /// Runs the detectors over a value, and writes what stands in its place, if anything does.
    fn replaces(&mut self, token: Token, raw: &[u8], overlong: bool, out: &mut Vec<u8>) -> bool {
        let (Some(inspector), detect) = (&mut self.inspector, self.masks.detect) else { return false };
        let found = !overlong && inspector.scan(token, raw);
        let Detect::Mask(mask) = detect else { return false };
        if overlong {
            let mask = if token == Token::Number { Mask::Null } else { Mask::Redact };
            replace::write_unseen(mask, out);
        } else if !found {
            return false;
        } else if token == Token::Text {
            inspector.write(mask, raw, &self.masks.key, out);
        } else {
            replace::write(token, mask, raw, &self.masks.key, &mut self.scratch, out);
        }
        self.masked += 1;
        true
    }

    /// Ends the document of an event, so that another can begin.
    pub(super) fn end_document(&mut self, out: &mut Vec<u8>) -> Result<(), MaskError> {
        self.finish(out)?;
        self.state = State::Done;
        Ok(())
    }
}
