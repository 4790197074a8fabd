//! The body of a request on its way to the upstream: streamed as it comes, or whole where it had to be read before the
//! request was judged.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::HeaderMap;
use wire::http::overrides::Overrides;
use wire::http::{Violation, headers};

use super::watch::Pulse;
use super::written::Search;

/// A body on its way to the upstream.
#[derive(Debug)]
pub(super) enum Upload {
    /// None.
    Empty,
    /// Read already, with its trailers.
    Whole(Option<Bytes>, Option<HeaderMap>),
    /// As it comes.
    Stream(Streamed),
}

/// A body that is passed on as it comes.
#[derive(Debug)]
pub(super) struct Streamed {
    body: Incoming,
    /// Set when the last of it has been handed on.
    done: Arc<AtomicBool>,
    pace: Option<Pace>,
    /// Looks for a field that would override the method.
    overrides: Option<Box<Overrides>>,
    /// Looks for what a mask made, or says why whatever comes cannot be searched.
    search: Option<Result<Box<Search>, Violation>>,
    breach: Arc<OnceLock<Breach>>,
}

/// What was found in a body that may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breach {
    /// It overrides the method, or cannot be looked through.
    Violation(Violation),
    /// A value that a mask made.
    MaskedValue,
}

impl Streamed {
    /// Looks at what comes next, and at the end. `whole`: no more data comes.
    fn look(&mut self, data: Option<&[u8]>, whole: bool) -> Result<(), Breach> {
        if let (Some(overrides), Some(data)) = (&mut self.overrides, data) {
            overrides.feed(data).map_err(Breach::Violation)?;
        }
        let search = match &mut self.search {
            None => return Ok(()),
            Some(Err(_)) if data.is_none_or(<[u8]>::is_empty) => return Ok(()),
            Some(Err(violation)) => return Err(Breach::Violation(*violation)),
            Some(Ok(search)) => search,
        };
        let mut found = data.map_or(Ok(false), |data| search.feed(data));
        if whole && found == Ok(false) {
            found = search.finish();
            self.search = None;
        }
        match found {
            Ok(false) => Ok(()),
            Ok(true) => Err(Breach::MaskedValue),
            Err(violation) => Err(Breach::Violation(violation)),
        }
    }
}

/// How long a body may take.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    pub(super) pulse: Arc<Pulse>,
    /// The client's pauses.
    pub(super) pause: Duration,
    /// The upstream's, and how long it may take until its answer.
    pub(super) answer: Duration,
}

impl Upload {
    /// What comes, at the client's pace; within bounds, if any are set.
    pub(super) fn stream(body: Incoming, pace: Option<Pace>) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        Self::Stream(Streamed {
            body,
            done: Arc::default(),
            pace,
            overrides: None,
            search: None,
            breach: Arc::default(),
        })
    }

    /// Breaks off where a field comes that would override the method.
    pub(super) fn look_for(&mut self, overrides: Box<Overrides>) {
        if let Self::Stream(streamed) = self {
            streamed.overrides = Some(overrides);
        }
    }

    /// Breaks off where a value that a mask made is found in what comes, and where that cannot be told.
    pub(super) fn seek(&mut self, search: Result<Search, Violation>) {
        if let Self::Stream(streamed) = self {
            streamed.search = Some(search.map(Box::new));
        }
    }

    /// Set when it breaks off because of what comes; none if nothing comes.
    pub(super) fn breach(&self) -> Option<Arc<OnceLock<Breach>>> {
        match self {
            Self::Empty | Self::Whole(..) => None,
            Self::Stream(streamed) => Some(Arc::clone(&streamed.breach)),
        }
    }

    /// Tells when the last of it has been handed on; none if there is nothing to hand on.
    pub(super) fn done(&self) -> Option<Arc<AtomicBool>> {
        match self {
            Self::Empty | Self::Whole(..) => None,
            Self::Stream(streamed) => Some(Arc::clone(&streamed.done)),
        }
    }
}

/// Why a body on its way to the upstream breaks off. The upstream sees that it is not whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    #[error("the client broke its body off")]
    Client(#[source] hyper::Error),
    #[error(transparent)]
    Violation(#[from] Violation),
    #[error("a value that a mask made comes back")]
    MaskedValue,
}

impl From<Breach> for UploadError {
    fn from(breach: Breach) -> Self {
        match breach {
            Breach::Violation(violation) => Self::Violation(violation),
            Breach::MaskedValue => Self::MaskedValue,
        }
    }
}

/// Looks at trailers before they go on: what stands in a head has no place there (hazards HT01, HT07).
fn looked_at(frame: Frame<Bytes>) -> Result<Frame<Bytes>, UploadError> {
    if let Some(trailers) = frame.trailers_ref() {
        headers::request_trailers(trailers)?;
    }
    Ok(frame)
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes, trailers) => {
                if let Some(bytes) = bytes.take().filter(|bytes| !bytes.is_empty()) {
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Poll::Ready(trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
            }
            Self::Stream(streamed) => {
                let polled = Pin::new(&mut streamed.body).poll_frame(context);
                if let Some(pace) = &streamed.pace {
                    pace.pulse.expect(if polled.is_pending() { pace.pause } else { pace.answer });
                }
                let ends = matches!(polled, Poll::Ready(None)) || streamed.body.is_end_stream();
                if let Poll::Ready(came @ (None | Some(Ok(_)))) = &polled {
                    let data = came.as_ref().and_then(|came| came.as_ref().ok()).and_then(Frame::data_ref);
                    // An upstream that was told the length takes the body for whole at its last byte, before HTTP/2 says that it ends.
                    let whole = ends || streamed.body.size_hint().exact() == Some(0);
                    if let Err(breach) = streamed.look(data.map(AsRef::as_ref), whole) {
                        let _known = streamed.breach.set(breach);
                        return Poll::Ready(Some(Err(breach.into())));
                    }
                }
                if ends {
                    streamed.done.store(true, Ordering::Release);
                    // Whatever the exchange waits for now, it is not this.
                    streamed.pace = None;
                }
                polled.map(|frame| frame.map(|frame| looked_at(frame.map_err(UploadError::Client)?)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes, trailers) => bytes.as_ref().is_none_or(Bytes::is_empty) && trailers.is_none(),
            Self::Stream(streamed) => streamed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes, _) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(streamed) => streamed.body.size_hint(),
        }
    }
}

/// Why a body was not read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It cannot be read in one way, or is too long.
    Violation(Violation),
    /// The client broke it off, or was too slow.
    Broken,
}

/// Reads a body whole, up to a cap.
pub(super) async fn read_whole(
    body: Incoming,
    cap: usize,
    pulse: &Pulse,
    pace: Duration,
) -> Result<(Bytes, Option<HeaderMap>), Unread> {
    if body.size_hint().lower() > cap as u64 {
        return Err(Unread::Violation(Violation::BodyTooLong));
    }
    pulse.expect(pace);
    let reading = collect(body, cap, pulse, pace);
    let read = tokio::select! {
        biased;
        read = reading => read,
        () = pulse.late() => Err(Unread::Broken),
    };
    pulse.rest();
    read
}

async fn collect(
    mut body: Incoming,
    cap: usize,
    pulse: &Pulse,
    pace: Duration,
) -> Result<(Bytes, Option<HeaderMap>), Unread> {
    let mut first: Option<Bytes> = None;
    let mut whole: Vec<u8> = Vec::new();
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_broken| Unread::Broken)?;
        pulse.expect(pace);
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                trailers = frame.into_trailers().ok();
                if let Some(trailers) = &trailers {
                    headers::request_trailers(trailers).map_err(Unread::Violation)?;
                }
                continue;
            }
        };
        let known = first.as_ref().map_or(whole.len(), Bytes::len);
        if known + data.len() > cap {
            return Err(Unread::Violation(Violation::BodyTooLong));
        }
        // Most bodies are one frame, which is not copied.
        if known == 0 {
            first = Some(data);
            continue;
        }
        if let Some(first) = first.take() {
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&data);
    }
    Ok((first.unwrap_or_else(|| Bytes::from(whole)), trailers))
}
