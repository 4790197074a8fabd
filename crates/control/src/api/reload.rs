//! `POST /v1/reload`.

use axum::Json;

use super::{Answer, Body, Nothing};
use crate::app;
use crate::context::Context;

pub(crate) async fn reload(context: Context, Body(Nothing {}): Body<Nothing>) -> Answer {
    app::reload::reload(&context).await.map(Json)
}
