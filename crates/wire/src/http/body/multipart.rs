//! `multipart/form-data`, RFC 7578, in the one form that clients write: CRLF, a disposition with quoted names, no preamble,
//! no transfer encodings. Anything else is refused.

use memchr::memmem;

use super::form::Form;
use super::{BodyError, BodyFacts, BodyField, media_type};

/// The longest head of a part, in bytes.
const LONGEST_HEAD: usize = 8192;

pub(super) fn read(body: &[u8], boundary: &str, fields: &[BodyField]) -> Result<BodyFacts, BodyError> {
    let delimiter = format!("\r\n--{boundary}");
    let finder = memmem::Finder::new(&delimiter);
    let mut form = Form::of(fields);
    // The first delimiter has no line end before it.
    let mut at = delimiter.len() - 2;
    let malformed = BodyError::Malformed;
    if !body.starts_with(delimiter.get(2..).unwrap_or_default().as_bytes()) {
        return Err(malformed(0));
    }
    loop {
        let rest = body.get(at..).ok_or(malformed(at))?;
        if matches!(rest, b"--" | b"--\r\n") {
            return Ok(form.facts);
        }
        let part = rest.strip_prefix(b"\r\n").ok_or(malformed(at))?;
        let begin = at + 2;
        let length = finder.find(part).ok_or(malformed(begin))?;
        let part = part.get(..length).ok_or(malformed(begin))?;
        let (name, text) = read_part(part).ok_or(malformed(begin))?;
        form.note(&name, text, begin)?;
        at = begin + length + delimiter.len();
    }
}

/// The name of a part, and its content where that is text.
fn read_part(part: &[u8]) -> Option<(String, Option<&str>)> {
    // A part without any header has an empty line at once.
    let head_end = memmem::find(part, b"\r\n\r\n").filter(|end| *end <= LONGEST_HEAD)?;
    let head = std::str::from_utf8(part.get(..head_end)?).ok()?;
    let content = part.get(head_end + 4..)?;
    let (mut name, mut file, mut kind) = (None, false, None);
    for line in head.split("\r\n") {
        if line.contains(['\r', '\n', '\0']) {
            return None;
        }
        let (field, value) = line.split_once(':')?;
        let value = value.trim_matches([' ', '\t']);
        match field.to_ascii_lowercase().as_str() {
            "content-disposition" if name.is_none() => {
                let (found, has_file) = disposition(value)?;
                name = Some(found);
                file = has_file;
            }
            "content-type" if kind.is_none() => kind = Some(media_type(value)?),
            _ => return None,
        }
    }
    let plain = match &kind {
        None => true,
        Some((essence, parameters)) => essence == "text/plain" && super::is_utf8(parameters),
    };
    let text = if plain && !file { Some(std::str::from_utf8(content).ok()?) } else { None };
    Some((name?, text))
}

/// `form-data; name="amount"; filename="a.txt"`: the name, and whether it is a file.
fn disposition(value: &str) -> Option<(String, bool)> {
    let mut rest = value.strip_prefix("form-data")?;
    let (mut name, mut file) = (None, false);
    while !rest.is_empty() {
        rest = rest.trim_start_matches([' ', '\t']).strip_prefix(';')?.trim_start_matches([' ', '\t']);
        let (key, quoted) = rest.split_once("=\"")?;
        // Backslashes and percent escapes are read in as many ways as there are readers.
        let (text, after) = quoted.split_once('"')?;
        if text.contains(['\\', '%']) {
            return None;
        }
        match key {
            "name" if name.is_none() => name = Some(text.to_owned()),
            "filename" if !file => file = true,
            _ => return None,
        }
        rest = after;
    }
    Some((name?, file))
}
