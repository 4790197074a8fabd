//! What a client asks: the simple query, and the extended protocol's Parse, Bind, Describe, Execute and Close.

use crate::postgres::message::{DecodeError, EncodeError, Format, Formats, Values};
use crate::postgres::write::Body;
use crate::reader::Reader;

/// A simple query: one text, perhaps of several statements.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Query<'a> {
    /// The text.
    pub text: &'a str,
}

impl<'a> Query<'a> {
    pub(super) const TAG: u8 = b'Q';

    /// Decodes the body. The text ends at the only zero byte, which is the last byte: nothing hides behind it.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let query = Self { text: reader.text()? };
        reader.finish()?;
        Ok(query)
    }

    /// Appends the message.
    ///
    /// # Errors
    /// [`EncodeError`] if the text holds a zero byte.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::tagged(out, Self::TAG);
        body.cstr(self.text.as_bytes());
        body.finish()
    }
}

/// Prepares a statement under a name.
#[derive(Clone, PartialEq, Eq)]
pub struct Parse<'a> {
    /// The statement's name; empty for the unnamed statement.
    pub statement: &'a str,
    /// The text, of at most one statement.
    pub text: &'a str,
    /// Types that the client fixes for the first parameters; zero leaves one open.
    pub parameter_types: Vec<u32>,
}

impl<'a> Parse<'a> {
    pub(super) const TAG: u8 = b'P';

    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let (statement, text) = (reader.text()?, reader.text()?);
        let count = reader.u16()?;
        let parameter_types = (0..count).map(|_| reader.u32()).collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Self { statement, text, parameter_types })
    }

    /// Appends the message.
    ///
    /// # Errors
    /// [`EncodeError`] if a string holds a zero byte, or there are more than 65,535 types.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::tagged(out, Self::TAG);
        body.cstr(self.statement.as_bytes()).cstr(self.text.as_bytes()).count16(self.parameter_types.len());
        for oid in &self.parameter_types {
            body.u32(*oid);
        }
        body.finish()
    }
}

/// Makes a portal from a prepared statement and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bind<'a> {
    /// The portal's name; empty for the unnamed portal.
    pub portal: &'a str,
    /// The statement's name; empty for the unnamed statement.
    pub statement: &'a str,
    /// How the values are written.
    pub formats: Formats<'a>,
    /// The values.
    pub values: Values<'a>,
    /// How the result's columns shall be written.
    pub result_formats: Formats<'a>,
}

impl<'a> Bind<'a> {
    pub(super) const TAG: u8 = b'B';

    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong, or there are several formats but not one for each value.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let bind = Self {
            portal: reader.text()?,
            statement: reader.text()?,
            formats: Formats::read(&mut reader)?,
            values: Values::read(&mut reader)?,
            result_formats: Formats::read(&mut reader)?,
        };
        reader.finish()?;
        if bind.formats.len() > 1 && bind.formats.len() != bind.values.len() {
            return Err(DecodeError::Value("the number of parameter formats"));
        }
        Ok(bind)
    }

    /// The values in order, each with its format. `None` is NULL.
    pub fn parameters(&self) -> impl Iterator<Item = (Format, Option<&'a [u8]>)> + 'a {
        // One format stands for all; an empty list means text.
        let single = if self.formats.len() == 1 { self.formats.iter().next() } else { None };
        let mut formats = self.formats.iter();
        self.values.iter().map(move |value| (single.unwrap_or_else(|| formats.next().unwrap_or(Format::Text)), value))
    }

    /// Appends the message.
    ///
    /// # Errors
    /// [`EncodeError`] if a name holds a zero byte.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::tagged(out, Self::TAG);
        body.cstr(self.portal.as_bytes()).cstr(self.statement.as_bytes());
        body.count16(self.formats.len()).bytes(self.formats.codes);
        body.u16(self.values.count).bytes(self.values.bytes);
        body.count16(self.result_formats.len()).bytes(self.result_formats.codes);
        body.finish()
    }
}

/// The name of a prepared statement or of a portal, as Describe and Close use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Name<'a> {
    /// A prepared statement.
    Statement(&'a str),
    /// A portal.
    Portal(&'a str),
}

impl<'a> Name<'a> {
    pub(super) const DESCRIBE: u8 = b'D';
    pub(super) const CLOSE: u8 = b'C';

    /// Decodes the body of a Describe or a Close.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let (kind, name) = (reader.u8()?, reader.text()?);
        reader.finish()?;
        match kind {
            b'S' => Ok(Self::Statement(name)),
            b'P' => Ok(Self::Portal(name)),
            _ => Err(DecodeError::Value("the kind of name")),
        }
    }

    fn encode(self, tag: u8, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::tagged(out, tag);
        match self {
            Self::Statement(name) => body.u8(b'S').cstr(name.as_bytes()),
            Self::Portal(name) => body.u8(b'P').cstr(name.as_bytes()),
        };
        body.finish()
    }

    /// Appends a Describe of it.
    ///
    /// # Errors
    /// [`EncodeError`] if the name holds a zero byte.
    pub fn encode_describe(self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encode(Self::DESCRIBE, out)
    }

    /// Appends a Close of it.
    ///
    /// # Errors
    /// [`EncodeError`] if the name holds a zero byte.
    pub fn encode_close(self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encode(Self::CLOSE, out)
    }
}

/// Runs a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execute<'a> {
    /// The portal's name; empty for the unnamed portal.
    pub portal: &'a str,
    /// The most rows to return; zero or less means all.
    pub max_rows: i32,
}

impl<'a> Execute<'a> {
    pub(super) const TAG: u8 = b'E';

    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let execute = Self { portal: reader.text()?, max_rows: reader.i32()? };
        reader.finish()?;
        Ok(execute)
    }

    /// Appends the message.
    ///
    /// # Errors
    /// [`EncodeError`] if the name holds a zero byte.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::tagged(out, Self::TAG);
        body.cstr(self.portal.as_bytes()).i32(self.max_rows);
        body.finish()
    }
}

/// A function call by object id: it runs any function without SQL, so it is recognised only to be refused (PW14).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FunctionCall<'a> {
    pub(super) body: &'a [u8],
}

opaque_debug!(Query, Parse, FunctionCall);
