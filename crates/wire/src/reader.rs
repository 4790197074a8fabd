//! The one reader of untrusted bytes: every decoder of this crate slices its input through it and nowhere else.
//!
//! Each step either takes exactly what it was asked for or fails without moving. Integers are big-endian, as on every
//! wire that we read. A decoder ends with [`Reader::finish`], so that bytes that no field accounts for are an error
//! instead of a place to hide a second statement in.

/// Why bytes do not have the layout that their message demands. It names no side and holds no data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A field reaches beyond the end.
    #[error("the message ends inside a field")]
    Truncated,
    /// Bytes are left that no field accounts for.
    #[error("{0} bytes are left after the last field")]
    Trailing(usize),
    /// A string lacks its terminating zero byte.
    #[error("a string has no terminating zero byte")]
    Unterminated,
    /// Text is not valid UTF-8.
    #[error("text is not valid utf-8")]
    NotUtf8,
}

/// A cursor over a message's body.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("left", &self.rest.len()).finish()
    }
}

impl<'a> Reader<'a> {
    /// Begins at the first byte of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub const fn left(&self) -> usize {
        self.rest.len()
    }

    /// Takes exactly `N` bytes.
    ///
    /// # Errors
    /// [`ReadError::Truncated`] if fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(ReadError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// Takes one byte.
    ///
    /// # Errors
    /// [`ReadError::Truncated`] at the end.
    pub fn u8(&mut self) -> Result<u8, ReadError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Takes a signed 16-bit integer.
    ///
    /// # Errors
    /// [`ReadError::Truncated`] if fewer than two bytes are left.
    pub fn i16(&mut self) -> Result<i16, ReadError> {
        self.array().map(i16::from_be_bytes)
    }

    /// Takes an unsigned 16-bit integer.
    ///
    /// # Errors
    /// [`ReadError::Truncated`] if fewer than two bytes are left.
    pub fn u16(&mut self) -> Result<u16, ReadError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Takes a signed 32-bit integer.
    ///
    /// # Errors
    /// [`ReadError::Truncated`] if fewer than four bytes are left.
    pub fn i32(&mut self) -> Result<i32, ReadError> {
        self.array().map(i32::from_be_bytes)
    }

    /// Takes an unsigned 32-bit integer.
    ///
    /// # Errors
    /// [`ReadError::Truncated`] if fewer than four bytes are left.
    pub fn u32(&mut self) -> Result<u32, ReadError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Takes `count` bytes.
    ///
    /// # Errors
    /// [`ReadError::Truncated`] if fewer are left.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], ReadError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(ReadError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// Takes a zero-terminated string, without its terminator.
    ///
    /// # Errors
    /// [`ReadError::Unterminated`] if no zero byte is left.
    #[inline]
    pub fn cstr(&mut self) -> Result<&'a [u8], ReadError> {
        // Most names of statements and portals are empty.
        if let [0, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(&[]);
        }
        let end = memchr::memchr(0, self.rest).ok_or(ReadError::Unterminated)?;
        let text = self.bytes(end)?;
        self.u8()?;
        Ok(text)
    }

    /// Takes a zero-terminated string that must be UTF-8.
    ///
    /// # Errors
    /// [`ReadError::Unterminated`] or [`ReadError::NotUtf8`].
    #[inline]
    pub fn text(&mut self) -> Result<&'a str, ReadError> {
        let mut ahead = *self;
        let text = match ahead.cstr()? {
            [] => "",
            text => std::str::from_utf8(text).map_err(|_| ReadError::NotUtf8)?,
        };
        *self = ahead;
        Ok(text)
    }

    /// Takes all that is left, perhaps nothing.
    pub const fn rest(&mut self) -> &'a [u8] {
        let rest = self.rest;
        self.rest = &[];
        rest
    }

    /// Ends the message.
    ///
    /// # Errors
    /// [`ReadError::Trailing`] if anything is left.
    pub const fn finish(self) -> Result<(), ReadError> {
        if self.rest.is_empty() { Ok(()) } else { Err(ReadError::Trailing(self.rest.len())) }
    }
}

#[cfg(test)]
mod tests;
