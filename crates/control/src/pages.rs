//! Where the links in refusals lead while there is no console: a few lines of text that repeat the id and name the command.
//!
//! Open to everybody who reaches the listener, so they tell nothing: an id is repeated whether it exists or not.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::context::names_this_gateway;
use crate::parts::ControlParts;
use crate::problem::Problem;

/// `/d/{id}` and `/a/{id}`.
pub(crate) fn router() -> Router<Arc<ControlParts>> {
    Router::new().route("/d/{id}", get(decision)).route("/a/{id}", get(approval))
}

async fn decision(State(parts): State<Arc<ControlParts>>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    page(&parts, &headers, "dec_", &id, |id| {
        format!("Decision {id}\n\nWhy it was made, and what would have passed:\n\n    parapet explain {id}\n")
    })
}

async fn approval(State(parts): State<Arc<ControlParts>>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    page(&parts, &headers, "apr_", &id, |id| {
        format!(
            "Request for approval {id}\n\nRead it, then answer it:\n\n    parapet approvals show {id}\n    \
             parapet approvals approve {id}\n    parapet approvals reject {id} --reason \"…\"\n"
        )
    })
}

fn page(parts: &ControlParts, headers: &HeaderMap, prefix: &str, id: &str, text: impl Fn(&str) -> String) -> Response {
    let mut response = if !names_this_gateway(headers, parts) {
        Problem::Host.into_response()
    } else if is_id(prefix, id) {
        text(id).into_response()
    } else {
        Problem::None.into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    response
}

/// Nothing but an id may come back: the text is pasted into terminals.
fn is_id(prefix: &str, id: &str) -> bool {
    id.strip_prefix(prefix)
        .is_some_and(|rest| (1..=32).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}
