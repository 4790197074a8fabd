//! The packets that open a connection: they have no tag. And the server's answer to a version it does not speak.

use crate::postgres::message::{DecodeError, EncodeError};
use crate::postgres::write::Body;
use crate::reader::Reader;

const CANCEL_CODE: u32 = 80_877_102;
const SSL_CODE: u32 = 80_877_103;
const GSSENC_CODE: u32 = 80_877_104;

/// A protocol version: major in the upper, minor in the lower 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion(pub u32);

impl ProtocolVersion {
    /// Version 3.0: a cancel key has four bytes.
    pub const V3_0: Self = Self(3 << 16);
    /// Version 3.2 (PostgreSQL 18): a cancel key has 4 to 256 bytes.
    pub const V3_2: Self = Self((3 << 16) | 2);

    /// The major version.
    pub const fn major(self) -> u32 {
        self.0 >> 16
    }

    /// The minor version.
    pub const fn minor(self) -> u32 {
        self.0 & 0xffff
    }

    /// What we speak with a client that asks for this version: 3.0 or 3.2, `None` for another major version. A client
    /// that asked for another version than the result is told so by [`NegotiateProtocolVersion`].
    pub const fn spoken(self) -> Option<Self> {
        match (self.major(), self.minor()) {
            (3, 0 | 1) => Some(Self::V3_0),
            (3, _) => Some(Self::V3_2),
            _ => None,
        }
    }
}

/// A packet without a tag, as the first on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartupPacket<'a> {
    /// Asks for TLS: answer one byte, `S` or `N`. Bytes already buffered behind it mean injection (CVE-2021-23214).
    SslRequest,
    /// Asks for GSSAPI encryption: answer `N`.
    GssEncRequest,
    /// Asks to cancel what another connection runs.
    Cancel(CancelRequest<'a>),
    /// Begins a session.
    Startup(StartupMessage<'a>),
}

impl<'a> StartupPacket<'a> {
    /// Decodes the body of a startup frame.
    ///
    /// # Errors
    /// [`DecodeError`] if the body has not the layout that its code promises.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let code = reader.u32()?;
        let packet = match code {
            SSL_CODE => Self::SslRequest,
            GSSENC_CODE => Self::GssEncRequest,
            CANCEL_CODE => {
                let process_id = reader.u32()?;
                return Ok(Self::Cancel(CancelRequest { process_id, secret: secret(reader.rest())? }));
            }
            // 1234.x and 1235.x are reserved for request codes: one that we do not know is no version.
            code if matches!(code >> 16, 1234 | 1235) => return Err(DecodeError::Value("the request code")),
            version => return StartupMessage::decode(ProtocolVersion(version), reader).map(Self::Startup),
        };
        reader.finish()?;
        Ok(packet)
    }

    /// Appends the packet.
    ///
    /// # Errors
    /// [`EncodeError`] if a string holds a zero byte or a secret has another length than 4 to 256.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::untagged(out);
        match self {
            Self::SslRequest => {
                body.u32(SSL_CODE);
            }
            Self::GssEncRequest => {
                body.u32(GSSENC_CODE);
            }
            Self::Cancel(cancel) => {
                body.u32(CANCEL_CODE).u32(cancel.process_id).bytes(cancel.secret);
            }
            Self::Startup(startup) => {
                body.u32(startup.version.0);
                for (key, value) in &startup.parameters {
                    body.cstr(key.as_bytes()).cstr(value.as_bytes());
                }
                body.u8(0);
            }
        }
        body.finish()
    }
}

/// Checks the length of a cancel key: 4 to 256 bytes (protocol 3.2; always 4 with 3.0).
pub(super) fn secret(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    if (4..=256).contains(&bytes.len()) { Ok(bytes) } else { Err(DecodeError::Value("the length of the cancel key")) }
}

/// Asks to cancel what another connection runs. No reply is ever sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CancelRequest<'a> {
    /// The process id of `BackendKeyData`.
    pub process_id: u32,
    /// The secret of `BackendKeyData`, 4 to 256 bytes. Compare in constant time.
    pub secret: &'a [u8],
}

/// Begins a session.
#[derive(Clone, PartialEq, Eq)]
pub struct StartupMessage<'a> {
    /// The version asked for.
    pub version: ProtocolVersion,
    /// Names and values in the order sent, repetitions included. What may pass: `crate::postgres::startup`.
    pub parameters: Vec<(&'a str, &'a str)>,
}

opaque_debug!(CancelRequest, StartupMessage);

impl<'a> StartupMessage<'a> {
    fn decode(version: ProtocolVersion, mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let mut parameters = Vec::new();
        // Another major version need not have parameters of this form: its number is all that we read of it.
        if version.major() != 3 {
            return Ok(Self { version, parameters });
        }
        loop {
            let key = reader.text()?;
            if key.is_empty() {
                break;
            }
            parameters.push((key, reader.text()?));
        }
        reader.finish()?;
        Ok(Self { version, parameters })
    }
}

/// The server's answer to a minor version or protocol extension that it does not know. Sent before authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiateProtocolVersion<'a> {
    /// The version that will be spoken (PostgreSQL sends major and minor).
    pub version: ProtocolVersion,
    /// The extensions (`_pq_.…`) that were asked for and are not known.
    pub unknown_extensions: Vec<&'a str>,
}

impl<'a> NegotiateProtocolVersion<'a> {
    pub(super) const TAG: u8 = b'v';

    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let version = ProtocolVersion(reader.u32()?);
        let count = reader.u32()?;
        // No allocation by announced count: each name takes at least its terminator.
        let mut unknown_extensions = Vec::new();
        for _ in 0..count {
            unknown_extensions.push(reader.text()?);
        }
        reader.finish()?;
        Ok(Self { version, unknown_extensions })
    }

    /// Appends the message.
    ///
    /// # Errors
    /// [`EncodeError`] if a name holds a zero byte.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::tagged(out, Self::TAG);
        body.u32(self.version.0);
        match u32::try_from(self.unknown_extensions.len()) {
            Ok(count) => {
                body.u32(count);
            }
            Err(_) => return Err(EncodeError::TooMany),
        }
        for name in &self.unknown_extensions {
            body.cstr(name.as_bytes());
        }
        body.finish()
    }
}
