//! Framing: where one message ends and the next begins, for any split of the byte stream.
//!
//! Pure functions over the bytes read so far; the caller owns the buffer. Lengths are checked before anything is
//! allocated or waited for (CVE-2024-27304: a length that overflows splits one message into several), and a malformed
//! length is final: there is no resynchronization. Source: PostgreSQL documentation, §55.1.1 and §55.7.

/// The most bytes of a client's message, without its tag, unless the caller says otherwise.
pub const CLIENT_CAP: u32 = 16 << 20;

/// No message's length reaches this, whatever a caller asks for. Same bound as PostgreSQL's own.
pub const HARD_CAP: u32 = 1 << 30;

/// The longest startup packet, as in PostgreSQL (`MAX_STARTUP_PACKET_LENGTH`).
pub const STARTUP_CAP: u32 = 10_000;

/// The bytes of a tag and a length.
pub const HEADER: usize = 5;

/// A length that cannot be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Below the minimum, or at or above [`HARD_CAP`]. The connection must be closed.
    #[error("the length of a message is out of range")]
    Length,
    /// Longer than the caller's cap but within [`HARD_CAP`]: the caller may discard `total` bytes and refuse in place.
    #[error("a message of {total} bytes is too long")]
    Oversize {
        /// The message's tag.
        tag: u8,
        /// All bytes of the frame, tag and length included.
        total: usize,
    },
}

/// One complete message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The message type.
    pub tag: u8,
    /// What stands behind the length.
    pub body: &'a [u8],
    /// Everything, tag and length included, to be forwarded unparsed.
    pub whole: &'a [u8],
}

impl std::fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The body is data, so it is not shown.
        f.debug_struct("Frame").field("tag", &char::from(self.tag)).field("total", &self.whole.len()).finish()
    }
}

/// What the head of a buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing<'a> {
    /// A whole message.
    Complete(Frame<'a>),
    /// At least `needed` more bytes must be read first.
    Incomplete {
        /// How many bytes are missing; always above zero.
        needed: usize,
    },
    /// The bytes can never become a message that may pass.
    Malformed(FrameError),
}

/// A message's tag and total length, known from its first five bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The message type.
    pub tag: u8,
    /// All bytes of the frame, tag and length included.
    pub total: usize,
}

/// Reads a header, if five bytes are there. `cap` bounds the length field, which counts itself but not the tag.
///
/// # Errors
/// [`FrameError`] as soon as the length is known to be out of range.
#[inline]
pub fn header(buffer: &[u8], cap: u32) -> Result<Option<Header>, FrameError> {
    let Some(([tag, length @ ..], _)) = buffer.split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let (tag, length) = (*tag, u32::from_be_bytes(*length));
    if !(4..HARD_CAP).contains(&length) {
        return Err(FrameError::Length);
    }
    let total = length as usize + 1;
    if length > cap { Err(FrameError::Oversize { tag, total }) } else { Ok(Some(Header { tag, total })) }
}

/// Looks at the message that `buffer` begins with.
#[inline]
pub fn frame(buffer: &[u8], cap: u32) -> Framing<'_> {
    let header = match header(buffer, cap) {
        Err(error) => return Framing::Malformed(error),
        Ok(None) => return Framing::Incomplete { needed: HEADER.saturating_sub(buffer.len()) },
        Ok(Some(header)) => header,
    };
    match (buffer.get(..header.total), buffer.get(HEADER..header.total)) {
        (Some(whole), Some(body)) => Framing::Complete(Frame { tag: header.tag, body, whole }),
        _ => Framing::Incomplete { needed: header.total.saturating_sub(buffer.len()) },
    }
}

/// Looks at the startup packet that `buffer` begins with: a length and no tag. In the frame, `tag` is zero.
///
/// A TLS client hello (direct TLS) begins with the byte 0x16, which is no possible length here; the caller looks for it
/// first.
pub fn startup(buffer: &[u8]) -> Framing<'_> {
    let Some((length, _)) = buffer.split_first_chunk::<4>() else {
        return Framing::Incomplete { needed: 4usize.saturating_sub(buffer.len()) };
    };
    let length = u32::from_be_bytes(*length);
    if !(8..=STARTUP_CAP).contains(&length) {
        return Framing::Malformed(FrameError::Length);
    }
    let total = length as usize;
    match (buffer.get(..total), buffer.get(4..total)) {
        (Some(whole), Some(body)) => Framing::Complete(Frame { tag: 0, body, whole }),
        _ => Framing::Incomplete { needed: total.saturating_sub(buffer.len()) },
    }
}

/// The complete messages of a buffer, in order. Ends at the first incomplete one, or after one error.
#[derive(Clone)]
pub struct Scan<'a> {
    rest: &'a [u8],
    cap: u32,
    failed: bool,
}

impl std::fmt::Debug for Scan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").field("left", &self.rest.len()).finish_non_exhaustive()
    }
}

/// Scans `buffer` for complete messages.
pub const fn scan(buffer: &[u8], cap: u32) -> Scan<'_> {
    Scan { rest: buffer, cap, failed: false }
}

impl<'a> Scan<'a> {
    /// What has not been yielded: an incomplete message, or the one that failed and all after it.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Result<Frame<'a>, FrameError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match frame(self.rest, self.cap) {
            Framing::Complete(frame) => {
                self.rest = self.rest.get(frame.whole.len()..).unwrap_or_default();
                Some(Ok(frame))
            }
            Framing::Incomplete { .. } => None,
            Framing::Malformed(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}

impl std::iter::FusedIterator for Scan<'_> {}

#[cfg(test)]
mod tests;
