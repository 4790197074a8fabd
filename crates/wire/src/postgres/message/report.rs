//! What the server reports: errors and notices, settings, keys, completion and transaction status.

use crate::postgres::message::startup::secret;
use crate::postgres::message::{DecodeError, EncodeError};
use crate::postgres::write::Body;
use crate::reader::Reader;

/// The fields of an `ErrorResponse` or a `NoticeResponse` (§55.8): a letter and a text each.
#[derive(Clone, PartialEq, Eq)]
pub struct ErrorFields<'a> {
    /// The fields in the order sent. Texts are in whatever encoding the server has at that moment.
    pub fields: Vec<(u8, &'a [u8])>,
}

impl<'a> ErrorFields<'a> {
    pub(super) const ERROR: u8 = b'E';
    pub(super) const NOTICE: u8 = b'N';

    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let mut fields = Vec::new();
        loop {
            match reader.u8()? {
                0 => break,
                letter => fields.push((letter, reader.cstr()?)),
            }
        }
        reader.finish()?;
        Ok(Self { fields })
    }

    /// The first field with this letter.
    pub fn field(&self, letter: u8) -> Option<&'a [u8]> {
        self.fields.iter().find(|(this, _)| *this == letter).map(|(_, text)| *text)
    }

    /// The SQLSTATE, if there is one in ASCII.
    pub fn sqlstate(&self) -> Option<&'a str> {
        self.field(b'C').and_then(|code| std::str::from_utf8(code).ok())
    }

    /// The severity that is never translated (`V`, since 9.6), else the one that may be (`S`).
    pub fn severity(&self) -> Option<&'a [u8]> {
        self.field(b'V').or_else(|| self.field(b'S'))
    }

    /// Whether the server ends the session with it.
    pub fn ends_session(&self) -> bool {
        matches!(self.severity(), Some(b"FATAL" | b"PANIC"))
    }

    pub(super) fn encode(&self, tag: u8, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::tagged(out, tag);
        for (letter, text) in &self.fields {
            if *letter == 0 {
                body.discard();
                return Err(EncodeError::ZeroByte);
            }
            body.u8(*letter).cstr(text);
        }
        body.u8(0);
        body.finish()
    }

    /// Appends an `ErrorResponse` with these fields.
    ///
    /// # Errors
    /// [`EncodeError`] if a text holds a zero byte.
    pub fn encode_error(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encode(Self::ERROR, out)
    }

    /// Appends a `NoticeResponse` with these fields.
    ///
    /// # Errors
    /// [`EncodeError`] if a text holds a zero byte.
    pub fn encode_notice(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encode(Self::NOTICE, out)
    }
}

/// The current value of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterStatus<'a> {
    /// The setting's name.
    pub name: &'a str,
    /// Its value.
    pub value: &'a [u8],
}

impl<'a> ParameterStatus<'a> {
    pub(super) const TAG: u8 = b'S';

    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let status = Self { name: reader.text()?, value: reader.cstr()? };
        reader.finish()?;
        Ok(status)
    }

    /// Appends the message.
    ///
    /// # Errors
    /// [`EncodeError`] if a string holds a zero byte.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::tagged(out, Self::TAG);
        body.cstr(self.name.as_bytes()).cstr(self.value);
        body.finish()
    }
}

/// What a client needs in order to cancel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BackendKeyData<'a> {
    /// The process id.
    pub process_id: u32,
    /// The secret: 4 bytes with protocol 3.0, 4 to 256 with 3.2.
    pub secret: &'a [u8],
}

impl<'a> BackendKeyData<'a> {
    pub(super) const TAG: u8 = b'K';

    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong or the secret has another length than 4 to 256.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let process_id = reader.u32()?;
        Ok(Self { process_id, secret: secret(reader.rest())? })
    }

    /// Appends the message.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] if the secret is longer than 256 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        secret(self.secret).map_err(|_| EncodeError::TooLong)?;
        let mut body = Body::tagged(out, Self::TAG);
        body.u32(self.process_id).bytes(self.secret);
        body.finish()
    }
}

/// Whether a transaction is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// No transaction block (`I`).
    Idle,
    /// In a transaction block (`T`).
    Open,
    /// In a transaction block that has failed and waits for its rollback (`E`).
    Failed,
}

/// The server is ready for the next query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadyForQuery {
    /// The transaction status.
    pub status: TransactionStatus,
}

impl ReadyForQuery {
    pub(super) const TAG: u8 = b'Z';

    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let status = match reader.u8()? {
            b'I' => TransactionStatus::Idle,
            b'T' => TransactionStatus::Open,
            b'E' => TransactionStatus::Failed,
            _ => return Err(DecodeError::Value("the transaction status")),
        };
        reader.finish()?;
        Ok(Self { status })
    }

    /// Appends the message.
    pub fn encode(self, out: &mut Vec<u8>) {
        let status = match self.status {
            TransactionStatus::Idle => b'I',
            TransactionStatus::Open => b'T',
            TransactionStatus::Failed => b'E',
        };
        out.extend_from_slice(&[Self::TAG, 0, 0, 0, 5, status]);
    }
}

/// A statement is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandComplete<'a> {
    /// The command's tag, for example `INSERT 0 1`.
    pub tag: &'a str,
}

impl<'a> CommandComplete<'a> {
    pub(super) const TAG: u8 = b'C';

    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let complete = Self { tag: reader.text()? };
        reader.finish()?;
        Ok(complete)
    }

    /// How many rows the command returned or changed, where its tag says so.
    pub fn rows(&self) -> Option<u64> {
        self.tag.rsplit_once(' ').and_then(|(_, rows)| rows.parse().ok())
    }

    /// Appends the message.
    ///
    /// # Errors
    /// [`EncodeError`] if the tag holds a zero byte.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::tagged(out, Self::TAG);
        body.cstr(self.tag.as_bytes());
        body.finish()
    }
}

/// A `NOTIFY` of another session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NotificationResponse<'a> {
    /// The process id of the notifying session.
    pub process_id: u32,
    /// The channel.
    pub channel: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

opaque_debug!(ErrorFields, BackendKeyData, NotificationResponse);

impl<'a> NotificationResponse<'a> {
    pub(super) const TAG: u8 = b'A';

    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let notification = Self { process_id: reader.u32()?, channel: reader.cstr()?, payload: reader.cstr()? };
        reader.finish()?;
        Ok(notification)
    }

    /// Appends the message.
    ///
    /// # Errors
    /// [`EncodeError`] if a string holds a zero byte.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::tagged(out, Self::TAG);
        body.u32(self.process_id).cstr(self.channel).cstr(self.payload);
        body.finish()
    }
}
