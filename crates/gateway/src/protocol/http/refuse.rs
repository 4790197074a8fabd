//! The gateway's own answers: what `wire::http::refuse` says, as hyper takes it.

use bytes::Bytes;
use hyper::{HeaderMap, Response, StatusCode};
use kernel::policy::Snapshot;
use kernel::verdict::{Deny, Undecidable};
use wire::http::Violation;
use wire::http::head::Accepts;
use wire::http::refuse::{Form, Refusal};
use wire::refusal::Desk;

use super::answer::Answer;
use super::connection::Caller;
use super::slot::Slot;
use crate::session::Session;

/// What a client gets.
pub(super) type Answered = Response<Answer>;

/// How far a request came that the gateway refuses after it was let through. Where it does not say: perhaps to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// Nothing of it was sent.
    Not,
    /// The upstream has answered it.
    Answered,
}

/// A refusal in the form that the caller reads.
pub(super) fn reply(caller: &Caller, accepts: Accepts, refusal: &Refusal) -> Answered {
    let reply = refusal.reply(Form::of(accepts));
    reply.into_response(caller.http2).map(|body| Answer::whole(Bytes::from(body)))
}

/// The last words on a connection of HTTP/1 whose next request cannot be read in one way.
pub(super) fn bare(violation: Violation) -> Vec<u8> {
    Refusal::violated(violation, None, "").closing().reply(Form::Problem).to_http1()
}

/// What the client is told of a denial that stands in the log.
pub(super) fn denied(caller: &Caller, session: &Session, accepts: Accepts, deny: &Deny) -> Answered {
    let snapshot = session.snapshot();
    reply(caller, accepts, &describe(session, &snapshot, deny))
}

pub(super) fn describe(session: &Session, snapshot: &Snapshot, deny: &Deny) -> Refusal {
    let workload = snapshot.workload(session.who().workload());
    Refusal::denied(deny, workload.map(|workload| &**workload), desk(session))
}

pub(super) fn desk(session: &Session) -> Desk<'_> {
    Desk { url: session.public_url(), disclosure: session.disclosure() }
}

/// Enters a denial, and says it. What cannot be entered is refused too, for another reason.
pub(super) async fn enter_denial(caller: &Caller, session: &mut Session, accepts: Accepts, deny: Deny) -> Answered {
    session.add_denial(deny);
    match session.enter().await.map(|entered| entered.refusals.into_iter().next_back()) {
        Ok(Some((deny, _probe))) => denied(caller, session, accepts, &deny),
        Ok(None) | Err(_) => undecided(caller, accepts, Undecidable::AuditUnavailable),
    }
}

/// It cannot be decided, and there is no verdict that says so.
pub(super) fn undecided(caller: &Caller, accepts: Accepts, why: Undecidable) -> Answered {
    reply(caller, accepts, &Refusal::undecided(why, None, &caller.gateway.parts.public_url))
}

/// The session ended in the middle: its workload may not act any more, or an operator cut it.
pub(super) fn cut(caller: &Caller, slot: &Slot, accepts: Accepts) -> Answered {
    let why = slot.cut().map_or("closed", crate::sessions::Cut::as_str);
    reply(caller, accepts, &Refusal::blocked(&format!("blocked, the session is cut: {why}")).closing())
}

/// An answer without a body, whose meaning is its status alone.
pub(super) fn empty(status: StatusCode, headers: HeaderMap) -> Answered {
    let mut response = Response::new(Answer::whole(Bytes::new()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
