//! Client certificates in the handshake, where trust domains of SPIFFE are configured. TLS proves that the client has the key
//! of what it shows; for an X.509-SVID that is all here, since `login/trust_domains.rs` verifies its chain and enters what is
//! wrong with it; every other certificate must chain to a configured authority, or the handshake fails.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use crate::login::trust_domains::{TrustDomains, Voucher};

/// Takes SVIDs for the login to verify, and leaves the rest to the configured authorities.
pub(super) struct ClientCertificates {
    domains: Arc<TrustDomains>,
    others: Option<Arc<dyn ClientCertVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertificates {
    pub(super) fn new(domains: Arc<TrustDomains>, others: Option<Arc<dyn ClientCertVerifier>>) -> Self {
        let algorithms = super::provider().signature_verification_algorithms;
        Self { domains, others, algorithms }
    }
}

impl fmt::Debug for ClientCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificates").field("domains", &self.domains).finish_non_exhaustive()
    }
}

impl ClientCertVerifier for ClientCertificates {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: bundles rotate, and hints would tell strangers whom the gateway trusts.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match (self.domains.voucher(leaf), &self.others) {
            (Voucher::TrustDomains, _) => Ok(ClientCertVerified::assertion()),
            (Voucher::Authorities, Some(others)) => others.verify_client_cert(leaf, rest, now),
            (Voucher::Authorities, None) => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
