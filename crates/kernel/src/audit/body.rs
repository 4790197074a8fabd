//! The constant part of a decision's entry: everything besides ids, time and circumstances. Encoded once for each answer that
//! a session remembers, so that the hot path copies bytes.
//!
//! A session's permits mostly repeat earlier ones. So a body knows which decision's entry holds it in this log, and entries
//! after that one are short: see `entry.rs` for their form, `like.rs` for reading them.

use std::sync::{Arc, OnceLock};

use serde::Serialize;

use super::entry::member;
use crate::facts::Facts;
use crate::id::DecisionId;
use crate::operation::{Action, Operation};
use crate::provenance::Provenance;
use crate::resource::ResourceKind;
use crate::verdict::{Deciding, DenyReason, Terms};
use crate::workload::Name;

/// An encoded body. Shared by the decisions of one session to which it applies, and by those of no other.
#[derive(Debug)]
pub struct DecisionBody {
    about: About,
    text: Box<str>,
    /// How long the part is that a short entry holds too; none for what is always written in full.
    short: Option<usize>,
    /// Where the members begin that are content, after a comma: what the log keeps beside itself.
    content: Option<usize>,
    /// The decision whose entry holds the body. Set when that entry stands in the log, and never before.
    entered: OnceLock<DecisionId>,
}

impl DecisionBody {
    /// What it is about.
    pub(crate) fn about(&self) -> &About {
        &self.about
    }

    /// The members in full. Begins and ends without a comma.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The members before the content, and the content itself.
    pub(super) fn parts(&self) -> (&str, &str) {
        let Some(at) = self.content else { return (&self.text, "") };
        (self.text.get(..at.saturating_sub(1)).unwrap_or(&self.text), self.text.get(at..).unwrap_or_default())
    }

    /// The members that a short entry holds: workload, upstream and verdict, which people search by.
    pub(super) fn short(&self) -> Option<&str> {
        self.text.get(..self.short?)
    }

    /// The decision whose entry holds the body.
    pub(super) fn entered(&self) -> Option<DecisionId> {
        self.entered.get().copied()
    }

    /// Notes that the entry of `decision` stands in the log with this body. The first such entry stays the one.
    pub(super) fn set_entered(&self, decision: DecisionId) {
        self.entered.get_or_init(|| decision);
    }
}

/// The verdict as an entry states it.
#[derive(Debug)]
pub enum VerdictSummary<'a> {
    /// It passed, under these terms.
    Permit {
        /// The terms.
        terms: &'a Terms,
    },
    /// It was held.
    Ask {
        /// The policy that asked.
        by: &'a Deciding,
    },
    /// It was denied.
    Deny {
        /// Why.
        reason: &'a DenyReason,
    },
}

#[derive(Serialize)]
struct OperationSummary<'b> {
    action: Action,
    verb: &'static str,
    kind: ResourceKind,
    resource: String,
    /// Only where a name can hold a dot, so that `resource` can be read in two ways.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'b [Arc<str>]>,
    /// Absent where they are those of the operation before; before the first operation there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<&'b Facts>,
}

/// What a decision is about, besides its operations.
#[derive(Clone, Debug)]
pub struct About {
    /// Who asked.
    pub workload: Name,
    /// The upstream that was asked.
    pub upstream: Name,
    /// The digest of the policy bundle.
    pub bundle: Arc<str>,
    /// From what run the session comes, and for what task.
    pub provenance: Option<Arc<Provenance>>,
}

/// Encodes the constant part of a decision's entry.
pub fn decision_body(
    about: About,
    verdict: &VerdictSummary<'_>,
    operations: &[Operation],
    template: &str,
) -> Arc<DecisionBody> {
    let mut out = Vec::new();
    // Writing to a Vec cannot fail; a member that cannot be serialized would leave the entry unreadable, and `verify` would
    // say so.
    let written = write(&mut out, &about, verdict, operations, template);
    let text = written.ok().and_then(|ends| Some((out.get(1..)?.to_vec(), ends)));
    let (text, (short, content)) =
        text.and_then(|(text, ends)| Some((String::from_utf8(text).ok()?, ends))).unwrap_or_default();
    let short = short.saturating_sub(1);
    let permits = matches!(verdict, VerdictSummary::Permit { .. }) && !text.is_empty();
    let short = permits.then_some(short);
    Arc::new(DecisionBody { about, text: text.into(), short, content, entered: OnceLock::new() })
}

/// Appends the members, each after a comma. Says where those end that a short entry holds, and where the content begins when
/// the first comma is left out.
fn write(
    out: &mut Vec<u8>,
    about: &About,
    verdict: &VerdictSummary<'_>,
    operations: &[Operation],
    template: &str,
) -> Result<(usize, Option<usize>), serde_json::Error> {
    // An entry must fit a leaf, whatever the statement: what is cut says so.
    const LONGEST_STATEMENT: usize = 8192;
    let About { workload, upstream, bundle, provenance } = about;
    member(out, "workload", workload)?;
    member(out, "upstream", upstream)?;
    let word = match verdict {
        VerdictSummary::Permit { .. } => "permit",
        VerdictSummary::Ask { .. } => "ask",
        VerdictSummary::Deny { .. } => "deny",
    };
    member(out, "verdict", word)?;
    let short = out.len();
    member(out, "bundle", bundle)?;
    match verdict {
        VerdictSummary::Permit { terms } => member(out, "terms", terms)?,
        VerdictSummary::Ask { by } => member(out, "by", by)?,
        VerdictSummary::Deny { reason } => member(out, "reason", reason)?,
    }
    origin(out, provenance.as_deref())?;
    member(out, "operations", &summaries(operations))?;
    let mut end = template.len().min(LONGEST_STATEMENT);
    while !template.is_char_boundary(end) {
        end -= 1;
    }
    let statement = template.get(..end).unwrap_or_default();
    if statement.is_empty() {
        return Ok((short, None));
    }
    let content = out.len();
    member(out, "statement", statement)?;
    Ok((short, Some(content)))
}

/// From what run it comes, and for what task, where that is known.
pub(super) fn origin(out: &mut Vec<u8>, provenance: Option<&Provenance>) -> Result<(), serde_json::Error> {
    let Some(provenance) = provenance else { return Ok(()) };
    if !provenance.names_no_run() {
        member(out, "provenance", provenance)?;
    }
    match &provenance.task {
        Some(task) => member(out, "task", &**task),
        None => Ok(()),
    }
}

fn summaries(operations: &[Operation]) -> Vec<OperationSummary<'_>> {
    const MOST_OPERATIONS: usize = 64;
    let mut last: Option<&Arc<Facts>> = None;
    let mut summaries: Vec<OperationSummary<'_>> = operations
        .iter()
        .take(MOST_OPERATIONS)
        .map(|operation| {
            // Operations of one statement share their facts: they are written with the first.
            let known = match last {
                Some(facts) => Arc::ptr_eq(facts, &operation.facts),
                None => *operation.facts == Facts::default(),
            };
            last = Some(&operation.facts);
            OperationSummary {
                action: operation.action,
                verb: operation.verb,
                kind: operation.resource.kind,
                resource: operation.resource.to_string(),
                path: (operation.resource.kind.is_http()
                    || operation.resource.path.iter().any(|name| name.contains('.')))
                .then_some(&*operation.resource.path),
                facts: (!known).then_some(&*operation.facts),
            }
        })
        .collect();
    if let (true, Some(cut)) = (operations.len() > MOST_OPERATIONS, summaries.last_mut()) {
        cut.resource = format!("… {} more", operations.len() - MOST_OPERATIONS);
    }
    summaries
}
