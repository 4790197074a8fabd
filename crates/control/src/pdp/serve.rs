//! Serves one connection of the decision point: HTTP/1.1 or, as gRPC needs it, HTTP/2, both with limits and deadlines.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::map_request;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

/// How long the first request may be awaited, and each further head of HTTP/1.1.
const HEAD: Duration = Duration::from_secs(10);
/// How often a silent peer of HTTP/2 is asked whether it is there, and how long it may take to say so.
const ALIVE: Duration = Duration::from_secs(20);
/// The longest head of a request, in bytes. A proxy passes on what it got, which may be more than it takes itself.
const LONGEST_HEAD: u32 = 64 * 1024;
/// Requests at a time on one connection: all of a proxy's go over one.
const STREAMS: u32 = 256;

/// Serves to the connection's end; once `ended` resolves, to the end of the requests that run.
pub(super) async fn connection<S>(stream: S, router: Router, ended: impl Future<Output = ()> + Send)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let begun = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&begun);
    let router = router.layer(map_request(move |request: Request| {
        seen.store(true, Ordering::Relaxed);
        std::future::ready(request)
    }));
    let mut builder = auto::Builder::new(Streams::default());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(LONGEST_HEAD as usize)
        .max_headers(128);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(LONGEST_HEAD)
        .max_pending_accept_reset_streams(32)
        .max_local_error_reset_streams(128)
        .keep_alive_interval(ALIVE)
        .keep_alive_timeout(ALIVE);
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(served);
    tokio::pin!(ended);
    let silent = tokio::time::sleep(HEAD);
    tokio::pin!(silent);
    let mut waits = true;
    let result = loop {
        tokio::select! {
            result = &mut served => break result,
            () = &mut ended => {
                served.as_mut().graceful_shutdown();
                break served.await;
            }
            // Whoever says nothing at all is not even known to speak HTTP.
            () = &mut silent, if waits => {
                if !begun.load(Ordering::Relaxed) {
                    tracing::debug!("a connection to the decision point asked nothing");
                    return;
                }
                waits = false;
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection to the decision point failed");
    }
}

/// Runs the streams of one connection; they end with it.
#[derive(Clone, Default)]
struct Streams(Arc<Mutex<JoinSet<()>>>);

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while running.try_join_next().is_some() {}
        running.spawn(stream);
    }
}
