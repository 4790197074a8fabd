//! Requests that the gateway keeps while people are asked, and carries out itself when they have approved: for clients that
//! prefer not to wait (`Prefer: respond-async`, RFC 7240), where the upstream's configuration allows it.
//!
//! A request is kept by `hold`; `carry_out` follows it until people have answered, sends it the way of every other, and keeps the
//! answer; `look` is where its workload looks after it, below one path that no upstream can have. What is kept survives the
//! process; what was being sent when the process ended is never sent again.

mod carry_out;
mod form;
mod look;

use std::sync::Arc;
use std::time::Duration;

use kernel::id::ApprovalId;
use kernel::kept::{KeptState, NewKept};
use kernel::ports::KeptRequests;
use kernel::workload::Name;
use tokio::sync::{Mutex, mpsc};
use wire::http::path::CanonicalPath;
use wire::http::refuse::Refusal;
use wire::http::secret_store::Profile;

use self::form::{Asker, KeptForm};
use super::cargo::Body;
use super::exchange::Asked;
use crate::session::Session;

pub(super) use self::carry_out::carry_out;
pub(super) use self::look::look;

/// The first segment of every path that is the gateway's own.
pub(super) const RESERVED: &str = ".parapet";
const REQUESTS: &str = "requests";
const ANSWER: &str = "answer";
/// Requests whose following has not begun yet. Whoever keeps another waits.
const FRESH: usize = 64;

/// How much of an upstream's requests is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepLimits {
    /// Requests at a time, with those whose answers are kept.
    pub requests: u32,
    /// The longest body of a request, in bytes.
    pub body: usize,
    /// The longest body of an answer, in bytes.
    pub answer: usize,
    /// How long an answer, or why there is none, is kept.
    pub time: Duration,
}

impl Default for KeepLimits {
    fn default() -> Self {
        Self { requests: 100, body: 64 * 1024, answer: 1 << 20, time: Duration::from_secs(3600) }
    }
}

/// What keeps requests, and tells of those that are new.
pub(super) struct Keeper {
    store: Arc<dyn KeptRequests>,
    fresh: mpsc::Sender<ApprovalId>,
    /// Taken by the one who follows them.
    queue: Mutex<mpsc::Receiver<ApprovalId>>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

impl Keeper {
    pub(super) fn new(store: Arc<dyn KeptRequests>) -> Self {
        let (fresh, queue) = mpsc::channel(FRESH);
        Self { store, fresh, queue: Mutex::new(queue) }
    }
}

/// Where a kept request is looked after: `/.parapet/requests/payments/apr_…`, and its answer one below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) upstream: Name,
    approval: ApprovalId,
    of_answer: bool,
}

/// Is this path the gateway's own?
pub(super) fn is_reserved(path: &CanonicalPath) -> bool {
    path.segments().next() == Some(RESERVED)
}

impl Place {
    /// Reads a path of the gateway's own. None if it leads nowhere.
    pub(super) fn read(path: &CanonicalPath) -> Option<Self> {
        let mut segments = path.segments();
        let (first, second) = (segments.next()?, segments.next()?);
        let (upstream, approval) = (segments.next()?.parse().ok()?, segments.next()?.parse().ok()?);
        let of_answer = match (segments.next(), segments.next()) {
            (None, _) => false,
            (Some(ANSWER), None) => true,
            (Some(_), _) => return None,
        };
        let is_ours = first == RESERVED && second == REQUESTS && !path.as_str().ends_with('/');
        is_ours.then_some(Self { upstream, approval, of_answer })
    }

    fn of(upstream: &Name, approval: ApprovalId) -> String {
        format!("/{RESERVED}/{REQUESTS}/{upstream}/{approval}")
    }
}

/// Keeps a request that waits for people, if its client prefers that and the upstream's configuration allows it: what the client
/// is told then. None where it is refused like any other, for then it is not carried out.
pub(super) async fn keep(
    asked: &Asked<'_>,
    session: &Session,
    approval: ApprovalId,
    said: &Refusal,
) -> Option<Refusal> {
    let (caller, slot, head) = (asked.caller, &asked.slot, &asked.head);
    let (keeper, limits) = (caller.gateway.kept.as_ref()?, slot.upstream.keeps.as_ref()?);
    let Body::Whole(body, None) = &asked.cargo else { return None };
    // Clients of these take what is answered with a 202 for done.
    let would_be_done = head.accepts.grpc || head.accepts.store == Some(Profile::AwsSecretsManager);
    if !head.prefers.respond_async || would_be_done || head.upgrade.is_some() || body.len() > limits.body {
        return None;
    }
    let who = session.who();
    let owner = session.snapshot().workload(who.workload()).map(|workload| workload.owner.clone())?;
    let upstream = slot.upstream.name.clone();
    let proof = who.keep(&owner).ok()?;
    let asker = Asker { upstream, source: caller.source, tls: caller.tls, until: who.until(), who: proof };
    let request = KeptForm::write(head, body, asker)?;
    let new = NewKept {
        approval,
        workload: who.workload(),
        upstream: &slot.upstream.name,
        session: session.id(),
        task: who.task().map(|task| task.id()),
        request: &request,
        most: limits.requests,
    };
    match keep_new(&*keeper.store, new).await {
        Ok(true) => {}
        Ok(false) => return None,
        Err(error) => {
            tracing::warn!(%approval, upstream = %slot.upstream.name, %error, "a request is not kept");
            return None;
        }
    }
    // Whoever follows is gone only when the process stops; it is found after the next start.
    let _stopping = keeper.fresh.send(approval).await;
    Some(said.clone().as_accepted(Place::of(&slot.upstream.name, approval)))
}

/// Keeps a request, in the place of one that has ended without being sent. False if it was sent already.
async fn keep_new(store: &dyn KeptRequests, new: NewKept<'_>) -> Result<bool, kernel::ports::KeepError> {
    if let Some(known) = store.find(new.approval).await? {
        match known.state {
            KeptState::Waiting => {}
            KeptState::Ended(_) => drop(store.forget(new.approval, new.session).await?),
            KeptState::Sending | KeptState::Answered | KeptState::Lost | KeptState::Unknown => return Ok(false),
        }
    }
    store.keep(new).await.map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_places_of_requests_are_read() {
        let approval = "apr_01JX8ZQ301JX8ZQ3";
        let read = |path: &str| Place::read(&CanonicalPath::read(path).unwrap());
        let place = read(&format!("/.parapet/requests/payments/{approval}")).unwrap();
        assert_eq!((place.upstream.as_str(), place.of_answer), ("payments", false));
        assert_eq!(Place::of(&place.upstream, place.approval), format!("/.parapet/requests/payments/{approval}"));
        assert!(read(&format!("/.parapet/requests/payments/{approval}/answer")).unwrap().of_answer);
        for odd in [
            "/.parapet",
            "/.parapet/requests",
            "/.parapet/requests/payments/apr_1",
            "/.parapet/other/payments/apr_01JX8ZQ301JX8ZQ3",
            "/.parapet/requests/payments/apr_01JX8ZQ301JX8ZQ3/",
            "/.parapet/requests/payments/apr_01JX8ZQ301JX8ZQ3/more",
            "/.parapet/requests/payments/apr_01JX8ZQ301JX8ZQ3/answer/more",
        ] {
            let path = CanonicalPath::read(odd).unwrap();
            assert!(is_reserved(&path) && Place::read(&path).is_none(), "{odd}");
        }
        assert!(!is_reserved(&CanonicalPath::read("/v1/.parapet").unwrap()));
    }
}
