//! Asking people for what was denied (AuthZEN Access Request and Approval, draft): the approvals desk, seen from outside. An
//! approval is never access: the question is asked again, with the approval's id, and answered by policy.
//!
//! Nothing is kept of a denial. Its `binding_token` is a seal over who was denied what, and the id of a task one over whose it is.

use std::sync::Arc;
use std::sync::PoisonError;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use kernel::answer::{Asker, Question, SubjectBy, answer};
use kernel::approval::{Approval, ApprovalState, hex};
use kernel::id::{ApprovalId, DecisionId};
use kernel::ports::ApprovalDesk as _;
use kernel::time::Timestamp;
use kernel::verdict::Content;
use serde_json::{Map, Value, json};

use super::binding::{is_seal, seal};
use super::caller::{Authorization, Caller, Use, admit};
use super::decide::{self, Decided};
use super::entities::Asked;
use super::evaluate::{Body, json_of, object};
use super::vocabulary::{around, understand};
use super::{Arrived, Point, Shared};
use crate::app::set;
use crate::problem::Problem;

/// How long people may be asked for what was denied.
const REQUESTABLE: Duration = Duration::from_secs(600);
/// Idempotency keys that are remembered.
const MOST_KEYS: usize = 4096;
/// The longest words of a requester, in bytes.
const LONGEST_REASON: usize = 2000;

/// Why nobody is asked.
enum Refusal {
    Binding,
    Expired,
    NotRequestable,
    Duplicate,
    UnknownTask,
    Problem(Problem),
}

impl<P: Into<Problem>> From<P> for Refusal {
    fn from(problem: P) -> Self {
        Self::Problem(problem.into())
    }
}

impl Refusal {
    fn response(self) -> Response {
        let (status, word, detail) = match self {
            Self::Problem(problem) => return problem.into_response(),
            Self::Binding => (400, "invalid_denial_binding", "the request is not the one that was denied"),
            Self::Expired => (400, "expired_denial", "the denial is too old; evaluate again"),
            Self::NotRequestable => (409, "not_requestable", "nobody is asked for this any more; evaluate again"),
            Self::Duplicate => (409, "duplicate_request", "the idempotency key was used for another request"),
            Self::UnknownTask => (404, "unknown_task", "there is no such task of this caller"),
        };
        let body = json!({
            "type": format!("urn:openid:authzen:access-request:error:{word}"),
            "title": word.replace('_', " "),
            "status": status,
            "detail": detail,
        });
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
    }
}

/// What an answer says of how people are asked.
pub(super) fn hint(point: &Point, caller: &Caller, decided: &Decided) -> Value {
    let question = decided.answer.question();
    let expires = point.parts.clock.now().after(REQUESTABLE);
    let evaluation = question.decision.to_string();
    let mut hint = json!({
        "requestable": true,
        "expires_at": expires.to_string(),
        "endpoint": format!("{}/access/v1/requests", point.parts.url),
        "binding_token": binding(point, caller, &evaluation, expires, &hex(&question.digest())),
        "request_schema_url": format!("{}/access/v1/requests/schema", point.parts.url),
    });
    if let Some(opened) = decided.opened {
        set(&mut hint, "form_url", format!("{}/a/{opened}", point.parts.public_url));
    }
    hint
}

fn binding(point: &Point, caller: &Caller, evaluation: &str, expires: Timestamp, digest: &str) -> String {
    let millis = expires.millis().to_string();
    let parts = [caller.name.as_bytes(), evaluation.as_bytes(), millis.as_bytes(), digest.as_bytes()];
    format!("{millis}.{}", seal(&point.parts.key, "denial", &parts))
}

/// `GET /access/v1/requests/schema`: what a submission has besides the question and its denial.
pub(super) async fn schema() -> Response {
    let body = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": { "requested_access": { "type": "object", "properties": {
            "justification": { "type": "string", "maxLength": LONGEST_REASON },
        } } },
    });
    json_of(StatusCode::OK, &body)
}

/// `POST /access/v1/requests`
pub(super) async fn submit(
    State(point): Shared,
    Extension(arrived): Extension<Arrived>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    submitted(&point, &arrived, &headers, body).await.unwrap_or_else(Refusal::response)
}

async fn submitted(point: &Point, arrived: &Arrived, headers: &HeaderMap, body: Body) -> Result<Response, Refusal> {
    let caller = admit(point, arrived, headers, Authorization::Own, Use::Request).await?;
    let members = object(headers, body)?;
    let asked = Asked::read(&members)?;
    let settings = (point.parts.settings)();
    let understood = understand(&settings, &point.parts.kin, &asked)?.map_err(|_| Refusal::Binding)?;
    let now = point.parts.clock.now();
    let denial = members.get("denial").and_then(Value::as_object).ok_or(Refusal::Binding)?;
    let decision = denied(denial).ok_or(Refusal::Binding)?;
    let content = Content { text: Arc::from(asked.canonical()), ..Content::default() };
    let digest = hex(&content.digest(&understood.upstream));
    bound(point, &caller, denial, &digest, now)?;
    idempotent(point, &caller, headers, &digest)?;
    let snapshot = point.parts.snapshots.current();
    let around = around(&asked.context, &snapshot, now)?;
    let question = Question {
        decision,
        session: arrived.session,
        asker: Asker { name: Arc::clone(&caller.name), source: arrived.connected.source, subject: SubjectBy::Named },
        workload: understood.workload,
        upstream: understood.upstream,
        operations: understood.operations.map_err(|_| Refusal::NotRequestable)?,
        content,
    };
    // Policies may have changed since: people are asked by the rules of now, or not at all.
    let answer = answer(&snapshot, question, &around);
    if answer.evaluation().verdict != "ask" {
        return Err(Refusal::NotRequestable);
    }
    let approval = decide::open(point, &snapshot, &caller, &answer, justification(&members)?).await?;
    decide::enter(point, &caller, "pdp request", &format!("{decision} as {approval}")).await?;
    let listed = point.parts.desk.find(&approval.to_string()).await?;
    let task = task(point, &caller, &listed.approval);
    let at = task.pointer("/task/status_endpoint").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(([(header::LOCATION, at)], json_of(StatusCode::ACCEPTED, &task)).into_response())
}

fn denied(denial: &Map<String, Value>) -> Option<DecisionId> {
    denial.get("evaluation_id")?.as_str()?.parse().ok()
}

/// Was exactly this denied to this caller, not long ago?
fn bound(
    point: &Point,
    caller: &Caller,
    denial: &Map<String, Value>,
    digest: &str,
    now: Timestamp,
) -> Result<(), Refusal> {
    let text = |name: &str| denial.get(name).and_then(Value::as_str).ok_or(Refusal::Binding);
    let (evaluation, token) = (text("evaluation_id")?, text("binding_token")?);
    let (millis, sealed) = token.split_once('.').ok_or(Refusal::Binding)?;
    let parts = [caller.name.as_bytes(), evaluation.as_bytes(), millis.as_bytes(), digest.as_bytes()];
    let expires = millis.parse().map(Timestamp::from_millis).map_err(|_| Refusal::Binding)?;
    let told = denial.get("expires_at").is_none_or(|at| at.as_str() == Some(&expires.to_string()));
    if !told || !is_seal(sealed, &point.parts.key, "denial", &parts) {
        return Err(Refusal::Binding);
    }
    if expires <= now { Err(Refusal::Expired) } else { Ok(()) }
}

/// The same key for another request is a mistake that must not ask people for the wrong thing.
fn idempotent(point: &Point, caller: &Caller, headers: &HeaderMap, digest: &str) -> Result<(), Refusal> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(()) };
    let key = key.to_str().ok().filter(|key| key.len() <= 256);
    let key = key.ok_or(Problem::Unreadable("`Idempotency-Key` is too long, or no text"))?;
    let mut sum = [0; 32];
    sum.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, digest.as_bytes()).as_ref());
    let mut submitted = point.submitted.lock().unwrap_or_else(PoisonError::into_inner);
    if submitted.len() >= MOST_KEYS {
        submitted.clear();
    }
    let known = submitted.entry((Arc::clone(&caller.name), key.to_owned())).or_insert(sum);
    if *known == sum { Ok(()) } else { Err(Refusal::Duplicate) }
}

/// The requester's words for the people who are asked.
fn justification(members: &Map<String, Value>) -> Result<Option<String>, Problem> {
    let words = members.get("requested_access").and_then(|access| access.get("justification"));
    match words.map(Value::as_str) {
        None => Ok(None),
        Some(Some(words)) => crate::app::said(words).map(|words| Some(words.to_owned())),
        Some(None) => Err(Problem::Unreadable("`requested_access.justification` is not a text")),
    }
}

/// A task in the callers' words.
fn task(point: &Point, caller: &Caller, approval: &Approval) -> Value {
    let status = match approval.state {
        ApprovalState::Asked => "pending",
        ApprovalState::Granted { .. } | ApprovalState::Used => "approved",
        ApprovalState::Rejected { .. } | ApprovalState::Revoked { .. } => "denied",
        ApprovalState::Expired => "expired",
        ApprovalState::Withdrawn => "cancelled",
    };
    let id = format!("{}.{}", approval.id, owned(point, caller, approval.id));
    let at = format!("{}/access/v1/requests/{id}", point.parts.url);
    let mut task = json!({
        "id": id,
        "status": status,
        "status_endpoint": at,
        "links": {
            "review": format!("{}/a/{}", point.parts.public_url, approval.id),
            "cancel": format!("{at}/cancel"),
        },
    });
    if let Some(expires) = approval.expires() {
        set(&mut task, "expires_at", expires.to_string());
    }
    let mut answer = json!({ "task": task });
    if let (ApprovalState::Granted { .. }, Some(until)) = (&approval.state, approval.expires()) {
        let approval = json!({ "id": approval.id, "approved_until": until.to_string() });
        set(&mut answer, "result", json!({ "mode": "reevaluate", "approval": approval }));
    }
    // A word for whoever was refused: again, once something else is asked, or not at all.
    let next = match status {
        "denied" => Some("none"),
        "expired" | "cancelled" => Some("request"),
        _ => None,
    };
    if let Some(next) = next {
        set(&mut answer, "next_action", next);
    }
    answer
}

fn owned(point: &Point, caller: &Caller, approval: ApprovalId) -> String {
    let approval = approval.to_string();
    seal(&point.parts.key, "task", &[caller.name.as_bytes(), approval.as_bytes()]).chars().take(32).collect()
}

/// The approval of a task that is this caller's.
async fn find(
    point: &Point,
    arrived: &Arrived,
    headers: &HeaderMap,
    named: &str,
) -> Result<(Caller, Approval), Refusal> {
    let caller = admit(point, arrived, headers, Authorization::Own, Use::Request).await?;
    let (id, shown) = named.split_once('.').ok_or(Refusal::UnknownTask)?;
    let id: ApprovalId = id.parse().map_err(|_| Refusal::UnknownTask)?;
    let same: bool = subtle::ConstantTimeEq::ct_eq(shown.as_bytes(), owned(point, &caller, id).as_bytes()).into();
    if !same {
        return Err(Refusal::UnknownTask);
    }
    let listed = point.parts.desk.find(&id.to_string()).await?;
    Ok((caller, listed.approval))
}

/// `GET /access/v1/requests/{task}`
pub(super) async fn status(
    State(point): Shared,
    Extension(arrived): Extension<Arrived>,
    headers: HeaderMap,
    Path(named): Path<String>,
) -> Response {
    match find(&point, &arrived, &headers, &named).await {
        Ok((caller, approval)) => json_of(StatusCode::OK, &task(&point, &caller, &approval)),
        Err(refusal) => refusal.response(),
    }
}

/// `POST /access/v1/requests/{task}/cancel`
pub(super) async fn cancel(
    State(point): Shared,
    Extension(arrived): Extension<Arrived>,
    headers: HeaderMap,
    Path(named): Path<String>,
) -> Response {
    let cancelled = async {
        let (caller, approval) = find(&point, &arrived, &headers, &named).await?;
        point.parts.desk.withdraw(approval.id).await?;
        let listed = point.parts.desk.find(&approval.id.to_string()).await?;
        Ok::<_, Refusal>(json_of(StatusCode::OK, &task(&point, &caller, &listed.approval)))
    };
    cancelled.await.unwrap_or_else(Refusal::response)
}
