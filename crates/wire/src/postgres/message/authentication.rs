//! Login: the server's `Authentication…` messages (tag `R`) and the client's answers (tag `p`), whose layout only the
//! context tells.

use crate::postgres::message::{DecodeError, EncodeError};
use crate::postgres::write::Body;
use crate::reader::Reader;

/// What the server asks for, or says, during login.
#[derive(Clone, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// Login is complete.
    Ok,
    /// Kerberos V5.
    KerberosV5,
    /// The password in clear.
    CleartextPassword,
    /// The password hashed by MD5 with a salt.
    Md5Password {
        /// Four random bytes.
        salt: [u8; 4],
    },
    /// GSSAPI.
    Gss,
    /// GSSAPI or SSPI data.
    GssContinue(&'a [u8]),
    /// SSPI.
    Sspi,
    /// SASL, with the mechanisms on offer, the server's favourite first.
    Sasl(Vec<&'a str>),
    /// A SASL challenge.
    SaslContinue(&'a [u8]),
    /// The end of a SASL exchange.
    SaslFinal(&'a [u8]),
}

impl<'a> Authentication<'a> {
    pub(super) const TAG: u8 = b'R';

    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong or the method is none of PostgreSQL 7.4 or later.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let message = match reader.u32()? {
            0 => Self::Ok,
            2 => Self::KerberosV5,
            3 => Self::CleartextPassword,
            5 => Self::Md5Password { salt: reader.array()? },
            7 => Self::Gss,
            8 => Self::GssContinue(reader.rest()),
            9 => Self::Sspi,
            10 => {
                let mut mechanisms = Vec::new();
                loop {
                    match reader.text()? {
                        "" => break,
                        mechanism => mechanisms.push(mechanism),
                    }
                }
                Self::Sasl(mechanisms)
            }
            11 => Self::SaslContinue(reader.rest()),
            12 => Self::SaslFinal(reader.rest()),
            _ => return Err(DecodeError::Value("the authentication method")),
        };
        reader.finish()?;
        Ok(message)
    }

    /// Appends the message.
    ///
    /// # Errors
    /// [`EncodeError`] if a mechanism's name holds a zero byte.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::tagged(out, Self::TAG);
        match self {
            Self::Ok => body.u32(0),
            Self::KerberosV5 => body.u32(2),
            Self::CleartextPassword => body.u32(3),
            Self::Md5Password { salt } => body.u32(5).bytes(salt),
            Self::Gss => body.u32(7),
            Self::GssContinue(data) => body.u32(8).bytes(data),
            Self::Sspi => body.u32(9),
            Self::Sasl(mechanisms) => {
                body.u32(10);
                for mechanism in mechanisms {
                    body.cstr(mechanism.as_bytes());
                }
                body.u8(0)
            }
            Self::SaslContinue(data) => body.u32(11).bytes(data),
            Self::SaslFinal(data) => body.u32(12).bytes(data),
        };
        body.finish()
    }
}

/// The client's answer during login (tag `p`): a password, a SASL message or GSSAPI data. The login path knows which it
/// asked for and decodes it as that.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AuthenticationResponse<'a> {
    pub(super) body: &'a [u8],
}

impl<'a> AuthenticationResponse<'a> {
    pub(super) const TAG: u8 = b'p';

    /// As the answer to a request for a password, without its terminator. It may be empty.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong.
    pub fn password(&self) -> Result<&'a [u8], DecodeError> {
        let mut reader = Reader::new(self.body);
        let password = reader.cstr()?;
        reader.finish()?;
        Ok(password)
    }

    /// As the first SASL message.
    ///
    /// # Errors
    /// [`DecodeError`] if the layout is wrong.
    pub fn sasl_initial(&self) -> Result<SaslInitialResponse<'a>, DecodeError> {
        let mut reader = Reader::new(self.body);
        let mechanism = reader.text()?;
        let data = super::read_value(&mut reader)?;
        reader.finish()?;
        Ok(SaslInitialResponse { mechanism, data })
    }

    /// As a later SASL message or GSSAPI data: the whole body.
    pub const fn data(&self) -> &'a [u8] {
        self.body
    }

    /// Appends a password.
    ///
    /// # Errors
    /// [`EncodeError`] if it holds a zero byte.
    pub fn encode_password(password: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::tagged(out, Self::TAG);
        body.cstr(password);
        body.finish()
    }

    /// Appends a later SASL message.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] only.
    pub fn encode_data(data: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::tagged(out, Self::TAG);
        body.bytes(data);
        body.finish()
    }
}

/// The first SASL message: the mechanism chosen, and perhaps its first data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SaslInitialResponse<'a> {
    /// The mechanism's name, for example `SCRAM-SHA-256`.
    pub mechanism: &'a str,
    /// The client's first message, if it has one.
    pub data: Option<&'a [u8]>,
}

impl SaslInitialResponse<'_> {
    /// Appends the message.
    ///
    /// # Errors
    /// [`EncodeError`] if the mechanism's name holds a zero byte.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut body = Body::tagged(out, AuthenticationResponse::TAG);
        body.cstr(self.mechanism.as_bytes()).value(self.data);
        body.finish()
    }
}

opaque_debug!(Authentication, AuthenticationResponse, SaslInitialResponse);
