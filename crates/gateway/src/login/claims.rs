//! The claims of a token as trust rules compare them: flat, as text. A member of the token stands under its own name, a nested
//! one under its JSON pointer (RFC 6901), such as `/kubernetes.io/serviceaccount/uid`.
//!
//! The two can never be confused: a member whose own name begins like a pointer is left out, so that nobody who chooses the
//! name of a claim can write a nested one (hazard ID11).

use kernel::trust::Claims;

use super::json::{Json, Object};

/// How deep claims are read. Issuers nest to three; deeper ones no rule can name.
const DEEPEST: usize = 4;
/// The most claims of a token.
const MOST: usize = 512;

/// Makes claims flat. Fractions and `null` are left out: no two readers agree on the text of a fraction.
pub(super) fn flattened(claims: Object) -> Claims {
    let mut flat = Claims::new();
    for (name, value) in claims {
        if name.starts_with('/') {
            continue;
        }
        match scalar(&value) {
            Some(text) => put(&mut flat, name, text),
            None => nested(&mut flat, &pointer("", &name), &value, 1),
        }
    }
    flat
}

fn nested(flat: &mut Claims, at: &str, value: &Json, depth: usize) {
    if depth > DEEPEST {
        return;
    }
    if let Some(text) = scalar(value) {
        return put(flat, at.to_owned(), text);
    }
    match value {
        Json::Object(members) => {
            members.iter().for_each(|(name, value)| nested(flat, &pointer(at, name), value, depth + 1));
        }
        Json::Array(items) => {
            let numbered = items.iter().enumerate();
            numbered.for_each(|(number, value)| nested(flat, &format!("{at}/{number}"), value, depth + 1));
        }
        Json::Null | Json::Bool(_) | Json::Integer(_) | Json::Fraction | Json::Text(_) => {}
    }
}

fn put(flat: &mut Claims, name: String, text: String) {
    if flat.len() < MOST {
        flat.insert(name, text);
    }
}

fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::Text(text) => Some(text.clone()),
        Json::Integer(number) => Some(number.to_string()),
        Json::Bool(value) => Some(value.to_string()),
        Json::Null | Json::Fraction | Json::Array(_) | Json::Object(_) => None,
    }
}

fn pointer(above: &str, name: &str) -> String {
    format!("{above}/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests;
