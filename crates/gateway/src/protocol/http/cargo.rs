//! The body of a request before it is known whether it goes anywhere: as it comes, or read whole where something must be known
//! of it first.

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::header::HeaderMap;
use wire::http::Violation;
use wire::http::head::Head;
use wire::http::overrides::Overrides;
use wire::http::understand::overrides;

use super::slot::Slot;
use super::upload::{Unread, read_whole};
use super::watch::Pulse;

/// The longest body that is looked through, for a field that would override the method, before any of it goes on. In bytes.
const LOOKED_THROUGH: u64 = 64 * 1024;

/// A body, before it is known whether it goes anywhere.
pub(super) enum Body {
    /// With what looks for a field that would override the method, as it is read.
    Coming(Incoming, Option<Box<Overrides>>),
    Whole(Bytes, Option<HeaderMap>),
}

impl Body {
    pub(super) fn of(head: &Head, body: Incoming) -> Result<Self, Violation> {
        let overrides = if body.is_end_stream() { None } else { overrides(head)?.map(Box::new) };
        Ok(Self::Coming(body, overrides))
    }

    /// Is it so short that it is looked through before anything of it goes on?
    pub(super) fn is_looked_through_at_once(&self, head: &Head) -> bool {
        let short = head.content_length().is_some_and(|length| length <= LOOKED_THROUGH);
        short && !head.expects_continue && matches!(self, Self::Coming(_, Some(_)))
    }
}

/// Turns a body that comes into one that is whole.
pub(super) async fn read_body(body: &mut Body, slot: &Slot, pulse: &Pulse) -> Result<(), Unread> {
    let Body::Coming(..) = body else { return Ok(()) };
    let taken = std::mem::replace(body, Body::Whole(Bytes::new(), None));
    let Body::Coming(incoming, overrides) = taken else { return Ok(()) };
    let limits = &slot.upstream.limits;
    let reading = read_whole(incoming, limits.body, pulse, limits.upload);
    let (whole, trailers) = tokio::select! {
        biased;
        _cut = slot.gone() => return Err(Unread::Broken),
        read = reading => read?,
    };
    if let Some(mut overrides) = overrides {
        overrides.feed(&whole).map_err(Unread::Violation)?;
    }
    *body = Body::Whole(whole, trailers);
    Ok(())
}
