//! The trust domains of SPIFFE whose SVIDs are accepted: each with its own bundle, which vouches for its own ids and for no
//! other's (hazard ID13; X509-SVID, section 5). Says for a client's certificate whether it is an X.509-SVID, and whose.
//!
//! In the handshake TLS proves that the client has the key; the chain of an SVID is verified here, at login, so that what is
//! wrong with it is entered in the log. JWT-SVIDs are verified in `oidc.rs`, with the keys from here.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kernel::ports::Clock;
use kernel::time::Timestamp;
use kernel::trust::VerifiedAttestation;
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::bundle::{Authorities, Bundle};
use super::certificate::{self, CertificateRefusal, fingerprint};
use super::federation::{EndpointTrust, EndpointVerifier, SpiffeEndpoint};
use super::jwks::{Freshness, JwksSource, Keys, Purpose};
use super::oidc::{IssuerHealth, IssuersError};
use super::shortened;
use super::spiffe::SpiffeId;
use crate::tasks::together;
use crate::tls::UpstreamTls;
use crate::upstream::fetch::Fetcher;

/// A trust domain of SPIFFE whose SVIDs are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustDomainSettings {
    /// Its name, without `spiffe://`.
    pub trust_domain: String,
    /// The `aud` that its JWT-SVIDs must have, alone; without it no JWT-SVID is accepted.
    pub audience: Option<String>,
    /// Where its bundle is.
    pub bundle: JwksSource,
    /// The longest that a JWT-SVID may still be valid for.
    pub max_lifetime: Duration,
    /// How its bundle is kept fresh.
    pub freshness: Freshness,
    /// Who serves it, where that is known by an SVID (`https_spiffe`) instead of by a host's name (`https_web`).
    pub endpoint: Option<SpiffeEndpoint>,
}

/// One of them.
pub(super) struct TrustDomain {
    /// `spiffe://` and its name, as trust rules have it.
    pub(super) issuer: Arc<str>,
    pub(super) audience: Option<String>,
    pub(super) max_lifetime: Duration,
    pub(super) keys: Arc<Keys>,
}

/// Every one of them.
pub struct TrustDomains {
    domains: Vec<TrustDomain>,
    clock: Arc<dyn Clock>,
}

/// Who can say whether a client's certificate is genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voucher {
    /// The trust domains: it is meant to be an X.509-SVID, right or wrong.
    TrustDomains,
    /// The authorities that are configured for other client certificates.
    Authorities,
}

impl TrustDomains {
    /// None.
    pub fn none(clock: Arc<dyn Clock>) -> Self {
        Self { domains: Vec::new(), clock }
    }

    /// Trust domains as configured. No bundle is read yet.
    pub fn new(
        settings: Vec<TrustDomainSettings>,
        fetcher: &Fetcher,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, IssuersError> {
        let mut domains: Vec<TrustDomain> = Vec::with_capacity(settings.len());
        let mut awaiting = Vec::new();
        for TrustDomainSettings { trust_domain, audience, bundle, max_lifetime, freshness, endpoint } in settings {
            let issuer: Arc<str> = format!("spiffe://{trust_domain}").into();
            if domains.iter().any(|known| known.issuer == issuer) {
                return Err(IssuersError::Repeated(issuer.to_string()));
            }
            let fetcher = match endpoint {
                None => fetcher.clone(),
                Some(endpoint) => {
                    let served_by = served_by(fetcher, endpoint, &trust_domain, &clock)?;
                    awaiting.push((trust_domain, served_by.trust, served_by.issuer));
                    served_by.fetcher
                }
            };
            let keys = Keys::new(bundle, fetcher, freshness, Arc::clone(&clock));
            let keys = Arc::new(keys.for_purpose(Purpose::JwtSvids));
            domains.push(TrustDomain { issuer, audience, max_lifetime, keys });
        }
        for (trust_domain, trust, issuer) in awaiting {
            // Whose server it is, only a configured domain can say.
            let of = domains.iter().find(|domain| *domain.issuer == *issuer);
            trust.follow(&of.ok_or(IssuersError::Endpoint(trust_domain))?.keys);
        }
        Ok(Self { domains, clock })
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &TrustDomain> {
        self.domains.iter()
    }

    /// The keys of the domains whose bundle comes from the Workload API, by `spiffe://` and name.
    pub(super) fn brought_by_agent(&self) -> impl Iterator<Item = &TrustDomain> {
        self.domains.iter().filter(|domain| domain.keys.are_pushed())
    }

    /// Reads every bundle once, so that the first client need not wait. What cannot be had is tried again later.
    pub async fn load(&self) {
        together(self.domains.iter().map(|domain| domain.keys.load())).await;
    }

    /// Keeps every bundle fresh for as long as the gateway runs, each at its own pace. Never returns.
    pub async fn keep_fresh(&self) {
        together(self.domains.iter().map(|domain| domain.keys.keep_fresh())).await;
        std::future::pending().await
    }

    /// How the bundle of each domain is.
    pub fn health(&self) -> Vec<IssuerHealth> {
        let view =
            |domain: &TrustDomain| IssuerHealth { issuer: Arc::clone(&domain.issuer), keys: domain.keys.health() };
        self.domains.iter().map(view).collect()
    }

    fn named(&self, issuer: &str) -> Option<&TrustDomain> {
        self.domains.iter().find(|domain| *domain.issuer == *issuer)
    }

    /// Who can say whether this certificate is genuine. One that is meant to be an SVID is never left to others, also if
    /// its domain is not configured.
    pub(crate) fn voucher(&self, leaf: &CertificateDer<'_>) -> Voucher {
        match svid_in(leaf) {
            Meant::Nothing => Voucher::Authorities,
            Meant::Svid(_) | Meant::Several if self.is_empty() => Voucher::Authorities,
            Meant::Svid(_) | Meant::Several => Voucher::TrustDomains,
        }
    }

    /// What the holder of the first certificate of a chain proves. TLS has verified that the client has its key, and, where
    /// the trust domains do not vouch, that the chain ends in a configured authority.
    pub fn attest(&self, chain: &[CertificateDer<'_>]) -> Result<VerifiedAttestation, CertificateRefusal> {
        let leaf = chain.first().ok_or(CertificateRefusal::Absent)?;
        match self.voucher(leaf) {
            Voucher::Authorities => certificate::attest(chain),
            Voucher::TrustDomains => self.attest_svid(leaf, chain),
        }
    }

    /// X509-SVID, sections 2 to 5.
    fn attest_svid(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
    ) -> Result<VerifiedAttestation, CertificateRefusal> {
        let text = match svid_in(leaf) {
            Meant::Svid(text) => text,
            Meant::Several => return Err(CertificateRefusal::SeveralUris),
            Meant::Nothing => return Err(CertificateRefusal::NoName),
        };
        let id = SpiffeId::parse(&text).ok_or(CertificateRefusal::NotSpiffeId)?;
        let unknown = || CertificateRefusal::TrustDomain { domain: shortened(id.trust_domain()) };
        let domain = self.named(&id.issuer()).ok_or_else(unknown)?;
        let expires = leaf_of_svid(leaf)?;
        let now = self.clock.now();
        if expires <= now {
            return Err(CertificateRefusal::Expired { at: expires });
        }
        let authorities: Arc<Authorities> = domain
            .keys
            .authorities()
            .map_err(|error| CertificateRefusal::Bundle { domain: id.trust_domain().to_owned(), error })?;
        if !authorities.verify(chain, unix(now)) {
            return Err(CertificateRefusal::Untrusted { domain: id.trust_domain().to_owned() });
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "id, leaf and chain are verified above, the possession of the key by TLS"
        )]
        let attestation = VerifiedAttestation::by_x509_svid(&domain.issuer, &fingerprint(leaf), id.as_str(), expires);
        Ok(match crate::tls::validity(leaf) {
            Some((issued, _)) => attestation.issued_at(issued),
            None => attestation,
        })
    }
}

impl fmt::Debug for TrustDomains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.domains.iter().map(|domain| &domain.issuer);
        f.debug_list().entries(names).finish()
    }
}

/// How a bundle is fetched from a server that is known by its SVID.
struct ServedBy {
    fetcher: Fetcher,
    trust: Arc<EndpointTrust>,
    issuer: String,
}

fn served_by(
    fetcher: &Fetcher,
    endpoint: SpiffeEndpoint,
    trust_domain: &str,
    clock: &Arc<dyn Clock>,
) -> Result<ServedBy, IssuersError> {
    let wrong = || IssuersError::Endpoint(trust_domain.to_owned());
    let issuer = SpiffeId::parse(&endpoint.id).ok_or_else(wrong)?.issuer();
    let bootstrap = endpoint.bootstrap.map(|text| Bundle::read(&text)).transpose();
    let bootstrap = bootstrap.map_err(|_| IssuersError::Bootstrap(trust_domain.to_owned()))?;
    let trust = EndpointTrust::new(bootstrap.map(|bundle| bundle.authorities));
    let verifier = EndpointVerifier::new(endpoint.id, Arc::clone(&trust), Arc::clone(clock));
    let tls = UpstreamTls::verified_by(Arc::new(verifier)).map_err(|_| wrong())?;
    Ok(ServedBy { fetcher: fetcher.clone().with_tls(tls), trust, issuer })
}

/// Is the certificate an X.509-SVID of exactly this id? Whether it is genuine, its chain says.
pub(super) fn is_svid_of(leaf: &CertificateDer<'_>, id: &str) -> bool {
    matches!(svid_in(leaf), Meant::Svid(found) if found == id) && leaf_of_svid(leaf).is_ok()
}

pub(super) fn unix(at: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(at.millis()).unwrap_or(0)))
}

/// What a certificate is meant to be, by its URIs.
enum Meant {
    /// It has none of SPIFFE's.
    Nothing,
    /// Its one URI is one of SPIFFE's, well-formed or not.
    Svid(String),
    /// One of its several URIs is one of SPIFFE's.
    Several,
}

fn svid_in(leaf: &CertificateDer<'_>) -> Meant {
    let Ok((_, parsed)) = X509Certificate::from_der(leaf) else { return Meant::Nothing };
    let mut uris = Vec::new();
    // Every extension is looked at: a second one with alternative names must not hide the first.
    for extension in parsed.extensions() {
        if let x509_parser::extensions::ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
            uris.extend(names.general_names.iter().filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            }));
        }
    }
    // Schemes have no case (RFC 3986); whoever writes another than the right one means an SVID all the same.
    let is_spiffe = |uri: &&str| uri.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"));
    match uris.as_slice() {
        [only] if is_spiffe(only) => Meant::Svid((*only).to_owned()),
        several if several.iter().any(is_spiffe) => Meant::Several,
        _ => Meant::Nothing,
    }
}

/// The rules for a leaf (X509-SVID, sections 4.1 to 4.3); when it ends. A certificate that may sign does not authenticate.
pub(super) fn leaf_of_svid(leaf: &CertificateDer<'_>) -> Result<Timestamp, CertificateRefusal> {
    let (rest, parsed) = X509Certificate::from_der(leaf).map_err(|_invalid| CertificateRefusal::Malformed)?;
    let malformed = |_twice| CertificateRefusal::Malformed;
    if !rest.is_empty() {
        return Err(CertificateRefusal::Malformed);
    }
    // Two extensions with alternative names are malformed, whatever they say.
    parsed.subject_alternative_name().map_err(malformed)?;
    if parsed.basic_constraints().map_err(malformed)?.is_some_and(|constraints| constraints.value.ca) {
        return Err(CertificateRefusal::Authority);
    }
    let usage = parsed.key_usage().map_err(malformed)?.ok_or(CertificateRefusal::Usage)?;
    if usage.value.key_cert_sign() || usage.value.crl_sign() {
        return Err(CertificateRefusal::Authority);
    }
    if !usage.value.digital_signature() {
        return Err(CertificateRefusal::Usage);
    }
    Ok(Timestamp::from_secs(parsed.validity().not_after.timestamp()))
}

#[cfg(test)]
mod tests;
