//! UTF-8 byte by byte (RFC 3629), over fragments; and the code that a close frame begins with.

use super::Violation;

/// Which bytes may come next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Text {
    /// Continuation bytes that are still to come.
    more: u8,
    /// The bounds of the next of them; (0, 0) for any.
    low: u8,
    high: u8,
    code: u16,
}

impl Text {
    /// Takes a byte.
    pub(super) const fn push(&mut self, byte: u8) -> Result<(), Violation> {
        if self.more == 0 {
            (self.more, self.low, self.high) = match byte {
                0x00..=0x7F => (0, 0x80, 0xBF),
                0xC2..=0xDF => (1, 0x80, 0xBF),
                // No overlong forms, no surrogates, nothing above U+10FFFF.
                0xE0 => (2, 0xA0, 0xBF),
                0xED => (2, 0x80, 0x9F),
                0xE1..=0xEF => (2, 0x80, 0xBF),
                0xF0 => (3, 0x90, 0xBF),
                0xF1..=0xF3 => (3, 0x80, 0xBF),
                0xF4 => (3, 0x80, 0x8F),
                _ => return Err(Violation::Frame),
            };
            return Ok(());
        }
        if byte < self.low || byte > self.high {
            return Err(Violation::Frame);
        }
        (self.more, self.low, self.high) = (self.more - 1, 0x80, 0xBF);
        Ok(())
    }

    /// Ends the text.
    pub(super) const fn end(&self) -> Result<(), Violation> {
        if self.more == 0 { Ok(()) } else { Err(Violation::Frame) }
    }

    /// Takes a byte of the code of a close frame.
    pub(super) const fn code(&mut self, first: bool, byte: u8) {
        self.code = if first { (byte as u16) << 8 } else { self.code | byte as u16 };
    }

    /// Whether the code may be sent (RFC 6455, 7.4).
    pub(super) const fn is_close_code(&self) -> bool {
        matches!(self.code, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}
