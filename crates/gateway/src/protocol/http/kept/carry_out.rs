//! Follows kept requests until people have answered, and carries out what they have approved: judged again, entered, made
//! durable as being sent, and then sent the way of every other request, once. The answer is kept as policy lets it leave.
//!
//! One task follows all of them, on a runtime on which timers cost nobody anything.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use kernel::approval::{ApprovalState, Grant};
use kernel::id::{ApprovalId, DecisionId, SessionId};
use kernel::kept::{KeptEnd, KeptState, KeptStep};
use kernel::ports::{Answer as DeskAnswer, KeepError};
use kernel::time::Timestamp;
use wire::http::head::Head;
use wire::http::refuse::DECISION;

use super::form::{AnswerForm, KeptForm};
use super::{KeepLimits, Keeper};
use crate::login::resumed;
use crate::protocol::http::cargo::Body;
use crate::protocol::http::connection::Caller;
use crate::protocol::http::exchange::{MOST_TURNS, no_mask_comes_back, send, understand};
use crate::protocol::http::hold::redeem;
use crate::protocol::http::refuse::{Answered, Reached};
use crate::protocol::http::slot::{Opener, Slot};
use crate::protocol::http::{HttpGateway, PROTOCOL};
use crate::session::{BeginError, Session};
use crate::tasks::Stopping;

/// How often what is over is forgotten, and what failed at the start is tried again.
const SWEEP: Duration = Duration::from_secs(60);
/// How long it is waited at once. Then the proof is looked at again, which may have been shown anew.
const TURN: Duration = Duration::from_secs(600);
/// How long after a failure of the store or the desk it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Follows every kept request. Returns when the process stops and nothing is being sent any more.
pub(in crate::protocol::http) async fn carry_out(gateway: &Arc<HttpGateway>) {
    let Some(keeper) = &gateway.kept else { return };
    let mut queue = keeper.queue.lock().await;
    let mut stopping = gateway.tasks.stopping();
    let mut following = FuturesUnordered::new();
    let mut known: HashSet<ApprovalId> = HashSet::new();
    let mut sweep = tokio::time::interval(SWEEP);
    let (mut recovered, mut over) = (false, false);
    while !(over && following.is_empty()) {
        let fresh = tokio::select! {
            biased;
            Some(approval) = following.next(), if !following.is_empty() => {
                known.remove(&approval);
                continue;
            }
            () = stopping.begun(), if !over => {
                over = true;
                continue;
            }
            // Not before: what was being sent at the start must not be mixed up with what this process sends.
            Some(approval) = queue.recv(), if recovered && !over => vec![approval],
            _ = sweep.tick(), if !over => {
                if let Err(error) = keeper.store.sweep().await {
                    tracing::warn!(%error, "kept requests that are over are not forgotten");
                }
                if recovered { Vec::new() } else { recover(keeper, &mut recovered).await }
            }
        };
        for approval in fresh {
            if known.insert(approval) {
                following.push(follow(gateway, keeper, approval));
            }
        }
    }
}

async fn recover(keeper: &Keeper, recovered: &mut bool) -> Vec<ApprovalId> {
    match keeper.store.recover().await {
        Ok(waiting) => {
            *recovered = true;
            waiting
        }
        Err(error) => {
            tracing::error!(%error, "kept requests cannot be followed");
            Vec::new()
        }
    }
}

/// What the wait for people came to.
enum Waited {
    Granted(Grant),
    Ended(KeptEnd),
    Stopping,
}

/// Follows one request to its end.
async fn follow(gateway: &Arc<HttpGateway>, keeper: &Keeper, approval: ApprovalId) -> ApprovalId {
    let mut stopping = gateway.tasks.stopping();
    let carried = Carrying { gateway, keeper, approval };
    match carried.wait(&mut stopping).await {
        Waited::Stopping => {}
        Waited::Ended(end) => carried.end(&mut stopping, Ended::before(end)).await,
        Waited::Granted(grant) => {
            if let Some(ended) = carried.out(&mut stopping, grant).await {
                carried.end(&mut stopping, ended).await;
            }
        }
    }
    approval
}

struct Carrying<'c> {
    gateway: &'c Arc<HttpGateway>,
    keeper: &'c Keeper,
    approval: ApprovalId,
}

/// How it ended: a step that is still to be made durable.
struct Ended {
    from: KeptState,
    to: KeptState,
    session: Option<SessionId>,
    decision: Option<DecisionId>,
    status: Option<StatusCode>,
    answer: Option<Vec<u8>>,
}

impl Ended {
    /// Nothing was sent.
    fn before(end: KeptEnd) -> Self {
        Self {
            from: KeptState::Waiting,
            to: KeptState::Ended(end),
            session: None,
            decision: None,
            status: None,
            answer: None,
        }
    }
}

impl Carrying<'_> {
    fn now(&self) -> Timestamp {
        self.gateway.parts.clock.now()
    }

    /// What was kept; none if it was erased or cannot be read.
    async fn form(&self) -> Result<Option<KeptForm>, KeepError> {
        let request = self.keeper.store.request(self.approval).await?;
        Ok(request.and_then(|request| KeptForm::read(request.expose())))
    }

    /// Waits until people have answered, for as long as the proof counts. What was kept is not held meanwhile.
    async fn wait(&self, stopping: &mut Stopping) -> Waited {
        let desk = Arc::clone(&self.gateway.parts.desk);
        loop {
            let until = match self.form().await {
                Ok(Some(form)) => form.until(),
                Ok(None) => return Waited::Ended(KeptEnd::Unreadable),
                Err(_) if pause(stopping).await => continue,
                Err(_) => return Waited::Stopping,
            };
            let left = until.map_or(TURN, |until| until.since(self.now()));
            if left.is_zero() {
                return Waited::Ended(KeptEnd::Proof);
            }
            let answer = tokio::select! {
                biased;
                () = stopping.begun() => return Waited::Stopping,
                answer = desk.wait(self.approval, left.min(TURN)) => answer,
            };
            match answer {
                Ok(DeskAnswer::Granted(grant)) => return Waited::Granted(grant),
                Ok(DeskAnswer::Ended(ended)) => return Waited::Ended(end_of(&ended.state)),
                Ok(DeskAnswer::StillWaiting) => {}
                Err(error) => {
                    tracing::warn!(approval = %self.approval, %error, "the approval of a kept request cannot be waited for");
                    if !pause(stopping).await {
                        return Waited::Stopping;
                    }
                }
            }
        }
    }

    /// Carries it out. None if nothing more is to be made durable.
    async fn out(&self, stopping: &mut Stopping, grant: Grant) -> Option<Ended> {
        let Ok(Some(form)) = self.form().await else { return Some(Ended::before(KeptEnd::Unreadable)) };
        let (Some(head), Some(body), Some(who)) = (form.head(), form.body(), form.who()) else {
            return Some(Ended::before(KeptEnd::Unreadable));
        };
        let parts = &self.gateway.parts;
        let who = match resumed::resume(&parts.snapshots.current(), &who, self.now()) {
            Ok(who) => who,
            Err(error) => {
                tracing::info!(approval = %self.approval, %error, "the proof of a kept request counts no more");
                return Some(Ended::before(KeptEnd::Proof));
            }
        };
        let served = self.gateway.routes.named(head.authority.host(), &form.upstream);
        let limits = served.and_then(|served| served.upstream.keeps.clone());
        let (Some(served), Some(limits)) = (served, limits) else {
            // The configuration has changed since.
            return Some(Ended::before(KeptEnd::Denied));
        };
        let place = Arc::clone(&served.places).acquire_owned().await.ok()?;
        let arrival = parts.arrival(form.source, form.tls);
        let name = served.upstream.name.clone();
        let (session, right) = match Session::begin(parts.clone(), arrival, who, name, PROTOCOL).await {
            Ok(begun) => begun,
            Err(BeginError::Denied(deny)) => {
                let decision = Some(deny.subject().decision());
                return Some(Ended { decision, ..Ended::before(KeptEnd::Denied) });
            }
            Err(BeginError::Identity(_)) => return Some(Ended::before(KeptEnd::Proof)),
            Err(BeginError::Audit(_)) => return Some(Ended::before(KeptEnd::Unreachable)),
        };
        self.gateway.logins.watch(&session);
        let session_id = session.id();
        let slot = Slot::new(session, right, served, Opener::Certificate, &self.gateway.pool, place);
        let caller = Caller::nobody(self.gateway, form.source, form.tls);
        let sent = self.send(&caller, &slot, session_id, (head, Body::Whole(body, None)), grant, &limits).await;
        let ended = sent.map(|ended| Ended { session: Some(session_id), ..ended });
        // What became of it is durable before its session is over.
        if let Some(ended) = ended {
            self.end(stopping, ended).await;
        }
        slot.end("closed").await;
        None
    }

    /// Judges, enters and sends it, as `exchange` does what a client waits for.
    async fn send(
        &self,
        caller: &Arc<Caller>,
        slot: &Arc<Slot>,
        session: SessionId,
        (mut head, mut body): (Head, Body),
        grant: Grant,
        limits: &KeepLimits,
    ) -> Option<Ended> {
        let pulse = caller.take_pulse();
        let denied =
            |answered: Answered| Some(Ended { decision: decision(&answered), ..Ended::before(KeptEnd::Denied) });
        let mut grant = Some(Box::new(grant));
        for _ in 0..MOST_TURNS {
            let mut asked = match understand(caller, Arc::clone(slot), head, body, None, &pulse).await {
                Ok(asked) => asked,
                Err(refused) => return denied(refused),
            };
            if let Err(refused) = no_mask_comes_back(&asked).await {
                return denied(refused);
            }
            let receipt = match redeem(&asked, &mut grant).await {
                Ok(Some(receipt)) => receipt,
                Ok(None) => {
                    // The policies have changed since the facts were read, and the new ones read more.
                    (head, body) = asked.taken_apart();
                    continue;
                }
                Err(refused) => return denied(refused),
            };
            let decision = Some(receipt.decision());
            let sending = KeptStep {
                from: KeptState::Waiting,
                to: KeptState::Sending,
                decision,
                status: None,
                answer: None,
                until: None,
            };
            // INVARIANT: no byte leaves before this is durable, so that none ever leaves twice.
            match self.keeper.store.step(self.approval, Some(session), sending).await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(_) => return Some(Ended { decision, ..Ended::before(KeptEnd::Unreachable) }),
            }
            let answered = send(&mut asked, receipt, None).await;
            let ended = answered_by(answered, limits, slot.upstream.limits.answer).await;
            caller.give_pulse(pulse);
            return Some(Ended { decision, ..ended });
        }
        Some(Ended::before(KeptEnd::Denied))
    }

    /// Makes its end durable. What fails is tried again until the process stops.
    async fn end(&self, stopping: &mut Stopping, ended: Ended) {
        let kept = self.keeper.store.find(self.approval).await.ok().flatten();
        let limits = kept.and_then(|kept| self.gateway.routes.keeps(&kept.upstream)).unwrap_or_default();
        let step = KeptStep {
            from: ended.from,
            to: ended.to,
            decision: ended.decision,
            status: ended.status.map(|status| status.as_u16()),
            answer: ended.answer.as_deref(),
            until: Some(self.now().after(limits.time)),
        };
        while let Err(error) = self.keeper.store.step(self.approval, ended.session, step).await {
            tracing::error!(approval = %self.approval, state = ended.to.as_str(), %error, "the end of a kept request is not stored");
            if !pause(stopping).await {
                return;
            }
        }
    }
}

/// What became of what was sent.
async fn answered_by(answered: Result<Answered, Answered>, limits: &KeepLimits, within: Duration) -> Ended {
    let sent = Ended { from: KeptState::Sending, ..Ended::before(KeptEnd::Unreachable) };
    let answer = match answered {
        Ok(answer) => answer,
        Err(refused) => {
            let to = match refused.extensions().get::<Reached>() {
                Some(Reached::Not) => KeptState::Ended(KeptEnd::Unreachable),
                Some(Reached::Answered) => KeptState::Lost,
                None => KeptState::Unknown,
            };
            return Ended { to, ..sent };
        }
    };
    let (head, body) = answer.into_parts();
    let status = Some(head.status);
    let lost = Ended { to: KeptState::Lost, status, ..sent };
    // What is longer is cut here, and so is what never ends.
    let reading = pin!(read(body, limits.answer));
    let Ok(Some(body)) = tokio::time::timeout(within, reading).await else { return lost };
    match AnswerForm::write(head.status, &head.headers, &body) {
        Some(answer) => Ended { to: KeptState::Answered, answer: Some(answer), ..lost },
        None => lost,
    }
}

/// Waits a little; false if the process stops.
async fn pause(stopping: &mut Stopping) -> bool {
    tokio::select! {
        () = stopping.begun() => false,
        () = tokio::time::sleep(AGAIN) => true,
    }
}

const fn end_of(state: &ApprovalState) -> KeptEnd {
    match state {
        ApprovalState::Rejected { .. } => KeptEnd::Rejected,
        ApprovalState::Expired => KeptEnd::Expired,
        ApprovalState::Withdrawn => KeptEnd::Withdrawn,
        ApprovalState::Revoked { .. } => KeptEnd::Revoked,
        ApprovalState::Used | ApprovalState::Asked | ApprovalState::Granted { .. } => KeptEnd::Used,
    }
}

/// The decision that an answer of the gateway's own names.
fn decision(answered: &Answered) -> Option<DecisionId> {
    answered.headers().get(DECISION)?.to_str().ok()?.parse().ok()
}

/// Reads an answer whole. None if it is longer than that, or breaks off.
async fn read(mut body: crate::protocol::http::answer::Answer, most: usize) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            if whole.len() + data.len() > most {
                return None;
            }
            whole.extend_from_slice(&data);
        }
    }
    Some(whole)
}
