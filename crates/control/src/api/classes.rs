//! `/v1/upstreams/{name}/classes`.

use std::sync::Arc;

use axum::Json;
use axum::extract::Path;
use serde::Deserialize;

use super::{Answer, Body, Nothing, Parameters};
use crate::app;
use crate::app::classes::Asked;
use crate::context::Context;
use crate::parts::ClassView;

/// Which columns to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Every column, whether it needs a class or not.
    #[serde(default)]
    all: bool,
}

/// A column, a class, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decision {
    /// Schema, table or view, column.
    column: [Arc<str>; 3],
    class: String,
    reason: Option<String>,
}

impl Decision {
    fn asked(self, confirm: bool) -> Asked {
        Asked { column: self.column, class: self.class, reason: self.reason, confirm }
    }
}

pub(crate) async fn list(context: Context, Path(name): Path<String>, Parameters(wanted): Parameters<Wanted>) -> Answer {
    let view = if wanted.all { ClassView::All } else { ClassView::Carried };
    app::classes::list(&context, &name, view).map(Json)
}

pub(crate) async fn scan(context: Context, Path(name): Path<String>, Body(Nothing {}): Body<Nothing>) -> Answer {
    app::classes::scan(&context, &name).await.map(Json)
}

pub(crate) async fn confirm(context: Context, Path(name): Path<String>, Body(body): Body<Decision>) -> Answer {
    app::classes::decide(&context, &name, body.asked(true)).await.map(Json)
}

pub(crate) async fn reject(context: Context, Path(name): Path<String>, Body(body): Body<Decision>) -> Answer {
    app::classes::decide(&context, &name, body.asked(false)).await.map(Json)
}
