//! Incidents: what a stream or a policy did to workloads, and the one undo of it.

use kernel::id::IncidentId;
use kernel::time::Timestamp;
use kernel::workload::{Name, WorkloadStatus};
use serde_json::{Value, json};
use store::incidents::{EffectKind, EffectRecord, Incident, IncidentState};
use store::workloads::StandingError;

use super::{list as list_of, object, set, time};
use crate::context::Context;
use crate::problem::Problem;

/// An event is taken a moment before its incident opens.
const BEFORE: i64 = 60_000;

pub(crate) async fn list(context: &Context, most: u32) -> Result<Value, Problem> {
    let incidents = context.parts.signals.signals.incidents().list(most).await?;
    Ok(list_of("parapet.incidents/v1", incidents.iter().map(view).collect()))
}

pub(crate) async fn show(context: &Context, id: IncidentId) -> Result<Value, Problem> {
    let incident = context.parts.signals.signals.incidents().show(id).await?;
    let mut shown = view(&incident);
    set(&mut shown, "effects", incident.effects.iter().map(effect).collect::<Vec<_>>());
    Ok(object("parapet.incident/v1", shown))
}

pub(crate) async fn close(context: &Context, id: IncidentId, reason: &str) -> Result<Value, Problem> {
    let incidents = context.parts.signals.signals.incidents();
    incidents.show(id).await?;
    incidents.end(id, IncidentState::Closed, &context.caller.person, reason).await?;
    Ok(object("parapet.incident/v1", json!({ "id": id, "state": IncidentState::Closed })))
}

/// Takes back what the incident did, as far as it still stands and nobody else has done the same. Each step is an entry of its
/// own; should one fail, the incident stays open and undoing it again does the rest.
pub(crate) async fn undo(context: &Context, id: IncidentId, reason: &str) -> Result<Value, Problem> {
    let incidents = context.parts.signals.signals.incidents();
    let incident = incidents.show(id).await?;
    if incident.state != IncidentState::Open {
        return Err(store::incidents::IncidentError::NotOpen.into());
    }
    context.enter("incidents undo", &id.to_string(), Some(reason)).await?;
    let (mut eased, mut released, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for workload in incident.workloads() {
        // The risk first, so that the policy that it tripped does not trip again at once.
        if ease(context, &incident, workload, reason).await? {
            eased.push(workload.clone());
        }
        let of = |kind| incident.effects.iter().filter(move |record| is(record, workload, kind));
        for quarantined in of(EffectKind::Quarantined) {
            match release(context, &incident, quarantined, reason).await? {
                None => released.push(workload.clone()),
                Some(why) => left.push(json!({ "workload": workload, "why": why })),
            }
        }
        for token in of(EffectKind::Token) {
            let why = format!("its native token {} stays revoked: issue another", token.effect.cause);
            left.push(json!({ "workload": workload, "why": why }));
        }
    }
    incidents.end(id, IncidentState::Undone, &context.caller.person, reason).await?;
    released.dedup();
    let undone =
        json!({ "id": id, "state": IncidentState::Undone, "released": released, "eased": eased, "left": left });
    Ok(object("parapet.incident/v1", undone))
}

fn is(record: &EffectRecord, workload: &Name, kind: EffectKind) -> bool {
    record.effect.kind == kind && record.effect.workload == *workload
}

/// Takes back risk and revocations of the incident's source; whether there were any.
async fn ease(context: &Context, incident: &Incident, workload: &Name, reason: &str) -> Result<bool, Problem> {
    let since = Timestamp::from_millis(incident.opened.millis().saturating_sub(BEFORE));
    // The first revocation knows what stood before all of them.
    let first = incident.effects.iter().find(|record| is(record, workload, EffectKind::Revoked));
    let before = first.and_then(|record| record.effect.before.clone());
    let (risks, by) = (&context.parts.signals.risks, &context.caller.person);
    Ok(risks.undo(workload, (&incident.source, since), before, by, reason).await?)
}

/// Ends a quarantine if it is the incident's; otherwise why it stays.
async fn release(
    context: &Context,
    incident: &Incident,
    record: &EffectRecord,
    reason: &str,
) -> Result<Option<&'static str>, Problem> {
    let workload = &record.effect.workload;
    let standings = context.parts.workloads.standings();
    let Some(standing) = standings.workloads.get(workload) else { return Ok(Some("it is not quarantined any more")) };
    match standing.status {
        Some(WorkloadStatus::Quarantined) => {}
        Some(WorkloadStatus::Retired) => return Ok(Some("it was retired")),
        _ => return Ok(Some("it is not quarantined any more")),
    }
    let since = incident.opened.millis().saturating_sub(BEFORE);
    let theirs = standing.by.is_none() && standing.reason.as_deref() == Some(&*record.effect.cause);
    if !theirs || standing.at.millis() < since {
        return Ok(Some("somebody else has quarantined it"));
    }
    match context.parts.workloads.release(workload, &context.caller.person, reason).await {
        Ok(()) => Ok(None),
        Err(StandingError::NotQuarantined | StandingError::QuarantinedAlready) => {
            Ok(Some("it is not quarantined any more"))
        }
        Err(StandingError::Retired) => Ok(Some("it was retired")),
        Err(error @ StandingError::Unavailable) => Err(error.into()),
    }
}

fn view(incident: &Incident) -> Value {
    let done = |kind: EffectKind| incident.effects.iter().filter(|record| record.effect.kind == kind).count();
    json!({
        "id": incident.id,
        "source": incident.source,
        "state": incident.state,
        "opened_at": time(incident.opened),
        "last_at": time(incident.last),
        "workloads": incident.workloads(),
        "quarantined": done(EffectKind::Quarantined),
        "revoked": done(EffectKind::Revoked),
        "ended_by": incident.ended.as_ref().map(|(by, _)| by),
        "ended_why": incident.ended.as_ref().map(|(_, why)| why),
    })
}

fn effect(record: &EffectRecord) -> Value {
    let EffectRecord { at, times, effect } = record;
    json!({
        "at": time(*at), "workload": effect.workload, "effect": effect.kind, "cause": effect.cause, "times": times,
    })
}
