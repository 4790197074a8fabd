//! `/v1/incidents`.

use axum::Json;
use axum::extract::Path;
use kernel::id::IncidentId;
use serde::Deserialize;

use super::{Answer, Body, Nothing, Parameters, WithReason};
use crate::app;
use crate::context::Context;
use crate::problem::Problem;

/// How many incidents are listed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Most {
    limit: Option<u32>,
}

fn id(text: &str) -> Result<IncidentId, Problem> {
    text.parse().map_err(|_| Problem::Missing("incident"))
}

pub(crate) async fn list(context: Context, Parameters(most): Parameters<Most>) -> Answer {
    app::incidents::list(&context, most.limit.unwrap_or(50).clamp(1, 1000)).await.map(Json)
}

pub(crate) async fn show(
    context: Context,
    Path(named): Path<String>,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Answer {
    app::incidents::show(&context, id(&named)?).await.map(Json)
}

pub(crate) async fn undo(context: Context, Path(named): Path<String>, Body(body): Body<WithReason>) -> Answer {
    app::incidents::undo(&context, id(&named)?, body.checked()?).await.map(Json)
}

pub(crate) async fn close(context: Context, Path(named): Path<String>, Body(body): Body<WithReason>) -> Answer {
    app::incidents::close(&context, id(&named)?, body.checked()?).await.map(Json)
}
