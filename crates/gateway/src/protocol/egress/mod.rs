//! The egress gateway: what jobs and agents reach through `HTTPS_PROXY` and `HTTP_PROXY`. CONNECT, with policy on the host,
//! and plain `http://` requests.
//!
//! `head` reads what is asked for, `question` says it as policy sees it, `login` says who asks, `decide` whether it may be;
//! `tunnel` passes TLS on unread, once `hello` has seen that it is for the host that was asked for; `plain` passes on one
//! request. Where the host is a configured HTTP upstream's, `intercept` ends TLS with a certificate of `authority` and gives the
//! stream to `protocol/http`, which judges each request and adds the credential that the job does not have.

mod answer;
mod authority;
mod decide;
mod head;
mod hello;
mod intercept;
mod login;
mod moved;
mod plain;
mod question;
mod tunnel;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kernel::workload::Name;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use wire::http::Violation;
use wire::http::refuse::{Form, Refusal};

use self::moved::Idle;
use crate::login::logins::Logins;
use crate::protocol::http::HttpGateway;
use crate::session::Parts;
use crate::tls::Offer;
use crate::upstream::address::Reach;
use crate::upstream::dial::Dialler;

pub use self::authority::{CertificateAuthority, InvalidAuthority, Made, system_authorities};
pub use self::question::operation;

/// The protocol's name in lists and in the log.
pub(crate) const PROTOCOL: &str = "egress";
/// How long a client may take to say what it wants, and for each step of TLS.
const GREETING: Duration = Duration::from_secs(10);
/// How long opening a connection to a destination may take.
const CONNECT: Duration = Duration::from_secs(10);
/// A fatal alert, `unrecognized_name`, in a record of TLS.
const UNRECOGNIZED_NAME: &[u8] = &[0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x70];
/// How long the last words to a client may take.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What is fixed about an egress gateway.
#[derive(Debug)]
pub struct EgressSettings {
    /// Its name as an upstream: policies say `Upstream::"internet"` and `Host::"internet/api.example.com:443"`.
    pub name: Name,
    /// Which addresses may be dialled.
    pub reach: Reach,
    /// The most sessions at a time.
    pub max_sessions: usize,
}

/// The way in to configured upstreams: who serves them, and who vouches for the names.
#[derive(Debug)]
pub struct Interception {
    /// Serves them.
    pub http: Arc<HttpGateway>,
    /// Vouches for their names.
    pub authority: Arc<CertificateAuthority>,
}

/// Everything that egress sessions share.
#[derive(Debug)]
pub struct EgressGateway {
    parts: Parts,
    logins: Logins,
    dialler: Dialler,
    tls: Option<Offer>,
    name: Name,
    reach: Reach,
    places: Arc<Semaphore>,
    interception: Option<Interception>,
    idle: Idle,
}

impl EgressGateway {
    /// An egress gateway. Without `tls`, clients connect in clear: configuration allows that on loopback only.
    pub fn new(parts: Parts, logins: Logins, dialler: Dialler, tls: Option<Offer>, settings: EgressSettings) -> Self {
        let EgressSettings { name, reach, max_sessions } = settings;
        let places = Arc::new(Semaphore::new(max_sessions.min(Semaphore::MAX_PERMITS)));
        Self { parts, logins, dialler, tls, name, reach, places, interception: None, idle: Idle::default() }
    }

    /// The same, looking into what goes to configured upstreams. Without, all that is TLS passes unread.
    #[must_use]
    pub fn with_interception(self, interception: Interception) -> Self {
        Self { interception: Some(interception), ..self }
    }

    /// Ends tunnels in which nothing has moved for long. Never returns.
    pub async fn look_after(&self) {
        self.idle.look().await;
    }

    /// Handles one connection from its first byte to its end.
    pub async fn handle(&self, stream: TcpStream, peer: SocketAddr) {
        let Some(offer) = &self.tls else {
            return Box::pin(self.serve(stream, peer, false)).await;
        };
        let handshake = TlsAcceptor::from(offer.current()).accept(stream);
        let Ok(Ok(stream)) = tokio::time::timeout(GREETING, handshake).await else {
            tracing::debug!(source = %peer, "no TLS");
            return;
        };
        Box::pin(self.serve(stream, peer, true)).await;
    }

    async fn serve<S>(&self, mut stream: S, peer: SocketAddr, tls: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let asked = match tokio::time::timeout(GREETING, head::read(&mut stream)).await {
            Ok(Ok(asked)) => asked,
            Ok(Err(head::Unread::Malformed(violation))) => return self.malformed(&mut stream, violation).await,
            // It left, or never said anything.
            Ok(Err(head::Unread::Gone)) | Err(_) => return,
        };
        let arrival = self.parts.arrival(peer.ip(), tls);
        let proved = match self.prove(&arrival, &asked.parts.headers).await {
            Ok(proved) => proved,
            Err(unproved) => return self.refuse_login(&mut stream, &arrival, unproved).await,
        };
        let client = Client { peer, arrival, proved };
        match head::Wanted::of(&asked.parts) {
            Ok(head::Wanted::Tunnel(to)) => {
                drop(asked);
                self.connect(stream, client, to).await;
            }
            Ok(head::Wanted::Request(to)) => self.pass_on(stream, client, asked, to).await,
            Err(violation) => self.malformed(&mut stream, violation).await,
        }
    }

    /// A tunnel, or a look into it.
    async fn connect<S>(&self, stream: S, client: Client, to: head::Destination)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match self.interception.as_ref().filter(|through| to.port == 443 && through.http.names(&to.host.to_string())) {
            Some(through) => self.intercept(stream, client, to, through).await,
            None => self.tunnel(stream, client, to).await,
        }
    }

    async fn malformed(&self, stream: &mut (impl AsyncWrite + Unpin), violation: Violation) {
        tracing::debug!(%violation, hazard = violation.hazard(), "a request to the egress is malformed");
        let refusal = Refusal::violated(violation, None, &self.parts.public_url).closing();
        say(stream, &refusal.reply(Form::Problem).to_http1()).await;
    }
}

/// Who asks, from where.
struct Client {
    peer: SocketAddr,
    arrival: crate::session::Arrival,
    proved: login::Proved,
}

/// Says last words, and closes.
async fn say(stream: &mut (impl AsyncWrite + Unpin), words: &[u8]) {
    let said = async {
        stream.write_all(words).await?;
        stream.shutdown().await
    };
    if tokio::time::timeout(LAST_WORDS, said).await.is_err() {
        tracing::debug!("a client did not take its answer");
    }
}
