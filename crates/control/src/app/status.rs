//! How the gateway is, in one look.

use serde_json::{Value, json};
use store::approvals::Listing;

use super::{object, time};
use crate::context::Context;
use crate::problem::Problem;

pub(crate) async fn show(context: &Context) -> Result<Value, Problem> {
    let parts = &context.parts;
    let snapshot = parts.snapshots.current();
    let head = parts.log.head();
    let waiting = parts.desk.list(Listing { state: Some("asked"), after: None, limit: 1000 }).await?;
    let upstreams: Vec<Value> = (parts.upstreams)().iter().map(|upstream| json!({ "name": upstream.name })).collect();
    let caller = &context.caller;
    Ok(object(
        "parapet.status/v1",
        json!({
            "version": parts.version,
            "began": time(parts.began),
            "now": time(parts.clock.now()),
            "epoch": snapshot.epoch(),
            "bundle": snapshot.bundle().digest(),
            "listeners": parts.listeners,
            "upstreams": upstreams,
            "issuers": (parts.issuers)(),
            "workloads": snapshot.workloads().count(),
            "sessions": parts.sessions.list().len(),
            "approvals_waiting": waiting.len(),
            "audit": { "size": head.size, "chain": head.chain.to_string(), "writable": parts.log.writable() },
            "person": { "name": caller.person, "groups": caller.groups, "admin": caller.admin },
        }),
    ))
}
