//! A relay between the gateway and its upstream that can be told to hold back: new connections, or what the gateway asks the
//! upstream's catalogue. What is held flows on when it is let go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// What every question to the catalogue has in it.
const CATALOGUE: &[u8] = b"pg_catalog.";

/// What is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Nothing,
    /// All bytes of connections that begin meanwhile.
    Connections,
    /// Questions to the catalogue.
    Catalogue,
}

/// A running weir; it ends with its value.
#[derive(Debug)]
pub(super) struct Weir {
    holds: watch::Sender<Held>,
    waiting: Arc<AtomicUsize>,
    _runtime: Runtime,
}

impl Weir {
    /// Starts it before the server on this port of 127.0.0.1; gives the port of its own.
    pub(super) fn start(server: u16) -> (Self, u16) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_io().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (holds, waiting) = (watch::Sender::new(Held::Nothing), Arc::new(AtomicUsize::new(0)));
        runtime.spawn(accept(listener, server, Gate { holds: holds.subscribe(), waiting: Arc::clone(&waiting) }));
        (Self { holds, waiting, _runtime: runtime }, port)
    }

    /// Holds this back from now on.
    pub(super) fn hold(&self, held: Held) {
        self.holds.send_replace(held);
    }

    /// How much is held back now: connections, or questions.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }
}

#[derive(Clone)]
struct Gate {
    holds: watch::Receiver<Held>,
    waiting: Arc<AtomicUsize>,
}

impl Gate {
    /// Waits while this is held back.
    async fn pass(&mut self, held: Held) {
        if *self.holds.borrow() == held {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            // An error is the end of the weir.
            let _ended = self.holds.wait_for(|holds| *holds != held).await;
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

async fn accept(listener: TcpListener, server: u16, gate: Gate) {
    while let Ok((gateway, _)) = listener.accept().await {
        let mut gate = gate.clone();
        tokio::spawn(async move {
            gate.pass(Held::Connections).await;
            let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
            let ((from_gateway, to_gateway), (from_server, to_server)) = (gateway.into_split(), server.into_split());
            tokio::spawn(copy(from_server, to_gateway, None));
            copy(from_gateway, to_server, Some(gate)).await;
        });
    }
}

/// Copies one direction to its end, and ends the other side's with it.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut gate: Option<Gate>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(many @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..many];
        if let Some(gate) = gate.as_mut().filter(|_| bytes.windows(CATALOGUE.len()).any(|part| part == CATALOGUE)) {
            gate.pass(Held::Catalogue).await;
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
