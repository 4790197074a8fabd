//! The masks of a single value of any type that is no array. Where a mask has no meaning for a type, a stricter one stands in
//! its place; docs/reference/masks.md has the whole table.

use kernel::verdict::Mask;

use super::key::{hex, unhex};
use super::kind::Kind;
use super::text::{self, REDACTED};
use super::value::Value;
use super::{moment, network, number};

/// What a `jsonb` value in binary begins with.
const JSONB: u8 = 1;
/// The flag of an empty range in binary.
const EMPTY: u8 = 1;

/// Appends the masked value in the format that it came in; says `false`, with `out` as it was, where it is NULL.
pub(super) fn write(of: Value<'_>, kind: Kind, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    if let Kind::Text { limit, padded } = kind {
        let written = text::write(of, limit, padded, out);
        if of.mask == Mask::Token {
            of.key.recent.note(out.get(start..).unwrap_or_default().trim_ascii_end(), false);
        }
        return written;
    }
    let written = match kind {
        Kind::Integer { bytes } => number::integer(of, bytes, out),
        Kind::Float { bytes } => number::float(of, bytes, out),
        Kind::Numeric { declared } => number::numeric(of, declared, out),
        Kind::Date | Kind::Time | Kind::Timestamp | Kind::TimestampTz => moment::moment(of, kind, out),
        Kind::Boolean => constant(of, b"f", &[0], out),
        Kind::Interval => constant(of, b"00:00:00", &[0; 16], out),
        Kind::Range => constant(of, b"empty", &[EMPTY], out),
        Kind::Multirange => constant(of, b"{}", &[0; 4], out),
        Kind::Uuid => uuid(of, out),
        Kind::Json => json(of, out),
        Kind::Jsonb => jsonb(of, out),
        Kind::Bytea => bytea(of, out),
        Kind::Address { cidr } => network::address(of, cidr, out),
        Kind::Hardware { bytes } => network::hardware(of, bytes, out),
        Kind::Text { .. } | Kind::Opaque => None,
    };
    if written.is_none() {
        out.truncate(start);
    } else if matches!(of.mask, Mask::Hash | Mask::Token)
        && matches!(kind, Kind::Integer { .. } | Kind::Numeric { .. } | Kind::Uuid | Kind::Hardware { .. })
    {
        of.key.recent.note(out.get(start..).unwrap_or_default(), of.binary);
    }
    written.is_some()
}

/// Types that have a fixed value for `redact`, and NULL for the rest.
fn constant(of: Value<'_>, text: &[u8], bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if of.mask != Mask::Redact {
        return None;
    }
    out.extend_from_slice(if of.binary { bytes } else { text });
    Some(())
}

fn uuid(of: Value<'_>, out: &mut Vec<u8>) -> Option<()> {
    let Value { mask, value, binary, key } = of;
    let number = if binary { u128::from_be_bytes(value.try_into().ok()?) } else { read_uuid(value)? };
    /// The version's and the variant's digit, which a token keeps.
    const KEPT: u128 = 0xF000_F000_0000_0000_0000;
    let masked = match mask {
        Mask::Null => return None,
        Mask::Redact => 0,
        Mask::Last4 => number & 0xFFFF,
        Mask::Partial => number & (0xF << 124),
        Mask::Token => {
            // FF1 in two parts, since its numbers end at 2^120: the digits that change stand together.
            let free = (number >> 80) << 72 | ((number >> 64) & 0xFFF) << 60 | (number & ((1 << 60) - 1));
            let free = key.hexadecimal.as_ref()?.permute(b"uuid", free, 30)?;
            (free >> 72) << 80 | ((free >> 60) & 0xFFF) << 64 | (free & ((1 << 60) - 1)) | (number & KEPT)
        }
        Mask::Hash => {
            // RFC 9562, version 8: bits of an application's own.
            let digest = key.digest(&number.to_be_bytes());
            let keyed = u128::from_be_bytes(*digest.first_chunk()?);
            keyed & !(0xF << 76) & !(0x3 << 62) | 0x8 << 76 | 0x2 << 62
        }
    };
    let bytes = masked.to_be_bytes();
    if binary {
        out.extend(bytes);
    } else {
        for (place, byte) in bytes.into_iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                out.push(b'-');
            }
            out.extend([hex(byte >> 4), hex(byte & 15)]);
        }
    }
    Some(())
}

fn read_uuid(text: &[u8]) -> Option<u128> {
    if text.len() != 36 {
        return None;
    }
    let mut digits = text.iter().filter(|byte| **byte != b'-');
    let number =
        digits.by_ref().take(32).try_fold(0_u128, |number, digit| Some(number << 4 | u128::from(unhex(*digit)?)))?;
    digits.next().is_none().then_some(number)
}

/// A JSON string stands for the whole document: what is inside is not looked at.
fn json(of: Value<'_>, out: &mut Vec<u8>) -> Option<()> {
    let Value { mask, value, key, .. } = of;
    if mask == Mask::Null {
        return None;
    }
    out.push(b'"');
    match mask {
        Mask::Hash | Mask::Token => key.write_hash(value, out),
        Mask::Null | Mask::Redact | Mask::Last4 | Mask::Partial => out.extend_from_slice(REDACTED),
    }
    out.push(b'"');
    Some(())
}

fn jsonb(of: Value<'_>, out: &mut Vec<u8>) -> Option<()> {
    if !of.binary {
        return json(of, out);
    }
    let (version, document) = of.value.split_first()?;
    if *version != JSONB {
        return None;
    }
    out.push(JSONB);
    json(Value { value: document, ..of }, out)
}

fn bytea(of: Value<'_>, out: &mut Vec<u8>) -> Option<()> {
    let Value { mask, value, binary, key } = of;
    // Text is `\x` and digits; with `bytea_output = escape` it is not, and NULL.
    let decoded;
    let bytes = if binary {
        value
    } else {
        let pairs = value.strip_prefix(b"\\x")?.chunks(2);
        let byte = |pair: &[u8]| match pair {
            [high, low] => Some(unhex(*high)? << 4 | unhex(*low)?),
            _ => None,
        };
        decoded = pairs.map(byte).collect::<Option<Vec<u8>>>()?;
        &decoded
    };
    if !binary {
        out.extend_from_slice(b"\\x");
    }
    let mut push = |byte: u8| {
        if binary { out.push(byte) } else { out.extend([hex(byte >> 4), hex(byte & 15)]) }
    };
    match mask {
        Mask::Null => return None,
        Mask::Redact => REDACTED.iter().copied().for_each(push),
        Mask::Hash | Mask::Token => key.hash(bytes).into_iter().for_each(push),
        Mask::Last4 => {
            let hidden = bytes.len() - if bytes.len() < 8 { 0 } else { 4 };
            (0..hidden).for_each(|_| push(0));
            bytes.iter().skip(hidden).copied().for_each(push);
        }
        Mask::Partial => {
            if let [first, _, _, ..] = bytes {
                push(*first);
            }
            [0; 3].into_iter().for_each(push);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests;
