//! Native tokens: given to workloads that have no issuer, kept as hashes, always expiring. Implements
//! `kernel::ports::NativeTokens`, which logins ask: from memory, so that a flood of guesses costs the disk nothing.
//!
//! Each is a static key (NHI7): who gave it, why and until when stands with it and in the audit log.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kernel::audit::{Batch, Entry, Event};
use kernel::ports::{AuditLog, Clock, NativeToken, NativeTokens};
use kernel::time::Timestamp;
use kernel::workload::{Name, Person};
use serde::Serialize;
use sqlx::Row;
use subtle::ConstantTimeEq as _;

use crate::database::Database;

/// The longest life of a token.
pub const LONGEST_LIFE: Duration = Duration::from_secs(90 * 86_400);
/// How long a token is shown after it ended; the audit log keeps its story.
const SHOWN: Duration = LONGEST_LIFE;
/// The most tokens in force that a workload may have: enough to change one for another without a gap.
const MOST_OF_A_WORKLOAD: usize = 5;

/// A token as people see it. The token itself is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenRecord {
    /// Its id.
    pub id: Arc<str>,
    /// Whose it is.
    pub workload: Name,
    /// When it was given.
    pub issued_at: Timestamp,
    /// By whom.
    pub issued_by: Person,
    /// Why.
    pub reason: String,
    /// From then on it counts no more.
    pub expires_at: Timestamp,
    /// When it was revoked; none if it was not.
    pub revoked_at: Option<Timestamp>,
    /// Who revoked it.
    pub revoked_by: Option<Person>,
}

impl TokenRecord {
    /// Does it open a session at `now`?
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }

    /// Did it end so long ago that nobody asks for it any more?
    fn is_forgotten(&self, now: Timestamp) -> bool {
        let ended = self.revoked_at.map_or(self.expires_at, |revoked| revoked.min(self.expires_at));
        ended <= now && now.since(ended) >= SHOWN
    }
}

/// Why nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It would be in the past, or longer than [`LONGEST_LIFE`].
    #[error("a token lives for at most 90 days, and at least a minute")]
    Life,
    /// The workload has enough.
    #[error("the workload has as many tokens in force as it may; revoke one")]
    TooMany,
    /// There is no such token, or it is revoked already.
    #[error("there is no such token in force")]
    None,
    /// The store or the audit log fails.
    #[error("the change could not be stored")]
    Unavailable,
}

/// The native tokens.
pub struct Tokens {
    database: Database,
    log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
    by_hash: RwLock<BTreeMap<[u8; 32], TokenRecord>>,
    /// One change at a time, so that memory and disk change in the same order.
    turn: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// Who gives a token to which workload, for how long, and why.
#[derive(Clone, Copy, Debug)]
pub struct Issue<'a> {
    /// Whose it will be.
    pub workload: &'a Name,
    /// How long it lives.
    pub life: Duration,
    /// Who gives it.
    pub by: &'a Person,
    /// Why.
    pub reason: &'a str,
}

impl Tokens {
    /// Reads the tokens.
    pub async fn open(database: Database, log: Arc<dyn AuditLog>, clock: Arc<dyn Clock>) -> Result<Self, TokenError> {
        let by_hash = RwLock::new(read(&database).await?);
        let tokens = Self { database, log, clock, by_hash, turn: tokio::sync::Mutex::new(()) };
        tokens.prune().await?;
        Ok(tokens)
    }

    /// Forgets tokens that ended a life ago: neither memory nor disk is to grow for as long as tokens are given.
    async fn prune(&self) -> Result<(), TokenError> {
        let now = self.clock.now();
        let forgotten: Vec<[u8; 32]> = {
            let by_hash = self.by_hash.read().unwrap_or_else(PoisonError::into_inner);
            by_hash.iter().filter(|(_, record)| record.is_forgotten(now)).map(|(hash, _)| *hash).collect()
        };
        if forgotten.is_empty() {
            return Ok(());
        }
        let mut change = self.database.begin().await.map_err(unavailable)?;
        for hash in &forgotten {
            let delete = sqlx::query("DELETE FROM native_tokens WHERE hash = ?").bind(hash.as_slice());
            delete.execute(&mut *change).await.map_err(unavailable)?;
        }
        change.commit().await.map_err(unavailable)?;
        let mut by_hash = self.by_hash.write().unwrap_or_else(PoisonError::into_inner);
        by_hash.retain(|hash, _| !forgotten.contains(hash));
        Ok(())
    }

    /// Every token that can still be shown, or is no older than a life, oldest first.
    pub fn list(&self) -> Vec<TokenRecord> {
        let by_hash = self.by_hash.read().unwrap_or_else(PoisonError::into_inner);
        let mut records: Vec<TokenRecord> = by_hash.values().cloned().collect();
        records.sort_by(|one, other| (one.issued_at, &one.id).cmp(&(other.issued_at, &other.id)));
        records
    }

    /// How many tokens in force a workload has.
    pub fn in_force_of(&self, workload: &Name) -> usize {
        let now = self.clock.now();
        let by_hash = self.by_hash.read().unwrap_or_else(PoisonError::into_inner);
        by_hash.values().filter(|record| record.workload == *workload && record.in_force(now)).count()
    }

    /// Gives a token of which only the hash comes here.
    pub async fn issue(&self, hash: [u8; 32], issue: Issue<'_>) -> Result<TokenRecord, TokenError> {
        let _one_at_a_time = self.turn.lock().await;
        let now = self.clock.now();
        if issue.life > LONGEST_LIFE || issue.life < Duration::from_secs(60) {
            return Err(TokenError::Life);
        }
        if self.in_force_of(issue.workload) >= MOST_OF_A_WORKLOAD {
            return Err(TokenError::TooMany);
        }
        self.prune().await?;
        let record = TokenRecord {
            id: format!("tok_{:016x}", self.clock.random()).into(),
            workload: issue.workload.clone(),
            issued_at: now,
            issued_by: issue.by.clone(),
            reason: issue.reason.to_owned(),
            expires_at: now.after(issue.life),
            revoked_at: None,
            revoked_by: None,
        };
        let mut change = self.database.begin().await.map_err(unavailable)?;
        sqlx::query(
            "INSERT INTO native_tokens (id, hash, workload, issued_at, issued_by, reason, expires_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&*record.id)
        .bind(hash.as_slice())
        .bind(record.workload.as_str())
        .bind(record.issued_at.millis())
        .bind(&*record.issued_by.0)
        .bind(&record.reason)
        .bind(record.expires_at.millis())
        .execute(&mut *change)
        .await
        .map_err(unavailable)?;
        let object = format!("{} of {} until {}", record.id, record.workload, record.expires_at);
        self.enter(issue.by, "workloads token issue", &object, Some(issue.reason)).await?;
        change.commit().await.map_err(unavailable)?;
        self.by_hash.write().unwrap_or_else(PoisonError::into_inner).insert(hash, record.clone());
        Ok(record)
    }

    /// Ends a token. Sessions that it opened are for the caller to cut.
    pub async fn revoke(&self, id: &str, by: &Person, reason: &str) -> Result<TokenRecord, TokenError> {
        let _one_at_a_time = self.turn.lock().await;
        let now = self.clock.now();
        let mut change = self.database.begin().await.map_err(unavailable)?;
        let revoke = sqlx::query(
            "UPDATE native_tokens SET revoked_at = ?, revoked_by = ? WHERE id = ? AND revoked_at IS NULL AND expires_at > ?",
        );
        let revoke = revoke.bind(now.millis()).bind(&*by.0).bind(id).bind(now.millis());
        if revoke.execute(&mut *change).await.map_err(unavailable)?.rows_affected() != 1 {
            return Err(TokenError::None);
        }
        self.enter(by, "workloads token revoke", id, Some(reason)).await?;
        change.commit().await.map_err(unavailable)?;
        let mut by_hash = self.by_hash.write().unwrap_or_else(PoisonError::into_inner);
        let record = by_hash.values_mut().find(|record| *record.id == *id).ok_or(TokenError::Unavailable)?;
        record.revoked_at = Some(now);
        record.revoked_by = Some(by.clone());
        Ok(record.clone())
    }

    /// Ends every token in force of these workloads, because a signal says so; the ids of those that it ended. Sessions that
    /// they opened are for the caller to cut.
    pub async fn revoke_all(&self, workloads: &[Name], why: &str) -> Result<Vec<Arc<str>>, TokenError> {
        let _one_at_a_time = self.turn.lock().await;
        let now = self.clock.now();
        let ending: Vec<Arc<str>> = self
            .list()
            .into_iter()
            .filter(|record| workloads.contains(&record.workload) && record.in_force(now))
            .map(|record| record.id)
            .collect();
        if ending.is_empty() {
            return Ok(ending);
        }
        let mut change = self.database.begin().await.map_err(unavailable)?;
        let mut batch = Batch::default();
        for id in &ending {
            let revoke = sqlx::query("UPDATE native_tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL");
            revoke.bind(now.millis()).bind(&**id).execute(&mut *change).await.map_err(unavailable)?;
            let event = Event::Admin { by: None, action: "workloads token revoke", object: id, reason: Some(why) };
            batch.push(&Entry { at: now, event });
        }
        self.log.append(&batch).await.map_err(|_| TokenError::Unavailable)?;
        change.commit().await.map_err(unavailable)?;
        let mut by_hash = self.by_hash.write().unwrap_or_else(PoisonError::into_inner);
        for record in by_hash.values_mut().filter(|record| ending.contains(&record.id)) {
            record.revoked_at = Some(now);
        }
        Ok(ending)
    }

    async fn enter(&self, by: &Person, action: &str, object: &str, reason: Option<&str>) -> Result<(), TokenError> {
        let mut batch = Batch::default();
        batch.push(&Entry { at: self.clock.now(), event: Event::Admin { by: Some(by), action, object, reason } });
        self.log.append(&batch).await.map(drop).map_err(|_| TokenError::Unavailable)
    }
}

impl NativeTokens for Tokens {
    fn find(&self, hash: &[u8; 32]) -> Option<NativeToken> {
        let by_hash = self.by_hash.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        // Every hash is compared, each in constant time, so that the time of the answer tells nothing of what is stored.
        for (known, record) in &*by_hash {
            if bool::from(known.ct_eq(hash)) {
                found = Some(record);
            }
        }
        let record = found.filter(|record| record.in_force(self.clock.now()))?;
        Some(NativeToken { id: Arc::clone(&record.id), workload: record.workload.clone(), expires: record.expires_at })
    }

    fn in_force(&self, id: &str) -> bool {
        let now = self.clock.now();
        let by_hash = self.by_hash.read().unwrap_or_else(PoisonError::into_inner);
        by_hash.values().any(|record| *record.id == *id && record.in_force(now))
    }
}

async fn read(database: &Database) -> Result<BTreeMap<[u8; 32], TokenRecord>, TokenError> {
    let rows = sqlx::query(
        "SELECT id, hash, workload, issued_at, issued_by, reason, expires_at, revoked_at, revoked_by FROM native_tokens",
    );
    let mut by_hash = BTreeMap::new();
    for row in rows.fetch_all(database.read()).await.map_err(unavailable)? {
        let text = |column: &str| row.try_get::<String, _>(column).map_err(unavailable);
        let time = |column: &str| row.try_get::<i64, _>(column).map(Timestamp::from_millis).map_err(unavailable);
        let hash: Vec<u8> = row.try_get("hash").map_err(unavailable)?;
        let hash: [u8; 32] = hash.try_into().map_err(|_| TokenError::Unavailable)?;
        let revoked_at: Option<i64> = row.try_get("revoked_at").map_err(unavailable)?;
        let revoked_by: Option<String> = row.try_get("revoked_by").map_err(unavailable)?;
        let record = TokenRecord {
            id: text("id")?.into(),
            workload: text("workload")?.parse().map_err(|_| TokenError::Unavailable)?,
            issued_at: time("issued_at")?,
            issued_by: Person(text("issued_by")?.into()),
            reason: text("reason")?,
            expires_at: time("expires_at")?,
            revoked_at: revoked_at.map(Timestamp::from_millis),
            revoked_by: revoked_by.map(|by| Person(by.into())),
        };
        by_hash.insert(hash, record);
    }
    Ok(by_hash)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unavailable(error: sqlx::Error) -> TokenError {
    tracing::error!(%error, "the database of native tokens fails");
    TokenError::Unavailable
}

#[cfg(test)]
mod tests;
