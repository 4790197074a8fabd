//! The heads of a multipart body's parts: a line that begins with the boundary begins one, an empty line ends it. Every word of
//! a head counts as a name, because readers differ in how they find the one that is meant.

use super::super::violation::Violation;
use super::{decoded, refuse};

/// The longest head of a part, in bytes.
const LONGEST_HEAD: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Heads {
    /// With its two hyphens.
    boundary: Vec<u8>,
    /// The line under way; outside of heads only as much of it as can be a boundary.
    line: Vec<u8>,
    /// The lines of the head under way.
    head: Option<Vec<u8>>,
}

impl Heads {
    pub(super) fn new(boundary: &str) -> Self {
        Self { boundary: format!("--{boundary}").into_bytes(), line: Vec::new(), head: None }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest);
            let (part, after) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, &[]));
            self.keep(part)?;
            if end.is_some() {
                self.end_line()?;
            }
            rest = after.get(1..).unwrap_or_default();
        }
        Ok(())
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), Violation> {
        let kept = match &self.head {
            Some(head) if head.len() + self.line.len() + part.len() > LONGEST_HEAD => return Err(Violation::Body),
            Some(_) => part,
            None => part.get(..self.boundary.len().saturating_sub(self.line.len())).unwrap_or(part),
        };
        self.line.extend_from_slice(kept);
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), Violation> {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        match &mut self.head {
            None if line.starts_with(&self.boundary) => self.head = Some(Vec::new()),
            None => {}
            Some(head) if line.is_empty() => {
                let words = words(head);
                self.head = None;
                words.iter().try_for_each(|word| refuse(word))?;
            }
            Some(head) => {
                // A line that continues the one before may break a word.
                head.extend_from_slice(line);
                head.push(b'\n');
            }
        }
        self.line.clear();
        Ok(())
    }
}

/// What could be a name, without the escapes that some readers resolve.
fn words(head: &[u8]) -> Vec<String> {
    let text: Vec<u8> = head.iter().copied().filter(|byte| *byte != b'\\').collect();
    let ends = |byte: &u8| !(byte.is_ascii_alphanumeric() || b"_-.% \0".contains(byte));
    text.split(ends).filter(|word| !word.is_empty()).map(decoded).collect()
}
