//! The body of an answer on its way to the client: as the upstream sends it, or with values replaced; capped where policy
//! says so; broken off when the session is cut.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::futures::OwnedNotified;
use wire::http::headers;

use super::echo::Echo;
use super::forward::Link;
use super::line::Busy;
use super::masking::Masking;
use super::slot::Slot;

/// Why an answer breaks off. The client learns that it is not whole, and no more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The session is cut.
    #[error("the session is cut")]
    Cut,
    /// More bytes than policy lets one answer have.
    #[error("the answer is longer than policy allows")]
    TooLong,
    /// What is to be replaced cannot be found for certain.
    #[error("the answer cannot be masked: {0}")]
    Unmaskable(&'static str),
    /// It repeats the gateway's own credential in a coded form, or may: it cannot be decoded.
    #[error("the answer may repeat the upstream's credential")]
    Echo,
    /// The upstream broke it off.
    #[error("the upstream broke the answer off")]
    Upstream(#[source] hyper::Error),
}

/// A body on its way to the client.
pub(super) struct Answer {
    source: Source,
    echo: Option<Box<Echo>>,
    passage: Option<Box<Passage>>,
    /// The exchange is under way until this is gone.
    _busy: Option<Busy>,
}

/// Where it comes from.
pub(super) enum Source {
    Whole(Option<Bytes>),
    Stream(Incoming),
    Masked(Box<Masking>),
}

/// What an answer of an upstream's has besides its bytes.
struct Passage {
    slot: Arc<Slot>,
    link: Option<Link>,
    /// Bytes that may still leave.
    left: Option<u64>,
    /// Set once the answer has had to wait.
    gone: Option<Pin<Box<OwnedNotified>>>,
}

impl Answer {
    /// The gateway's own words.
    pub(super) const fn whole(bytes: Bytes) -> Self {
        Self { source: Source::Whole(Some(bytes)), echo: None, passage: None, _busy: None }
    }

    /// What the upstream sends, at most `most` bytes of it.
    pub(super) fn stream(body: Incoming, slot: &Arc<Slot>, link: Option<Link>, most: Option<u64>) -> Self {
        Self::passing(Source::Stream(body), slot, link, most)
    }

    /// What the upstream sends, with values replaced.
    pub(super) fn masked(masking: Masking, slot: &Arc<Slot>, link: Option<Link>, most: Option<u64>) -> Self {
        Self::passing(Source::Masked(Box::new(masking)), slot, link, most)
    }

    fn passing(source: Source, slot: &Arc<Slot>, link: Option<Link>, left: Option<u64>) -> Self {
        slot.count_answer();
        let passage = Passage { slot: Arc::clone(slot), link, left, gone: None };
        let mut answer = Self { source, echo: None, passage: Some(Box::new(passage)), _busy: None };
        if answer.is_end_stream() {
            answer.done();
        }
        answer
    }

    /// The same, in which the gateway's own credential is looked for.
    pub(super) fn without_echo(mut self, echo: Option<Box<Echo>>) -> Self {
        self.echo = echo;
        self
    }

    /// The same, keeping the exchange open until the last of it has left.
    pub(super) fn during(mut self, busy: Busy) -> Self {
        self._busy = Some(busy);
        self
    }

    /// The upstream's connection is at rest.
    fn done(&mut self) {
        if let Some(passage) = &mut self.passage
            && let Some(link) = passage.link.take()
        {
            passage.slot.give_link(link);
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

impl Source {
    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self {
            Self::Whole(bytes) => {
                Poll::Ready(bytes.take().filter(|bytes| !bytes.is_empty()).map(|bytes| Ok(Frame::data(bytes))))
            }
            Self::Stream(body) => {
                let polled = Pin::new(body).poll_frame(context);
                polled.map(|frame| frame.map(|frame| frame.map(looked_at).map_err(Broken::Upstream)))
            }
            Self::Masked(masking) => masking.poll_frame(context),
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Stream(body) => body.is_end_stream(),
            Self::Masked(masking) => masking.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(body) => body.size_hint(),
            Self::Masked(masking) => masking.size_hint(),
        }
    }
}

/// Takes out of trailers what has no place there.
pub(super) fn looked_at(mut frame: Frame<Bytes>) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        headers::response_trailers(trailers, false);
    }
    frame
}

impl Passage {
    /// Is the session cut? Wakes the answer when it is.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let slot = &self.slot;
            let gone = self.gone.get_or_insert_with(|| {
                let mut gone = Box::pin(Arc::clone(slot.live.gone()).notified_owned());
                gone.as_mut().enable();
                gone
            });
            // Looked at after the wait has begun, so that no cut is missed.
            if self.slot.cut().is_some() {
                return Poll::Ready(());
            }
            match gone.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => self.gone = None,
            }
        }
    }

    fn count(&mut self, bytes: usize) -> Result<(), Broken> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(bytes as u64).ok_or(Broken::TooLong)?;
        }
        self.slot.count(bytes);
        Ok(())
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        if let Some(passage) = &mut this.passage
            && passage.slot.cut().is_some()
        {
            passage.link = None;
            return Poll::Ready(Some(Err(Broken::Cut)));
        }
        let polled = match &mut this.echo {
            Some(echo) => echo.poll_frame(context, &mut this.source),
            None => this.source.poll_frame(context),
        };
        let Some(passage) = &mut this.passage else { return polled };
        match polled {
            Poll::Pending => match passage.poll_gone(context) {
                Poll::Ready(()) => {
                    passage.link = None;
                    Poll::Ready(Some(Err(Broken::Cut)))
                }
                Poll::Pending => Poll::Pending,
            },
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                if let Err(broken) = passage.count(bytes) {
                    passage.link = None;
                    return Poll::Ready(Some(Err(broken)));
                }
                // Nothing follows trailers, and nobody asks whether something does.
                if frame.is_trailers() || this.is_end_stream() {
                    this.done();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(broken))) => {
                passage.link = None;
                Poll::Ready(Some(Err(broken)))
            }
            Poll::Ready(None) => {
                this.done();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.source.has_ended() && self.echo.as_ref().is_none_or(|echo| echo.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.source.size_hint();
        if let Some(held) = self.echo.as_ref().map(|echo| echo.held() as u64).filter(|held| *held > 0) {
            if let Some(upper) = hint.upper() {
                hint.set_upper(upper.saturating_add(held));
            }
            hint.set_lower(hint.lower().saturating_add(held));
        }
        hint
    }
}
