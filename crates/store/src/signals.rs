//! Security events that were taken, each once, with what followed; and what is known of the streams that they come by.
//!
//! An event is acknowledged only when its effects, its place here and its audit entry are durable: all of it is one change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kernel::audit::{Batch, Entry, Event};
use kernel::ports::{AuditLog, Clock};
use kernel::risk::Fading;
use kernel::signal::{Effects, SecurityEvent};
use kernel::time::Timestamp;
use kernel::trust::OnceToken;
use kernel::workload::{Name, Person};
use serde::Serialize;
use sqlx::{Row, SqliteConnection};

use crate::database::Database;
use crate::incidents::{Effect, EffectKind, IncidentError, Incidents, Joins};
use crate::risk::{RiskBook, RiskError, Risks};
use crate::tokens::Tokens;

/// Events that were issued longer ago are not taken, so that those taken need not be remembered for ever.
pub const OLDEST: Duration = Duration::from_secs(7 * 86_400);
/// How long a taken event is remembered: a day longer than [`OLDEST`].
const REMEMBERED: Duration = Duration::from_secs(8 * 86_400);
/// The most events that are remembered; more in so short a time is a flood, which is refused and not forgotten.
const MOST: i64 = 200_000;

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It had these effects; the native tokens with these ids were revoked.
    Effective {
        /// The native tokens that were revoked: whoever holds sessions of theirs cuts these.
        tokens: Vec<Arc<str>>,
    },
    /// It was taken before: to be acknowledged, and nothing else.
    Repeated,
}

/// Why an event was not taken. It must not be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    /// The store or the audit log fails.
    #[error("the event could not be stored")]
    Unavailable,
    /// Too many came of late.
    #[error("too many events are remembered")]
    Full,
    /// There is no such signal.
    #[error("there is no such signal")]
    None,
}

impl From<IncidentError> for SignalError {
    fn from(_error: IncidentError) -> Self {
        Self::Unavailable
    }
}

impl From<RiskError> for SignalError {
    fn from(_error: RiskError) -> Self {
        Self::Unavailable
    }
}

/// A taken event, as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignalRecord {
    /// Counted from 1.
    pub number: i64,
    /// When it was taken.
    pub at: Timestamp,
    /// By which stream it came.
    pub stream: String,
    /// What happened.
    pub event: String,
    /// Whom it was about.
    pub subject: String,
    /// The workloads that it was about.
    pub workloads: Vec<Name>,
    /// What followed: `quarantined`, `revoked`, `risk`, `noted`, `unmatched` or `verified`.
    pub outcome: String,
    /// The person who has seen it.
    pub seen_by: Option<Person>,
}

/// What is known of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamRecord {
    /// When the last event came.
    pub last_event: Option<Timestamp>,
    /// When the stream last proved that it lives.
    pub verified_at: Option<Timestamp>,
    /// When it was last asked to.
    pub asked_at: Option<Timestamp>,
    /// How many events were refused, and why the last one was.
    pub refused: (u64, Option<String>),
    /// How many events were about nobody whom the stream may speak of.
    pub unmatched: u64,
}

/// The signals.
pub struct Signals {
    database: Database,
    log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
    risks: Arc<Risks>,
    tokens: Arc<Tokens>,
    incidents: Arc<Incidents>,
}

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}

impl Signals {
    /// Over a database, with what events have effects on.
    pub fn new(
        database: Database,
        log: Arc<dyn AuditLog>,
        clock: Arc<dyn Clock>,
        risks: Arc<Risks>,
        tokens: Arc<Tokens>,
    ) -> Self {
        let incidents = Incidents::new(database.clone(), Arc::clone(&log), Arc::clone(&clock));
        Self { database, log, clock, risks, tokens, incidents: Arc::new(incidents) }
    }

    /// What events did to workloads, grouped.
    pub fn incidents(&self) -> &Arc<Incidents> {
        &self.incidents
    }

    /// Takes an event about these workloads, once. When this returns, everything that follows from it is durable.
    pub async fn take(
        &self,
        event: &SecurityEvent,
        workloads: &[Name],
        effects: &Effects,
    ) -> Result<Taken, SignalError> {
        let now = self.clock.now();
        let hash = OnceToken { issuer: Arc::clone(&event.issuer), id: event.id.to_string(), until: now }.hash();
        if self.is_known(&hash).await? {
            return Ok(Taken::Repeated);
        }
        let subject = event.subject.as_ref().map(kernel::signal::Subject::shown).unwrap_or_default();
        let why = format!("{} by stream {}", event.kind.as_str(), event.stream);
        // Revoking a token twice is revoking it once, so should the rest fail, the event comes again and finds nothing new.
        let tokens = if effects.revoke {
            self.tokens.revoke_all(workloads, &why).await.map_err(|_| SignalError::Unavailable)?
        } else {
            Vec::new()
        };
        let mut change = self.database.begin().await.map_err(unavailable)?;
        let outcome = outcome(event, workloads, effects);
        if !self.insert(&mut change, event, &hash, &subject, workloads, outcome).await? {
            return Ok(Taken::Repeated);
        }
        note(&mut change, event, outcome, now).await?;
        let before = crate::risk::read(&mut change).await?;
        let records = if tokens.is_empty() { Vec::new() } else { self.tokens.list() };
        let of = records.into_iter().filter(|record| tokens.contains(&record.id));
        let ended: Vec<(Name, Arc<str>)> = of.map(|record| (record.workload, record.id)).collect();
        let done = done(workloads, effects, &why, &ended, &before);
        // Little risk is no incident; it is a part of one that goes on.
        let grave = effects.revoke
            || effects.quarantine
            || effects.risk.as_ref().is_some_and(|risk| risk.fading == Fading::Stays);
        let joins = if grave { Joins::OrOpens } else { Joins::Only };
        self.incidents.note(&mut change, &format!("stream {}", event.stream), &done, joins).await?;
        let book = self.risks.apply(&mut change, workloads, effects, &why).await?;
        let named: Vec<&str> = workloads.iter().map(Name::as_str).collect();
        let named = if named.is_empty() { outcome.to_owned() } else { named.join(", ") };
        let action = format!("signals {}", event.kind.as_str());
        let object = format!("stream {}: {named}", event.stream);
        let reason = (!subject.is_empty()).then_some(subject.as_str());
        self.enter(Event::Admin { by: None, action: &action, object: &object, reason }).await?;
        change.commit().await.map_err(unavailable)?;
        self.risks.publish(book);
        Ok(Taken::Effective { tokens })
    }

    async fn is_known(&self, hash: &[u8; 32]) -> Result<bool, SignalError> {
        let known = sqlx::query("SELECT 1 FROM signals WHERE hash = ?").bind(hash.as_slice());
        known.fetch_optional(self.database.read()).await.map(|row| row.is_some()).map_err(unavailable)
    }

    async fn insert(
        &self,
        change: &mut SqliteConnection,
        event: &SecurityEvent,
        hash: &[u8; 32],
        subject: &str,
        workloads: &[Name],
        outcome: &str,
    ) -> Result<bool, SignalError> {
        let now = self.clock.now();
        let forgotten = now.millis().saturating_sub(i64::try_from(REMEMBERED.as_millis()).unwrap_or(i64::MAX));
        let forget = sqlx::query("DELETE FROM signals WHERE at < ?").bind(forgotten);
        forget.execute(&mut *change).await.map_err(unavailable)?;
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM signals");
        if count.fetch_one(&mut *change).await.map_err(unavailable)? >= MOST {
            return Err(SignalError::Full);
        }
        let workloads = serde_json::to_string(workloads).map_err(|_| SignalError::Unavailable)?;
        let insert = sqlx::query(
            "INSERT INTO signals (hash, at, stream, event, subject, workloads, outcome) VALUES (?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (hash) DO NOTHING",
        );
        let insert = insert.bind(hash.as_slice()).bind(now.millis()).bind(event.stream.as_str());
        let insert = insert.bind(event.kind.as_str()).bind(subject).bind(workloads).bind(outcome);
        Ok(insert.execute(change).await.map_err(unavailable)?.rows_affected() == 1)
    }

    /// Notes that a stream was asked to prove that it lives.
    pub async fn note_asked(&self, stream: &Name) -> Result<(), SignalError> {
        let mut change = self.database.begin().await.map_err(unavailable)?;
        sqlx::query(
            "INSERT INTO streams (name, asked_at) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET asked_at = excluded.asked_at",
        )
        .bind(stream.as_str())
        .bind(self.clock.now().millis())
        .execute(&mut *change)
        .await
        .map_err(unavailable)?;
        change.commit().await.map_err(unavailable)
    }

    /// Notes that something came by a stream that was refused. The reason is ours, and holds nothing of what came.
    pub async fn note_refused(&self, stream: &Name, why: &str) -> Result<(), SignalError> {
        let mut change = self.database.begin().await.map_err(unavailable)?;
        sqlx::query(
            "INSERT INTO streams (name, refused, refused_why) VALUES (?, 1, ?) \
             ON CONFLICT (name) DO UPDATE SET refused = refused + 1, refused_why = excluded.refused_why",
        )
        .bind(stream.as_str())
        .bind(why)
        .execute(&mut *change)
        .await
        .map_err(unavailable)?;
        let object = format!("stream {stream}");
        self.enter(Event::Admin { by: None, action: "signals refused", object: &object, reason: Some(why) }).await?;
        change.commit().await.map_err(unavailable)
    }

    /// The newest events, newest first.
    pub async fn list(&self, most: u32) -> Result<Vec<SignalRecord>, SignalError> {
        let rows = sqlx::query(
            "SELECT number, at, stream, event, subject, workloads, outcome, seen_by FROM signals ORDER BY number DESC LIMIT ?",
        );
        let rows = rows.bind(i64::from(most)).fetch_all(self.database.read()).await.map_err(unavailable)?;
        rows.iter().map(|row| record(row).map_err(unavailable)).collect()
    }

    /// A person has seen a signal.
    pub async fn acknowledge(&self, number: i64, by: &Person) -> Result<(), SignalError> {
        let mut change = self.database.begin().await.map_err(unavailable)?;
        let update = sqlx::query("UPDATE signals SET seen_by = ? WHERE number = ?").bind(&*by.0).bind(number);
        if update.execute(&mut *change).await.map_err(unavailable)?.rows_affected() != 1 {
            return Err(SignalError::None);
        }
        let object = number.to_string();
        self.enter(Event::Admin { by: Some(by), action: "signals ack", object: &object, reason: None }).await?;
        change.commit().await.map_err(unavailable)
    }

    /// What is known of each stream.
    pub async fn streams(&self) -> Result<BTreeMap<String, StreamRecord>, SignalError> {
        let rows =
            sqlx::query("SELECT name, last_event, verified_at, asked_at, refused, refused_why, unmatched FROM streams");
        let mut streams = BTreeMap::new();
        for row in rows.fetch_all(self.database.read()).await.map_err(unavailable)? {
            let time = |column: &str| row.try_get::<Option<i64>, _>(column).map(|at| at.map(Timestamp::from_millis));
            let count = |column: &str| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
            let record = StreamRecord {
                last_event: time("last_event").map_err(unavailable)?,
                verified_at: time("verified_at").map_err(unavailable)?,
                asked_at: time("asked_at").map_err(unavailable)?,
                refused: (count("refused").map_err(unavailable)?, row.try_get("refused_why").map_err(unavailable)?),
                unmatched: count("unmatched").map_err(unavailable)?,
            };
            streams.insert(row.try_get("name").map_err(unavailable)?, record);
        }
        Ok(streams)
    }

    async fn enter(&self, event: Event<'_>) -> Result<(), SignalError> {
        let mut batch = Batch::default();
        batch.push(&Entry { at: self.clock.now(), event });
        self.log.append(&batch).await.map(drop).map_err(|_| SignalError::Unavailable)
    }
}

/// What an event does, workload by workload.
fn done(
    workloads: &[Name],
    effects: &Effects,
    why: &str,
    tokens: &[(Name, Arc<str>)],
    before: &RiskBook,
) -> Vec<Effect> {
    let mut done = Vec::new();
    for workload in workloads {
        let mut push = |kind, cause: &str, before| {
            done.push(Effect { workload: workload.clone(), kind, cause: cause.to_owned(), before });
        };
        if effects.risk.is_some() {
            push(EffectKind::Risk, why, None);
        }
        if effects.revoke {
            let before = before.workloads.get(workload).and_then(|entry| entry.revoked.clone());
            push(EffectKind::Revoked, why, before);
        }
        if effects.quarantine {
            push(EffectKind::Quarantined, why, None);
        }
        for (_, id) in tokens.iter().filter(|(of, _)| of == workload) {
            push(EffectKind::Token, id, None);
        }
    }
    done
}

/// The word for what followed.
fn outcome(event: &SecurityEvent, workloads: &[Name], effects: &Effects) -> &'static str {
    match effects {
        _ if event.kind.is_of_stream() => "verified",
        _ if workloads.is_empty() => "unmatched",
        Effects { quarantine: true, .. } => "quarantined",
        Effects { revoke: true, .. } => "revoked",
        Effects { risk: Some(_), .. } => "risk",
        Effects { revoke: false, quarantine: false, risk: None } => "noted",
    }
}

async fn note(
    change: &mut SqliteConnection,
    event: &SecurityEvent,
    outcome: &str,
    now: Timestamp,
) -> Result<(), SignalError> {
    let verified = (outcome == "verified").then_some(now.millis());
    sqlx::query(
        "INSERT INTO streams (name, last_event, verified_at, unmatched) VALUES (?, ?, ?, ?) \
         ON CONFLICT (name) DO UPDATE SET last_event = excluded.last_event, \
         verified_at = coalesce(excluded.verified_at, verified_at), unmatched = unmatched + excluded.unmatched",
    )
    .bind(event.stream.as_str())
    .bind(now.millis())
    .bind(verified)
    .bind(i64::from(outcome == "unmatched"))
    .execute(change)
    .await
    .map_err(unavailable)?;
    Ok(())
}

fn record(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<SignalRecord> {
    let workloads: String = row.try_get("workloads")?;
    Ok(SignalRecord {
        number: row.try_get("number")?,
        at: Timestamp::from_millis(row.try_get("at")?),
        stream: row.try_get("stream")?,
        event: row.try_get("event")?,
        subject: row.try_get("subject")?,
        workloads: serde_json::from_str(&workloads).unwrap_or_default(),
        outcome: row.try_get("outcome")?,
        seen_by: row.try_get::<Option<String>, _>("seen_by")?.map(|by| Person(by.into())),
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unavailable(error: sqlx::Error) -> SignalError {
    tracing::error!(%error, "the database of signals fails");
    SignalError::Unavailable
}

#[cfg(test)]
mod tests;
