//! Messages that run nothing and name no resource: they go upstream under the receipt of the session's own connecting.
//!
//! A closed set of forms. Whatever runs something goes as the content of a receipt; see `relay::Relay::admit`.

use std::borrow::Cow;

use wire::postgres::message::{
    COPY_DONE, CopyData, CopyFail, EncodeError, FLUSH, FrontendMessage, Name, Parse, Query, SYNC, TERMINATE,
};

use super::client::{Stop, encode};
use crate::relay;

/// Encoded control messages, in order.
#[derive(Debug)]
pub(super) struct Control(Cow<'static, [u8]>);

impl relay::Control for Control {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Control {
    /// Puts other messages behind these.
    pub(super) fn append(&mut self, other: Self) {
        self.0.to_mut().extend_from_slice(&other.0);
    }

    pub(super) fn sync() -> Self {
        Self(Cow::Borrowed(&SYNC))
    }

    pub(super) fn flush() -> Self {
        Self(Cow::Borrowed(&FLUSH))
    }

    /// A query of no statement: it holds none of the client's bytes.
    pub(super) fn empty_query() -> Result<Self, Stop> {
        Self::encoded(|out| Query { text: "" }.encode(out))
    }

    pub(super) fn describe(name: Name<'_>) -> Result<Self, Stop> {
        Self::encoded(|out| name.encode_describe(out))
    }

    pub(super) fn close(name: Name<'_>) -> Result<Self, Stop> {
        Self::encoded(|out| name.encode_close(out))
    }

    /// Rows for a COPY that runs under its own receipt.
    pub(super) fn copy_data(data: CopyData<'_>) -> Result<Self, Stop> {
        Self::encoded(|out| data.encode(out))
    }

    pub(super) fn copy_done() -> Self {
        Self(Cow::Borrowed(&COPY_DONE))
    }

    pub(super) fn copy_fail(fail: CopyFail<'_>) -> Result<Self, Stop> {
        Self::encoded(|out| FrontendMessage::CopyFail(fail).encode(out))
    }

    /// A Parse of no statement, under the client's name for it.
    pub(super) fn empty_parse(statement: &str) -> Result<Self, Stop> {
        Self::encoded(|out| Parse { statement, text: "", parameter_types: Vec::new() }.encode(out))
    }

    /// Bind, Describe and Execute of a statement whose text is empty: nothing can run.
    pub(super) fn of_empty_statement(wire: Vec<u8>) -> Self {
        Self(wire.into())
    }

    pub(super) fn terminate() -> Self {
        Self(Cow::Borrowed(&TERMINATE))
    }

    fn encoded(write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>) -> Result<Self, Stop> {
        let mut out = Vec::new();
        encode(write(&mut out))?;
        Ok(Self(out.into()))
    }
}
