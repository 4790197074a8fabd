//! Where a workload looks after a request that is kept for it: 202 while it waits, 303 to the answer, or why there is none.
//! Nobody else finds anything there. `DELETE` takes back what waits, and erases what is over.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, LOCATION};
use hyper::{Method, Response, StatusCode};
use kernel::approval::ApprovalState;
use kernel::kept::{KeptEnd, KeptRequest, KeptState, KeptStep};
use kernel::policy::Disclosure;
use kernel::ports::Answer as DeskAnswer;
use kernel::verdict::Undecidable;
use kernel::workload::Standing;
use wire::http::Violation;
use wire::http::head::Head;
use wire::http::refuse::{Kind, Refusal, Said};

use super::form::AnswerForm;
use super::{Keeper, Place};
use crate::protocol::http::answer::Answer;
use crate::protocol::http::connection::Caller;
use crate::protocol::http::exchange::stale;
use crate::protocol::http::refuse::{self, Answered};
use crate::protocol::http::slot::Slot;
use crate::session::Session;

const APPROVAL: HeaderName = HeaderName::from_static("parapet-approval");

/// Answers a request for a path of the gateway's own. None of them goes to an upstream.
pub(in crate::protocol::http) async fn look(caller: &Caller, slot: &Arc<Slot>, head: &Head) -> Answered {
    let mut guard = slot.session().await;
    let Some(session) = guard.as_mut().filter(|_| slot.cut().is_none()) else {
        return refuse::cut(caller, slot, head.accepts);
    };
    if let Some(refused) = stale(caller, slot, session, head.accepts) {
        return refused;
    }
    let (snapshot, now) = (session.snapshot(), session.clock().now());
    let standing = snapshot.workload(session.who().workload()).map(|workload| workload.standing(now));
    if standing != Some(Standing::Good) {
        return refuse::reply(caller, head.accepts, &Refusal::blocked("blocked, the workload may not act"));
    }
    let looking = Looking { caller, slot, head, session };
    let found = match (&caller.gateway.kept, Place::read(&head.path)) {
        (Some(keeper), Some(place)) => looking.find(keeper, place).await,
        (None, _) | (_, None) => Ok(None),
    };
    match found {
        Ok(Some((keeper, place, kept))) => looking.show(keeper, &place, &kept).await,
        Ok(None) => looking.say(Kind::NoSuchRequest, None, "no request of this workload is kept here", None, None),
        Err(Unavailable) => refuse::undecided(caller, head.accepts, Undecidable::AuditUnavailable),
    }
}

struct Looking<'l> {
    caller: &'l Caller,
    slot: &'l Slot,
    head: &'l Head,
    session: &'l Session,
}

/// The store, or the log, does not answer.
struct Unavailable;

impl Looking<'_> {
    /// A request of this workload's. One of a task is that task's alone, and whoever acts for no task sees all.
    async fn find<'k>(
        &self,
        keeper: &'k Keeper,
        place: Place,
    ) -> Result<Option<(&'k Keeper, Place, KeptRequest)>, Unavailable> {
        let found = keeper.store.find(place.approval).await.map_err(|_| Unavailable)?;
        let who = self.session.who();
        let task = who.task().map(|task| task.id());
        let is_mine = |kept: &KeptRequest| {
            kept.workload == *who.workload()
                && kept.upstream == self.slot.upstream.name
                && kept.upstream == place.upstream
                && (task.is_none() || kept.task == task)
        };
        Ok(found.filter(is_mine).map(|kept| (keeper, place, kept)))
    }

    async fn show(&self, keeper: &Keeper, place: &Place, kept: &KeptRequest) -> Answered {
        match self.head.method {
            Method::GET | Method::HEAD => self.told(keeper, place, kept).await,
            Method::DELETE if !place.of_answer => self.deleted(keeper, kept).await,
            _ => {
                let refusal = Refusal::violated(Violation::Method, None, &self.caller.gateway.parts.public_url);
                refuse::reply(self.caller, self.head.accepts, &refusal)
            }
        }
    }

    async fn deleted(&self, keeper: &Keeper, kept: &KeptRequest) -> Answered {
        let done = match kept.state {
            KeptState::Waiting => match self.taken_back(keeper, kept).await {
                Ok(true) => Ok(()),
                // It was approved just now.
                Ok(false) => return self.told_word(&KeptRequest { state: KeptState::Sending, ..kept.clone() }, None),
                Err(Unavailable) => Err(Unavailable),
            },
            // It is on its way.
            KeptState::Sending => return self.told_word(kept, None),
            KeptState::Answered | KeptState::Lost | KeptState::Ended(_) | KeptState::Unknown => {
                keeper.store.forget(kept.approval, self.session.id()).await.map(drop).map_err(|_| Unavailable)
            }
        };
        match done {
            Ok(()) => refuse::empty(StatusCode::NO_CONTENT, HeaderMap::new()),
            Err(Unavailable) => refuse::undecided(self.caller, self.head.accepts, Undecidable::AuditUnavailable),
        }
    }

    /// Ends what waits, unless its sending has begun: did that happen?
    async fn taken_back(&self, keeper: &Keeper, kept: &KeptRequest) -> Result<bool, Unavailable> {
        let limits = self.slot.upstream.keeps.clone().unwrap_or_default();
        let step = KeptStep {
            from: KeptState::Waiting,
            to: KeptState::Ended(KeptEnd::Withdrawn),
            decision: None,
            status: None,
            answer: None,
            until: Some(self.session.clock().now().after(limits.time)),
        };
        let taken = keeper.store.step(kept.approval, Some(self.session.id()), step).await.map_err(|_| Unavailable)?;
        if taken {
            self.session.desk().withdraw(kept.approval).await.map_err(|_| Unavailable)?;
        }
        Ok(taken)
    }

    async fn told(&self, keeper: &Keeper, place: &Place, kept: &KeptRequest) -> Answered {
        match kept.state {
            KeptState::Answered if place.of_answer => self.answer(keeper, kept).await,
            KeptState::Answered => {
                let mut headers = HeaderMap::new();
                let place = format!("{}/{}", Place::of(&kept.upstream, kept.approval), super::ANSWER);
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                if let Ok(place) = HeaderValue::try_from(place) {
                    headers.insert(LOCATION, place);
                }
                refuse::empty(StatusCode::SEE_OTHER, headers)
            }
            KeptState::Ended(KeptEnd::Rejected) => {
                // What has ended takes no use; it says who rejected it, and why.
                let ended = self.session.desk().wait(kept.approval, Duration::ZERO).await;
                let reason = match ended {
                    Ok(DeskAnswer::Ended(approval)) => match approval.state {
                        ApprovalState::Rejected { reason, .. } => Some(reason),
                        _ => None,
                    },
                    Ok(DeskAnswer::Granted(_) | DeskAnswer::StillWaiting) | Err(_) => None,
                };
                self.told_word(kept, reason.as_deref())
            }
            _ => self.told_word(kept, None),
        }
    }

    /// The upstream's answer, as it was kept.
    async fn answer(&self, keeper: &Keeper, kept: &KeptRequest) -> Answered {
        let unavailable = || refuse::undecided(self.caller, self.head.accepts, Undecidable::AuditUnavailable);
        let answer = match keeper.store.answer(kept.approval).await {
            Ok(Some(answer)) => answer,
            Ok(None) => return self.told_word(&KeptRequest { state: KeptState::Lost, ..kept.clone() }, None),
            Err(_) => return unavailable(),
        };
        let Some((status, headers, body)) = AnswerForm::read(answer.expose()) else {
            return self.told_word(&KeptRequest { state: KeptState::Lost, ..kept.clone() }, None);
        };
        // That it leaves stands in the log before it does.
        if keeper.store.fetched(kept.approval, self.session.id()).await.is_err() {
            return unavailable();
        }
        self.slot.count_answer();
        self.slot.count(body.len());
        let mut response = Response::new(Answer::whole(body));
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(approval) = HeaderValue::try_from(kept.approval.to_string()) {
            headers.insert(APPROVAL, approval);
        }
        response
    }

    /// Where it stands, in words. `reason`: those of the person who rejected it.
    fn told_word(&self, kept: &KeptRequest, reason: Option<&str>) -> Answered {
        let answered = kept.status.map(|status| format!("the upstream answered {status}"));
        let (kind, line, why, next) = match kept.state {
            KeptState::Waiting => (Kind::Accepted, "waits for approval", None, Some("look again later")),
            KeptState::Sending => (Kind::Accepted, "is being carried out", None, Some("look again later")),
            KeptState::Answered => (Kind::Accepted, "was carried out", None, None),
            KeptState::Lost => (
                Kind::AnswerLost,
                "was carried out, and its answer is not kept",
                answered.as_deref().or(Some("the answer is too long, cannot be masked, broke off or was erased")),
                Some("ask the upstream what became of it"),
            ),
            KeptState::Unknown => (
                Kind::OutcomeUnknown,
                "may have been carried out",
                Some("the gateway or the connection stopped while it was sent; it is not sent again"),
                Some("ask the upstream what became of it before you send it again"),
            ),
            KeptState::Ended(end) => {
                let (kind, line, why) = ended(end);
                (kind, line, reason.or(why), Some("send it again to ask again"))
            }
        };
        let line = format!("{line} [{}]", kept.approval);
        self.say(kind, Some(kept), &line, why, next)
    }

    fn say(
        &self,
        kind: Kind,
        kept: Option<&KeptRequest>,
        line: &str,
        reason: Option<&str>,
        next: Option<&str>,
    ) -> Answered {
        let tells = self.session.disclosure() != Disclosure::Id;
        let said = Said { line, reason: reason.filter(|_| tells), next: next.filter(|_| tells) };
        let decision = kept.and_then(|kept| kept.decision);
        let place = kept.map(|kept| Place::of(&kept.upstream, kept.approval)).unwrap_or_default();
        let refusal = Refusal::kept(kind, said, decision, &place, self.session.public_url());
        refuse::reply(self.caller, self.head.accepts, &refusal)
    }
}

const fn ended(end: KeptEnd) -> (Kind, &'static str, Option<&'static str>) {
    match end {
        KeptEnd::Rejected => (Kind::Denied, "was rejected", None),
        KeptEnd::Denied => (
            Kind::Denied,
            "was not carried out",
            Some("judged again when it was approved, it is denied, or something else would have had to be approved"),
        ),
        KeptEnd::Expired => (Kind::NotCarriedOut, "was not carried out", Some("nobody answered in time")),
        KeptEnd::Withdrawn => (Kind::NotCarriedOut, "was not carried out", Some("it was taken back")),
        KeptEnd::Revoked => (Kind::NotCarriedOut, "was not carried out", Some("the approval was taken back")),
        KeptEnd::Used => (
            Kind::NotCarriedOut,
            "was not carried out",
            Some("its approval was used by the same request, sent again, or the gateway stopped before it was sent"),
        ),
        KeptEnd::Proof => (
            Kind::NotCarriedOut,
            "was not carried out",
            Some("the proof by which it was asked has ended, was revoked, or another person answers for the workload"),
        ),
        KeptEnd::Unreachable => {
            (Kind::NotCarriedOut, "was not carried out", Some("it was approved, and the upstream could not be reached"))
        }
        KeptEnd::Unreadable => (Kind::NotCarriedOut, "was not carried out", Some("what was kept was erased")),
    }
}
