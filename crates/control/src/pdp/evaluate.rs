//! `evaluation` and `evaluations` (Authorization API 1.0, sections 6 and 7): one question, or a batch of them under one of
//! three semantics. A refusal is an answer with status 200; only what is no question has another.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use kernel::answer::SubjectBy;
use kernel::id::ApprovalId;
use kernel::policy::Disclosure;
use kernel::verdict::Content;
use serde_json::{Map, Value, json};

use super::access_request;
use super::caller::{Authorization, Caller, Use, admit};
use super::decide::{Approvals, Asking, Decided, decide, enter_refusal};
use super::disclose::{self, Obeys, stricter};
use super::entities::{Asked, Malformed, merged};
use super::vocabulary::{Nameless, around, understand};
use super::{Arrived, Point, Shared, json as strict};
use crate::app::set;
use crate::problem::Problem;

/// The largest question or batch of them, in bytes.
const LARGEST_QUESTION: usize = 64 * 1024;
/// As many questions fit a batch.
const MOST: usize = 256;

/// What handlers take of a body.
pub(super) type Body = Result<Bytes, BytesRejection>;

impl From<Malformed> for Problem {
    fn from(malformed: Malformed) -> Self {
        Self::Unreadable(malformed.0)
    }
}

/// Reads a JSON body.
pub(super) fn object(headers: &HeaderMap, body: Body) -> Result<Map<String, Value>, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_json = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    if !is_json {
        return Err(Problem::Unreadable("its content type is not `application/json`"));
    }
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::TooLarge,
        _ => Problem::Unreadable("its body broke off"),
    })?;
    if body.len() > LARGEST_QUESTION {
        return Err(Problem::TooLarge);
    }
    strict::object(&body).ok_or(Problem::Unreadable("its body is no JSON object, or a name stands in it twice"))
}

/// A JSON answer.
pub(super) fn json_of(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// `POST /access/v1/evaluation`
pub(super) async fn one(
    State(point): Shared,
    Extension(arrived): Extension<Arrived>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let caller = admit(&point, &arrived, &headers, Authorization::Own, Use::Evaluate).await?;
    let asked = Asked::read(&object(&headers, body)?)?;
    Ok(json_of(StatusCode::OK, &answered(&point, &arrived, &caller, &asked).await?))
}

/// When a batch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Semantic {
    All,
    UntilDeny,
    UntilPermit,
}

impl Semantic {
    fn read(members: &Map<String, Value>) -> Result<Self, Problem> {
        let unknown = Problem::Unreadable("`options.evaluations_semantic` is none of the three");
        let Some(options) = members.get("options") else { return Ok(Self::All) };
        let Value::Object(options) = options else { return Err(Problem::Unreadable("`options` is not an object")) };
        match options.get("evaluations_semantic").map(Value::as_str) {
            None | Some(Some("execute_all")) => Ok(Self::All),
            Some(Some("deny_on_first_deny")) => Ok(Self::UntilDeny),
            Some(Some("permit_on_first_permit")) => Ok(Self::UntilPermit),
            Some(_) => Err(unknown),
        }
    }

    fn ends_with(self, decision: bool) -> bool {
        match self {
            Self::All => false,
            Self::UntilDeny => !decision,
            Self::UntilPermit => decision,
        }
    }
}

/// `POST /access/v1/evaluations`
pub(super) async fn many(
    State(point): Shared,
    Extension(arrived): Extension<Arrived>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let caller = admit(&point, &arrived, &headers, Authorization::Own, Use::Evaluate).await?;
    let batch = object(&headers, body)?;
    let questions = match batch.get("evaluations") {
        None => &[][..],
        Some(Value::Array(questions)) => questions,
        Some(_) => return Err(Problem::Unreadable("`evaluations` is not a list")),
    };
    if questions.is_empty() {
        let asked = Asked::read(&batch)?;
        return Ok(json_of(StatusCode::OK, &answered(&point, &arrived, &caller, &asked).await?));
    }
    if questions.len() > MOST {
        return Err(Problem::Unreadable("`evaluations` has more than 256 members"));
    }
    let semantic = Semantic::read(&batch)?;
    let mut answers = Vec::with_capacity(questions.len());
    for question in questions {
        let answer = of_batch(&point, &arrived, &caller, &batch, question).await?;
        let decision = answer.get("decision") == Some(&Value::Bool(true));
        answers.push(answer);
        if semantic.ends_with(decision) {
            break;
        }
    }
    Ok(json_of(StatusCode::OK, &json!({ "evaluations": answers })))
}

/// One answer of a batch. What is wrong with its question alone is told in its place.
async fn of_batch(
    point: &Point,
    arrived: &Arrived,
    caller: &Caller,
    batch: &Map<String, Value>,
    question: &Value,
) -> Result<Value, Problem> {
    let asked = match question {
        Value::Object(own) => Asked::read(&merged(batch, own)).map_err(Problem::from),
        _ => Err(Problem::Unreadable("a member of `evaluations` is not an object")),
    };
    let answer = match asked {
        Ok(asked) => answered(point, arrived, caller, &asked).await,
        Err(problem) => Err(problem),
    };
    let (status, problem) = match answer {
        Ok(answer) => return Ok(answer),
        Err(problem @ Problem::Unreadable(_)) => (400, problem),
        Err(problem @ Problem::Forbidden) => (403, problem),
        Err(other) => return Err(other),
    };
    let error = json!({ "status": status, "message": problem.to_string() });
    Ok(json!({ "decision": false, "context": { "error": error } }))
}

/// Answers one question.
pub(super) async fn answered(
    point: &Point,
    arrived: &Arrived,
    caller: &Caller,
    asked: &Asked,
) -> Result<Value, Problem> {
    let decided = match decided(point, arrived, caller, asked).await? {
        Ok(decided) => decided,
        Err(nameless) => {
            let reason = match nameless {
                Nameless::Subject => "unknown_subject",
                Nameless::Resource => "unknown_resource",
            };
            enter_refusal(point, caller, reason).await?;
            return Ok(json!({ "decision": false, "context": { "reason": reason } }));
        }
    };
    let mut answer = disclose::answer(&decided, disclosure(point, caller, &decided), Obeys::read(&asked.context));
    if decided.answer.evaluation().verdict == "ask"
        && let Some(context) = answer.get_mut("context")
    {
        set(context, "access_request", access_request::hint(point, caller, &decided));
    }
    Ok(answer)
}

/// How much the caller is told.
pub(super) fn disclosure(point: &Point, caller: &Caller, decided: &Decided) -> Disclosure {
    let snapshot = point.parts.snapshots.current();
    let upstream = snapshot.upstream(&decided.answer.question().upstream);
    stricter(caller.disclosure, upstream.map_or(Disclosure::Id, |upstream| upstream.disclosure))
}

/// Decides one question, if it names somebody and something.
pub(super) async fn decided(
    point: &Point,
    arrived: &Arrived,
    caller: &Caller,
    asked: &Asked,
) -> Result<Result<Decided, Nameless>, Problem> {
    let settings = (point.parts.settings)();
    let understood = match understand(&settings, &point.parts.kin, asked)? {
        Ok(understood) => understood,
        Err(nameless) => return Ok(Err(nameless)),
    };
    let snapshot = point.parts.snapshots.current();
    let around = around(&asked.context, &snapshot, point.parts.clock.now())?;
    let approval = asked.context.get("approval").and_then(|approval| approval.get("id")).and_then(Value::as_str);
    let approval = approval.and_then(|id| id.parse::<ApprovalId>().ok());
    let asking = Asking {
        workload: understood.workload,
        upstream: understood.upstream,
        operations: understood.operations,
        content: Content { text: Arc::from(asked.canonical()), ..Content::default() },
        around,
        subject: SubjectBy::Named,
    };
    decide(point, arrived, caller, &snapshot, asking, Approvals::Named(approval)).await.map(Ok)
}
