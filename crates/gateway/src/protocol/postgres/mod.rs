//! PostgreSQL: protocol 3.0 and 3.2, simple and extended queries, COPY, cancel.
//!
//! `negotiate` and `login` bring a connection to a session; `serve` runs it; `client` and `server` handle the messages of
//! either side; `hold` waits for people; `connect` and `catalogue` are the gateway's own connections to the upstream.

mod cancel;
mod catalogue;
mod channel;
mod client;
mod connect;
mod control;
mod copies;
mod diagnostics;
mod extended;
mod hold;
mod login;
mod negotiate;
mod prepared;
mod prove;
mod refuse;
mod request;
mod sample;
mod serve;
mod server;
mod stream;
mod watch;
mod written;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use wire::postgres::refuse::Sqlstate;

use self::cancel::CancelKeys;
use self::channel::Channel;
use self::negotiate::Greeting;
use self::stream::ClientStream;
use crate::login::bearer::BearerLogins;
use crate::login::logins::Logins;
use crate::login::native::NativeLogins;
use crate::login::oidc::Issuers;
use crate::login::task::TaskTokens;
use crate::session::Parts;
use crate::tls::Offer;
use crate::upstream::dial::Dialler;

pub use self::catalogue::Guarded;
pub use self::connect::{ConnectError, Detect, PostgresUpstream};
pub use self::sample::{Sample, SampleError, Sampled};

/// The protocol's name in lists and in the log.
pub(crate) const PROTOCOL: &str = "postgres";
/// How long a client may take to say what it wants.
const GREETING: Duration = Duration::from_secs(10);

/// Everything that PostgreSQL sessions share.
#[derive(Debug)]
pub struct PostgresGateway {
    pub(crate) parts: Parts,
    logins: Logins,
    bearer: Option<Arc<BearerLogins>>,
    pub(crate) dialler: Dialler,
    tls: Option<Offer>,
    upstreams: Vec<Arc<Guarded>>,
    cancel_keys: Arc<CancelKeys>,
}

impl PostgresGateway {
    /// A gateway for the given upstreams. Without `tls`, clients connect in clear: configuration allows that on loopback
    /// only.
    pub fn new(
        parts: Parts,
        issuers: Arc<Issuers>,
        dialler: Dialler,
        tls: Option<Offer>,
        upstreams: Vec<Arc<Guarded>>,
    ) -> Self {
        Self { parts, logins: Logins::new(issuers), bearer: None, dialler, tls, upstreams, cancel_keys: Arc::default() }
    }

    /// The same, taking native tokens too. Without, each is refused.
    #[must_use]
    pub fn with_native_tokens(self, native: Arc<NativeLogins>) -> Self {
        Self { logins: self.logins.with_native_tokens(native), ..self }
    }

    /// The same, asking some names for their tokens by OAUTHBEARER. Without, tokens are passwords.
    #[must_use]
    pub fn with_bearer_logins(self, bearer: Arc<BearerLogins>) -> Self {
        Self { bearer: Some(bearer), ..self }
    }

    /// The same, taking Parapet's own tokens too. Without, each is refused.
    #[must_use]
    pub fn with_task_tokens(self, tasks: Arc<TaskTokens>) -> Self {
        Self { logins: self.logins.with_task_tokens(tasks), ..self }
    }

    /// The upstream that a client means by a database name: an upstream's name, or the database of exactly one.
    fn resolve(&self, database: &str) -> Option<Arc<Guarded>> {
        let by_name = self.upstreams.iter().find(|guarded| guarded.upstream.name.as_str() == database);
        by_name.cloned().or_else(|| {
            let mut serving = self.upstreams.iter().filter(|guarded| guarded.upstream.database == database);
            let only = serving.next()?;
            serving.next().is_none().then(|| Arc::clone(only))
        })
    }

    /// Handles one connection from its first byte to its end.
    pub async fn handle(&self, stream: TcpStream, peer: SocketAddr) {
        // Each phase in a box of its own that is gone before the next begins: thousands of idle sessions should not carry
        // the memory of their logins.
        let tls = self.tls.as_ref().map(Offer::current);
        let greeted = Box::pin(negotiate::greet(stream, tls.as_ref(), GREETING)).await;
        let greeting = match greeted {
            Ok(greeting) => greeting,
            Err(error) => {
                tracing::debug!(source = %peer, %error, "no greeting");
                return;
            }
        };
        match greeting {
            // Whether the key was right is not told, and takes the same time.
            Greeting::Cancel { process_id, secret } => self.cancel_keys.cancel(process_id, &secret),
            Greeting::Session(stream, request) => {
                let tls = matches!(stream, ClientStream::Tls(_));
                let arrival = self.parts.arrival(peer.ip(), tls);
                let request = match *request {
                    Ok(request) => request,
                    Err(refusal) => {
                        let told = refusal.to_string();
                        self.turn_away(stream, refusal.sqlstate(), &format!("{told} [{}]", arrival.id)).await;
                        return;
                    }
                };
                if self.tls.is_some() && !tls {
                    // A token must not travel in clear (PW04); it has not been asked for yet.
                    let line = format!("connections need TLS: use sslmode=require or stronger [{}]", arrival.id);
                    self.turn_away(stream, Sqlstate::INVALID_AUTHORIZATION, &line).await;
                    return;
                }
                let logged_in = Box::pin(login::log_in(self, arrival, stream, request)).await;
                match logged_in {
                    Ok(ready) => Box::pin(serve::serve(self, ready)).await,
                    Err(error) => tracing::debug!(session = %arrival.id, %error, "no session"),
                }
            }
        }
    }

    async fn turn_away(&self, stream: ClientStream, sqlstate: Sqlstate, line: &str) {
        let mut channel = Channel::new(stream);
        if let Err(error) = login::tell(&mut channel, sqlstate, line, None).await {
            tracing::debug!(%error, "a refusal did not reach its client");
        }
    }
}
