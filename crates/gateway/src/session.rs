//! The one security path, shared by all protocols: who is authenticated, what is judged, what is entered in the log.
//!
//! A protocol's `serve` sees a [`Session`] and nothing behind it: not the store, not the configuration, not the listener.

mod approval;
mod draws;

pub use approval::NotGranted;

use std::net::IpAddr;
use std::sync::Arc;

use kernel::audit::{AppendError, Entered, Event, Pending};
use kernel::circumstances::{Circumstances, next_step};
use kernel::facts::Facts;
use kernel::id::{ApprovalId, DecisionId, SessionId};
use kernel::judge::{Memo, judge, judge_preparation, refuse};
use kernel::operation::{Action, Operation};
use kernel::policy::{Disclosure, Snapshot};
use kernel::ports::{ApprovalDesk, AuditLog, Clock, Containment, Detection, Snapshots, Spent, SpentTokens};
use kernel::resource::{Resource, ResourceKind};
use kernel::risk::{Fading, Level, RiskReason};
use kernel::task::Left;
use kernel::threats::Threats;
use kernel::time::Timestamp;
use kernel::trust::{Authenticated, IdentityRefusal, OnceToken, VerifiedAttestation};
use kernel::verdict::{
    Ask, Content, Deciding, Deny, DenyReason, Permit, Receipt, Request, Terms, Undecidable, Verdict,
};
use kernel::workload::Name;

use crate::budget::Budgets;
use crate::places::{self, ProofId};
use crate::sessions::{Cut, Live, Registration, SessionStart, Sessions};

/// What every session needs of the rest of the product.
#[derive(Clone)]
pub struct Parts {
    /// Time and random bits.
    pub clock: Arc<dyn Clock>,
    /// The audit log.
    pub log: Arc<dyn AuditLog>,
    /// Where people answer.
    pub desk: Arc<dyn ApprovalDesk>,
    /// Quarantines workloads.
    pub containment: Arc<dyn Containment>,
    /// The current policies, workloads and trust rules.
    pub snapshots: Arc<dyn Snapshots>,
    /// Remembers tokens that count once.
    pub spent: Arc<dyn SpentTokens>,
    /// The open sessions.
    pub sessions: Arc<Sessions>,
    /// What workloads have used of their budgets.
    pub budgets: Arc<Budgets>,
    /// Where people find decisions and approvals: `http://127.0.0.1:18000`.
    pub public_url: Arc<str>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("public_url", &self.public_url).finish_non_exhaustive()
    }
}

/// Why a session does not begin. The client is told nothing of it but the decision's id.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The attestation is no workload that may act.
    #[error(transparent)]
    Identity(#[from] IdentityRefusal),
    /// Policy does not let the workload connect.
    #[error("policy does not let the workload connect")]
    Denied(Box<Deny>),
    /// The login could not be entered in the audit log.
    #[error(transparent)]
    Audit(#[from] AppendError),
}

/// What is known of a connection before it has logged in.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// The session that it becomes.
    pub id: SessionId,
    /// The client's address.
    pub source: IpAddr,
    /// Does TLS protect the connection?
    pub tls: bool,
}

impl Parts {
    /// Gives a new connection its id.
    pub fn arrival(&self, source: IpAddr, tls: bool) -> Arrival {
        Arrival { id: SessionId::new(self.clock.now(), self.clock.random()), source, tls }
    }

    /// Binds proofs to a workload, which the client claims to be `claimed`.
    pub fn authenticate(
        &self,
        proofs: &[VerifiedAttestation],
        claimed: &str,
    ) -> Result<Option<Authenticated>, IdentityRefusal> {
        self.bind(proofs, Some(claimed))
    }

    /// Binds proofs to a workload, where the protocol has no place for a client to claim a name.
    pub fn authenticate_unclaimed(
        &self,
        proofs: &[VerifiedAttestation],
    ) -> Result<Option<Authenticated>, IdentityRefusal> {
        self.bind(proofs, None)
    }

    fn bind(
        &self,
        proofs: &[VerifiedAttestation],
        claimed: Option<&str>,
    ) -> Result<Option<Authenticated>, IdentityRefusal> {
        let snapshot = self.snapshots.current();
        let mut joined: Option<Authenticated> = None;
        for proof in proofs {
            let find = |name: &Name| snapshot.workload(name).map(|workload| &**workload);
            let who = snapshot.trust().authenticate(proof, claimed, find, self.clock.now())?;
            joined = Some(match joined {
                Some(first) => first.and(&who)?,
                None => who,
            });
        }
        if let Some(who) = &joined {
            snapshot.revocations().check(who)?;
        }
        Ok(joined)
    }

    /// Enters a login that was refused.
    pub async fn enter_login_refused(&self, arrival: &Arrival, claimed: &str, why: &str) -> Result<(), AppendError> {
        let mut pending = Pending::default();
        let claimed: String = claimed.chars().take(63).collect();
        let event = Event::LoginRefused { session: arrival.id, claimed: &claimed, source: arrival.source, why };
        pending.note(event, self.clock.now());
        pending.enter(&*self.log).await.map(drop)
    }
}

/// Who acts outside its task is a little riskier for a while, however often it tries.
fn outside_task(by: Arc<str>, bound: &str, at: Timestamp) -> RiskReason {
    let (about, said) = ("outside its task".into(), format!("tried what lies outside its task: {bound}").into());
    RiskReason { by, about, said, weight: Level::Low.weight(), at, fading: Fading::Halves }
}

/// Spends a token that counts once. It is spent even if policy then refuses the connection: a token that was shown is a
/// token that others may have seen.
async fn spend(spent: &dyn SpentTokens, token: &OnceToken) -> Result<(), IdentityRefusal> {
    match spent.spend(token).await {
        Ok(Spent::Consumed) => Ok(()),
        Ok(Spent::AlreadyUsed) => Err(IdentityRefusal::Replayed),
        Err(error) => {
            tracing::error!(%error, "a token that counts once cannot be spent");
            Err(IdentityRefusal::Unspendable)
        }
    }
}

/// One client connection of one workload to one upstream.
#[derive(Debug)]
pub struct Session {
    parts: Parts,
    id: SessionId,
    who: Authenticated,
    upstream: Name,
    memo: Memo,
    /// What would be shown, for what may be written.
    shown: Memo,
    pending: Pending,
    around: Circumstances,
    /// The threat lists that the circumstances were last found by.
    threats: Arc<Threats>,
    registration: Registration,
    next_step: u64,
    /// Rows of what runs that count for the task already.
    counted: u64,
}

impl Session {
    /// Begins a session: connecting is judged and entered like everything else. The receipt admits the connection to the
    /// upstream.
    pub async fn begin(
        parts: Parts,
        arrival: Arrival,
        who: Authenticated,
        upstream: Name,
        protocol: &'static str,
    ) -> Result<(Self, Receipt), BeginError> {
        for token in who.once() {
            spend(&*parts.spent, token).await?;
        }
        let now = parts.clock.now();
        let around = Circumstances {
            provenance: who.provenance().cloned(),
            ..Circumstances::beginning(now, arrival.source, arrival.tls)
        };
        let snapshot = parts.snapshots.current();
        let mut registration = parts.sessions.register(SessionStart {
            id: arrival.id,
            workload: who.workload().clone(),
            owner: snapshot.workload(who.workload()).map(|workload| workload.owner.clone()),
            upstream: upstream.clone(),
            protocol,
            source: arrival.source,
            began: now,
            until: who.until(),
            task: who.task().map(|task| task.id()),
            counts_from: who.counts_from(),
            around: around.clone(),
        });
        // A signal that came between the proof and this place is not to be missed, nor another owner.
        let snapshot = parts.snapshots.current();
        snapshot.revocations().check(&who)?;
        registration.live().cut_if_ended(&snapshot, now);
        if let Some(reason) = places::signal(registration.used(ProofId::of(&who)), now) {
            parts.containment.note(who.workload(), reason);
        }
        let mut session = Self {
            parts,
            id: arrival.id,
            who,
            upstream,
            memo: Memo::default(),
            shown: Memo::default(),
            pending: Pending::default(),
            around,
            registration,
            threats: Arc::default(),
            next_step: 1,
            counted: 0,
        };
        let event = Event::Login {
            session: session.id,
            workload: session.who.workload(),
            evidence: session.who.evidence(),
            claims: session.who.accepted(),
            upstream: &session.upstream,
            source: arrival.source,
            provenance: session.who.provenance().map(|provenance| &**provenance),
        };
        session.pending.note(event, now);
        let connect = Operation {
            action: Action::Connect,
            resource: Arc::new(Resource::new(ResourceKind::Upstream, &session.upstream, [""; 0])),
            facts: Arc::new(Facts::default()),
            verb: "CONNECT",
            span: None,
        };
        // The shape of the only operation that no analysis makes.
        match session.judge([connect].into(), 0, Content::default()) {
            Verdict::Permit(permit) => session.add_permit(permit),
            Verdict::Ask(ask) => session.add_denial(ask.refused()),
            Verdict::Deny(deny) => session.add_denial(deny),
        }
        let mut entered = session.enter().await?;
        match (entered.receipts.pop(), entered.refusals.pop()) {
            (Some(receipt), _) => Ok((session, receipt)),
            (None, Some((deny, _))) => Err(BeginError::Denied(Box::new(deny))),
            (None, None) => Err(BeginError::Audit(AppendError::Unwritable)),
        }
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Who it is.
    pub fn who(&self) -> &Authenticated {
        &self.who
    }

    /// The upstream.
    pub fn upstream(&self) -> &Name {
        &self.upstream
    }

    /// The session as others see it: cuts and cancels arrive there.
    pub fn live(&self) -> &Arc<Live> {
        self.registration.live()
    }

    /// The clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.parts.clock
    }

    /// Where people find decisions and approvals.
    pub fn public_url(&self) -> &Arc<str> {
        &self.parts.public_url
    }

    /// The current snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.parts.snapshots.current()
    }

    /// How much refusals may tell the client.
    pub fn disclosure(&self) -> Disclosure {
        self.snapshot().upstream(&self.upstream).map_or(Disclosure::Id, |upstream| upstream.disclosure)
    }

    /// Notes whether a transaction is open at the upstream.
    pub fn set_in_transaction(&mut self, open: bool) {
        self.around.in_transaction = open;
    }

    /// Judges a request under the current snapshot.
    pub fn judge(&mut self, operations: Arc<[Operation]>, shape: u128, content: Content) -> Verdict {
        let snapshot = self.parts.snapshots.current();
        self.judge_under(&snapshot, operations, shape, content)
    }

    /// Judges a request whose facts were read for one snapshot: what its policies do not read was left out. None if another
    /// is current under which that may be too little, or the workload's proof was revoked; then nothing is decided.
    pub fn judge_if(
        &mut self,
        holds: impl FnOnce(&Snapshot) -> bool,
        operations: Arc<[Operation]>,
        shape: u128,
        content: Content,
    ) -> Option<Verdict> {
        let snapshot = self.parts.snapshots.current();
        let standing = snapshot.revocations().check(&self.who).is_ok();
        (standing && holds(&snapshot)).then(|| self.judge_under(&snapshot, operations, shape, content))
    }

    fn judge_under(
        &mut self,
        snapshot: &Snapshot,
        operations: Arc<[Operation]>,
        shape: u128,
        content: Content,
    ) -> Verdict {
        let decision = self.next_decision(snapshot);
        let costs = self.take_use(&operations);
        let request = Request { decision, session: self.id, upstream: &self.upstream, operations, shape, content };
        let verdict = match judge(snapshot, &mut self.memo, &self.who, request, &self.around) {
            Verdict::Permit(permit) => {
                self.within_budgets(permit).map_or_else(|deny| Verdict::Deny(*deny), Verdict::Permit)
            }
            verdict => verdict,
        };
        // What people are asked about uses its task once they have granted it.
        if let (true, Verdict::Deny(_) | Verdict::Ask(_), Some(task)) = (costs, &verdict, self.who.task()) {
            self.parts.sessions.task_uses().give_back(task);
        }
        self.count(&verdict);
        verdict
    }

    /// Judges what prepares a request and runs nothing: an operation that would be held may be prepared.
    pub fn judge_preparation(&mut self, operations: Arc<[Operation]>, shape: u128, content: Content) -> Verdict {
        let snapshot = self.parts.snapshots.current();
        let decision = self.next_decision(&snapshot);
        let request = Request { decision, session: self.id, upstream: &self.upstream, operations, shape, content };
        let verdict = judge_preparation(&snapshot, &mut self.memo, &self.who, request, &self.around);
        self.count(&verdict);
        verdict
    }

    /// Denies what cannot be understood.
    pub fn refuse(&mut self, why: Undecidable, template: &str) -> Deny {
        let (operations, shape): (Arc<[Operation]>, _) = (Arc::new([]), 0);
        let content = Content { template: template.into(), ..Content::default() };
        let snapshot = self.parts.snapshots.current();
        let decision = self.next_decision(&snapshot);
        let request = Request { decision, session: self.id, upstream: &self.upstream, operations, shape, content };
        let deny = refuse(&snapshot, &self.who, request, why);
        self.around.session.denials += 1;
        self.note(deny.subject().decision());
        deny
    }

    /// Finds anew what is true around what is judged next, and gives it its id.
    fn next_decision(&mut self, snapshot: &Snapshot) -> DecisionId {
        self.around.now = self.parts.clock.now();
        if !Arc::ptr_eq(&self.threats, snapshot.threats()) {
            // A list that changed bites in the middle of a connection.
            self.threats = Arc::clone(snapshot.threats());
            self.around.threats = self.threats.naming(self.around.source);
            self.around.stale = Arc::clone(self.threats.stale());
        }
        if let Some(task) = self.who.task() {
            self.around.left = self.parts.sessions.task_uses().left(task, self.around.now);
        }
        DecisionId::new(self.around.now, self.parts.clock.random())
    }

    fn count(&mut self, verdict: &Verdict) {
        self.around.session.decisions += 1;
        let subject = match verdict {
            Verdict::Permit(permit) => {
                if !permit.terms().observed.is_empty() {
                    self.registration.note_observed();
                }
                permit.subject()
            }
            Verdict::Ask(ask) => ask.subject(),
            Verdict::Deny(deny) => {
                self.around.session.denials += 1;
                deny.subject()
            }
        };
        self.note(subject.decision());
    }

    fn note(&self, last: DecisionId) {
        let history = &self.around.session;
        self.registration.live().note(history.decisions, history.denials, history.rows_read, Some(last));
    }

    /// Adds a permit to what is entered next.
    pub fn add_permit(&mut self, permit: Permit) {
        self.pending.permit(permit, self.around.now);
    }

    /// Adds a denial to what is entered next.
    pub fn add_denial(&mut self, deny: Deny) {
        self.pending.deny(deny, self.around.now);
    }

    /// Adds an ask to what is entered next.
    pub fn add_ask(&mut self, ask: &Ask, approval: ApprovalId) {
        self.pending.ask(ask, approval, self.around.now);
    }

    /// Is nothing waiting to be entered?
    pub fn nothing_pending(&self) -> bool {
        self.pending.is_empty()
    }

    /// Enters everything that was added, in order, and yields the proofs. A denial that says quarantine is acted on here.
    pub async fn enter(&mut self) -> Result<Entered, AppendError> {
        let entered = self.pending.enter(&*self.parts.log).await?;
        for (deny, _) in &entered.refusals {
            if let DenyReason::Quarantine(deciding) = deny.reason() {
                self.quarantine(deciding).await;
            }
            if let DenyReason::OutsideTask { task, bound } = deny.reason() {
                let by = format!("task {task}").into();
                self.parts.containment.note(self.who.workload(), outside_task(by, bound.as_str(), self.around.now));
            }
        }
        Ok(entered)
    }

    async fn quarantine(&self, because: &Deciding) {
        // Durable or not, this session ends here; the others end with the next snapshot.
        if self.parts.containment.quarantine(self.who.workload(), because).await.is_err() {
            tracing::error!(workload = %self.who.workload(), "a quarantine could not be stored");
        }
        self.live().cut(Cut::Quarantined);
    }

    /// Counts rows and bytes that left with an answer that is complete.
    pub fn count_rows(&mut self, rows: u64, bytes: u64) {
        self.count_for_task(rows);
        self.counted = 0;
        self.add_rows(rows, bytes);
    }

    /// Counts rows of what runs for its task as they leave: who closes the connection in the middle has had them too.
    fn count_for_task(&mut self, rows: u64) {
        if let Some(task) = self.who.task() {
            self.parts.sessions.task_uses().count_rows(task, rows.saturating_sub(self.counted));
            self.counted = rows;
        }
    }

    fn add_rows(&mut self, rows: u64, bytes: u64) {
        let history = &mut self.around.session;
        history.rows_read = history.rows_read.saturating_add(rows);
        history.bytes_read = history.bytes_read.saturating_add(bytes);
    }

    /// Has a counter grown so much, with `rows` of what runs now, that what runs must be judged again?
    pub fn step_is_due(&mut self, rows: u64) -> bool {
        self.count_for_task(rows);
        self.around.session.rows_read.saturating_add(rows) >= self.next_step
    }

    /// Judges what runs under the circumstances that it has brought about itself. The denial, if policy denies it now.
    pub fn still_permitted(
        &mut self,
        operations: Arc<[Operation]>,
        shape: u128,
        rows: u64,
        bytes: u64,
    ) -> Option<Deny> {
        let before = self.around.session;
        self.add_rows(rows, bytes);
        self.next_step = next_step(self.around.session.rows_read);
        let snapshot = self.parts.snapshots.current();
        let (decision, content) = (self.next_decision(&snapshot), Content::default());
        let request = Request { decision, session: self.id, upstream: &self.upstream, operations, shape, content };
        // Its own use was taken, and its rows are capped: the last of them must not end the session.
        self.around.left = Left::default();
        let verdict = judge(&snapshot, &mut self.memo, &self.who, request, &self.around);
        self.around.session = before;
        match verdict {
            Verdict::Deny(deny) => Some(deny),
            // What was permitted or granted goes on; this was no new decision, so it is not entered.
            Verdict::Permit(_) | Verdict::Ask(_) => None,
        }
    }

    /// Under which terms policy lets what runs without an end go on now; none where people granted it, which holds.
    ///
    /// # Errors
    /// The denial, if policy denies it now.
    pub fn terms_now(
        &mut self,
        operations: Arc<[Operation]>,
        shape: u128,
        content: Content,
    ) -> Result<Option<Arc<Terms>>, Box<Deny>> {
        self.next_step = next_step(self.around.session.rows_read);
        let snapshot = self.parts.snapshots.current();
        let decision = self.next_decision(&snapshot);
        let request = Request { decision, session: self.id, upstream: &self.upstream, operations, shape, content };
        // Its own use was taken when it began.
        self.around.left.uses = None;
        match judge(&snapshot, &mut self.memo, &self.who, request, &self.around) {
            Verdict::Permit(permit) => Ok(Some(Arc::clone(permit.terms()))),
            Verdict::Ask(_) => Ok(None),
            Verdict::Deny(deny) => Err(Box::new(deny)),
        }
    }

    /// Would policy show all of this to the workload now, and in clear? No decision of a request, so nothing is entered. The
    /// answer is remembered for a `shape`, which is equal for equal operations alone.
    pub fn shows_in_clear(&mut self, operations: Arc<[Operation]>, shape: Option<u128>) -> bool {
        let snapshot = self.parts.snapshots.current();
        let (decision, content) = (self.next_decision(&snapshot), Content::default());
        // To see is not to use a task: the last use is taken by what is written.
        self.around.left = Left::default();
        // A memo of its own: a shape stands for a request of the client's elsewhere.
        let mut unshared = Memo::default();
        let memo = if shape.is_some() { &mut self.shown } else { &mut unshared };
        let shape = shape.unwrap_or_default();
        let request = Request { decision, session: self.id, upstream: &self.upstream, operations, shape, content };
        let verdict = judge(&snapshot, memo, &self.who, request, &self.around);
        matches!(verdict, Verdict::Permit(permit) if permit.terms().masks.is_empty())
    }

    /// What the session has sent to the client: rows and bytes.
    pub fn sent(&self) -> (u64, u64) {
        (self.around.session.rows_read, self.around.session.bytes_read)
    }

    /// Enters what was found in values of a column without a class: kinds and counts.
    pub fn note_detection(&mut self, found: &Detection) {
        let event = Event::Detected { session: self.id, workload: self.who.workload(), found };
        self.pending.note(event, self.parts.clock.now());
    }

    /// Enters the end of the session.
    pub async fn end(mut self, why: &str) {
        let (rows, bytes) = self.sent();
        let now = self.parts.clock.now();
        self.pending.note(Event::SessionEnded { session: self.id, why, rows, bytes }, now);
        if let Err(error) = self.enter().await {
            tracing::error!(session = %self.id, %error, "the end of a session could not be entered");
        }
    }
}
