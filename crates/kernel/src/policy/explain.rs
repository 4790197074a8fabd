//! Why a decision is what it is: each policy that decided, clause by clause, what would have passed, and which permits came
//! near. Cedar returns only the ids of the policies that decided, and none where nothing permits; the rest is found here,
//! by evaluating each clause by itself. Not for the hot path.

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityUid, Expression, Policy, PolicySet, Request as CedarRequest,
    eval_expression,
};
use serde::Serialize;

use crate::circumstances::Circumstances;
use crate::operation::Operation;
use crate::policy::entities::{self, Building, Unbuildable, context, resource_id};
use crate::policy::evaluate::{Evaluation, Outcome, decide, describe, matches};
use crate::policy::load::LoadedPolicy;
use crate::policy::reads::Reads;
use crate::policy::scan::{self, Parts};
use crate::policy::schema::{Vocabulary, uid};
use crate::policy::snapshot::{KnownUpstream, Snapshot};
use crate::verdict::Undecidable;
use crate::workload::Workload;

/// What a clause evaluates to by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It fails to evaluate, for example because a fact is absent. A forbid then matches, a permit does not.
    Error,
    /// A clause before it is false, and it was not asked.
    Skipped,
}

impl Truth {
    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::False => "false",
            Self::Error => "error",
            Self::Skipped => "not asked",
        }
    }
}

/// Which part of a policy a clause is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The constraint on who asks.
    Principal,
    /// The constraint on what is asked.
    Action,
    /// The constraint on what it is asked of.
    Resource,
    /// A conjunct of a `when`.
    When,
    /// A conjunct of an `unless`.
    Unless,
}

/// One clause of a policy, evaluated by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Clause {
    /// Which part it is.
    pub part: Part,
    /// Where it begins: a byte offset in the policy's source.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// Its text.
    pub text: String,
    /// What it evaluates to.
    pub truth: Truth,
    /// Which condition it belongs to; conjuncts of one condition share it.
    #[serde(skip)]
    condition: usize,
    /// Why, in a few words made of attributes' values: `it is "production"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

impl Clause {
    /// Does the clause keep its policy from matching? For an `unless` the caller must look at the whole condition.
    fn fails(&self) -> bool {
        self.part != Part::Unless && self.truth != Truth::True
    }
}

/// A policy that decided, with its source and its clauses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyExplanation {
    /// Its `@id`.
    pub policy: String,
    /// `permit` or `forbid`.
    pub effect: &'static str,
    /// What a forbid does: `block`, `mask`, `limit`, `approve`, `quarantine`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<&'static str>,
    /// Is it only observed?
    pub observed: bool,
    /// Its file.
    pub file: String,
    /// The line of its effect.
    pub line: u32,
    /// The column of its effect.
    pub column: u32,
    /// Where the effect begins: a byte offset in `source`.
    pub effect_at: usize,
    /// Its text with annotations.
    pub source: String,
    /// Its clauses in order.
    pub clauses: Vec<Clause>,
}

/// A permit that did not match, and what it lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NearMiss {
    /// Its `@id`.
    pub policy: String,
    /// Its file.
    pub file: String,
    /// Its line.
    pub line: u32,
    /// What would have to hold.
    pub needs: Vec<String>,
}

/// Why a decision is what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What is decided.
    pub evaluation: Evaluation,
    /// The action of the operation that decides.
    pub action: &'static str,
    /// The group of the action.
    pub group: &'static str,
    /// The verb for people.
    pub verb: &'static str,
    /// The resource of the operation that decides.
    pub resource: String,
    /// How many operations the request has.
    pub operations: usize,
    /// The policies that decided: the forbid that denies or asks, and those that mask, limit or are observed; for a plain
    /// permit, the permits.
    pub policies: Vec<PolicyExplanation>,
    /// What would have to be otherwise for the deciding forbid not to match; each entry would do alone.
    pub passes_if: Vec<String>,
    /// Where nothing permits: the permits that come nearest.
    pub near_misses: Vec<NearMiss>,
}

/// Explains what `judge` would say if `workload`, as it is given, asked for the operations.
pub fn explain(
    snapshot: &Snapshot,
    workload: &Workload,
    operations: &[Operation],
    around: &Circumstances,
) -> Explanation {
    let upstream = operations.first().and_then(|first| snapshot.known_upstream(&first.resource.upstream));
    let outcome = match upstream {
        Some(upstream) => decide(snapshot, workload, upstream, operations, around),
        None if operations.is_empty() => Outcome::undecidable(Undecidable::UnsupportedMessage),
        None => Outcome::undecidable(Undecidable::NoSnapshot),
    };
    let evaluation = describe(snapshot, outcome);
    let operation = operations.get(evaluation.operation);
    let mut explanation = Explanation {
        action: operation.map_or("", |operation| operation.action.as_str()),
        group: operation.map_or("", |operation| operation.action.group().as_str()),
        verb: operation.map_or("", |operation| operation.verb),
        resource: operation.map(|operation| operation.resource.to_string()).unwrap_or_default(),
        operations: operations.len(),
        evaluation,
        policies: Vec::new(),
        passes_if: Vec::new(),
        near_misses: Vec::new(),
    };
    if let Some(upstream) = upstream {
        // What cannot be built is denied as such, and there is nothing more to say of it.
        let _incomplete: Result<(), Unbuildable> =
            fill(&mut explanation, snapshot, workload, upstream, operations, around);
    }
    explanation
}

fn fill(
    explanation: &mut Explanation,
    snapshot: &Snapshot,
    workload: &Workload,
    upstream: &KnownUpstream,
    operations: &[Operation],
    around: &Circumstances,
) -> Result<(), Unbuildable> {
    let (matches, _) = matches(snapshot, workload, upstream, operations, around)?;
    let policies = snapshot.policies();
    let deciding = explanation.evaluation.deciding.as_ref().map(|deciding| deciding.policy.clone());
    for (position, policy) in policies.iter().enumerate() {
        let at = |found: &dyn Fn(usize) -> bool| (0..operations.len()).find(|index| found(*index));
        let forbids = at(&|index| matches.get(index).is_some_and(|found| found.forbids.contains(&position)));
        let permits = at(&|index| matches.get(index).is_some_and(|found| found.permits.contains(&position)));
        let decides = deciding.as_ref() == Some(policy.id());
        // The operation that decided, where the policy matches it; else the first that it matches.
        let index = if decides { Some(explanation.evaluation.operation) } else { forbids.or(permits) };
        let plain = explanation.evaluation.verdict == "permit";
        let shown = decides || forbids.is_some() || (plain && permits.is_some());
        if let (true, Some(operation)) = (shown, index.and_then(|index| operations.get(index))) {
            let world = World::new(&snapshot.bundle().vocabulary, workload, upstream, operation, around)?;
            let told = world.policy(policy);
            if decides {
                explanation.passes_if = passes_if(&told);
                explanation.policies.insert(0, told);
            } else {
                explanation.policies.push(told);
            }
        }
    }
    let missing = operations.iter().zip(&matches).find(|(_, found)| found.permits.is_empty());
    if let Some((operation, _)) = missing {
        let world = World::new(&snapshot.bundle().vocabulary, workload, upstream, operation, around)?;
        explanation.near_misses = near_misses(&world, policies);
    }
    Ok(())
}

/// One operation, ready to have clauses evaluated against it.
struct World {
    authorizer: Authorizer,
    entities: Entities,
    request: CedarRequest,
    principal: EntityUid,
    action: EntityUid,
    resource: String,
    context: Context,
}

impl World {
    fn new(
        vocabulary: &Vocabulary,
        workload: &Workload,
        upstream: &KnownUpstream,
        operation: &Operation,
        around: &Circumstances,
    ) -> Result<Self, Unbuildable> {
        let principal = entities::principal(vocabulary, workload)?;
        let entities = Building::new(vocabulary, upstream).all(principal, std::slice::from_ref(operation))?;
        let principal = uid(&vocabulary.workload, workload.name.as_str());
        let action = vocabulary.action(operation.action).ok_or(Unbuildable)?.uid.clone();
        let kind = vocabulary.kind(operation.resource.kind).ok_or(Unbuildable)?;
        let context = context(vocabulary, &operation.facts, 0, around, Reads::ALL)?;
        let resource = uid(kind, &resource_id(&operation.resource));
        let request = CedarRequest::new(principal.clone(), action.clone(), resource, context.clone(), None)
            .map_err(|_| Unbuildable)?;
        Ok(Self {
            authorizer: Authorizer::new(),
            entities,
            request,
            principal,
            action,
            resource: operation.resource.to_string(),
            context,
        })
    }

    /// What a policy without annotations evaluates to.
    fn truth(&self, policy: &str) -> Truth {
        let parsed = Policy::parse(None, policy).ok();
        let Some(set) = parsed.and_then(|policy| PolicySet::from_policies([policy]).ok()) else {
            return Truth::Error;
        };
        let response = self.authorizer.is_authorized(&self.request, &set, &self.entities);
        match response.decision() {
            Decision::Allow => Truth::True,
            Decision::Deny if response.diagnostics().errors().next().is_some() => Truth::Error,
            Decision::Deny => Truth::False,
        }
    }

    fn policy(&self, policy: &LoadedPolicy) -> PolicyExplanation {
        let parts = scan::parts(policy.source());
        let (line, column) = policy.place(parts.effect);
        PolicyExplanation {
            policy: policy.id().to_string(),
            effect: if policy.forbids() { "forbid" } else { "permit" },
            remedy: policy.forbids().then(|| policy.remedy().as_str()),
            observed: policy.observed(),
            file: policy.file().to_string(),
            line,
            column,
            effect_at: parts.effect,
            source: policy.source().to_owned(),
            clauses: self.clauses(policy.source(), &parts),
        }
    }

    fn clauses(&self, source: &str, parts: &Parts) -> Vec<Clause> {
        let mut clauses = Vec::new();
        let scope = [Part::Principal, Part::Action, Part::Resource];
        for (part, range) in scope.into_iter().zip(&parts.scope) {
            let text = source.get(range.clone()).unwrap_or_default();
            // A bare `principal` constrains nothing: there is nothing to tell.
            if matches!(text, "principal" | "action" | "resource") {
                continue;
            }
            let truth = self.truth(&match part {
                Part::Principal => format!("permit({text}, action, resource);"),
                Part::Action => format!("permit(principal, {text}, resource);"),
                _ => format!("permit(principal, action, {text});"),
            });
            let it = match part {
                Part::Principal => self.principal.to_string(),
                Part::Action => self.action.id().unescaped().to_owned(),
                _ => self.resource.clone(),
            };
            let because = match truth {
                Truth::True if part == Part::Action => Some(it),
                Truth::True => None,
                _ => Some(format!("it is {it}")),
            };
            clauses.push(Clause {
                part,
                start: range.start,
                end: range.end,
                text: text.to_owned(),
                truth,
                condition: 0,
                because,
            });
        }
        for (number, condition) in parts.conditions.iter().enumerate() {
            let mut decided = false;
            for range in &condition.conjuncts {
                let text = source.get(range.clone()).unwrap_or_default();
                let asked = self.truth(&format!("permit(principal, action, resource) when {{ {text} }};"));
                let truth = if decided { Truth::Skipped } else { asked };
                decided |= matches!(asked, Truth::False | Truth::Error);
                clauses.push(Clause {
                    part: if condition.unless { Part::Unless } else { Part::When },
                    start: range.start,
                    end: range.end,
                    text: text.to_owned(),
                    truth,
                    condition: number + 1,
                    because: self.because(text, truth),
                });
            }
        }
        clauses
    }

    /// The value of the attribute that a clause begins with, if it may be told.
    fn because(&self, text: &str, truth: Truth) -> Option<String> {
        const LONGEST: usize = 60;
        let path = scan::first_path(text)?;
        // The limit is a literal of the statement.
        if !matches!(truth, Truth::False | Truth::Error) || path == "context.limit" {
            return None;
        }
        if let Some(fact) = path.strip_prefix("context.").and_then(|rest| rest.split('.').next())
            && self.context.get(fact).is_none()
        {
            return Some("it is not known".to_owned());
        }
        let expression: Expression = path.parse().ok()?;
        let value = eval_expression(&self.request, &self.entities, &expression).ok()?.to_string();
        (value.chars().count() <= LONGEST).then(|| format!("it is {value}"))
    }
}

/// The conditions of a policy, each with its clauses: scope constraints and the conjuncts of `when` stand alone.
fn conditions(clauses: &[Clause]) -> Vec<&[Clause]> {
    clauses
        .chunk_by(|one, other| {
            one.part == Part::Unless && other.part == Part::Unless && one.condition == other.condition
        })
        .collect()
}

fn joined<'c>(clauses: impl IntoIterator<Item = &'c Clause>) -> String {
    clauses.into_iter().map(|clause| clause.text.as_str()).collect::<Vec<_>>().join(" && ")
}

/// What would keep a forbid from matching: an `unless` that becomes true, or one other clause that becomes false.
fn passes_if(told: &PolicyExplanation) -> Vec<String> {
    let conditions = conditions(&told.clauses);
    let is_unless = |clauses: &&&[Clause]| clauses.first().is_some_and(|first| first.part == Part::Unless);
    let unless = conditions
        .iter()
        .filter(is_unless)
        .map(|clauses| joined(clauses.iter().filter(|clause| clause.truth != Truth::True)))
        .filter(|text| !text.is_empty());
    let when = told
        .clauses
        .iter()
        .filter(|clause| clause.part == Part::When && clause.truth == Truth::True)
        .map(|clause| format!("not {}", parenthesized(&clause.text)));
    unless.chain(when).collect()
}

/// Text that `not` can stand before.
fn parenthesized(text: &str) -> String {
    if text.starts_with('(') && text.ends_with(')') { text.to_owned() } else { format!("({text})") }
}

/// The permits that lack the least, at most three.
fn near_misses(world: &World, policies: &[LoadedPolicy]) -> Vec<NearMiss> {
    const MOST: usize = 3;
    let mut found: Vec<NearMiss> = policies
        .iter()
        .filter(|policy| !policy.forbids())
        .map(|policy| {
            let told = world.policy(policy);
            let needs = conditions(&told.clauses)
                .into_iter()
                .filter_map(|clauses| match clauses {
                    [clause] if clause.part != Part::Unless => clause.fails().then(|| clause.text.clone()),
                    // A permit's `unless` that holds, or that fails, keeps it from matching.
                    _ => (!clauses.iter().any(|clause| clause.truth == Truth::False))
                        .then(|| format!("not ({})", joined(clauses))),
                })
                .collect();
            NearMiss { policy: told.policy, file: told.file, line: told.line, needs }
        })
        .filter(|miss| !miss.needs.is_empty())
        .collect();
    found.sort_by_key(|miss| miss.needs.len());
    found.truncate(MOST);
    found
}

#[cfg(test)]
mod tests;
