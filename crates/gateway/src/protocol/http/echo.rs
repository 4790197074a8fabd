//! An answer in which the gateway's own credential is looked for: what repeats it is overwritten while it streams. Where it is
//! compressed, it is decoded to be looked at, and broken off.
//!
//! It stands last, behind what masks. What is sought, and how, is the credential's (`upstream::credential`, `wire::http::echo`).

mod calls;

use std::collections::VecDeque;
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
use calls::Calls;

/// The most that waits of a coded answer, in bytes as they came.
const MOST_WAITING: usize = 1 << 20;

/// The search of one answer.
pub(super) struct Echo {
    search: Search,
    form: Form,
    /// What leaves next: trailers, behind what was held when the answer ended.
    next: Option<Frame<Bytes>>,
    ended: bool,
    slot: Arc<Slot>,
    template: Arc<str>,
}

/// How what comes is to be read.
enum Form {
    /// As it is.
    Plain,
    Coded(Decoded),
    Calls(Calls),
}

/// What passes as it is coded, and is decoded to be looked at.
struct Decoded {
    decoder: Decoder,
    /// What has not left, because a value may have begun in it.
    waiting: BytesMut,
    /// The steps of what waits: how much was decoded up to the end of each, and how long it is.
    steps: VecDeque<(usize, usize)>,
    /// So much was decoded, in bytes.
    total: usize,
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
        let form = match decoder.filter(Decoder::is_prompt) {
            Some(decoder) => Form::Coded(Decoded::new(decoder)),
            None => Calls::of(headers).map_or(Form::Plain, Form::Calls),
        };
        let (slot, template) = (Arc::clone(slot), Arc::clone(template));
        Some(Box::new(Self { search, form, next: None, ended: false, slot, template }))
    }

    /// Has all that came left?
    pub(super) fn is_empty(&self) -> bool {
        self.held() == 0 && self.next.is_none()
    }

    /// So many bytes have come and not left.
    pub(super) fn held(&self) -> usize {
        let next = self.next.as_ref().and_then(Frame::data_ref).map_or(0, Bytes::len);
        next + match &self.form {
            Form::Plain => self.search.held(),
            Form::Coded(decoded) => decoded.held(),
            Form::Calls(calls) => calls.held(&self.search),
        }
    }

    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
        source: &mut Source,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        while self.next.is_none() && !self.ended {
            let (leaves, then) = match ready!(source.poll_frame(context)).transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => {
                    let mut leaves = self.pass(data)?;
                    // Who knows the length does not ask again. In one frame: its parts would show how much was held.
                    if source.has_ended() {
                        let rest = self.finish()?;
                        leaves = if rest.is_empty() { leaves } else { [leaves, rest].concat().into() };
                    }
                    (leaves, None)
                }
                Some(Err(mut frame)) => {
                    if let (Some(trailers), Some(credential)) = (frame.trailers_mut(), &self.slot.upstream.credential) {
                        tell(&self.slot, "header", &self.template, credential.take_out_of(trailers));
                    }
                    (self.finish()?, Some(frame))
                }
                None => {
                    self.ended = true;
                    (self.finish()?, None)
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
        match &mut self.form {
            Form::Plain => Ok(self.search.pass(data)),
            Form::Coded(decoded) => decoded.pass(data, &mut self.search),
            Form::Calls(calls) => calls.pass(data, &mut self.search),
        }
    }

    /// Nothing more comes: what was held.
    fn finish(&mut self) -> Result<Bytes, Broken> {
        match &mut self.form {
            Form::Plain => Ok(self.search.finish(Bytes::new())),
            Form::Coded(decoded) => decoded.finish(&mut self.search),
            Form::Calls(calls) => calls.finish(&mut self.search),
        }
    }
}

impl Decoded {
    fn new(decoder: Decoder) -> Self {
        Self { decoder, waiting: BytesMut::new(), steps: VecDeque::new(), total: 0, plain: Vec::new() }
    }

    /// What may leave of it: all steps of which nothing is held when they are decoded.
    fn pass(&mut self, data: Bytes, search: &mut Search) -> Result<Bytes, Broken> {
        let before = search.found();
        for step in data.chunks(self.decoder.step()) {
            let decoded = self.decoder.feed(step, &mut self.plain);
            let decoded = decoded.and_then(|()| self.decoder.flush(&mut self.plain));
            self.total = self.total.saturating_add(self.plain.len());
            search.pass(std::mem::take(&mut self.plain).into());
            if decoded.is_err() || search.found() > before {
                return Err(Broken::Echo);
            }
            match self.steps.back_mut() {
                Some((end, length)) if *end == self.total => *length += step.len(),
                _ => self.steps.push_back((self.total, step.len())),
            }
        }
        let clear = self.total.saturating_sub(search.held());
        let mut leaves = 0;
        while let Some((_, length)) = self.steps.pop_front_if(|(end, _)| *end <= clear) {
            leaves += length;
        }
        if self.steps.is_empty() && self.waiting.is_empty() {
            return Ok(data);
        }
        self.waiting.extend_from_slice(&data);
        let leaves = self.waiting.split_to(leaves.min(self.waiting.len())).freeze();
        if self.waiting.len() > MOST_WAITING { Err(Broken::Echo) } else { Ok(leaves) }
    }

    /// Nothing more comes: what waited, unless it ends in a value.
    fn finish(&mut self, search: &mut Search) -> Result<Bytes, Broken> {
        let before = search.found();
        search.finish(Bytes::new());
        self.steps.clear();
        if search.found() > before { Err(Broken::Echo) } else { Ok(std::mem::take(&mut self.waiting).freeze()) }
    }

    fn held(&self) -> usize {
        self.waiting.len()
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

#[cfg(test)]
mod tests;
