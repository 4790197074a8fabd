//! The log for strangers: signed heads and tiles as static files over HTTP (C2SP `tlog-tiles`), and a witness for the logs of
//! others (`tlog-witness`). A listener of its own, without people and rights; it changes nothing but what it has cosigned.
//!
//! Heads and hashes tell nothing but how many entries there are. Entries name workloads and people: bundles of them are read
//! over loopback only, from which who may read them can be reached by other means.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use kernel::audit::TilePath;
use kernel::ports::Clock;
use store::log::{ProveError, Prover, Refusal, Witness};
use tokio::net::TcpListener;

use crate::serve::serve_router;

/// What the listener shows.
pub struct TlogParts {
    /// The log's folder.
    pub dir: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The witness for others, if this node is one.
    pub witness: Option<Arc<Witness>>,
}

impl std::fmt::Debug for TlogParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlogParts").field("dir", &self.dir).finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Shown {
    parts: Arc<TlogParts>,
    /// Is it reached from this machine alone?
    loopback: bool,
}

/// Serves until `stop` resolves, then lets what runs end.
pub async fn serve_tlog(listener: TcpListener, parts: TlogParts, stop: impl Future<Output = ()> + Send) {
    let loopback = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let shown = Shown { parts: Arc::new(parts), loopback };
    let router = Router::new()
        .route("/checkpoint", get(checkpoint))
        .route("/tile/{*path}", get(tile))
        .route("/add-checkpoint", post(add_checkpoint))
        .layer(DefaultBodyLimit::max(64 * 1024))
        .with_state(shown);
    serve_router(listener, router, stop).await;
}

/// Reads the log's files off the threads that serve.
async fn read(
    shown: &Shown,
    what: impl FnOnce(&Prover) -> Result<Option<Vec<u8>>, ProveError> + Send + 'static,
) -> Result<Vec<u8>, StatusCode> {
    let dir = shown.parts.dir.clone();
    let read = tokio::task::spawn_blocking(move || what(&Prover::open(&dir, 0)?)).await;
    match read {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None) | Err(ProveError::NotSigned)) => Err(StatusCode::NOT_FOUND),
        Ok(Err(_)) | Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn file(bytes: Result<Vec<u8>, StatusCode>, kind: &'static str, cache: &'static str) -> Response {
    let mut response = match bytes {
        Ok(bytes) => (StatusCode::OK, bytes).into_response(),
        Err(status) => return status.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn checkpoint(State(shown): State<Shown>) -> Response {
    let note = read(&shown, |prover| Ok(Some(prover.note().to_string().into_bytes()))).await;
    file(note, "text/plain; charset=utf-8", "no-cache")
}

async fn tile(State(shown): State<Shown>, Path(path): Path<String>) -> Response {
    let tile = TilePath::parse(&format!("tile/{path}"));
    let Some(tile) = tile.filter(|tile| shown.loopback || matches!(tile, TilePath::Hashes { .. })) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let bytes = read(&shown, move |prover| prover.tile(tile)).await;
    file(bytes, "application/octet-stream", "public, max-age=31536000, immutable")
}

async fn add_checkpoint(State(shown): State<Shown>, body: Bytes) -> Response {
    let Some(witness) = shown.parts.witness.clone() else { return StatusCode::NOT_FOUND.into_response() };
    let Ok(body) = String::from_utf8(body.to_vec()) else { return StatusCode::BAD_REQUEST.into_response() };
    let now = shown.parts.clock.now();
    let answered = tokio::task::spawn_blocking(move || witness.add_checkpoint(&body, now)).await;
    match answered {
        Ok(Ok(lines)) => file(Ok(lines.into_bytes()), "text/plain; charset=utf-8", "no-store"),
        Ok(Err(refusal)) => {
            let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            match refusal {
                Refusal::Conflict { size } => {
                    let mut response = file(Ok(format!("{size}\n").into_bytes()), "text/x.tlog.size", "no-store");
                    *response.status_mut() = status;
                    response
                }
                _ => (status, format!("{refusal}\n")).into_response(),
            }
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
