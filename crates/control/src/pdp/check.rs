//! Requests that a proxy received and asks about before it lets them through: Envoy's `ext_authz` over HTTP, and nginx'
//! `auth_request`. Over gRPC it is the same (`grpc.rs`).
//!
//! Here the workload is proved: by the token of the client's request, which the gateway verifies, or by the client's certificate,
//! whose chain the gateway verifies too; that its key was proved is the proxy's word, if the configuration takes it. The request
//! becomes operations by the same analysis as in the reverse gateway. What would have to be done to the answer (masks, caps)
//! no proxy does for us: then it is no.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use kernel::answer::SubjectBy;
use kernel::audit::{Batch, Entry, Event};
use kernel::circumstances::Circumstances;
use kernel::id::DecisionId;
use kernel::operation::{Action, Operation};
use kernel::policy::Disclosure;
use kernel::resource::{Resource, ResourceKind};
use kernel::secret::Secret;
use kernel::verdict::{Content, DenyReason, Fault, Undecidable};
use kernel::workload::Name;
use serde_json::{Value, json};

use super::caller::{Authorization, Caller, Use, admit};
use super::decide::{Approvals, Asking, Decided, decide, enter_refusal, summary};
use super::disclose::{self, Obeys};
use super::evaluate::disclosure;
use super::forwarded::{client, client_certificates, one, passed_on, request};
use super::parts::{HttpAsked, HttpNotUnderstood, Identified, ShownProof};
use super::{Arrived, LARGEST, Point, Shared};
use crate::app::set;
use crate::problem::Problem;

/// A client's request, as a proxy passes it on.
#[derive(Debug)]
pub(super) struct PassedOn {
    pub(super) http: HttpAsked,
    /// The client's `Authorization`.
    pub(super) authorization: Option<String>,
    /// The client's certificates, leaf first, in DER.
    pub(super) certificates: Vec<Vec<u8>>,
    /// The client's address.
    pub(super) source: Option<IpAddr>,
}

/// What a proxy is told, and tells its client.
#[derive(Debug)]
pub(super) struct Reply {
    /// 200 lets the request through; nothing else does.
    pub(super) status: StatusCode,
    pub(super) decision: Option<DecisionId>,
    /// Whose request it is, where it is let through.
    pub(super) workload: Option<Name>,
    /// In how many seconds it may come again.
    pub(super) retry_after: Option<u32>,
    /// Problem details (RFC 9457); none where it is let through.
    pub(super) problem: Option<Value>,
}

impl Reply {
    pub(super) fn passes(&self) -> bool {
        self.status == StatusCode::OK
    }

    fn refusal(status: StatusCode, word: &str, title: &str, detail: &str) -> Self {
        let problem = json!({
            "type": format!("urn:parapet:{word}"), "title": title, "status": status.as_u16(), "detail": detail,
        });
        Self { status, decision: None, workload: None, retry_after: None, problem: Some(problem) }
    }
}

/// Decides about a request that a proxy passed on.
pub(super) async fn check(
    point: &Point,
    arrived: &Arrived,
    caller: &Caller,
    passed: PassedOn,
) -> Result<Reply, Problem> {
    // Each failure costs a verification and an entry in the log. Which client it is, only the proxy can tell.
    let now = point.parts.clock.now();
    if passed.source.is_some_and(|client| point.failed_clients.is_spent(client, now)) {
        let detail = "too many requests of this address proved no workload; try again in a minute";
        let refusal = Reply::refusal(StatusCode::TOO_MANY_REQUESTS, "slow-down", "Too many failures", detail);
        return Ok(Reply { retry_after: Some(60), ..refusal });
    }
    let (who, subject) = match identified(point, caller, &passed).await {
        Ok(found) => found,
        Err(why) => {
            if let Some(client) = passed.source {
                point.failed_clients.admit(client, now);
            }
            enter_unproved(point, arrived, caller, &passed, &why).await?;
            let detail = "the request proves no workload";
            return Ok(Reply::refusal(StatusCode::UNAUTHORIZED, "unauthenticated", "Not authenticated", detail));
        }
    };
    let snapshot = point.parts.snapshots.current();
    let understood = (point.parts.classify)(&passed.http, &snapshot);
    let (upstream, operations, content) = match understood {
        Ok(understood) => {
            let values = passed.http.body.as_deref().map(body_digest).unwrap_or_default();
            let (text, template) = (understood.text, understood.template);
            let operations = with_connecting(&understood.upstream, &understood.operations);
            (understood.upstream, Ok(operations), Content { text, template, values, ..Content::default() })
        }
        Err(HttpNotUnderstood::Undecidable { upstream, why }) => (upstream, Err(why), Content::default()),
        Err(HttpNotUnderstood::NoUpstream) => {
            enter_refusal(point, caller, "a request for no upstream").await?;
            let detail = "no upstream is configured for this host and path";
            return Ok(Reply::refusal(StatusCode::FORBIDDEN, "denied", "Blocked by policy", detail));
        }
        Err(HttpNotUnderstood::Malformed) => {
            enter_refusal(point, caller, "a malformed request").await?;
            let detail = "the request cannot be read in one way";
            return Ok(Reply::refusal(StatusCode::BAD_REQUEST, "malformed", "Malformed request", detail));
        }
    };
    let source = passed.source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let beginning = Circumstances::beginning(point.parts.clock.now(), source, passed.http.tls);
    let around =
        Circumstances { provenance: who.provenance.clone(), left: who.left, ..beginning.under(snapshot.threats()) };
    let asking = Asking { workload: who.workload.clone(), upstream, operations, content, around, subject };
    let decided = decide(point, arrived, caller, &snapshot, asking, Approvals::Opened).await?;
    let told = disclosure(point, caller, &decided);
    Ok(reply(point, &decided, told, who))
}

/// A request stands for the connection that it would need too, as a session of the gateway begins with connecting.
fn with_connecting(upstream: &Name, operations: &[Operation]) -> Arc<[Operation]> {
    let connect = Operation {
        action: Action::Connect,
        resource: Arc::new(Resource::new(ResourceKind::Upstream, upstream, [""; 0])),
        facts: Arc::default(),
        verb: "CONNECT",
        span: None,
    };
    std::iter::once(connect).chain(operations.iter().cloned()).collect()
}

fn body_digest(body: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body).as_ref().to_vec()
}

/// Whose request it is.
async fn identified(point: &Point, caller: &Caller, passed: &PassedOn) -> Result<(Identified, SubjectBy), String> {
    let token = match &passed.authorization {
        None => None,
        Some(shown) => {
            let (scheme, token) = shown.split_once(' ').ok_or("its `Authorization` has no scheme")?;
            if !scheme.eq_ignore_ascii_case("bearer") {
                return Err("its `Authorization` is no bearer token".to_owned());
            }
            Some(Secret::new(token.trim().to_owned()))
        }
    };
    // A proxy whose word is not taken could have had any certificate from anybody.
    let certificates = if caller.certificates { passed.certificates.clone() } else { Vec::new() };
    let subject = if token.is_some() { SubjectBy::Token } else { SubjectBy::Certificate };
    if token.is_none() && certificates.is_empty() {
        return Err("it shows neither a token nor a certificate that counts".to_owned());
    }
    let source = passed.source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let shown = ShownProof { token, certificates, passed_on: true, source, costs: true };
    (point.parts.identify)(shown).await.map(|who| (who, subject)).map_err(|why| why.0)
}

async fn enter_unproved(
    point: &Point,
    arrived: &Arrived,
    caller: &Caller,
    passed: &PassedOn,
    why: &str,
) -> Result<(), Problem> {
    let why = format!("passed on by {}: {why}", caller.name);
    let source = passed.source.unwrap_or(arrived.connected.source);
    let mut batch = Batch::default();
    let event = Event::LoginRefused { session: arrived.session, claimed: "", source, why: &why };
    batch.push(&Entry { at: point.parts.clock.now(), event });
    point.parts.log.append(&batch).await.map(drop).map_err(|_| Problem::LogUnavailable)
}

fn reply(point: &Point, decided: &Decided, told: Disclosure, who: Identified) -> Reply {
    let decision = Some(decided.decision());
    if disclose::yes(decided, Obeys::Nothing) {
        let workload = Some(who.workload);
        return Reply { status: StatusCode::OK, decision, workload, retry_after: None, problem: None };
    }
    let evaluation = decided.answer.evaluation();
    let (status, word, title) = match (&evaluation.reason, evaluation.verdict) {
        (Some(DenyReason::CannotDecide(why)), _) => undecided(*why),
        (Some(DenyReason::OverBudget(_)), _) => (StatusCode::TOO_MANY_REQUESTS, "over-budget", "Over budget"),
        (Some(DenyReason::Quarantine(_) | DenyReason::Standing), _) => {
            (StatusCode::FORBIDDEN, "quarantined", "Not in good standing")
        }
        (None, "ask") => (StatusCode::FORBIDDEN, "approval-required", "Approval required"),
        _ => (StatusCode::FORBIDDEN, "denied", "Blocked by policy"),
    };
    let seconds = |time: Duration| u32::try_from(time.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1);
    let retry_after = decided.answer.frees_in().map(seconds);
    let problem = Some(problem(point, decided, told, status, word, title));
    Reply { status, decision, workload: None, retry_after, problem }
}

/// Where the client is at fault, it is told so, as by the gateway.
fn undecided(why: Undecidable) -> (StatusCode, &'static str, &'static str) {
    let malformed = |status| (status, "malformed", "Cannot be read in one way");
    match why.fault_by_http() {
        Fault::Unreadable => malformed(StatusCode::BAD_REQUEST),
        Fault::Method => malformed(StatusCode::METHOD_NOT_ALLOWED),
        Fault::Size => malformed(StatusCode::PAYLOAD_TOO_LARGE),
        Fault::Refused => (StatusCode::FORBIDDEN, "denied", "Blocked by policy"),
        Fault::Gateway => (StatusCode::SERVICE_UNAVAILABLE, "cannot-decide", "Cannot be decided"),
    }
}

fn problem(point: &Point, decided: &Decided, told: Disclosure, status: StatusCode, word: &str, title: &str) -> Value {
    let evaluation = decided.answer.evaluation();
    let (decision, url) = (decided.decision().to_string(), &point.parts.public_url);
    let mut problem = json!({
        "type": format!("{url}/problems/{word}"),
        "title": title,
        "status": status.as_u16(),
        "detail": line(decided, told),
        "instance": format!("{url}/d/{decision}"),
        "decision": decision,
        "retryable": status == StatusCode::TOO_MANY_REQUESTS,
        "approval": Value::Null,
    });
    if let (true, Some(by)) = (told != Disclosure::Id, &evaluation.deciding) {
        set(&mut problem, "policy", &*by.policy);
        if told == Disclosure::Full {
            set(&mut problem, "reason", by.reason.as_deref());
            set(&mut problem, "hint", by.hint.as_deref());
        }
    }
    if let Some(approval) = decided.opened {
        let at = format!("{url}/a/{approval}");
        set(&mut problem, "approval", json!({ "id": approval, "url": at }));
    }
    problem
}

/// The message line: what was asked, never with what.
fn line(decided: &Decided, told: Disclosure) -> String {
    let (evaluation, decision) = (decided.answer.evaluation(), decided.decision());
    if told == Disclosure::Id {
        return format!("blocked [{decision}]");
    }
    let (by, what) = (evaluation.deciding.as_ref().map(|by| &*by.policy), summary(&decided.answer));
    match (&evaluation.reason, evaluation.verdict, by) {
        (Some(DenyReason::CannotDecide(why)), ..) => format!("blocked, cannot decide ({}) [{decision}]", why.code()),
        (Some(DenyReason::Standing), ..) => format!("blocked, the workload is not in good standing [{decision}]"),
        (Some(DenyReason::OutsideTask { .. }), ..) => format!("blocked, outside the task: {what} [{decision}]"),
        (_, "ask", Some(by)) => format!("approval required by policy \"{by}\": {what} [{decision}]"),
        (Some(_), _, Some(by)) => format!("blocked by policy \"{by}\": {what} [{decision}]"),
        (Some(_), _, None) => format!("blocked, no policy permits {what} [{decision}]"),
        (None, ..) => format!("blocked, what policy masks or caps cannot be kept here: {what} [{decision}]"),
    }
}

/// What a proxy's request says of its client.
fn passed(headers: &HeaderMap, http: HttpAsked) -> Result<PassedOn, Problem> {
    let twice = Problem::Unreadable("a header that counts stands there twice, or is no text");
    let authorization = one(headers, "authorization").ok_or(twice)?.map(str::to_owned);
    let xfcc = one(headers, "x-forwarded-client-cert")
        .ok_or(Problem::Unreadable("`X-Forwarded-Client-Cert` stands there twice"))?;
    let certificates = xfcc.and_then(client_certificates).unwrap_or_default();
    Ok(PassedOn { http, authorization, certificates, source: client(headers) })
}

/// Any method at `/ext_authz/…`: what follows is the path of the client's request.
pub(super) async fn ext_authz(
    State(point): Shared,
    Extension(arrived): Extension<Arrived>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let caller = admit(&point, &arrived, &parts.headers, Authorization::PassedOn, Use::Check).await?;
    let target = parts.uri.path_and_query().and_then(|whole| whole.as_str().strip_prefix("/ext_authz"));
    let target = target.ok_or(Problem::NoRoute)?.to_owned();
    let host = one(&parts.headers, "host").flatten().map(str::to_owned);
    let authority = parts.uri.authority().map(|authority| authority.as_str().to_owned()).or(host);
    // A body that Envoy passes on in part, or not at all, is none that can be judged. An empty one is not taken for the client's: an
    // Envoy that passes on no bodies says of them what its client says.
    let whole = one(&parts.headers, "x-envoy-auth-partial-body").flatten() == Some("false");
    let body = match whole {
        false => None,
        true => Some(
            axum::body::to_bytes(body, LARGEST)
                .await
                .map_err(|_| Problem::Unreadable("its body is too large"))?
                .to_vec(),
        )
        .filter(|body| !body.is_empty()),
    };
    let http = HttpAsked {
        method: parts.method.as_str().to_owned(),
        authority: authority.ok_or(Problem::Unreadable("it has no host"))?,
        target,
        headers: passed_on(&parts.headers),
        body,
        tls: one(&parts.headers, "x-forwarded-proto").flatten() == Some("https"),
    };
    let reply = check(&point, &arrived, &caller, passed(&parts.headers, http)?).await?;
    Ok(told(reply))
}

/// Any method at `/auth_request`: the client's request line stands in headers. Nothing but 204, 401 and 403 is answered,
/// because nginx takes every other status for a failure of ours.
pub(super) async fn auth_request(
    State(point): Shared,
    Extension(arrived): Extension<Arrived>,
    headers: HeaderMap,
) -> Response {
    let answered = async {
        let caller = admit(&point, &arrived, &headers, Authorization::PassedOn, Use::Check).await?;
        let http = request(&headers, caller.headers);
        let http =
            http.ok_or(Problem::Unreadable("the headers of the client's request are missing, or not one each"))?;
        check(&point, &arrived, &caller, passed(&headers, http)?).await
    };
    match answered.await {
        Ok(mut reply) => {
            let passes = reply.passes();
            if !passes && reply.status != StatusCode::UNAUTHORIZED {
                reply.status = StatusCode::FORBIDDEN;
            }
            let mut response = told(reply);
            if passes {
                *response.status_mut() = StatusCode::NO_CONTENT;
            }
            response
        }
        Err(problem) => {
            let mut response = problem.into_response();
            *response.status_mut() = StatusCode::FORBIDDEN;
            response
        }
    }
}

/// A reply over HTTP.
fn told(reply: Reply) -> Response {
    let mut response = match &reply.problem {
        Some(problem) => (reply.status, problem.to_string()).into_response(),
        None => reply.status.into_response(),
    };
    let headers = response.headers_mut();
    if reply.problem.is_some() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    }
    for (name, value) in reply.headers() {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}

impl Reply {
    /// What stands in the headers of an answer. Where it is let through these overwrite what the client may have sent.
    pub(super) fn headers(&self) -> Vec<(&'static str, String)> {
        let decision = self.decision.map(|decision| ("parapet-decision", decision.to_string()));
        let workload = self.workload.as_ref().map(|name| ("parapet-workload", name.to_string()));
        let again = self.retry_after.map(|seconds| ("retry-after", seconds.to_string()));
        let challenge = (self.status == StatusCode::UNAUTHORIZED)
            .then(|| ("www-authenticate", "Bearer realm=\"parapet\"".to_owned()));
        [decision, workload, again, challenge].into_iter().flatten().collect()
    }

    /// The body, for whoever may not pass.
    pub(super) fn body(&self) -> Option<Arc<str>> {
        self.problem.as_ref().map(|problem| problem.to_string().into())
    }
}
