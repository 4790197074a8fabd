//! Classes of bytes, as the grammars of RFC 9110 and RFC 3986 have them.

use crate::http::violation::Violation;

/// Which bytes are of a class. A table, because each byte of each head is looked up.
struct Class([bool; 256]);

impl Class {
    #[inline]
    fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).copied().unwrap_or(false)
    }
}

macro_rules! class {
    ($byte:ident => $is:expr) => {{
        let mut class = [false; 256];
        let mut rest: &mut [bool] = &mut class;
        let mut $byte = 0u8;
        while let [slot, after @ ..] = rest {
            *slot = $is;
            $byte = $byte.wrapping_add(1);
            rest = after;
        }
        Class(class)
    }};
}

static TOKEN: Class = class!(byte => matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9'
    | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'));
static SEGMENT: Class = class!(byte => is_unreserved(byte)
    || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@'));

/// Is it a token: a method, the name of a header? RFC 9110, §5.6.2.
#[inline]
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| TOKEN.has(*byte))
}

/// A byte that means the same escaped and plain. RFC 3986, §2.3.
#[inline]
pub(super) const fn is_unreserved(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~')
}

/// A byte that may stand plain in a segment of a path, but for `;`, which we refuse. RFC 3986, §3.3.
#[inline]
pub(super) fn is_segment(byte: u8) -> bool {
    SEGMENT.has(byte)
}

/// May it be the value of a header? No control character but the tab. RFC 9110, §5.5.
#[inline]
pub(super) fn is_value(text: &[u8]) -> bool {
    // Without an early end, so that many bytes are looked at in one step.
    text.iter().fold(true, |good, byte| good & (*byte == b'\t' || (*byte >= b' ' && *byte != 0x7f)))
}

/// The value of a hexadecimal digit.
#[inline]
pub(super) const fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Takes the first byte of a text, out of its escape if it has one, and gives what is left; none at the end.
///
/// # Errors
/// [`Violation::Escape`] if what begins with `%` is no escape.
#[inline]
pub(super) fn unescape(text: &[u8]) -> Result<Option<(u8, &[u8])>, Violation> {
    match text {
        [] => Ok(None),
        [b'%', high, low, rest @ ..] => {
            let (high, low) = hex(*high).zip(hex(*low)).ok_or(Violation::Escape)?;
            Ok(Some((high << 4 | low, rest)))
        }
        [b'%', ..] => Err(Violation::Escape),
        [byte, rest @ ..] => Ok(Some((*byte, rest))),
    }
}

/// Appends `%XX`, in upper case.
pub(super) fn escape(byte: u8, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    for digit in [byte >> 4, byte & 15] {
        out.push(DIGITS.get(usize::from(digit)).copied().map_or('0', char::from));
    }
}

/// Without the spaces and tabs around it. RFC 9110, §5.6.3.
#[inline]
pub(super) const fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}
