//! `/v1/audit`.

use axum::Json;
use axum::extract::Path;
use serde::Deserialize;
use store::log::{Filter, Order, Shred, parse_time};

use super::{Answer, Body, Nothing, Parameters, WithReason};
use crate::app;
use crate::context::Context;
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchParameters {
    kind: Option<String>,
    decision: Option<String>,
    session: Option<String>,
    approval: Option<String>,
    workload: Option<String>,
    upstream: Option<String>,
    verdict: Option<String>,
    policy: Option<String>,
    task: Option<String>,
    run: Option<String>,
    commit: Option<String>,
    by: Option<String>,
    since: Option<String>,
    until: Option<String>,
    text: Option<String>,
    order: Option<SearchOrder>,
    limit: Option<usize>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SearchOrder {
    Newest,
    Oldest,
}

pub(crate) async fn search(context: Context, Parameters(query): Parameters<SearchParameters>) -> Answer {
    let order = match query.order {
        None | Some(SearchOrder::Newest) => Order::NewestFirst,
        Some(SearchOrder::Oldest) => Order::OldestFirst,
    };
    let filter = Filter {
        kind: query.kind,
        decision: query.decision,
        session: query.session,
        approval: query.approval,
        workload: query.workload,
        upstream: query.upstream,
        verdict: query.verdict,
        policy: query.policy,
        task: query.task,
        run: query.run,
        commit: query.commit,
        by: query.by,
        since: time(query.since.as_deref())?,
        until: time(query.until.as_deref())?,
        text: query.text,
    };
    app::audit::search(&context, filter, order, query.limit.unwrap_or(100)).await.map(Json)
}

pub(crate) async fn head(context: Context, Parameters(Nothing {}): Parameters<Nothing>) -> Answer {
    app::audit::head(&context).await.map(Json)
}

/// A new signing key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    reason: String,
    /// How long the old key signs along.
    overlap_ms: u64,
}

pub(crate) async fn rotate(context: Context, Body(wanted): Body<Rotation>) -> Answer {
    let overlap = std::time::Duration::from_millis(wanted.overlap_ms);
    app::audit::rotate(&context, app::said(&wanted.reason)?, overlap).await.map(Json)
}

pub(crate) async fn rekey(context: Context, Body(why): Body<WithReason>) -> Answer {
    app::audit::rekey(&context, why.checked()?).await.map(Json)
}

/// What a person wrote.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PersonShred {
    person: String,
    reason: String,
}

pub(crate) async fn shred(context: Context, Body(wanted): Body<PersonShred>) -> Answer {
    let person = kernel::workload::Person(wanted.person.as_str().into());
    app::audit::shred(&context, Shred::Person(person), app::said(&wanted.reason)?).await.map(Json)
}

pub(crate) async fn shred_workload(context: Context, Path(name): Path<String>, Body(why): Body<WithReason>) -> Answer {
    // A workload that is gone from the configuration has left content all the same.
    let name = name.parse().map_err(|_| Problem::Missing("workload"))?;
    app::audit::shred(&context, Shred::Workload(name), why.checked()?).await.map(Json)
}

pub(crate) async fn shred_session(context: Context, Path(id): Path<String>, Body(why): Body<WithReason>) -> Answer {
    let id = id.parse().map_err(|_| Problem::Missing("session"))?;
    app::audit::shred(&context, Shred::Session(id), why.checked()?).await.map(Json)
}

/// RFC 3339 in UTC, or milliseconds since the epoch.
fn time(text: Option<&str>) -> Result<Option<kernel::time::Timestamp>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let millis = || text.parse().ok().map(kernel::time::Timestamp::from_millis);
    let time = parse_time(text).or_else(millis);
    time.map(Some).ok_or(Problem::Unreadable("a time is neither RFC 3339 in UTC nor milliseconds since the epoch"))
}
