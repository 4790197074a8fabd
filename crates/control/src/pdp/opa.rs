//! The shape of Open Policy Agent's data API, for callers that are built for it: `POST /v1/data/PATH` with `{"input"}`, answered
//! by `{"result", "decision_id"}`. The input is AuthZEN's question; our own words may stand as plain texts.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use super::caller::{Authorization, Use, admit};
use super::entities::Asked;
use super::evaluate::{Body, answered, json_of, object};
use super::{Arrived, Point, Shared};
use crate::problem::Problem;

/// `POST /v1/data/{path}`. A path that ends in `allow` is answered by a truth value, every other by AuthZEN's answer.
pub(super) async fn data(
    State(point): Shared,
    Extension(arrived): Extension<Arrived>,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match asked(&point, &arrived, &path, &headers, body).await {
        Ok(body) => json_of(StatusCode::OK, &body),
        Err(Problem::Unreadable(why)) => {
            json_of(StatusCode::BAD_REQUEST, &json!({ "code": "invalid_parameter", "message": why }))
        }
        Err(problem) => problem.into_response(),
    }
}

async fn asked(
    point: &Point,
    arrived: &Arrived,
    path: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Value, Problem> {
    let caller = admit(point, arrived, headers, Authorization::Own, Use::Evaluate).await?;
    let mut members = object(headers, body)?;
    let Some(Value::Object(input)) = members.remove("input") else {
        return Err(Problem::Unreadable("`input` is missing, or is not an object"));
    };
    let answer = answered(point, arrived, &caller, &Asked::read(&spelled_out(input))?).await?;
    let id = answer.pointer("/context/id").cloned().unwrap_or_default();
    let allow = answer.get("decision").cloned().unwrap_or(Value::Bool(false));
    let result = match path.rsplit('/').next() {
        Some("allow") => allow,
        _ => json!({ "allow": allow, "context": answer.get("context") }),
    };
    Ok(json!({ "result": result, "decision_id": id }))
}

/// A subject or an action that is a plain text is a workload's name, or the action's.
fn spelled_out(mut input: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::String(name)) = input.get("subject") {
        let subject = json!({ "type": "workload", "id": name });
        input.insert("subject".to_owned(), subject);
    }
    if let Some(Value::String(name)) = input.get("action") {
        let action = json!({ "name": name });
        input.insert("action".to_owned(), action);
    }
    input
}
