//! Results: the description of columns and parameters, and the rows. Rows are the hot path: decoding one checks every
//! length and allocates nothing, and [`DataRowWriter`] writes one column by column into the outgoing buffer.

use crate::postgres::message::{DecodeError, EncodeError, Format, Values};
use crate::postgres::write::Body;
use crate::reader::Reader;

/// A column of a result, as the server describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The column's name or alias. Not UTF-8 if the database's encoding is `SQL_ASCII`.
    pub name: &'a [u8],
    /// The table it comes from, zero if it is not simply a table's column.
    pub table_oid: u32,
    /// The attribute number in that table, zero likewise.
    pub attribute: i16,
    /// The type.
    pub type_oid: u32,
    /// The type's size in bytes; negative if variable.
    pub type_size: i16,
    /// The type modifier, −1 for none.
    pub type_modifier: i32,
    /// How values will be written; text where it is not yet known (Describe of a statement).
    pub format: Format,
}

/// The columns of the rows to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowDescription<'a> {
    /// The columns, in order.
    pub fields: Vec<Field<'a>>,
}

impl<'a> RowDescription<'a> {
    pub(super) const TAG: u8 = b'T';

    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Vec::new();
        Self::read(body, |field| fields.push(field))?;
        Ok(Self { fields })
    }

    /// Decodes the body and hands over one column after the other, for those who keep a part of each.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong: what was handed over before says nothing then.
    #[inline]
    pub fn read(body: &'a [u8], mut take: impl FnMut(Field<'a>)) -> Result<(), DecodeError> {
        let mut reader = Reader::new(body);
        for _ in 0..reader.u16()? {
            take(Field {
                name: reader.cstr()?,
                table_oid: reader.u32()?,
                attribute: reader.i16()?,
                type_oid: reader.u32()?,
                type_size: reader.i16()?,
                type_modifier: reader.i32()?,
                format: Format::read(&mut reader)?,
            });
        }
        Ok(reader.finish()?)
    }

    /// Appends the message.
    ///
    /// # Errors
    /// [`EncodeError`] if a name holds a zero byte, or there are more than 65,535 columns.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::tagged(out, Self::TAG);
        body.count16(self.fields.len());
        for field in &self.fields {
            body.cstr(field.name).u32(field.table_oid).i16(field.attribute).u32(field.type_oid);
            body.i16(field.type_size).i32(field.type_modifier).u16(field.format.code());
        }
        body.finish()
    }
}

/// The types of a prepared statement's parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterDescription {
    /// Their type oids, in order.
    pub types: Vec<u32>,
}

impl ParameterDescription {
    pub(super) const TAG: u8 = b't';

    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let count = reader.u16()?;
        let types = (0..count).map(|_| reader.u32()).collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Self { types })
    }

    /// Appends the message.
    ///
    /// # Errors
    /// [`EncodeError`] if there are more than 65,535 types.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::tagged(out, Self::TAG);
        body.count16(self.types.len());
        for oid in &self.types {
            body.u32(*oid);
        }
        body.finish()
    }
}

/// A row. Decoding checks the length of each column, so that walking them cannot fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataRow<'a> {
    values: Values<'a>,
}

impl<'a> DataRow<'a> {
    pub(super) const TAG: u8 = b'D';

    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong.
    #[inline]
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let values = Values::read(&mut reader)?;
        reader.finish()?;
        Ok(Self { values })
    }

    /// How many columns it has.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether it has no columns.
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The columns in order; `None` is NULL.
    #[inline]
    pub fn columns(&self) -> impl Iterator<Item = Option<&'a [u8]>> + 'a {
        self.values.iter()
    }

    /// Appends the message as it was.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] only.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::tagged(out, Self::TAG);
        body.u16(self.values.count).bytes(self.values.bytes);
        body.finish()
    }
}

/// Writes a row column by column, for rows that are rewritten. Nothing stays in the buffer unless `finish` succeeds.
#[must_use = "a row is only complete after `finish`"]
pub struct DataRowWriter<'o> {
    body: Body<'o>,
    left: u16,
    surplus: bool,
}

impl std::fmt::Debug for DataRowWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataRowWriter").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<'o> DataRowWriter<'o> {
    /// Begins a row of so many columns at the end of `out`.
    #[inline]
    pub fn new(out: &'o mut Vec<u8>, columns: u16) -> Self {
        let mut body = Body::tagged(out, DataRow::TAG);
        body.u16(columns);
        Self { body, left: columns, surplus: false }
    }

    fn count(&mut self) {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => self.surplus = true,
        }
    }

    /// Writes the next column; `None` is NULL.
    #[inline]
    pub fn value(&mut self, value: Option<&[u8]>) {
        self.count();
        self.body.value(value);
    }

    /// Writes the next column, which is not NULL, through a function that appends its bytes.
    pub fn value_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.count();
        let at = self.body.position();
        self.body.u32(0);
        self.body.with(write);
        let length = self.body.position().saturating_sub(at.saturating_add(4));
        // A length beyond 32 bits cannot be patched in; the whole message is then too long as well and is removed.
        self.body.patch(at, u32::try_from(length).unwrap_or(u32::MAX));
    }

    /// Completes the row.
    ///
    /// # Errors
    /// [`EncodeError`] if it is too long, or another number of columns was written than announced.
    pub fn finish(self) -> Result<(), EncodeError> {
        if self.left != 0 || self.surplus {
            self.body.discard();
            return Err(EncodeError::TooMany);
        }
        self.body.finish()
    }
}

/// The result of a function call. We refuse the call, so a server has no reason to send it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FunctionCallResponse<'a> {
    /// The value; `None` is NULL.
    pub value: Option<&'a [u8]>,
}

opaque_debug!(FunctionCallResponse);

impl<'a> FunctionCallResponse<'a> {
    pub(super) const TAG: u8 = b'V';

    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let value = super::read_value(&mut reader)?;
        reader.finish()?;
        Ok(Self { value })
    }

    /// Appends the message.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] only.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::tagged(out, Self::TAG);
        body.value(self.value);
        body.finish()
    }
}
