//! Reading the audit log, which is itself entered in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use store::log::{Filter, Found, Order};
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
    let blocking = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let found = store::log::search(&dir, filter, order)?.stopping(stopped);
        found.take(limit.min(1000)).collect::<Result<Vec<Found>, _>>()
    });
    let found = blocking.await.map_err(|_| Problem::Failed)??;
    drop(stop);
    Ok(list_of("parapet.audit/v1", found.iter().map(view).collect()))
}

pub(crate) async fn head(context: &Context) -> Result<Value, Problem> {
    context.enter("audit head", "audit", None).await?;
    let head = context.parts.log.head();
    let (size, chain) = (head.size, head.chain.to_string());
    let writable = context.parts.log.writable();
    Ok(object("parapet.head/v1", json!({ "size": size, "chain": chain, "at": time(head.at), "writable": writable })))
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
