//! What was shown to an upstream, in what it answers: found wherever the answer is cut, and overwritten by as many asterisks, so
//! that lengths and places hold (hazard HT13).
//!
//! Found is a value as it is, and as JSON, HTML and percent-encoding may write it, each character for itself: encoders differ in
//! which they escape. What they all leave alone is looked for first, so that an answer without it costs one search of a string.
//! Other encodings of the whole are not known here.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;

/// Shorter values would be found in anything, in bytes.
const SHORTEST: usize = 6;

/// What may stand in a credential or in an escape, whatever the values are: with letters and digits.
const LETTERS: &[u8] = br"-._~+/=%\&#;:";

/// Values that are looked for. They are made ready once, and not for each answer.
#[derive(Default)]
pub struct Echoes {
    values: Vec<Value>,
    /// What stands in the values beyond [`LETTERS`], however they are written.
    beyond: Vec<u8>,
    /// The most that may have come of a value that has not come whole, in bytes.
    longest: usize,
}

impl Echoes {
    /// Looks for this value, too, unless it is shorter than six bytes.
    pub fn add(&mut self, value: &str) {
        let value = Value::of(value);
        if value.shortest >= SHORTEST && self.values.iter().all(|known| known.parts != value.parts) {
            for byte in value.parts.iter().flat_map(Part::ways).flatten() {
                if !self.may_stand(*byte) {
                    self.beyond.push(*byte);
                }
            }
            self.longest = self.longest.max(value.longest - 1);
            self.values.push(value);
        }
    }

    /// Does one of them stand in this text?
    pub fn are_in(&self, text: &[u8]) -> bool {
        let mut found = false;
        self.values.iter().for_each(|value| value.each(text, true, |_, _| found = true));
        found
    }

    /// From where on a text is held whose end is yet to come. Whoever has the upstream say what he likes sees how much is held:
    /// it is all that could be a value's beginning if the values were others, and tells nothing of what they are.
    fn open(&self, text: &[u8]) -> usize {
        let held = text.iter().rev().take(self.longest).take_while(|byte| self.may_stand(**byte)).count();
        text.len() - held
    }

    fn may_stand(&self, byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || LETTERS.contains(&byte) || self.beyond.contains(&byte)
    }
}

impl fmt::Debug for Echoes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Echoes").field(&self.values.len()).finish()
    }
}

struct Value {
    parts: Vec<Part>,
    /// Its longest part that nobody escapes.
    anchor: Finder<'static>,
    /// How long what stands before the anchor may be, in bytes: at least, and at most.
    ahead: (usize, usize),
    /// How long the whole may be.
    shortest: usize,
    longest: usize,
}

/// A part of a value.
#[derive(PartialEq, Eq)]
enum Part {
    /// Characters that nobody escapes.
    Plain(Vec<u8>),
    /// One character, in all the ways in which it may be written. The first is as it is.
    Escaped(Vec<Vec<u8>>),
}

/// What a text is to a value.
#[derive(Clone, Copy)]
enum Begins {
    /// It begins with the value, which has so many bytes.
    With(usize),
    /// It ends before it can be told.
    Perhaps,
    No,
}

impl Part {
    fn ways(&self) -> &[Vec<u8>] {
        match self {
            Self::Plain(run) => std::slice::from_ref(run),
            Self::Escaped(ways) => ways,
        }
    }

    /// How long it may be, in bytes: at least, and at most.
    fn lengths(&self) -> (usize, usize) {
        let lengths = self.ways().iter().map(Vec::len);
        (lengths.clone().min().unwrap_or(0), lengths.max().unwrap_or(0))
    }

    /// Is it what this says, as far as it says something? Digits of escapes are in either case.
    fn is(&self, said: &[u8], way: &[u8]) -> bool {
        match self {
            Self::Plain(_) => said == way,
            Self::Escaped(_) => said.eq_ignore_ascii_case(way),
        }
    }
}

impl Value {
    fn of(text: &str) -> Self {
        let mut parts: Vec<Part> = Vec::new();
        for char in text.chars() {
            let plain = u8::try_from(char).ok().filter(|byte| byte.is_ascii_alphanumeric() || b"._".contains(byte));
            match (plain, parts.last_mut()) {
                (Some(byte), Some(Part::Plain(run))) => run.push(byte),
                (Some(byte), _) => parts.push(Part::Plain(vec![byte])),
                (None, _) => parts.push(Part::Escaped(ways(char))),
            }
        }
        let plain = |(at, part): (usize, &Part)| match part {
            Part::Plain(run) => Some((run.len(), at)),
            Part::Escaped(_) => None,
        };
        let (_, at) = parts.iter().enumerate().filter_map(plain).max().unwrap_or_default();
        let lengths = |parts: &[Part]| {
            let lengths = parts.iter().map(Part::lengths);
            lengths.fold((0, 0), |(least, most), (shorter, longer)| (least + shorter, most + longer))
        };
        let anchor = match parts.get(at) {
            Some(Part::Plain(run)) => run.as_slice(),
            // It is tried at every byte then.
            Some(Part::Escaped(_)) | None => &[],
        };
        let anchor = Finder::new(anchor).into_owned();
        let ahead = lengths(parts.get(..at).unwrap_or_default());
        let (shortest, longest) = lengths(&parts);
        Self { parts, anchor, ahead, shortest, longest }
    }

    /// Calls `found` with begin and end of each place in the text. What may go on behind the text's end is none, unless nothing
    /// follows.
    fn each(&self, text: &[u8], last: bool, mut found: impl FnMut(usize, usize)) {
        let (least, most) = self.ahead;
        let (mut from, mut tried) = (0, 0);
        while let Some(at) = text.get(from..).and_then(|rest| self.anchor.find(rest)) {
            let anchor = from + at;
            from = anchor + 1;
            let Some(latest) = anchor.checked_sub(least) else { continue };
            for begin in tried.max(anchor.saturating_sub(most))..=latest {
                if let Begins::With(length) = self.begins(text.get(begin..).unwrap_or_default(), last) {
                    found(begin, begin + length);
                }
            }
            tried = tried.max(latest + 1);
        }
    }

    fn begins(&self, text: &[u8], last: bool) -> Begins {
        // Nearly always it is told here.
        if let Some(Part::Plain(run)) = self.parts.first()
            && text.iter().zip(run).any(|(said, byte)| said != byte)
        {
            return Begins::No;
        }
        // Each way of a character may go on with each of the next: a backslash is itself, or begins an escape.
        let (mut places, mut open) = (vec![0], false);
        for part in &self.parts {
            let mut ends = Vec::new();
            for place in places {
                let rest = text.get(place..).unwrap_or_default();
                for way in part.ways() {
                    let many = way.len().min(rest.len());
                    let (Some(said), Some(begin)) = (rest.get(..many), way.get(..many)) else { continue };
                    if !part.is(said, begin) {
                        continue;
                    }
                    if many < way.len() {
                        open = true;
                    } else if !ends.contains(&(place + many)) {
                        ends.push(place + many);
                    }
                }
            }
            places = ends;
        }
        match places.into_iter().max() {
            _ if open && !last => Begins::Perhaps,
            Some(end) => Begins::With(end),
            None => Begins::No,
        }
    }
}

/// How a character may be written: as it is, in JSON (RFC 8259, 7), in a URI (RFC 3986, 2.1), in HTML, in JavaScript; and in JSON
/// within JSON, in a URI within a URI.
fn ways(char: char) -> Vec<Vec<u8>> {
    let (itself, number) = (char.to_string(), u32::from(char));
    let units = |escape: &str| -> String {
        char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("{escape}{unit:04x}")).collect()
    };
    let bytes = |escape: &str| -> String { itself.bytes().map(|byte| format!("{escape}{byte:02x}")).collect() };
    let mut ways = vec![itself.clone(), units(r"\u"), units(r"\\u"), bytes("%"), bytes("%25")];
    ways.extend([bytes(r"\x"), bytes(r"\\x")]);
    ways.extend([format!("&#x{number:x};"), format!("&#{number};")]);
    if char.is_ascii() {
        // The second is what another's escape becomes, the third that of one who escapes the character again.
        ways.extend([format!(r"\{char}"), format!(r"\\{char}"), format!(r"\\\{char}")]);
    }
    let named = match char {
        '&' => &["&amp;"][..],
        '<' => &["&lt;"],
        '>' => &["&gt;"],
        '"' => &["&quot;"],
        // The second is PHP's.
        '\'' => &["&apos;", "&#039;"],
        // In a form.
        ' ' => &["+"],
        _ => &[],
    };
    ways.extend(named.iter().map(|name| (*name).to_owned()));
    ways.into_iter().map(String::into_bytes).collect()
}

/// The search of one answer.
pub struct Search {
    echoes: Arc<Echoes>,
    /// What could be the beginning of a value, and has not left.
    held: Bytes,
    /// So much of it, from its beginning, belongs to a value that was found already.
    known: usize,
    found: u32,
}

impl Search {
    /// For these, if there are any.
    pub fn new(echoes: &Arc<Echoes>) -> Option<Self> {
        let any = !echoes.values.is_empty();
        any.then(|| Self { echoes: Arc::clone(echoes), held: Bytes::new(), known: 0, found: 0 })
    }

    /// Takes what has come, and gives what may leave: what was held and what has come, but for an end that could be the
    /// beginning of a value: its last letters. Copies only where there is something to overwrite, or something was held.
    pub fn pass(&mut self, chunk: Bytes) -> Bytes {
        self.look(chunk, false)
    }

    /// Takes the last of it, and gives all that has not left. What is passed after is another text.
    pub fn finish(&mut self, chunk: Bytes) -> Bytes {
        self.look(chunk, true)
    }

    /// Overwrites in a text that stands for itself, whatever is held.
    pub fn overwrite(&mut self, text: &mut [u8]) {
        let mut places = Vec::new();
        self.echoes.values.iter().for_each(|value| value.each(text, true, |begin, end| places.push(begin..end)));
        self.found = self.found.saturating_add(u32::try_from(places.len()).unwrap_or(u32::MAX));
        for place in places {
            if let Some(place) = text.get_mut(place) {
                place.fill(b'*');
            }
        }
    }

    /// So many bytes are held.
    pub const fn held(&self) -> usize {
        self.held.len()
    }

    /// So many values were found in what has left.
    pub const fn found(&self) -> u32 {
        self.found
    }

    fn look(&mut self, chunk: Bytes, last: bool) -> Bytes {
        let mut text = chunk;
        if !self.held.is_empty() {
            text = [std::mem::take(&mut self.held), text].concat().into();
        }
        let open = if last { text.len() } else { self.echoes.open(&text) };
        // Searched is what came, not what was overwritten: values may overlap.
        let mut overwritten = None;
        let known = std::mem::take(&mut self.known);
        let (mut reached, mut found) = (known, self.found);
        overwrite(&mut overwritten, &text, 0, known);
        for value in &self.echoes.values {
            value.each(&text, last, |begin, end| {
                overwrite(&mut overwritten, &text, begin, end);
                // What begins in what is held is found once more.
                if begin < open {
                    found = found.saturating_add(1);
                    reached = reached.max(end);
                }
            });
        }
        self.found = found;
        self.known = reached.saturating_sub(open);
        self.held = text.split_off(open);
        match overwritten {
            Some(overwritten) => overwritten.freeze().split_to(open),
            None => text,
        }
    }
}

fn overwrite(overwritten: &mut Option<BytesMut>, text: &Bytes, begin: usize, end: usize) {
    if begin < end
        && let Some(place) = overwritten.get_or_insert_with(|| BytesMut::from(&**text)).get_mut(begin..end)
    {
        place.fill(b'*');
    }
}

impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search").field("found", &self.found).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
