//! Every message that a server may send.

use crate::postgres::message::frontend::empty;
use crate::postgres::message::{
    Authentication, BackendKeyData, CommandComplete, CopyData, CopyResponse, DataRow, DecodeError, EncodeError,
    ErrorFields, FunctionCallResponse, NegotiateProtocolVersion, NotificationResponse, ParameterDescription,
    ParameterStatus, ReadyForQuery, RowDescription,
};
use crate::postgres::write::Body;

/// A whole `ParseComplete` frame.
pub const PARSE_COMPLETE: [u8; 5] = *b"1\0\0\0\x04";
/// A whole `BindComplete` frame.
pub const BIND_COMPLETE: [u8; 5] = *b"2\0\0\0\x04";
/// A whole `CloseComplete` frame.
pub const CLOSE_COMPLETE: [u8; 5] = *b"3\0\0\0\x04";
/// A whole `NoData` frame.
pub const NO_DATA: [u8; 5] = *b"n\0\0\0\x04";
/// A whole `EmptyQueryResponse` frame.
pub const EMPTY_QUERY_RESPONSE: [u8; 5] = *b"I\0\0\0\x04";
/// A whole `PortalSuspended` frame.
pub const PORTAL_SUSPENDED: [u8; 5] = *b"s\0\0\0\x04";
/// A whole `CopyDone` frame, in either direction.
pub const COPY_DONE: [u8; 5] = *b"c\0\0\0\x04";

/// A message of the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendMessage<'a> {
    /// `R`: a step of the login.
    Authentication(Authentication<'a>),
    /// `K`: the key to cancel with.
    BackendKeyData(BackendKeyData<'a>),
    /// `v`: a version or extension is not known.
    NegotiateProtocolVersion(NegotiateProtocolVersion<'a>),
    /// `S`: a setting's value.
    ParameterStatus(ParameterStatus<'a>),
    /// `Z`: ready for the next query.
    ReadyForQuery(ReadyForQuery),
    /// `T`: the columns to come.
    RowDescription(RowDescription<'a>),
    /// `D`: a row.
    DataRow(DataRow<'a>),
    /// `C`: a statement is complete.
    CommandComplete(CommandComplete<'a>),
    /// `I`: the statement was empty.
    EmptyQueryResponse,
    /// `E`: an error.
    ErrorResponse(ErrorFields<'a>),
    /// `N`: a notice.
    NoticeResponse(ErrorFields<'a>),
    /// `A`: a notification.
    NotificationResponse(NotificationResponse<'a>),
    /// `t`: the types of a statement's parameters.
    ParameterDescription(ParameterDescription),
    /// `1`: Parse is done.
    ParseComplete,
    /// `2`: Bind is done.
    BindComplete,
    /// `3`: Close is done.
    CloseComplete,
    /// `n`: the statement returns no rows.
    NoData,
    /// `s`: the portal has more rows than were asked for.
    PortalSuspended,
    /// `G`: the server waits for COPY data.
    CopyInResponse(CopyResponse<'a>),
    /// `H`: COPY data follows.
    CopyOutResponse(CopyResponse<'a>),
    /// `W`: replication.
    CopyBothResponse(CopyResponse<'a>),
    /// `d`: COPY data.
    CopyData(CopyData<'a>),
    /// `c`: the end of COPY data.
    CopyDone,
    /// `V`: the result of a function call.
    FunctionCallResponse(FunctionCallResponse<'a>),
}

impl<'a> BackendMessage<'a> {
    /// Decodes a frame's body by its tag.
    ///
    /// # Errors
    /// [`DecodeError`] if the tag is not known or the layout is wrong.
    pub fn decode(tag: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        match tag {
            DataRow::TAG => DataRow::decode(body).map(Self::DataRow),
            Authentication::TAG => Authentication::decode(body).map(Self::Authentication),
            BackendKeyData::TAG => BackendKeyData::decode(body).map(Self::BackendKeyData),
            NegotiateProtocolVersion::TAG => NegotiateProtocolVersion::decode(body).map(Self::NegotiateProtocolVersion),
            ParameterStatus::TAG => ParameterStatus::decode(body).map(Self::ParameterStatus),
            ReadyForQuery::TAG => ReadyForQuery::decode(body).map(Self::ReadyForQuery),
            RowDescription::TAG => RowDescription::decode(body).map(Self::RowDescription),
            CommandComplete::TAG => CommandComplete::decode(body).map(Self::CommandComplete),
            b'I' => Ok(empty(body, Self::EmptyQueryResponse)?),
            ErrorFields::ERROR => ErrorFields::decode(body).map(Self::ErrorResponse),
            ErrorFields::NOTICE => ErrorFields::decode(body).map(Self::NoticeResponse),
            NotificationResponse::TAG => NotificationResponse::decode(body).map(Self::NotificationResponse),
            ParameterDescription::TAG => ParameterDescription::decode(body).map(Self::ParameterDescription),
            b'1' => Ok(empty(body, Self::ParseComplete)?),
            b'2' => Ok(empty(body, Self::BindComplete)?),
            b'3' => Ok(empty(body, Self::CloseComplete)?),
            b'n' => Ok(empty(body, Self::NoData)?),
            b's' => Ok(empty(body, Self::PortalSuspended)?),
            CopyResponse::IN => CopyResponse::decode(body).map(Self::CopyInResponse),
            CopyResponse::OUT => CopyResponse::decode(body).map(Self::CopyOutResponse),
            CopyResponse::BOTH => CopyResponse::decode(body).map(Self::CopyBothResponse),
            CopyData::TAG => Ok(Self::CopyData(CopyData { data: body })),
            b'c' => Ok(empty(body, Self::CopyDone)?),
            FunctionCallResponse::TAG => FunctionCallResponse::decode(body).map(Self::FunctionCallResponse),
            unknown => Err(DecodeError::UnknownTag(unknown)),
        }
    }

    /// Appends the message.
    ///
    /// # Errors
    /// [`EncodeError`] if a string holds a zero byte or a list is too long.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Authentication(message) => message.encode(out),
            Self::BackendKeyData(message) => message.encode(out),
            Self::NegotiateProtocolVersion(message) => message.encode(out),
            Self::ParameterStatus(message) => message.encode(out),
            Self::ReadyForQuery(message) => {
                message.encode(out);
                Ok(())
            }
            Self::RowDescription(message) => message.encode(out),
            Self::DataRow(message) => message.encode(out),
            Self::CommandComplete(message) => message.encode(out),
            Self::EmptyQueryResponse => Body::tagged(out, b'I').finish(),
            Self::ErrorResponse(fields) => fields.encode_error(out),
            Self::NoticeResponse(fields) => fields.encode_notice(out),
            Self::NotificationResponse(message) => message.encode(out),
            Self::ParameterDescription(message) => message.encode(out),
            Self::ParseComplete => Body::tagged(out, b'1').finish(),
            Self::BindComplete => Body::tagged(out, b'2').finish(),
            Self::CloseComplete => Body::tagged(out, b'3').finish(),
            Self::NoData => Body::tagged(out, b'n').finish(),
            Self::PortalSuspended => Body::tagged(out, b's').finish(),
            Self::CopyInResponse(message) => message.encode(CopyResponse::IN, out),
            Self::CopyOutResponse(message) => message.encode(CopyResponse::OUT, out),
            Self::CopyBothResponse(message) => message.encode(CopyResponse::BOTH, out),
            Self::CopyData(message) => message.encode(out),
            Self::CopyDone => Body::tagged(out, b'c').finish(),
            Self::FunctionCallResponse(message) => message.encode(out),
        }
    }
}
