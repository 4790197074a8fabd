//! Every message that a client may send after its startup packet.

use crate::postgres::message::{
    AuthenticationResponse, Bind, CopyData, CopyFail, DecodeError, EncodeError, Execute, FunctionCall, Name, Parse,
    Query,
};
use crate::postgres::write::Body;
use crate::reader::{ReadError, Reader};

/// A whole Sync frame.
pub const SYNC: [u8; 5] = *b"S\0\0\0\x04";
/// A whole Flush frame.
pub const FLUSH: [u8; 5] = *b"H\0\0\0\x04";
/// A whole Terminate frame.
pub const TERMINATE: [u8; 5] = *b"X\0\0\0\x04";

/// A message of the client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrontendMessage<'a> {
    /// `Q`: a simple query.
    Query(Query<'a>),
    /// `P`: prepare a statement.
    Parse(Parse<'a>),
    /// `B`: make a portal.
    Bind(Bind<'a>),
    /// `D`: describe a statement or a portal.
    Describe(Name<'a>),
    /// `E`: run a portal.
    Execute(Execute<'a>),
    /// `C`: close a statement or a portal.
    Close(Name<'a>),
    /// `S`: end the unit of work.
    Sync,
    /// `H`: send what is pending.
    Flush,
    /// `X`: end the session.
    Terminate,
    /// `d`: COPY data.
    CopyData(CopyData<'a>),
    /// `c`: the end of COPY data.
    CopyDone,
    /// `f`: COPY is given up.
    CopyFail(CopyFail<'a>),
    /// `p`: a password, SASL or GSSAPI message.
    Authentication(AuthenticationResponse<'a>),
    /// `F`: a function call by object id, to be refused.
    FunctionCall(FunctionCall<'a>),
}

/// Checks that a body is empty.
pub(super) fn empty<T>(body: &[u8], message: T) -> Result<T, ReadError> {
    Reader::new(body).finish()?;
    Ok(message)
}

impl<'a> FrontendMessage<'a> {
    /// Decodes a frame's body by its tag.
    ///
    /// # Errors
    /// [`DecodeError`] if the tag is not known or the layout is wrong.
    pub fn decode(tag: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        match tag {
            Query::TAG => Query::decode(body).map(Self::Query),
            Parse::TAG => Parse::decode(body).map(Self::Parse),
            Bind::TAG => Bind::decode(body).map(Self::Bind),
            Name::DESCRIBE => Name::decode(body).map(Self::Describe),
            Execute::TAG => Execute::decode(body).map(Self::Execute),
            Name::CLOSE => Name::decode(body).map(Self::Close),
            b'S' => Ok(empty(body, Self::Sync)?),
            b'H' => Ok(empty(body, Self::Flush)?),
            b'X' => Ok(empty(body, Self::Terminate)?),
            CopyData::TAG => Ok(Self::CopyData(CopyData { data: body })),
            b'c' => Ok(empty(body, Self::CopyDone)?),
            CopyFail::TAG => CopyFail::decode(body).map(Self::CopyFail),
            AuthenticationResponse::TAG => Ok(Self::Authentication(AuthenticationResponse { body })),
            b'F' => Ok(Self::FunctionCall(FunctionCall { body })),
            unknown => Err(DecodeError::UnknownTag(unknown)),
        }
    }

    /// Appends the message.
    ///
    /// # Errors
    /// [`EncodeError`] if a string holds a zero byte or a list is too long.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Query(query) => query.encode(out),
            Self::Parse(parse) => parse.encode(out),
            Self::Bind(bind) => bind.encode(out),
            Self::Describe(name) => name.encode_describe(out),
            Self::Execute(execute) => execute.encode(out),
            Self::Close(name) => name.encode_close(out),
            Self::Sync => Body::tagged(out, b'S').finish(),
            Self::Flush => Body::tagged(out, b'H').finish(),
            Self::Terminate => Body::tagged(out, b'X').finish(),
            Self::CopyData(copy) => copy.encode(out),
            Self::CopyDone => Body::tagged(out, b'c').finish(),
            Self::CopyFail(fail) => fail.encode(out),
            Self::Authentication(response) => AuthenticationResponse::encode_data(response.body, out),
            Self::FunctionCall(call) => {
                let mut body = Body::tagged(out, b'F');
                body.bytes(call.body);
                body.finish()
            }
        }
    }
}
