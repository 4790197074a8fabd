//! `application/x-www-form-urlencoded`: `amount=5&card[number]=…`. A path `$.card.number` is the field `card[number]`.

use std::borrow::Cow;
use std::collections::HashSet;

use super::super::letters::unescape;
use super::super::names::{Lenient, is_override};
use super::value::{self, Scalar};
use super::{BodyError, BodyFacts, BodyField};

pub(super) fn read(body: &[u8], fields: &[BodyField]) -> Result<BodyFacts, BodyError> {
    let mut form = Form::of(fields);
    let mut at = 0;
    if body.is_empty() {
        return Ok(form.facts);
    }
    // Many handlers read JSON whatever the type says.
    let text = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    if matches!(text.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return Err(BodyError::Type);
    }
    for pair in body.split(|byte| *byte == b'&') {
        // Some readers part fields at semicolons, too.
        if pair.contains(&b';') {
            return Err(BodyError::Twice(at));
        }
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let name = decode(halves.next().unwrap_or_default()).ok_or(BodyError::Malformed(at))?;
        let text = decode(halves.next().unwrap_or_default()).ok_or(BodyError::Malformed(at))?;
        form.note(&name, Some(&text), at)?;
        at += pair.len() + 1;
    }
    Ok(form.facts)
}

/// A form whose named texts are read one by one.
pub(super) struct Form<'f> {
    fields: Vec<(&'f BodyField, String, Lenient)>,
    known: HashSet<String>,
    pub(super) facts: BodyFacts,
}

impl<'f> Form<'f> {
    pub(super) fn of(fields: &'f [BodyField]) -> Self {
        let named = fields.iter().filter_map(|field| {
            let name = own_name(field)?;
            let lenient = Lenient::of(&name);
            Some((field, name, lenient))
        });
        Self { fields: named.collect(), known: HashSet::new(), facts: BodyFacts::default() }
    }

    /// Adds what one named text says; a value that is no text has none.
    pub(super) fn note(&mut self, name: &str, text: Option<&str>, at: usize) -> Result<(), BodyError> {
        if is_override(name) {
            return Err(BodyError::Override);
        }
        // `list[]` stands once for each element, unless it is one of ours.
        if !self.known.insert(name.to_owned()) && !name.ends_with("[]") {
            return Err(BodyError::Twice(at));
        }
        if self.fields.is_empty() {
            return Ok(());
        }
        let lenient = Lenient::of(name);
        for (field, own, known) in &self.fields {
            if name == own {
                value::note(field, text.map_or(Scalar::Structure, Scalar::Untyped), &mut self.facts)?;
            } else if lenient.may_be(known) {
                return Err(BodyError::Twice(at));
            }
        }
        Ok(())
    }
}

/// `card[number]`
fn own_name(field: &BodyField) -> Option<String> {
    let names = field.path.single()?;
    let (first, rest) = names.split_first()?;
    Some(rest.iter().fold(first.to_string(), |name, part| format!("{name}[{part}]")))
}

/// `+` is a blank, `%xx` a byte; `None` if that is no UTF-8, or no escape.
fn decode(text: &[u8]) -> Option<Cow<'_, str>> {
    if !text.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return std::str::from_utf8(text).ok().map(Cow::Borrowed);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, left)) = unescape(rest).ok()? {
        bytes.push(if rest.first() == Some(&b'+') { b' ' } else { byte });
        rest = left;
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}
