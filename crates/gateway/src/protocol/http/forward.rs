//! The way to an upstream: connections that one workload's requests share, and the one place that sends a request.
//!
//! What is sent comes out of a receipt. Connections are dialled by `upstream/dial.rs`, and never shared between workloads:
//! what one leaves on a connection, no other finds (hazard HT01).

use std::collections::HashMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::header::HeaderValue;
use hyper::rt::Executor;
use hyper::{Request, Response, Uri, Version};
use hyper_util::rt::TokioIo;
use kernel::id::DecisionId;
use kernel::verdict::{Receipt, Terms};
use kernel::workload::Name;
use tokio::io::{AsyncRead, AsyncWrite};

use super::HttpGateway;
use super::sealed::unseal;
use super::slot::Slot;
use super::upload::Upload;
use super::upstream::HttpUpstream;
use super::watch::Pulse;
use crate::lanes;
use crate::tasks::Tasks;
use crate::upstream::credential::CredentialError;
use crate::upstream::dial::{DialError, TlsFault};

/// Idle connections that are kept of one workload to one upstream, on one lane.
const MOST_OF_ONE: usize = 16;
/// Idle connections that are kept in all.
const MOST_IN_ALL: usize = 1024;
/// How many looks an idle connection survives unused. See [`Pool::tidy`].
const LOOKS: u32 = 60;
/// The window of one connection of HTTP/2, in bytes: what may wait here for slow clients. By half of it h2 bounds what tiny frames
/// that wait cost, each counted as 256 bytes: events of a few bytes for one slow client must not end the streams of others.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// The longest head of an answer, in bytes.
const LONGEST_HEAD: usize = 128 * 1024;

/// Why a request was not answered by its upstream. The upstream, or what leads to it, is at fault, unless said otherwise.
#[derive(Debug, thiserror::Error)]
pub(super) enum ForwardError {
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The gateway is at fault, or the token endpoint.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The receipt holds no head; the gateway is at fault.
    #[error("the receipt holds no head of a request")]
    Sealed,
    #[error("the upstream broke the exchange")]
    Broken(#[source] hyper::Error),
    #[error("the upstream does not answer in time")]
    Late,
    #[error("the gateway stops")]
    Stopping,
}

/// An open connection to an upstream.
#[derive(Debug)]
pub(super) enum Link {
    Http1(http1::SendRequest<Upload>),
    Http2(http2::SendRequest<Upload>),
}

impl Link {
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    /// Can it take a request? Waits while the exchange before ends.
    async fn is_ready(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready() || sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.is_ready() || sender.ready().await.is_ok(),
        }
    }
}

/// What one workload may share: its own connections to one upstream, and of them those that its own lane moves; each message
/// on another's would wake that first.
type Key = (Name, Name, tokio::runtime::Id);

fn key(workload: &Name, upstream: &Name) -> Key {
    (workload.clone(), upstream.clone(), lanes::home().id())
}

/// Connections whose session has ended.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: Mutex<HashMap<Key, Vec<(Link, u32)>>>,
}

impl Pool {
    fn locked(&self) -> MutexGuard<'_, HashMap<Key, Vec<(Link, u32)>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn give(&self, workload: &Name, upstream: &Name, links: Vec<Link>) {
        if links.is_empty() {
            return;
        }
        let mut idle = self.locked();
        let room = MOST_IN_ALL.saturating_sub(idle.values().map(Vec::len).sum());
        let known = idle.entry(key(workload, upstream)).or_default();
        let room = room.min(MOST_OF_ONE.saturating_sub(known.len()));
        known.extend(links.into_iter().filter(|link| !link.is_closed()).take(room).map(|link| (link, 0)));
    }

    fn take(&self, workload: &Name, upstream: &Name) -> Option<Link> {
        let mut idle = self.locked();
        let known = idle.get_mut(&key(workload, upstream))?;
        std::iter::from_fn(|| known.pop()).map(|(link, _)| link).find(|link| !link.is_closed())
    }

    /// Drops what is closed or was not used for long. Called every second.
    pub(super) fn tidy(&self) {
        let mut idle = self.locked();
        for links in idle.values_mut() {
            links.retain_mut(|(link, looks)| {
                *looks += 1;
                *looks < LOOKS && !link.is_closed()
            });
        }
        idle.retain(|_, links| !links.is_empty());
    }
}

/// What an upstream answers.
pub(super) struct Forwarded {
    pub(super) decision: DecisionId,
    pub(super) terms: Arc<Terms>,
    pub(super) response: Response<Incoming>,
    /// The connection, to be given back when the answer has been read.
    pub(super) link: Option<Link>,
}

/// Which HTTP the upstream must speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// Whichever it prefers.
    Any,
    /// HTTP/2, as gRPC needs; by prior knowledge where there is no TLS to ask by.
    Http2,
    /// HTTP/1.1, as a change of protocol needs.
    Http1,
}

/// A request besides its head.
pub(super) struct Cargo {
    pub(super) upload: Upload,
    /// SHA-256 of the body, where it was read.
    pub(super) digest: Option<[u8; 32]>,
    pub(super) speaks: Speaks,
    /// The protocol that is changed to.
    pub(super) upgrade: Option<HeaderValue>,
    /// The answer may take its time, as that of a stream of messages.
    pub(super) patient: bool,
}

/// Sends what a receipt admits, and nothing else but the upstream's own credential.
pub(super) async fn forward(
    gateway: &HttpGateway,
    slot: &Slot,
    receipt: Receipt,
    cargo: Cargo,
    pulse: &Pulse,
) -> Result<Forwarded, ForwardError> {
    let (decision, terms) = (receipt.decision(), Arc::clone(receipt.terms()));
    let mut parts = unseal(receipt.into_wire()).ok_or(ForwardError::Sealed)?;
    let upstream = &*slot.upstream;
    if let Some(credential) = &upstream.credential {
        Box::pin(credential.apply(&mut parts, cargo.digest)).await?;
    }
    if let Some(protocol) = cargo.upgrade {
        parts.headers.insert(hyper::header::CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(hyper::header::UPGRADE, protocol);
    }
    let done = cargo.upload.done();
    let mut request = Request::from_parts(parts, cargo.upload);
    if cargo.patient {
        pulse.rest();
    } else {
        pulse.expect(upstream.limits.answer);
    }
    loop {
        let (mut link, kept) = match slot.take_link(cargo.speaks) {
            Some(link) => (link, true),
            None => {
                let known = gateway.pool.take(slot.workload(), &upstream.name);
                let known = known.filter(|link| fits(link, cargo.speaks));
                let kept = known.is_some();
                let link = match known {
                    Some(link) => link,
                    None => Box::pin(open(gateway, slot, cargo.speaks)).await?,
                };
                if let Link::Http2(sender) = &link {
                    // What comes next need not wait for this answer.
                    slot.give_link(Link::Http2(sender.clone()));
                }
                (link, kept)
            }
        };
        if !link.is_ready().await {
            if kept {
                continue;
            }
            return Err(ForwardError::Stopping);
        }
        shape(&mut request, upstream, &link);
        // Pinned where it is made: what is passed on by value has room twice.
        let answered = match &mut link {
            Link::Http1(sender) => answered(pin!(sender.try_send_request(request)), pulse).await,
            Link::Http2(sender) => answered(pin!(sender.try_send_request(request)), pulse).await,
        };
        match answered {
            Ok(response) => {
                pulse.rest();
                // The next request may not wait behind an upload that the upstream did not need.
                let reusable = matches!(link, Link::Http2(_)) || done.as_ref().is_none_or(is_done);
                let link = reusable.then_some(link);
                return Ok(Forwarded { decision, terms, response, link });
            }
            // A connection that was kept may have been closed just now. What was never written may be written to another.
            Err(Unanswered::Unsent(unsent)) if kept => request = *unsent,
            Err(Unanswered::Unsent(_)) => return Err(ForwardError::Stopping),
            Err(Unanswered::Late) => return Err(ForwardError::Late),
            Err(Unanswered::Broken(error)) => return Err(ForwardError::Broken(error)),
        }
    }
}

fn is_done(done: &Arc<AtomicBool>) -> bool {
    done.load(Ordering::Acquire)
}

pub(super) const fn fits(link: &Link, speaks: Speaks) -> bool {
    match (link, speaks) {
        (Link::Http1(_), Speaks::Any | Speaks::Http1) | (Link::Http2(_), Speaks::Any | Speaks::Http2) => true,
        (Link::Http1(_), Speaks::Http2) | (Link::Http2(_), Speaks::Http1) => false,
    }
}

enum Unanswered {
    Unsent(Box<Request<Upload>>),
    Late,
    Broken(hyper::Error),
}

async fn answered(
    sending: Pin<&mut impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>>>,
    pulse: &Pulse,
) -> Result<Response<Incoming>, Unanswered> {
    tokio::select! {
        biased;
        answered = sending => answered.map_err(|mut error| match error.take_message() {
            Some(unsent) => Unanswered::Unsent(Box::new(unsent)),
            None => Unanswered::Broken(error.into_error()),
        }),
        () = pulse.late() => Err(Unanswered::Late),
    }
}

/// Says where a request goes in the way of the protocol that is spoken.
fn shape(request: &mut Request<Upload>, upstream: &HttpUpstream, link: &Link) {
    match link {
        Link::Http1(_) => {
            *request.version_mut() = Version::HTTP_11;
            // What was meant for another connection of HTTP/2.
            if request.uri().authority().is_some() {
                let target = request.uri().path_and_query().cloned();
                *request.uri_mut() = target.map(Uri::from).unwrap_or_default();
                if let Ok(host) = HeaderValue::try_from(upstream.origin.authority()) {
                    request.headers_mut().insert(hyper::header::HOST, host);
                }
            }
        }
        Link::Http2(_) => {
            *request.version_mut() = Version::HTTP_2;
            request.headers_mut().remove(hyper::header::HOST);
            if request.uri().authority().is_some() {
                return;
            }
            let mut uri = std::mem::take(request.uri_mut()).into_parts();
            uri.scheme = upstream.origin.scheme().as_str().parse().ok();
            uri.authority = upstream.origin.authority().parse().ok();
            *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        }
    }
}

/// Opens a connection, by the right that the session's own receipt gives.
async fn open(gateway: &HttpGateway, slot: &Slot, speaks: Speaks) -> Result<Link, ForwardError> {
    let upstream = &*slot.upstream;
    let (address, within) = (upstream.origin.address(), upstream.limits.connect);
    let stream = gateway.dialler.dial(&address, within).await?;
    let Some(tls) = &upstream.tls else {
        return shake_hands(&gateway.tasks, stream, speaks == Speaks::Http2).await;
    };
    let tls = match &upstream.credential {
        Some(credential) => credential.tls(tls).await?,
        None => tls.clone(),
    };
    let tls = match speaks {
        Speaks::Any => tls.offering(&[crate::tls::ALPN_HTTP2, crate::tls::ALPN_HTTP1]),
        Speaks::Http2 => tls.offering(&[crate::tls::ALPN_HTTP2]),
        Speaks::Http1 => tls.offering(&[crate::tls::ALPN_HTTP1]),
    };
    let connecting = tokio::time::timeout(within, tls.connect(stream, &address)).await;
    let stream = connecting.map_err(|_elapsed| DialError::TimedOut { address: address.clone(), within })??;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(crate::tls::ALPN_HTTP2);
    if speaks == Speaks::Http2 && !http2 {
        return Err(DialError::Tls { address, fault: TlsFault::NothingInCommon }.into());
    }
    shake_hands(&gateway.tasks, stream, http2).await
}

async fn shake_hands<S>(tasks: &Tasks, stream: S, http2: bool) -> Result<Link, ForwardError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(stream);
    if http2 {
        let streams = Streams { tasks: tasks.clone() };
        let made = http2::Builder::new(streams)
            .max_header_list_size(u32::try_from(LONGEST_HEAD).unwrap_or(u32::MAX))
            .initial_stream_window_size(256 * 1024)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(stream)
            .await;
        let (sender, connection) = made.map_err(ForwardError::Broken)?;
        tasks.spawn("http upstream", ended(connection));
        return Ok(Link::Http2(sender));
    }
    let made = http1::Builder::new().max_buf_size(LONGEST_HEAD).handshake(stream).await;
    let (sender, connection) = made.map_err(ForwardError::Broken)?;
    tasks.spawn("http upstream", ended(connection.with_upgrades()));
    Ok(Link::Http1(sender))
}

async fn ended(connection: impl Future<Output = hyper::Result<()>>) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an upstream's connection ended");
    }
}

/// Runs the uploads of HTTP/2 connections to upstreams.
#[derive(Clone)]
struct Streams {
    tasks: Tasks,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        self.tasks.spawn("http upstream stream", stream);
    }
}
