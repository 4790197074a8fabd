//! `/v1/sessions`.

use axum::Json;
use axum::extract::Path;

use super::{Answer, Body, Nothing, Parameters, WithReason};
use crate::app;
use crate::context::Context;

pub(crate) async fn list(context: Context, Parameters(Nothing {}): Parameters<Nothing>) -> Answer {
    Ok(Json(app::sessions::list(&context)))
}

pub(crate) async fn show(context: Context, Path(id): Path<String>) -> Answer {
    app::sessions::show(&context, &id).map(Json)
}

pub(crate) async fn kill(context: Context, Path(id): Path<String>, Body(body): Body<WithReason>) -> Answer {
    app::sessions::kill(&context, &id, body.checked()?).await.map(Json)
}
