//! Reading the audit log, which is itself entered in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use store::log::{Filter, Found, Order, RotateError, Shred};
use tokio::sync::OwnedSemaphorePermit;

use super::{list as list_of, object, time};
use crate::context::Context;
use crate::problem::Problem;

/// A turn to read the log.
pub(super) fn turn(context: &Context) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(&context.turns).try_acquire_owned().map_err(|_| Problem::Busy)
}

/// Tells a search that nobody waits for it any more.
pub(super) struct StopOnDrop(pub(super) Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(crate) async fn search(context: &Context, filter: Filter, order: Order, limit: usize) -> Result<Value, Problem> {
    context.enter("audit search", &summary(&filter), None).await?;
    let turn = turn(context)?;
    let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));
    let (dir, stopped) = (context.parts.log.dir().to_owned(), Arc::clone(&stop.0));
    let contents = context.parts.log.contents();
    let blocking = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let found = store::log::search(&dir, filter, order)?.with_contents(contents).stopping(stopped);
        found.take(limit.min(1000)).collect::<Result<Vec<Found>, _>>()
    });
    let found = blocking.await.map_err(|_| Problem::Failed)??;
    drop(stop);
    Ok(list_of("parapet.audit/v1", found.iter().map(view).collect()))
}

pub(crate) async fn head(context: &Context) -> Result<Value, Problem> {
    context.enter("audit head", "audit", None).await?;
    let head = context.parts.log.head();
    let log = &context.parts.log;
    let signed = log.checkpoint().map(
        |signed| json!({ "origin": signed.origin, "size": signed.size, "root": kernel::audit::hash_text(&signed.root) }),
    );
    let keys = log.keys().into_iter().map(|view| {
        json!({ "key": view.key.to_string(), "made_at": time(view.made), "signs_until": view.retires.map(time) })
    });
    let witnesses = log.witnessed().into_iter().map(|seen| {
        json!({
            "witness": seen.witness, "at": time(seen.at), "size": seen.size, "rolled_back": seen.rolled_back,
        })
    });
    Ok(object(
        "parapet.head/v1",
        json!({
            "size": head.size,
            "chain": head.chain.to_string(),
            "at": time(head.at),
            "writable": log.writable(),
            "signed": signed,
            "keys": keys.collect::<Vec<Value>>(),
            "witness_key": log.witness_key().map(|key| key.to_string()),
            "witnesses": witnesses.collect::<Vec<Value>>(),
        }),
    ))
}

/// A new signing key; the old one signs along for `overlap`. The log enters it itself, under the old key.
pub(crate) async fn rotate(context: &Context, reason: &str, overlap: std::time::Duration) -> Result<Value, Problem> {
    let (log, by, reason) = (Arc::clone(&context.parts.log), context.caller.person.clone(), reason.to_owned());
    let blocking = tokio::task::spawn_blocking(move || log.rotate_key(&by, &reason, overlap));
    match blocking.await.map_err(|_| Problem::Failed)? {
        Ok(key) => Ok(object("parapet.audit-key/v1", json!({ "key": key.to_string() }))),
        Err(RotateError::Append(_)) => Err(Problem::LogUnavailable),
        Err(RotateError::NoKeys) => Err(Problem::Missing("signing key")),
        Err(RotateError::Keys(_)) => Err(Problem::StoreUnavailable),
    }
}

/// Another master key, from the next start on.
pub(crate) async fn rekey(context: &Context, reason: &str) -> Result<Value, Problem> {
    let put = (context.parts.renew_master_key)()?;
    context.enter("audit rekey", "master key", Some(reason)).await?;
    tokio::task::spawn_blocking(put).await.map_err(|_| Problem::Failed)??;
    Ok(object("parapet.audit-rekey/v1", json!({ "waits_for": "the next start" })))
}

/// Erases content for good; the log's leaves stay as they are.
pub(crate) async fn shred(context: &Context, what: Shred, reason: &str) -> Result<Value, Problem> {
    let (action, object) = match &what {
        Shred::Workload(name) => ("workloads shred", name.to_string()),
        Shred::Session(id) => ("sessions shred", id.to_string()),
        Shred::Person(person) => ("audit shred", person.0.to_string()),
    };
    context.enter(action, &object, Some(reason)).await?;
    let kept = context.parts.kept.shred(&what).await.map_err(|_| Problem::StoreUnavailable)?;
    let log = Arc::clone(&context.parts.log);
    let blocking = tokio::task::spawn_blocking(move || log.shred(&what));
    match blocking.await.map_err(|_| Problem::Failed)? {
        Ok(pieces) => Ok(object_of_shredded(&object, pieces.saturating_add(kept))),
        Err(error) => {
            tracing::error!(kind = ?error.kind(), "content of the audit log could not be erased");
            Err(Problem::StoreUnavailable)
        }
    }
}

fn object_of_shredded(of: &str, pieces: u64) -> Value {
    object("parapet.shredded/v1", json!({ "of": of, "pieces": pieces }))
}

/// An entry's own members, with its place in the log.
pub(super) fn view(found: &Found) -> Value {
    let mut view = json!({ "seq": found.seq, "chain": found.chain.to_string() });
    if let (Some(view), Some(members)) = (view.as_object_mut(), found.entry.as_object()) {
        view.extend(members.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    view
}

/// What was searched for, for the log. Free text may quote data, so only that there was some.
fn summary(filter: &Filter) -> String {
    let words = [
        ("kind", &filter.kind),
        ("decision", &filter.decision),
        ("session", &filter.session),
        ("approval", &filter.approval),
        ("workload", &filter.workload),
        ("upstream", &filter.upstream),
        ("verdict", &filter.verdict),
        ("policy", &filter.policy),
        ("task", &filter.task),
        ("run", &filter.run),
        ("commit", &filter.commit),
        ("by", &filter.by),
    ];
    let mut said: Vec<String> = words
        .into_iter()
        .filter_map(|(name, value)| {
            value.as_ref().map(|value| format!("{name}={}", value.chars().take(80).collect::<String>()))
        })
        .collect();
    said.extend(filter.since.map(|since| format!("since={since}")));
    said.extend(filter.until.map(|until| format!("until={until}")));
    if filter.text.is_some() {
        said.push("text".to_owned());
    }
    if said.is_empty() { "everything".to_owned() } else { said.join(" ") }
}
