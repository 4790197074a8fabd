//! What people decided about the classes of columns, and what was suggested to them. A decision is durable and entered in
//! the audit log, and counts for the next statement, before it is acknowledged. Suggestions are counts and names of
//! detectors, never values.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use kernel::audit::{Batch, Entry, Event};
use kernel::policy::{ClassSource, DeclaredClass};
use kernel::ports::{AuditLog, Clock, Detection};
use kernel::time::Timestamp;
use kernel::workload::{Name, Person};
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::database::Database;

/// So many suggestions are kept in all; a database with more sensitive columns than that is masked by pattern.
const MOST: usize = 20_000;

/// A column and a class that it may carry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Subject {
    /// The upstream.
    pub upstream: Name,
    /// Schema, table or view, column.
    pub column: [Arc<str>; 3],
    /// The class.
    pub class: Arc<str>,
}

/// What a person decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// It carries the class; else it does not, whatever is suggested.
    pub confirmed: bool,
    /// Who says so.
    pub by: Person,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: Option<String>,
}

/// Where a suggestion comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The column's name.
    Name,
    /// A sample of its values.
    Scan,
    /// Values in results that left.
    Results,
}

impl Origin {
    const ALL: [Self; 3] = [Self::Name, Self::Scan, Self::Results];

    /// What people and programs call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Scan => "scan",
            Self::Results => "results",
        }
    }
}

/// Why a class is suggested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suggested {
    /// Where it comes from.
    pub origin: Origin,
    /// What the values look like; none where the name alone says so.
    pub detector: Option<Arc<str>>,
    /// `low`, `medium` or `high`.
    pub confidence: Arc<str>,
    /// So many of the values that were looked at look like it.
    pub hits: u32,
    /// So many were looked at.
    pub samples: u32,
    /// When.
    pub at: Timestamp,
}

/// Why nothing was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClassError {
    /// The store or the audit log fails.
    #[error("the change could not be stored")]
    Unavailable,
}

/// Puts what people confirmed of an upstream into force.
pub type Publish = Box<dyn Fn(&Name, Vec<DeclaredClass>) + Send + Sync>;

/// What a person does.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    /// About which column and class.
    pub subject: &'a Subject,
    /// Confirm, or else reject.
    pub confirm: bool,
    /// Who.
    pub by: &'a Person,
    /// Why.
    pub reason: Option<&'a str>,
}

#[derive(Debug, Default)]
struct Known {
    decided: BTreeMap<Subject, Decided>,
    suggested: BTreeMap<Subject, Suggested>,
    /// What was suggested since it was last written.
    unwritten: Vec<Subject>,
}

/// Decisions and suggestions about classes.
pub struct ClassDecisions {
    database: Database,
    log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
    publish: Publish,
    /// One change at a time, so that memory, disk and what is in force change in the same order.
    turn: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for ClassDecisions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClassDecisions").finish_non_exhaustive()
    }
}

impl ClassDecisions {
    /// Reads what was decided and puts it into force.
    ///
    /// # Errors
    /// [`ClassError`] where the database does not answer.
    pub async fn open(
        database: Database,
        log: Arc<dyn AuditLog>,
        clock: Arc<dyn Clock>,
        publish: Publish,
    ) -> Result<Self, ClassError> {
        let mut change = database.begin().await.map_err(unavailable)?;
        let known = Known {
            decided: read_decided(&mut change).await?,
            suggested: read_suggested(&mut change).await?,
            unwritten: Vec::new(),
        };
        drop(change);
        let mut upstreams: Vec<&Name> = known.decided.keys().map(|subject| &subject.upstream).collect();
        upstreams.dedup();
        for upstream in upstreams {
            publish(upstream, confirmed(&known.decided, upstream));
        }
        Ok(Self { database, log, clock, known: Mutex::new(known), publish, turn: tokio::sync::Mutex::new(()) })
    }

    /// What was decided of an upstream.
    pub fn decided(&self, upstream: &Name) -> Vec<(Subject, Decided)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let of_it = known.decided.iter().filter(|(subject, _)| subject.upstream == *upstream);
        of_it.map(|(subject, decided)| (subject.clone(), decided.clone())).collect()
    }

    /// What is suggested for an upstream, decided or not.
    pub fn suggested(&self, upstream: &Name) -> Vec<(Subject, Suggested)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let of_it = known.suggested.iter().filter(|(subject, _)| subject.upstream == *upstream);
        of_it.map(|(subject, suggested)| (subject.clone(), suggested.clone())).collect()
    }

    /// A person confirms or rejects. When this returns, the next statement is judged by it.
    ///
    /// # Errors
    /// [`ClassError`] where it could not be stored or entered; then nothing has changed.
    pub async fn decide(&self, act: Act<'_>) -> Result<Decided, ClassError> {
        let _one_at_a_time = self.turn.lock().await;
        let at = self.clock.now();
        let reason = act.reason.map(str::to_owned);
        let decided = Decided { confirmed: act.confirm, by: act.by.clone(), at, reason };
        let mut change = self.database.begin().await.map_err(unavailable)?;
        write_decided(&mut change, act.subject, &decided).await?;
        let [schema, table, column] = &act.subject.column;
        let object = format!("{} {schema}.{table}.{column} {}", act.subject.upstream, act.subject.class);
        let action = if act.confirm { "upstreams classes confirm" } else { "upstreams classes reject" };
        let mut batch = Batch::default();
        batch
            .push(&Entry { at, event: Event::Admin { by: Some(act.by), action, object: &object, reason: act.reason } });
        self.log.append(&batch).await.map_err(|_| ClassError::Unavailable)?;
        change.commit().await.map_err(unavailable)?;
        let now_confirmed = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.decided.insert(act.subject.clone(), decided.clone());
            confirmed(&known.decided, &act.subject.upstream)
        };
        (self.publish)(&act.subject.upstream, now_confirmed);
        Ok(decided)
    }

    /// Keeps what a scan found, in the place of what the one before had found.
    ///
    /// # Errors
    /// [`ClassError`] where it could not be stored.
    pub async fn scanned(&self, upstream: &Name, found: Vec<(Subject, Suggested)>) -> Result<(), ClassError> {
        let _one_at_a_time = self.turn.lock().await;
        {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known
                .suggested
                .retain(|subject, suggested| subject.upstream != *upstream || suggested.origin == Origin::Results);
            for (subject, suggested) in found {
                if known.suggested.len() < MOST {
                    known.suggested.entry(subject).or_insert(suggested);
                }
            }
        }
        let mut change = self.database.begin().await.map_err(unavailable)?;
        sqlx::query("DELETE FROM class_suggestions WHERE upstream = ?")
            .bind(upstream.as_str())
            .execute(&mut *change)
            .await
            .map_err(unavailable)?;
        for (subject, suggested) in self.suggested(upstream) {
            write_suggested(&mut change, &subject, &suggested).await?;
        }
        change.commit().await.map_err(unavailable)
    }

    /// Remembers what was found in a result; it is written with the next [`Self::write`].
    pub fn detected(&self, detection: Detection) {
        let at = self.clock.now();
        let subject = Subject { upstream: detection.upstream, column: detection.column, class: detection.class.into() };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.suggested.len() >= MOST && !known.suggested.contains_key(&subject) {
            return;
        }
        let suggested = known.suggested.entry(subject.clone()).or_insert_with(|| Suggested {
            origin: Origin::Results,
            detector: None,
            confidence: "low".into(),
            hits: 0,
            samples: 0,
            at,
        });
        if suggested.origin == Origin::Results {
            suggested.detector = Some(detection.detector.into());
            suggested.hits = suggested.hits.saturating_add(detection.hits);
            suggested.samples = suggested.samples.saturating_add(detection.samples);
            suggested.at = at;
            suggested.confidence = confidence(suggested.hits, suggested.samples).into();
        }
        if !known.unwritten.contains(&subject) {
            known.unwritten.push(subject);
        }
    }

    /// Writes what results have suggested since the last time.
    pub async fn write(&self) {
        let _one_at_a_time = self.turn.lock().await;
        let due: Vec<(Subject, Suggested)> = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let subjects = std::mem::take(&mut known.unwritten);
            subjects
                .into_iter()
                .filter_map(|subject| {
                    let suggested = known.suggested.get(&subject)?.clone();
                    Some((subject, suggested))
                })
                .collect()
        };
        if due.is_empty() {
            return;
        }
        // A suggestion that is lost comes again with the next result.
        if let Err(error) = self.write_all(&due).await {
            tracing::warn!(%error, "suggestions were not written");
        }
    }

    async fn write_all(&self, due: &[(Subject, Suggested)]) -> Result<(), ClassError> {
        let mut change = self.database.begin().await.map_err(unavailable)?;
        for (subject, suggested) in due {
            write_suggested(&mut change, subject, suggested).await?;
        }
        change.commit().await.map_err(unavailable)
    }
}

fn confidence(hits: u32, samples: u32) -> &'static str {
    match u64::from(hits) * 100 / u64::from(samples.max(1)) {
        50.. => "high",
        5.. => "medium",
        _ => "low",
    }
}

fn confirmed(decided: &BTreeMap<Subject, Decided>, upstream: &Name) -> Vec<DeclaredClass> {
    let of_it = decided.iter().filter(|(subject, decided)| subject.upstream == *upstream && decided.confirmed);
    of_it
        .map(|(subject, _)| {
            let [schema, table, column] = &subject.column;
            DeclaredClass {
                schema: schema.clone(),
                table: table.clone(),
                column: Some(column.clone()),
                class: subject.class.clone(),
                source: ClassSource::Confirmed,
            }
        })
        .collect()
}

fn text(row: &SqliteRow, column: &str) -> Result<Arc<str>, ClassError> {
    row.try_get::<String, _>(column).map(Arc::from).map_err(unavailable)
}

fn subject(row: &SqliteRow) -> Result<Subject, ClassError> {
    Ok(Subject {
        upstream: text(row, "upstream")?.parse().map_err(|_| ClassError::Unavailable)?,
        column: [text(row, "schema_name")?, text(row, "table_name")?, text(row, "column_name")?],
        class: text(row, "class")?,
    })
}

async fn read_decided(connection: &mut SqliteConnection) -> Result<BTreeMap<Subject, Decided>, ClassError> {
    let rows = sqlx::query("SELECT * FROM class_decisions").fetch_all(connection).await.map_err(unavailable)?;
    let mut decided = BTreeMap::new();
    for row in &rows {
        let one = Decided {
            confirmed: *text(row, "decision")? == *"confirmed",
            by: Person(text(row, "by")?),
            at: Timestamp::from_millis(row.try_get("at").map_err(unavailable)?),
            reason: row.try_get("reason").map_err(unavailable)?,
        };
        decided.insert(subject(row)?, one);
    }
    Ok(decided)
}

async fn read_suggested(connection: &mut SqliteConnection) -> Result<BTreeMap<Subject, Suggested>, ClassError> {
    let rows = sqlx::query("SELECT * FROM class_suggestions").fetch_all(connection).await.map_err(unavailable)?;
    let mut suggested = BTreeMap::new();
    for row in &rows {
        let count = |column: &str| row.try_get::<u32, _>(column).map_err(unavailable);
        let origin = text(row, "origin")?;
        let one = Suggested {
            origin: Origin::ALL.into_iter().find(|known| known.as_str() == &*origin).ok_or(ClassError::Unavailable)?,
            detector: row.try_get::<Option<String>, _>("detector").map_err(unavailable)?.map(Arc::from),
            confidence: text(row, "confidence")?,
            hits: count("hits")?,
            samples: count("samples")?,
            at: Timestamp::from_millis(row.try_get("at").map_err(unavailable)?),
        };
        suggested.insert(subject(row)?, one);
    }
    Ok(suggested)
}

async fn write_decided(change: &mut SqliteConnection, subject: &Subject, decided: &Decided) -> Result<(), ClassError> {
    let [schema, table, column] = &subject.column;
    sqlx::query("INSERT OR REPLACE INTO class_decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(subject.upstream.as_str())
        .bind(&**schema)
        .bind(&**table)
        .bind(&**column)
        .bind(&*subject.class)
        .bind(if decided.confirmed { "confirmed" } else { "rejected" })
        .bind(&*decided.by.0)
        .bind(decided.at.millis())
        .bind(decided.reason.as_deref())
        .execute(change)
        .await
        .map(drop)
        .map_err(unavailable)
}

async fn write_suggested(
    change: &mut SqliteConnection,
    subject: &Subject,
    suggested: &Suggested,
) -> Result<(), ClassError> {
    let [schema, table, column] = &subject.column;
    sqlx::query("INSERT OR REPLACE INTO class_suggestions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(subject.upstream.as_str())
        .bind(&**schema)
        .bind(&**table)
        .bind(&**column)
        .bind(&*subject.class)
        .bind(suggested.origin.as_str())
        .bind(suggested.detector.as_deref())
        .bind(&*suggested.confidence)
        .bind(suggested.hits)
        .bind(suggested.samples)
        .bind(suggested.at.millis())
        .execute(change)
        .await
        .map(drop)
        .map_err(unavailable)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unavailable(error: sqlx::Error) -> ClassError {
    tracing::error!(%error, "the database of classes fails");
    ClassError::Unavailable
}

#[cfg(test)]
mod tests;
