//! The gateway's own credential in the bytes of an answer: found however these are cut, and overwritten by as many asterisks,
//! so that lengths and places hold (hazard HT13).
//!
//! Found is a value as it was sent, and as JSON may write it. What an API makes of it besides is not known here.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use memchr::memchr_iter;
use memchr::memmem::Finder;
use zeroize::Zeroizing;

/// Shorter values would be found in anything, in bytes.
const SHORTEST: usize = 6;

/// What answers are searched for. It is made when a value is first shown, not for each answer.
#[derive(Default)]
pub(super) struct Needles(Vec<Finder<'static>>);

impl Needles {
    /// Of values, in every form that is looked for.
    pub(super) fn of(values: impl Iterator<Item = Zeroizing<String>>) -> Self {
        let mut needles: Vec<Finder<'static>> = Vec::new();
        for value in values.filter(|value| value.len() >= SHORTEST) {
            for form in forms(&value) {
                if needles.iter().all(|known| known.needle() != form.as_bytes()) {
                    needles.push(Finder::new(form.as_bytes()).into_owned());
                }
            }
        }
        Self(needles)
    }

    /// Where a value may have begun whose end is yet to come: the end of the text, if nowhere.
    fn open(&self, text: &[u8]) -> usize {
        let begins = self.0.iter().filter_map(|finder| {
            let needle = finder.needle();
            let from = text.len().saturating_sub(needle.len().saturating_sub(1));
            let tail = text.get(from..)?;
            let mut begins = memchr_iter(*needle.first()?, tail);
            let begin = begins.find(|at| tail.get(*at..).is_some_and(|rest| needle.starts_with(rest)))?;
            Some(from + begin)
        });
        begins.min().unwrap_or(text.len())
    }
}

/// A value as it is, and as JSON may write it: some escape slashes (PHP), some plus signs (.NET).
fn forms(value: &str) -> Vec<Zeroizing<String>> {
    let quoted = Zeroizing::new(serde_json::Value::from(value).to_string());
    let json = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    vec![
        Zeroizing::new(value.to_owned()),
        Zeroizing::new(json.to_owned()),
        Zeroizing::new(json.replace('/', r"\/")),
        Zeroizing::new(json.replace('+', r"\u002B")),
        Zeroizing::new(json.replace('+', r"\u002b")),
    ]
}

/// The search of one answer.
pub struct Search {
    needles: Arc<Needles>,
    /// What may be the beginning of a value, and has not left.
    held: Bytes,
    /// So much of it, from its beginning, belongs to a value that was found already.
    known: usize,
    found: u32,
}

impl Search {
    /// For these, if there are any.
    pub(super) fn new(needles: &Arc<Needles>) -> Option<Self> {
        let any = !needles.0.is_empty();
        any.then(|| Self { needles: Arc::clone(needles), held: Bytes::new(), known: 0, found: 0 })
    }

    /// Takes what has come, and gives what may leave: what was held and what has come, but for an end that may be the
    /// beginning of a value. Copies only where there is something to overwrite, or something was held.
    pub fn pass(&mut self, chunk: Bytes) -> Bytes {
        self.look(chunk, false)
    }

    /// Nothing more comes: gives what is held.
    pub fn finish(&mut self) -> Bytes {
        self.look(Bytes::new(), true)
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
        let open = if last { text.len() } else { self.needles.open(&text) };
        // Searched is what came, not what was overwritten: values may overlap.
        let mut overwritten = None;
        let known = std::mem::take(&mut self.known);
        let mut reached = known;
        overwrite(&mut overwritten, &text, 0, known);
        for finder in &self.needles.0 {
            let mut from = 0;
            while let Some(at) = text.get(from..).and_then(|rest| finder.find(rest)) {
                let begin = from + at;
                let end = begin + finder.needle().len();
                overwrite(&mut overwritten, &text, begin, end);
                // What begins in what is held is found once more.
                if begin < open {
                    self.found = self.found.saturating_add(1);
                    reached = reached.max(end);
                }
                from = begin + 1;
            }
        }
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
