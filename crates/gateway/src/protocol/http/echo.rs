//! An answer in which the gateway's own credential is looked for: what repeats it is overwritten while it streams. Where it is
//! compressed, it is decoded to be looked at, and broken off.
//!
//! It stands last, behind what masks. What is sought, and how, is the credential's (`upstream::credential`, `wire::http::echo`).

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::Frame;
use hyper::header::{CONTENT_ENCODING, HeaderMap};
use kernel::ports::Detection;
use wire::http::echo::Search;

use super::answer::{Broken, Source};
use super::decoding::Decoder;
use super::slot::Slot;

/// The search of one answer.
pub(super) struct Echo {
    search: Search,
    coded: Option<Coded>,
    /// What leaves next: trailers, or what was held when the answer ended.
    next: Option<Frame<Bytes>>,
    ended: bool,
    slot: Arc<Slot>,
    template: Arc<str>,
}

/// An answer that passes as it is coded, and is decoded to be looked at.
struct Coded {
    decoder: Decoder,
    /// What has not left, because a value may have begun in it.
    waiting: BytesMut,
    plain: Vec<u8>,
}

impl Echo {
    /// For an answer with these headers, or a part of one. None where no credential could come back.
    pub(super) fn of(slot: &Arc<Slot>, headers: &HeaderMap, is_part: bool, template: &Arc<str>) -> Option<Box<Self>> {
        let search = slot.upstream.credential.as_ref()?.search()?;
        let mut codings = headers.get_all(CONTENT_ENCODING).iter();
        let coding = codings.next().filter(|_| codings.next().is_none() && !is_part);
        // Where the coding is another, or a part is of the coded bytes, nothing can be decoded while it streams.
        let decoder = coding.and_then(|coding| Decoder::of(Some(coding.as_bytes())).ok());
        let coded = decoder.filter(Decoder::is_prompt);
        let coded = coded.map(|decoder| Coded { decoder, waiting: BytesMut::new(), plain: Vec::new() });
        let (slot, template) = (Arc::clone(slot), Arc::clone(template));
        Some(Box::new(Self { search, coded, next: None, ended: false, slot, template }))
    }

    /// Has all that came left?
    pub(super) fn is_empty(&self) -> bool {
        self.held() == 0 && self.next.is_none()
    }

    /// So many bytes have come and not left.
    pub(super) fn held(&self) -> usize {
        let next = self.next.as_ref().and_then(Frame::data_ref).map_or(0, Bytes::len);
        next + self.coded.as_ref().map_or_else(|| self.search.held(), |coded| coded.waiting.len())
    }

    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
        source: &mut Source,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        while self.next.is_none() && !self.ended {
            let (leaves, then) = match ready!(source.poll_frame(context)).transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => {
                    let leaves = self.pass(data)?;
                    // Who knows the length does not ask again.
                    let rest = if source.has_ended() { self.finish() } else { Bytes::new() };
                    (leaves, Some(rest).filter(|rest| !rest.is_empty()).map(Frame::data))
                }
                Some(Err(mut frame)) => {
                    if let (Some(trailers), Some(credential)) = (frame.trailers_mut(), &self.slot.upstream.credential) {
                        credential.take_out_of(trailers);
                    }
                    (self.finish(), Some(frame))
                }
                None => {
                    self.ended = true;
                    (self.finish(), None)
                }
            };
            self.next = then;
            if !leaves.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(leaves))));
            }
        }
        Poll::Ready(self.next.take().map(Ok))
    }

    fn pass(&mut self, data: Bytes) -> Result<Bytes, Broken> {
        let Some(coded) = &mut self.coded else { return Ok(self.search.pass(data)) };
        for step in data.chunks(coded.decoder.step()) {
            let decoded = coded.decoder.feed(step, &mut coded.plain);
            let decoded = decoded.and_then(|()| coded.decoder.flush(&mut coded.plain));
            self.search.pass(std::mem::take(&mut coded.plain).into());
            if decoded.is_err() || self.search.found() > 0 {
                return Err(Broken::Echo);
            }
        }
        if self.search.held() == 0 && coded.waiting.is_empty() {
            return Ok(data);
        }
        coded.waiting.extend_from_slice(&data);
        let leaves = if self.search.held() == 0 { std::mem::take(&mut coded.waiting) } else { BytesMut::new() };
        Ok(leaves.freeze())
    }

    /// Nothing more comes: what was held.
    fn finish(&mut self) -> Bytes {
        let rest = self.search.finish(Bytes::new());
        self.coded.as_mut().map_or(rest, |coded| std::mem::take(&mut coded.waiting).freeze())
    }
}

impl Drop for Echo {
    /// Tells what was found, once for an answer.
    fn drop(&mut self) {
        tell(&self.slot, "answer", &self.template, self.search.found());
    }
}

/// Tells that a part of what the upstream said repeated the credential, if it did.
pub(super) fn tell(slot: &Slot, part: &str, template: &Arc<str>, hits: u32) {
    if hits > 0 {
        slot.detected(Detection {
            upstream: slot.upstream.name.clone(),
            column: [part.into(), Arc::clone(template), "$".into()],
            detector: "upstream-credential",
            class: "secret",
            hits,
            samples: hits,
        });
    }
}
