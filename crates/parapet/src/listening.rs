//! The listeners of the data path: each has an address, and a gateway that serves its connections.

use std::future::Future;
use std::net::SocketAddr;

use anyhow::Context as _;
use gateway::listen::{Host, accept_loop};
use tokio::net::{TcpListener, TcpStream};

/// So many connections of a listener are served at once.
const MOST_CONNECTIONS: usize = 10_000;

/// Listens for clients of the data path, and serves each connection; where. The names are those of the tasks: the listener's,
/// and each connection's.
pub(crate) async fn listen<Serving>(
    host: Host,
    address: SocketAddr,
    (listening, connected): (&'static str, &'static str),
    serve: impl Fn(TcpStream, SocketAddr) -> Serving + Send + Sync + 'static,
) -> anyhow::Result<SocketAddr>
where
    Serving: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let bound = listener.local_addr()?;
    let tasks = host.tasks.clone();
    tasks.keep(listening, accept_loop(listener, MOST_CONNECTIONS, host, connected, serve));
    Ok(bound)
}
