//! TLS on both sides, by rustls alone: what clients are offered, what is demanded of upstreams, certificates and keys from
//! PEM, and what SCRAM binds to.
//!
//! Who a client certificate makes its holder is `login/certificate.rs` and `login/trust_domains.rs`.

mod clients;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{self, Algorithm as Digest};
use kernel::time::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::oid_registry as oids;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::signature_algorithm::SignatureAlgorithm;

use self::clients::ClientCertificates;
use crate::login::trust_domains::TrustDomains;
use crate::login::workload_api::OwnSvid;
use crate::upstream::dial::{Address, DialError, Stream, TlsFault};

/// The ALPN name of PostgreSQL. Direct TLS needs it, so that no client of another protocol is taken for one of PostgreSQL
/// (hazard PW03).
pub const ALPN_POSTGRESQL: &[u8] = b"postgresql";
/// The ALPN name of HTTP/2 (RFC 9113, section 3.2).
pub const ALPN_HTTP2: &[u8] = b"h2";
/// The ALPN name of HTTP/1.1 (RFC 7301, section 6).
pub const ALPN_HTTP1: &[u8] = b"http/1.1";

/// TLS material that cannot be used. The configuration is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("`{}` cannot be read: {kind}", .path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        kind: std::io::ErrorKind,
    },
    /// It has PEM markers, but is not whole.
    #[error("the PEM text is damaged")]
    DamagedPem,
    /// No `BEGIN CERTIFICATE`.
    #[error("there is no certificate in the PEM text")]
    NoCertificate,
    /// No private key.
    #[error("there is no private key in the PEM text")]
    NoKey,
    /// A private key under a passphrase.
    #[error(
        "the private key is encrypted; store it without a passphrase, and protect it by a secret command or by file mode"
    )]
    EncryptedKey,
    /// More than one private key, so that it is not plain which is meant.
    #[error("there is more than one private key in the PEM text")]
    ManyKeys,
    /// The certificate cannot be parsed.
    #[error("a certificate cannot be parsed")]
    BadCertificate,
    /// The key cannot be used.
    #[error("the private key is of a kind or size that TLS does not use here")]
    BadKey,
    /// Key and certificate differ.
    #[error("the private key does not belong to the first certificate; the chain begins with the gateway's own")]
    OtherKey,
    /// An authority that cannot be one.
    #[error("a certificate cannot serve as an authority")]
    BadAuthority,
    /// No authority at all: every certificate would be refused.
    #[error("there is no certificate authority to trust")]
    NoAuthority,
    /// The crypto provider does not fit; the gateway is at fault.
    #[error("the TLS library refuses its own settings")]
    Unusable,
}

/// The certificates of a PEM file, in order.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text =
        std::fs::read(path).map_err(|error| TlsError::Unreadable { path: path.to_owned(), kind: error.kind() })?;
    certificates(&text)
}

/// The certificates of a PEM text, in order; at least one. Other sections are passed over.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(|_| TlsError::DamagedPem)?;
    if found.is_empty() { Err(TlsError::NoCertificate) } else { Ok(found) }
}

/// The one private key of a PEM text: PKCS #8, PKCS #1 or SEC 1.
pub fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    let mut keys = PrivateKeyDer::pem_slice_iter(text);
    let key = match keys.next() {
        Some(Ok(key)) => key,
        None if mentions_encrypted_key(text) => return Err(TlsError::EncryptedKey),
        None => return Err(TlsError::NoKey),
        Some(Err(_)) => return Err(TlsError::DamagedPem),
    };
    match keys.next() {
        None => Ok(key),
        Some(Ok(_)) => Err(TlsError::ManyKeys),
        Some(Err(_)) => Err(TlsError::DamagedPem),
    }
}

fn mentions_encrypted_key(text: &[u8]) -> bool {
    let marker = b"BEGIN ENCRYPTED PRIVATE KEY";
    text.windows(marker.len()).any(|window| window == marker)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// What the gateway shows to clients.
#[derive(Debug)]
pub enum Shown {
    /// A certificate from a file: the chain, leaf first, and its key.
    Certificate(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
    /// The gateway's own X.509-SVID, as it is at each handshake.
    Svid(Arc<OwnSvid>),
}

/// What clients are offered.
#[derive(Debug)]
#[non_exhaustive]
pub struct ServerTls {}

impl ServerTls {
    /// TLS 1.3 with `chain`, leaf first, and its `key`; ALPN `postgresql`. With `client_ca`, a client may show a certificate:
    /// it must then chain to one of these authorities, or the handshake fails; a client without one goes on, to prove
    /// itself otherwise.
    ///
    /// Sessions are not resumed: a ticket would let a client in whose certificate has expired, or whose authority was
    /// removed, since it was issued.
    #[expect(clippy::new_ret_no_self, reason = "rustls' own type is what an acceptor takes")]
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        client_ca: Option<Vec<CertificateDer<'static>>>,
    ) -> Result<Arc<ServerConfig>, TlsError> {
        Self::showing(Shown::Certificate(chain, key), client_ca, None)
    }

    /// What is offered to clients of HTTP: the same in all but the protocols, of which HTTP/2 goes first.
    pub fn speaking_http(config: &ServerConfig) -> Arc<ServerConfig> {
        let mut config = config.clone();
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
        Arc::new(config)
    }

    /// The same, for what the gateway shows, and with X.509-SVIDs of the trust `domains`, which the login verifies.
    pub fn showing(
        shown: Shown,
        client_ca: Option<Vec<CertificateDer<'static>>>,
        domains: Option<Arc<TrustDomains>>,
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|_unusable| TlsError::Unusable)?;
        let others = client_ca.map(by_authorities).transpose()?;
        let builder = match (domains.filter(|domains| !domains.is_empty()), others) {
            (None, None) => builder.with_no_client_auth(),
            (None, Some(others)) => builder.with_client_cert_verifier(others),
            (Some(domains), others) => {
                builder.with_client_cert_verifier(Arc::new(ClientCertificates::new(domains, others)))
            }
        };
        let mut config = match shown {
            Shown::Svid(svid) => builder.with_cert_resolver(svid),
            Shown::Certificate(chain, key) => builder.with_single_cert(chain, key).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => TlsError::OtherKey,
                rustls::Error::NoCertificatesPresented => TlsError::NoCertificate,
                rustls::Error::InvalidCertificate(_) => TlsError::BadCertificate,
                _ => TlsError::BadKey,
            })?,
        };
        config.alpn_protocols = vec![ALPN_POSTGRESQL.to_vec()];
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Arc::new(config))
    }
}

/// What handshakes are given: it can be replaced while the gateway runs. Clones share it; sessions that are open stay.
#[derive(Clone, Debug)]
pub struct Offer {
    current: Arc<ArcSwap<ServerConfig>>,
}

impl Offer {
    /// Begins with this.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self { current: Arc::new(ArcSwap::new(config)) }
    }

    /// What the next handshake is given.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// From the next handshake on, this.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.current.store(config);
    }
}

/// From when to when a certificate counts; none if it cannot be parsed.
pub fn validity(certificate: &CertificateDer<'_>) -> Option<(Timestamp, Timestamp)> {
    let (rest, parsed) = X509Certificate::from_der(certificate).ok()?;
    let at = |time: x509_parser::time::ASN1Time| Timestamp::from_secs(time.timestamp());
    rest.is_empty().then(|| (at(parsed.validity().not_before), at(parsed.validity().not_after)))
}

fn by_authorities(authorities: Vec<CertificateDer<'static>>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots(authorities)?), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|_unusable| TlsError::NoAuthority)
}

fn roots(authorities: Vec<CertificateDer<'static>>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority).map_err(|_unparsable| TlsError::BadAuthority)?;
    }
    if roots.is_empty() { Err(TlsError::NoAuthority) } else { Ok(roots) }
}

/// What is demanded of an upstream: TLS 1.3 or 1.2, a certificate that chains to a trusted authority and names the host as
/// configured (what libpq calls `verify-full`). There is no weaker setting.
#[derive(Clone)]
pub struct UpstreamTls {
    config: Arc<ClientConfig>,
}

impl UpstreamTls {
    /// Trusts the authorities that the operating system trusts, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`. Reads files.
    pub fn system() -> Result<Self, TlsError> {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a system certificate authority cannot be read");
        }
        let mut roots = RootCertStore::empty();
        // Old systems carry some authorities that webpki does not parse: those are left out, not a reason to trust none.
        let (_added, ignored) = roots.add_parsable_certificates(found.certs);
        if ignored > 0 {
            tracing::debug!(ignored, "system certificate authorities that cannot be parsed");
        }
        Self::trusting(roots)
    }

    /// Trusts `authorities` and no other.
    pub fn with_authorities(authorities: Vec<CertificateDer<'static>>) -> Result<Self, TlsError> {
        Self::trusting(roots(authorities)?)
    }

    fn trusting(roots: RootCertStore) -> Result<Self, TlsError> {
        if roots.is_empty() {
            return Err(TlsError::NoAuthority);
        }
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|_unusable| TlsError::Unusable)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Every connection verifies the certificate anew, and SCRAM binds to one that was shown on this very connection.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self { config: Arc::new(config) })
    }

    /// Accepts the certificates that `verifier` accepts, for servers that are known by something else than their host's name.
    pub(crate) fn verified_by(verifier: Arc<dyn rustls::client::danger::ServerCertVerifier>) -> Result<Self, TlsError> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|_unusable| TlsError::Unusable)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self { config: Arc::new(config) })
    }

    /// Asks for one application protocol, as direct TLS does. An upstream that knows none goes on without.
    #[must_use]
    pub fn speaking(mut self, alpn: &[u8]) -> Self {
        Arc::make_mut(&mut self.config).alpn_protocols = vec![alpn.to_vec()];
        self
    }

    /// The same, naming these application protocols in this order. An upstream that knows none goes on without, or ends the
    /// handshake.
    #[must_use]
    pub fn offering(&self, protocols: &[&[u8]]) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Self { config: Arc::new(config) }
    }

    /// The same, showing a client certificate to servers that ask for one: the chain, leaf first, and its key.
    pub fn showing(&self, chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, TlsError> {
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::OtherKey,
            rustls::Error::InvalidCertificate(_) => TlsError::BadCertificate,
            _ => TlsError::BadKey,
        })?;
        let mut config = ClientConfig::clone(&self.config);
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));
        Ok(Self { config: Arc::new(config) })
    }

    /// Does the handshake over a dialled stream. `address` is the configured one: the certificate must be for its host. The
    /// deadline is the caller's.
    pub async fn connect(&self, stream: Stream, address: &Address) -> Result<TlsStream<Stream>, DialError> {
        let failed = |fault| DialError::Tls { address: address.clone(), fault };
        let Address::Tcp { host, .. } = address else {
            return Err(failed(TlsFault::Unnamed));
        };
        let name = ServerName::try_from(host.clone()).map_err(|_invalid| failed(TlsFault::Unnamed))?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        connector.connect(name, stream).await.map_err(|error| failed(fault(&error)))
    }

    /// The `tls-server-end-point` channel binding of a connection (RFC 5929, section 4.1); none where it is not defined.
    pub fn server_end_point(&self, stream: &TlsStream<Stream>) -> Option<Vec<u8>> {
        server_end_point(stream.get_ref().1.peer_certificates()?.first()?)
    }
}

impl fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamTls").finish_non_exhaustive()
    }
}

/// What went wrong in a handshake, out of the error that rustls wrapped for `AsyncRead`.
fn fault(error: &std::io::Error) -> TlsFault {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return TlsFault::Broken;
    };
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsFault::Untrusted,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => TlsFault::OtherName,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsFault::Time,
            _ => TlsFault::Certificate,
        },
        rustls::Error::AlertReceived(_) => TlsFault::Refused,
        rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol => TlsFault::NothingInCommon,
        _ => TlsFault::Garbled,
    }
}

/// The hash of a server's certificate that SCRAM binds to (RFC 5929, section 4.1): by the hash function of the
/// certificate's own signature, but SHA-256 in place of MD5 and SHA-1. None where that is undefined, as for Ed25519: then
/// PostgreSQL has no channel binding either.
pub fn server_end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (rest, parsed) = X509Certificate::from_der(certificate).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let algorithm = &parsed.signature_algorithm;
    let digest = if algorithm.algorithm == oids::OID_PKCS1_RSASSAPSS {
        let SignatureAlgorithm::RSASSA_PSS(parameters) = SignatureAlgorithm::try_from(algorithm).ok()? else {
            return None;
        };
        digest_of(parameters.hash_algorithm_oid())?
    } else {
        digest_of(&algorithm.algorithm)?
    };
    Some(digest::digest(digest, certificate).as_ref().to_vec())
}

fn digest_of(algorithm: &oids::Oid<'_>) -> Option<&'static Digest> {
    let by: &[(&'static Digest, &[oids::Oid<'static>])] = &[
        (
            &digest::SHA256,
            &[
                oids::OID_PKCS1_SHA256WITHRSA,
                oids::OID_SIG_ECDSA_WITH_SHA256,
                oids::OID_NIST_HASH_SHA256,
                // The weak ones, for which the RFC puts SHA-256.
                oids::OID_PKCS1_MD5WITHRSAENC,
                oids::OID_PKCS1_SHA1WITHRSA,
                oids::OID_HASH_SHA1,
            ],
        ),
        (
            &digest::SHA384,
            &[oids::OID_PKCS1_SHA384WITHRSA, oids::OID_SIG_ECDSA_WITH_SHA384, oids::OID_NIST_HASH_SHA384],
        ),
        (
            &digest::SHA512,
            &[oids::OID_PKCS1_SHA512WITHRSA, oids::OID_SIG_ECDSA_WITH_SHA512, oids::OID_NIST_HASH_SHA512],
        ),
        (&digest::SHA224, &[oids::OID_PKCS1_SHA224WITHRSA, oids::OID_SIG_ECDSA_WITH_SHA224]),
    ];
    by.iter().find_map(|(digest, oids)| oids.contains(algorithm).then_some(*digest))
}

#[cfg(test)]
mod tests;
