//! Serves the endpoints of security events: bounded connections, deadlines, a clean end. Wiring says how a connection is
//! accepted: with TLS, or as it is on loopback.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use kernel::ports::PortFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{SsfParts, router};

/// How many connections there may be at a time; the next one waits in the system's queue.
const CONNECTIONS: usize = 64;
/// How long a handshake, or a request's head, may take.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may live: no transmitter needs one for longer.
const LONGEST: Duration = Duration::from_secs(300);

/// A connection that was accepted.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Accepts a connection: shakes hands where TLS is spoken. None where that failed.
pub type Accept = Arc<dyn Fn(TcpStream) -> PortFuture<'static, Option<Box<dyn Connection>>> + Send + Sync>;

/// Serves until `stop` resolves. One connection's failure ends no other.
pub async fn serve(listener: TcpListener, accept: Accept, parts: SsfParts, stop: impl Future<Output = ()> + Send) {
    let service = TowerToHyperService::new(router(&Arc::new(parts)));
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
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
                    let (service, accept) = (service.clone(), Arc::clone(&accept));
                    connections.spawn(async move {
                        let served = tokio::time::timeout(LONGEST, connection(stream, &accept, service));
                        if served.await.is_err() {
                            tracing::debug!("a connection for security events lasted too long");
                        }
                        drop(permit);
                    });
                }
                // Out of descriptors, most likely: others may close some.
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, accept: &Accept, service: TowerToHyperService<axum::Router>) {
    let Ok(Some(stream)) = tokio::time::timeout(HEAD, accept(stream)).await else { return };
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(64 * 1024)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection for security events failed");
    }
}
