//! Turns configuration into the small structs that the parts of the gateway take.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gateway::login::bearer::BearerLogins;
use gateway::login::federation::SpiffeEndpoint;
use gateway::login::jwks::{Freshness, JwksSource, SignatureAlgorithm as Algorithm};
use gateway::login::oidc::{IssuerSettings, Issuers};
use gateway::login::trust_domains::{TrustDomainSettings, TrustDomains};
use gateway::login::workload_api::WorkloadApi;
use gateway::protocol::postgres::{Detect, Guarded, PostgresUpstream};
use gateway::tls::{self, UpstreamTls};
use gateway::upstream::dial::{Address, Dialler};
use gateway::upstream::fetch::Fetcher;
use gateway::upstream::secret::SecretSource;
use kernel::ports::{Classes, Clock};
use kernel::workload::Name;
use store::log::MasterKey;
use wire::mask::MaskKey;

use crate::config::checked::{
    self, BundleSource, ChannelBinding, Configuration, SignatureAlgorithm, UpstreamAddress, UpstreamEntry,
};
use crate::kept_key::KeptKey;

/// How long opening a connection to an upstream may take.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);

/// The upstreams under guard.
pub(crate) fn upstreams(
    configuration: &Configuration,
    clock: &Arc<dyn Clock>,
    classes: &Arc<dyn Classes>,
    master: &MasterKey,
) -> anyhow::Result<Vec<Arc<Guarded>>> {
    let key = mask_key(&configuration.gateway.state, master)?;
    configuration
        .upstreams
        .iter()
        .map(|entry| {
            let guarded = Guarded::new(upstream(entry)?, Arc::clone(clock), Arc::new(key.of(&entry.upstream.name)));
            Ok(Arc::new(guarded.with_classes(Arc::clone(classes))))
        })
        .collect()
}

/// The secret from which each upstream's key for hashes and tokens is made. Equal values keep equal hashes as long as the
/// state folder keeps it.
pub(crate) struct MaskSecret(zeroize::Zeroizing<Vec<u8>>);

impl MaskSecret {
    /// A key of the upstream's own: hashes of two upstreams cannot be joined.
    pub(crate) fn of(&self, upstream: &Name) -> MaskKey {
        let root = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &self.0);
        MaskKey::new(aws_lc_rs::hmac::sign(&root, upstream.as_str().as_bytes()).as_ref())
    }
}

pub(crate) fn mask_key(state: &Path, master: &MasterKey) -> anyhow::Result<MaskSecret> {
    Ok(MaskSecret(mask_kept_key(state).random(master)?))
}

/// Where it stands.
pub(crate) fn mask_kept_key(state: &Path) -> KeptKey {
    KeptKey::new(state.join("mask.key"), "key of masks")
}

fn upstream(entry: &UpstreamEntry) -> anyhow::Result<PostgresUpstream> {
    let connection = &entry.connection;
    let tls = match &connection.tls {
        checked::UpstreamTls::Off => None,
        checked::UpstreamTls::VerifyFull { ca: None } => Some(UpstreamTls::system()?),
        checked::UpstreamTls::VerifyFull { ca: Some(file) } => {
            Some(UpstreamTls::with_authorities(tls::read_certificates(file)?)?)
        }
    };
    Ok(PostgresUpstream {
        name: entry.upstream.name.clone(),
        address: match &connection.address {
            UpstreamAddress::Tcp { host, port } => Address::Tcp { host: host.clone(), port: *port },
            UpstreamAddress::Unix(folder) => Address::Unix(folder.join(".s.PGSQL.5432")),
        },
        database: connection.database.clone(),
        user: connection.user.clone(),
        password: connection.password.as_ref().map(secret),
        tls,
        require_channel_binding: connection.channel_binding == ChannelBinding::Require,
        connect_timeout: CONNECT,
        hold: entry.hold,
        max_message: u32::try_from(entry.max_message).unwrap_or(u32::MAX),
        max_sessions: entry.max_sessions as usize,
        label_providers: entry.label_providers.clone(),
        detect: match entry.detect {
            checked::Detect::Off => Detect::Off,
            checked::Detect::Signal => Detect::Signal,
            checked::Detect::Mask => Detect::Mask,
        },
    })
}

/// Where the gateway reads a secret.
pub(crate) fn secret(source: &checked::SecretSource) -> SecretSource {
    match source {
        checked::SecretSource::Environment(name) => SecretSource::Environment(name.clone()),
        checked::SecretSource::File(path) => SecretSource::File(path.clone()),
        checked::SecretSource::Command { program, arguments } => {
            SecretSource::Command { program: program.clone(), arguments: arguments.clone() }
        }
    }
}

/// The issuers whose tokens are accepted.
pub(crate) fn issuers(
    configuration: &Configuration,
    dialler: &Dialler,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Issuers> {
    let settings = configuration
        .issuers
        .iter()
        .map(|issuer| {
            Ok(IssuerSettings {
                issuer: issuer.issuer.clone(),
                audience: issuer.audience.clone(),
                algorithms: issuer.algorithms.iter().map(algorithm).collect(),
                jwks: match &issuer.jwks {
                    checked::JwksSource::Url(url) => JwksSource::Url(url.parse()?),
                    checked::JwksSource::Discovery(issuer) => JwksSource::discovery(issuer)?,
                    checked::JwksSource::File(path) => JwksSource::File(path.clone()),
                },
                max_lifetime: issuer.max_age,
                freshness: Freshness::default(),
            })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let domains = configuration.spiffe.iter().map(trust_domain).collect::<anyhow::Result<Vec<_>>>()?;
    let sources = settings.iter().map(|settings| &settings.jwks).chain(domains.iter().map(|domain| &domain.bundle));
    let mut remote = sources.filter(|source| matches!(source, JwksSource::Url(_) | JwksSource::Discovery { .. }));
    let tls = if remote.next().is_none() { None } else { Some(UpstreamTls::system()?) };
    let fetcher = Fetcher::new(dialler.clone(), tls);
    let domains = Arc::new(TrustDomains::new(domains, &fetcher, Arc::clone(clock))?);
    Ok(Issuers::new(settings, &fetcher, Arc::clone(clock))?.with_trust_domains(domains)?)
}

fn trust_domain(domain: &checked::TrustDomain) -> anyhow::Result<TrustDomainSettings> {
    Ok(TrustDomainSettings {
        trust_domain: domain.name.clone(),
        audience: domain.audience.clone(),
        bundle: match &domain.bundle {
            BundleSource::File(path) => JwksSource::File(path.clone()),
            BundleSource::Url(url) => JwksSource::Url(url.parse()?),
            BundleSource::WorkloadApi => JwksSource::WorkloadApi,
        },
        max_lifetime: domain.max_age,
        freshness: Freshness::default(),
        endpoint: match &domain.endpoint {
            Some((id, bootstrap)) => {
                let bootstrap = bootstrap.as_ref().map(fs::read).transpose()?;
                Some(SpiffeEndpoint { id: id.clone(), bootstrap })
            }
            None => None,
        },
    })
}

/// Who logs in by OAUTHBEARER. A client without a token is sent to the first issuer that is a URL.
pub(crate) fn bearer_logins(configuration: &Configuration) -> BearerLogins {
    let names = configuration.postgres.iter().flat_map(|listener| listener.oauthbearer.iter().cloned());
    let issuer = configuration.issuers.iter().map(|issuer| issuer.issuer.as_str());
    BearerLogins::new(names, issuer.into_iter().find(|issuer| issuer.starts_with("https://")))
}

/// The client of the SPIFFE agent, if one is configured.
pub(crate) fn workload_api(
    configuration: &Configuration,
    issuers: &Issuers,
    dialler: &Dialler,
    clock: &Arc<dyn Clock>,
) -> Option<Arc<WorkloadApi>> {
    let agent = configuration.workload_api.as_ref()?;
    let (address, domains) = (Address::Unix(agent.socket.clone()), Arc::clone(issuers.trust_domains()));
    let api = WorkloadApi::new(address, agent.id.clone(), domains, dialler.clone(), Arc::clone(clock));
    Some(Arc::new(api))
}

fn algorithm(algorithm: &SignatureAlgorithm) -> Algorithm {
    match algorithm {
        SignatureAlgorithm::Rs256 => Algorithm::Rs256,
        SignatureAlgorithm::Ps256 => Algorithm::Ps256,
        SignatureAlgorithm::Es256 => Algorithm::Es256,
        SignatureAlgorithm::EdDsa => Algorithm::EdDsa,
    }
}
