//! HTTP: the reverse gateway. HTTP/1.1, HTTP/2, WebSocket and gRPC, streamed both ways.
//!
//! `connection` serves one client's connection, behind the strict reader of `line`; `login` brings a request to a session
//! (`slot`); `exchange` judges it, and holds it where people must approve (`hold`), or keeps it for later (`kept`); `forward` sends what a receipt admits;
//! `returned` makes the client's answer of the upstream's; `upload` and `answer` are the bodies either way, `masking` and `decoding` what is replaced in them, `echo` and `written` what
//! must not come back in them, `tunnel` what follows a change of protocol. `watch` has the deadlines.

mod answer;
mod asked;
mod cargo;
mod connection;
mod decoding;
mod echo;
mod exchange;
mod forward;
mod hold;
mod kept;
mod line;
mod login;
mod masking;
mod probe;
mod refuse;
mod returned;
mod sealed;
mod slot;
mod tunnel;
mod upload;
mod upstream;
mod watch;
mod written;

use std::sync::Arc;

use kernel::ports::KeptRequests;

use self::forward::Pool;
use self::kept::Keeper;
use self::upstream::Routes;
use self::watch::Watch;
use crate::login::dpop::DpopProofs;
use crate::login::logins::Logins;
use crate::session::Parts;
use crate::tasks::Tasks;
use crate::tls::Offer;
use crate::upstream::dial::Dialler;

pub use self::asked::{HttpRoutes, NotUnderstood, Told, Understood};
pub use self::connection::Given;
pub use self::kept::KeepLimits;
pub use self::upstream::{HttpLimits, HttpUpstream, InvalidHttpUpstream, MaskKeys, Upgrades};

/// The protocol's name in lists and in the log.
pub(crate) const PROTOCOL: &str = "http";

/// Everything that HTTP sessions share.
#[derive(Debug)]
pub struct HttpGateway {
    parts: Parts,
    logins: Logins,
    dpop: Option<Arc<DpopProofs>>,
    dialler: Dialler,
    tls: Option<Offer>,
    routes: Routes,
    tasks: Tasks,
    pool: Arc<Pool>,
    watch: Arc<Watch>,
    kept: Option<Keeper>,
}

impl HttpGateway {
    /// A gateway for the given upstreams, whose own work runs in `tasks`. Without `tls`, clients connect in clear:
    /// configuration allows that on loopback only.
    ///
    /// # Errors
    /// A prefix of an upstream's cannot be what a request is for.
    pub fn new(
        parts: Parts,
        logins: Logins,
        dialler: Dialler,
        tls: Option<Offer>,
        upstreams: &[Arc<HttpUpstream>],
        tasks: Tasks,
    ) -> Result<Self, InvalidHttpUpstream> {
        let (pool, watch) = (Arc::new(Pool::default()), Arc::new(Watch::default()));
        let routes = Routes::new(upstreams)?;
        Ok(Self { parts, logins, dpop: None, dialler, tls, routes, tasks, pool, watch, kept: None })
    }

    /// The same, taking tokens that are bound to a key (RFC 9449). Without, each is refused.
    #[must_use]
    pub fn with_dpop(self, dpop: Arc<DpopProofs>) -> Self {
        Self { dpop: Some(dpop), ..self }
    }

    /// The same, keeping requests while people are asked, for upstreams that allow it and clients that prefer it. Somebody must
    /// [carry them out](Self::carry_out_kept).
    #[must_use]
    pub fn with_kept_requests(self, store: Arc<dyn KeptRequests>) -> Self {
        Self { kept: Some(Keeper::new(store)), ..self }
    }

    /// Carries out kept requests when people have approved them, those of before the start too. Returns when the process stops
    /// and none is being sent any more.
    pub async fn carry_out_kept(self: &Arc<Self>) {
        kept::carry_out(self).await;
    }

    /// Looks after deadlines and idle connections. Never returns.
    pub async fn look_after(&self) {
        self.watch.look(&self.pool).await;
    }
}

#[cfg(test)]
mod tests;
