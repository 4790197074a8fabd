//! `/v1/decisions` and `/v1/decide`.

use axum::Json;
use axum::extract::Path;
use kernel::workload::Name;
use serde::Deserialize;

use super::{Answer, Body};
use crate::app;
use crate::context::Context;
use crate::parts::Hypothetical;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecideBody {
    r#as: Name,
    on: Name,
    sql: String,
}

pub(crate) async fn show(context: Context, Path(id): Path<String>) -> Answer {
    app::decisions::show(&context, &id).await.map(Json)
}

pub(crate) async fn decide(context: Context, Body(body): Body<DecideBody>) -> Answer {
    let request = Hypothetical { workload: body.r#as, upstream: body.on, sql: body.sql };
    app::decisions::decide(&context, request).await.map(Json)
}
