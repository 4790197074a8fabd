//! The query of a request: one form, names and values decoded once, duplicates known (HT06, HT08).
//!
//! What is sent is the query with its escapes in one form. What cannot be decoded, and parameters that would override the
//! method, are always refused. What decoders read differently (a name twice, `;` between parameters) is refused where a rule
//! reads parameters: see [`Query::facts`]. Sources: RFC 3986, §3.4; the WHATWG's `application/x-www-form-urlencoded`.

use std::collections::BTreeMap;
use std::sync::Arc;

use kernel::policy::NamesRead;

use crate::http::letters::{escape, is_segment, is_unreserved, unescape};
use crate::http::names::{is_override, mangled};
use crate::http::violation::Violation;

/// The longest query, in bytes, as it comes.
pub const QUERY_CAP: usize = 12 << 10;

/// The most parameters.
pub const PARAMETER_CAP: usize = 512;

/// The query of a request.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Query {
    text: Option<String>,
    /// A separator stands in it that not every parser takes as one.
    semicolons: bool,
}

impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Names and values are literals.
        f.debug_struct("Query").field("bytes", &self.text.as_ref().map(String::len)).finish_non_exhaustive()
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
        let mut parameters = 0;
        for part in parts(raw) {
            parameters += 1;
            // Python before 3.10, Ruby and others take `;` for `&`.
            for piece in part.split(';') {
                let (name, _) = halves(piece);
                if name.contains(['_', '-', '.', '+', '%']) && is_override(&decode(name)?.0) {
                    return Err(Violation::Override);
                }
            }
        }
        if parameters > PARAMETER_CAP {
            return Err(Violation::TargetTooLong);
        }
        Ok(Self { text: Some(canonical(raw)?), semicolons: raw.contains(';') })
    }

    /// What is sent behind the `?`; none where none came.
    pub fn as_str(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The parameters as facts, for rules that read those of these names.
    ///
    /// # Errors
    /// [`Violation::RepeatedParameter`] if a name stands twice for any common framework, and
    /// [`Violation::AmbiguousParameters`] if the upstream may see other names or values than we do.
    pub fn facts(&self, reads: &NamesRead) -> Result<BTreeMap<Arc<str>, Arc<str>>, Violation> {
        let pairs = self.pairs()?;
        let names: Vec<String> = pairs.iter().map(|(name, _)| mangled(name)).collect();
        // What is not a name that a rule reads must not be taken for one: `Limit` and `limit[]` are `limit` to some.
        if let NamesRead::Named(read) = reads {
            let read: Vec<(&str, String)> = read.iter().map(|name| (&**name, mangled(name))).collect();
            let taken = |(name, _): &(String, String), mangled: &String| {
                let is = |known: &str| mangled == known || base(mangled) == known || mangled == base(known);
                read.iter().any(|(own, known)| name != own && is(known))
            };
            if pairs.iter().zip(&names).any(|(pair, mangled)| taken(pair, mangled)) {
                return Err(Violation::AmbiguousParameters);
            }
        }
        if repeats(names) {
            return Err(Violation::RepeatedParameter);
        }
        Ok(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// The decoded parameters in their order.
    fn pairs(&self) -> Result<Vec<(String, String)>, Violation> {
        if self.semicolons {
            return Err(Violation::AmbiguousParameters);
        }
        let mut pairs = Vec::new();
        for part in parts(self.text.as_deref().unwrap_or_default()) {
            let (name, value) = halves(part);
            let ((name, sure_name), (value, sure_value)) = (decode(name)?, decode(value)?);
            if !sure_name || !sure_value || name.is_empty() {
                return Err(Violation::AmbiguousParameters);
            }
            pairs.push((name, value));
        }
        Ok(pairs)
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split('&').filter(|part| !part.is_empty())
}

fn halves(part: &str) -> (&str, &str) {
    part.split_once('=').unwrap_or((part, ""))
}

/// Does a name stand twice: the same, in another case, with PHP's `.` for `_`, or as `a` and `a[]`?
fn repeats(mut names: Vec<String>) -> bool {
    names.sort_unstable();
    let whole = |base: &str| names.binary_search_by(|name| name.as_str().cmp(base)).is_ok();
    names.windows(2).any(|pair| matches!(pair, [one, other] if one == other))
        || names.iter().any(|name| name.split_once('[').is_some_and(|(base, _)| whole(base)))
}

/// The name of the list or the object that a parameter belongs to, or its own.
fn base(name: &str) -> &str {
    name.split('[').next().unwrap_or_default()
}

/// Takes the escapes out, once. The second part is false where decoders differ: not UTF-8, a control character.
fn decode(raw: &str) -> Result<(String, bool), Violation> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((byte, left)) = unescape(rest)? {
        out.push(if rest.first() == Some(&b'+') { b' ' } else { byte });
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
fn canonical(raw: &str) -> Result<String, Violation> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((byte, left)) = unescape(rest)? {
        let escaped = rest.first() == Some(&b'%');
        let plain = is_segment(byte) || matches!(byte, b'/' | b'?' | b';' | b'[' | b']');
        if if escaped { is_unreserved(byte) } else { plain } {
            out.push(char::from(byte));
        } else {
            escape(byte, &mut out);
        }
        rest = left;
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
