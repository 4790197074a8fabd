//! Push delivery (RFC 8935): one event a request; 202 once its effects are durable, 400 with a code where the transmitter is at
//! fault, 503 where it should send the event again.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::{PushRefusal, SsfParts, shows};

pub(super) async fn push(
    State(parts): State<Arc<SsfParts>>,
    Path(stream): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let streams = (parts.streams)();
    let known = stream.parse().ok().and_then(|name| streams.get_key_value(&name));
    if !shows(&headers, known.map(|(_, hash)| hash)) {
        return refused(StatusCode::UNAUTHORIZED, "authentication_failed");
    }
    let Some((name, _)) = known else { return refused(StatusCode::UNAUTHORIZED, "authentication_failed") };
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/secevent+jwt") {
        return refused(StatusCode::BAD_REQUEST, "invalid_request");
    }
    let Ok(set) = std::str::from_utf8(&body) else { return refused(StatusCode::BAD_REQUEST, "invalid_request") };
    match (parts.receive)(name.clone(), set.trim().to_owned()).await {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(PushRefusal::Refused(code)) => refused(StatusCode::BAD_REQUEST, code),
        Err(PushRefusal::Later) => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")]).into_response(),
    }
}

fn refused(status: StatusCode, err: &str) -> Response {
    let body = json!({ "err": err, "description": "the event is not taken" }).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
