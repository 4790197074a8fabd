//! The few traits by which the gateway meets the rest without knowing it. Each has one real implementation and one in
//! memory; wiring joins them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::approval::{Approval, Asked, Grant};
use crate::audit::{AppendError, Batch, LeafIndex};
use crate::id::{ApprovalId, SessionId, TaskId};
use crate::kept::{KeptRequest, KeptStep, NewKept};
use crate::secret::Secret;
use crate::time::Timestamp;
use crate::verdict::Deciding;
use crate::workload::Name;

/// A future that a port returns.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The clock and the source of random bits, so that tests can hold both.
pub trait Clock: Send + Sync {
    /// The wall-clock time. It can be set: it may step forward and back.
    fn now(&self) -> Timestamp;

    /// The time since some moment, by a clock that nobody sets: how far the wall clock should have gone meanwhile. A clock that
    /// is only moved by hand never steps, and need not say it.
    fn steady(&self) -> Duration {
        Duration::from_millis(self.now().millis().unsigned_abs())
    }

    /// 64 unpredictable bits, for ids and cancel keys.
    fn random(&self) -> u64;
}

/// The append-only log. What is appended has left the process when the future resolves: a crash of the process loses none.
pub trait AuditLog: Send + Sync {
    /// Appends every entry of the batch, in order and without others between, and says where the first stands. On an
    /// error none of them may be relied upon, and what they are about must not happen.
    fn append<'a>(&'a self, batch: &'a Batch) -> Appending<'a>;
}

/// An append, to be awaited: it is done already, mostly, so nothing is allocated for that.
#[must_use = "what is appended counts when this resolves"]
pub enum Appending<'a> {
    /// It is done, or has failed.
    Done(Result<LeafIndex, AppendError>),
    /// It takes longer, as where the disk is waited for.
    Waiting(PortFuture<'a, Result<LeafIndex, AppendError>>),
}

impl fmt::Debug for Appending<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(result) => f.debug_tuple("Done").field(result).finish(),
            Self::Waiting(_) => f.write_str("Waiting"),
        }
    }
}

impl Future for Appending<'_> {
    type Output = Result<LeafIndex, AppendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Done(result) => Poll::Ready(*result),
            Self::Waiting(future) => future.as_mut().poll(context),
        }
    }
}

/// The approval desk cannot do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// The store behind it does not answer.
    #[error("the approval desk cannot be reached")]
    Unavailable,
    /// The workload has too many requests waiting.
    #[error("the workload has too many requests waiting for approval")]
    TooMany,
}

/// How a wait for an approval ended.
#[derive(Debug)]
pub enum Answer {
    /// One use of the grant was taken: by this caller and by nobody else.
    Granted(Grant),
    /// It ended without a grant: rejected, expired, withdrawn, revoked, or used up by another.
    Ended(Box<Approval>),
    /// The wait's deadline came first; the request stays open.
    StillWaiting,
}

/// Where people answer what policies ask.
pub trait ApprovalDesk: Send + Sync {
    /// Opens a request, or joins the open or granted one of the same workload, upstream and content.
    fn ask<'a>(&'a self, asked: Asked) -> PortFuture<'a, Result<ApprovalId, DeskError>>;

    /// Waits until the request ends, for at most `patience`, and takes one use if it is granted. With zero patience it
    /// takes a use of an approval that is granted already, and otherwise returns at once.
    fn wait(&self, id: ApprovalId, patience: Duration) -> PortFuture<'_, Result<Answer, DeskError>>;

    /// The requester cancels.
    fn withdraw(&self, id: ApprovalId) -> PortFuture<'_, Result<(), DeskError>>;
}

/// A request is not kept, or a step of one is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// The store behind it, or the audit log, does not answer.
    #[error("the store of kept requests cannot be reached")]
    Unavailable,
    /// As many are kept as may be.
    #[error("the upstream has as many requests kept as it may")]
    Full,
}

/// Keeps requests until people have answered, and what became of them. What they hold stands nowhere in clear; every step has
/// its entry in the audit log before it counts.
pub trait KeptRequests: Send + Sync {
    /// Keeps a request, durably. In the place of one that waits for this approval already, which is the same but for its proof.
    fn keep<'a>(&'a self, request: NewKept<'a>) -> PortFuture<'a, Result<(), KeepError>>;

    /// The request that waits, or waited, for this approval.
    fn find(&self, approval: ApprovalId) -> PortFuture<'_, Result<Option<KeptRequest>, KeepError>>;

    /// Those that wait, after a start. What was being sent when the process ended becomes unknown.
    fn recover(&self) -> PortFuture<'_, Result<Vec<ApprovalId>, KeepError>>;

    /// What was kept; none if it was sent, ended or was erased.
    fn request(&self, approval: ApprovalId) -> PortFuture<'_, Result<Option<Secret<Vec<u8>>>, KeepError>>;

    /// The answer; none if there is none or it was erased.
    fn answer(&self, approval: ApprovalId) -> PortFuture<'_, Result<Option<Secret<Vec<u8>>>, KeepError>>;

    /// Takes a step, durably, unless the request stands elsewhere than the step begins: was it taken? Of two who try, one
    /// does. A request that is no longer under way is erased, but for its answer.
    fn step<'a>(
        &'a self,
        approval: ApprovalId,
        session: Option<SessionId>,
        step: KeptStep<'a>,
    ) -> PortFuture<'a, Result<bool, KeepError>>;

    /// Enters that its workload was given the answer.
    fn fetched(&self, approval: ApprovalId, session: SessionId) -> PortFuture<'_, Result<(), KeepError>>;

    /// Forgets a request that is over, with its answer: was there one?
    fn forget(&self, approval: ApprovalId, session: SessionId) -> PortFuture<'_, Result<bool, KeepError>>;

    /// Forgets what is over and whose time is; how many.
    fn sweep(&self) -> PortFuture<'_, Result<usize, KeepError>>;
}

/// What a live session shows to operators.
#[derive(Debug, Clone, serde::Serialize)]
pub struct SessionView {
    /// Its id.
    pub id: SessionId,
    /// Who.
    pub workload: Name,
    /// To which upstream.
    pub upstream: Name,
    /// The protocol, such as `postgres`.
    pub protocol: &'static str,
    /// The client's address.
    pub source: std::net::IpAddr,
    /// When it began.
    pub began: Timestamp,
    /// Requests that were decided.
    pub decisions: u64,
    /// Requests that were denied.
    pub denials: u64,
    /// Rows that left towards the client.
    pub rows: u64,
    /// The last decision.
    pub last: Option<crate::id::DecisionId>,
}

/// The sessions that are open on this node.
pub trait LiveSessions: Send + Sync {
    /// All of them, oldest first.
    fn list(&self) -> Vec<SessionView>;

    /// Cuts one: it says so to the client in the protocol's own words, then closes. False if it is not open.
    fn kill(&self, id: SessionId) -> bool;
}

/// One line of a test of an upstream: what was checked, and how it went.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Check {
    /// What was checked, such as `tcp`, `tls`, `login`, `catalogue`.
    pub check: &'static str,
    /// Did it pass?
    pub passed: bool,
    /// What was found, or what failed, without secrets.
    pub detail: String,
    /// What to do about a failure.
    pub fix: Option<String>,
}

/// Tests whether an upstream can be reached and used as configured.
pub trait UpstreamProbe: Send + Sync {
    /// The checks in order; the first that fails is the last. `None` for an upstream that is not configured.
    fn test(&self, upstream: &Name) -> PortFuture<'_, Option<Vec<Check>>>;
}

/// Acts on a workload because of what it did: the gateway asks for it where a policy says `@quarantine`.
pub trait Containment: Send + Sync {
    /// Quarantines the workload: durable, and published in the next snapshot, which cuts its sessions.
    fn quarantine(&self, workload: &Name, because: &Deciding) -> PortFuture<'_, Result<(), ContainmentError>>;

    /// Notes that the workload did what makes it riskier. Waits for nothing: a client that is denied much must not be able
    /// to slow itself or others down by it, so of many such notes some may be left out.
    fn note(&self, workload: &Name, reason: crate::risk::RiskReason) {
        let _unheard = (workload, reason);
    }
}

/// A quarantine could not be made durable. The session that caused it is cut all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the quarantine could not be stored")]
pub struct ContainmentError;

/// Publishes snapshots: the current one, read afresh for every operation, and a signal when it changes.
pub trait Snapshots: Send + Sync {
    /// The current snapshot.
    fn current(&self) -> Arc<crate::policy::Snapshot>;

    /// Resolves when a snapshot with another epoch than `seen` is current.
    fn changed(&self, seen: u64) -> PortFuture<'_, ()>;
}

/// What became of an attempt to spend a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// It was taken: by this caller and by nobody else.
    Consumed,
    /// It was shown before.
    AlreadyUsed,
}

/// Whether a token was shown before cannot be found out, so it does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpendError {
    /// The store behind it does not answer.
    #[error("the store of spent tokens cannot be reached")]
    Unavailable,
    /// It remembers as many as it may, and none of them has expired.
    #[error("too many spent tokens are remembered")]
    Full,
}

/// Remembers tokens that count once, until they expire.
pub trait SpentTokens: Send + Sync {
    /// Spends a token, durably: another attempt finds it used, after a restart too.
    fn spend<'a>(&'a self, token: &'a crate::trust::OnceToken) -> PortFuture<'a, Result<Spent, SpendError>>;
}

/// A native token that is in force: given to one workload, until it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeToken {
    /// Its id, which says nothing about the token.
    pub id: Arc<str>,
    /// Whose it is.
    pub workload: Name,
    /// From then on it counts no more.
    pub expires: Timestamp,
}

/// The tokens that Parapet gave to workloads that have no issuer.
pub trait NativeTokens: Send + Sync {
    /// The token with this SHA-256, unless it is unknown, revoked or expired. Revoking one shows at the next call.
    fn find(&self, hash: &[u8; 32]) -> Option<NativeToken>;

    /// Is the token with this id neither revoked nor expired?
    fn in_force(&self, id: &str) -> bool;
}

/// What detectors found in values of a column that carries no class. Kinds and counts, never values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detection {
    /// The upstream.
    pub upstream: Name,
    /// The column: schema, table or view, name.
    pub column: [Arc<str>; 3],
    /// What the values look like, such as `payment-card`.
    pub detector: &'static str,
    /// The class that such values have, such as `pci`.
    pub class: &'static str,
    /// So many of the values that were looked at.
    pub hits: u32,
    /// So many were looked at.
    pub samples: u32,
}

/// Takes what the gateway learns of columns and their classes.
pub trait Classes: Send + Sync {
    /// What an upstream's database declares of its columns, whole. It counts for everything that is judged after the call.
    fn declare(&self, upstream: &Name, declared: Vec<crate::policy::DeclaredClass>);

    /// What was found in a result; becomes a suggestion. Never waits.
    fn detected(&self, detection: Detection);

    /// These columns are about to hold copies of labelled values: their classes count for everything that is judged after
    /// the call. Says `false` where that cannot be kept; then the copy must not be made.
    fn copied(&self, _upstream: &Name, _labels: &[crate::policy::DeclaredClass]) -> bool {
        false
    }

    /// Makes durable what [`Self::copied`] was told. Says `false` where it is not.
    fn keep_copied(&self) -> PortFuture<'_, bool> {
        Box::pin(std::future::ready(true))
    }
}

/// A task that is issued, to be remembered until after its end.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// Its id.
    pub id: TaskId,
    /// Whose it is.
    pub workload: Name,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// The person who issued it; none where an attestation was exchanged for it.
    pub issued_by: Option<crate::workload::Person>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Who acts for whom.
    pub chain: Vec<Arc<str>>,
    /// What it allows.
    pub details: crate::task::Details,
    /// Must whoever shows its token have a key?
    pub bound: bool,
}

/// A task was not remembered, so it must not be issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the task could not be stored")]
pub struct TaskRecordError;

/// The tasks that were issued.
pub trait TaskRecords: Send + Sync {
    /// Is the task known, and neither revoked nor past its end? Ending one shows at the next call.
    fn in_force(&self, task: TaskId) -> bool;

    /// Remembers a task, durably.
    fn add<'a>(&'a self, task: &'a NewTask) -> PortFuture<'a, Result<(), TaskRecordError>>;
}
