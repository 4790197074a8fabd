//! The evaluation beneath `judge`: which policies match each operation, and what follows from all of them together. Dry runs,
//! policy tests and explanations use it too; what it says is a description and can never become a permit.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy::{AuthorizationError, Authorizer, Decision, PolicyId, Request as CedarRequest};
use serde::Serialize;

use crate::approval::ApprovalTerms;
use crate::circumstances::Circumstances;
use crate::operation::{Action, Operation};
use crate::policy::annotation::{Limited, Remedy};
use crate::policy::entities::{Building, Contexts, Unbuildable, resource_id};
use crate::policy::load::{Bundle, LoadedPolicy};
use crate::policy::reads::Reads;
use crate::policy::schema::uid;
use crate::policy::slice::{Cut, Slice};
use crate::policy::snapshot::{KnownUpstream, Mode, Snapshot};
use crate::resource::ResourceKind;
use crate::task::Task;
use crate::verdict::{Budget, Deciding, DenyReason, Drawn, Limits, Mask, Terms, Undecidable};
use crate::workload::{Name, Standing, Workload};

/// What follows for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    Permit,
    Ask { approval: Arc<ApprovalTerms>, deciding: Deciding },
    Deny(DenyReason),
}

/// What follows for a request, under which terms, and because of which operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) finding: Finding,
    pub(crate) terms: Terms,
    pub(crate) deciding_operation: usize,
    /// What the policies that were asked read of the circumstances.
    pub(crate) reads: Reads,
}

impl Outcome {
    pub(crate) fn undecidable(why: Undecidable) -> Self {
        Self::denied(DenyReason::CannotDecide(why))
    }

    pub(crate) fn denied(reason: DenyReason) -> Self {
        Self { finding: Finding::Deny(reason), terms: Terms::default(), deciding_operation: 0, reads: Reads::NOTHING }
    }
}

/// The policies that match one operation, by their place in the bundle. A forbid that fails to evaluate matches.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    pub(crate) permits: BTreeSet<usize>,
    pub(crate) forbids: BTreeSet<usize>,
}

/// What `judge` would say, as plain data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evaluation {
    /// `permit`, `ask` or `deny`.
    pub verdict: &'static str,
    /// For a denial, why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<DenyReason>,
    /// The policy that denies or asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deciding: Option<Deciding>,
    /// For an ask, who must approve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Arc<ApprovalTerms>>,
    /// Which operation decided.
    pub operation: usize,
    /// Masks, limits, the permits that matched, and what was only observed.
    pub terms: Terms,
    /// The digest of the policy bundle that was asked.
    pub bundle: Arc<str>,
}

/// What `judge` would say if `workload` asked `upstream` for the operations. A dry run: it can never become a permit.
pub fn evaluate(
    snapshot: &Snapshot,
    workload: &Name,
    upstream: &Name,
    operations: &[Operation],
    around: &Circumstances,
) -> Evaluation {
    let outcome = match (snapshot.workload(workload), snapshot.known_upstream(upstream)) {
        (Some(workload), Some(upstream)) => decide(snapshot, workload, upstream, operations, around),
        _ => Outcome::undecidable(Undecidable::NoSnapshot),
    };
    describe(snapshot, outcome)
}

/// An outcome as plain data.
pub(crate) fn describe(snapshot: &Snapshot, outcome: Outcome) -> Evaluation {
    let (verdict, reason, deciding, approval) = match outcome.finding {
        Finding::Permit => ("permit", None, None, None),
        Finding::Ask { approval, deciding } => ("ask", None, Some(deciding), Some(approval)),
        Finding::Deny(reason) => {
            let deciding = reason.policy().cloned();
            ("deny", Some(reason), deciding, None)
        }
    };
    Evaluation {
        verdict,
        reason,
        deciding,
        approval,
        operation: outcome.deciding_operation,
        terms: outcome.terms,
        bundle: snapshot.bundle().digest().clone(),
    }
}

/// Decides a request of a workload in a snapshot. Total: whatever cannot be evaluated is denied.
pub(crate) fn decide(
    snapshot: &Snapshot,
    workload: &Workload,
    upstream: &KnownUpstream,
    operations: &[Operation],
    around: &Circumstances,
) -> Outcome {
    if workload.standing(around.now) != Standing::Good {
        return Outcome::denied(DenyReason::Standing);
    }
    if operations.is_empty() || operations.iter().any(|operation| operation.resource.upstream != upstream.upstream.name)
    {
        return Outcome::undecidable(Undecidable::UnsupportedMessage);
    }
    match matches(snapshot, workload, upstream, operations, around) {
        Ok((matches, reads)) => {
            let outcome = combine(snapshot.bundle(), upstream.upstream.mode, operations, &matches, reads);
            let outcome = match upstream.upstream.mode {
                Mode::Enforce => outcome,
                Mode::Observe => observed(outcome),
            };
            match around.task() {
                Some(task) => narrowed(outcome, task, operations),
                None => outcome,
            }
        }
        Err(Unbuildable) => Outcome::undecidable(Undecidable::NoSnapshot),
    }
}

/// Which policies match each operation, and what the policies that were asked read.
pub(crate) fn matches(
    snapshot: &Snapshot,
    workload: &Workload,
    upstream: &KnownUpstream,
    operations: &[Operation],
    around: &Circumstances,
) -> Result<(Vec<Arc<Matches>>, Reads), Unbuildable> {
    let bundle = snapshot.bundle();
    let vocabulary = &bundle.vocabulary;
    let mut slices: Vec<(Action, ResourceKind, Arc<Slice>)> = Vec::new();
    let mut reads = Reads::NOTHING;
    for operation in operations {
        let (action, kind) = (operation.action, operation.resource.kind);
        if !slices.iter().any(|slice| (slice.0, slice.1) == (action, kind)) {
            let cut = Cut { workload, upstream: &upstream.upstream, action, kind };
            let slice = snapshot.slice(&cut).ok_or(Unbuildable)?;
            reads = reads | slice.reads;
            slices.push((action, kind, slice));
        }
    }
    let slice_of = |operation: &Operation| {
        let sought = (operation.action, operation.resource.kind);
        slices.iter().find(|slice| (slice.0, slice.1) == sought).map(|(.., slice)| slice).ok_or(Unbuildable)
    };
    let mut known = Vec::with_capacity(operations.len());
    for operation in operations {
        known.push(slice_of(operation)?.known(operation, around));
    }
    if known.iter().all(Option::is_some) {
        return Ok((known.into_iter().flatten().collect(), reads));
    }
    let principal = slices.first().map(|(.., slice)| slice.principal.clone()).ok_or(Unbuildable)?;
    let workload = principal.uid();
    let entities = Building::new(vocabulary, upstream).all(principal, operations)?;
    let mut contexts = Contexts::new(vocabulary, around, reads);
    let authorizer = Authorizer::new();
    let mut all = Vec::with_capacity(operations.len());
    for (place, (operation, known)) in operations.iter().zip(known).enumerate() {
        contexts.next(&operation.facts, place);
        if let Some(known) = known {
            all.push(known);
            continue;
        }
        let (action, kind) = (operation.action, operation.resource.kind);
        let slice = slice_of(operation)?;
        let request = CedarRequest::new(
            workload.clone(),
            vocabulary.action(action).ok_or(Unbuildable)?.uid.clone(),
            uid(vocabulary.kind(kind).ok_or(Unbuildable)?, &resource_id(&operation.resource)),
            contexts.current()?,
            None,
        )
        .map_err(|_| Unbuildable)?;
        let mut found = Matches::default();
        let place = |id: &PolicyId| bundle.position(id).ok_or(Unbuildable);
        let permits = authorizer.is_authorized(&request, &slice.permits, &entities);
        if permits.decision() == Decision::Allow {
            for id in permits.diagnostics().reason() {
                found.permits.insert(place(id)?);
            }
        }
        let forbids = authorizer.is_authorized(&request, &slice.forbids, &entities);
        for id in forbids.diagnostics().reason() {
            found.forbids.insert(place(id)?);
        }
        // INVARIANT: a forbid that fails to evaluate counts as a match.
        for AuthorizationError::PolicyEvaluationError(error) in forbids.diagnostics().errors() {
            found.forbids.insert(place(error.policy_id())?);
        }
        let found = Arc::new(found);
        slice.keep(operation, around, &found);
        all.push(found);
    }
    Ok((all, reads))
}

/// How strict a finding is; the strictest of all operations decides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strictness {
    Permit,
    Ask,
    NoPermit,
    Block,
    Quarantine,
}

/// What is collected over all operations.
struct Combining {
    mode: Mode,
    strictness: Strictness,
    deciding: Option<Deciding>,
    operation: usize,
    approval: Option<ApprovalTerms>,
    terms: Terms,
}

impl Combining {
    /// Takes a finding that is stricter than all before.
    fn raise(&mut self, strictness: Strictness, operation: usize, deciding: Option<&Deciding>) {
        if strictness > self.strictness {
            self.strictness = strictness;
            self.operation = operation;
            self.deciding = deciding.cloned();
        }
    }

    fn forbid(&mut self, index: usize, operation: &Operation, policy: &LoadedPolicy) {
        let deciding = policy.deciding();
        self.terms.durable |= policy.durable();
        if policy.observed() {
            add_observed(&mut self.terms, deciding);
            return;
        }
        match policy.remedy() {
            Remedy::Block => self.raise(Strictness::Block, index, Some(deciding)),
            Remedy::Quarantine => self.raise(Strictness::Quarantine, index, Some(deciding)),
            Remedy::Approve(terms) => {
                self.raise(Strictness::Ask, index, Some(deciding));
                self.approval = Some(match self.approval.take() {
                    Some(others) => merged(others, terms),
                    None => (**terms).clone(),
                });
            }
            Remedy::Limit(_) if self.mode == Mode::Observe => add_observed(&mut self.terms, deciding),
            Remedy::Limit(limited) => self.limit(index, operation, limited, deciding),
            // Only values of a column or field that is read can be replaced. Anything else would pass as it is.
            Remedy::Mask(mask) if can_be_masked(operation) => self.mask(index, *mask, policy.id()),
            Remedy::Mask(_) => self.raise(Strictness::Block, index, Some(deciding)),
        }
    }

    fn limit(&mut self, index: usize, operation: &Operation, limited: &Limited, by: &Deciding) {
        let Limited { limits, sums } = limited;
        self.terms.limits = Limits {
            rows: least(self.terms.limits.rows, limits.rows),
            bytes: least(self.terms.limits.bytes, limits.bytes),
            per: None,
        };
        if let Some(rate) = limits.per {
            self.terms.budgets.push(Budget { operation: index, rate, drawn: None, by: by.clone() });
        }
        for sum in sums {
            let number = operation.facts.http.as_ref().and_then(|facts| facts.numbers.get(&sum.field));
            // What is not known cannot be counted, and what is negative would give back what was drawn.
            match number.and_then(|number| u64::try_from(*number).ok()) {
                Some(amount) => {
                    let drawn = Some(Drawn { field: sum.field.clone(), amount });
                    self.terms.budgets.push(Budget { operation: index, rate: sum.rate, drawn, by: by.clone() });
                }
                None => self.raise(Strictness::Block, index, Some(by)),
            }
        }
    }

    /// The strongest mask of an operation wins; `Mask` is ordered from the strongest.
    fn mask(&mut self, index: usize, mask: Mask, policy: &Arc<str>) {
        match self.terms.masks.iter_mut().find(|(operation, ..)| *operation == index) {
            Some((_, present, _)) if *present <= mask => {}
            Some(weaker) => *weaker = (index, mask, policy.clone()),
            None => self.terms.masks.push((index, mask, policy.clone())),
        }
    }
}

fn can_be_masked(operation: &Operation) -> bool {
    matches!(operation.resource.kind, ResourceKind::Column | ResourceKind::Field) && operation.action.reads_a_value()
}

fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// What satisfies both: every group, the larger quorum, the shorter times and the fewer uses.
fn merged(mut one: ApprovalTerms, other: &ApprovalTerms) -> ApprovalTerms {
    one.groups.extend(other.groups.iter().cloned());
    one.policies.extend(other.policies.iter().cloned());
    one.quorum = one.quorum.max(other.quorum);
    one.open_for = one.open_for.min(other.open_for);
    one.valid_for = one.valid_for.min(other.valid_for);
    one.uses = one.uses.min(other.uses);
    one
}

fn add_observed(terms: &mut Terms, deciding: &Deciding) {
    if !terms.observed.iter().any(|seen| seen.policy == deciding.policy) {
        terms.observed.push(deciding.clone());
    }
}

/// The strictest of what follows for each operation. Masks and limits add up: a stricter remedy beside them does not lift
/// them, and neither does the grant that answers it.
fn combine(bundle: &Bundle, mode: Mode, operations: &[Operation], matches: &[Arc<Matches>], reads: Reads) -> Outcome {
    let mut found = Combining {
        mode,
        strictness: Strictness::Permit,
        deciding: None,
        operation: 0,
        approval: None,
        terms: Terms::default(),
    };
    let mut permits = BTreeSet::new();
    for (index, (operation, matches)) in operations.iter().zip(matches).enumerate() {
        // To refuse the end of a transaction would keep its locks and undo nothing.
        if operation.action == Action::SqlEnd {
            continue;
        }
        for policy in matches.forbids.iter().filter_map(|position| bundle.policies().get(*position)) {
            found.forbid(index, operation, policy);
        }
        if matches.permits.is_empty() {
            found.raise(Strictness::NoPermit, index, None);
        }
        permits.extend(matches.permits.iter().copied());
    }
    for policy in permits.iter().filter_map(|position| bundle.policies().get(*position)) {
        found.terms.durable |= policy.durable();
        found.terms.permits.push(policy.id().clone());
    }
    let finding = match (found.strictness, found.deciding, found.approval) {
        (Strictness::Permit, ..) => Finding::Permit,
        (Strictness::Ask, Some(deciding), Some(approval)) => Finding::Ask { approval: Arc::new(approval), deciding },
        (Strictness::Block, Some(deciding), _) => Finding::Deny(DenyReason::Policy(deciding)),
        (Strictness::Quarantine, Some(deciding), _) => Finding::Deny(DenyReason::Quarantine(deciding)),
        _ => Finding::Deny(DenyReason::NoPermit),
    };
    Outcome { finding, terms: found.terms, deciding_operation: found.operation, reads }
}

/// What an observing upstream makes of it: nothing is blocked, held or limited, and the verdict that would have been is
/// recorded. Masks and quarantine still bind, and so does whatever cannot be decided.
fn observed(mut outcome: Outcome) -> Outcome {
    let would_be = match outcome.finding {
        Finding::Ask { deciding, .. } | Finding::Deny(DenyReason::Policy(deciding)) => Some(deciding),
        Finding::Deny(DenyReason::NoPermit) => Some(no_permit()),
        Finding::Permit => None,
        Finding::Deny(_) => return outcome,
    };
    if let Some(deciding) = would_be {
        add_observed(&mut outcome.terms, &deciding);
    }
    outcome.finding = Finding::Permit;
    outcome
}

/// A task narrows what policy permits, on observing upstreams too: its token was given, or made by its holder, for no more
/// than that. What is quarantined or cannot be decided stays so.
fn narrowed(outcome: Outcome, task: &Task, operations: &[Operation]) -> Outcome {
    if let Finding::Deny(DenyReason::Quarantine(_) | DenyReason::Standing | DenyReason::CannotDecide(_)) =
        &outcome.finding
    {
        return outcome;
    }
    let outside = operations.iter().enumerate().find_map(|(index, operation)| Some((index, task.outside(operation)?)));
    match outside {
        None => outcome,
        Some((index, bound)) => Outcome {
            finding: Finding::Deny(DenyReason::OutsideTask { task: task.id(), bound }),
            terms: Terms::default(),
            deciding_operation: index,
            reads: outcome.reads,
        },
    }
}

/// How a missing permit is recorded where a policy stands. No policy can have this id.
fn no_permit() -> Deciding {
    Deciding { policy: "(no permit)".into(), reason: Some("no policy permits this".into()), hint: None, severity: None }
}
