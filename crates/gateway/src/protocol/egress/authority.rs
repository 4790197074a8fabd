//! The gateway's own certificate authority: it vouches for the hosts of configured upstreams towards clients of the egress.
//! Leaf certificates live for a day, their keys in memory alone. When the authority is followed by another is not its affair.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kernel::ports::Clock;
use kernel::time::{Timestamp, civil_from_days};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::tls::{self, ServerTls, TlsError};

/// How many hosts' certificates are kept.
const MOST: usize = 1024;
/// How long a certificate is shown: half of its life.
const SHOWN: Duration = Duration::from_secs(12 * 3600);
/// The life of the authority, in days.
const LIFE: i64 = 3 * 365;
const DAY: i64 = 86_400_000;

/// Why an authority cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAuthority {
    /// Its certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A certificate could not be made.
    #[error("a certificate could not be made")]
    NotMade,
}

impl From<rcgen::Error> for InvalidAuthority {
    fn from(_: rcgen::Error) -> Self {
        Self::NotMade
    }
}

/// The authorities that the operating system trusts, as PEM: for variables that replace a client's authorities instead of
/// adding to them. Reads files.
pub fn system_authorities() -> String {
    let found = rustls_native_certs::load_native_certs();
    let mut text = String::new();
    for certificate in found.certs {
        let encoded = STANDARD.encode(&certificate);
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        for (index, char) in encoded.chars().enumerate() {
            if index > 0 && index % 64 == 0 {
                text.push('\n');
            }
            text.push(char);
        }
        text.push_str("\n-----END CERTIFICATE-----\n");
    }
    text
}

/// An authority that was just made, as PEM.
pub struct Made {
    /// Its certificate, which clients are to trust.
    pub certificate: String,
    /// Its key.
    pub key: Zeroizing<String>,
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Made").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

struct Leaf {
    config: Arc<ServerConfig>,
    until: Timestamp,
}

/// The authority, as which another may go on.
pub struct CertificateAuthority {
    signing: RwLock<Arc<Signing>>,
    clock: Arc<dyn Clock>,
}

/// One key, and what it has vouched for.
struct Signing {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    leaves: Mutex<HashMap<String, Leaf>>,
}

impl CertificateAuthority {
    /// Makes an authority. `label` tells it from those of other gateways, in lists that people see.
    pub fn make(label: &str, now: Timestamp) -> Result<Made, InvalidAuthority> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named(&format!("Parapet egress {label}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        spanning(&mut params, now, LIFE);
        let certificate = params.self_signed(&key)?.pem();
        Ok(Made { certificate, key: Zeroizing::new(key.serialize_pem()) })
    }

    /// Of its certificate and key, as PEM.
    pub fn new(certificate: &str, key: &str, clock: Arc<dyn Clock>) -> Result<Self, InvalidAuthority> {
        Ok(Self { signing: RwLock::new(Arc::new(Signing::new(certificate, key)?)), clock })
    }

    /// Vouches as another authority from the next handshake on. Connections that are open stay.
    pub fn replace(&self, certificate: &str, key: &str) -> Result<(), InvalidAuthority> {
        let next = Arc::new(Signing::new(certificate, key)?);
        *self.signing.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// Until when it counts.
    pub fn until(&self) -> Option<Timestamp> {
        tls::validity(&self.signing().certificate).map(|(_, until)| until)
    }

    /// What is offered to clients that want this host.
    pub fn server(&self, host: &str) -> Result<Arc<ServerConfig>, InvalidAuthority> {
        self.signing().server(host, self.clock.now())
    }

    fn signing(&self) -> Arc<Signing> {
        Arc::clone(&self.signing.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Signing {
    fn new(certificate: &str, key: &str) -> Result<Self, InvalidAuthority> {
        let chain = tls::certificates(certificate.as_bytes())?;
        let own = chain.into_iter().next().ok_or(TlsError::NoCertificate)?;
        let key = KeyPair::from_pem(key).map_err(|_unusable| TlsError::BadKey)?;
        let (public, is_authority) = public_key(&own).ok_or(TlsError::BadCertificate)?;
        if public.as_slice() != key.public_key_raw() {
            return Err(TlsError::OtherKey.into());
        }
        // rcgen does not look at it, and clients would refuse every leaf.
        if !is_authority {
            return Err(TlsError::BadAuthority.into());
        }
        let issuer = Issuer::from_ca_cert_der(&own, key).map_err(|_unusable| TlsError::BadAuthority)?;
        Ok(Self { issuer, certificate: own, leaves: Mutex::default() })
    }

    fn server(&self, host: &str, now: Timestamp) -> Result<Arc<ServerConfig>, InvalidAuthority> {
        if let Some(leaf) = self.leaves().get(host).filter(|leaf| now < leaf.until) {
            return Ok(Arc::clone(&leaf.config));
        }
        let config = self.issue(host, now)?;
        let mut leaves = self.leaves();
        if leaves.len() >= MOST {
            leaves.retain(|_, leaf| now < leaf.until);
        }
        if leaves.len() >= MOST {
            // Hosts are configured, so that this many are rare; the next client brings those back that are used.
            leaves.clear();
        }
        leaves.insert(host.to_owned(), Leaf { config: Arc::clone(&config), until: now.after(SHOWN) });
        Ok(config)
    }

    fn issue(&self, host: &str, now: Timestamp) -> Result<Arc<ServerConfig>, InvalidAuthority> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([host.to_owned()])?;
        params.distinguished_name = named(host.get(..64).unwrap_or(host));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Whole days: clients' clocks may be a little behind.
        spanning(&mut params, now, 2);
        let leaf = params.signed_by(&key, &self.issuer)?;
        let chain = vec![leaf.der().clone(), self.certificate.clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(ServerTls::speaking_http(&*ServerTls::new(chain, key, None)?))
    }

    fn leaves(&self) -> std::sync::MutexGuard<'_, HashMap<String, Leaf>> {
        self.leaves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority").field("leaves", &self.signing().leaves().len()).finish_non_exhaustive()
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

/// From yesterday on, for so many days.
fn spanning(params: &mut CertificateParams, now: Timestamp, days: i64) {
    let ((year, month, first), (to_year, to_month, last)) = (day(now, -1), day(now, days));
    params.not_before = rcgen::date_time_ymd(year, month, first);
    params.not_after = rcgen::date_time_ymd(to_year, to_month, last);
}

/// The year, month and day that is so many days from today.
fn day(now: Timestamp, days: i64) -> (i32, u8, u8) {
    let (year, month, day) = civil_from_days(now.millis().div_euclid(DAY) + days);
    let narrow = |value: i64| u8::try_from(value).unwrap_or(1);
    (i32::try_from(year).unwrap_or(2100), narrow(month), narrow(day))
}

/// The public key of a certificate, as it stands there, and whether it may vouch for others.
fn public_key(certificate: &CertificateDer<'_>) -> Option<(Vec<u8>, bool)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some((parsed.public_key().subject_public_key.data.to_vec(), parsed.is_ca()))
}

#[cfg(test)]
mod tests;
