//! The COPY sub-protocol: data in either direction, and the server's announcement of it.

use crate::postgres::message::{DecodeError, EncodeError, Format, Formats};
use crate::postgres::write::Body;
use crate::reader::Reader;

/// A piece of COPY data, cut anywhere; same layout in both directions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CopyData<'a> {
    /// The piece.
    pub data: &'a [u8],
}

impl CopyData<'_> {
    pub(super) const TAG: u8 = b'd';

    /// Appends the message.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] only.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::tagged(out, Self::TAG);
        body.bytes(self.data);
        body.finish()
    }
}

/// The client gives up COPY data: the server answers with an error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CopyFail<'a> {
    /// The reason, shown in the server's error.
    pub reason: &'a str,
}

impl<'a> CopyFail<'a> {
    pub(super) const TAG: u8 = b'f';

    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let fail = Self { reason: reader.text()? };
        reader.finish()?;
        Ok(fail)
    }

    /// Appends the message.
    ///
    /// # Errors
    /// [`EncodeError`] if the reason holds a zero byte.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::tagged(out, Self::TAG);
        body.cstr(self.reason.as_bytes());
        body.finish()
    }
}

opaque_debug!(CopyData, CopyFail);

/// The layout shared by `CopyInResponse`, `CopyOutResponse` and `CopyBothResponse`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyResponse<'a> {
    /// Text (lines) or binary, of the stream as a whole.
    pub format: Format,
    /// The format of each column; all text if `format` is.
    pub columns: Formats<'a>,
}

impl<'a> CopyResponse<'a> {
    pub(super) const IN: u8 = b'G';
    pub(super) const OUT: u8 = b'H';
    pub(super) const BOTH: u8 = b'W';

    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let format = Format::from_code(u16::from(reader.u8()?)).ok_or(DecodeError::Value("the format of copy data"))?;
        let response = Self { format, columns: Formats::read(&mut reader)? };
        reader.finish()?;
        Ok(response)
    }

    pub(super) fn encode(&self, tag: u8, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::tagged(out, tag);
        body.u8(match self.format {
            Format::Text => 0,
            Format::Binary => 1,
        });
        body.count16(self.columns.len()).bytes(self.columns.codes);
        body.finish()
    }
}
