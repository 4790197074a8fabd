//! An answer whose values are replaced while it streams: decoded where it is compressed, masked, and sent plain.
//!
//! Nothing leaves that the masker has not passed; what it cannot read ends the answer. Where detectors only look, the answer
//! passes as it came, and what cannot be read is not looked at any more.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use kernel::ports::Detection;
use wire::detect::Kind;
use wire::http::json_mask::{Form, JsonMasker, Masks};

use super::answer::{Broken, looked_at};
use super::decoding::{Decoder, STEP};
use super::slot::Slot;

/// So much is passed on at a time, in bytes.
const CHUNK: usize = 32 * 1024;

/// How much of an answer detectors look at that only look, in bytes: what its beginning does not show is not a signal worth
/// its price.
const LOOKED: usize = 256 * 1024;

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
    /// The answer passes as it comes; this one only looks.
    looks: Looks,
    /// How many bytes detectors were shown.
    looked: usize,
    findings: Option<Findings>,
}

/// Does the masker replace, or only look?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looks {
    Replaces,
    Only,
    NoMore,
}

/// Whom what is found concerns.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) slot: Arc<Slot>,
    pub(super) template: Arc<str>,
}

impl Findings {
    /// Tells of what was found in a body or a message, as `part` says.
    pub(super) fn tell(&self, part: &str, found: impl Iterator<Item = (Kind, u32)>) {
        for (kind, hits) in found {
            self.slot.detected(Detection {
                upstream: self.slot.upstream.name.clone(),
                column: [part.into(), Arc::clone(&self.template), "$".into()],
                detector: kind.as_str(),
                class: kind.class(),
                hits,
                samples: hits,
            });
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    Ended,
}

impl Masking {
    /// Of an answer with this head; none if what it holds cannot be masked. Takes out of the head what is no longer so. If it
    /// does not replace, it only looks.
    pub(super) fn new(body: Incoming, headers: &mut HeaderMap, masks: Masks, replaces: bool) -> Result<Self, Incoming> {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let mut codings = headers.get_all(CONTENT_ENCODING).iter();
        let coding = codings.next().map(|coding| coding.as_bytes());
        let decoder = if codings.next().is_some() { None } else { Decoder::of(coding).ok() };
        let (Some(form), Some(decoder)) = (kind.and_then(Form::of_content_type), decoder) else { return Err(body) };
        if replaces {
            headers.remove(CONTENT_ENCODING);
        }
        Ok(Self {
            body,
            input: Bytes::new(),
            decoder,
            plain: Vec::new(),
            masker: JsonMasker::new(masks, form),
            out: Vec::new(),
            state: State::Reading,
            looks: if replaces { Looks::Replaces } else { Looks::Only },
            looked: 0,
            findings: None,
        })
    }

    /// The same, which tells what it finds.
    pub(super) fn telling(mut self, findings: Findings) -> Self {
        self.findings = Some(findings);
        self
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.state == State::Ended && self.out.is_empty()
    }

    /// As long as the upstream says, unless values are replaced.
    pub(super) fn size_hint(&self) -> SizeHint {
        if self.looks == Looks::Replaces { SizeHint::default() } else { self.body.size_hint() }
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
                Some(Ok(frame)) => match (frame.into_data(), self.looks) {
                    (Ok(data), Looks::Replaces) => self.input = data,
                    (Ok(data), Looks::Only | Looks::NoMore) => {
                        self.look(&data);
                        if self.body.is_end_stream() {
                            // Who knows the length does not ask again.
                            self.end();
                        }
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    // Trailers could carry what is masked, so they do not pass.
                    (Err(_trailers), Looks::Replaces) => {}
                    (Err(trailers), Looks::Only | Looks::NoMore) => {
                        return Poll::Ready(Some(Ok(looked_at(trailers))));
                    }
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(Broken::Upstream(error)))),
                None if self.looks == Looks::Replaces => self.finish()?,
                None => self.end(),
            }
        }
    }

    /// All of it has come.
    fn end(&mut self) {
        self.state = State::Ended;
        if let Some(findings) = self.findings.take() {
            findings.tell("answer", self.masker.found());
        }
    }

    /// Looks at what passes as it came.
    fn look(&mut self, data: &[u8]) {
        self.looked = self.looked.saturating_add(data.len());
        if self.looked > LOOKED {
            self.looks = Looks::NoMore;
        }
        for step in data.chunks(STEP) {
            if self.looks == Looks::NoMore {
                return;
            }
            let decoded = self.decoder.feed(step, &mut self.plain).is_ok();
            if !decoded || self.masker.feed(&self.plain, &mut self.out).is_err() {
                self.looks = Looks::NoMore;
            }
            self.plain.clear();
            self.out.clear();
        }
    }

    fn step(&mut self) -> Result<(), Broken> {
        let many = self.input.len().min(self.decoder.step());
        let step = self.input.get(..many).unwrap_or_default();
        let decoded = self.decoder.feed(step, &mut self.plain);
        self.input.advance(many);
        decoded.map_err(|_error| Broken::Unmaskable("coding"))?;
        if self.looked > LOOKED {
            self.masker.look_no_more();
        }
        self.looked = self.looked.saturating_add(self.plain.len());
        let masked = self.masker.feed(&self.plain, &mut self.out);
        self.plain.clear();
        masked.map_err(|_error| Broken::Unmaskable("form"))
    }

    fn finish(&mut self) -> Result<(), Broken> {
        self.decoder.finish(&mut self.plain).map_err(|_error| Broken::Unmaskable("coding"))?;
        let masked = self.masker.feed(&self.plain, &mut self.out).and_then(|()| self.masker.finish(&mut self.out));
        self.plain.clear();
        self.end();
        masked.map_err(|_error| Broken::Unmaskable("form"))
    }
}
