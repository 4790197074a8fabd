//! The SPIFFE Workload API, of which Parapet is a client: its own X.509-SVID, and the bundles of trust domains, as streams
//! over a Unix socket (SPIFFE Workload API, sections 4 to 6). What rotates is followed without a restart; while the agent is
//! away, what is known serves until its own end.
//!
//! gRPC itself is `workload_api/grpc.rs`, its messages `workload_api/messages.rs`; who the SVIDs of others are is
//! `trust_domains.rs`.

mod grpc;
mod messages;

use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use kernel::ports::Clock;
use kernel::time::Timestamp;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use self::grpc::{Connection, Responses};
use self::messages::{JwtBundles, X509Svid, X509Svids};
use super::bundle::Authorities;
use super::spiffe::SpiffeId;
use super::trust_domains::{TrustDomains, leaf_of_svid};
use crate::upstream::dial::{Address, DialError, Dialler};

/// How long opening the connection may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause after a first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A connection that held for so long was a good one.
const GOOD: Duration = Duration::from_secs(30);
/// How often an open stream renews what it brought.
const CONFIRM: Duration = Duration::from_secs(10);
/// The most SVIDs, and the most certificates of a chain or a bundle.
const MOST: usize = 100;

/// Why the Workload API does not serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadApiError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection ended, or does not speak HTTP/2.
    #[error("the connection to the agent ended, or is no gRPC")]
    Broken,
    /// The agent has no identity for this process.
    #[error("the agent has no identity for the gateway: register one")]
    NoIdentity,
    /// Another status of gRPC.
    #[error("the agent answers with status {0}")]
    Status(u32),
    /// A message that is too long or cannot be decoded.
    #[error("the agent's message is too long, or is none of the Workload API")]
    Message,
    /// The configured SVID is not among those that came.
    #[error("the agent has no SVID `{0}` for the gateway")]
    OtherId(String),
    /// An SVID that breaks the rules, or whose key is another's.
    #[error("the agent's SVID breaks the rules of X.509-SVIDs, or its key is not its own")]
    BadSvid,
    /// A bundle whose authorities are none.
    #[error("the bundle that the agent brought has an authority that is none")]
    BadBundle,
    /// The agent has no bundle of a trust domain.
    #[error("the agent has no bundle of this trust domain")]
    NoBundle,
    /// Nothing has come yet.
    #[error("the agent has not answered yet")]
    Waiting,
}

/// The gateway's own SVID, as the newest message has it.
pub struct OwnSvid {
    current: ArcSwapOption<Current>,
    failed: Mutex<Option<WorkloadApiError>>,
    clock: Arc<dyn Clock>,
}

struct Current {
    id: String,
    key: Arc<CertifiedKey>,
    expires: Timestamp,
    since: Timestamp,
}

/// How the gateway's own SVID is, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SvidHealth {
    /// Its id; none until one has come.
    pub id: Option<String>,
    /// When it came.
    pub since: Option<Timestamp>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// Why the agent does not bring a newer one; none if it does.
    pub failed: Option<WorkloadApiError>,
}

impl OwnSvid {
    fn new(clock: Arc<dyn Clock>) -> Self {
        Self { current: ArcSwapOption::empty(), failed: Mutex::new(Some(WorkloadApiError::Waiting)), clock }
    }

    /// How it is.
    pub fn health(&self) -> SvidHealth {
        let current = self.current.load_full();
        SvidHealth {
            id: current.as_ref().map(|current| current.id.clone()),
            since: current.as_ref().map(|current| current.since),
            expires: current.as_ref().map(|current| current.expires),
            failed: self.failed(),
        }
    }

    fn failed(&self) -> Option<WorkloadApiError> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, failed: Option<WorkloadApiError>) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
    }

    /// Takes a newer one. What is wrong with it leaves the last in place.
    fn take(&self, svid: &X509Svid) -> Result<(), WorkloadApiError> {
        let bad = || WorkloadApiError::BadSvid;
        let id = SpiffeId::parse(&svid.spiffe_id).ok_or_else(bad)?;
        let chain = certificates(&svid.x509_svid).ok_or_else(bad)?;
        let leaf = chain.first().ok_or_else(bad)?;
        let expires = leaf_of_svid(leaf).map_err(|_breaks_the_rules| bad())?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(svid.x509_svid_key.as_slice()));
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).map_err(|_unusable| bad())?;
        let key = CertifiedKey::new(chain, key);
        key.keys_match().map_err(|_other_key| bad())?;
        let since = self.clock.now();
        tracing::info!(svid = %id, until = %expires, "the gateway's own SVID is renewed");
        let id = id.as_str().to_owned();
        self.current.store(Some(Arc::new(Current { id, key: Arc::new(key), expires, since })));
        self.note(None);
        Ok(())
    }
}

impl ResolvesServerCert for OwnSvid {
    /// A certificate past its end is not shown: the handshake fails here, instead of at each client.
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.load_full()?;
        (current.expires > self.clock.now()).then(|| Arc::clone(&current.key))
    }
}

impl fmt::Debug for OwnSvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnSvid").finish_non_exhaustive()
    }
}

/// A client of the Workload API.
#[derive(Debug)]
pub struct WorkloadApi {
    address: Address,
    /// Which of several SVIDs is the gateway's own; the first, unless set.
    id: Option<String>,
    domains: Arc<TrustDomains>,
    dialler: Dialler,
    svid: Arc<OwnSvid>,
    came: watch::Sender<bool>,
}

impl WorkloadApi {
    /// A client of the agent at `address`, which brings the bundles of those `domains` that come from it. `id` says which
    /// SVID is the gateway's own; the first, unless set.
    pub fn new(
        address: Address,
        id: Option<String>,
        domains: Arc<TrustDomains>,
        dialler: Dialler,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let svid = Arc::new(OwnSvid::new(clock));
        Self { address, id, domains, dialler, svid, came: watch::Sender::new(false) }
    }

    /// The gateway's own SVID, now and after each rotation.
    pub fn svid(&self) -> &Arc<OwnSvid> {
        &self.svid
    }

    /// Waits for a first SVID.
    pub async fn ready(&self, within: Duration) -> Result<(), WorkloadApiError> {
        let mut came = self.came.subscribe();
        let waited = tokio::time::timeout(within, came.wait_for(|came| *came)).await;
        match waited {
            Ok(Ok(_came)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(self.svid.failed().unwrap_or(WorkloadApiError::Waiting)),
        }
    }

    /// Follows the agent for as long as the gateway runs, whether it answers or not.
    pub async fn follow(&self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let began = self.svid.clock.now();
            let Err(error) = self.connected().await;
            tracing::warn!(%error, agent = %self.address, "the SPIFFE Workload API does not serve; what is known stays");
            for domain in self.domains.brought_by_agent() {
                domain.keys.told(Some(error.clone()));
            }
            self.svid.note(Some(error));
            if self.svid.clock.now().since(began) > GOOD {
                pause = FIRST_PAUSE;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One connection, until it ends.
    async fn connected(&self) -> Result<std::convert::Infallible, WorkloadApiError> {
        let stream = self.dialler.dial(&self.address, PATIENCE).await?;
        let opened = tokio::time::timeout(PATIENCE, Connection::open(stream)).await;
        let Connection { requests, driving } = opened.map_err(|_elapsed| WorkloadApiError::Broken)??;
        let mut driving = pin!(driving);
        let svids = async {
            let mut responses = Responses::<X509Svids>::of(requests.clone(), "FetchX509SVID").await?;
            loop {
                self.take_svids(&responses.next().await?)?;
            }
        };
        let bundles = async {
            if self.domains.brought_by_agent().next().is_none() {
                return std::future::pending().await;
            }
            let mut responses = Responses::<JwtBundles>::of(requests.clone(), "FetchJWTBundles").await?;
            loop {
                self.take_keys(&responses.next().await?)?;
            }
        };
        let confirming = async {
            loop {
                tokio::time::sleep(CONFIRM).await;
                self.domains.brought_by_agent().for_each(|domain| domain.keys.confirm());
            }
        };
        tokio::select! {
            ended = svids => ended,
            ended = bundles => ended,
            () = confirming => Err(WorkloadApiError::Broken),
            () = &mut driving => Err(WorkloadApiError::Broken),
        }
    }

    /// A message has everything: what it leaves out is gone (section 5.2.1).
    fn take_svids(&self, message: &X509Svids) -> Result<(), WorkloadApiError> {
        if message.svids.len() > MOST {
            return Err(WorkloadApiError::Message);
        }
        let own = match &self.id {
            None => message.svids.first().ok_or(WorkloadApiError::NoIdentity)?,
            Some(id) => {
                let found = message.svids.iter().find(|svid| svid.spiffe_id == *id);
                found.ok_or_else(|| WorkloadApiError::OtherId(id.clone()))?
            }
        };
        self.svid.take(own)?;
        let mut bundles: BTreeMap<String, &[u8]> =
            message.federated_bundles.iter().map(|(domain, bundle)| (domain.clone(), bundle.as_slice())).collect();
        for svid in &message.svids {
            if let Some(id) = SpiffeId::parse(&svid.spiffe_id) {
                bundles.insert(id.issuer(), &svid.bundle);
            }
        }
        for domain in self.domains.brought_by_agent() {
            let bundle = bundles.get(&*domain.issuer).copied();
            let certificates = certificates(bundle.unwrap_or_default()).ok_or(WorkloadApiError::BadBundle)?;
            let authorities = Authorities::of(certificates).map_err(|_none| WorkloadApiError::BadBundle)?;
            domain.keys.push(Some(Arc::new(authorities)), None).map_err(|_bad| WorkloadApiError::BadBundle)?;
            domain.keys.told(bundle.is_none().then_some(WorkloadApiError::NoBundle));
        }
        self.came.send_replace(true);
        Ok(())
    }

    fn take_keys(&self, message: &JwtBundles) -> Result<(), WorkloadApiError> {
        for domain in self.domains.brought_by_agent() {
            let keys = message.bundles.get(&*domain.issuer).map_or(&b"{\"keys\":[]}"[..], Vec::as_slice);
            domain.keys.push(None, Some(keys)).map_err(|_bad| WorkloadApiError::BadBundle)?;
        }
        Ok(())
    }
}

/// Certificates in DER, one after the other.
fn certificates(mut der: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let mut found = Vec::new();
    while !der.is_empty() {
        let (rest, _certificate) = X509Certificate::from_der(der).ok()?;
        let length = der.len().checked_sub(rest.len())?;
        found.push(CertificateDer::from(der.get(..length)?.to_vec()));
        if found.len() > MOST {
            return None;
        }
        der = rest;
    }
    Some(found)
}

#[cfg(test)]
mod tests;
