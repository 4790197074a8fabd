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
use wire::http::json_mask::JsonSeeker;
use wire::http::overrides::Overrides;
use wire::http::{Violation, headers};

use super::watch::Pulse;

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
    sought: Option<Box<Sought>>,
    overrides: Option<Box<Watched>>,
}

/// A search of a body for a field that would override the method, and where it is noted that one was found.
#[derive(Debug)]
struct Watched {
    overrides: Box<Overrides>,
    found: Arc<OnceLock<Violation>>,
}

/// A search of a body for what a mask made.
#[derive(Debug)]
struct Sought {
    seeker: JsonSeeker,
    /// Set when it is found.
    found: Arc<AtomicBool>,
}

impl Sought {
    /// Looks at what comes next, or at the end; whether the search goes on.
    ///
    /// # Errors
    /// It is found.
    fn look(&mut self, data: Option<&[u8]>) -> Result<bool, UploadError> {
        let found = match data {
            Some(data) => self.seeker.feed(data),
            None => self.seeker.finish(),
        };
        if found == Ok(true) {
            self.found.store(true, Ordering::Release);
            return Err(UploadError::MaskedValue);
        }
        Ok(found.is_ok())
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
        Self::Stream(Streamed { body, done: Arc::new(AtomicBool::new(false)), pace, sought: None, overrides: None })
    }

    /// Breaks off where a field comes that would override the method; then what this gives is set. None if nothing comes.
    pub(super) fn look_for(&mut self, overrides: Box<Overrides>) -> Option<Arc<OnceLock<Violation>>> {
        let Self::Stream(streamed) = self else { return None };
        let found = Arc::default();
        streamed.overrides = Some(Box::new(Watched { overrides, found: Arc::clone(&found) }));
        Some(found)
    }

    /// Breaks off where a value that a mask made is found in what comes; then what this gives is set. None if nothing comes.
    pub(super) fn seek(&mut self, seeker: JsonSeeker) -> Option<Arc<AtomicBool>> {
        let Self::Stream(streamed) = self else { return None };
        let found = Arc::new(AtomicBool::new(false));
        streamed.sought = Some(Box::new(Sought { seeker, found: Arc::clone(&found) }));
        Some(found)
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
                if let (Some(watched), Poll::Ready(Some(Ok(frame)))) = (&mut streamed.overrides, &polled)
                    && let Some(Err(violation)) = frame.data_ref().map(|data| watched.overrides.feed(data))
                {
                    let _known = watched.found.set(violation);
                    return Poll::Ready(Some(Err(violation.into())));
                }
                let ends = matches!(polled, Poll::Ready(None)) || streamed.body.is_end_stream();
                if let (Some(sought), Poll::Ready(came)) = (&mut streamed.sought, &polled) {
                    let data = came.as_ref().and_then(|came| came.as_ref().ok()).and_then(Frame::data_ref);
                    let mut goes_on = data.map_or(Ok(true), |data| sought.look(Some(data)));
                    if ends && matches!(goes_on, Ok(true)) {
                        goes_on = sought.look(None);
                    }
                    match goes_on {
                        Ok(true) => {}
                        Ok(false) => streamed.sought = None,
                        Err(error) => return Poll::Ready(Some(Err(error))),
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
