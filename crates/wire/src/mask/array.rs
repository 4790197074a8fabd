//! Masks of arrays: each element is masked by itself, in text and in binary (`array_out` and `array_send` in PostgreSQL's
//! arrayfuncs.c). How many elements there are, in which dimensions, and which of them are NULL, still shows.

use kernel::verdict::Mask;

use super::kind::Kind;
use super::scalar;
use super::value::Value;

/// More dimensions than the server knows.
const MOST_DIMENSIONS: u32 = 6;

/// Appends the array with masked elements; says `false`, with `out` as it was, where it is NULL.
pub(super) fn write(of: Value<'_>, kind: Kind, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let written = if of.mask == Mask::Null || kind == Kind::Opaque {
        None
    } else if of.binary {
        from_binary(of, kind, out)
    } else {
        from_text(of, kind, out)
    };
    if written.is_none() {
        out.truncate(start);
    }
    written.is_some()
}

fn be32(bytes: &mut &[u8]) -> Option<u32> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_be_bytes(*head))
}

fn from_binary(of: Value<'_>, kind: Kind, out: &mut Vec<u8>) -> Option<()> {
    let value = of.value;
    let mut rest = value;
    let dimensions = be32(&mut rest)?;
    let _nulls = be32(&mut rest)?;
    let _element = be32(&mut rest)?;
    if dimensions > MOST_DIMENSIONS {
        return None;
    }
    let mut count = if dimensions == 0 { 0 } else { 1 };
    for _ in 0..dimensions {
        count = be32(&mut rest)?.checked_mul(count)?;
        be32(&mut rest)?;
    }
    let begin = out.len();
    out.extend_from_slice(value.get(..value.len() - rest.len())?);
    let mut nulls = false;
    for _ in 0..count {
        let length = be32(&mut rest)?;
        let place = out.len();
        out.extend(u32::MAX.to_be_bytes());
        if length == u32::MAX {
            nulls = true;
            continue;
        }
        let (element, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        rest = after;
        if scalar::write(Value { value: element, ..of }, kind, out) {
            let length = u32::try_from(out.len() - place - 4).ok()?;
            out.get_mut(place..place + 4)?.copy_from_slice(&length.to_be_bytes());
        } else {
            nulls = true;
        }
    }
    out.get_mut(begin + 4..begin + 8)?.copy_from_slice(&u32::from(nulls).to_be_bytes());
    rest.is_empty().then_some(())
}

fn from_text(of: Value<'_>, kind: Kind, out: &mut Vec<u8>) -> Option<()> {
    let value = of.value;
    let mut rest = value;
    // `[0:1][2:3]={…}`: bounds that do not begin at 1 come first.
    if value.first() == Some(&b'[') {
        let end = memchr::memchr(b'=', value)?;
        let bounds = value.get(..=end)?;
        if !bounds.iter().all(|byte| matches!(byte, b'[' | b']' | b':' | b'-' | b'=' | b'0'..=b'9')) {
            return None;
        }
        out.extend_from_slice(bounds);
        rest = value.get(end + 1..)?;
    }
    let (mut plain, mut hidden) = (Vec::new(), Vec::new());
    let mut depth = 0_u32;
    loop {
        let (byte, after) = rest.split_first()?;
        match byte {
            b'{' => {
                depth += 1;
                out.push(b'{');
                rest = after;
            }
            b'}' => {
                depth = depth.checked_sub(1)?;
                out.push(b'}');
                rest = after;
                if depth == 0 {
                    return rest.is_empty().then_some(());
                }
            }
            _ if depth == 0 => return None,
            b',' => {
                out.push(b',');
                rest = after;
            }
            _ => {
                plain.clear();
                let quoted = *byte == b'"';
                rest = if quoted { read_quoted(after, &mut plain)? } else { read_bare(rest, &mut plain)? };
                hidden.clear();
                let null = !quoted && plain.eq_ignore_ascii_case(b"NULL");
                if !null && scalar::write(Value { value: &plain, ..of }, kind, &mut hidden) {
                    write_element(&hidden, out);
                } else {
                    out.extend_from_slice(b"NULL");
                }
            }
        }
    }
}

/// Reads up to the closing quote; what is left behind it.
fn read_quoted<'v>(text: &'v [u8], plain: &mut Vec<u8>) -> Option<&'v [u8]> {
    let mut rest = text;
    loop {
        let (byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some(rest),
            b'\\' => {
                let (escaped, after) = rest.split_first()?;
                plain.push(*escaped);
                rest = after;
            }
            _ => plain.push(*byte),
        }
    }
}

/// Reads up to a comma or brace.
fn read_bare<'v>(text: &'v [u8], plain: &mut Vec<u8>) -> Option<&'v [u8]> {
    let end = text.iter().position(|byte| matches!(byte, b',' | b'}' | b'{' | b'"' | b'\\'))?;
    let (element, rest) = text.split_at_checked(end)?;
    plain.extend_from_slice(element);
    // The server never writes these here.
    (!matches!(rest.first(), Some(b'{' | b'"' | b'\\'))).then_some(rest)
}

/// Quotes what `array_out` would.
fn write_element(element: &[u8], out: &mut Vec<u8>) {
    let special =
        |byte: &u8| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',' | b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C);
    if !element.is_empty() && !element.iter().any(special) && !element.eq_ignore_ascii_case(b"NULL") {
        out.extend_from_slice(element);
        return;
    }
    out.push(b'"');
    for byte in element {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}
