//! The path of a request in its one form: decoded once, refused where another could decode it otherwise (HT04).
//!
//! Policy and templates see the decoded segments; the upstream gets the rendering of the same segments. A plain `+` and an
//! escaped one stay as they came, because some servers read a plain one as a space. Source: RFC 3986, §3.3, §5.2.4, §6.2.2.

use crate::http::letters::{escape, hex, is_segment, unescape};
use crate::http::violation::Violation;

/// The longest path, in bytes, as it comes.
pub const PATH_CAP: usize = 8 << 10;

/// The most segments.
pub const SEGMENT_CAP: usize = 128;

/// Letters whose compatibility forms (Unicode NFKC) are separators, dots or other marks of a URL: some servers fold them.
const LOOKALIKES: &[char] = &[
    '\u{037e}', '\u{2024}', '\u{2025}', '\u{2100}', '\u{2101}', '\u{2105}', '\u{2106}', '\u{2044}', '\u{2047}',
    '\u{2048}', '\u{2049}', '\u{2215}', '\u{2216}', '\u{29f8}', '\u{29f9}', '\u{fe52}', '\u{fe54}', '\u{fe56}',
    '\u{fe5f}', '\u{fe68}', '\u{fe6a}', '\u{ff03}', '\u{ff05}', '\u{ff0e}', '\u{ff0f}', '\u{ff1b}', '\u{ff1f}',
    '\u{ff3c}',
];

/// A path that has one reading.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CanonicalPath {
    /// What is sent.
    text: String,
    /// The segments, decoded, one behind the other.
    decoded: String,
    /// Where each segment ends in `decoded`.
    ends: Vec<u32>,
    trailing_slash: bool,
}

impl std::fmt::Debug for CanonicalPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Segments may be literals, such as the number of a customer.
        f.debug_struct("CanonicalPath").field("segments", &self.ends.len()).finish()
    }
}

impl CanonicalPath {
    /// Reads a path: from its first `/` to before the `?`.
    ///
    /// # Errors
    /// A [`Violation`] of HT04.
    pub fn read(raw: &str) -> Result<Self, Violation> {
        if raw.len() > PATH_CAP {
            return Err(Violation::TargetTooLong);
        }
        let segments = raw.strip_prefix('/').ok_or(Violation::TargetForm)?;
        let mut path = Self {
            text: String::with_capacity(raw.len() + 8),
            decoded: String::with_capacity(raw.len()),
            ends: Vec::with_capacity(8),
            trailing_slash: false,
        };
        let mut parts = segments.split('/').peekable();
        while let Some(part) = parts.next() {
            path.text.push('/');
            if part.is_empty() {
                // The root, or a slash at the end: no segment of its own, so that a template that ends without it still
                // matches.
                if parts.peek().is_some() {
                    return Err(Violation::PathEmpty);
                }
                path.trailing_slash = !path.ends.is_empty();
                break;
            }
            path.segment(part)?;
        }
        Ok(path)
    }

    /// What is sent: it begins with `/`, and is ASCII.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The decoded segments; none of them is empty. A slash at the end makes none.
    pub fn segments(&self) -> impl Iterator<Item = &str> + Clone {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(self.ends.iter().copied())
            .map(|(start, end)| self.decoded.get(start as usize..end as usize).unwrap_or_default())
    }

    /// How many segments there are.
    pub fn depth(&self) -> usize {
        self.ends.len()
    }

    /// Does a slash stand behind the last segment?
    pub const fn has_trailing_slash(&self) -> bool {
        self.trailing_slash
    }

    /// Does it lie at or below `prefix`, segment by segment? `/v1` holds `/v1/a` and not `/v10`.
    pub fn is_below(&self, prefix: &Self) -> bool {
        let mut own = self.segments();
        prefix.segments().all(|segment| own.next() == Some(segment))
    }

    fn segment(&mut self, raw: &str) -> Result<(), Violation> {
        let start = self.decoded.len();
        if self.ends.len() >= SEGMENT_CAP {
            return Err(Violation::TargetTooLong);
        }
        // Almost every segment is plain.
        if raw.bytes().all(is_segment) {
            self.text.push_str(raw);
            self.decoded.push_str(raw);
        } else {
            let bytes = decode(raw.as_bytes())?;
            let text = std::str::from_utf8(&bytes).map_err(|_| Violation::PathNotUtf8)?;
            check_letters(text)?;
            self.decoded.push_str(text);
            self.render(raw, &bytes);
        }
        let segment = self.decoded.get(start..).unwrap_or_default();
        if matches!(segment, "." | "..") {
            return Err(Violation::PathDots);
        }
        self.ends.push(u32::try_from(self.decoded.len()).map_err(|_| Violation::TargetTooLong)?);
        Ok(())
    }

    /// Writes each byte plain where it may stand plain, else escaped; a `+` as it came.
    fn render(&mut self, raw: &str, bytes: &[u8]) {
        let mut raw = raw.bytes();
        for byte in bytes {
            let escaped = raw.next() == Some(b'%');
            if escaped {
                raw.nth(1);
            }
            if is_segment(*byte) && !(escaped && *byte == b'+') {
                self.text.push(char::from(*byte));
            } else {
                escape(*byte, &mut self.text);
            }
        }
    }
}

/// Takes the escapes out of a segment, once.
fn decode(raw: &[u8]) -> Result<Vec<u8>, Violation> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((byte, left)) = unescape(rest)? {
        // Raw letters beyond ASCII have no place in a URL, and are read in several encodings.
        if matches!(rest, [0x80..=0xff, ..]) {
            return Err(Violation::PathCharacter);
        }
        match byte {
            b'/' | b'\\' => return Err(Violation::PathSeparator),
            b';' => return Err(Violation::PathParameter),
            0..0x20 | 0x7f => return Err(Violation::PathCharacter),
            _ => out.push(byte),
        }
        rest = left;
    }
    Ok(out)
}

/// What stands decoded must not be an escape again, nor deceive a reader.
fn check_letters(text: &str) -> Result<(), Violation> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        let twice = match after.as_bytes() {
            [b'u' | b'U', ..] => true,
            [high, low, ..] => hex(*high).is_some() && hex(*low).is_some(),
            _ => false,
        };
        if twice {
            return Err(Violation::PathTwice);
        }
        rest = after;
    }
    if text.is_ascii() {
        return Ok(());
    }
    let odd = |letter: char| {
        LOOKALIKES.contains(&letter)
            || letter.is_control()
            // Marks that turn the direction of writing, and line ends: what an approver reads is not what is there.
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    if text.chars().any(odd) { Err(Violation::PathCharacter) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
