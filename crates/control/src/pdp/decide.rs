//! From a question to an answer that stands in the log: policy, budgets, approvals, entry, in this order. Everything that the
//! decision point tells of what policy says was made here.

use std::sync::Arc;

use kernel::answer::{Answer, Asker, Question, SubjectBy, answer, unanswerable};
use kernel::approval::{Asked as AskedOfPeople, hex};
use kernel::audit::{Batch, Entry, Event};
use kernel::circumstances::Circumstances;
use kernel::id::{ApprovalId, DecisionId};
use kernel::operation::Operation;
use kernel::policy::Snapshot;
use kernel::ports::{Answer as Answered, ApprovalDesk as _};
use kernel::verdict::{Content, DenyReason, Undecidable};
use kernel::workload::Name;

use super::caller::Caller;
use super::parts::BudgetsAsked;
use super::{Arrived, Point};
use crate::problem::Problem;

/// What is asked about a workload.
pub(super) struct Asking {
    pub(super) workload: Name,
    pub(super) upstream: Name,
    pub(super) operations: Result<Arc<[Operation]>, Undecidable>,
    pub(super) content: Content,
    pub(super) around: Circumstances,
    pub(super) subject: SubjectBy,
}

/// What becomes of an ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Approvals {
    /// It stays one, unless this approval, which the caller names, was granted for exactly this question.
    Named(Option<ApprovalId>),
    /// People are asked at once, as for a request that the gateway holds. One that they have granted is used.
    Opened,
}

/// An answer that stands in the log.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) answer: Answer,
    /// The approval that people were asked for.
    pub(super) opened: Option<ApprovalId>,
}

impl Decided {
    /// The decision.
    pub(super) fn decision(&self) -> DecisionId {
        self.answer.question().decision
    }

    /// Does it pass, whatever may still have to be done to what leaves?
    pub(super) fn passes(&self) -> bool {
        self.answer.evaluation().verdict == "permit"
    }

    /// Must something be done to what leaves, which whoever asks would have to do?
    pub(super) fn has_remedies(&self) -> bool {
        let terms = &self.answer.evaluation().terms;
        !terms.masks.is_empty() || terms.limits.rows.is_some() || terms.limits.bytes.is_some()
    }
}

/// Decides and enters. An error means that nothing was decided, and nothing may be told.
pub(super) async fn decide(
    point: &Point,
    arrived: &Arrived,
    caller: &Caller,
    snapshot: &Snapshot,
    asking: Asking,
    approvals: Approvals,
) -> Result<Decided, Problem> {
    if !caller.may_ask_about(&asking.upstream) {
        enter_refusal(point, caller, "an upstream that it may not ask about").await?;
        return Err(Problem::Forbidden);
    }
    let around = asking.around;
    let (operations, undecidable) = match asking.operations {
        Ok(operations) => (operations, None),
        Err(why) => (Arc::from([]), Some(why)),
    };
    let question = Question {
        decision: DecisionId::new(around.now, point.parts.clock.random()),
        session: arrived.session,
        asker: Asker { name: Arc::clone(&caller.name), source: arrived.connected.source, subject: asking.subject },
        workload: asking.workload,
        upstream: asking.upstream,
        operations,
        content: asking.content,
    };
    let mut answer = match undecidable {
        None => answer(snapshot, question, &around),
        Some(why) => unanswerable(snapshot, question, &around, why),
    };
    let mut opened = None;
    if answer.evaluation().verdict == "ask" {
        (answer, opened) = approved(point, snapshot, caller, answer, approvals).await?;
    }
    if answer.evaluation().verdict == "permit" {
        answer = within_budgets(point, answer, &around);
    }
    let mut batch = Batch::default();
    answer.add_to(&mut batch, opened);
    point.parts.log.append(&batch).await.map_err(|_| Problem::LogUnavailable)?;
    contain(point, &answer).await;
    Ok(Decided { answer, opened })
}

fn within_budgets(point: &Point, answer: Answer, around: &Circumstances) -> Answer {
    let (budgets, question) = (&answer.evaluation().terms.budgets, answer.question());
    let (workload, operations) = (&question.workload, &question.operations);
    match (point.parts.take_budgets)(BudgetsAsked { budgets, workload, operations, now: around.now })
        .map_err(|(budget, frees_in)| (budget.clone(), frees_in))
    {
        Ok(()) => answer,
        Err((budget, frees_in)) => answer.over_budget(&budget, frees_in),
    }
}

/// Quarantine follows from what a workload was proved to have asked, and never from what somebody says of it.
async fn contain(point: &Point, answer: &Answer) {
    let question = answer.question();
    if question.asker.subject != SubjectBy::Token {
        return;
    }
    if let Some(DenyReason::Quarantine(deciding)) = &answer.evaluation().reason
        && point.parts.containment.quarantine(&question.workload, deciding).await.is_err()
    {
        tracing::error!(workload = %question.workload, "a quarantine could not be stored");
    }
}

/// What people said to an ask. It stays one where they have not said yes.
async fn approved(
    point: &Point,
    snapshot: &Snapshot,
    caller: &Caller,
    answer: Answer,
    approvals: Approvals,
) -> Result<(Answer, Option<ApprovalId>), Problem> {
    let approval = match approvals {
        Approvals::Named(None) => return Ok((answer, None)),
        Approvals::Named(Some(named)) => {
            // A use must not be taken for a question that it was not granted for.
            match point.parts.desk.find(&named.to_string()).await {
                Ok(listed) if is_for(&listed.approval.asked, &answer) => named,
                Ok(_) | Err(_) => return Ok((answer, None)),
            }
        }
        Approvals::Opened => open(point, snapshot, caller, &answer, None).await?,
    };
    match point.parts.desk.wait(approval, std::time::Duration::ZERO).await? {
        Answered::Granted(grant) => match answer.granted(grant) {
            Ok(lifted) => Ok((lifted, None)),
            Err((answer, _)) => Ok((*answer, None)),
        },
        Answered::StillWaiting => Ok((answer, Some(approval))),
        Answered::Ended(_) => Ok((answer, None)),
    }
}

fn is_for(asked: &AskedOfPeople, answer: &Answer) -> bool {
    let question = answer.question();
    asked.workload == question.workload
        && asked.upstream == question.upstream
        && asked.digest == hex(&question.digest())
}

/// Asks people, or joins what they were asked already.
pub(super) async fn open(
    point: &Point,
    snapshot: &Snapshot,
    caller: &Caller,
    answer: &Answer,
    reason: Option<String>,
) -> Result<ApprovalId, Problem> {
    let question = answer.question();
    let terms = answer.evaluation().approval.as_ref().ok_or(Problem::NothingToApprove("nobody is asked"))?;
    let workload = snapshot.workload(&question.workload).ok_or(Problem::Missing("workload"))?;
    let asked = AskedOfPeople {
        decision: question.decision,
        session: Some(question.session),
        workload: question.workload.clone(),
        owner: workload.owner.clone(),
        started_by: caller.person.clone(),
        upstream: question.upstream.clone(),
        digest: hex(&question.digest()),
        summary: summary(answer),
        text: question.content.text.to_string(),
        template: question.content.template.to_string(),
        terms: (**terms).clone(),
        reason,
        at: point.parts.clock.now(),
    };
    Ok(point.parts.desk.ask(asked).await?)
}

/// The verb and the resource that decided, as the message line has them.
pub(super) fn summary(answer: &Answer) -> String {
    let operation = answer.question().operations.get(answer.evaluation().operation);
    operation.map_or_else(String::new, |operation| format!("{} on {}", operation.verb, operation.resource))
}

/// Enters what was not decided because it names nobody, nothing, or what the caller may not ask about.
pub(super) async fn enter_refusal(point: &Point, caller: &Caller, why: &str) -> Result<(), Problem> {
    enter(point, caller, "pdp refuse", why).await
}

/// Enters what a caller does besides being answered.
pub(super) async fn enter(point: &Point, caller: &Caller, action: &str, what: &str) -> Result<(), Problem> {
    let object = format!("{}: {what}", caller.name);
    let mut batch = Batch::default();
    let event = Event::Admin { by: caller.person.as_ref(), action, object: &object, reason: None };
    batch.push(&Entry { at: point.parts.clock.now(), event });
    point.parts.log.append(&batch).await.map(drop).map_err(|_| Problem::LogUnavailable)
}
