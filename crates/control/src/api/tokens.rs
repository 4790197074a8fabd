//! `/v1/tokens`, and `/v1/workloads/{name}/tokens`.

use std::time::Duration;

use axum::Json;
use axum::extract::Path;
use serde::Deserialize;

use super::{Answer, Body, Parameters, WithReason};
use crate::app;
use crate::context::Context;

/// Which tokens are listed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfWorkload {
    workload: Option<String>,
}

/// A token that is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    reason: String,
    life_ms: u64,
}

pub(crate) async fn list(context: Context, Parameters(of): Parameters<OfWorkload>) -> Answer {
    Ok(Json(app::tokens::list(&context, of.workload.as_deref())))
}

pub(crate) async fn issue(context: Context, Path(name): Path<String>, Body(wanted): Body<Wanted>) -> Answer {
    let life = Duration::from_millis(wanted.life_ms);
    app::tokens::issue(&context, &name, life, app::said(&wanted.reason)?).await.map(Json)
}

pub(crate) async fn revoke(context: Context, Path(id): Path<String>, Body(body): Body<WithReason>) -> Answer {
    app::tokens::revoke(&context, &id, body.checked()?).await.map(Json)
}
