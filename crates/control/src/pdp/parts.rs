//! What the decision point works on: ports and functions that wiring joins.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use kernel::operation::{Action, Operation};
use kernel::policy::Snapshot;
use kernel::ports::{AuditLog, Clock, Containment, PortFuture, Snapshots};
use kernel::provenance::Provenance;
use kernel::resource::{Kin, Resource, ResourceKind};
use kernel::secret::Secret;
use kernel::task::Left;
use kernel::time::Timestamp;
use kernel::verdict::{Budget, Undecidable};
use kernel::workload::Name;
use store::approvals::Desk;
use tokio::sync::watch;

use super::caller::CallerEntry;
use crate::people::People;

/// Who may ask, and in which words.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Who may ask, besides people.
    pub callers: Vec<CallerEntry>,
    /// Types of subjects that are workloads, besides `workload`.
    pub subjects: BTreeSet<String>,
    /// Types of resources of the callers' own, besides Cedar's.
    pub types: BTreeMap<String, TypeEntry>,
}

/// A type of resources in the callers' words, as endpoints of an upstream: `record` with the action `read` is
/// `GET /records/{id}` of the upstream `records`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeEntry {
    /// The upstream.
    pub upstream: Name,
    /// What each of the callers' actions is.
    pub actions: BTreeMap<String, TypeEndpoint>,
    /// Ids that a search goes through.
    pub ids: Vec<Arc<str>>,
}

/// An endpoint in the place of a caller's action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeEndpoint {
    /// The action, one of `http:*`: that of the endpoint's group, where its upstream's configuration gives it one.
    pub action: Action,
    /// The endpoint's id there.
    pub operation: Option<Arc<str>>,
    /// The fields of its answers that have classes there: an answer would hold them.
    pub fields: Vec<Arc<Resource>>,
    /// The method.
    pub method: Arc<str>,
    /// The path template; its parameter `{id}` is the resource's id.
    pub template: Arc<str>,
}

/// The settings as they are now; a caller that was taken out may ask no more.
pub type SettingsNow = Arc<dyn Fn() -> Arc<Settings> + Send + Sync>;

/// A proof of a workload, as it was shown or passed on.
#[derive(Debug)]
pub struct ShownProof {
    /// A token.
    pub token: Option<Secret<String>>,
    /// A chain of certificates, leaf first, in DER.
    pub certificates: Vec<Vec<u8>>,
    /// Was the chain passed on, so that no handshake of ours has verified it? That the leaf's key was proved is then the word of
    /// whoever passed it on.
    pub passed_on: bool,
    /// Where the request came from.
    pub source: IpAddr,
    /// Does what is asked cost the task of the token a use?
    pub costs: bool,
}

/// A workload that was proved.
#[derive(Clone, Debug)]
pub struct Identified {
    /// Who.
    pub workload: Name,
    /// From what run, and for what task.
    pub provenance: Option<Arc<Provenance>>,
    /// What is left of the task.
    pub left: Left,
}

/// Nobody was proved. Why is for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unidentified(pub String);

/// Finds out whose proof it is: verified, bound by the trust rules, in good standing, not revoked.
pub type Identify = Arc<dyn Fn(ShownProof) -> PortFuture<'static, Result<Identified, Unidentified>> + Send + Sync>;

/// An HTTP request that somebody else received.
#[derive(Clone, Debug, Default)]
pub struct HttpAsked {
    /// The method.
    pub method: String,
    /// `Host` or `:authority`.
    pub authority: String,
    /// Path and query, as they were received.
    pub target: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The whole body, where it was passed on.
    pub body: Option<Vec<u8>>,
    /// Did TLS protect it?
    pub tls: bool,
}

/// An HTTP request in policy's words.
#[derive(Clone, Debug)]
pub struct HttpUnderstood {
    /// The upstream that it is for.
    pub upstream: Name,
    /// What it asks.
    pub operations: Arc<[Operation]>,
    /// For the log: the method and the path template.
    pub template: Arc<str>,
    /// The request in its one normal form; a grant binds it.
    pub text: Arc<str>,
}

/// Why an HTTP request is not in policy's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpNotUnderstood {
    /// It is no request.
    Malformed,
    /// No upstream has that host and path.
    NoUpstream,
    /// It is for an upstream, and cannot be decided.
    Undecidable {
        /// The upstream.
        upstream: Name,
        /// Why.
        why: Undecidable,
    },
}

/// Turns an HTTP request into operations, by the same analysis as the reverse gateway's. What policies of the snapshot do not
/// read is left out, so it is judged under that very one.
pub type ClassifyHttp = Arc<dyn Fn(&HttpAsked, &Snapshot) -> Result<HttpUnderstood, HttpNotUnderstood> + Send + Sync>;

/// A use of budgets.
#[derive(Clone, Copy, Debug)]
pub struct BudgetsAsked<'a> {
    /// The budgets.
    pub budgets: &'a [Budget],
    /// Whose.
    pub workload: &'a Name,
    /// What is asked; each budget is for one of these.
    pub operations: &'a [Operation],
    /// When.
    pub now: Timestamp,
}

/// Takes from budgets that the gateway's sessions draw on too: from all, or from none. An error if one has too little left:
/// which, and when there is room again, if ever.
pub type TakeBudgets =
    Arc<dyn for<'a> Fn(BudgetsAsked<'a>) -> Result<(), (&'a Budget, Option<Duration>)> + Send + Sync>;

/// What a table or a column shares its classes with, such as partitions. An error where it is not there, or that is not known
/// now.
pub type KinOf = Arc<dyn Fn(&Resource) -> Result<Option<Kin>, Undecidable> + Send + Sync>;

/// The resources of a kind that are configured or known.
pub type KnownResources = Arc<dyn Fn(ResourceKind) -> Vec<Resource> + Send + Sync>;

/// What the decision point works on.
pub struct PdpParts {
    /// How callers name it, without a slash at the end.
    pub url: String,
    /// What links to approvals begin with.
    pub public_url: String,
    /// A secret by which it knows again what it gave out.
    pub key: Secret<Vec<u8>>,
    /// Who may ask, and in which words.
    pub settings: SettingsNow,
    /// People, who may ask too.
    pub people: watch::Receiver<Arc<People>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Workloads and policies.
    pub snapshots: Arc<dyn Snapshots>,
    /// The audit log.
    pub log: Arc<dyn AuditLog>,
    /// Where people answer.
    pub desk: Arc<Desk>,
    /// Quarantines workloads.
    pub containment: Arc<dyn Containment>,
    /// Finds out whose a proof is.
    pub identify: Identify,
    /// Understands HTTP requests.
    pub classify: ClassifyHttp,
    /// Takes from budgets.
    pub take_budgets: TakeBudgets,
    /// What tables share their classes with.
    pub kin: KinOf,
    /// What there is to search through.
    pub known: KnownResources,
}

impl std::fmt::Debug for PdpParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PdpParts").field("url", &self.url).finish_non_exhaustive()
    }
}
