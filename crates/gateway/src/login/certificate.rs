//! Client certificates: what a chain that TLS has already verified says about its holder. Names are alternative names of the
//! subject, never its common name (standards §1.3).
//!
//! Chain, times and possession of the key are verified in the handshake, by `tls.rs`. X.509-SVIDs are `trust_domains.rs`.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use kernel::time::Timestamp;
use kernel::trust::VerifiedAttestation;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::jwks::KeysError;

/// The longest name, in bytes: that of a SPIFFE id.
const LONGEST_NAME: usize = 2048;

/// Why a client certificate proves nothing, although its chain is trusted. For the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateRefusal {
    /// There is none.
    #[error("no certificate was shown")]
    Absent,
    /// It cannot be parsed.
    #[error("it cannot be parsed, or has an extension twice")]
    Malformed,
    /// It may sign others: an authority is no workload.
    #[error("it is an authority's, or may sign certificates")]
    Authority,
    /// No DNS name, URI or mail address among its alternative names.
    #[error("it has no DNS name, URI or mail address as subject alternative name")]
    NoName,
    /// Several names of one kind: a rule that names one would also let in the holders of the others.
    #[error("it has more than one `{0}`")]
    Ambiguous(&'static str),
    /// A name that is empty, too long, or has other than printable ASCII characters.
    #[error("its `{0}` is not printable ASCII, or empty, or too long")]
    BadName(&'static str),
    /// An X.509-SVID has exactly one URI.
    #[error("it has a SPIFFE id among several URIs")]
    SeveralUris,
    /// A URI of SPIFFE's scheme that is no id of a workload.
    #[error("its URI is no SPIFFE id of a workload")]
    NotSpiffeId,
    /// A trust domain that is not configured.
    #[error("its trust domain `{domain}` is not configured")]
    TrustDomain {
        /// Which, shortened.
        domain: String,
    },
    /// A leaf that may not sign in handshakes.
    #[error("its key usage is not for digital signatures")]
    Usage,
    /// Past its end.
    #[error("it expired at {at}")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// Its trust domain's bundle cannot be had. Not the client's fault.
    #[error("trust domain `{domain}`: {error}")]
    Bundle {
        /// Which.
        domain: String,
        /// Why.
        error: KeysError,
    },
    /// Its chain does not end in the bundle of its own trust domain, or is not valid now.
    #[error("its chain does not end in the bundle of its own trust domain `{domain}`, or is not valid now")]
    Untrusted {
        /// Which.
        domain: String,
    },
}

/// What the holder of the first certificate of a verified chain proves: its alternative names as the claims `san:dns`,
/// `san:uri` and `san:email`, of which each stands once at most, compared as they stand.
pub fn attest(chain: &[CertificateDer<'_>]) -> Result<VerifiedAttestation, CertificateRefusal> {
    let leaf = chain.first().ok_or(CertificateRefusal::Absent)?;
    let (rest, parsed) = X509Certificate::from_der(leaf).map_err(|_invalid| CertificateRefusal::Malformed)?;
    if !rest.is_empty() {
        return Err(CertificateRefusal::Malformed);
    }
    let malformed = |_twice| CertificateRefusal::Malformed;
    let usage = parsed.key_usage().map_err(malformed)?;
    let constraints = parsed.basic_constraints().map_err(malformed)?;
    if constraints.is_some_and(|constraints| constraints.value.ca)
        || usage.is_some_and(|usage| usage.value.key_cert_sign() || usage.value.crl_sign())
    {
        return Err(CertificateRefusal::Authority);
    }
    let names = parsed.subject_alternative_name().map_err(malformed)?.ok_or(CertificateRefusal::NoName)?;
    let mut claims = BTreeMap::new();
    for name in &names.value.general_names {
        let (kind, name) = match name {
            GeneralName::DNSName(name) => ("san:dns", *name),
            GeneralName::URI(name) => ("san:uri", *name),
            GeneralName::RFC822Name(name) => ("san:email", *name),
            GeneralName::Invalid(..) => return Err(CertificateRefusal::Malformed),
            // No rule can name these.
            GeneralName::OtherName(..)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::IPAddress(_)
            | GeneralName::RegisteredID(_) => continue,
        };
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CertificateRefusal::BadName(kind));
        }
        if claims.insert(kind.to_owned(), name.to_owned()).is_some() {
            return Err(CertificateRefusal::Ambiguous(kind));
        }
    }
    if claims.is_empty() {
        return Err(CertificateRefusal::NoName);
    }
    let expires = Timestamp::from_secs(parsed.validity().not_after.timestamp());
    #[expect(clippy::disallowed_methods, reason = "TLS has verified the chain and the possession of the key")]
    let attestation = VerifiedAttestation::by_client_certificate(&fingerprint(leaf), claims, expires);
    Ok(attestation.issued_at(Timestamp::from_secs(parsed.validity().not_before.timestamp())))
}

/// SHA-256 of the DER form, in hexadecimal.
pub(super) fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    digest(&SHA256, certificate).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
