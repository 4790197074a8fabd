//! Serves the API on a loopback listener: bounded connections, deadlines, a clean end.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::parts::ControlParts;
use crate::routes::router;

/// How many connections there may be at a time; the next one waits in the system's queue.
const CONNECTIONS: usize = 64;
/// How long a connection may take to send a request's head, or be idle.
const HEAD: Duration = Duration::from_secs(10);
/// How long requests that run may go on after the end was called.
const DRAIN: Duration = Duration::from_secs(5);

/// Why the API cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServeError {
    /// The listener can be reached from other machines: tokens would travel in clear.
    #[error("the admin API is served on loopback only")]
    NotLoopback,
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
    let service = TowerToHyperService::new(router);
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
                    let (service, ended) = (service.clone(), ended.clone());
                    connections.spawn(async move {
                        connection(stream, service, ended).await;
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
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        connections.shutdown().await;
    }
}

async fn connection(stream: TcpStream, service: TowerToHyperService<axum::Router>, mut ended: watch::Receiver<bool>) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(64 * 1024)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let result = tokio::select! {
        result = &mut served => result,
        () = async { drop(ended.wait_for(|ended| *ended).await) } => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection to the admin API failed");
    }
}
