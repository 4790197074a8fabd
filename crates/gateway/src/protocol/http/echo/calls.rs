//! An answer of gRPC that is searched message by message (gRPC over HTTP/2, Length-Prefixed-Message): whoever asks and waits for each
//! answer gets it whole at once, whatever its end looks like. A message that is compressed is decoded to be looked at.

use bytes::{Bytes, BytesMut};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use wire::http::echo::Search;

use super::Decoded;
use crate::protocol::http::answer::Broken;
use crate::protocol::http::decoding::Decoder;

/// A byte of flags, four of length.
const HEAD: usize = 5;
/// The flags that there are: it is compressed, and it holds trailers (gRPC-Web).
const FLAGS: u8 = 0x81;

/// Messages of one answer, as they come.
pub(super) struct Calls {
    /// What has come of a message's head.
    head: Vec<u8>,
    message: Message,
    /// So much of the message is to come.
    left: usize,
    /// `grpc-encoding`.
    coding: Option<Vec<u8>>,
}

/// What the message that comes is.
enum Message {
    /// As it is, or nobody here can decode it.
    Plain,
    Coded(Decoded),
}

impl Calls {
    /// Of an answer with these headers, if it is one of gRPC. What is base64 as a whole is none.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(CONTENT_TYPE)?.as_bytes();
        let is_call = kind.starts_with(b"application/grpc") && !kind.starts_with(b"application/grpc-web-text");
        let coding = headers.get("grpc-encoding").map(|coding| coding.as_bytes().to_vec());
        is_call.then(|| Self { head: Vec::with_capacity(HEAD), message: Message::Plain, left: 0, coding })
    }

    pub(super) fn pass(&mut self, mut data: Bytes, search: &mut Search) -> Result<Bytes, Broken> {
        let mut out = BytesMut::with_capacity(data.len());
        while !data.is_empty() {
            if self.head.is_empty() && data.first().is_some_and(|flags| flags & !FLAGS != 0) {
                // This is no message, whatever the answer's head says: an error in JSON, say. Nor is what follows.
                self.head.resize(HEAD, 0);
                self.left = usize::MAX;
                self.message = Message::Plain;
            } else if self.head.len() < HEAD {
                let head = data.split_to(data.len().min(HEAD - self.head.len()));
                self.head.extend_from_slice(&head);
                out.extend_from_slice(&head);
                self.begin();
            } else {
                let payload = data.split_to(data.len().min(self.left));
                self.left -= payload.len();
                match &mut self.message {
                    Message::Plain => out.extend_from_slice(&search.pass(payload)),
                    Message::Coded(decoded) => out.extend_from_slice(&decoded.pass(payload, search)?),
                }
            }
            if self.head.len() == HEAD && self.left == 0 {
                out.extend_from_slice(&self.finish(search)?);
                self.head.clear();
            }
        }
        Ok(out.freeze())
    }

    /// The head is whole, or not yet.
    fn begin(&mut self) {
        let Ok([flags, length @ ..]) = <[u8; HEAD]>::try_from(self.head.as_slice()) else { return };
        self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        self.message = if flags & 1 == 0 {
            Message::Plain
        } else {
            let decoder = self.coding.as_deref().and_then(|coding| Decoder::of(Some(coding)).ok());
            match decoder.filter(Decoder::is_prompt) {
                Some(decoder) => Message::Coded(Decoded::new(decoder)),
                None => Message::Plain,
            }
        };
    }

    /// Nothing more comes of the message: what was held.
    pub(super) fn finish(&mut self, search: &mut Search) -> Result<Bytes, Broken> {
        match &mut self.message {
            Message::Plain => Ok(search.finish(Bytes::new())),
            Message::Coded(decoded) => decoded.finish(search),
        }
    }

    pub(super) fn held(&self, search: &Search) -> usize {
        match &self.message {
            Message::Plain => search.held(),
            Message::Coded(decoded) => decoded.held(),
        }
    }
}

#[cfg(test)]
mod tests;
