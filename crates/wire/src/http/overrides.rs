//! A body that would have another method be carried out than its request line says (HT06): Rails, Laravel, Symfony, Express and
//! others let a POST say `_method=DELETE` in a form, in a part of a multipart body, or in a member of a JSON document.
//!
//! Bodies that no policy reads stream by, so this looks at names alone as they pass, keeps no more than one of them, and
//! takes for a name whatever a lenient reader might. A name that is found breaks the body off before its end, so that no upstream has
//! a whole request to carry out.

mod json;
mod multipart;

use http::Method;

use super::multipart::{Parts, boundary};
use super::names::is_override;
use super::violation::Violation;
use json::Members;
use multipart::Heads;

/// As much of a name of a form is kept, in bytes as it comes.
const LONGEST_NAME: usize = 256;

/// Looks for such a field in one body.
#[derive(Debug)]
pub struct Overrides(Scan);

#[derive(Debug)]
enum Scan {
    Form { name: Vec<u8>, in_value: bool },
    Members(Members),
    Heads(Parts<Heads>),
}

impl Overrides {
    /// For the body of a request; none where no upstream would look for such a field. Without a type, some take a POST for a
    /// form. `coded`: it has a content coding. Documents are sent compressed to be stored, so they pass unread then.
    ///
    /// # Errors
    /// [`Violation::BodyType`] for a multipart body whose boundary cannot be told in one way, [`Violation::ContentCoding`] for
    /// a form or a multipart body that has one.
    pub fn of(method: &Method, content_type: Option<&[u8]>, coded: bool) -> Result<Option<Self>, Violation> {
        if *method != Method::POST {
            return Ok(None);
        }
        let form = || Scan::Form { name: Vec::new(), in_value: false };
        let Some(kind) = content_type else { return Ok((!coded).then(|| Self(form()))) };
        let text = String::from_utf8_lossy(kind);
        let lower = text.trim().to_ascii_lowercase();
        let scan = if lower.starts_with("multipart/") {
            Scan::Heads(Parts::new(&boundary(&text)?, Heads))
        } else if lower.contains("x-www-form-urlencoded") {
            form()
        } else if lower.contains("json") && !coded {
            Scan::Members(Members::default())
        } else {
            return Ok(None);
        };
        if coded { Err(Violation::ContentCoding) } else { Ok(Some(Self(scan))) }
    }

    /// Looks at the next bytes of the body.
    ///
    /// # Errors
    /// [`Violation::Override`] once such a field has begun, [`Violation::Body`] for a part whose head is too long.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        match &mut self.0 {
            Scan::Form { name, in_value } => form(bytes, name, in_value),
            Scan::Members(members) => members.feed(bytes),
            Scan::Heads(heads) => heads.feed(bytes).map(|_never| ()),
        }
    }
}

fn form(mut bytes: &[u8], name: &mut Vec<u8>, in_value: &mut bool) -> Result<(), Violation> {
    while !bytes.is_empty() {
        if *in_value {
            let Some(end) = memchr::memchr2(b'&', b';', bytes) else { return Ok(()) };
            bytes = bytes.get(end..).unwrap_or_default();
        }
        let Some((byte, rest)) = bytes.split_first() else { return Ok(()) };
        bytes = rest;
        match byte {
            b'&' | b';' => {
                name.clear();
                *in_value = false;
            }
            // A name without a value overrides nothing.
            b'=' => {
                *in_value = true;
                refuse(&decoded(name))?;
            }
            _ if name.len() < LONGEST_NAME => {
                name.push(*byte);
                // Blanks before a name are left out by those who leave anything out.
                if matches!(name.as_slice(), b" " | b"+" | b"%20") {
                    name.clear();
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Without its escapes; what is none stays.
pub(super) fn decoded(name: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((byte, after)) = rest.split_first() {
        let (byte, after) = match super::letters::unescape(rest) {
            Ok(Some((b'+', after))) if *byte == b'+' => (b' ', after),
            Ok(Some(found)) => found,
            Ok(None) | Err(_) => (*byte, after),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn refuse(name: &str) -> Result<(), Violation> {
    if is_override(name) { Err(Violation::Override) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
