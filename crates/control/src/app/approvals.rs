//! Approvals: what waits, who may see it, and answers to it. Who may answer is decided by `kernel::approval`.

use std::time::Duration;

use kernel::approval::{Approval, ApprovalState, Asked};
use kernel::id::DecisionId;
use kernel::ports::{ApprovalDesk as _, KeptRequests as _};
use serde_json::{Value, json};
use store::approvals::{Listed, Listing};

use super::{list as list_of, object, set, time};
use crate::context::Context;
use crate::parts::{ForeseeRefusal, Hypothetical};
use crate::problem::Problem;

/// How long a watcher is kept waiting. Below the limit of a request, so that it ends in an answer.
const PATIENCE: Duration = Duration::from_secs(25);

pub(crate) async fn list(context: &Context, state: Option<&str>, limit: u32) -> Result<Value, Problem> {
    const STATES: [&str; 7] = ["asked", "granted", "rejected", "expired", "withdrawn", "used", "revoked"];
    if state.is_some_and(|state| !STATES.contains(&state)) {
        return Err(Problem::Unreadable("there is no such state of an approval"));
    }
    let listed = context.parts.desk.list(Listing { state, after: None, limit }).await?;
    Ok(list_of("parapet.approvals/v1", seen(context, &listed)))
}

/// With `since`, what changed after it, as soon as there is something; without, what waits now.
pub(crate) async fn watch(context: &Context, since: Option<u64>) -> Result<Value, Problem> {
    let desk = &context.parts.desk;
    let (listed, next) = match since {
        None => {
            let next = desk.revision().await?;
            (desk.list(Listing { state: Some("asked"), after: None, limit: 1000 }).await?, next)
        }
        Some(since) => {
            let revision = desk.changed(since, PATIENCE).await?;
            let listed = desk.list(Listing { state: None, after: Some(since), limit: 1000 }).await?;
            let next = listed.last().map_or(revision.max(since), |last| last.revision);
            (listed, next)
        }
    };
    let mut answer = list_of("parapet.approvals/v1", seen(context, &listed));
    set(&mut answer, "next", next);
    Ok(answer)
}

pub(crate) async fn show(context: &Context, named: &str) -> Result<Value, Problem> {
    let listed = find(context, named).await?;
    let mut shown = whole(context, &listed.approval);
    // Whoever answers is to know that a yes sends it, whether anybody is there or not.
    let kept = context.parts.kept.find(listed.approval.id).await.map_err(|_| Problem::StoreUnavailable)?;
    if let Some(kept) = kept {
        set(
            &mut shown,
            "kept",
            json!({ "state": kept.state.as_str(), "decision": kept.decision, "status": kept.status }),
        );
    }
    Ok(object("parapet.approval/v1", shown))
}

/// Asks ahead, for whoever answers for the workload. The person counts as the one who started the run: they cannot approve it.
pub(crate) async fn request(context: &Context, request: Hypothetical, reason: Option<&str>) -> Result<Value, Problem> {
    let parts = &context.parts;
    let snapshot = parts.snapshots.current();
    let workload = snapshot.workload(&request.workload).ok_or(Problem::Missing("workload"))?;
    if !context.answers_for(workload) {
        return Err(Problem::Forbidden);
    }
    let foreseen = (parts.foresee)(request.clone()).await.map_err(|refusal| match refusal {
        ForeseeRefusal::NotJudged(refusal) => refusal.into(),
        ForeseeRefusal::Permitted => Problem::NothingToApprove("it passes without an approval"),
        ForeseeRefusal::Denied => Problem::NothingToApprove("it is denied, and no approval lifts that"),
        ForeseeRefusal::NotBound => Problem::NothingToApprove("what would be approved is not known before it is sent"),
    })?;
    let object = format!("{} on {}, content {}", request.workload, foreseen.upstream, foreseen.digest);
    context.enter("approvals request", &object, reason).await?;
    let now = parts.clock.now();
    let asked = Asked {
        decision: DecisionId::new(now, parts.clock.random()),
        session: None,
        workload: request.workload,
        owner: workload.owner.clone(),
        started_by: Some(context.caller.person.clone()),
        upstream: foreseen.upstream,
        digest: foreseen.digest,
        summary: foreseen.summary,
        text: foreseen.text,
        template: foreseen.template,
        terms: foreseen.terms,
        reason: reason.map(str::to_owned),
        at: now,
    };
    let id = parts.desk.ask(asked).await?;
    show(context, &id.to_string()).await
}

pub(crate) async fn approve(context: &Context, named: &str, comment: Option<&str>) -> Result<Value, Problem> {
    let id = find(context, named).await?.approval.id;
    let approval = context.parts.desk.approve(id, &context.caller.approver(), comment).await?;
    Ok(object("parapet.approval/v1", whole(context, &approval)))
}

pub(crate) async fn reject(context: &Context, named: &str, reason: &str) -> Result<Value, Problem> {
    let id = find(context, named).await?.approval.id;
    let approval = context.parts.desk.reject(id, &context.caller.approver(), reason).await?;
    Ok(object("parapet.approval/v1", whole(context, &approval)))
}

/// Whoever asked takes the request back: the owner, the one who started the run, or an administrator.
pub(crate) async fn withdraw(context: &Context, named: &str) -> Result<Value, Problem> {
    let found = find(context, named).await?.approval;
    if !context.caller.admin && !asked(context, &found) {
        return Err(Problem::Forbidden);
    }
    let approval = context.parts.desk.withdraw_by(found.id, &context.caller.person).await?;
    Ok(object("parapet.approval/v1", whole(context, &approval)))
}

/// Whoever could have answered, or asked, takes the grant back.
pub(crate) async fn revoke(context: &Context, named: &str, reason: &str) -> Result<Value, Problem> {
    let id = find(context, named).await?.approval.id;
    let approval = context.parts.desk.revoke(id, &context.caller.person, Some(reason)).await?;
    Ok(object("parapet.approval/v1", whole(context, &approval)))
}

/// An approval that the caller may see. What they may not see is not there.
async fn find(context: &Context, named: &str) -> Result<Listed, Problem> {
    let listed = context.parts.desk.find(named).await?;
    if may_see(context, &listed.approval) { Ok(listed) } else { Err(Problem::None) }
}

fn may_see(context: &Context, approval: &Approval) -> bool {
    context.caller.admin || asked(context, approval) || may_answer(context, approval)
}

fn asked(context: &Context, approval: &Approval) -> bool {
    let person = &context.caller.person;
    approval.asked.owner == *person || approval.asked.started_by.as_ref() == Some(person)
}

fn may_answer(context: &Context, approval: &Approval) -> bool {
    !approval.asked.terms.groups.is_disjoint(&context.caller.groups)
}

fn seen(context: &Context, listed: &[Listed]) -> Vec<Value> {
    let seen = listed.iter().filter(|listed| may_see(context, &listed.approval));
    seen.map(|listed| {
        let mut view = view(&listed.approval);
        set(&mut view, "revision", listed.revision);
        view
    })
    .collect()
}

/// For lists: without the statement, which can be long.
fn view(approval: &Approval) -> Value {
    let asked = &approval.asked;
    let votes = approval
        .votes
        .iter()
        .map(|(person, (groups, at))| json!({ "person": person, "groups": groups, "at": time(*at) }));
    let mut view = json!({
        "id": approval.id,
        "state": approval.state.as_str(),
        "asked": {
            // What was asked ahead was never decided.
            "decision": asked.session.map(|_| asked.decision),
            "session": asked.session,
            "workload": asked.workload,
            "owner": asked.owner,
            "started_by": asked.started_by,
            "upstream": asked.upstream,
            "digest": asked.digest,
            "summary": visible(&asked.summary),
            "reason": asked.reason.as_deref().map(visible),
            "at": time(asked.at),
            "terms": {
                "groups": asked.terms.groups,
                "quorum": asked.terms.quorum,
                "uses": asked.terms.uses,
                "policies": asked.terms.policies,
                "open_for_ms": u64::try_from(asked.terms.open_for.as_millis()).unwrap_or(u64::MAX),
                "valid_for_ms": u64::try_from(asked.terms.valid_for.as_millis()).unwrap_or(u64::MAX),
            },
        },
        "votes": votes.collect::<Vec<_>>(),
        "expires": approval.expires().map(time),
    });
    match &approval.state {
        ApprovalState::Asked => {
            let missing = approval.missing();
            let missing = missing.map(|(people, groups)| json!({ "people": people, "groups": groups }));
            set(&mut view, "missing", missing);
        }
        ApprovalState::Granted { grant, at, used } => {
            set(&mut view, "grant", json!({ "id": grant, "at": time(*at), "used": used }));
        }
        ApprovalState::Rejected { by, reason } => {
            set(&mut view, "rejected", json!({ "by": by, "reason": visible(reason) }))
        }
        ApprovalState::Revoked { by } => set(&mut view, "revoked", json!({ "by": by })),
        ApprovalState::Expired | ApprovalState::Withdrawn | ApprovalState::Used => {}
    }
    view
}

/// With the statement: as it was written for those who answer or asked, otherwise with its constants replaced.
fn whole(context: &Context, approval: &Approval) -> Value {
    let mut view = view(approval);
    if let Some(shown) = view.get_mut("asked") {
        set(shown, "template", visible(&approval.asked.template));
        if asked(context, approval) || may_answer(context, approval) {
            set(shown, "text", visible(&approval.asked.text));
        } else {
            set(shown, "text_hidden", "the person is in none of the groups that answer");
        }
    }
    view
}

/// Text in which nothing hides: what a terminal or a browser would obey, reorder or swallow is written out.
pub(crate) fn visible(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, letter| {
        let hides = (letter.is_control() && !matches!(letter, '\n' | '\t'))
            || matches!(letter,
                '\u{00ad}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
                | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}');
        if hides {
            shown.extend(letter.escape_unicode());
        } else {
            shown.push(letter);
        }
        shown
    })
}
