//! Tasks that were issued: whose, for what, until when, and whether one was ended before. Implements
//! `kernel::ports::TaskRecords`, which logins and exchanges ask: from memory. A task that is not known is not in force.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kernel::audit::{Batch, Entry, Event};
use kernel::id::TaskId;
use kernel::ports::{AuditLog, Clock, NewTask, PortFuture, TaskRecordError, TaskRecords};
use kernel::task::Details;
use kernel::time::Timestamp;
use kernel::workload::Person;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::database::Database;

/// How long a task is remembered after its end.
const REMEMBERED: Duration = Duration::from_secs(30 * 86_400);
/// How long after its end it is listed.
const LISTED: Duration = Duration::from_secs(86_400);
/// The most tasks in memory. Beyond, none is issued.
const MOST: usize = 100_000;

/// A task as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRecord {
    /// What was issued.
    pub task: NewTask,
    /// When it was revoked; none if it was not.
    pub revoked_at: Option<Timestamp>,
    /// Who revoked it; none if its holder did.
    pub revoked_by: Option<Person>,
}

impl TaskRecord {
    /// Does its token count at `now`?
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.task.expires_at
    }
}

/// Why a task was not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RevokeError {
    /// There is none, or it has ended.
    #[error("there is no such task in force")]
    None,
    /// The store or the audit log fails.
    #[error("the change could not be stored")]
    Unavailable,
}

/// The tasks.
pub struct Tasks {
    database: Database,
    log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
    known: RwLock<BTreeMap<TaskId, TaskRecord>>,
    /// One change at a time, so that memory and disk change in the same order.
    turn: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tasks").finish_non_exhaustive()
    }
}

impl Tasks {
    /// Reads the tasks, and forgets those that ended long ago.
    pub async fn open(
        database: Database,
        log: Arc<dyn AuditLog>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TaskRecordError> {
        let mut change = database.begin().await.map_err(unavailable)?;
        let forget = sqlx::query("DELETE FROM tasks WHERE expires_at < ?").bind(before(clock.now(), REMEMBERED));
        forget.execute(&mut *change).await.map_err(unavailable)?;
        change.commit().await.map_err(unavailable)?;
        let rows = sqlx::query("SELECT * FROM tasks WHERE expires_at >= ?").bind(before(clock.now(), LISTED));
        let mut known = BTreeMap::new();
        for row in rows.fetch_all(database.read()).await.map_err(unavailable)? {
            let record = read(&row)?;
            known.insert(record.task.id, record);
        }
        Ok(Self { database, log, clock, known: RwLock::new(known), turn: tokio::sync::Mutex::new(()) })
    }

    /// Every task that is in force or ended within a day, oldest first.
    pub fn list(&self) -> Vec<TaskRecord> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Ends a task. Sessions that its tokens opened are for the caller to cut.
    pub async fn revoke(
        &self,
        id: TaskId,
        by: Option<&Person>,
        reason: Option<&str>,
    ) -> Result<TaskRecord, RevokeError> {
        let _one_at_a_time = self.turn.lock().await;
        let now = self.clock.now();
        let unavailable = |error| {
            let TaskRecordError = unavailable(error);
            RevokeError::Unavailable
        };
        let mut change = self.database.begin().await.map_err(unavailable)?;
        let revoke = sqlx::query(
            "UPDATE tasks SET revoked_at = ?, revoked_by = ? WHERE id = ? AND revoked_at IS NULL AND expires_at > ?",
        );
        let by_text = by.map(|person| person.0.to_string());
        let revoke = revoke.bind(now.millis()).bind(by_text).bind(id.to_string()).bind(now.millis());
        if revoke.execute(&mut *change).await.map_err(unavailable)?.rows_affected() != 1 {
            return Err(RevokeError::None);
        }
        let object = id.to_string();
        let event = Event::Admin { by, action: "tasks revoke", object: &object, reason };
        let mut batch = Batch::default();
        batch.push(&Entry { at: now, event });
        self.log.append(&batch).await.map_err(|_| RevokeError::Unavailable)?;
        change.commit().await.map_err(unavailable)?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let record = known.get_mut(&id).ok_or(RevokeError::Unavailable)?;
        record.revoked_at = Some(now);
        record.revoked_by = by.cloned();
        Ok(record.clone())
    }

    async fn insert(&self, task: &NewTask) -> Result<(), TaskRecordError> {
        let _one_at_a_time = self.turn.lock().await;
        let now = self.clock.now();
        {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            let listed = before(now, LISTED);
            known.retain(|_, record| record.task.expires_at.millis() >= listed);
            if known.len() >= MOST {
                tracing::error!("too many tasks are remembered; none is issued");
                return Err(TaskRecordError);
            }
        }
        let mut change = self.database.begin().await.map_err(unavailable)?;
        let insert = sqlx::query(
            "INSERT INTO tasks (id, workload, issued_at, issued_by, expires_at, chain, details, bound) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        );
        insert
            .bind(task.id.to_string())
            .bind(task.workload.as_str())
            .bind(task.issued_at.millis())
            .bind(task.issued_by.as_ref().map(|person| person.0.to_string()))
            .bind(task.expires_at.millis())
            .bind(serde_json::to_string(&task.chain).map_err(|_| TaskRecordError)?)
            .bind(task.details.value().to_string())
            .bind(task.bound)
            .execute(&mut *change)
            .await
            .map_err(unavailable)?;
        change.commit().await.map_err(unavailable)?;
        let record = TaskRecord { task: task.clone(), revoked_at: None, revoked_by: None };
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(task.id, record);
        Ok(())
    }
}

impl TaskRecords for Tasks {
    fn in_force(&self, task: TaskId) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&task).is_some_and(|record| record.in_force(self.clock.now()))
    }

    fn add<'a>(&'a self, task: &'a NewTask) -> PortFuture<'a, Result<(), TaskRecordError>> {
        Box::pin(self.insert(task))
    }
}

fn before(now: Timestamp, time: Duration) -> i64 {
    now.millis().saturating_sub(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

fn read(row: &SqliteRow) -> Result<TaskRecord, TaskRecordError> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(unavailable);
    let time = |column: &str| row.try_get::<i64, _>(column).map(Timestamp::from_millis).map_err(unavailable);
    let person = |column: &str| row.try_get::<Option<String>, _>(column).map_err(unavailable);
    let revoked_at: Option<i64> = row.try_get("revoked_at").map_err(unavailable)?;
    let task = NewTask {
        id: text("id")?.parse().map_err(|_| TaskRecordError)?,
        workload: text("workload")?.parse().map_err(|_| TaskRecordError)?,
        issued_at: time("issued_at")?,
        issued_by: person("issued_by")?.map(|name| Person(name.into())),
        expires_at: time("expires_at")?,
        chain: serde_json::from_str(&text("chain")?).map_err(|_| TaskRecordError)?,
        details: Details::parse(&text("details")?).map_err(|_| TaskRecordError)?,
        bound: row.try_get("bound").map_err(unavailable)?,
    };
    let revoked_by = person("revoked_by")?.map(|name| Person(name.into()));
    Ok(TaskRecord { task, revoked_at: revoked_at.map(Timestamp::from_millis), revoked_by })
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unavailable(error: sqlx::Error) -> TaskRecordError {
    tracing::error!(%error, "the database of tasks fails");
    TaskRecordError
}

#[cfg(test)]
mod tests;
