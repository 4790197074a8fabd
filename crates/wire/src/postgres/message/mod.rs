//! The messages of the protocol. Decoders borrow from the frame's body and account for every byte of it; encoders append
//! whole frames to a buffer; encoding what was decoded gives the same bytes.
//!
//! `frontend` and `backend` hold the two exhaustive enums; the structs stand in a file per group. Text that the client
//! writes must be UTF-8 (client_encoding is pinned); what the server writes may be anything, so it stays bytes. `Debug`
//! shows no statement, value or secret. Source: PostgreSQL documentation, §55.7 "Message Formats".

use std::fmt;

use crate::reader::{ReadError, Reader};

/// Implements a `Debug` that shows the type's name and none of its data.
macro_rules! opaque_debug {
    ($($name:ident),+ $(,)?) => {
        $(impl std::fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        })+
    };
}

mod authentication;
mod backend;
mod copy;
mod frontend;
mod query;
mod report;
mod row;
mod startup;

pub use authentication::{Authentication, AuthenticationResponse, SaslInitialResponse};
pub use backend::{
    BIND_COMPLETE, BackendMessage, CLOSE_COMPLETE, COPY_DONE, EMPTY_QUERY_RESPONSE, NO_DATA, PARSE_COMPLETE,
    PORTAL_SUSPENDED,
};
pub use copy::{CopyData, CopyFail, CopyResponse};
pub use frontend::{FLUSH, FrontendMessage, SYNC, TERMINATE};
pub use query::{Bind, Execute, FunctionCall, Name, Parse, Query};
pub use report::{
    BackendKeyData, CommandComplete, ErrorFields, NotificationResponse, ParameterStatus, ReadyForQuery,
    TransactionStatus,
};
pub use row::{DataRow, DataRowWriter, Field, FunctionCallResponse, ParameterDescription, RowDescription};
pub use startup::{CancelRequest, NegotiateProtocolVersion, ProtocolVersion, StartupMessage, StartupPacket};

/// Why a body is not the message that its tag promises. It names no side and holds no data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The layout is wrong.
    #[error(transparent)]
    Layout(#[from] ReadError),
    /// No message has this tag in this direction.
    #[error("the message type {0:#04x} is not known")]
    UnknownTag(u8),
    /// A field holds a value that the protocol does not define.
    #[error("{0} is not a value of the protocol")]
    Value(&'static str),
}

/// Why a message cannot be written. Nothing is appended then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A string holds a zero byte, so it would end early on the other side.
    #[error("a string holds a zero byte")]
    ZeroByte,
    /// More entries than a 16-bit count can say, or another number than was announced.
    #[error("a list does not have the number of entries that its count says")]
    TooMany,
    /// The message would be 1 GiB or longer.
    #[error("the message is too long")]
    TooLong,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As text.
    Text,
    /// In the type's binary form.
    Binary,
}

impl Format {
    const fn from_code(code: u16) -> Option<Self> {
        match code {
            0 => Some(Self::Text),
            1 => Some(Self::Binary),
            _ => None,
        }
    }

    const fn code(self) -> u16 {
        match self {
            Self::Text => 0,
            Self::Binary => 1,
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::from_code(reader.u16()?).ok_or(DecodeError::Value("the format code"))
    }
}

/// A list of format codes, checked: none (all text), one (for all), or one for each value.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Formats<'a> {
    codes: &'a [u8],
}

impl fmt::Debug for Formats<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> Formats<'a> {
    /// No codes: everything is text.
    pub const TEXT: Self = Self { codes: &[] };
    /// One code for all: binary.
    pub const BINARY: Self = Self { codes: &[0, 1] };

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let count = reader.u16()?;
        let formats = Self { codes: reader.bytes(usize::from(count) * 2)? };
        if formats.iter().count() == usize::from(count) {
            Ok(formats)
        } else {
            Err(DecodeError::Value("the format code"))
        }
    }

    /// How many codes are in the list.
    pub const fn len(&self) -> usize {
        self.codes.len() / 2
    }

    /// Whether the list is empty.
    pub const fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// Whether every value is text.
    pub fn is_text(&self) -> bool {
        self.codes.iter().all(|byte| *byte == 0)
    }

    /// The codes in order.
    pub fn iter(&self) -> impl Iterator<Item = Format> + 'a {
        let mut reader = Reader::new(self.codes);
        std::iter::from_fn(move || Format::read(&mut reader).ok())
    }

    /// The format of the value at `position` (from zero), by the rule above. `None` if the list has several codes, but
    /// none for this position.
    pub fn of(&self, position: usize) -> Option<Format> {
        match self.len() {
            0 => Some(Format::Text),
            1 => self.iter().next(),
            _ => self.iter().nth(position),
        }
    }
}

/// A list of values, each with its length in front, or NULL. Checked: every length fits, nothing is left over.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Values<'a> {
    count: u16,
    bytes: &'a [u8],
}

impl fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").field("count", &self.count).finish_non_exhaustive()
    }
}

/// Reads a value: a length of −1 is NULL, any other negative length is an error.
fn read_value<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, DecodeError> {
    match reader.i32()? {
        -1 => Ok(None),
        length => {
            let length = usize::try_from(length).map_err(|_| DecodeError::Value("the length of a value"))?;
            Ok(Some(reader.bytes(length)?))
        }
    }
}

impl<'a> Values<'a> {
    /// No values.
    pub const EMPTY: Self = Self { count: 0, bytes: &[] };

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let count = reader.u16()?;
        let begin = *reader;
        for _ in 0..count {
            read_value(reader)?;
        }
        let mut whole = begin;
        Ok(Self { count, bytes: whole.bytes(begin.left().saturating_sub(reader.left()))? })
    }

    /// How many values there are, NULLs included.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The values in order; `None` is NULL.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a [u8]>> + 'a {
        let mut reader = Reader::new(self.bytes);
        std::iter::from_fn(move || read_value(&mut reader).ok())
    }
}

#[cfg(test)]
mod tests;
