//! What the API works on: ports and functions that wiring joins. The API knows nothing of who implements them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use kernel::approval::ApprovalTerms;
use kernel::id::TaskId;
use kernel::policy::Mode;
use kernel::ports::{Clock, LiveSessions, PortFuture, Snapshots, UpstreamProbe};
use kernel::secret::Secret;
use kernel::task::Details;
use kernel::time::Timestamp;
use kernel::workload::{Name, Person};
use serde::Serialize;
use serde_json::Value;
use store::approvals::Desk;
use store::classes::ClassDecisions;
use store::kept::KeptStore;
use store::log::DiskLog;
use store::risk::Risks;
use store::signals::Signals;
use store::tasks::Tasks;
use store::tokens::Tokens;
use store::workloads::Workloads;
use tokio::sync::watch;

use crate::people::People;

/// A listener of the gateway, as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct ListenerView {
    /// The protocol, such as `postgres`.
    pub protocol: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    /// Does it speak TLS?
    pub tls: bool,
    /// The file of the certificate that clients should trust, if it is not publicly trusted.
    pub certificate: Option<PathBuf>,
}

/// An upstream, as people see it. No credential stands in it.
#[derive(Clone, Debug, Serialize)]
pub struct UpstreamView {
    /// Its name.
    pub name: Name,
    /// The protocol, such as `postgres`.
    pub protocol: &'static str,
    /// Where it is.
    pub address: String,
    /// The environment that it stands in.
    pub environment: Name,
    /// What it does with verdicts.
    pub mode: Mode,
    /// Requests that passed only because it, or their policy, observes, since the start.
    pub would_be_denied: u64,
}

/// A request that nobody made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hypothetical {
    /// The workload that would ask.
    pub workload: Name,
    /// The upstream that would be asked; none for a request that says it by its host and path.
    pub upstream: Option<Name>,
    /// The statement; empty where a request is asked about.
    pub sql: String,
    /// The HTTP request, where that is what would be sent.
    pub http: Option<HttpQuestion>,
}

/// An HTTP request that nobody sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpQuestion {
    /// Its method and target: `POST /v1/refunds`, or with a whole URL.
    pub line: String,
    /// Headers in their order.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Option<Vec<u8>>,
}

/// Why a hypothetical request was not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecideRefusal {
    /// There is no such workload.
    NoWorkload,
    /// There is no such upstream.
    NoUpstream,
    /// The request's host and path lead to another upstream.
    OtherUpstream,
    /// It cannot be judged now, for example because the catalogue is not loaded.
    Unavailable,
}

/// What a statement would be asked of people, bound to its exact content as on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// SHA-256 of the exact content, in hexadecimal: see `kernel::verdict::Content::digest`.
    pub digest: String,
    /// The upstream that it is for.
    pub upstream: Name,
    /// What people are shown: the statement, or the request.
    pub text: String,
    /// The message line without ids.
    pub summary: String,
    /// The statement with its constants replaced.
    pub template: String,
    /// Who must approve.
    pub terms: ApprovalTerms,
}

/// Why nothing is asked of people ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeseeRefusal {
    /// It was not judged.
    NotJudged(DecideRefusal),
    /// It passes without anybody's approval.
    Permitted,
    /// It is denied, and no approval lifts that.
    Denied,
    /// What would be approved cannot be said before it is sent.
    NotBound,
}

/// Which columns are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassView {
    /// Those that carry a class, or seem to need one.
    Carried,
    /// All of them.
    All,
}

/// Why no values were sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleRefusal {
    /// There is no such upstream.
    NoUpstream,
    /// It cannot be reached, or its catalogue is not loaded.
    Unavailable,
    /// What was found could not be stored.
    NotStored,
}

/// An upstream's columns with their classes: objects with `column`, `names`, `type`, `classes`, `masks`, `suggestions` and
/// `decisions`. None for an upstream that is not there or not known yet.
pub type ClassList = Arc<dyn Fn(&Name, ClassView) -> Option<Vec<Value>> + Send + Sync>;

/// Samples an upstream's columns and keeps what is suggested: an object with counts.
pub type ClassScan = Arc<dyn Fn(Name) -> PortFuture<'static, Result<Value, SampleRefusal>> + Send + Sync>;

/// Has an upstream that column?
pub type KnowsColumn = Arc<dyn Fn(&Name, &[Arc<str>; 3]) -> bool + Send + Sync>;

/// Explains a decision's audit entry by the policies of now: the value becomes `explanation`.
pub type Explain = Arc<dyn Fn(&Value) -> Option<Value> + Send + Sync>;

/// Judges what nobody asked: an object with the members of a decision's audit entry and perhaps `explanation`.
pub type Decide = Arc<dyn Fn(Hypothetical) -> PortFuture<'static, Result<Value, DecideRefusal>> + Send + Sync>;

/// Finds what people would be asked about a statement that nobody sent yet.
pub type Foresee = Arc<dyn Fn(Hypothetical) -> PortFuture<'static, Result<Foreseen, ForeseeRefusal>> + Send + Sync>;

/// Reads the configuration and the policies again: an object of what was loaded, or every mistake (then nothing changed).
pub type Reload = Arc<dyn Fn() -> PortFuture<'static, Result<Value, Vec<Value>>> + Send + Sync>;

/// Why the master key is not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MasterKeyRefusal {
    /// The configuration says where it is, or a link: that is not the gateway's to write.
    Configured,
    /// A new one waits for the next start.
    Waiting,
    /// It cannot be read or written.
    Unwritable,
}

/// Puts a new master key before the one that counts, for the next start. What it gives does that; it is looked before whether it can
/// be done, so that it is entered first.
pub type RenewMasterKey = Arc<dyn Fn() -> Result<PutMasterKey, MasterKeyRefusal> + Send + Sync>;

/// Does that. Blocks.
pub type PutMasterKey = Box<dyn FnOnce() -> Result<(), MasterKeyRefusal> + Send>;

/// Ends what a native token has opened, by the token's id.
pub type EndToken = Arc<dyn Fn(&str) + Send + Sync>;

/// How the keys of each issuer are: objects with `issuer`, `keys`, `since`, `until` and `failed`.
pub type IssuerViews = Arc<dyn Fn() -> Vec<Value> + Send + Sync>;

/// A stream that security events come by, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamView {
    /// Its name.
    pub name: Name,
    /// Its `iss`.
    pub issuer: String,
    /// `push` or `poll`.
    pub delivery: &'static str,
    /// After so long without anything it is silent.
    pub silent_after: std::time::Duration,
    /// Why its keys cannot be had; none if they can.
    pub failed: Option<String>,
}

/// The streams.
pub type StreamViews = Arc<dyn Fn() -> Vec<StreamView> + Send + Sync>;

/// What the API works on of signals.
#[derive(Clone)]
pub struct SignalParts {
    /// How risky workloads are.
    pub risks: Arc<Risks>,
    /// The events that were taken.
    pub signals: Arc<Signals>,
    /// The streams that they come by.
    pub streams: StreamViews,
}

impl std::fmt::Debug for SignalParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignalParts").field("signals", &self.signals).finish_non_exhaustive()
    }
}

/// A task that a person asks for a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskAsked {
    /// Who asks.
    pub person: Person,
    /// For whom.
    pub workload: Name,
    /// For what.
    pub details: Details,
    /// How long its token lives.
    pub life: std::time::Duration,
    /// The thumbprint of the key that the token is bound to.
    pub jkt: Option<String>,
}

/// A token for a task.
#[derive(Debug)]
pub struct TaskGiven {
    /// The task.
    pub task: TaskId,
    /// The token.
    pub token: Secret<String>,
}

/// Issues a token for a task, or says why not.
pub type IssueTask = Arc<dyn Fn(TaskAsked) -> PortFuture<'static, Result<TaskGiven, String>> + Send + Sync>;

/// Exchanges an attestation for a token for a task, or says why not.
pub type ExchangeForTask =
    Arc<dyn Fn(Secret<String>, Details) -> PortFuture<'static, Result<TaskGiven, String>> + Send + Sync>;

/// What the API works on of tasks.
#[derive(Clone)]
pub struct TaskParts {
    /// The tasks that were issued.
    pub tasks: Arc<Tasks>,
    /// Issues one.
    pub issue: IssueTask,
    /// Exchanges an attestation for one.
    pub exchange: ExchangeForTask,
    /// Cuts the sessions of one that was ended.
    pub end: Arc<dyn Fn(TaskId) + Send + Sync>,
}

impl std::fmt::Debug for TaskParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskParts").field("tasks", &self.tasks).finish_non_exhaustive()
    }
}

/// The upstreams as they are configured now.
pub type Upstreams = Arc<dyn Fn() -> Vec<UpstreamView> + Send + Sync>;

/// Everything that the API works on.
pub struct ControlParts {
    /// The version of the product.
    pub version: &'static str,
    /// When the gateway started.
    pub began: Timestamp,
    /// The gateway's listeners.
    pub listeners: Vec<ListenerView>,
    /// Names besides `localhost` and loopback addresses that a `Host` header may have.
    pub hosts: Vec<String>,
    /// Who may call; the newest value counts from the next call on.
    pub people: watch::Receiver<Arc<People>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Workloads and policies.
    pub snapshots: Arc<dyn Snapshots>,
    /// Open sessions.
    pub sessions: Arc<dyn LiveSessions>,
    /// Tests of upstreams.
    pub probe: Arc<dyn UpstreamProbe>,
    /// The audit log.
    pub log: Arc<DiskLog>,
    /// The approval desk.
    pub desk: Arc<Desk>,
    /// Requests that the gateway carries out itself once they are approved.
    pub kept: Arc<KeptStore>,
    /// The standing of workloads.
    pub workloads: Arc<Workloads>,
    /// The native tokens.
    pub tokens: Arc<Tokens>,
    /// Cuts the sessions of a native token that was revoked.
    pub end_token: EndToken,
    /// Signals and risk.
    pub signals: SignalParts,
    /// Tasks.
    pub tasks: TaskParts,
    /// The issuers.
    pub issuers: IssuerViews,
    /// The upstreams.
    pub upstreams: Upstreams,
    /// What people decided about classes.
    pub class_decisions: Arc<ClassDecisions>,
    /// Columns and their classes.
    pub classes: ClassList,
    /// Samples columns.
    pub scan: ClassScan,
    /// Knows columns.
    pub knows_column: KnowsColumn,
    /// Explains decisions.
    pub explain: Explain,
    /// Judges what nobody asked.
    pub decide: Decide,
    /// Finds what people would be asked.
    pub foresee: Foresee,
    /// Changes the master key.
    pub renew_master_key: RenewMasterKey,
    /// Reads the configuration again.
    pub reload: Reload,
}

impl std::fmt::Debug for ControlParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlParts").field("version", &self.version).finish_non_exhaustive()
    }
}
