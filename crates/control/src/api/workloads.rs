//! `/v1/workloads`.

use axum::Json;
use axum::extract::Path;

use super::{Answer, Body, Nothing, Parameters, WithReason};
use crate::app;
use crate::context::Context;

pub(crate) async fn list(context: Context, Parameters(Nothing {}): Parameters<Nothing>) -> Answer {
    Ok(Json(app::workloads::list(&context)))
}

pub(crate) async fn show(context: Context, Path(name): Path<String>) -> Answer {
    app::workloads::show(&context, &name).map(Json)
}

pub(crate) async fn quarantine(context: Context, Path(name): Path<String>, Body(body): Body<WithReason>) -> Answer {
    app::workloads::quarantine(&context, &name, body.checked()?).await.map(Json)
}

pub(crate) async fn retire(context: Context, Path(name): Path<String>, Body(body): Body<WithReason>) -> Answer {
    app::workloads::retire(&context, &name, body.checked()?).await.map(Json)
}

pub(crate) async fn release(context: Context, Path(name): Path<String>, Body(body): Body<WithReason>) -> Answer {
    app::workloads::release(&context, &name, body.checked()?).await.map(Json)
}
