//! A request that policy wants people to approve. HTTP cannot say that it waits, so it is refused at once, unless the client
//! prefers to wait (`Prefer: wait=n`) or to be answered later (`respond-async`, see `kept`); the approval stays open: approve,
//! then send it again.
//!
//! A grant binds the whole request (`wire::http::bound`), so the body is read before anybody is asked.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use kernel::approval::{ApprovalState, Grant};
use kernel::id::ApprovalId;
use kernel::policy::Snapshot;
use kernel::ports::Answer;
use kernel::verdict::{Ask, Content, Receipt, Undecidable, Verdict};
use wire::http::bound::Bound;
use wire::http::refuse::{Refusal, Waiting};

use super::cargo::{Body, read_body};
use super::exchange::{Asked, enter_permit, no_mask_comes_back, stale, unread};
use super::kept;
use super::refuse::{self, Answered, desk};
use super::sealed::seal;
use crate::session::{NotGranted, Session};

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// Holds a request: a receipt if it is granted while the client waits, or was before; none if it must be judged anew. `grant` is
/// what was taken for it already, and what is left for the next time.
pub(super) async fn hold(asked: &mut Asked<'_>, grant: &mut Option<Box<Grant>>) -> Result<Option<Receipt>, Answered> {
    // What was judged did not bind the body. It is read, and judged again with it.
    let template = std::sync::Arc::clone(&asked.classified.template);
    if let Err(why) = read_body(&mut asked.cargo, &asked.slot, asked.pulse).await {
        return Err(unread(asked.caller, &asked.slot, &asked.head, &template, why).await);
    }
    no_mask_comes_back(asked).await?;
    let (caller, slot) = (asked.caller, std::sync::Arc::clone(&asked.slot));
    let accepts = asked.head.accepts;
    let mut guard = slot.session().await;
    let Some(session) = guard.as_mut().filter(|_| slot.cut().is_none()) else {
        return Err(refuse::cut(caller, &slot, accepts));
    };
    let ask = match judge_whole(session, asked) {
        Some(Verdict::Ask(ask)) => ask,
        Some(Verdict::Permit(permit)) => {
            session.add_permit(permit);
            return enter_permit(caller, session, asked).await.map(Some);
        }
        Some(Verdict::Deny(deny)) => return Err(refuse::enter_denial(caller, session, accepts, deny).await),
        None => return stale(caller, &slot, session, accepts).map_or(Ok(None), Err),
    };
    if let Some(grant) = grant.take() {
        return granted(session, asked, ask, *grant).await.map(Some);
    }
    let approval = match session.ask(&ask).await {
        Ok(approval) => approval,
        Err(deny) => return Err(refuse::enter_denial(caller, session, accepts, deny).await),
    };
    // An approval that was given before, for this very content.
    if let Ok(Some(at_hand)) = session.grant_at_hand(approval).await {
        return granted(session, asked, ask, at_hand).await.map(Some);
    }
    let said = describe(session, &ask, approval);
    let mismatch = asked.approval.as_deref().is_some_and(|named| named != approval.to_string());
    session.add_ask(&ask, approval);
    if session.enter().await.is_err() {
        return Err(refuse::undecided(caller, accepts, Undecidable::AuditUnavailable));
    }
    let patience = Duration::from_secs(asked.head.prefers.wait.unwrap_or(0).into()).min(slot.upstream.limits.hold);
    let mut attended = true;
    let answer = if patience.is_zero() || mismatch {
        Answer::StillWaiting
    } else {
        // Others of the session go on meanwhile.
        drop(guard);
        let answer = wait(asked, approval, patience).await?;
        guard = slot.session().await;
        // Nobody is there to take the answer: what is granted waits for the next run.
        attended = answer.is_some();
        answer.unwrap_or(Answer::StillWaiting)
    };
    let Some(session) = guard.as_mut().filter(|_| slot.cut().is_none()) else {
        return Err(refuse::cut(caller, &slot, accepts));
    };
    let said = match answer {
        Answer::Granted(given) => {
            *grant = Some(Box::new(given));
            return again(session, asked, grant).await;
        }
        Answer::StillWaiting if mismatch => said.as_grant_mismatch(),
        Answer::StillWaiting => {
            let kept = if attended { kept::keep(asked, session, approval, &said).await } else { None };
            if let Some(accepted) = kept {
                return Err(refuse::reply(caller, accepts, &accepted));
            }
            said
        }
        Answer::Ended(ended) => match ended.state {
            ApprovalState::Rejected { .. } => {
                return Err(refuse::enter_denial(caller, session, accepts, ask.refused()).await);
            }
            _ => said.as_grant_mismatch(),
        },
    };
    session.add_denial(ask.refused());
    match session.enter().await {
        Ok(_) => Err(refuse::reply(caller, accepts, &said)),
        Err(_) => Err(refuse::undecided(caller, accepts, Undecidable::AuditUnavailable)),
    }
}

/// Waits for people, for as long as the client is there: none if it is gone.
async fn wait(asked: &Asked<'_>, approval: ApprovalId, patience: Duration) -> Result<Option<Answer>, Answered> {
    let (caller, slot) = (asked.caller, &asked.slot);
    let desk = caller.gateway.parts.desk.clone();
    tokio::select! {
        biased;
        _cut = slot.gone() => Err(refuse::cut(caller, slot, asked.head.accepts)),
        answered = desk.wait(approval, patience) => Ok(Some(answered.unwrap_or_else(|error| {
            tracing::warn!(%approval, %error, "the approval desk failed during a hold");
            Answer::StillWaiting
        }))),
        () = caller.line.hung_up() => Ok(None),
    }
}

/// Judges a kept request once more, and takes its grant where people are still to be asked. None if its facts must be read
/// again; the grant is still there then.
pub(super) async fn redeem(asked: &Asked<'_>, grant: &mut Option<Box<Grant>>) -> Result<Option<Receipt>, Answered> {
    let (caller, slot, accepts) = (asked.caller, &asked.slot, asked.head.accepts);
    let mut guard = slot.session().await;
    let Some(session) = guard.as_mut().filter(|_| slot.cut().is_none()) else {
        return Err(refuse::cut(caller, slot, accepts));
    };
    again(session, asked, grant).await
}

/// Judges once more, as policy, risk or the workload's standing may have changed while people thought. The grant is taken where
/// people are still to be asked; it is still there where the facts must be read again.
async fn again(
    session: &mut Session,
    asked: &Asked<'_>,
    grant: &mut Option<Box<Grant>>,
) -> Result<Option<Receipt>, Answered> {
    let (caller, accepts) = (asked.caller, asked.head.accepts);
    match judge_whole(session, asked) {
        Some(Verdict::Ask(ask)) => match grant.take() {
            Some(grant) => granted(session, asked, ask, *grant).await.map(Some),
            None => Err(refuse::enter_denial(caller, session, accepts, ask.refused()).await),
        },
        Some(Verdict::Permit(permit)) => {
            session.add_permit(permit);
            enter_permit(caller, session, asked).await.map(Some)
        }
        Some(Verdict::Deny(deny)) => Err(refuse::enter_denial(caller, session, accepts, deny).await),
        None => stale(caller, &asked.slot, session, accepts).map_or(Ok(None), Err),
    }
}

async fn granted(session: &mut Session, asked: &Asked<'_>, ask: Ask, grant: Grant) -> Result<Receipt, Answered> {
    let caller = asked.caller;
    let approval = grant.approval();
    match session.granted(ask, grant) {
        Ok(permit) => {
            session.add_permit(permit);
            enter_permit(caller, session, asked).await
        }
        Err(NotGranted::OverBudget(deny)) => {
            Err(refuse::enter_denial(caller, session, asked.head.accepts, *deny).await)
        }
        Err(NotGranted::Mismatch(ask, mismatch)) => {
            tracing::warn!(session = %session.id(), ?mismatch, "a grant does not fit what it was taken for");
            let said = describe(session, &ask, approval).as_grant_mismatch();
            session.add_denial(ask.refused());
            match session.enter().await {
                Ok(_) => Err(refuse::reply(caller, asked.head.accepts, &said)),
                Err(_) => Err(refuse::undecided(caller, asked.head.accepts, Undecidable::AuditUnavailable)),
            }
        }
    }
}

fn judge_whole(session: &mut Session, asked: &Asked<'_>) -> Option<Verdict> {
    let operations = std::sync::Arc::clone(&asked.classified.operations);
    let holds = |snapshot: &Snapshot| asked.holds(snapshot);
    session.judge_if(holds, operations, asked.classified.shape, whole_content(asked))
}

/// What is sent and what is bound.
fn whole_content(asked: &Asked<'_>) -> Content {
    let whole: &[u8] = match &asked.cargo {
        Body::Whole(whole, _) => whole,
        Body::Coming(..) => &[],
    };
    let Bound { text, values } = Bound::of(&asked.head, whole);
    Content {
        wire: seal(&asked.head, &asked.slot.served.authority),
        text: text.into(),
        template: std::sync::Arc::clone(&asked.classified.template),
        values,
    }
}

fn describe(session: &Session, ask: &Ask, approval: ApprovalId) -> Refusal {
    let snapshot = session.snapshot();
    let workload = snapshot.workload(session.who().workload());
    let now = session.clock().now();
    let expires = Some(now.after(ask.approval().open_for));
    Refusal::asked(ask, Waiting { approval, expires }, workload.map(|workload| &**workload), desk(session))
}
