//! The endpoints of security events (SSF 1.0), on a listener of their own: transmitters push to us (RFC 8935), receivers
//! manage and read our streams. Nobody is a person here; each stream and each receiver has a token of its own.
//!
//! What an event means and whether it is genuine is not known here: `SsfParts` has a function for it.

mod push;
mod serve;
pub mod transmit;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, patch, post};
use kernel::ports::PortFuture;
use kernel::workload::Name;
use subtle::ConstantTimeEq as _;

pub use crate::serve::{Accept, Connection};
pub use serve::serve;

/// Why an event that was pushed is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushRefusal {
    /// The transmitter is at fault: a code of RFC 8935, section 2.4.
    Refused(&'static str),
    /// It is to come again.
    Later,
}

/// Takes an event that came by a stream. Without an error its effects are durable.
pub type Receive = Arc<dyn Fn(Name, String) -> PortFuture<'static, Result<(), PushRefusal>> + Send + Sync>;

/// The streams that push, and SHA-256 of the token of each.
pub type PushStreams = Arc<dyn Fn() -> BTreeMap<Name, [u8; 32]> + Send + Sync>;

/// What the endpoints work on.
pub struct SsfParts {
    /// The streams that push, and SHA-256 of the token of each, as they are configured now.
    pub streams: PushStreams,
    /// Takes an event.
    pub receive: Receive,
    /// Our own streams, if we make events.
    pub transmitting: Option<transmit::Transmitting>,
}

impl std::fmt::Debug for SsfParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SsfParts").field("streams", &(self.streams)().len()).finish_non_exhaustive()
    }
}

/// The longest body, in bytes.
const LONGEST: usize = 64 * 1024;

pub(crate) fn router(parts: &Arc<SsfParts>) -> Router {
    Router::new()
        .route("/ssf/push/{stream}", post(push::push))
        .route("/.well-known/ssf-configuration", get(transmit::configuration))
        .route("/ssf/jwks", get(transmit::jwks))
        .route("/ssf/stream", get(transmit::show).post(transmit::create).delete(transmit::delete))
        .route("/ssf/stream", patch(transmit::change).put(transmit::change))
        .route("/ssf/status", get(transmit::status).post(transmit::set_status))
        .route("/ssf/verify", post(transmit::verify))
        .route("/ssf/poll/{receiver}", post(transmit::poll))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(DefaultBodyLimit::max(LONGEST))
        .with_state(Arc::clone(parts))
}

/// Does the caller show the token with this hash? None where nobody could.
pub(crate) fn shows(headers: &HeaderMap, hash: Option<&[u8; 32]>) -> bool {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let shown = values.next().and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("Bearer "));
    let (Some(shown), None) = (shown, values.next()) else { return false };
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, shown.as_bytes());
    // Compared even where there is none, so that the time says nothing about which streams there are.
    let (known, hash) = (hash.is_some(), hash.copied().unwrap_or_default());
    bool::from(digest.as_ref().ct_eq(&hash)) && known
}

#[cfg(test)]
mod tests;
