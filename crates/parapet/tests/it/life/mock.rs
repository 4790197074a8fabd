//! A mock of a PostgreSQL that holds thousands of sessions: a relay before the real one, which ends the real server's side
//! of a session once that is ready, and goes on holding the gateway's.
//!
//! Why not the real server alone: an idle backend of it is a process with one to three MiB of its own, so that 5,000 take
//! more than the 16 GB that a machine of CI has. Everything that the gateway reads here, from the login to the catalogue, is
//! the real server's, byte for byte. What is mocked is the silence afterwards, and that only where the session's startup
//! packet carries the application name [`HELD`]: the catalogue and sessions of other names keep their backends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// The application name of the sessions whose backends end when they are ready.
pub(super) const HELD: &str = "held-by-the-mock";

/// ReadyForQuery outside of a transaction.
const READY: &[u8] = &[b'Z', 0, 0, 0, 5, b'I'];

/// A running mock; it ends with its value.
#[derive(Debug)]
pub(super) struct Mock {
    held: Arc<AtomicUsize>,
    _runtime: Runtime,
}

impl Mock {
    /// Starts it before the real server on this port of 127.0.0.1; gives the port of its own.
    pub(super) fn start(server: u16) -> (Self, u16) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_io().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let held = Arc::new(AtomicUsize::new(0));
        runtime.spawn(accept(listener, server, Arc::clone(&held)));
        (Self { held, _runtime: runtime }, port)
    }

    /// How many sessions it holds now without a backend.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, server: u16, held: Arc<AtomicUsize>) {
    while let Ok((gateway, _)) = listener.accept().await {
        let held = Arc::clone(&held);
        tokio::spawn(async move {
            // An end of either side is the end of both, as in a network.
            if let Ok(gateway) = relay(gateway, server).await {
                held.fetch_add(1, Ordering::Relaxed);
                hold(gateway).await;
                held.fetch_sub(1, Ordering::Relaxed);
            }
        });
    }
}

/// Relays until the session may be held, and yields the gateway's side; an error ends the session.
async fn relay(mut gateway: TcpStream, server: u16) -> std::io::Result<TcpStream> {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    server.set_nodelay(true)?;
    gateway.set_nodelay(true)?;
    // Not the buffers' own place, as a task keeps that for its whole life.
    let (mut asks, mut answers) = (vec![0; 4096], vec![0; 4096]);
    let mut first = Vec::new();
    let mut tail = Vec::new();
    loop {
        tokio::select! {
            read = gateway.read(&mut asks) => {
                let bytes = &asks[..some(read?)?];
                // The startup packet comes first, and is short.
                if first.is_empty() {
                    first.extend_from_slice(bytes);
                }
                server.write_all(bytes).await?;
            }
            read = server.read(&mut answers) => {
                let bytes = &answers[..some(read?)?];
                gateway.write_all(bytes).await?;
                tail.extend_from_slice(bytes);
                tail.drain(..tail.len().saturating_sub(READY.len()));
                if tail == READY && may_be_held(&first) {
                    return Ok(gateway);
                }
            }
        }
    }
}

/// How much was read; nothing is the end.
fn some(read: usize) -> std::io::Result<usize> {
    if read == 0 { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(read) }
}

fn may_be_held(startup: &[u8]) -> bool {
    let name = format!("application_name\0{HELD}\0");
    startup.windows(name.len()).any(|window| window == name.as_bytes())
}

/// Holds the connection until it ends. A held session that is asked something ends too: there is nobody to answer.
async fn hold(mut gateway: TcpStream) {
    let mut byte = [0];
    let _ended = gateway.read(&mut byte).await;
}
