//! The pure function that decides: a snapshot, who asks, what they ask, and what is true around it; out comes a verdict.
//!
//! Total: whatever is missing, unknown or fails to evaluate is denied. What the policies say is found in
//! `policy/evaluate.rs`; here it becomes a verdict with its proof, from a session's memo where the answer is known.

mod memo;

use std::sync::Arc;

use crate::audit::{About, DecisionBody, VerdictSummary, decision_body};
use crate::circumstances::Circumstances;
use crate::policy::Snapshot;
use crate::policy::evaluate::{Finding, Outcome, decide};
use crate::provenance::Provenance;
use crate::trust::Authenticated;
use crate::verdict::{Around, Ask, Deny, DenyReason, Permit, Request, Subject, Terms, Undecidable, Verdict};
use crate::workload::Standing;

pub use memo::Memo;
use memo::Remembered;

/// Decides one request. The memo belongs to the session and to nobody else; it changes how fast, never what.
pub fn judge(
    snapshot: &Snapshot,
    memo: &mut Memo,
    who: &Authenticated,
    request: Request<'_>,
    around: &Circumstances,
) -> Verdict {
    let mut verdict = judge_by_memo(snapshot, memo, who, request, around);
    match &mut verdict {
        Verdict::Permit(permit) if permit.terms.observed.is_empty() => {}
        Verdict::Permit(Permit { subject, .. })
        | Verdict::Ask(Ask { subject, .. })
        | Verdict::Deny(Deny { subject, .. }) => {
            subject.around = Some(Box::new(Around {
                source: around.source,
                tls: around.tls,
                in_transaction: around.in_transaction,
                session: around.session,
                threats: around.threats.clone(),
                stale: around.stale.clone(),
            }));
        }
    }
    verdict
}

fn judge_by_memo(
    snapshot: &Snapshot,
    memo: &mut Memo,
    who: &Authenticated,
    request: Request<'_>,
    around: &Circumstances,
) -> Verdict {
    // Who is judged has one task: policies must not see another than that which narrows.
    if !same_run(who.provenance(), around.provenance.as_ref()) {
        return Verdict::Deny(refuse(snapshot, who, request, Undecidable::NoSnapshot));
    }
    let Some((bound, answers)) = memo.bound(snapshot, who, request.upstream) else {
        return Verdict::Deny(refuse(snapshot, who, request, Undecidable::NoSnapshot));
    };
    // Time passes between two operations of one connection, so this is asked each time.
    if bound.workload.standing(around.now) != Standing::Good {
        return Verdict::Deny(deny(snapshot, who, request, DenyReason::Standing));
    }
    if request.operations.is_empty() {
        return Verdict::Deny(refuse(snapshot, who, request, Undecidable::UnsupportedMessage));
    }
    // What is left of a task changes with each request too, so it is in no memo.
    if let Some(task) = around.task()
        && let Some(bound) = task.ended(&request.operations, around.left, around.now)
    {
        let reason = DenyReason::OutsideTask { task: task.id(), bound };
        return Verdict::Deny(deny(snapshot, who, request, reason));
    }
    if let Some(known) = answers.recall(request.shape, around) {
        // The shape does not say how the statement was written, and the log does.
        if Arc::ptr_eq(&known.template, &request.content.template) || known.template == request.content.template {
            return verdict(snapshot, who, request, known, around);
        }
        let known = Arc::new(known.written_as(snapshot, who, &request));
        answers.remember(request.shape, &known, around);
        return verdict(snapshot, who, request, &known, around);
    }
    let outcome = decide(snapshot, &bound.workload, &bound.upstream, &request.operations, around);
    let known = Arc::new(Remembered::new(snapshot, who, &request, outcome));
    answers.remember(request.shape, &known, around);
    verdict(snapshot, who, request, &known, around)
}

/// The same run, and the same task of it. Asked for every operation, so by place and not by content.
fn same_run(one: Option<&Arc<Provenance>>, other: Option<&Arc<Provenance>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Decides what prepares a request and runs nothing, such as PostgreSQL's Parse: what would be held may be prepared, because
/// it is judged again, and then held, before it runs. The entry says that it prepares.
pub fn judge_preparation(
    snapshot: &Snapshot,
    memo: &mut Memo,
    who: &Authenticated,
    request: Request<'_>,
    around: &Circumstances,
) -> Verdict {
    match judge(snapshot, memo, who, request, around) {
        Verdict::Permit(mut permit) => {
            permit.subject.prepares = true;
            Verdict::Permit(permit)
        }
        Verdict::Ask(Ask { mut subject, terms, content, .. }) => {
            subject.prepares = true;
            Verdict::Permit(Permit { subject, terms, content, grant: None })
        }
        Verdict::Deny(deny) => Verdict::Deny(deny),
    }
}

/// Denies a request that could not be analysed. Binds on observing upstreams too: what cannot be read cannot be observed.
pub fn refuse(snapshot: &Snapshot, who: &Authenticated, request: Request<'_>, why: Undecidable) -> Deny {
    deny(snapshot, who, request, DenyReason::CannotDecide(why))
}

fn deny(snapshot: &Snapshot, who: &Authenticated, request: Request<'_>, reason: DenyReason) -> Deny {
    let body = decision_body(
        about(snapshot, who, &request),
        &VerdictSummary::Deny { reason: &reason },
        &request.operations,
        &request.content.template,
    );
    let (subject, content) = subject(request, 0, body);
    Deny { subject, reason, template: content.template, frees_in: None }
}

fn subject(
    request: Request<'_>,
    deciding_operation: usize,
    audit_body: Arc<DecisionBody>,
) -> (Box<Subject>, crate::verdict::Content) {
    let Request { decision, session, upstream: _, operations, shape: _, content } = request;
    let subject =
        Subject { decision, session, operations, deciding_operation, audit_body, prepares: false, around: None };
    (Box::new(subject), content)
}

fn verdict(
    snapshot: &Snapshot,
    who: &Authenticated,
    request: Request<'_>,
    known: &Remembered,
    around: &Circumstances,
) -> Verdict {
    let (mut terms, mut body) = (known.terms.clone(), known.body.clone());
    // No response may have more rows than the task has left.
    if let (Some(rows), Finding::Permit | Finding::Ask { .. }) = (around.left.rows, &known.finding)
        && terms.limits.rows.is_none_or(|limit| limit > rows)
    {
        let mut capped = Terms::clone(&terms);
        capped.limits.rows = Some(rows);
        terms = Arc::new(capped);
        body = body_for(&known.finding, &terms, snapshot, who, &request);
    }
    let (subject, content) = subject(request, known.deciding_operation, body);
    match &known.finding {
        Finding::Permit => Verdict::Permit(Permit { subject, terms, content, grant: None }),
        Finding::Ask { approval, deciding } => Verdict::Ask(Ask {
            subject,
            terms,
            content,
            approval: approval.clone(),
            deciding: Box::new(deciding.clone()),
        }),
        Finding::Deny(reason) => {
            Verdict::Deny(Deny { subject, reason: reason.clone(), template: content.template, frees_in: None })
        }
    }
}

impl Remembered {
    fn new(snapshot: &Snapshot, who: &Authenticated, request: &Request<'_>, outcome: Outcome) -> Self {
        let Outcome { finding, terms, deciding_operation, reads } = outcome;
        let terms = Arc::new(terms);
        let template = request.content.template.clone();
        let body = body_for(&finding, &terms, snapshot, who, request);
        Self { finding, terms, deciding_operation, reads, template, body }
    }

    /// The same answer for a request of the same shape that is written otherwise.
    fn written_as(&self, snapshot: &Snapshot, who: &Authenticated, request: &Request<'_>) -> Self {
        let template = request.content.template.clone();
        Self { template, body: body_for(&self.finding, &self.terms, snapshot, who, request), ..self.clone() }
    }
}

fn body_for(
    finding: &Finding,
    terms: &Terms,
    snapshot: &Snapshot,
    who: &Authenticated,
    request: &Request<'_>,
) -> Arc<DecisionBody> {
    let summary = match finding {
        Finding::Permit => VerdictSummary::Permit { terms },
        Finding::Ask { deciding, .. } => VerdictSummary::Ask { by: deciding },
        Finding::Deny(reason) => VerdictSummary::Deny { reason },
    };
    let about = about(snapshot, who, request);
    decision_body(about, &summary, &request.operations, &request.content.template)
}

fn about(snapshot: &Snapshot, who: &Authenticated, request: &Request<'_>) -> About {
    About {
        workload: who.workload().clone(),
        upstream: request.upstream.clone(),
        bundle: snapshot.bundle().digest().clone(),
        provenance: who.provenance().cloned(),
    }
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod narrowing;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod tests;
