//! Recognising what a mask wrote, when it comes back: an application that reads a row, changes one field and writes the row would
//! put masks where values were (hazards MK18).
//!
//! Known again are hashes (they prove themselves), `[redacted]`, and texts that are stars but for their last four characters or
//! a beginning; and tokens, keyed numbers and UUIDs that were made lately (`recent.rs`). Not known again is what else looks
//! like a value, because it was meant to: short numbers, dates, addresses, and what `partial` leaves of a number.

use super::key::{DIGITS, MaskKey, unhex};
use super::text::REDACTED;

/// Fewer stars than this are punctuation.
const STARS: usize = 4;

impl MaskKey {
    /// Whether a value (in text, or the bytes of a binary parameter) is, or holds, what a mask of this key wrote.
    pub fn is_masked(&self, value: &[u8]) -> bool {
        value == REDACTED
            || value == b"\"[redacted]\""
            || is_starred(value)
            || self.recent.holds(value)
            || self.holds_hash(value)
    }

    /// Whether a field of a piece of `COPY … FROM STDIN` is what a mask of this key wrote. A piece may be any cut of the
    /// lines, in text or in CSV.
    pub fn is_masked_copy(&self, piece: &[u8]) -> bool {
        let fields = piece.split(|byte| matches!(byte, b'\t' | b',' | b';' | b'|' | b'\n' | b'\r' | b'"'));
        let written = |field: &[u8]| field == REDACTED || is_starred(field) || self.recent.holds(field);
        fields.filter(|field| field.len() >= 3).any(written) || self.holds_hash(piece)
    }

    /// Whether a literal of the statement is what a mask of this key wrote. Reads the text as PostgreSQL's scanner would
    /// find string constants, roughly: it only has to find masks, not to understand statements.
    pub fn is_masked_statement(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let quotes = memchr::memchr_iter(b'\'', bytes);
        let mut begin = None;
        for quote in quotes {
            if let Some(begin) = begin
                && bytes.get(begin..quote).is_some_and(|literal| self.is_masked(literal))
            {
                return true;
            }
            begin = Some(quote + 1);
        }
        // Numbers stand without quotes.
        let mut numbers = bytes.split(|byte| !(byte.is_ascii_digit() || *byte == b'.'));
        (!self.recent.is_empty() && numbers.any(|number| self.recent.holds(number))) || self.holds_hash(bytes)
    }

    /// Whether 24 hexadecimal digits in a row prove to be a hash of this key.
    fn holds_hash(&self, value: &[u8]) -> bool {
        let mut run = 0;
        for (place, byte) in value.iter().enumerate() {
            run = if unhex(*byte).is_some() && !byte.is_ascii_uppercase() { run + 1 } else { 0 };
            if run >= DIGITS {
                let digits = value.get(place + 1 - DIGITS..=place).unwrap_or_default();
                if self.proves(digits) {
                    return true;
                }
            }
        }
        false
    }

    fn proves(&self, digits: &[u8]) -> bool {
        let mut hash = [0; DIGITS / 2];
        for (slot, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = pair else { return false };
            match (unhex(*high), unhex(*low)) {
                (Some(high), Some(low)) => *slot = high << 4 | low,
                _ => return false,
            }
        }
        self.is_hash(&hash)
    }
}

/// Whether a text is what `last4` or `partial` leaves of one.
fn is_starred(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let text = text.trim_end_matches(' ');
    // `*******6789`, or stars alone.
    let shown = text.trim_start_matches('*');
    let stars = text.len() - shown.len();
    if stars >= STARS && (shown.is_empty() || shown.chars().count() == 4 && !shown.contains('*')) {
        return true;
    }
    // `m***`, `***`, `m***@e***.com`.
    let hidden = |part: &str| match part.strip_suffix("***") {
        Some(first) => first.chars().count() <= 1 && first != "*",
        None => false,
    };
    match text.split_once('@') {
        Some((local, domain)) => hidden(local) && hidden(domain.rsplit_once('.').map_or(domain, |(name, _)| name)),
        None => hidden(text),
    }
}
