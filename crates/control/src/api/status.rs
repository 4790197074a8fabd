//! `GET /v1/status`.

use axum::Json;

use super::{Answer, Nothing, Parameters};
use crate::app;
use crate::context::Context;

pub(crate) async fn show(context: Context, Parameters(Nothing {}): Parameters<Nothing>) -> Answer {
    app::status::show(&context).await.map(Json)
}
