//! What people and policies did to workloads, over what the configuration says of them: quarantine, retirement, risk.
//! Implements `kernel::ports::Containment`.
//!
//! Each change is durable and entered in the audit log before it is acknowledged, and published to whoever builds snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;

use kernel::audit::{Batch, Entry, Event};
use kernel::ports::{AuditLog, Clock, Containment, ContainmentError, PortFuture};
use kernel::time::Timestamp;
use kernel::verdict::Deciding;
use kernel::workload::{Name, Person, WorkloadStatus};
use serde::Serialize;
use sqlx::{Row, SqliteConnection};
use tokio::sync::watch;

use crate::database::Database;

/// Where a workload stands apart from its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StandingChange {
    /// `Quarantined`, `Retired`, or none: as configured.
    pub status: Option<WorkloadStatus>,
    /// Why.
    pub reason: Option<String>,
    /// The person; none for the gateway itself.
    pub by: Option<Person>,
    /// When.
    pub at: Timestamp,
    /// 0 to 100.
    pub risk: u8,
}

/// Every workload about which there is something to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standings {
    /// Counts the changes.
    pub revision: u64,
    /// By name.
    pub workloads: BTreeMap<Name, StandingChange>,
}

/// Why a workload's standing did not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StandingError {
    /// It is not in quarantine.
    #[error("the workload is not quarantined")]
    NotQuarantined,
    /// It is in quarantine already.
    #[error("the workload is quarantined already")]
    QuarantinedAlready,
    /// It is gone for good.
    #[error("the workload is retired")]
    Retired,
    /// The store or the audit log fails.
    #[error("the change could not be stored")]
    Unavailable,
}

/// The standings of workloads.
pub struct Workloads {
    database: Database,
    log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
    standings: watch::Sender<Arc<Standings>>,
}

impl std::fmt::Debug for Workloads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workloads").field("standings", &self.standings).finish_non_exhaustive()
    }
}

/// Who does what to a workload, and why.
#[derive(Clone, Copy, Debug)]
struct Act<'a> {
    verb: &'static str,
    workload: &'a Name,
    by: Option<&'a Person>,
    reason: &'a str,
}

impl Workloads {
    /// Reads the standings.
    pub async fn open(
        database: Database,
        log: Arc<dyn AuditLog>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StandingError> {
        let mut change = database.begin().await.map_err(unavailable)?;
        let standings = read(&mut change).await?;
        drop(change);
        Ok(Self { database, log, clock, standings: watch::Sender::new(Arc::new(standings)) })
    }

    /// The standings, and a signal when they change: whoever builds snapshots follows it.
    pub fn watch(&self) -> watch::Receiver<Arc<Standings>> {
        self.standings.subscribe()
    }

    /// The standings as they are.
    pub fn standings(&self) -> Arc<Standings> {
        self.standings.borrow().clone()
    }

    /// Everything is denied to the workload, and its sessions are cut, until a person releases it. `by` is none for the
    /// gateway itself.
    pub async fn quarantine(&self, workload: &Name, by: Option<&Person>, reason: &str) -> Result<(), StandingError> {
        let act = Act { verb: "workloads quarantine", workload, by, reason };
        self.change(act, |standing| match standing.status {
            Some(WorkloadStatus::Quarantined) => Err(StandingError::QuarantinedAlready),
            Some(WorkloadStatus::Retired) => Err(StandingError::Retired),
            _ => {
                standing.status = Some(WorkloadStatus::Quarantined);
                Ok(())
            }
        })
        .await
    }

    /// A person ends the quarantine; the workload is again as it is configured, and its risk is forgotten.
    pub async fn release(&self, workload: &Name, by: &Person, reason: &str) -> Result<(), StandingError> {
        let act = Act { verb: "workloads release", workload, by: Some(by), reason };
        self.change(act, |standing| match standing.status {
            Some(WorkloadStatus::Quarantined) => {
                standing.status = None;
                standing.risk = 0;
                Ok(())
            }
            Some(WorkloadStatus::Retired) => Err(StandingError::Retired),
            _ => Err(StandingError::NotQuarantined),
        })
        .await
    }

    /// A person ends the workload for good.
    pub async fn retire(&self, workload: &Name, by: &Person, reason: &str) -> Result<(), StandingError> {
        let act = Act { verb: "workloads retire", workload, by: Some(by), reason };
        self.change(act, |standing| match standing.status {
            Some(WorkloadStatus::Retired) => Err(StandingError::Retired),
            _ => {
                standing.status = Some(WorkloadStatus::Retired);
                Ok(())
            }
        })
        .await
    }

    /// Sets the risk, 0 to 100; more counts as 100.
    pub async fn set_risk(&self, workload: &Name, risk: u8, reason: &str) -> Result<(), StandingError> {
        let act = Act { verb: "workloads risk", workload, by: None, reason };
        self.change(act, |standing| {
            standing.risk = risk.min(100);
            Ok(())
        })
        .await
    }

    async fn change(
        &self,
        act: Act<'_>,
        step: impl FnOnce(&mut StandingChange) -> Result<(), StandingError>,
    ) -> Result<(), StandingError> {
        let now = self.clock.now();
        let mut change = self.database.begin().await.map_err(unavailable)?;
        let mut standings = read(&mut change).await?;
        let as_configured = StandingChange { status: None, reason: None, by: None, at: now, risk: 0 };
        let mut standing = standings.workloads.remove(act.workload).unwrap_or(as_configured);
        step(&mut standing)?;
        standing.reason = Some(act.reason.to_owned());
        standing.by = act.by.cloned();
        standing.at = now;
        standings.revision += 1;
        write(&mut change, act.workload, &standing, standings.revision).await?;
        let mut batch = Batch::default();
        let event =
            Event::Admin { by: act.by, action: act.verb, object: act.workload.as_str(), reason: Some(act.reason) };
        batch.push(&Entry { at: now, event });
        self.log.append(&batch).await.map_err(|_| StandingError::Unavailable)?;
        change.commit().await.map_err(unavailable)?;
        standings.workloads.insert(act.workload.clone(), standing);
        // Two changes may come here in the other order: what is newer stays.
        self.standings.send_if_modified(|published| {
            let newer = standings.revision > published.revision;
            if newer {
                *published = Arc::new(standings);
            }
            newer
        });
        Ok(())
    }
}

impl Containment for Workloads {
    fn quarantine(&self, workload: &Name, because: &Deciding) -> PortFuture<'_, Result<(), ContainmentError>> {
        let workload = workload.clone();
        let reason = format!("policy \"{}\"", because.policy);
        Box::pin(async move {
            match Self::quarantine(self, &workload, None, &reason).await {
                Ok(()) | Err(StandingError::QuarantinedAlready | StandingError::Retired) => Ok(()),
                Err(StandingError::Unavailable | StandingError::NotQuarantined) => Err(ContainmentError),
            }
        })
    }
}

async fn read(connection: &mut SqliteConnection) -> Result<Standings, StandingError> {
    let rows = sqlx::query("SELECT name, status, reason, by, at, risk, revision FROM workloads");
    let mut standings = Standings::default();
    for row in rows.fetch_all(connection).await.map_err(unavailable)? {
        let name: String = row.try_get("name").map_err(unavailable)?;
        let status: Option<String> = row.try_get("status").map_err(unavailable)?;
        let revision: i64 = row.try_get("revision").map_err(unavailable)?;
        let risk: i64 = row.try_get("risk").map_err(unavailable)?;
        let standing = StandingChange {
            status: match status.as_deref() {
                None => None,
                Some("quarantined") => Some(WorkloadStatus::Quarantined),
                // The table admits one other word. An unknown one must not set a workload free.
                Some(_) => Some(WorkloadStatus::Retired),
            },
            reason: row.try_get("reason").map_err(unavailable)?,
            by: row.try_get::<Option<String>, _>("by").map_err(unavailable)?.map(|by| Person(by.into())),
            at: Timestamp::from_millis(row.try_get("at").map_err(unavailable)?),
            risk: u8::try_from(risk).unwrap_or(100),
        };
        standings.revision = standings.revision.max(revision.unsigned_abs());
        standings.workloads.insert(name.parse().map_err(|_| StandingError::Unavailable)?, standing);
    }
    Ok(standings)
}

async fn write(
    change: &mut SqliteConnection,
    workload: &Name,
    standing: &StandingChange,
    revision: u64,
) -> Result<(), StandingError> {
    sqlx::query(
        "INSERT INTO workloads (name, status, reason, by, at, risk, revision) VALUES (?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (name) DO UPDATE SET status = excluded.status, reason = excluded.reason, by = excluded.by, \
         at = excluded.at, risk = excluded.risk, revision = excluded.revision",
    )
    .bind(workload.as_str())
    .bind(standing.status.map(WorkloadStatus::as_str))
    .bind(standing.reason.as_deref())
    .bind(standing.by.as_ref().map(|by| by.0.as_ref()))
    .bind(standing.at.millis())
    .bind(i64::from(standing.risk))
    .bind(i64::try_from(revision).unwrap_or(i64::MAX))
    .execute(change)
    .await
    .map_err(unavailable)?;
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unavailable(error: sqlx::Error) -> StandingError {
    tracing::error!(%error, "the database of workloads' standings fails");
    StandingError::Unavailable
}

#[cfg(test)]
mod tests;
