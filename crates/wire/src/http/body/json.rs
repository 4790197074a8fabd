//! A whole JSON document, RFC 8259 to the letter: no member twice in any object, no byte that the grammar does not have.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use super::super::json_text::{self, Number};
use super::super::names::same_but_for_case;
use super::value::{self, Scalar};
use super::{BodyError, BodyFacts, BodyField, DEEPEST_BODY};

/// A field, and how much of its path led here.
type Sought<'f> = (&'f BodyField, &'f [&'f Arc<str>]);

pub(super) fn read(body: &[u8], fields: &[BodyField]) -> Result<BodyFacts, BodyError> {
    let text = std::str::from_utf8(body).map_err(|error| BodyError::Malformed(error.valid_up_to()))?;
    let paths: Vec<(&BodyField, Vec<&Arc<str>>)> =
        fields.iter().filter_map(|field| Some((field, field.path.single()?))).collect();
    let sought: Vec<Sought<'_>> = paths.iter().map(|(field, names)| (*field, names.as_slice())).collect();
    let mut document = Document { text, at: 0, facts: BodyFacts::default() };
    document.blank();
    document.value(&sought, 0)?;
    document.blank();
    if document.at < text.len() {
        return Err(BodyError::Malformed(document.at));
    }
    Ok(document.facts)
}

struct Document<'b> {
    text: &'b str,
    at: usize,
    facts: BodyFacts,
}

impl<'b> Document<'b> {
    fn rest(&self) -> &'b [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    const fn malformed(&self) -> BodyError {
        BodyError::Malformed(self.at)
    }

    fn blank(&mut self) {
        self.at += self.rest().iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    }

    fn expect(&mut self, byte: u8) -> Result<(), BodyError> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.malformed())
        }
    }

    /// A value, with the fields whose paths lead here or further. Recursion is bounded by `depth`.
    fn value(&mut self, sought: &[Sought<'_>], depth: usize) -> Result<(), BodyError> {
        let scalar = match self.peek().ok_or_else(|| self.malformed())? {
            b'{' => {
                Self::descend(sought, false)?;
                return self.object(sought, depth + 1);
            }
            b'[' => {
                Self::descend(sought, true)?;
                return self.array(depth + 1);
            }
            b'"' => {
                let text = self.string()?;
                return self.note(sought, Scalar::Text(&text));
            }
            b't' => self.word("true", Scalar::Boolean(true))?,
            b'f' => self.word("false", Scalar::Boolean(false))?,
            b'n' => self.word("null", Scalar::Null)?,
            _ => Scalar::Number(self.number()?),
        };
        self.note(sought, scalar)
    }

    /// A structure where a field has to be is not what it has to be; nor is an array on the way to one.
    fn descend(sought: &[Sought<'_>], array: bool) -> Result<(), BodyError> {
        match sought.iter().find(|(_, names)| array || names.is_empty()) {
            Some((field, _)) => value::note(field, Scalar::Structure, &mut BodyFacts::default()),
            None => Ok(()),
        }
    }

    fn note(&mut self, sought: &[Sought<'_>], scalar: Scalar<'_>) -> Result<(), BodyError> {
        for (field, names) in sought {
            match (names.is_empty(), scalar) {
                (_, Scalar::Null) => {}
                (true, _) => value::note(field, scalar, &mut self.facts)?,
                // A value where an object has to be that holds the field.
                (false, _) => value::note(field, Scalar::Structure, &mut self.facts)?,
            }
        }
        Ok(())
    }

    fn word(&mut self, word: &str, scalar: Scalar<'static>) -> Result<Scalar<'static>, BodyError> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.malformed());
        }
        self.at += word.len();
        Ok(scalar)
    }

    fn number(&mut self) -> Result<&'b str, BodyError> {
        let mut number = Number::Start;
        let begin = self.at;
        for byte in self.rest() {
            match number.step(*byte) {
                Some(next) => number = next,
                None => break,
            }
            self.at += 1;
        }
        let text = self.text.get(begin..self.at).filter(|_| number.is_whole());
        text.ok_or(BodyError::Malformed(begin))
    }

    fn string(&mut self) -> Result<Cow<'b, str>, BodyError> {
        self.expect(b'"')?;
        let begin = self.at;
        let mut escaped = false;
        loop {
            self.at += json_text::plain(self.rest());
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 2;
                }
                _ => return Err(self.malformed()),
            }
        }
        let raw = self.text.get(begin..self.at).ok_or(BodyError::Malformed(begin))?;
        self.at += 1;
        if !escaped {
            return Ok(Cow::Borrowed(raw));
        }
        let mut out = Vec::with_capacity(raw.len());
        let whole = json_text::unescape(raw.as_bytes(), &mut out).ok_or(BodyError::Malformed(begin))?;
        // A half of a pair is no character: each reader has its own idea of it.
        if whole.lone_surrogates {
            return Err(BodyError::Malformed(begin));
        }
        String::from_utf8(out).map(Cow::Owned).map_err(|_| BodyError::Malformed(begin))
    }

    fn deepen(&self, depth: usize) -> Result<(), BodyError> {
        if depth > DEEPEST_BODY { Err(BodyError::TooDeep) } else { Ok(()) }
    }

    fn array(&mut self, depth: usize) -> Result<(), BodyError> {
        self.deepen(depth)?;
        self.expect(b'[')?;
        self.blank();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blank();
            self.value(&[], depth)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => return self.expect(b']'),
            }
        }
    }

    fn object(&mut self, sought: &[Sought<'_>], depth: usize) -> Result<(), BodyError> {
        self.deepen(depth)?;
        self.expect(b'{')?;
        self.blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        let mut known: HashSet<Cow<'b, str>> = HashSet::new();
        loop {
            self.blank();
            let place = self.at;
            let key = self.string()?;
            let mut below: Vec<Sought<'_>> = Vec::new();
            for (field, names) in sought {
                let Some((name, rest)) = names.split_first() else { continue };
                if name.as_ref() == key {
                    below.push((field, rest));
                } else if same_but_for_case(name, &key) {
                    // Go's and .NET's readers would take it for the field.
                    return Err(BodyError::Twice(place));
                }
            }
            if !known.insert(key) {
                return Err(BodyError::Twice(place));
            }
            self.blank();
            self.expect(b':')?;
            self.blank();
            self.value(&below, depth)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => return self.expect(b'}'),
            }
        }
    }
}
