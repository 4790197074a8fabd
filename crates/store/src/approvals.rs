//! The approval desk: where requests wait, people answer, and grants are used up. Implements `kernel::ports::ApprovalDesk`.
//!
//! What may change is decided by `kernel::approval`, a pure machine; here each change becomes durable. A change is one
//! transaction: one UPDATE that names the version it was made from, the audit entry, the commit. Only then is it
//! acknowledged. So of a thousand who take one use, one gets the proof; and no answer counts that the log does not hold.

use std::sync::Arc;
use std::time::Duration;

use kernel::approval::{Approval, ApprovalRefusal, ApprovalState, Approver, Asked, Grant};
use kernel::audit::{Batch, Entry, Event};
use kernel::id::{ApprovalId, GrantId};
use kernel::ports::{Answer, ApprovalDesk, AuditLog, Clock, DeskError, PortFuture};
use kernel::time::Timestamp;
use kernel::workload::Person;
use sqlx::{Row, SqliteConnection};
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use crate::database::Database;

/// How a desk is kept.
#[derive(Clone, Copy, Debug)]
pub struct DeskOptions {
    /// How many requests of one workload may wait at a time: a flood teaches people to click yes.
    pub open_per_workload: u32,
    /// How often what is over is ended.
    pub sweep_every: Duration,
}

impl Default for DeskOptions {
    fn default() -> Self {
        Self { open_per_workload: 20, sweep_every: Duration::from_secs(1) }
    }
}

/// Why a person's act on an approval did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// There is none of that id.
    #[error("there is no such approval")]
    None,
    /// The prefix fits several.
    #[error("the prefix fits several approvals")]
    Ambiguous,
    /// The machine of approvals refuses it.
    #[error(transparent)]
    Refused(#[from] ApprovalRefusal),
    /// The store or the audit log behind the desk fails.
    #[error(transparent)]
    Desk(#[from] DeskError),
}

/// What a list of approvals is limited to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listing<'a> {
    /// Only those in this state, such as `asked`.
    pub state: Option<&'a str>,
    /// Only those that changed after this revision.
    pub after: Option<u64>,
    /// At most so many; at most 1,000 in any case.
    pub limit: u32,
}

/// An approval, with the count of changes at the desk when it last changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The approval.
    pub approval: Approval,
    /// Counts the changes of all approvals.
    pub revision: u64,
}

/// The desk. Dropping it stops the task that ends what is over.
#[derive(Debug)]
pub struct Desk {
    office: Arc<Office>,
    sweeper: tokio::sync::Mutex<JoinSet<()>>,
}

struct Office {
    database: Database,
    log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
    options: DeskOptions,
    /// The approval that changed, and the revision. Who falls behind reads the store again, so nothing is lost.
    changes: broadcast::Sender<(ApprovalId, u64)>,
}

impl std::fmt::Debug for Office {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Office").field("options", &self.options).finish_non_exhaustive()
    }
}

/// What the audit entry of a change says besides the approval.
#[derive(Clone, Copy, Debug, Default)]
struct Note<'a> {
    by: Option<&'a Person>,
    reason: Option<&'a str>,
}

/// A row: an approval and the version that it has.
struct Stored {
    approval: Approval,
    version: i64,
    revision: u64,
}

const COLUMNS: &str = "SELECT version, revision, body FROM approvals WHERE id = ?";

impl Desk {
    /// Opens the desk over a database, and starts the task that ends requests and grants when their time is over.
    /// Must be called within a runtime, hence `async`.
    #[expect(clippy::unused_async, reason = "starts a task, for which there must be a runtime")]
    pub async fn open(database: Database, log: Arc<dyn AuditLog>, clock: Arc<dyn Clock>, options: DeskOptions) -> Self {
        let office = Arc::new(Office { database, log, clock, options, changes: broadcast::channel(256).0 });
        let mut sweeper = JoinSet::new();
        let weak = Arc::downgrade(&office);
        sweeper.spawn(async move {
            let mut period = tokio::time::interval(options.sweep_every.max(Duration::from_millis(10)));
            period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                period.tick().await;
                let Some(office) = weak.upgrade() else { return };
                if office.sweep().await.is_err() {
                    tracing::warn!("approvals that are over could not be ended");
                }
            }
        });
        Self { office, sweeper: tokio::sync::Mutex::new(sweeper) }
    }

    /// Stops the sweeping. The desk itself goes on to work.
    pub async fn close(&self) {
        self.sweeper.lock().await.shutdown().await;
    }

    /// Ends every request and grant whose time is over; how many.
    pub async fn sweep(&self) -> Result<usize, DeskError> {
        self.office.sweep().await
    }

    /// Approvals, those that were asked last first; with `after`, those that changed first first.
    pub async fn list(&self, listing: Listing<'_>) -> Result<Vec<Listed>, DeskError> {
        let (state, limit) = (listing.state, i64::from(listing.limit.min(1000)));
        let query = match listing.after {
            None => sqlx::query(
                "SELECT version, revision, body FROM approvals WHERE (?1 IS NULL OR state = ?1) ORDER BY id DESC LIMIT ?2",
            )
            .bind(state)
            .bind(limit),
            Some(after) => sqlx::query(
                "SELECT version, revision, body FROM approvals WHERE (?1 IS NULL OR state = ?1) AND revision > ?3 \
                 ORDER BY revision LIMIT ?2",
            )
            .bind(state)
            .bind(limit)
            .bind(i64::try_from(after).unwrap_or(i64::MAX)),
        };
        let rows = query.fetch_all(self.office.database.read()).await.map_err(unavailable)?;
        rows.iter().map(|row| stored(row).map(Listed::from)).collect()
    }

    /// The approval that `named` names: `last`, an id, or the beginning of exactly one id.
    pub async fn find(&self, named: &str) -> Result<Listed, ActError> {
        let query = if named == "last" {
            sqlx::query("SELECT version, revision, body FROM approvals ORDER BY id DESC LIMIT 1")
        } else {
            let letters = named.strip_prefix(ApprovalId::PREFIX).unwrap_or_default();
            // What holds no wildcard is safe in LIKE, and ids hold none.
            if letters.is_empty() || !letters.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(ActError::None);
            }
            sqlx::query("SELECT version, revision, body FROM approvals WHERE id LIKE ? || '%' LIMIT 2").bind(named)
        };
        let rows = query.fetch_all(self.office.database.read()).await.map_err(unavailable)?;
        match rows.as_slice() {
            [] => Err(ActError::None),
            [one] => Ok(stored(one)?.into()),
            _ => Err(ActError::Ambiguous),
        }
    }

    /// A person approves. With the last needed voice the approval is granted.
    pub async fn approve(&self, id: ApprovalId, by: &Approver, comment: Option<&str>) -> Result<Approval, ActError> {
        let note = Note { by: Some(&by.person), reason: comment };
        let office = &self.office;
        let grant = GrantId::new(office.clock.now(), office.clock.random());
        Ok(office.change(id, note, |approval, now| approval.approve(by, grant, now)).await?.0)
    }

    /// A person says no; their reason reaches the requester.
    pub async fn reject(&self, id: ApprovalId, by: &Approver, reason: &str) -> Result<Approval, ActError> {
        let note = Note { by: Some(&by.person), reason: Some(reason) };
        Ok(self.office.change(id, note, |approval, now| approval.reject(by, reason, now)).await?.0)
    }

    /// A person cancels for the workload.
    pub async fn withdraw_by(&self, id: ApprovalId, by: &Person) -> Result<Approval, ActError> {
        let note = Note { by: Some(by), reason: None };
        Ok(self.office.change(id, note, Approval::withdraw).await?.0)
    }

    /// A person takes a grant back before it is used up.
    pub async fn revoke(&self, id: ApprovalId, by: &Person, reason: Option<&str>) -> Result<Approval, ActError> {
        let note = Note { by: Some(by), reason };
        Ok(self.office.change(id, note, |approval, _| approval.revoke(by)).await?.0)
    }

    /// How many changes there have been at the desk.
    pub async fn revision(&self) -> Result<u64, DeskError> {
        let row = sqlx::query("SELECT coalesce(max(revision), 0) FROM approvals");
        let row = row.fetch_one(self.office.database.read()).await.map_err(unavailable)?;
        row.try_get::<i64, _>(0).map_err(unavailable).map(|revision| revision.unsigned_abs())
    }

    /// Waits, for at most `patience`, until there is a change after revision `seen`; the revision then.
    pub async fn changed(&self, seen: u64, patience: Duration) -> Result<u64, DeskError> {
        let mut changes = self.office.changes.subscribe();
        let deadline = tokio::time::sleep(patience);
        tokio::pin!(deadline);
        loop {
            let revision = self.revision().await?;
            if revision > seen {
                return Ok(revision);
            }
            tokio::select! {
                _ = changes.recv() => {}
                () = &mut deadline => return Ok(revision),
            }
        }
    }
}

impl From<Stored> for Listed {
    fn from(stored: Stored) -> Self {
        Self { approval: stored.approval, revision: stored.revision }
    }
}

impl ApprovalDesk for Desk {
    fn ask<'a>(&'a self, asked: Asked) -> PortFuture<'a, Result<ApprovalId, DeskError>> {
        Box::pin(self.office.ask(asked))
    }

    fn wait(&self, id: ApprovalId, patience: Duration) -> PortFuture<'_, Result<Answer, DeskError>> {
        Box::pin(self.office.wait(id, patience))
    }

    fn withdraw(&self, id: ApprovalId) -> PortFuture<'_, Result<(), DeskError>> {
        Box::pin(async move {
            match self.office.change(id, Note::default(), Approval::withdraw).await {
                // It has ended meanwhile: there is nothing left to withdraw.
                Ok(_) | Err(ActError::Refused(_) | ActError::None) => Ok(()),
                Err(ActError::Desk(error)) => Err(error),
                Err(ActError::Ambiguous) => Err(DeskError::Unavailable),
            }
        })
    }
}

impl Office {
    async fn ask(&self, asked: Asked) -> Result<ApprovalId, DeskError> {
        let now = self.clock.now();
        let mut change = self.database.begin().await.map_err(unavailable)?;
        // A run whose starter is unknown also takes up what a person asked ahead, a grant before all else. It adds no voice:
        // whoever asked ahead still cannot approve it.
        let open = sqlx::query(
            "SELECT version, revision, body FROM approvals WHERE workload = ?1 AND upstream = ?2 AND digest = ?3 \
             AND (started_by = ?4 OR ?4 = '') AND state IN ('asked', 'granted') \
             ORDER BY state = 'granted' DESC, started_by = ?4 DESC, id",
        )
        .bind(asked.workload.as_str())
        .bind(asked.upstream.as_str())
        .bind(&asked.digest)
        .bind(started_by(&asked))
        .fetch_all(&mut *change)
        .await
        .map_err(unavailable)?;
        let (mut stale, mut joined) = (Vec::new(), None);
        for row in &open {
            let mut open = stored(row)?;
            let note = if open.approval.expire(now) {
                Note::default()
            } else if open.approval.asked.terms == asked.terms && open.approval.asked.owner == asked.owner {
                joined = Some(open.approval.id);
                break;
            } else {
                // People were asked by other rules than those that ask now: their answer is to another question.
                open.approval.state = ApprovalState::Withdrawn;
                Note { by: None, reason: Some("the policies that ask, or the owner, have changed") }
            };
            let revision = self.store(&mut change, &open, now, note).await?;
            stale.push((open.approval.id, revision));
        }
        if let Some(joined) = joined {
            if !stale.is_empty() {
                change.commit().await.map_err(unavailable)?;
                stale.into_iter().for_each(|change| self.tell(Some(change)));
            }
            return Ok(joined);
        }
        let waiting =
            sqlx::query("SELECT count(*) FROM approvals WHERE workload = ? AND state = 'asked' AND expires_at > ?")
                .bind(asked.workload.as_str())
                .bind(now.millis())
                .fetch_one(&mut *change)
                .await
                .and_then(|row| row.try_get::<i64, _>(0))
                .map_err(unavailable)?;
        if waiting >= i64::from(self.options.open_per_workload) {
            return Err(DeskError::TooMany);
        }
        let approval = Approval::ask(ApprovalId::new(now, self.clock.random()), asked);
        let revision = next_revision(&mut change).await?;
        insert(&mut change, &approval, revision).await?;
        self.enter(&approval, "asked", now, Note::default()).await?;
        change.commit().await.map_err(unavailable)?;
        stale.into_iter().for_each(|change| self.tell(Some(change)));
        self.tell(Some((approval.id, revision)));
        Ok(approval.id)
    }

    async fn wait(&self, id: ApprovalId, patience: Duration) -> Result<Answer, DeskError> {
        // Subscribed before the first look, so that no change falls between.
        let mut changes = self.changes.subscribe();
        let deadline = tokio::time::sleep(patience);
        tokio::pin!(deadline);
        loop {
            if let Some(answer) = self.look(id).await? {
                return Ok(answer);
            }
            if patience.is_zero() {
                return Ok(Answer::StillWaiting);
            }
            loop {
                // Only the waiting is cut by the deadline, never a change under way: a use that was taken is handed on.
                tokio::select! {
                    change = changes.recv() => match change {
                        Ok((changed, _)) if changed != id => {}
                        Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => break,
                        Err(broadcast::error::RecvError::Closed) => return Err(DeskError::Unavailable),
                    },
                    () = &mut deadline => return Ok(Answer::StillWaiting),
                }
            }
        }
    }

    /// The answer, if there is one: takes a use if it is granted.
    async fn look(&self, id: ApprovalId) -> Result<Option<Answer>, DeskError> {
        let row = sqlx::query(COLUMNS).bind(id.to_string()).fetch_optional(self.database.read()).await;
        let approval = stored(&row.map_err(unavailable)?.ok_or(DeskError::Unavailable)?)?.approval;
        let now = self.clock.now();
        match approval.state {
            ApprovalState::Asked if approval.expires().is_none_or(|end| end > now) => Ok(None),
            ApprovalState::Asked | ApprovalState::Granted { .. } => {
                let taken: Result<(Approval, Grant), ActError> =
                    self.change(id, Note::default(), Approval::take_use).await;
                match taken {
                    Ok((_, grant)) => Ok(Some(Answer::Granted(grant))),
                    Err(ActError::Refused(_)) => self.ended(id).await.map(Some),
                    Err(ActError::Desk(error)) => Err(error),
                    Err(ActError::None | ActError::Ambiguous) => Err(DeskError::Unavailable),
                }
            }
            _ => Ok(Some(Answer::Ended(Box::new(approval)))),
        }
    }

    async fn ended(&self, id: ApprovalId) -> Result<Answer, DeskError> {
        let row = sqlx::query(COLUMNS).bind(id.to_string()).fetch_one(self.database.read()).await;
        Ok(Answer::Ended(Box::new(stored(&row.map_err(unavailable)?)?.approval)))
    }

    /// Changes an approval by a step of the kernel's machine, durably and with its audit entry. If the step refuses but
    /// finds that time has ended the approval, that is stored.
    async fn change<T>(
        &self,
        id: ApprovalId,
        note: Note<'_>,
        step: impl FnOnce(&mut Approval, Timestamp) -> Result<T, ApprovalRefusal>,
    ) -> Result<(Approval, T), ActError> {
        let now = self.clock.now();
        let mut change = self.database.begin().await.map_err(unavailable)?;
        let row = sqlx::query(COLUMNS).bind(id.to_string()).fetch_optional(&mut *change).await;
        let mut stored = stored(&row.map_err(unavailable)?.ok_or(ActError::None)?)?;
        let before = stored.approval.clone();
        let outcome = step(&mut stored.approval, now);
        if stored.approval != before {
            let note = if outcome.is_ok() { note } else { Note::default() };
            let revision = self.store(&mut change, &stored, now, note).await?;
            change.commit().await.map_err(unavailable)?;
            self.tell(Some((id, revision)));
        }
        Ok((stored.approval, outcome?))
    }

    /// One conditional UPDATE and the audit entry, within a transaction.
    async fn store(
        &self,
        change: &mut SqliteConnection,
        stored: &Stored,
        now: Timestamp,
        note: Note<'_>,
    ) -> Result<u64, DeskError> {
        let approval = &stored.approval;
        let revision = next_revision(change).await?;
        let updated = sqlx::query(
            "UPDATE approvals SET version = version + 1, revision = ?, state = ?, expires_at = ?, body = ? \
             WHERE id = ? AND version = ?",
        )
        .bind(i64::try_from(revision).unwrap_or(i64::MAX))
        .bind(approval.state.as_str())
        .bind(approval.expires().map(Timestamp::millis))
        .bind(body(approval)?)
        .bind(approval.id.to_string())
        .bind(stored.version)
        .execute(change)
        .await
        .map_err(unavailable)?;
        if updated.rows_affected() != 1 {
            return Err(DeskError::Unavailable);
        }
        // A voice that is not the last, and a use that is not the last, leave the state as it is.
        let word = match (&approval.state, note.by) {
            (ApprovalState::Asked, Some(_)) => "voted",
            (ApprovalState::Granted { used: 1.., .. }, _) => "used_once",
            (state, _) => state.as_str(),
        };
        self.enter(approval, word, now, note).await?;
        Ok(revision)
    }

    async fn enter(&self, approval: &Approval, state: &str, at: Timestamp, note: Note<'_>) -> Result<(), DeskError> {
        let mut batch = Batch::default();
        let event = Event::Approval { approval: approval.id, state, by: note.by, reason: note.reason };
        batch.push(&Entry { at, event });
        match self.log.append(&batch).await {
            Ok(_) => Ok(()),
            Err(_) => Err(DeskError::Unavailable),
        }
    }

    async fn sweep(&self) -> Result<usize, DeskError> {
        let over = sqlx::query("SELECT id FROM approvals WHERE expires_at <= ? LIMIT 1000")
            .bind(self.clock.now().millis())
            .fetch_all(self.database.read())
            .await
            .map_err(unavailable)?;
        let mut ended = 0;
        for row in &over {
            let id = row.try_get::<String, _>(0).ok().and_then(|id| id.parse().ok()).ok_or(DeskError::Unavailable)?;
            let expired = self.change(id, Note::default(), |approval, now| Ok(approval.expire(now))).await;
            match expired {
                Ok((_, true)) => ended += 1,
                Ok((_, false)) | Err(ActError::None | ActError::Refused(_) | ActError::Ambiguous) => {}
                Err(ActError::Desk(error)) => return Err(error),
            }
        }
        Ok(ended)
    }

    fn tell(&self, change: Option<(ApprovalId, u64)>) {
        if let Some(change) = change {
            // Nobody listening is fine.
            let _listeners = self.changes.send(change);
        }
    }
}

async fn next_revision(change: &mut SqliteConnection) -> Result<u64, DeskError> {
    let row = sqlx::query("SELECT coalesce(max(revision), 0) + 1 FROM approvals").fetch_one(change).await;
    row.and_then(|row| row.try_get::<i64, _>(0)).map_err(unavailable).map(i64::unsigned_abs)
}

async fn insert(change: &mut SqliteConnection, approval: &Approval, revision: u64) -> Result<(), DeskError> {
    let asked = &approval.asked;
    sqlx::query(
        "INSERT INTO approvals (id, version, revision, workload, upstream, digest, started_by, state, asked_at, expires_at, body) \
         VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(approval.id.to_string())
    .bind(i64::try_from(revision).unwrap_or(i64::MAX))
    .bind(asked.workload.as_str())
    .bind(asked.upstream.as_str())
    .bind(&asked.digest)
    .bind(started_by(asked))
    .bind(approval.state.as_str())
    .bind(asked.at.millis())
    .bind(approval.expires().map(Timestamp::millis))
    .bind(body(approval)?)
    .execute(change)
    .await
    .map_err(unavailable)?;
    Ok(())
}

fn started_by(asked: &Asked) -> &str {
    asked.started_by.as_ref().map_or("", |person| &person.0)
}

fn body(approval: &Approval) -> Result<String, DeskError> {
    serde_json::to_string(approval).map_err(|_| DeskError::Unavailable)
}

fn stored(row: &sqlx::sqlite::SqliteRow) -> Result<Stored, DeskError> {
    let version = row.try_get("version").map_err(unavailable)?;
    let revision: i64 = row.try_get("revision").map_err(unavailable)?;
    let body: String = row.try_get("body").map_err(unavailable)?;
    let approval = serde_json::from_str(&body).map_err(|_| DeskError::Unavailable)?;
    Ok(Stored { approval, version, revision: revision.unsigned_abs() })
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unavailable(error: sqlx::Error) -> DeskError {
    // SQLite's errors name tables and columns, never values.
    tracing::error!(%error, "the approval desk's database fails");
    DeskError::Unavailable
}

#[cfg(test)]
mod tests;
