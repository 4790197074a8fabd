//! A multipart body as it passes, cut into its parts. A line that begins with the boundary begins the head of one, whether it says that
//! it is the last or not, and an empty line ends the head. Nothing is kept but a head, and of other lines what may be a boundary.
//!
//! This is for looking into bodies whose upstream reads them leniently; what policy reads of one stands in `body/multipart.rs`.

use super::body::media_type;
use super::violation::Violation;

/// The longest head of a part, in bytes.
const LONGEST_HEAD: usize = 16 * 1024;

/// What looks into the parts, one behind the other. A `true` ends it: what was sought is found.
pub(super) trait Look {
    /// A part begins with these lines.
    fn head(&mut self, head: &[u8]) -> Result<(), Violation>;

    /// Bytes of the part, and of what stands before the first. The last line's end belongs to the boundary.
    fn content(&mut self, _bytes: &[u8]) -> Result<bool, Violation> {
        Ok(false)
    }

    /// The part is over, if one had begun.
    fn end(&mut self) -> Result<bool, Violation> {
        Ok(false)
    }
}

#[derive(Debug)]
pub(super) struct Parts<L> {
    /// With its two hyphens.
    boundary: Vec<u8>,
    /// The line under way: in heads all of it, elsewhere no more than can be a boundary.
    line: Vec<u8>,
    /// The line is no boundary, and what of it was held has been passed on.
    passes: bool,
    /// The lines of the head under way.
    head: Option<Vec<u8>>,
    look: L,
}

impl<L: Look> Parts<L> {
    pub(super) fn new(boundary: &str, look: L) -> Self {
        let boundary = format!("--{boundary}").into_bytes();
        Self { boundary, line: Vec::new(), passes: false, head: None, look }
    }

    /// Takes the next bytes: is it found?
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<bool, Violation> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest);
            let (part, after) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, &[]));
            let found = self.keep(part)? || end.is_some() && self.end_line()?;
            if found {
                return Ok(true);
            }
            rest = after.get(1..).unwrap_or_default();
        }
        Ok(false)
    }

    /// Ends the body: is it found?
    pub(super) fn finish(&mut self) -> Result<bool, Violation> {
        let line = std::mem::take(&mut self.line);
        let is_content = self.head.is_none() && (self.passes || !line.starts_with(&self.boundary));
        Ok(is_content && self.look.content(&line)? || self.look.end()?)
    }

    /// A piece of a line.
    fn keep(&mut self, part: &[u8]) -> Result<bool, Violation> {
        if let Some(head) = &self.head {
            if head.len() + self.line.len() + part.len() > LONGEST_HEAD {
                return Err(Violation::Body);
            }
            self.line.extend_from_slice(part);
            return Ok(false);
        }
        if self.passes {
            return self.look.content(part);
        }
        let room = self.boundary.len().saturating_sub(self.line.len()).min(part.len());
        let (held, rest) = part.split_at_checked(room).unwrap_or((part, &[]));
        self.line.extend_from_slice(held);
        if rest.is_empty() || self.line == self.boundary {
            return Ok(false);
        }
        self.passes = true;
        let line = std::mem::take(&mut self.line);
        Ok(self.look.content(&line)? || self.look.content(rest)?)
    }

    fn end_line(&mut self) -> Result<bool, Violation> {
        let line = std::mem::take(&mut self.line);
        let Some(head) = &mut self.head else {
            let passed = std::mem::take(&mut self.passes);
            if !passed && line == self.boundary {
                self.head = Some(Vec::new());
                return self.look.end();
            }
            return Ok(self.look.content(&line)? || self.look.content(b"\n")?);
        };
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        if line.is_empty() {
            let head = self.head.take().unwrap_or_default();
            self.look.head(&head)?;
        } else {
            // A line that begins with a blank goes on with the one before.
            let folded = line.starts_with(b" ") || line.starts_with(b"\t");
            head.extend_from_slice(if folded || head.is_empty() { b"" } else { b"\n" });
            head.extend_from_slice(line);
        }
        Ok(false)
    }
}

/// The boundary of a multipart body, by its type.
///
/// # Errors
/// [`Violation::BodyType`] if it cannot be told in one way.
pub(super) fn boundary(content_type: &str) -> Result<String, Violation> {
    let parameters = media_type(content_type).ok_or(Violation::BodyType)?.1;
    let boundary = parameters.into_iter().find(|(name, _)| name == "boundary").map(|(_, boundary)| boundary);
    // Some end it at a comma.
    boundary.filter(|boundary| !boundary.contains(',')).ok_or(Violation::BodyType)
}
