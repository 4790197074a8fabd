//! Content that must one day be erased: statements, and what people wrote. A log may keep it beside its leaves, under a key of
//! its session or person; the leaf then commits to it by an HMAC under a nonce that is kept, and erased, with the content.
//!
//! In the leaf `"content":[number,"hmac"]` stands in place of the content's members, at its end.

use aws_lc_rs::hmac;

use super::record::hexadecimal;
use crate::id::SessionId;
use crate::workload::{Name, Person};

/// Whose content it is: whose erasure takes it along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentOf {
    /// A session's, and so its workload's.
    Session(SessionId, Name),
    /// What a person wrote.
    Person(Person),
}

/// The commitment of a leaf to its content: `HMAC-SHA256(nonce, content)`. Without the nonce nothing can be tried against it.
pub fn commitment(nonce: &[u8; 32], content: &[u8]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, nonce);
    let tag = hmac::sign(&key, content);
    let mut commitment = [0; 32];
    commitment.copy_from_slice(tag.as_ref());
    commitment
}

const MEMBER: &[u8] = b",\"content\":[";

/// Appends a leaf: the entry up to its content, and the commitment to what is kept as `number`.
pub fn commit(before: &[u8], number: u64, commitment: &[u8; 32], out: &mut Vec<u8>) {
    out.extend_from_slice(before);
    out.extend_from_slice(MEMBER);
    out.extend_from_slice(number.to_string().as_bytes());
    out.extend_from_slice(b",\"");
    out.extend_from_slice(&hexadecimal(commitment));
    out.extend_from_slice(b"\"]}");
}

/// A leaf whose content is kept beside it, or such an entry expanded from a short one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed<'e> {
    /// What is kept.
    pub number: u64,
    /// The commitment to it.
    pub commitment: [u8; 32],
    before: &'e [u8],
    after: &'e [u8],
}

impl<'e> Committed<'e> {
    /// Reads an entry's end. None if its content stands in the entry itself, or it has none.
    pub fn read(entry: &'e [u8]) -> Option<Self> {
        // A quote within a text is escaped, so that these bytes are a member; its form and place make it this one.
        let at = entry.windows(MEMBER.len()).rposition(|window| window == MEMBER)?;
        let (before, rest) = entry.split_at_checked(at)?;
        let rest = rest.strip_prefix(MEMBER)?;
        let comma = rest.iter().take(21).position(|byte| *byte == b',')?;
        let (number, rest) = rest.split_at_checked(comma)?;
        let (hash, after) = rest.strip_prefix(b",\"")?.split_at_checked(64)?;
        let after = after.strip_prefix(b"\"]")?;
        let ends = after == b"}" || (after.starts_with(b",\"like\":\"dec_") && after.ends_with(b"\"}"));
        let number = std::str::from_utf8(number).ok()?.parse().ok().filter(|_| ends)?;
        Some(Self { number, commitment: crate::audit::parse_chain(hash)?.0, before, after })
    }
}

/// The entry with its content in place of the commitment.
pub fn restore(committed: &Committed<'_>, content: &[u8]) -> Vec<u8> {
    [committed.before, b",", content, committed.after].concat()
}

#[cfg(test)]
mod tests;
