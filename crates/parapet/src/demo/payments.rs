//! The demo's own HTTP API: customers, and refunds that it really keeps, in memory, served by hyper on loopback. It wants a key
//! that only the gateway has, and trusts whoever shows it, as APIs do.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use gateway::tasks::{Stopping, Tasks};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

/// The longest body that it takes.
const MOST: usize = 64 << 10;
/// Policies for the API and the job that uses it.
pub(super) const POLICIES: (&str, &str) = ("payments.cedar", include_str!("payments.cedar"));
/// The file with the API's key, in the state folder.
const KEY_FILE: &str = "payments.key";

/// The API as it runs.
pub(super) struct Payments {
    pub(super) address: SocketAddr,
    tasks: Tasks,
}

/// What it keeps.
struct Ledger {
    key: String,
    refunds: Mutex<Vec<Value>>,
}

impl Payments {
    /// Serves it on a free port; its key goes into the state folder.
    pub(super) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let key = super::shop::random_word()?;
        crate::dev_issuer::write_private(&folder.join(KEY_FILE), key.as_bytes())?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let tasks = Tasks::new();
        let ledger = Arc::new(Ledger { key, refunds: Mutex::default() });
        tasks.spawn("payments", accept(listener, ledger, tasks.clone()));
        Ok(Self { address, tasks })
    }

    /// Ends it.
    pub(super) async fn stop(&self) {
        self.tasks.drain(std::time::Duration::from_secs(1)).await;
    }
}

async fn accept(listener: TcpListener, ledger: Arc<Ledger>, tasks: Tasks) {
    let mut stopping = tasks.stopping();
    loop {
        let accepted = tokio::select! {
            () = stopping.begun() => return,
            accepted = listener.accept() => accepted,
        };
        if let Ok((stream, _)) = accepted {
            tasks.spawn("payments connection", serve(stream, Arc::clone(&ledger), tasks.stopping()));
        }
    }
}

async fn serve(stream: TcpStream, ledger: Arc<Ledger>, mut stopping: Stopping) {
    let service = service_fn(move |request| answer(request, Arc::clone(&ledger)));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        () = stopping.begun() => {}
        // A connection that breaks is its client's to notice.
        _ended = connection => {}
    }
}

async fn answer(request: Request<Incoming>, ledger: Arc<Ledger>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, value) = ledger.answer(request).await;
    let mut response = Response::new(Full::from(format!("{value}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    Ok(response)
}

impl Ledger {
    async fn answer(&self, request: Request<Incoming>) -> (StatusCode, Value) {
        if !self.knows(&request) {
            return (StatusCode::UNAUTHORIZED, json!({ "error": "no key" }));
        }
        let (head, body) = request.into_parts();
        match (&head.method, head.uri.path()) {
            (&Method::GET, "/v1/refunds") => (StatusCode::OK, json!({ "refunds": *self.refunds() })),
            (&Method::POST, "/v1/refunds") => match Limited::new(body, MOST).collect().await {
                Ok(body) => self.refund(&body.to_bytes()),
                Err(_) => (StatusCode::BAD_REQUEST, json!({ "error": "no body" })),
            },
            (&Method::GET, path) => match path.strip_prefix("/v1/customers/").and_then(|id| id.parse::<u32>().ok()) {
                Some(id) => (StatusCode::OK, customer(id)),
                None => (StatusCode::NOT_FOUND, json!({ "error": "not found" })),
            },
            _ => (StatusCode::NOT_FOUND, json!({ "error": "not found" })),
        }
    }

    fn knows(&self, request: &Request<Incoming>) -> bool {
        let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        shown.is_some_and(|key| verify_slices_are_equal(key, self.key.as_bytes()).is_ok())
    }

    fn refund(&self, body: &[u8]) -> (StatusCode, Value) {
        let Ok(refund) = serde_json::from_slice::<Value>(body) else {
            return (StatusCode::BAD_REQUEST, json!({ "error": "not JSON" }));
        };
        let mut refunds = self.refunds();
        refunds.push(refund);
        (StatusCode::CREATED, json!({ "id": refunds.len() }))
    }

    fn refunds(&self) -> std::sync::MutexGuard<'_, Vec<Value>> {
        self.refunds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn customer(id: u32) -> Value {
    json!({ "id": id, "name": "Ada Stone", "email": format!("customer{id}@example.com"), "card": format!("4000{:012}", u64::from(id) * 7919) })
}

/// The API's part of the demo's configuration.
pub(super) fn configuration(folder: &Path, address: SocketAddr, any_port: bool) -> String {
    let port = if any_port { 0 } else { super::free_port(18080) };
    let key = folder.join(KEY_FILE).display().to_string();
    format!(
        r#"
[http]
listen = "127.0.0.1:{port}"
tls = "off"

[upstreams.payments]
protocol = "http"
url = "http://{address}"
hosts = ["127.0.0.1", "payments.internal"]
environment = "production"
unlisted = "deny"

[[upstreams.payments.endpoints]]
id = "customer"
method = "GET"
path = "/v1/customers/{{id}}"

[[upstreams.payments.endpoints]]
id = "refunds"
method = "GET"
path = "/v1/refunds"

[[upstreams.payments.endpoints]]
id = "refund"
method = "POST"
path = "/v1/refunds"
body = {{ amount = "$.amount" }}

[upstreams.payments.fields]
"GET /v1/customers/{{id}} $.email" = ["pii"]
"GET /v1/customers/{{id}} $.card" = ["pci"]

[upstreams.payments.credential]
kind = "bearer"
secret = "file://{key}"
"#
    )
}
