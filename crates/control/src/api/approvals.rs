//! `/v1/approvals`. No GET acts: a link that is fetched ahead approves nothing.

use axum::Json;
use axum::extract::Path;
use kernel::workload::Name;
use serde::Deserialize;

use super::decisions::{Asked, Headers};
use super::{Answer, Body, Nothing, Parameters, WithReason};
use crate::app;
use crate::context::Context;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListParameters {
    state: Option<String>,
    limit: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WatchParameters {
    since: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WithComment {
    comment: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AheadBody {
    #[serde(rename = "as")]
    workload: Name,
    #[serde(default)]
    on: Option<Name>,
    #[serde(default)]
    sql: Option<String>,
    #[serde(default)]
    http: Option<String>,
    #[serde(default)]
    headers: Headers,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    body_base64: Option<String>,
    reason: Option<String>,
}

pub(crate) async fn request(context: Context, Body(body): Body<AheadBody>) -> Answer {
    let AheadBody { workload, on, sql, http, headers, body, body_base64, reason } = body;
    let reason = reason.as_deref().map(app::said).transpose()?;
    let request = Asked { workload, on, sql, http, headers, body, body_base64 }.hypothetical()?;
    app::approvals::request(&context, request, reason).await.map(Json)
}

pub(crate) async fn list(context: Context, Parameters(query): Parameters<ListParameters>) -> Answer {
    app::approvals::list(&context, query.state.as_deref(), query.limit.unwrap_or(100)).await.map(Json)
}

pub(crate) async fn watch(context: Context, Parameters(query): Parameters<WatchParameters>) -> Answer {
    app::approvals::watch(&context, query.since).await.map(Json)
}

pub(crate) async fn show(context: Context, Path(id): Path<String>) -> Answer {
    app::approvals::show(&context, &id).await.map(Json)
}

pub(crate) async fn approve(context: Context, Path(id): Path<String>, Body(body): Body<WithComment>) -> Answer {
    let comment = body.comment.as_deref().map(app::said).transpose()?;
    app::approvals::approve(&context, &id, comment).await.map(Json)
}

pub(crate) async fn reject(context: Context, Path(id): Path<String>, Body(body): Body<WithReason>) -> Answer {
    app::approvals::reject(&context, &id, body.checked()?).await.map(Json)
}

pub(crate) async fn withdraw(context: Context, Path(id): Path<String>, Body(Nothing {}): Body<Nothing>) -> Answer {
    app::approvals::withdraw(&context, &id).await.map(Json)
}

pub(crate) async fn revoke(context: Context, Path(id): Path<String>, Body(body): Body<WithReason>) -> Answer {
    app::approvals::revoke(&context, &id, body.checked()?).await.map(Json)
}
