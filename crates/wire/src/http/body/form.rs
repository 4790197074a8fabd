//! `application/x-www-form-urlencoded`: `amount=5&card[number]=…`. A path `$.card.number` is the field `card[number]`.

use std::borrow::Cow;
use std::collections::HashSet;

use super::super::query::is_override;
use super::value::{self, Scalar};
use super::{BodyError, BodyFacts, BodyField, fold};

pub(super) fn read(body: &[u8], fields: &[BodyField]) -> Result<BodyFacts, BodyError> {
    let mut facts = BodyFacts::default();
    let mut known = HashSet::new();
    let mut at = 0;
    if body.is_empty() {
        return Ok(facts);
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
        note(&name, Some(&text), at, fields, &mut known, &mut facts)?;
        at += pair.len() + 1;
    }
    Ok(facts)
}

/// Adds what one named text says; a value that is no text has none.
pub(super) fn note(
    name: &str,
    text: Option<&str>,
    at: usize,
    fields: &[BodyField],
    known: &mut HashSet<String>,
    facts: &mut BodyFacts,
) -> Result<(), BodyError> {
    if is_override(name) {
        return Err(BodyError::Override);
    }
    // `list[]` stands once for each element, unless it is one of ours.
    if !known.insert(name.to_owned()) && !name.ends_with("[]") {
        return Err(BodyError::Twice(at));
    }
    for field in fields {
        let Some(names) = field.path.single() else { continue };
        let mut own = String::new();
        for (place, part) in names.iter().enumerate() {
            own.push_str(&if place == 0 { part.to_string() } else { format!("[{part}]") });
        }
        if name == own {
            let scalar = text.map_or(Scalar::Structure, Scalar::Untyped);
            value::note(field, scalar, facts)?;
        } else if shadows(name, &own) {
            return Err(BodyError::Twice(at));
        }
    }
    Ok(())
}

/// Whether some reader takes a name for another, or for something that holds or replaces it: in another case, with dots for
/// brackets, as a list, as the whole of which the other is a part.
fn shadows(name: &str, own: &str) -> bool {
    let plain = |text: &str| -> Vec<String> {
        let text = fold(text);
        text.split(['[', ']', '.', ' ', '\0']).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let (name, own) = (plain(name), plain(own));
    name.starts_with(&own) || own.starts_with(&name)
}

/// `+` is a blank, `%xx` a byte; `None` if that is no UTF-8, or no escape.
fn decode(text: &[u8]) -> Option<Cow<'_, str>> {
    if !text.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return std::str::from_utf8(text).ok().map(Cow::Borrowed);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            byte => *byte,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}
