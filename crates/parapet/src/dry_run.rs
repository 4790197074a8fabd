//! What would be decided about a statement or a request: the analysis and the evaluation of the wire, as a description that
//! can never become a permit. `decide` and policy tests share it.

pub(crate) mod egress;
mod http;

use std::collections::BTreeSet;
use std::sync::Arc;

use kernel::circumstances::Circumstances;
use kernel::operation::Operation;
use kernel::policy::{Evaluation, Snapshot, evaluate, explain};
use kernel::verdict::{DenyReason, Terms, Undecidable};
use kernel::workload::Name;
use serde_json::{Value, json};
use wire::mask::{MaskPlan, PreviewedColumn, preview};
use wire::sql::{Analysis, Catalogue, analyse};

pub(crate) use self::http::{Api, Astray, Question, ask, bound};
use crate::recorded::{described, set};

/// What would be decided, and about what.
pub(crate) struct DryRun {
    pub(crate) evaluation: Evaluation,
    /// None if it cannot be analysed.
    pub(crate) asked: Option<Asked>,
    explanation: Option<Value>,
    columns: Vec<Value>,
    workload: Name,
    upstream: Name,
}

/// What is asked, without its literals.
pub(crate) struct Asked {
    pub(crate) operations: Arc<[Operation]>,
    pub(crate) template: Arc<str>,
}

/// Judges a statement as if `workload` sent it to `upstream`.
pub(crate) fn run(
    snapshot: &Snapshot,
    catalogue: &Catalogue,
    workload: &Name,
    upstream: &Name,
    sql: &str,
    around: &Circumstances,
) -> DryRun {
    let (workload, upstream) = (workload.clone(), upstream.clone());
    let undecidable = |why, asked| DryRun::refused(why, snapshot, asked, &workload, &upstream);
    let analysis = match analyse(sql, catalogue, &upstream) {
        Ok(analysis) if analysis.operations.is_empty() => return undecidable(Undecidable::UnsupportedMessage, None),
        Ok(analysis) => analysis,
        Err(refused) => return undecidable(refused.why, None),
    };
    let asked = Asked { operations: Arc::clone(&analysis.operations), template: Arc::clone(&analysis.template) };
    let evaluation = evaluate(snapshot, &workload, &upstream, &analysis.operations, around);
    // As on the wire: a mask that cannot be kept denies.
    let masks = &evaluation.terms.masks;
    let unmaskable = analysis.statements.iter().find_map(|statement| MaskPlan::new(&analysis, statement, masks).err());
    if let ("permit", Some(why)) = (evaluation.verdict, unmaskable) {
        return undecidable(why, Some(asked));
    }
    let known = snapshot.workload(&workload);
    let explanation = known.map(|known| described(&explain(snapshot, known, &analysis.operations, around)));
    let columns = if evaluation.verdict == "deny" { Vec::new() } else { columns(snapshot, &analysis, &evaluation) };
    DryRun { evaluation, asked: Some(asked), explanation, columns, workload, upstream }
}

/// Each result column of the statements: from what it is made, and what a mask makes of it.
fn columns(snapshot: &Snapshot, analysis: &Analysis, evaluation: &Evaluation) -> Vec<Value> {
    let resource = |place: &usize| analysis.operations.get(*place).map(|operation| &operation.resource);
    let view = |(statement, place, column): (usize, usize, PreviewedColumn)| {
        let sources: Vec<String> =
            column.sources.iter().filter_map(resource).map(|resource| resource.path.join(".")).collect();
        let classes: BTreeSet<_> =
            column.sources.iter().filter_map(resource).flat_map(|resource| snapshot.classes(resource)).collect();
        json!({
            "statement": statement + 1,
            "column": place + 1,
            "flow": column.flow,
            "sources": sources,
            "classes": classes,
            "mask": column.mask,
            "policies": column.policies,
            "example": column.example.map(|(value, masked)| json!({ "value": value, "masked": masked })),
        })
    };
    let statements = analysis.statements.iter().enumerate();
    let all = statements.flat_map(|(number, statement)| {
        let columns = preview(analysis, statement, &evaluation.terms.masks).into_iter().enumerate();
        columns.map(move |(place, column)| (number, place, column))
    });
    all.map(view).collect()
}

/// What the wire would refuse before or after it asks policy.
fn refused(why: Undecidable, snapshot: &Snapshot) -> Evaluation {
    Evaluation {
        verdict: "deny",
        reason: Some(DenyReason::CannotDecide(why)),
        deciding: None,
        approval: None,
        operation: 0,
        terms: Terms::default(),
        bundle: snapshot.bundle().digest().clone(),
    }
}

impl DryRun {
    /// What policies say of operations that are known.
    fn judged(snapshot: &Snapshot, workload: &Name, upstream: &Name, asked: Asked, around: &Circumstances) -> Self {
        let evaluation = evaluate(snapshot, workload, upstream, &asked.operations, around);
        let known = snapshot.workload(workload);
        let explanation = known.map(|known| described(&explain(snapshot, known, &asked.operations, around)));
        Self {
            evaluation,
            asked: Some(asked),
            explanation,
            columns: Vec::new(),
            workload: workload.clone(),
            upstream: upstream.clone(),
        }
    }

    fn refused(why: Undecidable, snapshot: &Snapshot, asked: Option<Asked>, workload: &Name, upstream: &Name) -> Self {
        Self {
            evaluation: refused(why, snapshot),
            asked,
            explanation: None,
            columns: Vec::new(),
            workload: workload.clone(),
            upstream: upstream.clone(),
        }
    }

    /// The members of a decision's audit entry, and the explanation.
    pub(crate) fn entry(&self) -> Value {
        let operations: Vec<Value> = self.asked.as_ref().map_or_else(Vec::new, |asked| {
            let summary = |operation: &kernel::operation::Operation| {
                json!({
                    "action": operation.action,
                    "verb": operation.verb,
                    "kind": operation.resource.kind,
                    "resource": operation.resource.to_string(),
                    "facts": &*operation.facts,
                })
            };
            asked.operations.iter().map(summary).collect()
        });
        let mut entry = json!({
            "workload": self.workload,
            "upstream": self.upstream,
            "bundle": self.evaluation.bundle,
            "verdict": self.evaluation.verdict,
            "terms": self.evaluation.terms,
            "operations": operations,
            "statement": self.asked.as_ref().map(|asked| asked.template.to_string()),
        });
        if let Some(reason) = &self.evaluation.reason {
            set(&mut entry, "reason", serde_json::to_value(reason).unwrap_or_default());
        }
        if let Some(deciding) = &self.evaluation.deciding {
            set(&mut entry, "by", serde_json::to_value(deciding).unwrap_or_default());
        }
        if let Some(explanation) = &self.explanation {
            set(&mut entry, "explanation", explanation.clone());
        }
        if !self.columns.is_empty() {
            set(&mut entry, "columns", json!(self.columns));
        }
        entry
    }
}
