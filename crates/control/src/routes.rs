//! Every route of the API with the right that it needs: the router is built from this table, so there is no other. Beside it
//! stand only the pages that links in refusals lead to (`pages.rs`), which tell nothing.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use tokio::sync::Semaphore;

use crate::api::{
    approvals, audit, classes, decisions, incidents, reload, sessions, signals, status, tasks, tokens, upstreams,
    workloads,
};
use crate::context::{authenticate, authorize};
use crate::parts::ControlParts;
use crate::problem::Problem;

/// What a caller must be. What they may see or do of one approval, decision or workload is judged beyond that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Any person with a token.
    Anyone,
    /// A person who may use the administrative verbs.
    Administrator,
}

/// A route, as tests and documents see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteView {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path, with parameters in braces.
    pub path: &'static str,
    /// The right.
    pub right: Right,
    /// The command that it serves, as the audit log names it.
    pub action: &'static str,
}

const fn route(method: &'static str, path: &'static str, right: Right, action: &'static str) -> RouteView {
    RouteView { method, path, right, action }
}

use Right::{Administrator, Anyone};

/// Every route.
pub const ROUTES: [RouteView; 52] = [
    route("GET", "/v1/status", Anyone, "status"),
    route("GET", "/v1/workloads", Anyone, "workloads list"),
    route("GET", "/v1/workloads/{name}", Anyone, "workloads show"),
    route("POST", "/v1/workloads/{name}/quarantine", Administrator, "workloads quarantine"),
    route("POST", "/v1/workloads/{name}/release", Administrator, "workloads release"),
    route("POST", "/v1/workloads/{name}/retire", Administrator, "workloads retire"),
    route("POST", "/v1/workloads/{name}/risk", Administrator, "workloads risk set"),
    route("POST", "/v1/workloads/{name}/risk/clear", Administrator, "workloads risk clear"),
    route("GET", "/v1/signals", Administrator, "signals list"),
    route("GET", "/v1/streams", Administrator, "signals streams"),
    route("POST", "/v1/signals/{number}/ack", Administrator, "signals ack"),
    route("GET", "/v1/incidents", Administrator, "incidents list"),
    route("GET", "/v1/incidents/{id}", Administrator, "incidents show"),
    route("POST", "/v1/incidents/{id}/undo", Administrator, "incidents undo"),
    route("POST", "/v1/incidents/{id}/close", Administrator, "incidents close"),
    route("GET", "/v1/threats", Anyone, "threats list"),
    route("GET", "/v1/threats/{address}", Anyone, "threats check"),
    route("POST", "/v1/workloads/{name}/tokens", Administrator, "workloads token issue"),
    route("GET", "/v1/tokens", Administrator, "workloads token list"),
    route("POST", "/v1/tokens/{id}/revoke", Administrator, "workloads token revoke"),
    route("GET", "/v1/tasks", Anyone, "tasks list"),
    route("POST", "/v1/tasks", Anyone, "tasks exchange"),
    route("GET", "/v1/tasks/{id}", Anyone, "tasks show"),
    route("POST", "/v1/workloads/{name}/tasks", Anyone, "tasks issue"),
    route("POST", "/v1/tasks/{id}/revoke", Anyone, "tasks revoke"),
    route("GET", "/v1/upstreams", Anyone, "upstreams list"),
    route("POST", "/v1/upstreams/{name}/test", Administrator, "upstreams test"),
    route("GET", "/v1/upstreams/{name}/classes", Administrator, "upstreams classes"),
    route("POST", "/v1/upstreams/{name}/classes/scan", Administrator, "upstreams classes scan"),
    route("POST", "/v1/upstreams/{name}/classes/confirm", Administrator, "upstreams classes confirm"),
    route("POST", "/v1/upstreams/{name}/classes/reject", Administrator, "upstreams classes reject"),
    route("GET", "/v1/sessions", Administrator, "sessions list"),
    route("GET", "/v1/sessions/{id}", Administrator, "sessions show"),
    route("POST", "/v1/sessions/{id}/kill", Administrator, "sessions kill"),
    route("GET", "/v1/approvals", Anyone, "approvals list"),
    route("POST", "/v1/approvals", Anyone, "approvals request"),
    route("GET", "/v1/approvals/watch", Anyone, "approvals watch"),
    route("GET", "/v1/approvals/{id}", Anyone, "approvals show"),
    route("POST", "/v1/approvals/{id}/approve", Anyone, "approvals approve"),
    route("POST", "/v1/approvals/{id}/reject", Anyone, "approvals reject"),
    route("POST", "/v1/approvals/{id}/withdraw", Anyone, "approvals withdraw"),
    route("POST", "/v1/approvals/{id}/revoke", Anyone, "approvals revoke"),
    route("GET", "/v1/decisions/{id}", Anyone, "explain"),
    route("POST", "/v1/decide", Anyone, "decide"),
    route("GET", "/v1/audit", Administrator, "audit search"),
    route("GET", "/v1/audit/head", Administrator, "audit head"),
    route("POST", "/v1/audit/rotate", Administrator, "audit rotate"),
    route("POST", "/v1/audit/rekey", Administrator, "audit rekey"),
    route("POST", "/v1/audit/shred", Administrator, "audit shred"),
    route("POST", "/v1/workloads/{name}/shred", Administrator, "workloads shred"),
    route("POST", "/v1/sessions/{id}/shred", Administrator, "sessions shred"),
    route("POST", "/v1/reload", Administrator, "reload"),
];

/// What serves a route. A route without a handler answers that there is none.
fn handler(route: &RouteView) -> MethodRouter<Arc<ControlParts>> {
    match route.action {
        "status" => get(status::show),
        "workloads list" => get(workloads::list),
        "workloads show" => get(workloads::show),
        "workloads quarantine" => post(workloads::quarantine),
        "workloads release" => post(workloads::release),
        "workloads retire" => post(workloads::retire),
        "workloads risk set" => post(signals::set_risk),
        "workloads risk clear" => post(signals::clear_risk),
        "signals list" => get(signals::list),
        "signals streams" => get(signals::streams),
        "signals ack" => post(signals::acknowledge),
        "incidents list" => get(incidents::list),
        "incidents show" => get(incidents::show),
        "incidents undo" => post(incidents::undo),
        "incidents close" => post(incidents::close),
        "threats list" => get(signals::threats),
        "threats check" => get(signals::check),
        "workloads token issue" => post(tokens::issue),
        "workloads token list" => get(tokens::list),
        "workloads token revoke" => post(tokens::revoke),
        "tasks list" => get(tasks::list),
        "tasks exchange" => post(tasks::exchange),
        "tasks show" => get(tasks::show),
        "tasks issue" => post(tasks::issue),
        "tasks revoke" => post(tasks::revoke),
        "upstreams list" => get(upstreams::list),
        "upstreams test" => post(upstreams::test),
        "upstreams classes" => get(classes::list),
        "upstreams classes scan" => post(classes::scan),
        "upstreams classes confirm" => post(classes::confirm),
        "upstreams classes reject" => post(classes::reject),
        "sessions list" => get(sessions::list),
        "sessions show" => get(sessions::show),
        "sessions kill" => post(sessions::kill),
        "approvals list" => get(approvals::list),
        "approvals request" => post(approvals::request),
        "approvals watch" => get(approvals::watch),
        "approvals show" => get(approvals::show),
        "approvals approve" => post(approvals::approve),
        "approvals reject" => post(approvals::reject),
        "approvals withdraw" => post(approvals::withdraw),
        "approvals revoke" => post(approvals::revoke),
        "explain" => get(decisions::show),
        "decide" => post(decisions::decide),
        "audit search" => get(audit::search),
        "audit head" => get(audit::head),
        "audit rotate" => post(audit::rotate),
        "audit rekey" => post(audit::rekey),
        "audit shred" => post(audit::shred),
        "workloads shred" => post(audit::shred_workload),
        "sessions shred" => post(audit::shred_session),
        "reload" => post(reload::reload),
        _ => get(no_route),
    }
}

async fn no_route() -> Problem {
    Problem::NoRoute
}

async fn no_method() -> Problem {
    Problem::NoMethod
}

/// How many searches of the audit log may run at a time.
const SEARCHES: usize = 4;

/// The whole API. Authentication is the outermost layer: what is not a route is told to nobody without a token.
pub(crate) fn router(parts: &Arc<ControlParts>) -> Router {
    let turns = Arc::new(Semaphore::new(SEARCHES));
    let mut router = Router::new();
    for route in &ROUTES {
        let layer = from_fn_with_state((route.right, route.action), authorize);
        router = router.route(route.path, handler(route).route_layer(layer));
    }
    router
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(64 * 1024))
        .layer(map_response(plain_failures))
        .layer(from_fn_with_state((Arc::clone(parts), turns), authenticate))
        .merge(crate::pages::router())
        .with_state(Arc::clone(parts))
}

/// The framework's own refusals (a path that is not UTF-8, for one) are given the one form of problems.
async fn plain_failures(response: Response) -> Response {
    let ours = response
        .headers()
        .get(axum::http::header::CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/problem+json" || kind == "application/json");
    if ours || response.status().is_success() {
        return response;
    }
    match response.status().is_client_error() {
        true => Problem::Unreadable("its path or its form").into_response(),
        false => Problem::Failed.into_response(),
    }
}
