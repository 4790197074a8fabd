//! How often a statement like that of a decision was asked before, from the audit log. Bounded in entries and in time: what
//! was not looked at is said.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use store::log::{Filter, Found, Order};

use super::audit::StopOnDrop;
use crate::context::Context;
use crate::problem::Problem;

/// How far back is looked.
const DAYS: u64 = 30;
/// How many decisions are looked at, at most.
const MOST: usize = 10_000;
/// How long it may take.
const LONGEST: Duration = Duration::from_secs(2);

/// Decisions of the same statement template at the same upstream in the 30 days before `found`: those of its workload, and
/// for an administrator those of others. None where there is no statement.
pub(super) async fn before(context: &Context, found: &Found) -> Result<Option<Value>, Problem> {
    let text = |member: &str| found.entry.get(member).and_then(Value::as_str).map(str::to_owned);
    let (Some(template), Some(workload), Some(at)) =
        (text("statement"), text("workload"), text("at").and_then(|at| store::log::parse_time(&at)))
    else {
        return Ok(None);
    };
    let turn = super::audit::turn(context)?;
    let back = i64::try_from(Duration::from_secs(DAYS * 86_400).as_millis()).unwrap_or(i64::MAX);
    let since = kernel::time::Timestamp::from_millis(at.millis().saturating_sub(back));
    let filter = Filter {
        kind: Some("decision".to_owned()),
        workload: (!context.caller.admin).then(|| workload.clone()),
        upstream: text("upstream"),
        since: Some(since),
        until: Some(at),
        ..Filter::default()
    };
    let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));
    let (dir, stopped) = (context.parts.log.dir().to_owned(), Arc::clone(&stop.0));
    let contents = context.parts.log.contents();
    let mut counting = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let search = store::log::search(&dir, filter, Order::NewestFirst)?.with_contents(contents).stopping(stopped);
        count(search, &template, &workload)
    });
    let counted = match tokio::time::timeout(LONGEST, &mut counting).await {
        Ok(counted) => counted,
        Err(_) => {
            stop.0.store(true, Ordering::Relaxed);
            counting.await
        }
    };
    let (own, others, all) = counted.map_err(|_| Problem::Failed)??;
    let mut seen = json!({ "days": DAYS, "own": own, "complete": all && !stop.0.load(Ordering::Relaxed) });
    if context.caller.admin {
        super::set(&mut seen, "others", others);
    }
    Ok(Some(seen))
}

/// Of this workload, of others, and whether every entry was looked at. A decision that was held stands there twice; the
/// newest entry says how it ended.
fn count(
    search: store::log::Search,
    template: &str,
    workload: &str,
) -> Result<(Value, Value, bool), store::log::SearchError> {
    let (mut own, mut others) = (BTreeMap::new(), BTreeMap::new());
    let mut looked = 0;
    for found in search.take(MOST) {
        let found = found?;
        looked += 1;
        let text = |member: &str| found.entry.get(member).and_then(Value::as_str).unwrap_or_default();
        if text("statement") == template {
            let counts = if text("workload") == workload { &mut own } else { &mut others };
            counts
                .entry(text("decision").to_owned())
                .or_insert_with(|| (text("verdict") == "deny", text("at").to_owned()));
        }
    }
    let view = |counts: &BTreeMap<String, (bool, String)>| {
        let denied = counts.values().filter(|(denied, _)| *denied).count();
        json!({ "times": counts.len(), "denied": denied, "first": counts.values().map(|(_, at)| at).min() })
    };
    Ok((view(&own), view(&others), looked < MOST))
}
