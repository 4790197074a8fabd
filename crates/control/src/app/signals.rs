//! Signals: what came by which stream, which threat lists there are, and how risky workloads are because of it all.

use std::net::IpAddr;
use std::time::Duration;

use kernel::threats::ThreatList;
use kernel::time::Timestamp;
use kernel::workload::Name;
use serde_json::{Value, json};
use store::signals::StreamRecord;

use super::workloads::known;
use super::{list as list_of, object, time};
use crate::context::Context;
use crate::parts::StreamView;
use crate::problem::Problem;

/// How long a transmitter may take to answer that it was asked to prove a stream.
const ANSWER: Duration = Duration::from_secs(300);

pub(crate) async fn list(context: &Context, most: u32) -> Result<Value, Problem> {
    let records = context.parts.signals.signals.list(most).await?;
    let view = |record: &store::signals::SignalRecord| {
        json!({
            "number": record.number,
            "at": time(record.at),
            "stream": record.stream,
            "event": record.event,
            "subject": record.subject,
            "workloads": record.workloads,
            "outcome": record.outcome,
            "seen_by": record.seen_by,
        })
    };
    Ok(list_of("parapet.signals/v1", records.iter().map(view).collect()))
}

pub(crate) async fn acknowledge(context: &Context, number: i64) -> Result<Value, Problem> {
    context.parts.signals.signals.acknowledge(number, &context.caller.person).await?;
    Ok(object("parapet.signal/v1", json!({ "number": number, "seen_by": context.caller.person })))
}

pub(crate) async fn streams(context: &Context) -> Result<Value, Problem> {
    let mut known = context.parts.signals.signals.streams().await?;
    let now = context.parts.clock.now();
    let views = (context.parts.signals.streams)();
    let view = |view: &StreamView| {
        let record = known.remove(view.name.as_str()).unwrap_or_default();
        stream(view, &record, context.parts.began, now)
    };
    Ok(list_of("parapet.streams/v1", views.iter().map(view).collect()))
}

fn stream(view: &StreamView, record: &StreamRecord, began: Timestamp, now: Timestamp) -> Value {
    let last = record.last_event.map_or(began, |at| at.max(began));
    let unanswered = record
        .asked_at
        .is_some_and(|asked| now.since(asked) > ANSWER && record.verified_at.is_none_or(|verified| verified < asked));
    let fault = match &view.failed {
        Some(why) => Some(format!("its keys cannot be had: {why}")),
        None if unanswered => Some("it did not answer when it was asked for a verification event".to_owned()),
        None if now.since(last) > view.silent_after => Some("it has brought nothing for too long".to_owned()),
        None => None,
    };
    json!({
        "name": view.name,
        "issuer": view.issuer,
        "delivery": view.delivery,
        "state": if fault.is_some() { "silent" } else { "live" },
        "fault": fault,
        "last_event": record.last_event.map(time),
        "verified_at": record.verified_at.map(time),
        "asked_at": record.asked_at.map(time),
        "refused": record.refused.0,
        "refused_why": record.refused.1,
        "unmatched": record.unmatched,
    })
}

pub(crate) fn threats(context: &Context) -> Value {
    let snapshot = context.parts.snapshots.current();
    let now = context.parts.clock.now();
    let view = |list: &ThreatList| {
        json!({
            "name": list.name,
            "state": if list.is_stale(now) { "stale" } else { "fresh" },
            "source": list.source,
            "networks": list.networks,
            "ranges": list.addresses.ranges(),
            "bytes": list.addresses.bytes(),
            "passed_over": list.passed_over,
            "as_of": time(list.as_of),
            "stale_from": time(list.stale_from()),
            "failed": list.failed,
        })
    };
    list_of("parapet.threats/v1", snapshot.threats().lists().iter().map(view).collect())
}

pub(crate) fn check(context: &Context, address: IpAddr) -> Value {
    let snapshot = context.parts.snapshots.current();
    let (threats, address) = (snapshot.threats(), address.to_canonical());
    let check = json!({ "address": address, "threats": *threats.naming(address), "stale": **threats.stale() });
    object("parapet.threat_check/v1", check)
}

pub(crate) async fn set_risk(context: &Context, name: &str, score: u8, reason: &str) -> Result<Value, Problem> {
    let name = known(context, name)?;
    context.parts.signals.risks.set(&name, score, &context.caller.person, reason).await?;
    Ok(shown(context, &name))
}

pub(crate) async fn clear_risk(context: &Context, name: &str, reason: &str) -> Result<Value, Problem> {
    let name = known(context, name)?;
    context.parts.signals.risks.clear(&name, &context.caller.person, reason).await?;
    Ok(shown(context, &name))
}

fn shown(context: &Context, name: &Name) -> Value {
    object("parapet.risk/v1", json!({ "name": name, "risk": risk(context, name) }))
}

/// Why a workload is risky, a line for each reason that still weighs something.
pub(super) fn risk_why(context: &Context, name: &Name) -> Vec<String> {
    let (book, now) = (context.parts.signals.risks.book(), context.parts.clock.now());
    let Some(entry) = book.workloads.get(name) else { return Vec::new() };
    let weighing = entry.risk.reasons().iter().filter(|reason| reason.weight_at(now) >= 0.5);
    weighing.map(|reason| format!("{}: {} ({:.0})", reason.by, reason.said, reason.weight_at(now))).collect()
}

/// How risky a workload is, and why.
pub(super) fn risk(context: &Context, name: &Name) -> Value {
    let (book, now) = (context.parts.signals.risks.book(), context.parts.clock.now());
    let entry = book.workloads.get(name).cloned().unwrap_or_default();
    let reason = |reason: &kernel::risk::RiskReason| {
        let weight = (reason.weight_at(now) * 10.0).round() / 10.0;
        json!({ "by": reason.by, "about": reason.about, "said": reason.said, "weight": weight, "at": time(reason.at) })
    };
    json!({
        "score": entry.risk.score(now),
        "reasons": entry.risk.reasons().iter().map(reason).collect::<Vec<_>>(),
        "revoked_before": entry.revoked.as_ref().map(|(before, _)| time(*before)),
        "revoked_why": entry.revoked.as_ref().map(|(_, why)| why.clone()),
    })
}
