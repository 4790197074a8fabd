//! How risky workloads are and why, and from when on their attestations count. Over what the configuration says of them, and
//! beside their standing (`workloads.rs`).
//!
//! Each change is durable and entered in the audit log before it is acknowledged, and published to whoever builds snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;

use kernel::audit::{Batch, Entry, Event};
use kernel::ports::{AuditLog, Clock};
use kernel::risk::{Fading, Risk, RiskReason};
use kernel::signal::{Effects, Revocations};
use kernel::time::Timestamp;
use kernel::workload::{Name, Person};
use sqlx::{Row, SqliteConnection};
use tokio::sync::watch;

use crate::database::Database;

/// What is known of a workload's risk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RiskEntry {
    /// The reasons for its score.
    pub risk: Risk,
    /// What was issued to it until then does not count, and why.
    pub revoked: Option<(Timestamp, Arc<str>)>,
}

/// Every workload about which there is something to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RiskBook {
    /// Counts the changes.
    pub revision: u64,
    /// By name.
    pub workloads: BTreeMap<Name, RiskEntry>,
}

impl RiskBook {
    /// The score of a workload at `now`, 0 to 100.
    pub fn score(&self, workload: &Name, now: Timestamp) -> u8 {
        self.workloads.get(workload).map_or(0, |entry| entry.risk.score(now))
    }

    /// The scores that are not zero at `now`.
    pub fn scores(&self, now: Timestamp) -> BTreeMap<Name, u8> {
        let scored = self.workloads.iter().map(|(name, entry)| (name.clone(), entry.risk.score(now)));
        scored.filter(|(_, score)| *score > 0).collect()
    }

    /// Which proofs were revoked.
    pub fn revocations(&self) -> Revocations {
        let before = |(name, entry): (&Name, &RiskEntry)| Some((name.clone(), entry.revoked.as_ref()?.0));
        Revocations::new(self.workloads.iter().filter_map(before).collect())
    }
}

/// Why nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RiskError {
    /// There is nothing to take back.
    #[error("there is no risk to take back")]
    None,
    /// The store or the audit log fails.
    #[error("the change could not be stored")]
    Unavailable,
}

/// The risks of workloads.
pub struct Risks {
    database: Database,
    log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
    book: watch::Sender<Arc<RiskBook>>,
}

impl std::fmt::Debug for Risks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Risks").field("book", &self.book).finish_non_exhaustive()
    }
}

impl Risks {
    /// Reads what is known.
    pub async fn open(database: Database, log: Arc<dyn AuditLog>, clock: Arc<dyn Clock>) -> Result<Self, RiskError> {
        let mut change = database.begin().await.map_err(unavailable)?;
        let book = read(&mut change).await?;
        drop(change);
        Ok(Self { database, log, clock, book: watch::Sender::new(Arc::new(book)) })
    }

    /// What is known, and a signal when it changes: whoever builds snapshots follows it.
    pub fn watch(&self) -> watch::Receiver<Arc<RiskBook>> {
        self.book.subscribe()
    }

    /// What is known.
    pub fn book(&self) -> Arc<RiskBook> {
        self.book.borrow().clone()
    }

    /// A person says how risky the workload is, 0 to 100; it stays until they say otherwise or clear it.
    pub async fn set(&self, workload: &Name, score: u8, by: &Person, reason: &str) -> Result<(), RiskError> {
        let now = self.clock.now();
        let about = RiskReason {
            by: "a person".into(),
            about: "risk set".into(),
            said: format!("{by}: {reason}").into(),
            weight: score.min(100),
            at: now,
            fading: Fading::Stays,
        };
        self.change(workload, Some(by), "workloads risk set", &format!("{workload} {score}"), reason, |entry| {
            // Unlike a stream, a person may take back what people said.
            entry.risk.release("a person");
            entry.risk.add(about, now);
            Ok(())
        })
        .await
    }

    /// A person takes back every reason, and lets attestations count again that were revoked.
    pub async fn clear(&self, workload: &Name, by: &Person, reason: &str) -> Result<(), RiskError> {
        self.change(workload, Some(by), "workloads risk clear", workload.as_str(), reason, |entry| {
            if *entry == RiskEntry::default() {
                return Err(RiskError::None);
            }
            *entry = RiskEntry::default();
            Ok(())
        })
        .await
    }

    /// A person takes back what one source has said since then, such as `stream idp`, and the revocation that it made: `before`
    /// is the one that stood until then. What others said, and what came later from others, stays. Whether anything changed.
    pub async fn undo(
        &self,
        workload: &Name,
        (source, since): (&str, Timestamp),
        before: Option<(Timestamp, Arc<str>)>,
        by: &Person,
        reason: &str,
    ) -> Result<bool, RiskError> {
        let object = format!("{workload}: {source}");
        let result = self.change(workload, Some(by), "workloads risk undo", &object, reason, |entry| {
            let was = entry.clone();
            let theirs = |reason: &RiskReason| *reason.by == *source && reason.at >= since;
            entry.risk = Risk::of(entry.risk.reasons().iter().filter(|reason| !theirs(reason)).cloned().collect());
            let revoked = entry.revoked.as_ref();
            if revoked.is_some_and(|(at, why)| *at >= since && why.ends_with(&format!(" by {source}"))) {
                entry.revoked = before;
            }
            if *entry == was { Err(RiskError::None) } else { Ok(()) }
        });
        match result.await {
            Ok(()) => Ok(true),
            Err(RiskError::None) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Adds a reason that the gateway itself found.
    pub async fn add(&self, workload: &Name, reason: RiskReason) -> Result<(), RiskError> {
        let now = self.clock.now();
        let (action, said) = (format!("workloads risk {}", reason.about), reason.said.clone());
        self.change(workload, None, &action, workload.as_str(), &said, |entry| {
            entry.risk.add(reason, now);
            Ok(())
        })
        .await
    }

    async fn change(
        &self,
        workload: &Name,
        by: Option<&Person>,
        action: &str,
        object: &str,
        reason: &str,
        step: impl FnOnce(&mut RiskEntry) -> Result<(), RiskError>,
    ) -> Result<(), RiskError> {
        let mut change = self.database.begin().await.map_err(unavailable)?;
        let mut book = read(&mut change).await?;
        let mut entry = book.workloads.remove(workload).unwrap_or_default();
        step(&mut entry)?;
        book.revision += 1;
        write(&mut change, workload, &entry, book.revision).await?;
        self.enter(Event::Admin { by, action, object, reason: Some(reason) }).await?;
        change.commit().await.map_err(unavailable)?;
        book.workloads.insert(workload.clone(), entry);
        self.publish(book);
        Ok(())
    }

    /// Makes an event's effects part of a change; the book as it will be once the change is committed.
    pub(crate) async fn apply(
        &self,
        change: &mut SqliteConnection,
        workloads: &[Name],
        effects: &Effects,
        why: &str,
    ) -> Result<RiskBook, RiskError> {
        let now = self.clock.now();
        let mut book = read(change).await?;
        if effects == &Effects::default() {
            return Ok(book);
        }
        book.revision += 1;
        for workload in workloads {
            let entry = book.workloads.entry(workload.clone()).or_default();
            if let Some(reason) = &effects.risk {
                entry.risk.add(reason.clone(), now);
            }
            if effects.revoke {
                entry.revoked = Some((now, why.into()));
            }
            write(change, workload, entry, book.revision).await?;
        }
        Ok(book)
    }

    /// Publishes what was committed. Two changes may come here in the other order: what is newer stays.
    pub(crate) fn publish(&self, book: RiskBook) {
        self.book.send_if_modified(|published| {
            let newer = book.revision > published.revision;
            if newer {
                *published = Arc::new(book);
            }
            newer
        });
    }

    async fn enter(&self, event: Event<'_>) -> Result<(), RiskError> {
        let mut batch = Batch::default();
        batch.push(&Entry { at: self.clock.now(), event });
        self.log.append(&batch).await.map(drop).map_err(|_| RiskError::Unavailable)
    }
}

pub(crate) async fn read(connection: &mut SqliteConnection) -> Result<RiskBook, RiskError> {
    let rows = sqlx::query("SELECT workload, reasons, revoked_before, revoked_why, revision FROM risks");
    let mut book = RiskBook::default();
    for row in rows.fetch_all(connection).await.map_err(unavailable)? {
        let name: String = row.try_get("workload").map_err(unavailable)?;
        let reasons: String = row.try_get("reasons").map_err(unavailable)?;
        let before: Option<i64> = row.try_get("revoked_before").map_err(unavailable)?;
        let why: Option<String> = row.try_get("revoked_why").map_err(unavailable)?;
        let revision: i64 = row.try_get("revision").map_err(unavailable)?;
        let entry = RiskEntry {
            risk: serde_json::from_str(&reasons).map_err(|_| RiskError::Unavailable)?,
            revoked: before.map(|before| (Timestamp::from_millis(before), why.unwrap_or_default().into())),
        };
        book.revision = book.revision.max(revision.unsigned_abs());
        book.workloads.insert(name.parse().map_err(|_| RiskError::Unavailable)?, entry);
    }
    Ok(book)
}

async fn write(
    change: &mut SqliteConnection,
    workload: &Name,
    entry: &RiskEntry,
    revision: u64,
) -> Result<(), RiskError> {
    let reasons = serde_json::to_string(&entry.risk).map_err(|_| RiskError::Unavailable)?;
    sqlx::query(
        "INSERT INTO risks (workload, reasons, revoked_before, revoked_why, revision) VALUES (?, ?, ?, ?, ?) \
         ON CONFLICT (workload) DO UPDATE SET reasons = excluded.reasons, revoked_before = excluded.revoked_before, \
         revoked_why = excluded.revoked_why, revision = excluded.revision",
    )
    .bind(workload.as_str())
    .bind(reasons)
    .bind(entry.revoked.as_ref().map(|(before, _)| before.millis()))
    .bind(entry.revoked.as_ref().map(|(_, why)| why.to_string()))
    .bind(i64::try_from(revision).unwrap_or(i64::MAX))
    .execute(change)
    .await
    .map_err(unavailable)?;
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unavailable(error: sqlx::Error) -> RiskError {
    tracing::error!(%error, "the database of risks fails");
    RiskError::Unavailable
}
