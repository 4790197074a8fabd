//! One decision with its explanation, and what would be decided.

use kernel::workload::{Name, Workload};
use serde_json::{Value, json};
use store::log::find_decision;

use super::{object, set};
use crate::context::Context;
use crate::parts::Hypothetical;
use crate::problem::Problem;

/// An administrator sees each decision, an owner those of their workloads. What one may not see is not there.
pub(crate) async fn show(context: &Context, named: &str) -> Result<Value, Problem> {
    let (dir, named) = (context.parts.log.dir().to_owned(), named.to_owned());
    let contents = context.parts.log.contents();
    let turn = super::audit::turn(context)?;
    let blocking = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        find_decision(&dir, &named, contents)
    });
    let found = blocking.await.map_err(|_| Problem::Failed)??;
    let workload = found.entry.get("workload").and_then(Value::as_str);
    let workload = workload.and_then(|name| name.parse::<Name>().ok());
    let snapshot = context.parts.snapshots.current();
    let known = workload.and_then(|name| snapshot.workload(&name));
    let theirs = known.is_some_and(|known| context.answers_for(known));
    if !theirs && !context.caller.admin {
        return Err(Problem::None);
    }
    let who = known.map(|known| who(known));
    let explanation = (context.parts.explain)(&found.entry);
    let mut decision = super::audit::view(&found);
    if let Some(explanation) = explanation {
        set(&mut decision, "explanation", explanation);
    }
    set(&mut decision, "who", who);
    // What was asked before is beside the point of the decision: where it cannot be had now, it is left out.
    if let Ok(Some(seen)) = super::seen::before(context, &found).await {
        set(&mut decision, "seen_before", seen);
    }
    Ok(object("parapet.decision/v1", decision))
}

/// The workload as it is now; the entry itself has its name alone.
fn who(workload: &Workload) -> Value {
    json!({
        "name": workload.name,
        "kind": workload.kind,
        "owner": workload.owner,
        "environment": workload.environment,
        "groups": workload.groups,
    })
}

pub(crate) async fn decide(context: &Context, request: Hypothetical) -> Result<Value, Problem> {
    let workload = request.workload.clone();
    match (context.parts.decide)(request).await {
        Ok(mut decision) => {
            let snapshot = context.parts.snapshots.current();
            set(&mut decision, "who", snapshot.workload(&workload).map(|known| who(known)));
            Ok(object("parapet.decision/v1", with_dry_run(decision)))
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// Nobody must take it for a decision that was made.
fn with_dry_run(mut decision: Value) -> Value {
    if decision.is_object() {
        set(&mut decision, "dry_run", json!(true));
    }
    decision
}
