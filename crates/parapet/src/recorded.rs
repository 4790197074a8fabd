//! Reads a decision's audit entry back into what was judged, so that it can be explained by the policies of now.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use kernel::circumstances::Circumstances;
use kernel::facts::Facts;
use kernel::id::TaskId;
use kernel::operation::{Action, Operation};
use kernel::policy::{Explanation, Snapshot, explain, explanation_text};
use kernel::provenance::Provenance;
use kernel::resource::{Resource, ResourceKind};
use kernel::task::Task;
use kernel::time::Timestamp;
use kernel::verdict::Around;
use kernel::workload::{Name, Workload, WorkloadStatus};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Recorded {
    at: String,
    workload: Name,
    upstream: Name,
    #[serde(default)]
    around: Option<Around>,
    #[serde(default)]
    provenance: Option<Provenance>,
    #[serde(default)]
    task: Option<RecordedTask>,
    operations: Vec<RecordedOperation>,
}

#[derive(Deserialize)]
struct RecordedTask {
    id: TaskId,
    #[serde(default)]
    goal: Option<Arc<str>>,
    #[serde(default)]
    chain: Vec<Arc<str>>,
}

#[derive(Deserialize)]
struct RecordedOperation {
    action: String,
    kind: ResourceKind,
    resource: String,
    #[serde(default)]
    path: Option<Vec<Arc<str>>>,
    /// Operations of one statement share the facts of the first.
    #[serde(default)]
    facts: Option<Facts>,
}

/// Explains a decision's entry; none for an entry that asks nothing or holds what is no longer known.
pub(crate) fn explanation(snapshot: &Snapshot, entry: &Value) -> Option<Value> {
    let recorded = Recorded::deserialize(entry).ok()?;
    let operations = operations(&recorded)?;
    if operations.is_empty() {
        return None;
    }
    let mut workload = Workload::clone(snapshot.workload(&recorded.workload)?);
    if entry.pointer("/reason/why").and_then(Value::as_str) != Some("standing") {
        // It was in good standing then. What it did may have ended that, and that would hide why.
        workload.status = WorkloadStatus::Active;
        workload.expires = None;
    }
    let explanation = explain(snapshot, &workload, &operations, &around(&recorded)?);
    let mut value = described(&explanation);
    let then = entry.get("bundle").and_then(Value::as_str).unwrap_or_default();
    if then != &**snapshot.bundle().digest() {
        set(&mut value, "note", json!("policies have changed since; this is how they would decide now"));
    }
    if recorded.around.is_none() {
        set(
            &mut value,
            "circumstances",
            json!("not recorded for what simply passed; counters and address are taken as zero"),
        );
    }
    Some(value)
}

/// Gives an object a member.
pub(crate) fn set(object: &mut Value, member: &str, value: impl Into<Value>) {
    if let Some(members) = object.as_object_mut() {
        members.insert(member.to_owned(), value.into());
    }
}

/// An explanation as a tree and as text.
pub(crate) fn described(explanation: &Explanation) -> Value {
    let mut value = serde_json::to_value(explanation).unwrap_or_default();
    set(&mut value, "text", Value::String(explanation_text(explanation)));
    value
}

fn operations(recorded: &Recorded) -> Option<Vec<Operation>> {
    let mut facts: Option<Arc<Facts>> = None;
    recorded
        .operations
        .iter()
        .map(|operation| {
            if let Some(own) = &operation.facts {
                facts = Some(Arc::new(own.clone()));
            }
            let action = Action::named(&operation.action)?;
            let path: Vec<Arc<str>> = match &operation.path {
                Some(path) => path.clone(),
                None => match operation.resource.split_once('/') {
                    Some((_, path)) => path.split('.').map(Arc::from).collect(),
                    None => Vec::new(),
                },
            };
            Some(Operation {
                action,
                resource: Arc::new(Resource::new(operation.kind, &recorded.upstream, path)),
                facts: facts.clone().unwrap_or_default(),
                verb: action.as_str(),
                span: None,
            })
        })
        .collect()
}

fn around(recorded: &Recorded) -> Option<Circumstances> {
    let known = recorded.around.clone().unwrap_or(Around {
        source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        tls: false,
        in_transaction: false,
        session: Default::default(),
        threats: Arc::default(),
        stale: Arc::default(),
    });
    Some(Circumstances {
        now: crate::config::timestamp(&recorded.at).ok()?,
        source: known.source,
        threats: known.threats,
        stale: known.stale,
        tls: known.tls,
        in_transaction: known.in_transaction,
        session: known.session,
        provenance: provenance(recorded),
        left: Default::default(),
    })
}

/// From what run it came, and its task as policies saw it. Its bounds are not recorded: which of them was broken is.
fn provenance(recorded: &Recorded) -> Option<Arc<Provenance>> {
    let task =
        recorded.task.as_ref().map(|task| Arc::new(Task::recorded(task.id, task.goal.clone(), task.chain.clone())));
    let known = Provenance { task, ..recorded.provenance.clone().unwrap_or_default() };
    (!known.is_empty()).then(|| Arc::new(known))
}

/// The circumstances of a request that nobody made: here and now, at the start of a session.
pub(crate) fn hypothetical(now: Timestamp) -> Circumstances {
    Circumstances {
        now,
        source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        threats: Arc::new(BTreeSet::new()),
        stale: Arc::default(),
        tls: true,
        in_transaction: false,
        session: Default::default(),
        provenance: None,
        left: Default::default(),
    }
}
