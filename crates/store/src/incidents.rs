//! Incidents: what was done to workloads because of one source, a stream of security events or a policy, grouped so that a
//! person judges it as one thing and can undo it as one thing (hazard ID22). It records; who undoes is `control`.
//!
//! What one source does joins its open incident until it has done nothing for a while. A quarantine that a policy orders for a
//! workload that an open incident has made riskier belongs to that incident: undoing one without the other undoes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kernel::audit::{Batch, Entry, Event};
use kernel::id::IncidentId;
use kernel::ports::{AuditLog, Clock};
use kernel::time::Timestamp;
use kernel::workload::{Name, Person};
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::database::Database;

/// A source that has done nothing for so long opens another incident.
pub const JOINS: Duration = Duration::from_secs(600);

/// What was done to a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectKind {
    /// Everything is denied to it.
    Quarantined,
    /// What was issued to it until then does not count.
    Revoked,
    /// It is riskier.
    Risk,
    /// A native token of it was revoked, which nothing puts back.
    Token,
}

impl EffectKind {
    /// The word in the store and for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quarantined => "quarantined",
            Self::Revoked => "revoked",
            Self::Risk => "risk",
            Self::Token => "token",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Quarantined, Self::Revoked, Self::Risk, Self::Token].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A revocation: until when, and why.
pub type Revoked = (Timestamp, Arc<str>);

/// One thing that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// To whom.
    pub workload: Name,
    /// What.
    pub kind: EffectKind,
    /// Why, as the workload's standing or risk has it; for a token its id.
    pub cause: String,
    /// For a revocation the one that stood before.
    pub before: Option<Revoked>,
}

/// One thing that was done, as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectRecord {
    /// When last.
    pub at: Timestamp,
    /// How often.
    pub times: u64,
    /// What.
    pub effect: Effect,
}

/// Where an incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentState {
    /// Nobody has judged it.
    Open,
    /// A person took back what it did.
    Undone,
    /// A person let it stand.
    Closed,
}

impl IncidentState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Undone => "undone",
            Self::Closed => "closed",
        }
    }
}

/// An incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// Who did it: `stream idp`, `policy "hot"`.
    pub source: String,
    /// When it began.
    pub opened: Timestamp,
    /// When something was done last.
    pub last: Timestamp,
    /// Where it stands.
    pub state: IncidentState,
    /// Who ended it, and why.
    pub ended: Option<(Person, String)>,
    /// What was done, in order.
    pub effects: Vec<EffectRecord>,
}

impl Incident {
    /// Whom it is about.
    pub fn workloads(&self) -> BTreeSet<&Name> {
        self.effects.iter().map(|record| &record.effect.workload).collect()
    }
}

/// Why nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IncidentError {
    /// There is no such incident.
    #[error("there is no such incident")]
    None,
    /// A person has judged it already.
    #[error("the incident is not open")]
    NotOpen,
    /// The store or the audit log fails.
    #[error("the incident could not be stored")]
    Unavailable,
}

/// The incidents.
pub struct Incidents {
    database: Database,
    log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Incidents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incidents").finish_non_exhaustive()
    }
}

impl Incidents {
    /// Over a database.
    pub fn new(database: Database, log: Arc<dyn AuditLog>, clock: Arc<dyn Clock>) -> Self {
        Self { database, log, clock }
    }

    /// Notes a quarantine that a policy has ordered.
    pub async fn note_quarantine(&self, workload: &Name, policy: &str) -> Result<IncidentId, IncidentError> {
        let source = format!("policy \"{policy}\"");
        let kind = EffectKind::Quarantined;
        let effect = Effect { workload: workload.clone(), kind, cause: source.clone(), before: None };
        let mut change = self.database.begin().await.map_err(unavailable)?;
        let id = match riskier(&mut change, workload, self.since()).await? {
            Some(id) => id,
            None => self.of_source(&mut change, &source).await?,
        };
        self.add(&mut change, &id, &[effect]).await?;
        change.commit().await.map_err(unavailable)?;
        id.parse().map_err(|_| IncidentError::Unavailable)
    }

    /// Makes what a source did part of its incident, and of a change. What only `joins` opens none.
    pub(crate) async fn note(
        &self,
        change: &mut SqliteConnection,
        source: &str,
        effects: &[Effect],
        joins: Joins,
    ) -> Result<(), IncidentError> {
        if effects.is_empty() {
            return Ok(());
        }
        let id = match (open_of(change, source, self.since()).await?, joins) {
            (Some(id), _) => id,
            (None, Joins::OrOpens) => self.of_source(change, source).await?,
            (None, Joins::Only) => return Ok(()),
        };
        self.add(change, &id, effects).await
    }

    /// Whoever was active since then is at it still.
    fn since(&self) -> i64 {
        self.clock.now().millis().saturating_sub(i64::try_from(JOINS.as_millis()).unwrap_or(i64::MAX))
    }

    /// The open incident of a source; a new one if there is none.
    async fn of_source(&self, change: &mut SqliteConnection, source: &str) -> Result<String, IncidentError> {
        if let Some(id) = open_of(change, source, self.since()).await? {
            return Ok(id);
        }
        let now = self.clock.now();
        let id = IncidentId::new(now, self.clock.random()).to_string();
        let insert = sqlx::query("INSERT INTO incidents (id, source, opened, last) VALUES (?, ?, ?, ?)");
        let insert = insert.bind(&id).bind(source).bind(now.millis()).bind(now.millis());
        insert.execute(change).await.map_err(unavailable)?;
        self.enter(Event::Admin { by: None, action: "incidents open", object: &id, reason: Some(source) }).await?;
        Ok(id)
    }

    async fn add(&self, change: &mut SqliteConnection, id: &str, effects: &[Effect]) -> Result<(), IncidentError> {
        let now = self.clock.now().millis();
        for Effect { workload, kind, cause, before } in effects {
            let before = before.as_ref().map(|(at, why)| serde_json::json!([at.millis(), why]).to_string());
            // What stood before is what stood before the first of them.
            let insert = sqlx::query(
                "INSERT INTO incident_effects (incident, at, workload, effect, cause, before) VALUES (?, ?, ?, ?, ?, ?) \
                 ON CONFLICT (incident, workload, effect, cause) DO UPDATE SET at = excluded.at, times = times + 1",
            );
            let insert = insert.bind(id).bind(now).bind(workload.as_str()).bind(kind.as_str()).bind(cause).bind(before);
            insert.execute(&mut *change).await.map_err(unavailable)?;
        }
        let touch = sqlx::query("UPDATE incidents SET last = ? WHERE id = ?").bind(now).bind(id);
        touch.execute(change).await.map(drop).map_err(unavailable)
    }

    /// The newest, newest first.
    pub async fn list(&self, most: u32) -> Result<Vec<Incident>, IncidentError> {
        let query = sqlx::query("SELECT * FROM incidents ORDER BY opened DESC, id DESC LIMIT ?").bind(i64::from(most));
        let rows = query.fetch_all(self.database.read()).await.map_err(unavailable)?;
        let mut incidents = Vec::with_capacity(rows.len());
        for row in &rows {
            incidents.push(self.read(row).await?);
        }
        Ok(incidents)
    }

    /// One of them.
    pub async fn show(&self, id: IncidentId) -> Result<Incident, IncidentError> {
        let query = sqlx::query("SELECT * FROM incidents WHERE id = ?").bind(id.to_string());
        let row = query.fetch_optional(self.database.read()).await.map_err(unavailable)?;
        self.read(&row.ok_or(IncidentError::None)?).await
    }

    async fn read(&self, row: &SqliteRow) -> Result<Incident, IncidentError> {
        let mut incident = incident(row).ok_or(IncidentError::Unavailable)?;
        let query = sqlx::query("SELECT * FROM incident_effects WHERE incident = ? ORDER BY number");
        let query = query.bind(incident.id.to_string());
        let rows = query.fetch_all(self.database.read()).await.map_err(unavailable)?;
        incident.effects = rows.iter().map(effect).collect::<Option<_>>().ok_or(IncidentError::Unavailable)?;
        Ok(incident)
    }

    /// A person has judged it: what it did was taken back, or stands.
    pub async fn end(
        &self,
        id: IncidentId,
        state: IncidentState,
        by: &Person,
        reason: &str,
    ) -> Result<(), IncidentError> {
        let mut change = self.database.begin().await.map_err(unavailable)?;
        let update =
            sqlx::query("UPDATE incidents SET state = ?, ended_by = ?, ended_why = ? WHERE id = ? AND state = 'open'");
        let update = update.bind(state.as_str()).bind(&*by.0).bind(reason).bind(id.to_string());
        if update.execute(&mut *change).await.map_err(unavailable)?.rows_affected() != 1 {
            return Err(IncidentError::NotOpen);
        }
        let action = if state == IncidentState::Undone { "incidents undone" } else { "incidents close" };
        let object = id.to_string();
        self.enter(Event::Admin { by: Some(by), action, object: &object, reason: Some(reason) }).await?;
        change.commit().await.map_err(unavailable)
    }

    async fn enter(&self, event: Event<'_>) -> Result<(), IncidentError> {
        let mut batch = Batch::default();
        batch.push(&Entry { at: self.clock.now(), event });
        self.log.append(&batch).await.map(drop).map_err(|_| IncidentError::Unavailable)
    }
}

/// May what was done open an incident by itself?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joins {
    /// It joins one that is open, and is otherwise not worth one.
    Only,
    /// It does.
    OrOpens,
}

async fn open_of(change: &mut SqliteConnection, source: &str, since: i64) -> Result<Option<String>, IncidentError> {
    let query = sqlx::query_scalar(
        "SELECT id FROM incidents WHERE source = ? AND state = 'open' AND last >= ? ORDER BY last DESC LIMIT 1",
    );
    query.bind(source).bind(since).fetch_optional(change).await.map_err(unavailable)
}

/// The open incident that has made a workload riskier.
async fn riskier(change: &mut SqliteConnection, workload: &Name, since: i64) -> Result<Option<String>, IncidentError> {
    let query = sqlx::query_scalar(
        "SELECT incident FROM incident_effects JOIN incidents ON id = incident \
         WHERE workload = ? AND effect = 'risk' AND state = 'open' AND last >= ? ORDER BY number DESC LIMIT 1",
    );
    query.bind(workload.as_str()).bind(since).fetch_optional(change).await.map_err(unavailable)
}

fn incident(row: &SqliteRow) -> Option<Incident> {
    let text = |column: &str| row.try_get::<String, _>(column).ok();
    let time = |column: &str| row.try_get::<i64, _>(column).ok().map(Timestamp::from_millis);
    let state = text("state")?;
    let state = [IncidentState::Open, IncidentState::Undone, IncidentState::Closed]
        .into_iter()
        .find(|known| known.as_str() == state)?;
    let ended = row.try_get::<Option<String>, _>("ended_by").ok()?;
    Some(Incident {
        id: text("id")?.parse().ok()?,
        source: text("source")?,
        opened: time("opened")?,
        last: time("last")?,
        state,
        ended: ended.map(|by| (Person(by.into()), text("ended_why").unwrap_or_default())),
        effects: Vec::new(),
    })
}

fn effect(row: &SqliteRow) -> Option<EffectRecord> {
    let text = |column: &str| row.try_get::<String, _>(column).ok();
    let before = row.try_get::<Option<String>, _>("before").ok()?;
    let before = match before {
        Some(before) => {
            let (at, why): (i64, String) = serde_json::from_str(&before).ok()?;
            Some((Timestamp::from_millis(at), why.into()))
        }
        None => None,
    };
    Some(EffectRecord {
        at: Timestamp::from_millis(row.try_get("at").ok()?),
        times: row.try_get::<i64, _>("times").ok()?.unsigned_abs(),
        effect: Effect {
            workload: text("workload")?.parse().ok()?,
            kind: EffectKind::named(&text("effect")?)?,
            cause: text("cause")?,
            before,
        },
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unavailable(error: sqlx::Error) -> IncidentError {
    tracing::error!(%error, "the database of incidents fails");
    IncidentError::Unavailable
}

#[cfg(test)]
mod tests;
