//! Who asks: `Proxy-Authorization`, with a token behind `Bearer`, or as the password behind `Basic`, as
//! `https_proxy=http://job:TOKEN@gateway:port` makes every client send it.
//!
//! A stranger learns nothing: whatever is wrong with a proof, the answer is the same 407, and the log holds the reason.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use kernel::trust::{Authenticated, IdentityRefusal, VerifiedAttestation};
use kernel::verdict::Undecidable;
use tokio::io::AsyncWrite;
use wire::http::head::{CallerCredential, CredentialScheme};
use wire::http::refuse::{Form, Refusal};
use zeroize::Zeroizing;

use super::EgressGateway;
use super::say;
use crate::login::task::ShownBeside;
use crate::session::Arrival;

/// What a client gets that has not proved who it is.
const WHO_ARE_YOU: &[u8] = b"HTTP/1.1 407 Proxy Authentication Required\r\n\
    Proxy-Authenticate: Basic realm=\"parapet\"\r\nCache-Control: no-store\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Somebody who has proved it.
pub(super) struct Proved {
    pub(super) who: Authenticated,
    pub(super) proofs: Arc<[VerifiedAttestation]>,
    /// The name that it gave, if it gave one.
    pub(super) claimed: Option<String>,
}

/// Somebody who has not.
pub(super) enum Unproved {
    /// Nothing was shown. Clients try so first, and show it when they are asked.
    Nothing,
    /// What was shown does not do: for the log alone.
    Refused {
        /// The name that it gave.
        claimed: String,
        /// Why.
        why: String,
    },
}

impl Unproved {
    pub(super) fn identity(claimed: Option<&str>, error: &IdentityRefusal) -> Self {
        Self::Refused { claimed: claimed.unwrap_or_default().to_owned(), why: error.to_string() }
    }
}

impl EgressGateway {
    /// Verifies what the client shows.
    pub(super) async fn prove(&self, arrival: &Arrival, headers: &HeaderMap) -> Result<Proved, Unproved> {
        let refused = |claimed: &str, why: String| Unproved::Refused { claimed: claimed.to_owned(), why };
        let shown = CallerCredential::for_proxy(headers).map_err(|violation| refused("", violation.to_string()))?;
        let Some(shown) = shown else { return Err(Unproved::Nothing) };
        let (claimed, token) = match shown.scheme {
            CredentialScheme::Bearer => (None, Zeroizing::new(shown.token.expose().clone())),
            CredentialScheme::Basic => basic(shown.token.expose())
                .ok_or_else(|| refused("", "the basic credential is malformed".to_owned()))?,
            CredentialScheme::Dpop | CredentialScheme::Other => {
                return Err(refused("", "another scheme than `Basic` and `Bearer`".to_owned()));
            }
        };
        let name = claimed.as_deref().unwrap_or_default();
        let beside = ShownBeside { certificate: None, key: None };
        let attested = self.logins.attest_token(&token, beside, arrival.source).await;
        let proofs = [attested.map_err(|why| refused(name, why))?];
        let who = match claimed.as_deref() {
            Some(claimed) => self.parts.authenticate(&proofs, claimed),
            None => self.parts.authenticate_unclaimed(&proofs),
        };
        let who = who.map_err(|error| Unproved::identity(claimed.as_deref(), &error))?;
        let who = who.ok_or_else(|| refused(name, "no attestation was shown".to_owned()))?;
        Ok(Proved { who, proofs: proofs.into(), claimed })
    }

    /// Refuses a login: the log learns why, the client does not.
    pub(super) async fn refuse_login(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        arrival: &Arrival,
        unproved: Unproved,
    ) {
        let Unproved::Refused { claimed, why } = unproved else { return say(stream, WHO_ARE_YOU).await };
        tracing::info!(session = %arrival.id, source = %arrival.source, why, "login refused");
        if self.parts.enter_login_refused(arrival, &claimed, &why).await.is_ok() {
            return say(stream, WHO_ARE_YOU).await;
        }
        let refusal = Refusal::undecided(Undecidable::AuditUnavailable, None, &self.parts.public_url).closing();
        say(stream, &refusal.reply(Form::Problem).to_http1()).await;
    }
}

/// `name:token` in base64 (RFC 7617). A name that is empty claims nothing.
fn basic(text: &str) -> Option<(Option<String>, Zeroizing<String>)> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    let (name, token) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    let claimed = Some(name.to_owned()).filter(|name| !name.is_empty());
    Some((claimed, Zeroizing::new(token.to_owned())))
}
