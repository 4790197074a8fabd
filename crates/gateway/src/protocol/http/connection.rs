//! One client's connection from its first byte to its end: TLS, which HTTP is spoken, hyper's server, and the sessions that
//! the requests on it have begun.
//!
//! What becomes of one request is `exchange.rs`.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kernel::trust::VerifiedAttestation;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::HttpGateway;
use super::answer::Answer;
use super::exchange;
use super::line::{Guarded, Line};
use super::slot::Slot;
use super::watch::Pulse;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// What a client that speaks HTTP/2 without asking sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The longest head that hyper reads; the parser before it has a lower cap.
const HEAD_BUFFER: usize = 96 * 1024;
/// Streams of one HTTP/2 connection at a time.
const STREAMS: u32 = 128;
/// The window of one stream, and of all of one connection, in bytes: what may wait here for a slow upstream.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// The longest list of headers, in bytes as HPACK counts them.
const HEADER_LIST: u32 = 64 * 1024;
/// Streams that were reset and not yet taken notice of: beyond it the connection ends (CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// Streams that the gateway had to reset itself: beyond it the connection ends (CVE-2025-8671).
const OWN_RESETS: usize = 128;
/// Sessions of one connection. A client that shows more credentials than this ends its oldest.
pub(super) const MOST_SESSIONS: usize = 64;

type Tunnel = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The program at the other end of one connection.
pub(super) struct Caller {
    pub(super) gateway: Arc<HttpGateway>,
    pub(super) source: IpAddr,
    pub(super) tls: bool,
    pub(super) http2: bool,
    /// The name that the TLS handshake asked for.
    pub(super) sni: Option<String>,
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) line: Arc<Line>,
    /// What was proved before HTTP began, and the name that was claimed: then no request proves anything itself.
    pub(super) given: Option<(Arc<[VerifiedAttestation]>, Option<String>)>,
    slots: Mutex<Vec<Arc<Slot>>>,
    /// One login at a time: streams that come together with one credential share a session.
    pub(super) logging_in: tokio::sync::Mutex<()>,
    pulses: Mutex<Vec<Arc<Pulse>>>,
    tunnel: Mutex<Option<Tunnel>>,
}

impl Caller {
    /// Nobody: for what the gateway carries out when its client has gone.
    pub(super) fn nobody(gateway: &Arc<HttpGateway>, source: IpAddr, tls: bool) -> Arc<Self> {
        Arc::new(Self {
            gateway: Arc::clone(gateway),
            source,
            tls,
            http2: true,
            sni: None,
            certificates: Vec::new(),
            line: Line::new(false, gateway.watch.pulse()),
            given: None,
            slots: Mutex::default(),
            logging_in: tokio::sync::Mutex::default(),
            pulses: Mutex::default(),
            tunnel: Mutex::default(),
        })
    }

    pub(super) fn slots(&self) -> MutexGuard<'_, Vec<Arc<Slot>>> {
        locked(&self.slots)
    }

    /// A pulse for one exchange; give it back.
    pub(super) fn take_pulse(&self) -> Arc<Pulse> {
        let pulse = locked(&self.pulses).pop();
        pulse.unwrap_or_else(|| self.gateway.watch.pulse())
    }

    pub(super) fn give_pulse(&self, pulse: Arc<Pulse>) {
        pulse.rest();
        // An upload that the answer did not wait for may still have it.
        if Arc::strong_count(&pulse) == 1 {
            locked(&self.pulses).push(pulse);
        }
    }

    /// What runs on the connection when HTTP has ended there.
    pub(super) fn set_tunnel(&self, tunnel: impl Future<Output = ()> + Send + 'static) {
        *locked(&self.tunnel) = Some(Box::pin(tunnel));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whatever panicked under the lock left a list that is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stream on which HTTP begins.
#[derive(Debug)]
pub struct Given {
    /// The client.
    pub peer: SocketAddr,
    /// Does TLS protect it?
    pub tls: bool,
    /// The name that the TLS handshake asked for.
    pub sni: Option<String>,
    /// Is it HTTP/2?
    pub h2: bool,
    /// What was read of it already.
    pub ahead: Vec<u8>,
    /// The chain of certificates whose key the client has shown to have.
    pub certificates: Vec<CertificateDer<'static>>,
    /// What the client has proved, if that was before; its requests' own credentials are then taken out unread.
    pub proofs: Option<Arc<[VerifiedAttestation]>>,
    /// The name that it claimed with it.
    pub claimed: Option<String>,
}

impl HttpGateway {
    /// Is this host, in lower case, one of an upstream's?
    pub fn names(&self, host: &str) -> bool {
        self.routes.knows(host)
    }

    /// Handles one connection from its first byte to its end.
    pub async fn handle(self: &Arc<Self>, mut stream: TcpStream, peer: SocketAddr) {
        let Some(offer) = &self.tls else {
            let mut ahead = Vec::new();
            let found = tokio::time::timeout(HANDSHAKE, preface(&mut stream, &mut ahead)).await;
            let Ok(Ok(h2)) = found else { return };
            let (sni, certificates) = (None, Vec::new());
            let given = Given { peer, tls: false, sni, h2, ahead, certificates, proofs: None, claimed: None };
            return self.serve_stream(stream, given).await;
        };
        let handshake = TlsAcceptor::from(offer.current()).accept(stream);
        let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, handshake).await else {
            tracing::debug!(source = %peer, "no TLS");
            return;
        };
        let session = stream.get_ref().1;
        let h2 = session.alpn_protocol() == Some(crate::tls::ALPN_HTTP2);
        let sni = session.server_name().map(str::to_ascii_lowercase);
        let certificates = session.peer_certificates().map(<[_]>::to_vec).unwrap_or_default();
        let given = Given { peer, tls: true, sni, h2, ahead: Vec::new(), certificates, proofs: None, claimed: None };
        self.serve_stream(stream, given).await;
    }

    /// Serves HTTP/1.1 or HTTP/2 on a stream whose TLS, if any, has ended before.
    pub async fn serve_stream<S>(self: &Arc<Self>, stream: S, given: Given)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Given { peer, tls, sni, h2, ahead, certificates, proofs, claimed } = given;
        let line = Line::new(!h2, self.watch.pulse());
        let caller = Arc::new(Caller {
            gateway: Arc::clone(self),
            source: peer.ip(),
            tls,
            http2: h2,
            sni,
            certificates,
            line: Arc::clone(&line),
            given: proofs.map(|proofs| (proofs, claimed)),
            slots: Mutex::default(),
            logging_in: tokio::sync::Mutex::default(),
            pulses: Mutex::default(),
            tunnel: Mutex::default(),
        });
        let stream = Guarded::new(stream, ahead, line);
        let why = if h2 { serve_http2(&caller, stream).await } else { serve_http1(&caller, stream).await };
        exchange::enter_broken(&caller).await;
        let slots = std::mem::take(&mut *caller.slots());
        for slot in slots {
            slot.end(why).await;
        }
    }
}

/// Reads until it is plain whether HTTP/2 begins. What was read is left in `ahead`.
async fn preface(stream: &mut (impl AsyncRead + Unpin), ahead: &mut Vec<u8>) -> std::io::Result<bool> {
    loop {
        if !PREFACE.starts_with(ahead.get(..PREFACE.len()).unwrap_or(ahead)) {
            return Ok(false);
        }
        if ahead.len() >= PREFACE.len() {
            return Ok(true);
        }
        if stream.read_buf(ahead).await? == 0 {
            return Ok(false);
        }
    }
}

async fn serve_http1<S>(caller: &Arc<Caller>, stream: Guarded<S>) -> &'static str
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let why = {
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(HEAD_BUFFER)
            .serve_connection(TokioIo::new(stream), service(caller))
            .with_upgrades();
        let mut connection = pin!(connection);
        let turn = |context: &mut Context<'_>, draining| {
            if draining {
                connection.as_mut().graceful_shutdown();
            }
            connection.as_mut().poll(context)
        };
        drive(caller, turn).await
    };
    let tunnel = locked(&caller.tunnel).take();
    if let Some(tunnel) = tunnel {
        tunnel.await;
    }
    why
}

async fn serve_http2<S>(caller: &Arc<Caller>, stream: Guarded<S>) -> &'static str
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let streams = Streams::default();
    let mut running = FuturesUnordered::new();
    let connection = http2::Builder::new(streams.clone())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_LIST)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(OWN_RESETS)
        .serve_connection(TokioIo::new(stream), service(caller));
    let mut connection = pin!(connection);
    let turn = |context: &mut Context<'_>, draining| {
        if draining {
            connection.as_mut().graceful_shutdown();
        }
        let ended = connection.as_mut().poll(context);
        run(&streams, &mut running, context);
        ended
    };
    drive(caller, turn).await
}

/// Takes turns of hyper's until the connection ends, and tells it when the gateway stops. Why it ended.
async fn drive(
    caller: &Caller,
    mut turn: impl FnMut(&mut Context<'_>, bool) -> Poll<hyper::Result<()>>,
) -> &'static str {
    let mut stopping = caller.gateway.tasks.stopping();
    let mut stopped = stopping.clone();
    let mut draining = false;
    loop {
        tokio::select! {
            biased;
            // First: what is answered once the stop has begun says that it is the last answer.
            () = stopping.begun(), if !draining => draining = true,
            ended = poll_fn(|context| turn(context, draining)) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a client's connection ended");
                }
                return if draining { "drained" } else { "closed" };
            }
            () = caller.line.pulse.late() => return "deadline",
            // Time enough to enter the ends of the sessions, and no more.
            () = stopped.over() => return "drained",
        }
    }
}

type Exchange = Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;

fn service(
    caller: &Arc<Caller>,
) -> impl hyper::service::Service<Request<Incoming>, Response = Response<Answer>, Error = Infallible, Future = Exchange>
+ use<> {
    let caller = Arc::clone(caller);
    service_fn(move |request| -> Exchange {
        let caller = Arc::clone(&caller);
        // At once: hyper looks for the end of the stream before it lets the exchange begin.
        let busy = caller.line.begin();
        Box::pin(async move { Ok(exchange::exchange(&caller, request, busy).await) })
    })
}

type Stream = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where hyper puts the streams of one HTTP/2 connection: they run in the connection's own task, and end with it.
#[derive(Clone, Default)]
struct Streams {
    fresh: Arc<Mutex<Vec<Stream>>>,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        locked(&self.fresh).push(Box::pin(stream));
    }
}

/// Runs the streams as far as they get.
fn run(streams: &Streams, running: &mut FuturesUnordered<Stream>, context: &mut Context<'_>) {
    loop {
        running.extend(locked(&streams.fresh).drain(..));
        while let Poll::Ready(Some(())) = running.poll_next_unpin(context) {}
        if locked(&streams.fresh).is_empty() {
            return;
        }
    }
}
