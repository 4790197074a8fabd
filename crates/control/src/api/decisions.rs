//! `/v1/decisions` and `/v1/decide`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::Path;
use kernel::workload::Name;
use serde::Deserialize;

use super::{Answer, Body};
use crate::app;
use crate::context::Context;
use crate::parts::{HttpQuestion, Hypothetical};
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecideBody {
    r#as: Name,
    on: Name,
    #[serde(default)]
    sql: Option<String>,
    /// A request's line, such as `POST /v1/refunds`, in place of `sql`.
    #[serde(default)]
    http: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<String>,
}

pub(crate) async fn show(context: Context, Path(id): Path<String>) -> Answer {
    app::decisions::show(&context, &id).await.map(Json)
}

pub(crate) async fn decide(context: Context, Body(body): Body<DecideBody>) -> Answer {
    let DecideBody { r#as: workload, on: upstream, sql, http, headers, body } = body;
    let request = match (sql, http) {
        (Some(sql), None) if headers.is_empty() && body.is_none() => {
            Hypothetical { workload, upstream, sql, http: None }
        }
        (None, Some(line)) => {
            let http = Some(HttpQuestion { line, headers, body });
            Hypothetical { workload, upstream, sql: String::new(), http }
        }
        _ => return Err(Problem::Unreadable("either `sql`, or `http` with `headers` and `body`")),
    };
    app::decisions::decide(&context, request).await.map(Json)
}
