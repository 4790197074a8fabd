//! Tasks: issued for a workload by whoever answers for it, listed, ended. A token is shown in the answer that issues it, and
//! nowhere after.

use std::time::Duration;

use kernel::id::TaskId;
use kernel::secret::Secret;
use kernel::task::Details;
use serde_json::{Value, json};
use store::tasks::{RevokeError, TaskRecord};

use super::workloads::known;
use super::{list as list_of, object, set, time};
use crate::context::Context;
use crate::parts::TaskAsked;
use crate::problem::Problem;

/// A task that is wanted.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) reason: String,
    pub(crate) life: Duration,
    pub(crate) details: Value,
    pub(crate) jkt: Option<String>,
}

pub(crate) fn list(context: &Context, workload: Option<&str>) -> Value {
    let mut tasks = context.parts.tasks.tasks.list();
    tasks
        .retain(|record| workload.is_none_or(|name| record.task.workload.as_str() == name) && may_see(context, record));
    list_of("parapet.tasks/v1", tasks.iter().map(|record| view(context, record)).collect())
}

pub(crate) fn show(context: &Context, named: &str) -> Result<Value, Problem> {
    let record = find(context, named)?;
    Ok(object("parapet.task/v1", view(context, &record)))
}

pub(crate) async fn issue(context: &Context, name: &str, wanted: Wanted) -> Result<Value, Problem> {
    let workload = known(context, name)?;
    let registered = context.parts.snapshots.current().workload(&workload).cloned().ok_or(Problem::None)?;
    if !context.answers_for(&registered) {
        return Err(Problem::Forbidden);
    }
    let details =
        Details::read(&wanted.details).map_err(|_| Problem::Unreadable("its task has not the form of one"))?;
    let a_thumbprint =
        |jkt: &String| jkt.len() == 43 && jkt.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if wanted.jkt.as_ref().is_some_and(|jkt| !a_thumbprint(jkt)) {
        return Err(Problem::Unreadable("`jkt` is no thumbprint of a key"));
    }
    context.enter("tasks issue", workload.as_str(), Some(&wanted.reason)).await?;
    let asked =
        TaskAsked { person: context.caller.person.clone(), workload, details, life: wanted.life, jkt: wanted.jkt };
    let given = (context.parts.tasks.issue)(asked).await.map_err(Problem::NoTask)?;
    let record = find(context, &given.task.to_string())?;
    let mut answer = view(context, &record);
    set(&mut answer, "token", given.token.expose().as_str());
    Ok(object("parapet.task/v1", answer))
}

/// Exchanges an attestation, which alone says whose token it becomes: the person who calls needs no right to the workload.
pub(crate) async fn exchange(context: &Context, subject: Secret<String>, details: &Value) -> Result<Value, Problem> {
    let details = Details::read(details).map_err(|_| Problem::Unreadable("its task has not the form of one"))?;
    let given = (context.parts.tasks.exchange)(subject, details).await.map_err(Problem::NoTask)?;
    let known = context.parts.tasks.tasks.list().into_iter().find(|record| record.task.id == given.task);
    let mut answer = known.map(|record| view(context, &record)).unwrap_or_else(|| json!({ "id": given.task }));
    set(&mut answer, "token", given.token.expose().as_str());
    Ok(object("parapet.task/v1", answer))
}

pub(crate) async fn revoke(context: &Context, named: &str, reason: &str) -> Result<Value, Problem> {
    let record = find(context, named)?;
    let snapshot = context.parts.snapshots.current();
    let answers = snapshot.workload(&record.task.workload).is_some_and(|workload| context.answers_for(workload));
    if !answers && !context.caller.admin {
        return Err(Problem::Forbidden);
    }
    let id = record.task.id;
    let record = context.parts.tasks.tasks.revoke(id, Some(&context.caller.person), Some(reason)).await?;
    (context.parts.tasks.end)(id);
    Ok(object("parapet.task/v1", view(context, &record)))
}

/// The task that `named` names: `last`, an id, or the beginning of exactly one id.
fn find(context: &Context, named: &str) -> Result<TaskRecord, Problem> {
    let mut tasks = context.parts.tasks.tasks.list();
    tasks.retain(|record| may_see(context, record));
    if named == "last" {
        return tasks.into_iter().max_by_key(|record| record.task.id).ok_or(Problem::Missing("task"));
    }
    if named.len() <= TaskId::PREFIX.len() {
        return Err(Problem::Missing("task"));
    }
    tasks.retain(|record| record.task.id.to_string().starts_with(named));
    let one = tasks.pop().ok_or(Problem::Missing("task"))?;
    if tasks.is_empty() { Ok(one) } else { Err(Problem::Ambiguous) }
}

fn may_see(context: &Context, record: &TaskRecord) -> bool {
    let snapshot = context.parts.snapshots.current();
    let workload = snapshot.workload(&record.task.workload);
    context.caller.admin || workload.is_some_and(|workload| context.answers_for(workload))
}

fn view(context: &Context, record: &TaskRecord) -> Value {
    let TaskRecord { task, revoked_at, revoked_by } = record;
    let state = match revoked_at {
        Some(_) => "revoked",
        None if record.in_force(context.parts.clock.now()) => "active",
        None => "ended",
    };
    json!({
        "id": task.id,
        "workload": task.workload,
        "state": state,
        "goal": task.details.goal,
        "run": task.details.run,
        "commit": task.details.commit,
        "chain": task.chain,
        "bound": task.bound,
        "issued_at": time(task.issued_at),
        "issued_by": task.issued_by,
        "expires_at": time(task.expires_at),
        "revoked_at": revoked_at.map(time),
        "revoked_by": revoked_by,
        "authorization_details": task.details.value(),
    })
}

impl From<RevokeError> for Problem {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::None => Self::Missing("task in force"),
            RevokeError::Unavailable => Self::StoreUnavailable,
        }
    }
}
