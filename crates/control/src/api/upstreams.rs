//! `/v1/upstreams`.

use axum::Json;
use axum::extract::Path;

use super::{Answer, Body, Nothing, Parameters};
use crate::app;
use crate::context::Context;

pub(crate) async fn list(context: Context, Parameters(Nothing {}): Parameters<Nothing>) -> Answer {
    Ok(Json(app::upstreams::list(&context)))
}

pub(crate) async fn test(context: Context, Path(name): Path<String>, Body(Nothing {}): Body<Nothing>) -> Answer {
    app::upstreams::test(&context, &name).await.map(Json)
}
