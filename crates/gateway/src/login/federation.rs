//! Bundle endpoints of SPIFFE federation that authenticate by an X.509-SVID: the profile `https_spiffe` (SPIFFE Federation,
//! section 5.2.2). The certificate must be an SVID of the configured id, and its chain end in the bundle of that id's own trust
//! domain; the name of the host proves nothing. The profile `https_web` is the ordinary HTTPS of `fetch.rs`.
//!
//! An endpoint that serves the bundle of its own trust domain is verified by what it served last, and the first time by a
//! bundle that the operator gives.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use kernel::ports::Clock;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};

use super::bundle::Authorities;
use super::jwks::Keys;
use super::trust_domains::{is_svid_of, unix};

/// A bundle endpoint of the profile `https_spiffe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiffeEndpoint {
    /// The SPIFFE id of its server.
    pub id: String,
    /// The bundle of that id's trust domain, as a document: what counts until it was fetched once.
    pub bootstrap: Option<Vec<u8>>,
}

/// The authorities that an endpoint's certificate must come from.
pub(super) struct EndpointTrust {
    /// Those of the id's trust domain. Weak: the keys hold the fetcher that holds this.
    keys: OnceLock<Weak<Keys>>,
    bootstrap: Option<Arc<Authorities>>,
}

impl EndpointTrust {
    pub(super) fn new(bootstrap: Option<Arc<Authorities>>) -> Arc<Self> {
        Arc::new(Self { keys: OnceLock::new(), bootstrap })
    }

    /// Joins it with the keys of the id's trust domain.
    pub(super) fn follow(&self, keys: &Arc<Keys>) {
        self.keys.get_or_init(|| Arc::downgrade(keys));
    }

    /// What was fetched last, however old: an endpoint that was gone for a while must be able to come back.
    fn authorities(&self) -> Option<Arc<Authorities>> {
        let fetched = self.keys.get().and_then(Weak::upgrade).and_then(|keys| keys.latest_authorities());
        fetched.or_else(|| self.bootstrap.clone())
    }
}

/// Verifies the certificate of one endpoint.
pub(super) struct EndpointVerifier {
    id: String,
    trust: Arc<EndpointTrust>,
    clock: Arc<dyn Clock>,
    provider: Arc<CryptoProvider>,
}

impl EndpointVerifier {
    pub(super) fn new(id: String, trust: Arc<EndpointTrust>, clock: Arc<dyn Clock>) -> Self {
        Self { id, trust, clock, provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()) }
    }
}

impl fmt::Debug for EndpointVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointVerifier").field("id", &self.id).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for EndpointVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _host: &ServerName<'_>,
        _stapled: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let refused = |why: CertificateError| Err(rustls::Error::InvalidCertificate(why));
        if !is_svid_of(leaf, &self.id) {
            return refused(CertificateError::NotValidForName);
        }
        let Some(authorities) = self.trust.authorities() else { return refused(CertificateError::UnknownIssuer) };
        if !authorities.verify_server(leaf, rest, unix(self.clock.now())) {
            return refused(CertificateError::UnknownIssuer);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
