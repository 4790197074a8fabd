//! Requests that wait for people, to be carried out by the gateway, and the answers of their upstreams. Implements
//! `kernel::ports::KeptRequests`.
//!
//! What a request holds is encrypted (AES-256-GCM) under a key of its own, which is closed under the master key and bound to
//! the approval, the workload and the upstream: what is read back is what was asked, by whom and for what. Each step is one
//! conditional UPDATE, then its entry in the audit log, then the commit. What is over is erased; so is what is shredded.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, RandomizedNonceKey};
use kernel::audit::{Batch, Entry, Event, Kept};
use kernel::id::{ApprovalId, SessionId};
use kernel::kept::{KeptRequest, KeptState, KeptStep, NewKept};
use kernel::ports::{AuditLog, Clock, KeepError, KeptRequests, PortFuture};
use kernel::secret::Secret;
use kernel::time::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, SqliteTransaction};

use crate::database::Database;
use crate::log::{MasterKey, Rekeyed, Shred, open, random_key, seal};

/// How long what ended in a crash is remembered, so that its workload can learn of it.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

const COLUMNS: &str = "SELECT approval, workload, upstream, task, state, decision, status, until, key, request, answer \
                       FROM kept_requests WHERE approval = ?";

/// The kept requests.
pub struct KeptStore {
    database: Database,
    log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
    master: Arc<MasterKey>,
}

impl std::fmt::Debug for KeptStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptStore").finish_non_exhaustive()
    }
}

/// Which of the two pieces of content.
#[derive(Clone, Copy)]
enum Piece {
    Request,
    Answer,
}

impl Piece {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Answer => "answer",
        }
    }

    /// What is authenticated with it, so that no piece can stand in the place of another.
    fn about(self, approval: ApprovalId) -> String {
        format!("{} {approval}", self.as_str())
    }
}

/// A row, without its content in clear.
struct Stored {
    request: KeptRequest,
    key: Vec<u8>,
    sealed_request: Option<Vec<u8>>,
    sealed_answer: Option<Vec<u8>>,
}

impl KeptStore {
    /// Over a database. The content's keys are closed under `master`.
    pub fn new(
        database: Database,
        log: Arc<dyn AuditLog>,
        clock: Arc<dyn Clock>,
        master: impl Into<Arc<MasterKey>>,
    ) -> Self {
        Self { database, log, clock, master: master.into() }
    }

    /// Erases the content of a workload's or a session's requests: what waits can no longer be carried out, and answers are
    /// gone. How many pieces.
    ///
    /// # Errors
    /// The store fails.
    pub async fn shred(&self, what: &Shred) -> Result<u64, KeepError> {
        let (workload, session) = match what {
            Shred::Workload(name) => (Some(name.to_string()), None),
            Shred::Session(session) => (None, Some(session.to_string())),
            Shred::Person(_) => return Ok(0),
        };
        let mut change = self.database.begin().await.map_err(unavailable)?;
        let pieces: i64 = sqlx::query(
            "SELECT coalesce(sum((request IS NOT NULL) + (answer IS NOT NULL)), 0) FROM kept_requests \
             WHERE workload = ? OR session = ?",
        )
        .bind(&workload)
        .bind(&session)
        .fetch_one(&mut *change)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(unavailable)?;
        let erase = sqlx::query(
            "UPDATE kept_requests SET key = zeroblob(length(key)), request = NULL, answer = NULL \
             WHERE workload = ? OR session = ?",
        );
        erase.bind(&workload).bind(&session).execute(&mut *change).await.map_err(unavailable)?;
        change.commit().await.map_err(unavailable)?;
        // What the write-ahead log holds of it goes too.
        self.database.settle().await.map_err(unavailable)?;
        Ok(pieces.unsigned_abs())
    }

    async fn keep(&self, new: NewKept<'_>) -> Result<(), KeepError> {
        let mut change = self.database.begin().await.map_err(unavailable)?;
        if let Some(stored) = row(&mut change, new.approval).await? {
            return self.renew(change, &stored, new.request).await;
        }
        let kept: i64 = sqlx::query("SELECT count(*) FROM kept_requests WHERE upstream = ?")
            .bind(new.upstream.as_str())
            .fetch_one(&mut *change)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(unavailable)?;
        if kept >= i64::from(new.most) {
            return Err(KeepError::Full);
        }
        let (key, wrapped) = self.fresh_key(&purpose(new.approval, new.workload.as_str(), new.upstream.as_str()))?;
        let request = seal(&key, Piece::Request.about(new.approval).as_bytes(), new.request)
            .map_err(|_| KeepError::Unavailable)?;
        sqlx::query(
            "INSERT INTO kept_requests (approval, workload, upstream, session, task, state, key, request) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(new.approval.to_string())
        .bind(new.workload.as_str())
        .bind(new.upstream.as_str())
        .bind(new.session.to_string())
        .bind(new.task.map(|task| task.to_string()))
        .bind(KeptState::Waiting.as_str())
        .bind(wrapped)
        .bind(request)
        .execute(&mut *change)
        .await
        .map_err(unavailable)?;
        let entry = Kept {
            approval: new.approval,
            workload: new.workload,
            upstream: new.upstream,
            state: KeptState::Waiting.as_str(),
            session: Some(new.session),
            decision: None,
            status: None,
        };
        self.enter(entry).await?;
        change.commit().await.map_err(unavailable)
    }

    /// The same request again, with a proof that may count for longer.
    async fn renew(
        &self,
        mut change: SqliteTransaction<'static>,
        stored: &Stored,
        request: &[u8],
    ) -> Result<(), KeepError> {
        let KeptRequest { approval, state, .. } = stored.request;
        let (KeptState::Waiting, Some(key)) = (state, self.key(stored)) else { return Ok(()) };
        let sealed =
            seal(&key, Piece::Request.about(approval).as_bytes(), request).map_err(|_| KeepError::Unavailable)?;
        sqlx::query("UPDATE kept_requests SET request = ? WHERE approval = ?")
            .bind(sealed)
            .bind(approval.to_string())
            .execute(&mut *change)
            .await
            .map_err(unavailable)?;
        change.commit().await.map_err(unavailable)
    }

    fn fresh_key(&self, purpose: &str) -> Result<(RandomizedNonceKey, Vec<u8>), KeepError> {
        let secret = random_key().map_err(|_| KeepError::Unavailable)?;
        let wrapped = self.master.wrap(purpose, &*secret).map_err(|_| KeepError::Unavailable)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &*secret).map_err(|_| KeepError::Unavailable)?;
        Ok((key, wrapped))
    }

    /// The key of a row; none if it was shredded.
    fn key(&self, stored: &Stored) -> Option<RandomizedNonceKey> {
        let request = &stored.request;
        let purpose = purpose(request.approval, request.workload.as_str(), request.upstream.as_str());
        let secret = self.master.unwrap(&purpose, &stored.key).ok()?;
        RandomizedNonceKey::new(&AES_256_GCM, &secret).ok()
    }

    async fn piece(&self, approval: ApprovalId, piece: Piece) -> Result<Option<Secret<Vec<u8>>>, KeepError> {
        let Some(stored) = self.stored(approval).await? else { return Ok(None) };
        let sealed = match piece {
            Piece::Request => &stored.sealed_request,
            Piece::Answer => &stored.sealed_answer,
        };
        let opened = || {
            let key = self.key(&stored)?;
            open(&key, piece.about(approval).as_bytes(), sealed.as_ref()?).ok()
        };
        Ok(opened().map(|mut clear| Secret::new(std::mem::take(&mut *clear))))
    }

    async fn stored(&self, approval: ApprovalId) -> Result<Option<Stored>, KeepError> {
        let found = sqlx::query(COLUMNS).bind(approval.to_string()).fetch_optional(self.database.read()).await;
        found.map_err(unavailable)?.as_ref().map(stored).transpose()
    }

    /// How many hold content that no master key opens, though it is not shredded.
    async fn unopened(&self) -> Result<usize, KeepError> {
        let rows = sqlx::query(
            "SELECT approval, workload, upstream, key FROM kept_requests WHERE request IS NOT NULL OR answer IS NOT NULL",
        );
        let mut unopened = 0;
        for row in rows.fetch_all(self.database.read()).await.map_err(unavailable)? {
            let key: Vec<u8> = row.try_get("key").map_err(unavailable)?;
            let opens = is_shredded(&key) || self.master.unwrap(&purpose_of(&row)?, &key).is_ok();
            unopened += usize::from(!opens);
        }
        Ok(unopened)
    }

    async fn recover(&self) -> Result<Vec<ApprovalId>, KeepError> {
        let unopened = self.unopened().await?;
        if unopened > 0 {
            tracing::warn!(
                unopened,
                "kept requests that open under no master key are neither carried out nor answered"
            );
        }
        let open = |state: KeptState| async move {
            let rows = sqlx::query("SELECT approval FROM kept_requests WHERE state = ? ORDER BY approval")
                .bind(state.as_str())
                .fetch_all(self.database.read())
                .await
                .map_err(unavailable)?;
            rows.iter().map(approval).collect::<Result<Vec<_>, _>>()
        };
        for approval in open(KeptState::Sending).await? {
            let until = Some(self.clock.now().after(REMEMBERED));
            let step = KeptStep {
                from: KeptState::Sending,
                to: KeptState::Unknown,
                decision: None,
                status: None,
                answer: None,
                until,
            };
            self.step(approval, None, step).await?;
        }
        open(KeptState::Waiting).await
    }

    async fn step(
        &self,
        approval: ApprovalId,
        session: Option<SessionId>,
        step: KeptStep<'_>,
    ) -> Result<bool, KeepError> {
        let mut change = self.database.begin().await.map_err(unavailable)?;
        let Some(stored) = row(&mut change, approval).await? else { return Ok(false) };
        if stored.request.state != step.from {
            return Ok(false);
        }
        // What was shredded meanwhile has no key, and its answer is not kept.
        let key = self.key(&stored);
        let about = Piece::Answer.about(approval);
        let answer = step.answer.zip(key).map(|(answer, key)| seal(&key, about.as_bytes(), answer));
        let answer = answer.transpose().map_err(|_| KeepError::Unavailable)?;
        let to = if step.answer.is_some() && answer.is_none() { KeptState::Lost } else { step.to };
        // Once it is on its way, or never will be, what it holds is not needed any more.
        let request = stored.sealed_request.filter(|_| to == KeptState::Waiting);
        let updated = sqlx::query(
            "UPDATE kept_requests SET state = ?, decision = coalesce(?, decision), status = coalesce(?, status), until = ?, \
             request = ?, answer = ? WHERE approval = ? AND state = ?",
        )
        .bind(to.as_str())
        .bind(step.decision.map(|decision| decision.to_string()))
        .bind(step.status.map(i64::from))
        .bind(step.until.map(Timestamp::millis))
        .bind(request)
        .bind(answer)
        .bind(approval.to_string())
        .bind(step.from.as_str())
        .execute(&mut *change)
        .await
        .map_err(unavailable)?;
        if updated.rows_affected() != 1 {
            return Ok(false);
        }
        let entry = Kept {
            approval,
            workload: &stored.request.workload,
            upstream: &stored.request.upstream,
            state: to.as_str(),
            session,
            decision: step.decision,
            status: step.status,
        };
        self.enter(entry).await?;
        change.commit().await.map_err(unavailable)?;
        Ok(true)
    }

    async fn forget(&self, approval: ApprovalId, session: SessionId) -> Result<bool, KeepError> {
        let mut change = self.database.begin().await.map_err(unavailable)?;
        let Some(stored) = row(&mut change, approval).await? else { return Ok(false) };
        if stored.request.state.is_open() {
            return Ok(false);
        }
        delete(&mut change, approval).await?;
        self.enter(done(&stored.request, "forgotten", Some(session))).await?;
        change.commit().await.map_err(unavailable)?;
        Ok(true)
    }

    async fn fetched(&self, approval: ApprovalId, session: SessionId) -> Result<(), KeepError> {
        let stored = self.stored(approval).await?.ok_or(KeepError::Unavailable)?;
        self.enter(done(&stored.request, "fetched", Some(session))).await
    }

    async fn sweep(&self) -> Result<usize, KeepError> {
        let now = self.clock.now().millis();
        let over = sqlx::query("SELECT approval FROM kept_requests WHERE until <= ? LIMIT 1000")
            .bind(now)
            .fetch_all(self.database.read())
            .await
            .map_err(unavailable)?;
        for found in &over {
            let approval = approval(found)?;
            let mut change = self.database.begin().await.map_err(unavailable)?;
            let Some(stored) = row(&mut change, approval).await? else { continue };
            delete(&mut change, approval).await?;
            self.enter(done(&stored.request, "forgotten", None)).await?;
            change.commit().await.map_err(unavailable)?;
        }
        Ok(over.len())
    }

    async fn enter(&self, entry: Kept<'_>) -> Result<(), KeepError> {
        let mut batch = Batch::default();
        batch.push(&Entry { at: self.clock.now(), event: Event::Kept(entry) });
        self.log.append(&batch).await.map(drop).map_err(|_| KeepError::Unavailable)
    }
}

/// Closes the keys of kept requests anew, where the master key changes. What is shredded stays so.
///
/// # Errors
/// The store fails; nothing is changed then.
pub async fn rekey(database: &Database, master: &MasterKey) -> Result<Rekeyed, KeepError> {
    let mut change = database.begin().await.map_err(unavailable)?;
    let rows = sqlx::query("SELECT approval, workload, upstream, key FROM kept_requests").fetch_all(&mut *change).await;
    let mut done = Rekeyed::default();
    for row in &rows.map_err(unavailable)? {
        let wrapped: Vec<u8> = row.try_get("key").map_err(unavailable)?;
        if is_shredded(&wrapped) {
            continue;
        }
        let closed = master.rewrap(&purpose_of(row)?, &wrapped);
        if let Some(anew) = done.count(closed).map_err(|_| KeepError::Unavailable)? {
            let put = sqlx::query("UPDATE kept_requests SET key = ? WHERE approval = ?").bind(anew);
            put.bind(approval(row)?.to_string()).execute(&mut *change).await.map_err(unavailable)?;
        }
    }
    change.commit().await.map_err(unavailable)?;
    // What the write-ahead log holds of the old ones goes too.
    database.settle().await.map_err(unavailable)?;
    Ok(done)
}

fn purpose(approval: ApprovalId, workload: &str, upstream: &str) -> String {
    format!("kept {approval} {workload} {upstream}")
}

/// What the envelope of a row's key says that it holds.
fn purpose_of(row: &SqliteRow) -> Result<String, KeepError> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(unavailable);
    Ok(purpose(approval(row)?, &text("workload")?, &text("upstream")?))
}

fn is_shredded(key: &[u8]) -> bool {
    key.iter().all(|byte| *byte == 0)
}

fn done<'a>(request: &'a KeptRequest, state: &'a str, session: Option<SessionId>) -> Kept<'a> {
    let KeptRequest { approval, workload, upstream, decision, status, .. } = request;
    Kept { approval: *approval, workload, upstream, state, session, decision: *decision, status: *status }
}

async fn row(change: &mut SqliteConnection, approval: ApprovalId) -> Result<Option<Stored>, KeepError> {
    let found = sqlx::query(COLUMNS).bind(approval.to_string()).fetch_optional(change).await.map_err(unavailable)?;
    found.as_ref().map(stored).transpose()
}

async fn delete(change: &mut SqliteConnection, approval: ApprovalId) -> Result<(), KeepError> {
    // Overwritten before it goes, so that no page keeps the key.
    for sql in [
        "UPDATE kept_requests SET key = zeroblob(length(key)), request = NULL, answer = NULL WHERE approval = ?",
        "DELETE FROM kept_requests WHERE approval = ?",
    ] {
        sqlx::query(sql).bind(approval.to_string()).execute(&mut *change).await.map_err(unavailable)?;
    }
    Ok(())
}

fn approval(row: &SqliteRow) -> Result<ApprovalId, KeepError> {
    let text: String = row.try_get("approval").map_err(unavailable)?;
    text.parse().map_err(|_| KeepError::Unavailable)
}

fn stored(row: &SqliteRow) -> Result<Stored, KeepError> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(unavailable);
    let task: Option<String> = row.try_get("task").map_err(unavailable)?;
    let decision: Option<String> = row.try_get("decision").map_err(unavailable)?;
    let status: Option<i64> = row.try_get("status").map_err(unavailable)?;
    let until: Option<i64> = row.try_get("until").map_err(unavailable)?;
    let odd = |_| KeepError::Unavailable;
    Ok(Stored {
        request: KeptRequest {
            approval: approval(row)?,
            workload: text("workload")?.parse().map_err(|_| KeepError::Unavailable)?,
            upstream: text("upstream")?.parse().map_err(|_| KeepError::Unavailable)?,
            task: task.map(|task| task.parse()).transpose().map_err(|_| KeepError::Unavailable)?,
            state: KeptState::from_word(&text("state")?).ok_or(KeepError::Unavailable)?,
            decision: decision.map(|decision| decision.parse()).transpose().map_err(|_| KeepError::Unavailable)?,
            status: status.map(u16::try_from).transpose().map_err(odd)?,
            until: until.map(Timestamp::from_millis),
        },
        key: row.try_get("key").map_err(unavailable)?,
        sealed_request: row.try_get("request").map_err(unavailable)?,
        sealed_answer: row.try_get("answer").map_err(unavailable)?,
    })
}

impl KeptRequests for KeptStore {
    fn keep<'a>(&'a self, request: NewKept<'a>) -> PortFuture<'a, Result<(), KeepError>> {
        Box::pin(self.keep(request))
    }

    fn find(&self, approval: ApprovalId) -> PortFuture<'_, Result<Option<KeptRequest>, KeepError>> {
        Box::pin(async move { Ok(self.stored(approval).await?.map(|stored| stored.request)) })
    }

    fn recover(&self) -> PortFuture<'_, Result<Vec<ApprovalId>, KeepError>> {
        Box::pin(self.recover())
    }

    fn request(&self, approval: ApprovalId) -> PortFuture<'_, Result<Option<Secret<Vec<u8>>>, KeepError>> {
        Box::pin(self.piece(approval, Piece::Request))
    }

    fn answer(&self, approval: ApprovalId) -> PortFuture<'_, Result<Option<Secret<Vec<u8>>>, KeepError>> {
        Box::pin(self.piece(approval, Piece::Answer))
    }

    fn step<'a>(
        &'a self,
        approval: ApprovalId,
        session: Option<SessionId>,
        step: KeptStep<'a>,
    ) -> PortFuture<'a, Result<bool, KeepError>> {
        Box::pin(self.step(approval, session, step))
    }

    fn fetched(&self, approval: ApprovalId, session: SessionId) -> PortFuture<'_, Result<(), KeepError>> {
        Box::pin(self.fetched(approval, session))
    }

    fn forget(&self, approval: ApprovalId, session: SessionId) -> PortFuture<'_, Result<bool, KeepError>> {
        Box::pin(self.forget(approval, session))
    }

    fn sweep(&self) -> PortFuture<'_, Result<usize, KeepError>> {
        Box::pin(self.sweep())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unavailable(error: sqlx::Error) -> KeepError {
    // SQLite's errors name tables and columns, never values.
    tracing::error!(%error, "the store of kept requests fails");
    KeepError::Unavailable
}

#[cfg(test)]
mod tests;
