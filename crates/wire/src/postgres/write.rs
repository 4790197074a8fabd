//! The one place that writes messages: tag, length, fields, and the length put in afterwards.
//!
//! An error sticks until [`Body::finish`], which then removes the half-written message, so that a failed encoding leaves
//! no byte behind. Strings with a zero byte are refused: they would end early on the other side, and what follows them
//! would be read as the next field.

use super::frame::HARD_CAP;
use super::message::EncodeError;

/// A message being written at the end of a buffer.
pub(super) struct Body<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    length_at: usize,
    error: Option<EncodeError>,
}

impl<'o> Body<'o> {
    /// Begins a message with a tag.
    pub(super) fn tagged(out: &'o mut Vec<u8>, tag: u8) -> Self {
        let start = out.len();
        out.extend_from_slice(&[tag, 0, 0, 0, 0]);
        Self { out, start, length_at: start + 1, error: None }
    }

    /// Begins a startup packet, which has no tag.
    pub(super) fn untagged(out: &'o mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        Self { out, start, length_at: start, error: None }
    }

    fn fail(&mut self, error: EncodeError) {
        self.error.get_or_insert(error);
    }

    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.out.push(value);
        self
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn i16(&mut self, value: i16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn i32(&mut self, value: i32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.out.extend_from_slice(bytes);
        self
    }

    /// A count of up to 65,535, as the protocol's 16-bit counts are read by PostgreSQL.
    pub(super) fn count16(&mut self, count: usize) -> &mut Self {
        match u16::try_from(count) {
            Ok(count) => {
                self.u16(count);
            }
            Err(_) => self.fail(EncodeError::TooMany),
        }
        self
    }

    /// A zero-terminated string.
    pub(super) fn cstr(&mut self, text: &[u8]) -> &mut Self {
        // Most names of statements and portals are empty.
        if text.is_empty() {
            return self.u8(0);
        }
        if memchr::memchr(0, text).is_some() {
            self.fail(EncodeError::ZeroByte);
        }
        self.bytes(text).u8(0)
    }

    /// A value with its length in front, −1 for NULL.
    pub(super) fn value(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value.map(|bytes| (i32::try_from(bytes.len()), bytes)) {
            None => self.i32(-1),
            Some((Ok(length), bytes)) => self.i32(length).bytes(bytes),
            Some((Err(_), _)) => {
                self.fail(EncodeError::TooLong);
                self
            }
        }
    }

    /// How many bytes have been written to the buffer.
    pub(super) fn position(&self) -> usize {
        self.out.len()
    }

    /// Writes raw bytes through a function, for values that are computed in place.
    pub(super) fn with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(self.out);
    }

    /// Puts a big-endian 32-bit number over four bytes that stand at `at`.
    pub(super) fn patch(&mut self, at: usize, number: u32) {
        if let Some(slot) = self.out.get_mut(at..at.saturating_add(4)) {
            slot.copy_from_slice(&number.to_be_bytes());
        } else {
            self.fail(EncodeError::TooLong);
        }
    }

    /// Removes what was written.
    pub(super) fn discard(self) {
        self.out.truncate(self.start);
    }

    /// Puts the length in, for a message whose fields are bounded and cannot fail. Should it fail all the same, nothing is
    /// left in the buffer.
    pub(super) fn finish_bounded(mut self) {
        self.close();
    }

    /// Puts the length in, or removes what was written.
    pub(super) fn finish(mut self) -> Result<(), EncodeError> {
        self.close().map_or(Ok(()), Err)
    }

    fn close(&mut self) -> Option<EncodeError> {
        let length = self.out.len().saturating_sub(self.length_at);
        match u32::try_from(length) {
            Ok(length) if length < HARD_CAP => self.patch(self.length_at, length),
            _ => self.fail(EncodeError::TooLong),
        }
        if self.error.is_some() {
            self.out.truncate(self.start);
        }
        self.error
    }
}
