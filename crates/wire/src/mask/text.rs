//! Masks of text: characters are what is counted, shown and starred.

use kernel::verdict::Mask;

use super::key::MaskKey;
use super::permute::LEAST_DOMAIN;
use super::value::Value;

/// What `redact` writes.
pub(super) const REDACTED: &[u8] = b"[redacted]";
/// What stands before the digits where a token cannot keep the form.
pub(super) const TOKEN: &[u8] = b"tok_";

/// Writes the masked form of a text; says `false`, and writes nothing, where it is NULL.
pub(super) fn write(of: Value<'_>, limit: Option<u32>, padded: bool, out: &mut Vec<u8>) -> bool {
    let Value { mask, value, key, .. } = of;
    // The upstream's encoding is pinned to UTF-8; what is not UTF-8 is nothing that we know how to cut.
    let Ok(text) = std::str::from_utf8(value) else { return false };
    // What fills `char(n)` up is not part of its value.
    let text = if padded { text.trim_end_matches(' ') } else { text };
    let start = out.len();
    match mask {
        Mask::Null => return false,
        Mask::Redact => out.extend_from_slice(REDACTED),
        Mask::Hash => key.write_hash(text.as_bytes(), out),
        Mask::Token => token(text, key, out),
        Mask::Last4 => last4(text, out),
        Mask::Partial => partial(text, out),
    }
    if let Some(limit) = limit {
        fit(start, limit as usize, padded, out);
    }
    true
}

/// Cuts to so many characters, or fills up to them.
fn fit(start: usize, limit: usize, padded: bool, out: &mut Vec<u8>) {
    let written = out.get(start..).unwrap_or_default();
    // A byte of UTF-8 that continues a character is 10xxxxxx.
    let begins = |byte: &u8| byte & 0xC0 != 0x80;
    let length = written.iter().filter(|byte| begins(byte)).count();
    if length > limit {
        let places = written.iter().enumerate().filter(|(_, byte)| begins(byte));
        let end = places.map(|(place, _)| place).nth(limit);
        out.truncate(start + end.unwrap_or(0));
    } else if padded {
        out.resize(out.len() + (limit - length), b' ');
    }
}

fn last4(text: &str, out: &mut Vec<u8>) {
    let length = text.chars().count();
    let shown = if length < 8 { 0 } else { 4 };
    out.resize(out.len() + (length - shown), b'*');
    if shown > 0
        && let Some((place, _)) = text.char_indices().nth_back(shown - 1)
    {
        out.extend_from_slice(text.as_bytes().get(place..).unwrap_or_default());
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

/// How many characters may stand where this one does, and the first of them; `None` for what is kept.
fn alphabet(byte: u8) -> Option<(u32, u8)> {
    match byte {
        b'0'..=b'9' => Some((10, b'0')),
        b'a'..=b'z' => Some((26, b'a')),
        b'A'..=b'Z' => Some((26, b'A')),
        _ => None,
    }
}

/// Digits become digits, letters become letters of the same case, and the rest stays: a permutation of all texts of that
/// form. Where the form has fewer than a million texts, or holds letters beyond ASCII, it is a hash.
fn token(text: &str, key: &MaskKey, out: &mut Vec<u8>) {
    let mut domain: u128 = 1;
    let mut rank: u128 = 0;
    let mut count = 0;
    let (mut digits, mut letters) = (false, false);
    let mut ascii = true;
    for byte in text.bytes() {
        ascii &= byte.is_ascii();
        if let Some((size, first)) = alphabet(byte) {
            count += 1;
            (digits, letters) = (digits | (size == 10), letters | (size == 26));
            domain = domain.saturating_mul(u128::from(size));
            rank = rank.wrapping_mul(u128::from(size)).wrapping_add(u128::from(byte - first));
        }
    }
    if !ascii || domain < LEAST_DOMAIN {
        out.extend_from_slice(TOKEN);
        key.write_hash(text.as_bytes(), out);
        return;
    }
    let permuted = match (digits, letters) {
        (true, false) => key.decimal.as_ref().and_then(|ff1| ff1.permute(b"text", rank, count)),
        (false, true) => key.letters.as_ref().and_then(|ff1| ff1.permute(b"text", rank, count)),
        _ => mixed(rank, domain, key),
    };
    match permuted {
        Some(rank) => unrank(text, rank, domain, out),
        None => scatter(text, key, out),
    }
}

/// FF1 has one radix. Where positions differ, it permutes bits, and walks on until it is back among the texts of the form.
fn mixed(rank: u128, domain: u128, key: &MaskKey) -> Option<u128> {
    let bits = (128 - (domain - 1).leading_zeros()) as usize;
    let permutation = key.binary.as_ref()?;
    let mut number = rank;
    // More than half of the numbers are in the domain.
    for _ in 0..200 {
        number = permutation.permute(b"text", number, bits)?;
        if number < domain {
            return Some(number);
        }
    }
    None
}

fn unrank(text: &str, rank: u128, domain: u128, out: &mut Vec<u8>) {
    let (mut rank, mut domain) = (rank, domain);
    for byte in text.bytes() {
        out.push(match alphabet(byte) {
            None => byte,
            Some((size, first)) => {
                domain /= u128::from(size);
                let place = rank.checked_div(domain).unwrap_or(0);
                rank = rank.checked_rem(domain).unwrap_or(0);
                first + u8::try_from(place % u128::from(size)).unwrap_or(0)
            }
        });
    }
}

/// A form with more than 2^120 texts: characters come from a keyed digest, and two texts never meet.
fn scatter(text: &str, key: &MaskKey, out: &mut Vec<u8>) {
    let seed = key.digest(text.as_bytes());
    let mut block = seed;
    let mut used = 0;
    for byte in text.bytes() {
        out.push(match alphabet(byte) {
            None => byte,
            Some((size, first)) => {
                if used == block.len() {
                    block = key.digest(&block);
                    used = 0;
                }
                let pair = block.get(used..used + 2).and_then(|pair| pair.first_chunk()).copied().unwrap_or([0; 2]);
                used += 2;
                first + u8::try_from(u32::from(u16::from_be_bytes(pair)) % size).unwrap_or(0)
            }
        });
    }
}
