//! The query of a request, and forms: names and values decoded once, duplicates known (HT06, HT08).
//!
//! What is sent is the query with its escapes in one form. What cannot be decoded, and parameters that would override the
//! method, are always refused. What decoders read differently (a name twice, `;` between parameters) is refused where a rule
//! reads parameters: see [`Query::facts`]. Sources: RFC 3986, §3.4; the WHATWG's `application/x-www-form-urlencoded`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::http::letters::{escape, hex, is_segment};
use crate::http::violation::Violation;

/// The longest query, in bytes, as it comes.
pub const QUERY_CAP: usize = 12 << 10;

/// The most parameters.
pub const PARAMETER_CAP: usize = 512;

/// Parameters with which frameworks let a request say that it has another method than it has.
const OVERRIDES: &[&str] =
    &["_method", "_httpmethod", "x_http_method_override", "x_http_method", "http_method_override"];

/// The parameters of a request, in their order.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Query {
    text: Option<String>,
    pairs: Vec<(String, String)>,
    /// Why rules cannot read the parameters, besides repeated names.
    doubt: Option<Violation>,
}

impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Names and values are literals.
        f.debug_struct("Query").field("parameters", &self.pairs.len()).field("doubt", &self.doubt).finish()
    }
}

impl Query {
    /// Reads what stands behind the `?`, if there is one.
    ///
    /// # Errors
    /// A [`Violation`] of HT04 for escapes and characters, of HT06 for overrides.
    pub fn read(raw: Option<&str>) -> Result<Self, Violation> {
        let Some(raw) = raw else {
            return Ok(Self::default());
        };
        if raw.len() > QUERY_CAP {
            return Err(Violation::TargetTooLong);
        }
        if !raw.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(Violation::PathCharacter);
        }
        let mut query = Self::parameters(raw.as_bytes())?;
        query.text = Some(canonical(raw));
        Ok(query)
    }

    /// Reads the body of a form (`application/x-www-form-urlencoded`).
    ///
    /// # Errors
    /// As [`Query::read`]; its length is the caller's to bound.
    pub fn read_form(body: &[u8]) -> Result<Self, Violation> {
        Self::parameters(body)
    }

    fn parameters(raw: &[u8]) -> Result<Self, Violation> {
        let mut query = Self::default();
        for part in raw.split(|byte| *byte == b'&').filter(|part| !part.is_empty()) {
            if query.pairs.len() >= PARAMETER_CAP {
                return Err(Violation::TargetTooLong);
            }
            // Python before 3.10, Ruby and others take `;` for `&`.
            if memchr::memchr(b';', part).is_some() {
                query.doubt = Some(Violation::AmbiguousParameters);
                for piece in part.split(|byte| *byte == b';') {
                    let name = piece.split(|byte| *byte == b'=').next().unwrap_or_default();
                    if is_override(&decode(name)?.0) {
                        return Err(Violation::Override);
                    }
                }
            }
            let (name, value) = memchr::memchr(b'=', part)
                .and_then(|at| part.split_at_checked(at))
                .map_or((part, &[][..]), |(name, value)| {
                    (name, value.split_first().map_or(&[][..], |(_, value)| value))
                });
            let ((name, sure_name), (value, sure_value)) = (decode(name)?, decode(value)?);
            if is_override(&name) {
                return Err(Violation::Override);
            }
            if !sure_name || !sure_value || name.is_empty() {
                query.doubt.get_or_insert(Violation::AmbiguousParameters);
            }
            query.pairs.push((name, value));
        }
        Ok(query)
    }

    /// What is sent behind the `?`; none where none came.
    pub fn as_str(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The decoded parameters, in their order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Are there no parameters?
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The parameters as facts, for rules that read them.
    ///
    /// # Errors
    /// [`Violation::RepeatedParameter`] if a name stands twice for any common framework, and
    /// [`Violation::AmbiguousParameters`] if the upstream may see other names or values than we do.
    pub fn facts(&self) -> Result<BTreeMap<Arc<str>, Arc<str>>, Violation> {
        match self.doubt {
            Some(doubt) => Err(doubt),
            None if self.repeats() => Err(Violation::RepeatedParameter),
            None => Ok(self.pairs().map(|(name, value)| (name.into(), value.into())).collect()),
        }
    }

    /// Without the parameters of a name, and with one of it at the end: for the credential that the gateway adds. The query
    /// that comes out holds a secret, so it is only for the upstream's head.
    pub fn with(&self, name: &str, value: &str) -> String {
        let mut out = String::new();
        let kept = self.text.as_deref().unwrap_or_default().split('&').filter(|part| {
            let own = part.split('=').next().unwrap_or_default();
            !part.is_empty() && decode(own.as_bytes()).is_ok_and(|(own, _)| folded(&own) != folded(name))
        });
        for part in kept {
            out.push_str(part);
            out.push('&');
        }
        for (text, end) in [(name, "="), (value, "")] {
            for byte in text.bytes() {
                if crate::http::letters::is_unreserved(byte) {
                    out.push(char::from(byte));
                } else {
                    escape(byte, &mut out);
                }
            }
            out.push_str(end);
        }
        out
    }

    /// Does a name stand twice: the same, in another case, with PHP's `.` for `_`, or as `a` and `a[]`?
    fn repeats(&self) -> bool {
        let mut names: Vec<String> = self.pairs.iter().map(|(name, _)| folded(name)).collect();
        names.sort_unstable();
        let whole = |base: &str| names.binary_search_by(|name| name.as_str().cmp(base)).is_ok();
        names.windows(2).any(|pair| matches!(pair, [one, other] if one == other))
            || names.iter().any(|name| name.split_once('[').is_some_and(|(base, _)| whole(base)))
    }
}

/// A parameter such as `_method`, under any of the names that frameworks know. For forms and parts of multipart bodies too.
pub fn is_override(name: &str) -> bool {
    // The longest of them; most names need no copy.
    name.len() <= 24 && name.as_bytes().iter().any(|byte| matches!(byte, b'_' | b'-')) && {
        let name = name.to_ascii_lowercase().replace('-', "_");
        OVERRIDES.contains(&name.as_str())
    }
}

/// A name as the most forgiving framework reads it.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace(['.', ' '], "_")
}

/// Takes the escapes out, once. The second part is false where decoders differ: not UTF-8, a control character.
fn decode(raw: &[u8]) -> Result<(String, bool), Violation> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [first, after @ ..] = rest {
        let (byte, left) = match (first, after) {
            (b'%', [high, low, left @ ..]) => {
                let (high, low) = hex(*high).zip(hex(*low)).ok_or(Violation::Escape)?;
                (high << 4 | low, left)
            }
            (b'%', _) => return Err(Violation::Escape),
            (b'+', _) => (b' ', after),
            _ => (*first, after),
        };
        out.push(byte);
        rest = left;
    }
    Ok(match String::from_utf8(out) {
        Ok(text) => {
            let sure = !text.chars().any(|letter| letter.is_control() && !matches!(letter, '\t' | '\n' | '\r'));
            (text, sure)
        }
        Err(other) => (String::from_utf8_lossy(other.as_bytes()).into_owned(), false),
    })
}

/// Escapes in upper case, none where a byte means the same without; what no query may hold plain is escaped.
fn canonical(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = bytes.next().and_then(hex).zip(bytes.next().and_then(hex));
            let byte = digits.map_or(b'?', |(high, low)| high << 4 | low);
            if crate::http::letters::is_unreserved(byte) {
                out.push(char::from(byte));
            } else {
                escape(byte, &mut out);
            }
        } else if is_segment(byte) || matches!(byte, b'/' | b'?' | b';' | b'[' | b']') {
            out.push(char::from(byte));
        } else {
            escape(byte, &mut out);
        }
    }
    out
}

#[cfg(test)]
mod tests;
