//! The heads of a multipart body's parts. Every word of a head counts as a name, because readers differ in how they find the one that
//! is meant.

use super::super::multipart::Look;
use super::super::violation::Violation;
use super::{decoded, refuse};

/// Looks at heads alone.
#[derive(Debug)]
pub(super) struct Heads;

impl Look for Heads {
    fn head(&mut self, head: &[u8]) -> Result<(), Violation> {
        words(head).iter().try_for_each(|word| refuse(word))
    }
}

/// What could be a name, without the escapes that some readers resolve.
fn words(head: &[u8]) -> Vec<String> {
    let text: Vec<u8> = head.iter().copied().filter(|byte| *byte != b'\\').collect();
    let ends = |byte: &u8| !(byte.is_ascii_alphanumeric() || b"_-.% \0".contains(byte));
    text.split(ends).filter(|word| !word.is_empty()).map(decoded).collect()
}
