//! Who calls and what they may: every request passes here before any handler runs.
//!
//! In this order: no web page (an `Origin` header), no foreign `Host` (a page that rebinds its own name to loopback), a
//! person's token, and then, for a known route, the right that `routes.rs` says. What is refused to a known person is entered
//! in the audit log.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kernel::audit::{Batch, Entry, Event};
use kernel::ports::AuditLog;
use kernel::workload::Workload;
use tokio::sync::Semaphore;

use crate::parts::ControlParts;
use crate::people::Caller;
use crate::problem::Problem;
use crate::routes::Right;

/// No request takes longer. A long poll ends well before.
const LONGEST: Duration = Duration::from_secs(30);

/// A call by a person who proved who they are, and what it works on.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) parts: Arc<ControlParts>,
    pub(crate) caller: Caller,
    /// How many searches of the log may still begin: each reads the disk as fast as it can.
    pub(crate) turns: Arc<Semaphore>,
}

impl Context {
    /// Enters what the person is about to do. If the log does not take it, it must not be done.
    pub(crate) async fn enter(&self, action: &str, object: &str, reason: Option<&str>) -> Result<(), Problem> {
        let mut batch = Batch::default();
        let event = Event::Admin { by: Some(&self.caller.person), action, object, reason };
        batch.push(&Entry { at: self.parts.clock.now(), event });
        self.parts.log.append(&batch).await.map(drop).map_err(|_| Problem::LogUnavailable)
    }

    /// Is the caller an administrator, or the one who answers for the workload?
    pub(crate) fn answers_for(&self, workload: &Workload) -> bool {
        self.caller.admin || workload.owner == self.caller.person
    }
}

impl FromRequestParts<Arc<ControlParts>> for Context {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &Arc<ControlParts>) -> Result<Self, Problem> {
        // Without `authenticate` before it there is no context, and so no call.
        parts.extensions.get::<Self>().cloned().ok_or(Problem::Unauthenticated)
    }
}

/// The outermost layer: refuses what is not from a program with a person's token, and bounds the time.
pub(crate) async fn authenticate(
    State((parts, turns)): State<(Arc<ControlParts>, Arc<Semaphore>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut response = match admit(&parts, &request) {
        Err(problem) => problem.into_response(),
        Ok(caller) => {
            request.extensions_mut().insert(Context { parts, caller, turns });
            match tokio::time::timeout(LONGEST, next.run(request)).await {
                Ok(response) => response,
                Err(_) => Problem::TimedOut.into_response(),
            }
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn admit(parts: &ControlParts, request: &Request) -> Result<Caller, Problem> {
    if request.headers().contains_key(header::ORIGIN) {
        return Err(Problem::Origin);
    }
    if !names_this_gateway(request.headers(), parts) {
        return Err(Problem::Host);
    }
    let credential = one(request.headers(), header::AUTHORIZATION).ok_or(Problem::Unauthenticated)?;
    let token = credential.strip_prefix("Bearer ").ok_or(Problem::Unauthenticated)?;
    let people = parts.people.borrow().clone();
    people.find(token).ok_or(Problem::Unauthenticated)
}

/// Is the request meant for this gateway, and not for a name that a page has rebound to it?
pub(crate) fn names_this_gateway(headers: &HeaderMap, parts: &ControlParts) -> bool {
    one(headers, header::HOST).is_some_and(|host| is_ours(host, &parts.hosts))
}

/// The value of a header that stands there exactly once.
fn one(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok())?
}

/// Does the host name this gateway? The port is the caller's business: they have reached us.
fn is_ours(host: &str, more: &[String]) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    ["127.0.0.1", "[::1]", "localhost"].iter().any(|ours| name.eq_ignore_ascii_case(ours))
        || more.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

/// The layer of one route: does the caller have its right?
pub(crate) async fn authorize(
    State((right, action)): State<(Right, &'static str)>,
    context: axum::Extension<Context>,
    request: Request,
    next: Next,
) -> Response {
    let allowed = match right {
        Right::Anyone => true,
        Right::Administrator => context.caller.admin,
    };
    if allowed {
        return next.run(request).await;
    }
    // The entry must not hold back the refusal: the person gets it whether or not the log takes entries.
    match context.enter("refused", action, None).await {
        Ok(()) => Problem::Forbidden.into_response(),
        Err(problem) => problem.into_response(),
    }
}
