//! What the decision point is and where its endpoints are (Authorization API 1.0, section 9), for whoever asks.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::Shared;
use super::disclose::OBLIGATIONS;
use super::evaluate::json_of;

/// `GET /.well-known/authzen-configuration`
pub(super) async fn show(State(point): Shared) -> Response {
    let url = &point.parts.url;
    let body = json!({
        "policy_decision_point": url,
        "access_evaluation_endpoint": format!("{url}/access/v1/evaluation"),
        "access_evaluations_endpoint": format!("{url}/access/v1/evaluations"),
        "search_subject_endpoint": format!("{url}/access/v1/search/subject"),
        "search_resource_endpoint": format!("{url}/access/v1/search/resource"),
        "search_action_endpoint": format!("{url}/access/v1/search/action"),
        "access_request_endpoint": format!("{url}/access/v1/requests"),
        "obligations_supported": OBLIGATIONS,
        "supported_obligations": OBLIGATIONS,
        "capabilities": ["urn:openid:authzen:capability:access-request"],
    });
    json_of(StatusCode::OK, &body)
}
