//! References within a document: `#/components/schemas/Customer`. Others are refused, because nothing is fetched.

use serde_json::{Map, Value};

use super::OpenApiError;

/// The most references that follow each other.
const LONGEST_CHAIN: usize = 32;

#[derive(Clone, Copy, Debug)]
pub(super) struct Document<'d> {
    root: &'d Value,
}

/// The reference that an object is, if it is one.
pub(super) fn reference(value: &Value) -> Option<&str> {
    value.get("$ref").and_then(Value::as_str)
}

impl<'d> Document<'d> {
    pub(super) const fn new(root: &'d Value) -> Self {
        Self { root }
    }

    /// What a reference leads to, one step.
    pub(super) fn follow(&self, reference: &str) -> Result<&'d Value, OpenApiError> {
        let nowhere = || OpenApiError::Reference { reference: reference.into() };
        let pointer = reference.strip_prefix('#').filter(|pointer| pointer.is_empty() || pointer.starts_with('/'));
        let mut at = self.root;
        for part in pointer.ok_or_else(nowhere)?.split('/').skip(1) {
            let part = decode(part).ok_or_else(nowhere)?.replace("~1", "/").replace("~0", "~");
            let next = match at {
                Value::Array(items) => part.parse::<usize>().ok().and_then(|place| items.get(place)),
                other => other.get(&part),
            };
            at = next.ok_or_else(nowhere)?;
        }
        Ok(at)
    }

    /// The object that stands here, or that references lead to from here.
    pub(super) fn object(&self, value: &'d Value, place: &str) -> Result<&'d Map<String, Value>, OpenApiError> {
        let mut value = value;
        for _ in 0..LONGEST_CHAIN {
            match reference(value) {
                Some(reference) => value = self.follow(reference)?,
                None => return value.as_object().ok_or_else(|| OpenApiError::expected(place, "an object")),
            }
        }
        Err(OpenApiError::Reference { reference: reference(value).unwrap_or_default().into() })
    }
}

fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            bytes.push(u8::try_from(digit()? << 4 | digit()?).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}
