//! What callers are told: OAuth's errors (RFC 6749, section 5.2) with the members of problem details (RFC 9457) beside them.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::Refusal;

pub(super) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// A JSON answer that nobody keeps.
pub(super) fn json_of(status: StatusCode, body: &Value) -> Response {
    let mut response = (status, body.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A refusal.
pub(super) fn refused(refusal: &Refusal) -> Response {
    let status = match refusal.code {
        "invalid_client" | "invalid_token" => StatusCode::UNAUTHORIZED,
        "slow_down" => StatusCode::TOO_MANY_REQUESTS,
        "server_error" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    let told = match &refusal.decision {
        Some(decision) => format!("{} [{decision}]", refusal.told),
        None => refusal.told.clone(),
    };
    let mut body = json!({
        "error": refusal.code,
        "error_description": told,
        "type": format!("urn:parapet:oauth:{}", refusal.code),
        "title": refusal.code.replace('_', " "),
        "status": status.as_u16(),
        "detail": told,
    });
    if let Some(decision) = &refusal.decision {
        crate::app::set(&mut body, "instance", decision.as_str());
    }
    let mut response = json_of(status, &body);
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("DPoP algs=\"ES256 EdDSA\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// A refusal that is not the gateway's to explain further.
pub(super) fn refusal(code: &'static str, told: &str) -> Refusal {
    Refusal { code, told: told.to_owned(), decision: None }
}
