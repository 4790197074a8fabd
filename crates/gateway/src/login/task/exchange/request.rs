//! What is asked of an exchange, and why it is refused: the errors of RFC 6749 and RFC 8693, with what the log says of them.

use std::net::IpAddr;
use std::time::Duration;

use kernel::secret::Secret;
use kernel::task::Details;
use kernel::workload::Name;
use rustls::pki_types::CertificateDer;

/// A request, in a form that is known to be right.
#[derive(Debug)]
pub struct ExchangeRequest {
    /// The token of whoever it is for.
    pub subject: Secret<String>,
    /// The token of who acts for them.
    pub actor: Option<Secret<String>>,
    /// The upstreams that the token is for; empty: as the details say.
    pub audience: Vec<Name>,
    /// The task that is asked for.
    pub details: Option<Details>,
    /// How long the token should live.
    pub life: Option<Duration>,
    /// The thumbprint of the key that a DPoP proof proved.
    pub key: Option<String>,
    /// The certificate whose key the TLS handshake proved.
    pub certificate: Option<CertificateDer<'static>>,
    /// Where the request came from.
    pub source: IpAddr,
}

/// Why nothing is issued. What `Display` says is for the log; the caller gets the word and the decision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// The request is wrong in itself.
    #[error("{0}")]
    Request(&'static str),
    /// What was shown proves nothing, or nobody who may act.
    #[error("{0}")]
    Refused(String),
    /// An upstream that there is not, or that the workload may never open.
    #[error("an upstream that there is not, or that policy never lets the workload open")]
    Target,
    /// The task cannot be granted.
    #[error("{0}")]
    Details(String),
    /// Too many of this issuer's tokens were exchanged of late.
    #[error("too many exchanges of issuer `{0}` within a minute")]
    TooMany(String),
    /// It cannot be done now.
    #[error("{0}")]
    Unavailable(&'static str),
}

impl ExchangeError {
    /// The error code (RFC 6749, section 5.2; RFC 8693, section 2.2.2; RFC 8707; RFC 9396, section 5).
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Request(_) | Self::Refused(_) => "invalid_request",
            Self::Target => "invalid_target",
            Self::Details(_) => "invalid_authorization_details",
            Self::TooMany(_) => "slow_down",
            Self::Unavailable(_) => "server_error",
        }
    }

    /// What the caller may know of it: nothing of what a stranger's token was found to be.
    pub fn told(&self) -> &str {
        match self {
            Self::Request(told) | Self::Unavailable(told) => told,
            Self::Refused(_) => {
                "what was shown is not accepted; the workload's owner finds the reason in the audit log"
            }
            Self::TooMany(_) => "too many exchanges; try again in a minute",
            Self::Target => "an upstream is not known, or not open to the workload",
            // About a task, which the caller wrote, and a workload that was proven.
            Self::Details(told) => told,
        }
    }
}
