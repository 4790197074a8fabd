//! Our own security events on their way to those who listen: made once for each change, kept until the receiver has them.
//!
//! That an event was made and that it waits are one change, so that a crash neither loses one nor makes it twice.

use sqlx::Row;
use tokio::sync::watch;

use kernel::time::Timestamp;

use crate::database::Database;

/// The most events that wait for one receiver. When it is gone for longer, the oldest go.
const MOST_WAITING: i64 = 10_000;

/// The outbox could not be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store of outgoing events cannot be reached")]
pub struct OutboxError;

/// An event for one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// For whom.
    pub receiver: String,
    /// Its `jti`.
    pub jti: String,
    /// The signed token.
    pub token: String,
}

/// The events that wait.
pub struct Outbox {
    database: Database,
    news: watch::Sender<u64>,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}

impl Outbox {
    /// Over a database.
    pub fn new(database: Database) -> Self {
        Self { database, news: watch::Sender::new(0) }
    }

    /// A signal when something new waits.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// What was last told of a thing; none if nothing was.
    pub async fn told(&self, thing: &str) -> Result<Option<String>, OutboxError> {
        let told = sqlx::query_scalar::<_, String>("SELECT status FROM transmitted WHERE workload = ?").bind(thing);
        told.fetch_optional(self.database.read()).await.map_err(failed)
    }

    /// Lets events wait that tell how a thing stands now, unless that was told already.
    pub async fn tell(&self, thing: &str, status: &str, events: &[Outgoing], at: Timestamp) -> Result<(), OutboxError> {
        let mut change = self.database.begin().await.map_err(failed)?;
        let told = sqlx::query(
            "INSERT INTO transmitted (workload, status) VALUES (?, ?) \
             ON CONFLICT (workload) DO UPDATE SET status = excluded.status WHERE status <> excluded.status",
        );
        if told.bind(thing).bind(status).execute(&mut *change).await.map_err(failed)?.rows_affected() == 0 {
            return Ok(());
        }
        for event in events {
            insert(&mut change, event, at).await?;
        }
        change.commit().await.map_err(failed)?;
        self.news.send_modify(|news| *news += 1);
        Ok(())
    }

    /// Lets one event wait.
    pub async fn put(&self, event: &Outgoing, at: Timestamp) -> Result<(), OutboxError> {
        let mut change = self.database.begin().await.map_err(failed)?;
        insert(&mut change, event, at).await?;
        change.commit().await.map_err(failed)?;
        self.news.send_modify(|news| *news += 1);
        Ok(())
    }

    /// What waits for a receiver, oldest first: `jti` and token.
    pub async fn waiting(&self, receiver: &str, most: u32) -> Result<Vec<(String, String)>, OutboxError> {
        let rows = sqlx::query("SELECT jti, token FROM outgoing WHERE receiver = ? ORDER BY number LIMIT ?");
        let rows = rows.bind(receiver).bind(i64::from(most)).fetch_all(self.database.read()).await.map_err(failed)?;
        let pair = |row: &sqlx::sqlite::SqliteRow| Ok((row.try_get("jti")?, row.try_get("token")?));
        rows.iter().map(pair).collect::<sqlx::Result<_>>().map_err(failed)
    }

    /// The receiver has these, or will never have them.
    pub async fn done(&self, receiver: &str, events: &[String]) -> Result<(), OutboxError> {
        if events.is_empty() {
            return Ok(());
        }
        let mut change = self.database.begin().await.map_err(failed)?;
        for jti in events {
            let delete = sqlx::query("DELETE FROM outgoing WHERE receiver = ? AND jti = ?");
            delete.bind(receiver).bind(jti).execute(&mut *change).await.map_err(failed)?;
        }
        change.commit().await.map_err(failed)
    }

    /// Forgets what waits for a receiver.
    pub async fn forget(&self, receiver: &str) -> Result<(), OutboxError> {
        let mut change = self.database.begin().await.map_err(failed)?;
        let delete = sqlx::query("DELETE FROM outgoing WHERE receiver = ?").bind(receiver);
        delete.execute(&mut *change).await.map_err(failed)?;
        change.commit().await.map_err(failed)
    }

    /// What a receiver has chosen of its stream, as JSON; none if it has chosen nothing.
    pub async fn settings(&self, receiver: &str) -> Result<Option<String>, OutboxError> {
        let settings = sqlx::query_scalar::<_, String>("SELECT settings FROM receivers WHERE name = ?").bind(receiver);
        settings.fetch_optional(self.database.read()).await.map_err(failed)
    }

    /// Keeps what a receiver has chosen.
    pub async fn choose(&self, receiver: &str, settings: &str) -> Result<(), OutboxError> {
        let mut change = self.database.begin().await.map_err(failed)?;
        sqlx::query(
            "INSERT INTO receivers (name, settings) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET settings = excluded.settings",
        )
        .bind(receiver)
        .bind(settings)
        .execute(&mut *change)
        .await
        .map_err(failed)?;
        change.commit().await.map_err(failed)?;
        self.news.send_modify(|news| *news += 1);
        Ok(())
    }
}

async fn insert(change: &mut sqlx::SqliteConnection, event: &Outgoing, at: Timestamp) -> Result<(), OutboxError> {
    let insert = sqlx::query("INSERT INTO outgoing (receiver, jti, token, at) VALUES (?, ?, ?, ?)");
    let insert = insert.bind(&event.receiver).bind(&event.jti).bind(&event.token).bind(at.millis());
    insert.execute(&mut *change).await.map_err(failed)?;
    let bound = sqlx::query(
        "DELETE FROM outgoing WHERE receiver = ?1 AND number <= \
         (SELECT number FROM outgoing WHERE receiver = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
    );
    let gone = bound.bind(&event.receiver).bind(MOST_WAITING).execute(change).await.map_err(failed)?.rows_affected();
    if gone > 0 {
        tracing::warn!(receiver = event.receiver, gone, "a receiver is gone for long: its oldest events are dropped");
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn failed(error: sqlx::Error) -> OutboxError {
    tracing::error!(%error, "the database of outgoing events fails");
    OutboxError
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(receiver: &str, jti: &str) -> Outgoing {
        Outgoing { receiver: receiver.to_owned(), jti: jti.to_owned(), token: format!("token {jti}") }
    }

    #[tokio::test]
    async fn each_change_is_told_once_and_waits_until_it_is_had() {
        let outbox = Outbox::new(Database::in_memory().await.unwrap());
        let now = Timestamp::from_millis(1);
        let mut news = outbox.watch();
        outbox.tell("workload bot", "quarantined", &[event("a", "1"), event("b", "2")], now).await.unwrap();
        assert!(news.has_changed().unwrap());
        news.mark_unchanged();
        outbox.tell("workload bot", "quarantined", &[event("a", "3")], now).await.unwrap();
        assert!(!news.has_changed().unwrap(), "it was told twice");
        outbox.tell("workload bot", "active", &[event("a", "4")], now).await.unwrap();
        assert_eq!(outbox.told("workload bot").await, Ok(Some("active".to_owned())));
        let waiting = |events: Vec<(String, String)>| events.into_iter().map(|(jti, _)| jti).collect::<Vec<_>>();
        assert_eq!(waiting(outbox.waiting("a", 10).await.unwrap()), ["1", "4"]);
        outbox.done("b", &["1".to_owned()]).await.unwrap();
        assert_eq!(waiting(outbox.waiting("a", 10).await.unwrap()), ["1", "4"], "another's word counted");
        outbox.done("a", &["1".to_owned()]).await.unwrap();
        assert_eq!(waiting(outbox.waiting("a", 10).await.unwrap()), ["4"]);
        outbox.forget("a").await.unwrap();
        assert!(outbox.waiting("a", 10).await.unwrap().is_empty());
        assert_eq!(waiting(outbox.waiting("b", 10).await.unwrap()), ["2"]);
        outbox.choose("a", "{}").await.unwrap();
        assert_eq!(outbox.settings("a").await, Ok(Some("{}".to_owned())));
    }
}
