//! An answer whose values are replaced while it streams: decoded where it is compressed, masked, and sent plain.
//!
//! Nothing leaves that the masker has not passed; what it cannot read ends the answer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use wire::http::json_mask::{Form, JsonMasker, Masks};

use super::answer::Broken;
use super::decoding::{Decoder, STEP};

/// So much is passed on at a time, in bytes.
const CHUNK: usize = 32 * 1024;

/// An answer that is being masked.
#[derive(Debug)]
pub(super) struct Masking {
    body: Incoming,
    /// What has come and is not decoded yet.
    input: Bytes,
    decoder: Decoder,
    plain: Vec<u8>,
    masker: JsonMasker,
    out: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    Ended,
}

impl Masking {
    /// Of an answer with this head; none if what it holds cannot be masked. Takes out of the head what is no longer so.
    pub(super) fn new(body: Incoming, headers: &mut HeaderMap, masks: Masks) -> Result<Self, Incoming> {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let mut codings = headers.get_all(CONTENT_ENCODING).iter();
        let coding = codings.next().map(|coding| coding.as_bytes());
        let decoder = if codings.next().is_some() { None } else { Decoder::of(coding).ok() };
        let (Some(form), Some(decoder)) = (kind.and_then(Form::of_content_type), decoder) else { return Err(body) };
        headers.remove(CONTENT_ENCODING);
        Ok(Self {
            body,
            input: Bytes::new(),
            decoder,
            plain: Vec::new(),
            masker: JsonMasker::new(masks, form),
            out: Vec::new(),
            state: State::Reading,
        })
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.state == State::Ended && self.out.is_empty()
    }

    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if self.out.len() >= CHUNK || !self.out.is_empty() && self.input.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from(std::mem::take(&mut self.out))))));
            }
            if self.state == State::Ended {
                return Poll::Ready(None);
            }
            if !self.input.is_empty() {
                self.step()?;
                continue;
            }
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    // Trailers could carry what is masked, so they do not pass.
                    if let Ok(data) = frame.into_data() {
                        self.input = data;
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(Broken::Upstream(error)))),
                None => self.finish()?,
            }
        }
    }

    fn step(&mut self) -> Result<(), Broken> {
        let many = self.input.len().min(STEP);
        let step = self.input.get(..many).unwrap_or_default();
        let decoded = self.decoder.feed(step, &mut self.plain);
        self.input.advance(many);
        decoded.map_err(|_error| Broken::Unmaskable("coding"))?;
        let masked = self.masker.feed(&self.plain, &mut self.out);
        self.plain.clear();
        masked.map_err(|_error| Broken::Unmaskable("form"))
    }

    fn finish(&mut self) -> Result<(), Broken> {
        self.decoder.finish(&mut self.plain).map_err(|_error| Broken::Unmaskable("coding"))?;
        let masked = self.masker.feed(&self.plain, &mut self.out).and_then(|()| self.masker.finish(&mut self.out));
        self.plain.clear();
        self.state = State::Ended;
        masked.map_err(|_error| Broken::Unmaskable("form"))
    }
}
