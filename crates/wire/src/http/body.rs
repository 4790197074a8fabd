//! Facts from the bodies of requests: the fields that an endpoint names, and only where a policy reads them.
//!
//! Whatever two readers could understand in two ways is refused (hazards HT08, HT09): members, fields or parts that
//! stand twice or differ from a named one in case alone, numbers that a double does not hold, other encodings than UTF-8, types other than
//! those below. Values never leave through an error. JSON stands in `body/json.rs`, forms in `body/form.rs`, multipart in
//! `body/multipart.rs`, and what a value says in `body/value.rs`.

mod form;
mod json;
mod multipart;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::json_path::{JsonPath, JsonPathError};
use super::violation::Violation;

/// How deep a body may be.
pub const DEEPEST_BODY: usize = 64;
/// The longest text that becomes a fact, in bytes.
pub const LONGEST_TEXT: usize = 16 * 1024;
/// The most digits behind the point of [`Expect::Decimal`].
pub const MOST_PLACES: u32 = 9;

/// What a field's value has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expect {
    /// A text, an integer, or a truth value. A text that is an integer is both; one that some readers would take for
    /// a number and others not is refused.
    Any,
    /// A text.
    Text,
    /// A whole number.
    Integer,
    /// A truth value.
    Boolean,
    /// A number with at most so many digits behind the point, or a text of that form; the fact is in that unit (`10.5` of
    /// `decimal(2)` is 1050).
    Decimal(u32),
}

/// A field of the body that policy can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyField {
    /// What policies call it.
    pub name: Arc<str>,
    /// Where it stands: members only.
    pub path: JsonPath,
    /// What it has to be.
    pub expect: Expect,
}

/// Why a text does not name a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFieldError {
    /// The path is none.
    #[error(transparent)]
    Path(#[from] JsonPathError),
    /// It names more than one place.
    #[error("a field of a request is one value: its path has members only, such as `$.amount.value`")]
    Several,
    /// No such type.
    #[error("the type of a field is `text`, `integer`, `boolean` or `decimal(PLACES)` with up to {MOST_PLACES} places")]
    Type,
}

impl BodyField {
    /// Reads `$.amount`, or with a type `$.amount: integer`.
    ///
    /// # Errors
    /// [`BodyFieldError`] says what is wrong.
    pub fn parse(name: &str, text: &str) -> Result<Self, BodyFieldError> {
        let (path, expect) = match text.rsplit_once(": ") {
            Some((path, word)) => (path.trim_end(), Expect::parse(word.trim()).ok_or(BodyFieldError::Type)?),
            None => (text, Expect::Any),
        };
        let path = JsonPath::parse(path)?;
        if path.single().is_none_or(|names| names.is_empty()) {
            return Err(BodyFieldError::Several);
        }
        Ok(Self { name: name.into(), path, expect })
    }
}

impl Expect {
    /// Reads the word of a type.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "text" => Self::Text,
            "integer" => Self::Integer,
            "boolean" => Self::Boolean,
            _ => {
                let places = word.strip_prefix("decimal(")?.strip_suffix(')')?.parse().ok()?;
                (places <= MOST_PLACES).then_some(Self::Decimal(places))?
            }
        })
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Text => f.write_str("text"),
            Self::Integer => f.write_str("integer"),
            Self::Boolean => f.write_str("boolean"),
            Self::Decimal(places) => write!(f, "decimal({places})"),
        }
    }
}

/// Why a body says nothing that can be relied on. Names are the configuration's, never the client's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The content type is absent, is not read, or names another encoding than UTF-8.
    #[error("the body's type cannot be read: it is json, a form or multipart form data, in utf-8")]
    Type,
    /// It is not what its type says.
    #[error("the body is malformed at byte {0}")]
    Malformed(usize),
    /// It is deeper than [`DEEPEST_BODY`].
    #[error("the body is deeper than {DEEPEST_BODY} levels")]
    TooDeep,
    /// Something stands twice, or differs from a named field in case alone.
    #[error("the body names something twice at byte {0}")]
    Twice(usize),
    /// A field such as `_method`, which would override the method.
    #[error("a field of the body would override the method")]
    Override,
    /// A field is not what it has to be.
    #[error("field `{name}` of the body is no {expect}")]
    WrongType {
        /// What policies call the field.
        name: Arc<str>,
        /// What it has to be.
        expect: Expect,
    },
}

impl From<&BodyError> for Violation {
    fn from(error: &BodyError) -> Self {
        match error {
            BodyError::Type => Self::BodyType,
            BodyError::Malformed(_) | BodyError::WrongType { .. } => Self::Body,
            BodyError::TooDeep => Self::BodyDepth,
            BodyError::Twice(_) => Self::RepeatedMember,
            BodyError::Override => Self::Override,
        }
    }
}

/// What a body says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BodyFacts {
    /// Texts, and truth values as `true` and `false`.
    pub texts: BTreeMap<Arc<str>, Arc<str>>,
    /// Whole numbers, within what a double holds exactly.
    pub numbers: BTreeMap<Arc<str>, i64>,
}

/// The types of bodies that are read.
#[derive(Clone, Debug, PartialEq, Eq)]
enum BodyKind {
    Json,
    Form,
    Multipart(String),
}

/// Reads the named fields of a whole body. An empty body without a content type has none.
///
/// # Errors
/// [`BodyError`] where it could be read in two ways, or not at all.
pub fn read(content_type: Option<&str>, body: &[u8], fields: &[BodyField]) -> Result<BodyFacts, BodyError> {
    let kind = match content_type {
        Some(text) => body_kind(text).ok_or(BodyError::Type)?,
        None if body.is_empty() => return Ok(BodyFacts::default()),
        None => return Err(BodyError::Type),
    };
    match kind {
        BodyKind::Json => json::read(body, fields),
        BodyKind::Form => form::read(body, fields),
        BodyKind::Multipart(boundary) => multipart::read(body, &boundary, fields),
    }
}

fn body_kind(content_type: &str) -> Option<BodyKind> {
    let (essence, parameters) = media_type(content_type)?;
    match essence.as_str() {
        "multipart/form-data" => match parameters.as_slice() {
            [(name, boundary)] if name == "boundary" && is_boundary(boundary) => {
                Some(BodyKind::Multipart(boundary.clone()))
            }
            _ => None,
        },
        _ if !is_utf8(&parameters) => None,
        "application/x-www-form-urlencoded" => Some(BodyKind::Form),
        essence if is_json(essence) => Some(BodyKind::Json),
        _ => None,
    }
}

/// RFC 2046, 5.1.1, without the characters that have to be quoted.
fn is_boundary(text: &str) -> bool {
    (1..=70).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'\'' | b'+' | b'_' | b'-' | b'.'))
}

/// Whether a media type without its parameters is JSON: `application/json`, `text/json`, or with the suffix of RFC 6839.
pub(super) fn is_json(essence: &str) -> bool {
    matches!(essence, "application/json" | "text/json")
        || essence.split_once('/').is_some_and(|(_, subtype)| subtype.len() > 5 && subtype.ends_with("+json"))
}

/// Whether no parameter names another encoding.
pub(super) fn is_utf8(parameters: &[(String, String)]) -> bool {
    parameters
        .iter()
        .filter(|(name, _)| name == "charset")
        .all(|(_, value)| matches!(value.to_ascii_lowercase().as_str(), "utf-8" | "utf8"))
}

/// A media type in lower case, and its parameters (names in lower case), RFC 9110 8.3.1. `None` if it is malformed or
/// names a parameter twice.
pub(super) fn media_type(text: &str) -> Option<(String, Vec<(String, String)>)> {
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    let mut parts = text.split(';');
    let essence = parts.next()?.trim_matches([' ', '\t']).to_ascii_lowercase();
    let (kind, subtype) = essence.split_once('/')?;
    if !is_token(kind) || !is_token(subtype) {
        return None;
    }
    let mut parameters: Vec<(String, String)> = Vec::new();
    for part in parts {
        let part = part.trim_matches([' ', '\t']);
        if part.is_empty() {
            continue;
        }
        let (name, value) = part.split_once('=')?;
        let name = name.to_ascii_lowercase();
        // What needs quotes for its characters is nothing that we know.
        let value = match value.strip_prefix('"') {
            Some(quoted) => quoted.strip_suffix('"')?,
            None => value,
        };
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\') || byte == b' ';
        if !is_token(&name)
            || value.is_empty()
            || !value.bytes().all(plain)
            || parameters.iter().any(|(known, _)| *known == name)
        {
            return None;
        }
        parameters.push((name, value.to_owned()));
    }
    Some((essence, parameters))
}

#[cfg(test)]
mod tests;
