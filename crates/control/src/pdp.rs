//! The decision point: what policy says, for those who enforce it themselves. AuthZEN's Authorization API 1.0, Envoy's
//! `ext_authz` over gRPC and HTTP, nginx' `auth_request`, and the shape of OPA, on a listener of their own.
//!
//! Every caller is somebody (`caller.rs`), and every answer stands in the audit log before it is told (`decide.rs`). What a
//! caller says of a workload is the caller's word: the answer is a `kernel::answer::Answer`, from which no way leads to a
//! permit. Tokens are verified, and HTTP requests understood, by functions that wiring hands over ([`PdpParts`]).

mod access_request;
mod binding;
mod caller;
mod check;
mod decide;
mod disclose;
mod entities;
mod evaluate;
mod forwarded;
mod grpc;
mod json;
mod metadata;
mod opa;
mod parts;
mod search;
mod serve;
mod vocabulary;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use kernel::id::SessionId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

pub use caller::{CallerEntry, CallerProof, Use};
pub use forwarded::HeaderFamily;
pub use parts::{
    BudgetsAsked, ClassifyHttp, HttpAsked, HttpNotUnderstood, HttpUnderstood, Identified, Identify, KinOf,
    KnownResources, PdpParts, Settings, SettingsNow, ShownProof, TakeBudgets, TypeEndpoint, TypeEntry, Unidentified,
};

use crate::problem::Problem;
use crate::rate::Rates;

/// The largest body, in bytes: a request that is passed on, with its own body.
const LARGEST: usize = 256 * 1024;
/// How often an address may fail to prove who calls, or whose request is passed on, a minute.
const FAILURES: u32 = 60;
/// How many searches may run at a time: each asks policy for as much as it finds.
const SEARCHES: usize = 2;
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The decision point, which takes connections.
#[derive(Clone)]
pub struct DecisionPoint {
    point: Arc<Point>,
    router: Router,
}

impl std::fmt::Debug for DecisionPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DecisionPoint").finish_non_exhaustive()
    }
}

/// A connection, as it was accepted.
#[derive(Clone, Debug)]
pub struct Connected {
    /// Where it comes from.
    pub source: std::net::IpAddr,
    /// Does TLS protect it?
    pub tls: bool,
    /// The certificates whose first one's key the handshake proved, in DER.
    pub certificates: Vec<Vec<u8>>,
}

/// A connection with the id under which its answers are entered.
#[derive(Clone, Debug)]
struct Arrived {
    connected: Arc<Connected>,
    session: SessionId,
}

/// What was submitted under an idempotency key, by caller and key.
type Submitted = HashMap<(Arc<str>, String), [u8; 32]>;

/// What the handlers share.
struct Point {
    parts: PdpParts,
    searches: Semaphore,
    submitted: Mutex<Submitted>,
    /// Addresses from which nobody was proved: callers', and those of proxies' clients.
    failed: Rates,
    failed_clients: Rates,
}

type Shared = axum::extract::State<Arc<Point>>;

impl DecisionPoint {
    /// The decision point.
    pub fn new(parts: PdpParts) -> Self {
        let point = Arc::new(Point {
            parts,
            searches: Semaphore::new(SEARCHES),
            submitted: Mutex::new(HashMap::new()),
            failed: Rates::new(FAILURES),
            failed_clients: Rates::new(FAILURES),
        });
        let router = router(Arc::clone(&point));
        Self { point, router }
    }

    /// Serves one connection to its end; once `ended` resolves, to the end of the requests that run.
    pub async fn serve<S>(self, stream: S, connected: Connected, ended: impl Future<Output = ()> + Send)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let clock = &self.point.parts.clock;
        let session = SessionId::new(clock.now(), clock.random());
        let arrived = Arrived { connected: Arc::new(connected), session };
        serve::connection(stream, self.router.layer(axum::Extension(arrived)), ended).await;
    }
}

/// Every route. All but the metadata and the schema are for callers that prove who they are; each handler asks by
/// [`caller::admit`] first.
fn router(point: Arc<Point>) -> Router {
    Router::new()
        .route("/.well-known/authzen-configuration", get(metadata::show))
        .route("/access/v1/evaluation", post(evaluate::one))
        .route("/access/v1/evaluations", post(evaluate::many))
        .route("/access/v1/search/subject", post(search::subject))
        .route("/access/v1/search/resource", post(search::resource))
        .route("/access/v1/search/action", post(search::action))
        .route("/access/v1/requests", post(access_request::submit))
        .route("/access/v1/requests/schema", get(access_request::schema))
        .route("/access/v1/requests/{task}", get(access_request::status))
        .route("/access/v1/requests/{task}/cancel", post(access_request::cancel))
        .route("/v1/data/{*path}", post(opa::data))
        .route("/envoy.service.auth.v3.Authorization/Check", post(grpc::check))
        .route("/ext_authz/", any(check::ext_authz))
        .route("/ext_authz/{*path}", any(check::ext_authz))
        .route("/auth_request", any(check::auth_request))
        .fallback(|| async { Problem::NoRoute })
        .method_not_allowed_fallback(|| async { Problem::NoMethod })
        .layer(DefaultBodyLimit::max(LARGEST))
        .layer(from_fn(plainly))
        .with_state(point)
}

/// Nobody keeps an answer, every one carries the id of its request, and no web page gets one.
async fn plainly(request: Request, next: Next) -> Response {
    let id = request.headers().get(X_REQUEST_ID).filter(|id| id.len() <= 256).cloned();
    // A proxy passes on what a page's browser sent, `Origin` too; what a page itself calls is something else.
    let checks = request.uri().path().starts_with("/ext_authz/") || request.uri().path() == "/auth_request";
    let mut response = match request.headers().contains_key(header::ORIGIN) && !checks {
        true => Problem::Origin.into_response(),
        false => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(id) = id {
        headers.insert(X_REQUEST_ID, id);
    }
    response
}

#[cfg(test)]
mod tests;
