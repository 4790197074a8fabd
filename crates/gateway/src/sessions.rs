//! The sessions that are open on this node: what operators see of them, and the one way to cut them.
//!
//! A session registers itself and is removed when its registration is dropped. Whoever cuts a session only leaves word;
//! the session itself tells the client in the protocol's own words, and closes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use kernel::circumstances::Circumstances;
use kernel::id::{DecisionId, SessionId, TaskId};
use kernel::policy::Snapshot;
use kernel::ports::{Clock, LiveSessions, SessionView, Snapshots};
use kernel::time::Timestamp;
use kernel::workload::{Name, Person, Standing};
use tokio::sync::Notify;

use crate::places::{Places, ProofId};
use crate::task_use::TaskUses;
use crate::word::{Heard, Word};

/// How often it is looked whether a session's proof has ended.
const EXPIRY_EVERY: Duration = Duration::from_millis(250);

/// Why a session is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// An operator cut it.
    Killed,
    /// Its workload was quarantined.
    Quarantined,
    /// Its workload was retired, has expired or has another owner, its upstream is gone, or its proof has ended.
    Revoked,
    /// The gateway shuts down.
    Drained,
}

impl Cut {
    /// The word in the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Quarantined => "quarantined",
            Self::Revoked => "revoked",
            Self::Drained => "drained",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Killed => 1,
            Self::Quarantined => 2,
            Self::Revoked => 3,
            Self::Drained => 4,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Killed),
            2 => Some(Self::Quarantined),
            3 => Some(Self::Revoked),
            4 => Some(Self::Drained),
            _ => None,
        }
    }
}

/// What is fixed about a session.
#[derive(Clone, Debug)]
pub struct SessionStart {
    /// Its id.
    pub id: SessionId,
    /// Who.
    pub workload: Name,
    /// Who answered for the workload when it began; none if nobody did any more.
    pub owner: Option<Person>,
    /// To which upstream.
    pub upstream: Name,
    /// The protocol, such as `postgres`.
    pub protocol: &'static str,
    /// The client's address.
    pub source: std::net::IpAddr,
    /// When it began.
    pub began: Timestamp,
    /// When its proof or its workload ends, if ever.
    pub until: Option<Timestamp>,
    /// The task of the token that opened it.
    pub task: Option<TaskId>,
    /// From when its proof counts where proofs are revoked by age; none counts as old.
    pub counts_from: Option<Timestamp>,
    /// What was true around its beginning, but for threat lists, which are asked afresh.
    pub around: Circumstances,
}

/// One open session, as others see it.
#[derive(Debug)]
pub struct Live {
    start: SessionStart,
    decisions: AtomicU64,
    denials: AtomicU64,
    rows: AtomicU64,
    last: Mutex<Option<DecisionId>>,
    /// A [`Cut`] by number; zero for none. The first stands.
    cut: AtomicU8,
    cancels: AtomicU64,
    word: Word,
    /// Wakes everybody who waits for the cut, where one session has several exchanges at a time.
    gone: Arc<Notify>,
}

impl Live {
    /// What is fixed about it.
    pub(crate) fn start(&self) -> &SessionStart {
        &self.start
    }

    /// Leaves word that the session is to be cut.
    pub fn cut(&self, why: Cut) {
        // Whoever came first is the reason; a later one changes nothing.
        let _lost_race = self.cut.compare_exchange(0, why.number(), Ordering::AcqRel, Ordering::Acquire);
        self.word.leave();
        self.gone.notify_waiters();
    }

    /// Wakes every waiter when the session is cut. Who has begun to wait looks at [`Self::is_cut`] once more.
    pub(crate) fn gone(&self) -> &Arc<Notify> {
        &self.gone
    }

    /// Resolves when it is cut in a way that ends what waits. It takes no word from who waits for that.
    pub(crate) async fn until_cut(&self, ends: impl Fn(Cut) -> bool) -> Cut {
        loop {
            // It hears what comes after this line: no cut is missed.
            let gone = self.gone.notified();
            if let Some(cut) = self.is_cut().filter(|cut| ends(*cut)) {
                return cut;
            }
            gone.await;
        }
    }

    /// Cuts it if it may not go on in this snapshot.
    pub(crate) fn cut_if_ended(&self, snapshot: &Snapshot, now: Timestamp) {
        let start = &self.start;
        let before = snapshot.revocations().before(&start.workload);
        if before.is_some_and(|before| start.counts_from.is_none_or(|from| from <= before)) {
            self.cut(Cut::Revoked);
        }
        let workload = snapshot.workload(&start.workload);
        match workload.map(|workload| workload.standing(now)) {
            Some(Standing::Good) if snapshot.upstream(&start.upstream).is_some() => {}
            Some(Standing::Quarantined) => self.cut(Cut::Quarantined),
            _ => self.cut(Cut::Revoked),
        }
        // Whoever answers for it now never let it in (hazard ID21): it may come again, in their name.
        if workload.map(|workload| &workload.owner) != start.owner.as_ref() {
            self.cut(Cut::Revoked);
        }
    }

    /// Leaves word that the client asked to cancel what runs.
    pub fn cancel(&self) {
        self.cancels.fetch_add(1, Ordering::AcqRel);
        self.word.leave();
    }

    /// Is it to be cut, and why?
    pub fn is_cut(&self) -> Option<Cut> {
        Cut::from_number(self.cut.load(Ordering::Acquire))
    }

    /// How often the client has asked to cancel.
    pub fn cancels(&self) -> u64 {
        self.cancels.load(Ordering::Acquire)
    }

    /// Ready when word was left that its one listener has not heard.
    pub(crate) fn poll_word(&self, heard: &mut Heard, context: &mut Context<'_>) -> Poll<()> {
        self.word.poll(heard, context)
    }

    /// Notes what the session has done so far.
    pub(crate) fn note(&self, decisions: u64, denials: u64, rows: u64, last: Option<DecisionId>) {
        self.decisions.store(decisions, Ordering::Relaxed);
        self.denials.store(denials, Ordering::Relaxed);
        self.rows.store(rows, Ordering::Relaxed);
        if let Ok(mut slot) = self.last.try_lock() {
            *slot = last;
        }
    }

    fn view(&self) -> SessionView {
        SessionView {
            id: self.start.id,
            workload: self.start.workload.clone(),
            upstream: self.start.upstream.clone(),
            protocol: self.start.protocol,
            source: self.start.source,
            began: self.start.began,
            decisions: self.decisions.load(Ordering::Relaxed),
            denials: self.denials.load(Ordering::Relaxed),
            rows: self.rows.load(Ordering::Relaxed),
            last: *self.last.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// Every open session.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<BTreeMap<SessionId, Arc<Live>>>,
    /// Requests that passed only because they are observed, by upstream, since the start.
    observed: Mutex<BTreeMap<Name, u64>>,
    /// What tasks have used of their limits.
    task_uses: TaskUses,
    /// Where proofs are in use.
    places: Places,
}

impl Sessions {
    /// Adds a session, until the registration is dropped.
    pub fn register(self: &Arc<Self>, start: SessionStart) -> Registration {
        let id = start.id;
        let live = Arc::new(Live {
            start,
            decisions: AtomicU64::new(0),
            denials: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            last: Mutex::new(None),
            cut: AtomicU8::new(0),
            cancels: AtomicU64::new(0),
            word: Word::default(),
            gone: Arc::new(Notify::new()),
        });
        self.locked().insert(id, Arc::clone(&live));
        Registration { sessions: Arc::clone(self), id, live, proof: None }
    }

    /// How many requests to an upstream passed only because it, or their policy, observes, since the start.
    pub fn observed(&self, upstream: &Name) -> u64 {
        let observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        observed.get(upstream).copied().unwrap_or(0)
    }

    /// What tasks have used of their limits.
    pub(crate) fn task_uses(&self) -> &TaskUses {
        &self.task_uses
    }

    /// Cuts the sessions of a task, and of what it was narrowed to, on this node.
    pub fn cut_task(&self, task: TaskId) {
        for live in self.locked().values() {
            if live.start.task == Some(task) {
                live.cut(Cut::Revoked);
            }
        }
    }

    fn note_observed(&self, upstream: &Name) {
        let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        *observed.entry(upstream.clone()).or_default() += 1;
    }

    /// Cuts every session.
    pub fn cut_all(&self, why: Cut) {
        for live in self.locked().values() {
            live.cut(why);
        }
    }

    /// Cuts the sessions of workloads that may no longer act, whenever the snapshot changes. Never returns.
    pub async fn follow(&self, snapshots: &dyn Snapshots, clock: &dyn Clock) {
        let mut seen = 0;
        loop {
            let snapshot = snapshots.current();
            seen = snapshot.epoch().max(seen);
            self.cut_ended(&snapshot, clock.now());
            snapshots.changed(seen).await;
        }
    }

    /// Cuts the sessions of workloads that may no longer act in this snapshot or have another owner than when they began, and
    /// those whose proof a signal revoked.
    pub fn cut_ended(&self, snapshot: &Snapshot, now: Timestamp) {
        for live in self.locked().values() {
            live.cut_if_ended(snapshot, now);
        }
    }

    /// Cuts the sessions whose proof has ended. Never returns.
    ///
    /// One task looks at all of them: a timer for each session would be set on the thread that moves its data, and make
    /// every wait there dearer.
    pub async fn expire(&self, clock: &dyn Clock) {
        loop {
            tokio::time::sleep(EXPIRY_EVERY).await;
            let now = clock.now();
            for live in self.locked().values() {
                if live.start.until.is_some_and(|until| until <= now) {
                    live.cut(Cut::Revoked);
                }
            }
        }
    }

    /// Those that are open now.
    pub(crate) fn open(&self) -> Vec<Arc<Live>> {
        self.locked().values().cloned().collect()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<SessionId, Arc<Live>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LiveSessions for Sessions {
    fn list(&self) -> Vec<SessionView> {
        self.locked().values().map(|live| live.view()).collect()
    }

    fn kill(&self, id: SessionId) -> bool {
        let live = self.locked().get(&id).cloned();
        live.inspect(|live| live.cut(Cut::Killed)).is_some()
    }
}

/// A session's place among the open ones; removed when dropped.
#[derive(Debug)]
pub struct Registration {
    sessions: Arc<Sessions>,
    id: SessionId,
    live: Arc<Live>,
    proof: Option<ProofId>,
}

impl Registration {
    /// Notes by which proof the session began. From how many networks that is in use now.
    pub(crate) fn used(&mut self, proof: ProofId) -> usize {
        self.proof = Some(proof);
        self.sessions.places.arrive(proof, self.live.start.source)
    }

    /// The session as others see it.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Counts a request that passed only because it is observed.
    pub(crate) fn note_observed(&self) {
        self.sessions.note_observed(&self.live.start.upstream);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // First, so that a session which is not listed any more counts nowhere.
        if let Some(proof) = self.proof {
            self.sessions.places.leave(proof, self.live.start.source);
        }
        self.sessions.locked().remove(&self.id);
    }
}
