//! The three verdicts, and the proofs that hang on them.
//!
//! A [`Permit`] is made by `judge`, or by a [`Grant`] that answers an [`Ask`]; it is not `Clone`. Entering it in the audit
//! log consumes it and yields a [`Receipt`], which holds the very bytes that may be sent: check and use cannot diverge.
//! Entering a [`Deny`] yields a [`RefusalReceipt`], which admits only the protocol's fixed refusal probe.

mod budget;
mod undecidable;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::approval::{ApprovalTerms, Grant, GrantMismatch};
use crate::audit::{DecisionBody, VerdictSummary, decision_body};
use crate::id::{ApprovalId, DecisionId, GrantId, SessionId, TaskId};
use crate::operation::Operation;
use crate::provenance::Provenance;
use crate::task::Bound;
use crate::workload::Name;

pub use budget::{Budget, Drawn, Limits, Rate, SumLimit};
pub use undecidable::{Fault, Undecidable};

/// How a masked value is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mask {
    /// By NULL. The strongest: where several masks ask, the first in this order wins.
    Null,
    /// By a fixed word.
    Redact,
    /// By a keyed hash, the same for equal values.
    Hash,
    /// By a keyed token.
    Token,
    /// By its last four characters, the rest starred.
    Last4,
    /// By its first character and shape, the rest starred.
    Partial,
}

impl Mask {
    /// The word in `@mask("…")`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Redact => "redact",
            Self::Hash => "hash",
            Self::Token => "token",
            Self::Last4 => "last4",
            Self::Partial => "partial",
        }
    }

    /// Reads the word of `@mask("…")`.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Null, Self::Redact, Self::Hash, Self::Token, Self::Last4, Self::Partial]
            .into_iter()
            .find(|mask| mask.as_str() == word)
    }
}

/// A policy that decided, as people are told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deciding {
    /// Its `@id`.
    pub policy: Arc<str>,
    /// Its `@reason`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// Its `@hint`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Arc<str>>,
    /// Its `@severity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Arc<str>>,
}

/// Why a request is denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum DenyReason {
    /// A forbid matched.
    Policy(Deciding),
    /// A forbid with `@quarantine` matched: the workload is to be quarantined and its sessions cut.
    Quarantine(Deciding),
    /// No permit matched.
    NoPermit,
    /// The workload is quarantined, retired or expired.
    Standing,
    /// The request cannot be understood or decided; the code says why.
    CannotDecide(Undecidable),
    /// An approval was asked for and not given: rejected, expired or withdrawn.
    NotApproved(Deciding),
    /// The workload has used up what the policy lets it ask of this resource in a time.
    OverBudget(Deciding),
    /// It lies outside the task that the session was opened with, whatever policy says.
    OutsideTask {
        /// The task.
        task: TaskId,
        /// Which of its bounds.
        bound: Bound,
    },
}

impl DenyReason {
    /// The policy that denies, if one does.
    pub const fn policy(&self) -> Option<&Deciding> {
        match self {
            Self::Policy(deciding)
            | Self::Quarantine(deciding)
            | Self::NotApproved(deciding)
            | Self::OverBudget(deciding) => Some(deciding),
            Self::NoPermit | Self::Standing | Self::CannotDecide(_) | Self::OutsideTask { .. } => None,
        }
    }
}

/// What is to be judged: who is not part of it, because only [`crate::trust::Authenticated`] says who.
#[derive(Debug)]
pub struct Request<'a> {
    /// The decision that this becomes.
    pub decision: DecisionId,
    /// The session that it belongs to.
    pub session: SessionId,
    /// The upstream that it goes to.
    pub upstream: &'a Name,
    /// What is asked. Never empty: what asks nothing is no request.
    pub operations: Arc<[Operation]>,
    /// Equal for requests with equal operations and facts, and unequal otherwise: a digest made by the analysis. Keys the
    /// memo of verdicts.
    pub shape: u128,
    /// What would be sent.
    pub content: Content,
}

/// The exact content of a request: what goes to the upstream if it is permitted, and what a grant binds.
#[derive(Debug, Default)]
pub struct Content {
    /// The bytes for the upstream, encoded from the decoded form.
    pub wire: Vec<u8>,
    /// The statement as the client wrote it; a grant binds it.
    pub text: Arc<str>,
    /// The statement with its constants replaced, for the audit log and for people without the right to see literals.
    pub template: Arc<str>,
    /// Parameter values in the order and form in which they were bound; a grant binds them.
    pub values: Vec<u8>,
}

impl Content {
    /// What a grant binds: SHA-256 over the upstream, the text and the values, each with its length before it.
    pub fn digest(&self, upstream: &Name) -> [u8; 32] {
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        for part in [upstream.as_str().as_bytes(), self.text.as_bytes(), &self.values] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }
}

/// What a judgement found for a request that may pass: which values are masked, and how much may leave. Written without the
/// members that are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Terms {
    /// For each masked operation (by its index), how, and by which policy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub masks: Vec<(usize, Mask, Arc<str>)>,
    /// The caps on the response.
    #[serde(skip_serializing_if = "Limits::are_none")]
    pub limits: Limits,
    /// The budgets that it draws on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<Budget>,
    /// Policies that would have blocked, held or masked, but are being rolled out, or whose upstream observes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub observed: Vec<Deciding>,
    /// The permits that matched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub permits: Vec<Arc<str>>,
    /// The entry must be on the disk before anything is forwarded: a policy that matched says so.
    #[serde(skip_serializing_if = "is_false")]
    pub durable: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde wants")]
fn is_false(said: &bool) -> bool {
    !*said
}

/// What a decision is about; shared by all verdicts and shown to people.
#[derive(Debug)]
pub struct Subject {
    pub(crate) decision: DecisionId,
    pub(crate) session: SessionId,
    pub(crate) operations: Arc<[Operation]>,
    /// Which operation decided.
    pub(crate) deciding_operation: usize,
    /// What the audit entry says besides ids and time, encoded once for each answer that the session remembers. It knows whom
    /// and what it is about.
    pub(crate) audit_body: Arc<DecisionBody>,
    /// It prepares a request and runs nothing.
    pub(crate) prepares: bool,
    /// What was true around it, for the entry of what did not simply pass.
    pub(crate) around: Option<Box<Around>>,
}

/// The circumstances of a decision as its entry states them, so that it can be explained later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Around {
    /// The client's address.
    pub source: std::net::IpAddr,
    /// Did TLS protect the client's connection?
    pub tls: bool,
    /// Was a transaction open?
    pub in_transaction: bool,
    /// What the session had done before.
    pub session: crate::circumstances::SessionHistory,
    /// Threat lists that named the address.
    #[serde(default, skip_serializing_if = "no_names")]
    pub threats: crate::threats::Names,
    /// Threat lists that were too old.
    #[serde(default, skip_serializing_if = "no_names")]
    pub stale: crate::threats::Names,
}

fn no_names(names: &crate::threats::Names) -> bool {
    names.is_empty()
}

impl Subject {
    /// The decision.
    pub fn decision(&self) -> DecisionId {
        self.decision
    }

    /// The session.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Who asked.
    pub fn workload(&self) -> &Name {
        &self.audit_body.about().workload
    }

    /// The upstream that was asked.
    pub fn upstream(&self) -> &Name {
        &self.audit_body.about().upstream
    }

    /// What was asked.
    pub fn operations(&self) -> &Arc<[Operation]> {
        &self.operations
    }

    /// The operation that decided; for a permit, the first.
    pub fn deciding_operation(&self) -> Option<&Operation> {
        self.operations.get(self.deciding_operation)
    }

    /// The digest of the policy bundle that was asked.
    pub fn bundle(&self) -> &Arc<str> {
        &self.audit_body.about().bundle
    }

    /// From what run the session comes, and for what task; none where nothing is known of it.
    pub fn provenance(&self) -> Option<&Arc<Provenance>> {
        self.audit_body.about().provenance.as_ref()
    }
}

/// The request may pass, under the given terms. Not `Clone`: it is entered once, and then gone.
#[must_use = "a permit is worth nothing until it is entered in the audit log"]
#[derive(Debug)]
pub struct Permit {
    pub(crate) subject: Box<Subject>,
    pub(crate) terms: Arc<Terms>,
    pub(crate) content: Content,
    pub(crate) grant: Option<Box<(GrantId, ApprovalId)>>,
}

impl Permit {
    /// What it is about.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Under which terms.
    pub fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    /// The statement as the client wrote it, and the values that were bound, as [`Content`] has them.
    pub fn asked(&self) -> (&Arc<str>, &[u8]) {
        (&self.content.text, &self.content.values)
    }

    /// Turns into a denial because its terms cannot be kept, such as a mask on a value that leaves in no maskable form.
    pub fn withheld(self, why: Undecidable) -> Deny {
        Deny::instead(self.subject, DenyReason::CannotDecide(why), self.content.template)
    }

    /// Turns into a denial because a budget of its terms is used up, which has room for it in `frees_in`; none if it never
    /// has.
    pub fn over_budget(mut self, budget: &Budget, frees_in: Option<Duration>) -> Deny {
        self.subject.deciding_operation = budget.operation;
        let reason = DenyReason::OverBudget(budget.by.clone());
        Deny { frees_in, ..Deny::instead(self.subject, reason, self.content.template) }
    }
}

/// The request waits for people.
#[must_use = "an ask must be entered in the audit log and answered"]
#[derive(Debug)]
pub struct Ask {
    pub(crate) subject: Box<Subject>,
    pub(crate) terms: Arc<Terms>,
    pub(crate) content: Content,
    pub(crate) approval: Arc<ApprovalTerms>,
    pub(crate) deciding: Box<Deciding>,
}

impl Ask {
    /// What it is about.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Who must approve, and for how long.
    pub fn approval(&self) -> &Arc<ApprovalTerms> {
        &self.approval
    }

    /// The policy that asks.
    pub fn deciding(&self) -> &Deciding {
        &self.deciding
    }

    /// What a grant must bind.
    pub fn digest(&self) -> [u8; 32] {
        self.content.digest(self.subject.upstream())
    }

    /// The bytes that would be sent if it were granted.
    pub fn wire(&self) -> &[u8] {
        &self.content.wire
    }

    /// The statement, for the people who approve.
    pub fn text(&self) -> &Arc<str> {
        &self.content.text
    }

    /// The statement with its constants replaced.
    pub fn template(&self) -> &Arc<str> {
        &self.content.template
    }

    /// The statement as the client wrote it, and the values that were bound, as [`Content`] has them.
    pub fn asked(&self) -> (&Arc<str>, &[u8]) {
        (&self.content.text, &self.content.values)
    }

    /// Turns into a denial because it could not pass even if it were granted, so that nobody is asked.
    pub fn withheld(self, why: Undecidable) -> Deny {
        Deny::instead(self.subject, DenyReason::CannotDecide(why), self.content.template)
    }

    /// Turns into a permit by a grant, which is used up. The grant must bind this workload, this upstream, exactly this
    /// content, and have been given for the policy that asks. If not, the ask comes back unchanged.
    pub fn granted(self, grant: Grant) -> Result<Permit, (Box<Self>, GrantMismatch)> {
        match grant.covers(self.subject.workload(), self.subject.upstream(), &self.digest(), &self.approval) {
            Ok(()) => Ok(Permit {
                subject: self.subject,
                terms: self.terms,
                content: self.content,
                grant: Some(Box::new((grant.id(), grant.approval()))),
            }),
            Err(mismatch) => Err((Box::new(self), mismatch)),
        }
    }

    /// Turns into a denial because nobody granted it.
    pub fn refused(self) -> Deny {
        Deny::instead(self.subject, DenyReason::NotApproved(*self.deciding), self.content.template)
    }
}

/// The request may not pass.
#[must_use = "a denial must be entered in the audit log"]
#[derive(Debug)]
pub struct Deny {
    pub(crate) subject: Box<Subject>,
    pub(crate) reason: DenyReason,
    pub(crate) template: Arc<str>,
    pub(crate) frees_in: Option<Duration>,
}

impl Deny {
    /// A denial in the place of another verdict: its entry says what became of the request.
    fn instead(mut subject: Box<Subject>, reason: DenyReason, template: Arc<str>) -> Self {
        let about = subject.audit_body.about().clone();
        let denied = VerdictSummary::Deny { reason: &reason };
        subject.audit_body = decision_body(about, &denied, &subject.operations, &template);
        Self { subject, reason, template, frees_in: None }
    }

    /// What it is about.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Why.
    pub fn reason(&self) -> &DenyReason {
        &self.reason
    }

    /// The statement with its constants replaced.
    pub fn template(&self) -> &Arc<str> {
        &self.template
    }

    /// When the budget that is used up has room for the same request again; none where it never has, and for every other
    /// reason.
    pub fn frees_in(&self) -> Option<Duration> {
        self.frees_in
    }
}

/// What `judge` says.
#[derive(Debug)]
pub enum Verdict {
    /// It may pass.
    Permit(Permit),
    /// It waits for people.
    Ask(Ask),
    /// It may not pass.
    Deny(Deny),
}

/// Proof that a permit stands in the audit log; holds the bytes that may be sent. Not `Clone`: what it admits is sent once.
#[must_use = "a receipt that is dropped means that a permitted request was not sent"]
#[derive(Debug)]
pub struct Receipt {
    pub(crate) permit: Permit,
}

impl Receipt {
    /// The decision.
    pub fn decision(&self) -> DecisionId {
        self.permit.subject.decision
    }

    /// The terms under which the response may leave.
    pub fn terms(&self) -> &Arc<Terms> {
        &self.permit.terms
    }

    /// Gives up the proof for the bytes that it admits.
    pub fn into_wire(self) -> Vec<u8> {
        self.permit.content.wire
    }
}

/// Proof that a denial stands in the audit log; admits the protocol's fixed refusal probe and nothing else.
#[must_use = "a denial's receipt admits the refusal probe"]
#[derive(Debug)]
pub struct RefusalReceipt {
    pub(crate) decision: DecisionId,
}

impl RefusalReceipt {
    /// The decision; the only thing that a refusal probe may vary by.
    pub fn decision(&self) -> DecisionId {
        self.decision
    }
}
