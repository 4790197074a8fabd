//! `/v1/decisions` and `/v1/decide`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::Path;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kernel::workload::Name;
use serde::Deserialize;

use super::{Answer, Body};
use crate::app;
use crate::context::Context;
use crate::parts::{HttpQuestion, Hypothetical};
use crate::problem::Problem;

/// A statement or a request, as a body tells of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    #[serde(rename = "as")]
    pub(super) workload: Name,
    /// Needed for a statement; a request says it by its host and path, too.
    #[serde(default)]
    pub(super) on: Option<Name>,
    #[serde(default)]
    pub(super) sql: Option<String>,
    /// A request's line, such as `POST /v1/refunds`, in place of `sql`.
    #[serde(default)]
    pub(super) http: Option<String>,
    #[serde(default)]
    pub(super) headers: Headers,
    #[serde(default)]
    pub(super) body: Option<String>,
    /// The body, where it is no text.
    #[serde(default)]
    pub(super) body_base64: Option<String>,
}

/// Headers by name, or as pairs where a name stands there more than once.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Headers {
    Named(BTreeMap<String, String>),
    Listed(Vec<(String, String)>),
}

impl Default for Headers {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl From<Headers> for Vec<(String, String)> {
    fn from(headers: Headers) -> Self {
        match headers {
            Headers::Named(named) => named.into_iter().collect(),
            Headers::Listed(listed) => listed,
        }
    }
}

pub(crate) async fn show(context: Context, Path(id): Path<String>) -> Answer {
    app::decisions::show(&context, &id).await.map(Json)
}

pub(crate) async fn decide(context: Context, Body(asked): Body<Asked>) -> Answer {
    app::decisions::decide(&context, asked.hypothetical()?).await.map(Json)
}

impl Asked {
    pub(super) fn hypothetical(self) -> Result<Hypothetical, Problem> {
        let Self { workload, on: upstream, sql, http, headers, body, body_base64 } = self;
        let headers: Vec<(String, String)> = headers.into();
        let body = match (body, body_base64) {
            (Some(text), None) => Some(text.into_bytes()),
            (None, Some(encoded)) => {
                Some(STANDARD.decode(encoded).map_err(|_| Problem::Unreadable("`body_base64` is no base64"))?)
            }
            (None, None) => None,
            (Some(_), Some(_)) => return Err(Problem::Unreadable("either `body` or `body_base64`")),
        };
        match (sql, http) {
            (Some(sql), None) if headers.is_empty() && body.is_none() && upstream.is_some() => {
                Ok(Hypothetical { workload, upstream, sql, http: None })
            }
            (None, Some(line)) => {
                let http = Some(HttpQuestion { line, headers, body });
                Ok(Hypothetical { workload, upstream, sql: String::new(), http })
            }
            _ => Err(Problem::Unreadable("either `sql` and `on`, or `http` with `headers` and a body")),
        }
    }
}
