//! The token endpoint: exchange (RFC 8693), keys, metadata (RFC 8414), introspection (RFC 7662) and revocation (RFC 7009), on a
//! listener of its own that workloads reach. It has no route of the admin API, and knows nothing of how tokens are made:
//! that comes as functions in [`TokenEndpointParts`].

mod answer;
mod form;
mod handlers;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use kernel::ports::{Clock, PortFuture};
use kernel::secret::Secret;
use kernel::task::Details;
use kernel::workload::Name;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::people::People;
use crate::rate::Rates;
use crate::serve::serve_connection;

/// The largest body: two tokens and a task.
const LARGEST: usize = 64 * 1024;
/// Calls of an address a minute.
const MOST_CALLS: u32 = 600;
/// No request takes longer: an issuer's keys may have to be fetched.
const LONGEST: Duration = Duration::from_secs(15);

/// An exchange that is asked for. See `handlers.rs` for what each comes from.
#[derive(Debug)]
pub struct ExchangeAsked {
    /// The token of whoever it is for.
    pub subject: Secret<String>,
    /// The token of who acts for them.
    pub actor: Option<Secret<String>>,
    /// The upstreams that the token is for.
    pub audience: Vec<Name>,
    /// The task.
    pub details: Option<Details>,
    /// The thumbprint of the key that a DPoP proof proved.
    pub key: Option<String>,
    /// The certificate whose key the TLS handshake proved, in DER.
    pub certificate: Option<Vec<u8>>,
    /// Where the request came from.
    pub source: IpAddr,
}

/// What an exchange yields.
#[derive(Debug)]
pub struct ExchangeGiven {
    /// The token.
    pub token: Secret<String>,
    /// Is it bound to a key that DPoP proves?
    pub dpop: bool,
    /// How long it lives.
    pub life: Duration,
    /// What was granted.
    pub details: Value,
}

/// Why an exchange, or another call, was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error code of OAuth.
    pub code: &'static str,
    /// What the caller may know.
    pub told: String,
    /// The decision, under which the log says more.
    pub decision: Option<String>,
}

/// A DPoP proof that is shown: the header, the method, the place, and the token that it must be for.
#[derive(Debug)]
pub struct ProofShown {
    /// The text of the header.
    pub proof: String,
    /// The method.
    pub method: &'static str,
    /// The place.
    pub place: String,
    /// The token that is used to get in.
    pub token: Option<Secret<String>>,
}

/// Exchanges.
pub type ExchangeFor = Arc<dyn Fn(ExchangeAsked) -> PortFuture<'static, Result<ExchangeGiven, Refusal>> + Send + Sync>;
/// Verifies a DPoP proof: the thumbprint of its key.
pub type Prove = Arc<dyn Fn(ProofShown) -> PortFuture<'static, Result<String, Refusal>> + Send + Sync>;
/// What a token is; an object with `active`.
pub type Introspect = Arc<dyn Fn(&str) -> Value + Send + Sync>;
/// Is this a token of a workload, shown by who may show it: beside the certificate, and the key that was proved?
pub type IsWorkload = Arc<dyn Fn(&str, Option<&[u8]>, Option<&str>) -> bool + Send + Sync>;
/// Ends the task of a token that is shown by who may show it; a refusal if it is not for its holder to end.
pub type EndToken = Arc<
    dyn Fn(Secret<String>, Option<Vec<u8>>, Option<String>) -> PortFuture<'static, Result<(), Refusal>> + Send + Sync,
>;

/// What the endpoint works on.
pub struct TokenEndpointParts {
    /// The `iss` of the tokens.
    pub issuer: String,
    /// Where the endpoint is, as callers name it, without a slash at the end.
    pub url: String,
    /// Exchanges.
    pub exchange: ExchangeFor,
    /// Verifies DPoP proofs.
    pub prove: Prove,
    /// The nonce that proofs need now.
    pub nonce: Arc<dyn Fn() -> String + Send + Sync>,
    /// Introspects.
    pub introspect: Introspect,
    /// Tells who may introspect.
    pub is_workload: IsWorkload,
    /// Ends tasks.
    pub end: EndToken,
    /// The public keys.
    pub jwks: Arc<dyn Fn() -> Value + Send + Sync>,
    /// People, who may introspect as administrators.
    pub people: watch::Receiver<Arc<People>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for TokenEndpointParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenEndpointParts").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The endpoint, which takes connections.
#[derive(Clone)]
pub struct TokenEndpoint {
    router: Router,
}

impl std::fmt::Debug for TokenEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenEndpoint").finish_non_exhaustive()
    }
}

/// Whose connection it is.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The address.
    pub address: SocketAddr,
    /// The certificate whose key the TLS handshake proved, in DER.
    pub certificate: Option<Vec<u8>>,
}

/// What the handlers share.
struct Shared {
    parts: TokenEndpointParts,
    rates: Rates,
}

impl TokenEndpoint {
    /// The endpoint.
    pub fn new(parts: TokenEndpointParts) -> Self {
        let shared = Arc::new(Shared { parts, rates: Rates::new(MOST_CALLS) });
        let router = Router::new()
            .route("/token", post(handlers::token))
            .route("/introspect", post(handlers::introspect))
            .route("/revoke", post(handlers::revoke))
            .route("/jwks", get(handlers::jwks))
            .route("/.well-known/oauth-authorization-server", get(handlers::metadata))
            .fallback(handlers::no_route)
            .method_not_allowed_fallback(handlers::no_method)
            .layer(DefaultBodyLimit::max(LARGEST))
            .with_state(shared);
        Self { router }
    }

    /// Serves one connection to its end.
    pub async fn serve<S>(self, stream: S, caller: Caller)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let router = self.router.layer(axum::Extension(caller));
        serve_connection(stream, router, std::future::pending(), "a connection to the token endpoint").await;
    }
}
