//! The bundle of a SPIFFE trust domain: a JWK set whose keys sign JWT-SVIDs (`use` is `jwt-svid`) or are the authorities of
//! X.509-SVIDs (`x509-svid`), with a sequence and a hint when to ask again (SPIFFE Trust Domain and Bundle, section 4).
//!
//! Which domain a bundle may speak for is `trust_domains.rs`; how it is kept fresh, `jwks.rs`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::json::{self, Json, Object};
use super::jwks::{KeysError, MOST_KEYS, Purpose, VerifyingKey, parse};

/// What a bundle's document says.
#[derive(Debug)]
pub(super) struct Bundle {
    /// The keys of JWT-SVIDs, by `kid`.
    pub(super) keys: HashMap<String, Arc<VerifyingKey>>,
    /// The authorities of X.509-SVIDs.
    pub(super) authorities: Arc<Authorities>,
    /// Grows with each change.
    pub(super) sequence: Option<u64>,
    /// How often the domain wishes to be asked.
    pub(super) refresh_hint: Option<Duration>,
}

impl Bundle {
    /// Reads the document. Keys for other uses are passed over; an authority that is none makes the whole bundle worthless,
    /// since nobody could tell which SVIDs it was meant to admit.
    pub(super) fn read(text: &[u8]) -> Result<Self, KeysError> {
        let set = json::object(text).ok_or(KeysError::NotKeys)?;
        let Some(Json::Array(keys)) = set.get("keys") else { return Err(KeysError::NotKeys) };
        if keys.len() > MOST_KEYS {
            return Err(KeysError::TooMany);
        }
        let mut authorities = Vec::new();
        for key in keys {
            let Json::Object(key) = key else { return Err(KeysError::NotKeys) };
            if key.get("use") == Some(&Json::Text("x509-svid".to_owned())) {
                authorities.push(authority(key).ok_or(KeysError::NotAuthority)?);
            }
        }
        let number = |member: &str| match set.get(member) {
            Some(Json::Integer(number)) => u64::try_from(*number).ok(),
            _ => None,
        };
        Ok(Self {
            keys: parse(text, Purpose::JwtSvids)?,
            authorities: Arc::new(Authorities::of(authorities)?),
            sequence: number("spiffe_sequence"),
            refresh_hint: number("spiffe_refresh_hint").map(Duration::from_secs),
        })
    }
}

/// The authority of a key: its `x5c`, which has one certificate, of which the first would count (section 4.2.2).
fn authority(key: &Object) -> Option<CertificateDer<'static>> {
    let Some(Json::Array(chain)) = key.get("x5c") else { return None };
    let Some(Json::Text(first)) = chain.first() else { return None };
    STANDARD.decode(first).ok().map(CertificateDer::from)
}

/// The authorities of X.509-SVIDs of one trust domain.
pub(super) struct Authorities {
    count: usize,
    roots: Arc<RootCertStore>,
    /// None where there is no authority: then no SVID is genuine.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl Authorities {
    /// Authorities in DER, as bundles and the Workload API have them.
    pub(super) fn of(certificates: Vec<CertificateDer<'static>>) -> Result<Self, KeysError> {
        if certificates.len() > MOST_KEYS {
            return Err(KeysError::TooMany);
        }
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            if !may_sign(&certificate) {
                return Err(KeysError::NotAuthority);
            }
            roots.add(certificate).map_err(|_unparsable| KeysError::NotAuthority)?;
        }
        let (count, roots) = (roots.len(), Arc::new(roots));
        if count == 0 {
            return Ok(Self { count, roots, verifier: None });
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider)
            .build()
            .map_err(|_unusable| KeysError::NotAuthority)?;
        Ok(Self { count, roots, verifier: Some(verifier) })
    }

    /// How many.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Does the chain, leaf first, end in one of them, with every certificate valid at this time?
    pub(super) fn verify(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> bool {
        let (Some(verifier), Some((leaf, rest))) = (&self.verifier, chain.split_first()) else { return false };
        verifier.verify_client_cert(leaf, rest, now).is_ok()
    }

    /// The same for a server's certificate and the rest of its chain. Whose it is, is for the caller to know.
    pub(super) fn verify_server(&self, leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>], now: UnixTime) -> bool {
        let Ok(leaf) = ParsedCertificate::try_from(leaf) else { return false };
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        verify_server_cert_signed_by_trust_anchor(&leaf, &self.roots, rest, now, algorithms.all).is_ok()
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities").field("count", &self.count).finish_non_exhaustive()
    }
}

/// Is it a certificate that may sign others? A leaf in a bundle would admit itself.
fn may_sign(certificate: &CertificateDer<'_>) -> bool {
    let Ok((rest, parsed)) = X509Certificate::from_der(certificate) else { return false };
    let is_authority = parsed.basic_constraints().is_ok_and(|found| found.is_some_and(|found| found.value.ca));
    let signs = parsed.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()));
    rest.is_empty() && is_authority && signs
}

#[cfg(test)]
mod tests;
