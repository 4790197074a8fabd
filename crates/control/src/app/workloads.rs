//! Workloads: who they are and where they stand, quarantine and release.

use kernel::workload::{Name, Workload, WorkloadStatus};
use serde_json::{Value, json};
use store::risk::RiskError;

use super::{list as list_of, object, time};
use crate::context::Context;
use crate::problem::Problem;

pub(crate) fn list(context: &Context) -> Value {
    let snapshot = context.parts.snapshots.current();
    list_of("parapet.workloads/v1", snapshot.workloads().map(|workload| view(context, workload)).collect())
}

pub(crate) fn show(context: &Context, name: &str) -> Result<Value, Problem> {
    let name = known(context, name)?;
    let snapshot = context.parts.snapshots.current();
    let workload = snapshot.workload(&name).ok_or(Problem::None)?;
    Ok(object("parapet.workload/v1", view(context, workload)))
}

pub(crate) async fn quarantine(context: &Context, name: &str, reason: &str) -> Result<Value, Problem> {
    let name = known(context, name)?;
    context.parts.workloads.quarantine(&name, Some(&context.caller.person), reason).await?;
    Ok(object("parapet.workload/v1", json!({ "name": name, "status": "quarantined", "reason": reason })))
}

pub(crate) async fn retire(context: &Context, name: &str, reason: &str) -> Result<Value, Problem> {
    let name = known(context, name)?;
    context.parts.workloads.retire(&name, &context.caller.person, reason).await?;
    Ok(object("parapet.workload/v1", json!({ "name": name, "status": "retired", "reason": reason })))
}

pub(crate) async fn release(context: &Context, name: &str, reason: &str) -> Result<Value, Problem> {
    let name = known(context, name)?;
    // First, so that the policy that its risk tripped does not trip again at once.
    match context.parts.signals.risks.clear(&name, &context.caller.person, reason).await {
        Ok(()) | Err(RiskError::None) => {}
        Err(error) => return Err(error.into()),
    }
    context.parts.workloads.release(&name, &context.caller.person, reason).await?;
    Ok(object("parapet.workload/v1", json!({ "name": name, "status": "released", "reason": reason })))
}

/// The name of a workload that is configured.
pub(super) fn known(context: &Context, name: &str) -> Result<Name, Problem> {
    let name: Name = name.parse().map_err(|_| Problem::None)?;
    context.parts.snapshots.current().workload(&name).map(|workload| workload.name.clone()).ok_or(Problem::None)
}

fn view(context: &Context, workload: &Workload) -> Value {
    let sessions = context.parts.sessions.list();
    let standings = context.parts.workloads.standings();
    let standing = standings.workloads.get(&workload.name).filter(|standing| standing.status.is_some());
    let status = standing.and_then(|standing| standing.status).unwrap_or(workload.status);
    let expired = workload.expires.is_some_and(|expires| expires <= context.parts.clock.now());
    let static_keys = context.parts.tokens.in_force_of(&workload.name);
    json!({
        "name": workload.name,
        "owner": workload.owner,
        "kind": workload.kind,
        "environment": workload.environment,
        "purpose": workload.purpose,
        "groups": workload.groups,
        "expires": workload.expires.map(time),
        "status": if expired && status == WorkloadStatus::Active { json!("expired") } else { json!(status) },
        "risk": workload.risk,
        "risk_reasons": super::signals::risk(context, &workload.name),
        "risk_why": super::signals::risk_why(context, &workload.name),
        "native_tokens": static_keys,
        // OWASP's risks of non-human identities that show here: NHI7, secrets that live long.
        "flags": if static_keys > 0 { json!(["NHI7"]) } else { json!([]) },
        "sessions": sessions.iter().filter(|session| session.workload == workload.name).count(),
        "standing": standing.map(|standing| json!({
            "reason": standing.reason,
            "by": standing.by,
            "at": time(standing.at),
        })),
    })
}
