//! The masks of a single value.
//!
//! | mask | text | other types |
//! |---|---|---|
//! | null | NULL | NULL |
//! | redact | `[redacted]` | NULL |
//! | hash | 16 hexadecimal digits of a keyed HMAC-SHA-256 | NULL |
//! | token | `tok_` and the same digits | NULL |
//! | last4 | stars, then the last four characters; below eight characters stars alone | NULL |
//! | partial | the first character and `***`; for an address `m***@e***.com` | NULL |
//!
//! Partial shows nothing of a part that is shorter than three characters. Hash and token are equal for equal values of one
//! upstream, which is what makes them joinable, and what a guesser of small domains would need the key for. Length shows
//! through `last4`; that a value is NULL shows through all of them but `null`.

use aws_lc_rs::hmac;
use kernel::verdict::Mask;

/// The key of `hash` and `token`, one for each upstream.
pub struct MaskKey(hmac::Key);

impl std::fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MaskKey(redacted)")
    }
}

impl MaskKey {
    /// A key from secret bytes; 32 of them are right.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

/// Whether a type's values are text in both formats, so that masked text is a value of it: text, varchar, bpchar, name,
/// unknown.
pub(super) fn is_text(type_oid: u32) -> bool {
    matches!(type_oid, 25 | 1043 | 1042 | 19 | 705)
}

/// Writes the masked form of a text value; says `false`, and writes nothing, where it is NULL.
pub(super) fn write(mask: Mask, value: &[u8], key: &MaskKey, out: &mut Vec<u8>) -> bool {
    // The upstream's encoding is pinned to UTF-8; what is not UTF-8 is nothing that we know how to cut.
    let Ok(text) = std::str::from_utf8(value) else { return false };
    match mask {
        Mask::Null => return false,
        Mask::Redact => out.extend_from_slice(b"[redacted]"),
        Mask::Hash => digits(value, key, out),
        Mask::Token => {
            out.extend_from_slice(b"tok_");
            digits(value, key, out);
        }
        Mask::Last4 => {
            let length = text.chars().count();
            let shown = if length < 8 { 0 } else { 4 };
            for (place, letter) in text.chars().enumerate() {
                if place + shown < length { out.push(b'*') } else { push(letter, out) }
            }
        }
        Mask::Partial => partial(text, out),
    }
    true
}

fn digits(value: &[u8], key: &MaskKey, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let tag = hmac::sign(&key.0, value);
    for byte in tag.as_ref().iter().take(8) {
        for half in [byte >> 4, byte & 15] {
            out.push(HEX.get(usize::from(half)).copied().unwrap_or(b'0'));
        }
    }
}

fn push(letter: char, out: &mut Vec<u8>) {
    out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
}

fn partial(text: &str, out: &mut Vec<u8>) {
    match text.split_once('@') {
        Some((local, domain)) if !local.is_empty() && !domain.is_empty() && !domain.contains('@') => {
            first(local, out);
            out.push(b'@');
            match domain.rsplit_once('.') {
                Some((name, last)) => {
                    first(name, out);
                    out.push(b'.');
                    out.extend_from_slice(last.as_bytes());
                }
                None => first(domain, out),
            }
        }
        _ => first(text, out),
    }
}

/// The first character, unless the part is so short that this would be most of it.
fn first(part: &str, out: &mut Vec<u8>) {
    let mut letters = part.chars();
    if let (Some(letter), Some(_), Some(_)) = (letters.next(), letters.next(), letters.next()) {
        push(letter, out);
    }
    out.extend_from_slice(b"***");
}
