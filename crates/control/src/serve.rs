//! Serves every listener of this crate over HTTP/1.1: bounded connections, deadlines, a clean end. Wiring says how a connection
//! is accepted where TLS is spoken.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use kernel::ports::PortFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::parts::ControlParts;
use crate::routes::router;

/// How many connections there may be at a time; the next one waits in the system's queue.
const CONNECTIONS: usize = 64;
/// How long a handshake may take, or a connection to send a request's head, or be idle.
const HEAD: Duration = Duration::from_secs(10);
/// The longest head of a request, in bytes.
const LONGEST_HEAD: usize = 64 * 1024;
/// How long requests that run may go on after the end was called.
const DRAIN: Duration = Duration::from_secs(5);

/// Why the API cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServeError {
    /// The listener can be reached from other machines: tokens would travel in clear.
    #[error("the admin API is served on loopback only")]
    NotLoopback,
}

/// A connection that was accepted.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Accepts a connection: shakes hands where TLS is spoken. None where that failed.
pub type Accept = Arc<dyn Fn(TcpStream) -> PortFuture<'static, Option<Box<dyn Connection>>> + Send + Sync>;

/// How a listener and its connections end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    /// What the log calls a connection.
    pub(crate) what: &'static str,
    /// How long a connection may live.
    pub(crate) longest: Option<Duration>,
    /// How long requests that run may go on after the end was called.
    pub(crate) drain: Duration,
}

/// Serves until `stop` resolves, then lets what runs end. One connection's failure ends no other.
pub async fn serve(
    listener: TcpListener,
    parts: ControlParts,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    if !listener.local_addr().is_ok_and(|address| address.ip().is_loopback()) {
        return Err(ServeError::NotLoopback);
    }
    serve_router(listener, router(&Arc::new(parts)), stop).await;
    Ok(())
}

/// Serves any router so.
pub(crate) async fn serve_router(listener: TcpListener, router: axum::Router, stop: impl Future<Output = ()> + Send) {
    let as_it_is: Accept = Arc::new(|stream| {
        Box::pin(async move {
            let stream: Box<dyn Connection> = Box::new(stream);
            Some(stream)
        })
    });
    let ends = Ends { what: "a connection to the admin API", longest: None, drain: DRAIN };
    serve_accepted(listener, as_it_is, router, ends, stop).await;
}

/// Serves a router on connections that wiring accepts.
pub(crate) async fn serve_accepted(
    listener: TcpListener,
    accept: Accept,
    router: axum::Router,
    ends: Ends,
    stop: impl Future<Output = ()> + Send,
) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let (ending, ended) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let accepted = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            (permit, accepted) = accepted => match (permit, accepted) {
                (Ok(permit), Ok((stream, _))) => {
                    let (router, accept, mut ended) = (router.clone(), Arc::clone(&accept), ended.clone());
                    connections.spawn(async move {
                        let served = async {
                            let Ok(Some(stream)) = tokio::time::timeout(HEAD, accept(stream)).await else { return };
                            let ended = async { drop(ended.wait_for(|ended| *ended).await) };
                            serve_connection(stream, router, ended, ends.what).await;
                        };
                        let longest = ends.longest.unwrap_or(Duration::MAX);
                        if tokio::time::timeout(longest, served).await.is_err() {
                            tracing::debug!("{} lasted too long", ends.what);
                        }
                        drop(permit);
                    });
                }
                // Out of descriptors, most likely: others may close some.
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
    drop(listener);
    ending.send_replace(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(ends.drain, drained).await.is_err() {
        connections.shutdown().await;
    }
}

/// Serves one connection to its end; once `ended` resolves, to the end of the request that runs.
pub(crate) async fn serve_connection<S>(
    stream: S,
    router: axum::Router,
    ended: impl Future<Output = ()> + Send,
    what: &'static str,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(LONGEST_HEAD)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(served);
    let result = tokio::select! {
        result = &mut served => result,
        () = ended => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "{what} failed");
    }
}
