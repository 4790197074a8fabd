//! What policy says about a workload that somebody else names: the decision point's answer. It is entered in the log like any
//! decision, with who asked.
//!
//! Nothing can be sent on it: no way leads from here to a `Permit` or a `Receipt`, because nobody has proved to the gateway
//! that they are the workload. What the caller says of it are the caller's facts.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::approval::{Grant, GrantMismatch};
use crate::audit::{About, Answered, Batch, Entry, Event, VerdictSummary, decision_body};
use crate::circumstances::Circumstances;
use crate::id::{ApprovalId, DecisionId, GrantId, SessionId};
use crate::operation::Operation;
use crate::policy::{Evaluation, Snapshot, evaluate};
use crate::provenance::Provenance;
use crate::time::Timestamp;
use crate::verdict::{Around, Budget, Content, DenyReason, Terms, Undecidable};
use crate::workload::Name;

/// Who asks about somebody else, as the log names them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Asker {
    /// Their name.
    pub name: Arc<str>,
    /// From where.
    pub source: IpAddr,
    /// How the workload that they ask about was found: named by them, or proved by what they passed on.
    pub subject: SubjectBy,
}

/// How the workload that is asked about was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectBy {
    /// Whoever asks says so.
    Named,
    /// The gateway verified a token that was passed on.
    Token,
    /// The gateway verified a certificate that was passed on; that its key was proved is the word of whoever asks.
    Certificate,
}

/// What is asked.
#[derive(Debug)]
pub struct Question {
    /// The decision that this becomes.
    pub decision: DecisionId,
    /// The connection that it came by.
    pub session: SessionId,
    /// Who asks.
    pub asker: Asker,
    /// About whom.
    pub workload: Name,
    /// The upstream that it is about.
    pub upstream: Name,
    /// The operations.
    pub operations: Arc<[Operation]>,
    /// What a grant binds, and what the log shows of it. Its `wire` is empty: nothing is sent.
    pub content: Content,
}

impl Question {
    /// What a grant must bind.
    pub fn digest(&self) -> [u8; 32] {
        self.content.digest(&self.upstream)
    }
}

/// What policy says. A description, as that of a dry run, that has an entry in the log.
#[derive(Debug)]
pub struct Answer {
    question: Question,
    at: Timestamp,
    around: Around,
    provenance: Option<Arc<Provenance>>,
    evaluation: Evaluation,
    grant: Option<(GrantId, ApprovalId)>,
    frees_in: Option<Duration>,
}

/// Answers by the evaluation beneath `judge`, under the same bounds of a task.
pub fn answer(snapshot: &Snapshot, question: Question, around: &Circumstances) -> Answer {
    let mut evaluation = evaluate(snapshot, &question.workload, &question.upstream, &question.operations, around);
    let ended = around.task().and_then(|task| Some((task, task.ended(&question.operations, around.left, around.now)?)));
    let outranks = |reason: &DenyReason| matches!(reason, DenyReason::Standing | DenyReason::CannotDecide(_));
    if let Some((task, bound)) = ended
        && !evaluation.reason.as_ref().is_some_and(outranks)
    {
        denied(&mut evaluation, DenyReason::OutsideTask { task: task.id(), bound });
    }
    if let (Some(rows), true) = (around.left.rows, evaluation.reason.is_none()) {
        let limit = &mut evaluation.terms.limits.rows;
        *limit = Some(limit.map_or(rows, |limit| limit.min(rows)));
    }
    of(question, around, evaluation)
}

/// The answer to what cannot be understood.
pub fn unanswerable(snapshot: &Snapshot, question: Question, around: &Circumstances, why: Undecidable) -> Answer {
    let mut evaluation = evaluate(snapshot, &question.workload, &question.upstream, &[], around);
    denied(&mut evaluation, DenyReason::CannotDecide(why));
    of(question, around, evaluation)
}

fn of(question: Question, around: &Circumstances, evaluation: Evaluation) -> Answer {
    let stated = Around {
        source: around.source,
        tls: around.tls,
        in_transaction: around.in_transaction,
        session: around.session,
        threats: Arc::clone(&around.threats),
        stale: Arc::clone(&around.stale),
    };
    let provenance = around.provenance.clone();
    Answer { question, at: around.now, around: stated, provenance, evaluation, grant: None, frees_in: None }
}

fn denied(evaluation: &mut Evaluation, reason: DenyReason) {
    evaluation.verdict = "deny";
    evaluation.deciding = reason.policy().cloned();
    evaluation.reason = Some(reason);
    evaluation.approval = None;
    evaluation.terms = Terms::default();
}

impl Answer {
    /// When the budget that is used up has room for the same again; none where it never has, and for every other reason.
    pub fn frees_in(&self) -> Option<Duration> {
        self.frees_in
    }

    /// What was asked.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// What policy says.
    pub fn evaluation(&self) -> &Evaluation {
        &self.evaluation
    }

    /// The approval whose grant lifted what was asked of people.
    pub fn approval(&self) -> Option<ApprovalId> {
        self.grant.map(|(_, approval)| approval)
    }

    /// Turns into a denial because a budget of its terms is used up, which has room for it in `frees_in`; none if it never
    /// has.
    #[must_use]
    pub fn over_budget(mut self, budget: &Budget, frees_in: Option<Duration>) -> Self {
        self.frees_in = frees_in;
        self.evaluation.operation = budget.operation;
        denied(&mut self.evaluation, DenyReason::OverBudget(budget.by.clone()));
        self
    }

    /// Lifts an ask by a grant, which is used up. It must bind this workload, this upstream, exactly this content, and have
    /// been given for the policy that asks. If not, the answer comes back unchanged.
    pub fn granted(mut self, grant: Grant) -> Result<Self, (Box<Self>, GrantMismatch)> {
        let question = &self.question;
        let Some(terms) = self.evaluation.approval.clone() else {
            return Err((Box::new(self), GrantMismatch::Policy));
        };
        match grant.covers(&question.workload, &question.upstream, &question.digest(), &terms) {
            Ok(()) => {
                self.evaluation.verdict = "permit";
                self.evaluation.approval = None;
                self.evaluation.deciding = None;
                self.grant = Some((grant.id(), grant.approval()));
                Ok(self)
            }
            Err(mismatch) => Err((Box::new(self), mismatch)),
        }
    }

    /// Adds its entry to a batch, with the approval that was opened for it. It must not be told before the entry stands in
    /// the log.
    pub fn add_to(&self, batch: &mut Batch, opened: Option<ApprovalId>) {
        let (question, evaluation) = (&self.question, &self.evaluation);
        let verdict = match (&evaluation.reason, &evaluation.deciding) {
            (Some(reason), _) => VerdictSummary::Deny { reason },
            (None, Some(by)) if evaluation.verdict == "ask" => VerdictSummary::Ask { by },
            (None, _) => VerdictSummary::Permit { terms: &evaluation.terms },
        };
        let about = About {
            workload: question.workload.clone(),
            upstream: question.upstream.clone(),
            bundle: Arc::clone(&evaluation.bundle),
            provenance: self.provenance.clone(),
        };
        let body = decision_body(about, &verdict, &question.operations, &question.content.template);
        let answered = Answered {
            decision: question.decision,
            session: question.session,
            workload: &question.workload,
            asker: &question.asker,
            grant: self.grant,
            approval: opened,
            around: &self.around,
            body: &body,
        };
        if evaluation.terms.durable {
            batch.make_durable();
        }
        batch.push(&Entry { at: self.at, event: Event::Answer(Box::new(answered)) });
    }
}

#[cfg(test)]
mod tests;
