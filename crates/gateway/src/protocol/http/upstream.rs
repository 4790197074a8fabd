//! The checked form of an HTTP upstream, which configuration fills, and the way from a host and a path to one of them.
//!
//! Which endpoints an upstream has is `wire::http::endpoint`'s business, and its own credential `upstream/credential`'s.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kernel::workload::Name;
use tokio::sync::Semaphore;
use wire::detect::Detector;
use wire::http::Violation;
use wire::http::endpoint::Endpoints;
use wire::http::json_mask::Detect;
use wire::http::path::CanonicalPath;
use wire::http::secret_store::Profile;
use wire::http::websocket::LONGEST_MESSAGE;

use super::kept::{self, KeepLimits, Place};
use crate::tls::UpstreamTls;
use crate::upstream::credential::Credential;
use crate::upstream::origin::Origin;

/// How much, and for how long, one upstream may keep the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// How long connecting may take, TLS included.
    pub connect: Duration,
    /// How long the upstream may take until the head of its answer.
    pub answer: Duration,
    /// How long a client may pause within a body that is no stream of messages.
    pub upload: Duration,
    /// The most bytes of a body that are read where a policy, a grant or a credential needs it whole.
    pub body: usize,
    /// The longest hold that a client may ask for (`Prefer: wait`).
    pub hold: Duration,
    /// The most sessions at a time.
    pub sessions: usize,
    /// The longest message of a WebSocket, in bytes.
    pub message: u64,
    /// How long both sides of a WebSocket may be silent.
    pub idle: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(60),
            upload: Duration::from_secs(30),
            body: 1 << 20,
            hold: Duration::from_secs(30),
            sessions: 10_000,
            message: LONGEST_MESSAGE,
            idle: Duration::from_secs(300),
        }
    }
}

/// The changes of protocol that an upstream's configuration names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upgrades(Vec<String>);

impl Upgrades {
    /// These, whatever their case.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        Self(names.into_iter().map(str::to_ascii_lowercase).collect())
    }

    /// Is this one named?
    pub fn allow(&self, name: &str) -> bool {
        self.0.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// One HTTP upstream.
#[derive(Debug)]
pub struct HttpUpstream {
    /// Its name.
    pub name: Name,
    /// Where it is: the only place that its requests and its credential go to.
    pub origin: Origin,
    /// The hosts that clients ask for: lower case, without a port.
    pub hosts: Vec<String>,
    /// The paths below which it answers: decoded, beginning with a slash. None is `/`.
    pub prefixes: Vec<String>,
    /// Its endpoints.
    pub endpoints: Arc<Endpoints>,
    /// What kind of secret store it is, if it is one: its clients are refused in its own words.
    pub store: Option<Profile>,
    /// The changes of protocol that pass.
    pub upgrades: Upgrades,
    /// What is demanded of its certificate; none for `http`.
    pub tls: Option<UpstreamTls>,
    /// What the gateway adds so that the upstream takes requests for its own.
    pub credential: Option<Arc<Credential>>,
    /// Do its cookies reach clients, and theirs it? They are credentials, so the usual answer is no.
    pub cookies: bool,
    /// What masks of its values are keyed by.
    pub mask_keys: MaskKeys,
    /// What finds sensitive values in its answers, and what is then done.
    pub detect: Option<(Detect, Arc<Detector>)>,
    /// How much is kept of requests whose clients do not wait for people; none: nothing is.
    pub keeps: Option<KeepLimits>,
    /// Its limits.
    pub limits: HttpLimits,
}

/// The keys of masks that must give one value one replacement: of this gateway, for an upstream.
pub type MaskKeys = Arc<wire::mask::MaskKey>;

/// An upstream that no request can be for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHttpUpstream {
    /// A prefix.
    #[error("upstream `{upstream}`: the path `{prefix}` cannot be what a request is for: {violation}")]
    Prefix {
        /// Which.
        upstream: Name,
        /// As configured.
        prefix: String,
        /// Why.
        violation: Violation,
    },
    /// A prefix is the gateway's own.
    #[error("upstream `{upstream}`: the path `{prefix}` is the gateway's own")]
    Reserved {
        /// Which.
        upstream: Name,
        /// As configured.
        prefix: String,
    },
}

/// An upstream, and how requests name it.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) upstream: Arc<HttpUpstream>,
    /// The `Host` of what is sent.
    pub(super) authority: String,
    /// Sessions that may still begin.
    pub(super) places: Arc<Semaphore>,
}

/// A prefix, none for every path, and what answers below it.
type Route = (Option<CanonicalPath>, Arc<Served>);

/// Which upstream a host and a path belong to.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// For each host: prefixes, the longest first.
    hosts: HashMap<String, Vec<Route>>,
}

impl Routes {
    pub(super) fn new(upstreams: &[Arc<HttpUpstream>]) -> Result<Self, InvalidHttpUpstream> {
        let mut hosts: HashMap<String, Vec<Route>> = HashMap::new();
        for upstream in upstreams {
            let served = Arc::new(Served {
                upstream: Arc::clone(upstream),
                authority: upstream.origin.authority(),
                places: Arc::new(Semaphore::new(upstream.limits.sessions.min(Semaphore::MAX_PERMITS))),
            });
            let prefixes = upstream.prefixes.iter().map(|prefix| {
                CanonicalPath::read(prefix).map(Some).map_err(|violation| {
                    let (name, prefix) = (upstream.name.clone(), prefix.clone());
                    InvalidHttpUpstream::Prefix { upstream: name, prefix, violation }
                })
            });
            let mut prefixes = prefixes.collect::<Result<Vec<_>, _>>()?;
            if let Some(prefix) = prefixes.iter().flatten().find(|prefix| kept::is_reserved(prefix)) {
                let (name, prefix) = (upstream.name.clone(), prefix.as_str().to_owned());
                return Err(InvalidHttpUpstream::Reserved { upstream: name, prefix });
            }
            if prefixes.is_empty() {
                prefixes.push(None);
            }
            for host in &upstream.hosts {
                let routes = hosts.entry(host.to_ascii_lowercase()).or_default();
                routes.extend(prefixes.iter().map(|prefix| (prefix.clone(), Arc::clone(&served))));
            }
        }
        for routes in hosts.values_mut() {
            routes.sort_by_key(|(prefix, _)| {
                std::cmp::Reverse(prefix.as_ref().map_or(0, |prefix| prefix.segments().count()))
            });
        }
        Ok(Self { hosts })
    }

    pub(super) fn knows(&self, host: &str) -> bool {
        self.hosts.contains_key(host)
    }

    /// The upstream of a host, in lower case, and what a client asks there. Paths of the gateway's own name it.
    pub(super) fn asked(&self, host: &str, path: &CanonicalPath) -> Option<&Arc<Served>> {
        if kept::is_reserved(path) {
            return self.named(host, &Place::read(path)?.upstream);
        }
        self.find(host, path)
    }

    /// The upstream of this name, where clients ask this host for it.
    pub(super) fn named(&self, host: &str, upstream: &Name) -> Option<&Arc<Served>> {
        self.hosts.get(host)?.iter().map(|(_, served)| served).find(|served| served.upstream.name == *upstream)
    }

    /// What is kept for the upstream of this name.
    pub(super) fn keeps(&self, upstream: &Name) -> Option<KeepLimits> {
        let mut all = self.hosts.values().flatten().map(|(_, served)| &served.upstream);
        all.find(|served| served.name == *upstream)?.keeps.clone()
    }

    /// The upstream of a host, in lower case, and a path.
    pub(super) fn find(&self, host: &str, path: &CanonicalPath) -> Option<&Arc<Served>> {
        let below = |prefix: &Option<CanonicalPath>| prefix.as_ref().is_none_or(|prefix| path.is_below(prefix));
        self.hosts.get(host)?.iter().find_map(|(prefix, served)| below(prefix).then_some(served))
    }
}
