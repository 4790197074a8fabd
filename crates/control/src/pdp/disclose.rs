//! What a caller is told of an answer, within its disclosure and the upstream's: AuthZEN's decision and context, with the
//! obligations that hang on it.

use kernel::policy::Disclosure;
use kernel::verdict::{Deciding, DenyReason};
use serde_json::{Map, Value, json};

use super::decide::Decided;
use crate::app::set;

/// The types of obligations that there can be.
pub(super) const OBLIGATIONS: [&str; 2] = ["session_termination", "custom"];

/// Does the caller carry out what it is obliged to?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obeys {
    /// It says that it understands ours.
    Custom,
    /// It does not say so: what cannot be left to it is denied.
    Nothing,
}

impl Obeys {
    /// What a request's context says.
    pub(super) fn read(context: &Map<String, Value>) -> Self {
        // The draft had the second name before the first.
        let said = ["obligations_supported", "supported_obligations"].iter().filter_map(|name| context.get(*name));
        let mut types = said.filter_map(Value::as_array).flatten().filter_map(Value::as_str);
        if types.any(|kind| kind == "custom") { Self::Custom } else { Self::Nothing }
    }
}

/// Is the answer yes: a permit, with nothing left that the caller does not carry out?
pub(super) fn yes(decided: &Decided, obeys: Obeys) -> bool {
    decided.passes() && (obeys == Obeys::Custom || !decided.has_remedies())
}

/// The less of both.
pub(super) fn stricter(one: Disclosure, other: Disclosure) -> Disclosure {
    match (one, other) {
        (Disclosure::Id, _) | (_, Disclosure::Id) => Disclosure::Id,
        (Disclosure::Policy, _) | (_, Disclosure::Policy) => Disclosure::Policy,
        (Disclosure::Full, Disclosure::Full) => Disclosure::Full,
    }
}

/// Why it is no, as a word for programs.
pub(super) fn word(decided: &Decided, obeys: Obeys) -> Option<&'static str> {
    let evaluation = decided.answer.evaluation();
    Some(match (&evaluation.reason, evaluation.verdict) {
        (Some(DenyReason::Policy(_)), _) => "policy",
        (Some(DenyReason::Quarantine(_)), _) => "quarantined",
        (Some(DenyReason::NoPermit), _) => "no_permit",
        (Some(DenyReason::Standing), _) => "standing",
        (Some(DenyReason::CannotDecide(_)), _) => "cannot_decide",
        (Some(DenyReason::NotApproved(_)), _) => "not_approved",
        (Some(DenyReason::OverBudget(_)), _) => "over_budget",
        (Some(DenyReason::OutsideTask { .. }), _) => "outside_task",
        (None, "ask") => "approval_required",
        (None, _) if !yes(decided, obeys) => "unmet_obligations",
        (None, _) => return None,
    })
}

/// AuthZEN's answer.
pub(super) fn answer(decided: &Decided, disclosure: Disclosure, obeys: Obeys) -> Value {
    let evaluation = decided.answer.evaluation();
    let mut context = json!({ "id": decided.decision() });
    if let Some(word) = word(decided, obeys) {
        set(&mut context, "evaluation_id", decided.decision().to_string());
        set(&mut context, "reason", word);
    }
    if let Some(DenyReason::CannotDecide(why)) = &evaluation.reason {
        set(&mut context, "code", why.code());
    }
    if disclosure != Disclosure::Id {
        if let Some(by) = &evaluation.deciding {
            set(&mut context, "policy", &*by.policy);
        }
        let observed: Vec<&str> = evaluation.terms.observed.iter().map(|by| &*by.policy).collect();
        if !observed.is_empty() {
            set(&mut context, "observed", observed);
        }
    }
    if let (Disclosure::Full, Some(by)) = (disclosure, &evaluation.deciding) {
        if let Some(hint) = by.hint.as_ref().or(by.reason.as_ref()) {
            set(&mut context, "reason_user", json!({ "en": hint }));
        }
        if let Some(reason) = &by.reason {
            set(&mut context, "reason_admin", json!({ "en": reason }));
        }
    }
    let obligations = obligations(decided, disclosure);
    if !obligations.is_empty() {
        set(&mut context, "obligations", obligations);
    }
    json!({ "decision": yes(decided, obeys), "context": context })
}

/// What the caller must do, whatever the decision: our remedies in AuthZEN's form.
fn obligations(decided: &Decided, disclosure: Disclosure) -> Vec<Value> {
    let (evaluation, question) = (decided.answer.evaluation(), decided.answer.question());
    let mut all = Vec::new();
    let named = |mut obligation: Value, by: Option<&str>| {
        if let (true, Some(by)) = (disclosure != Disclosure::Id, by) {
            set(&mut obligation, "policy", by);
        }
        obligation
    };
    for (place, mask, policy) in &evaluation.terms.masks {
        let path = question.operations.get(*place).map(|operation| operation.resource.to_string());
        let id = format!("mask-{}", all.len() + 1);
        let obligation = json!({
            "type": "custom", "id": id, "vendor": "parapet", "action": "mask", "mask": mask.as_str(), "paths": [path],
        });
        all.push(named(obligation, Some(policy)));
    }
    let limits = &evaluation.terms.limits;
    for (what, most) in [("rows", limits.rows), ("bytes", limits.bytes)] {
        if let Some(most) = most {
            let id = format!("limit-{what}");
            all.push(json!({ "type": "custom", "id": id, "vendor": "parapet", "action": "limit", what: most }));
        }
    }
    if let Some(DenyReason::Quarantine(Deciding { policy, .. })) = &evaluation.reason {
        let subject = question.workload.as_str();
        let obligation = json!({ "type": "session_termination", "id": "quarantine", "subject": subject });
        all.push(named(obligation, Some(policy)));
    }
    all
}
