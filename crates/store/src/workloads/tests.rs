//! Quarantine, release and retirement: durable, entered, published.

use kernel::audit::AppendError;

use super::*;
use crate::memory::{MemoryLog, StoppedClock};
use crate::scratch::Scratch;

async fn over(database: Database) -> (Workloads, Arc<MemoryLog>) {
    let log = Arc::new(MemoryLog::default());
    let clock = Arc::new(StoppedClock::at(Timestamp::from_millis(1_795_233_600_000)));
    let workloads = Workloads::open(database, Arc::<MemoryLog>::clone(&log), clock).await.unwrap();
    (workloads, log)
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn deciding() -> Deciding {
    Deciding { policy: "hot".into(), reason: None, hint: None, severity: None }
}

#[tokio::test]
async fn quarantine_is_published_entered_and_survives() {
    let scratch = Scratch::new();
    let path = scratch.path().join("parapet.db");
    let (workloads, log) = over(Database::open(&path).await.unwrap()).await;
    let mut watch = workloads.watch();
    Containment::quarantine(&workloads, &name("triage"), &deciding()).await.unwrap();
    assert!(watch.has_changed().unwrap());
    let published = watch.borrow_and_update().clone();
    assert_eq!(published.workloads[&name("triage")].status, Some(WorkloadStatus::Quarantined));
    // A second request that trips the same policy is no error and no second entry.
    Containment::quarantine(&workloads, &name("triage"), &deciding()).await.unwrap();
    assert_eq!(log.entries().len(), 1);
    assert_eq!(log.entries()[0]["action"], "workloads quarantine");
    assert_eq!(log.entries()[0]["reason"], "policy \"hot\"");
    drop(workloads);
    let (workloads, _) = over(Database::open(&path).await.unwrap()).await;
    assert_eq!(*workloads.standings(), *published);
}

#[tokio::test]
async fn steps() {
    let (workloads, log) = over(Database::in_memory().await.unwrap()).await;
    let (triage, ann) = (name("triage"), Person("ann@example.com".into()));
    assert_eq!(workloads.release(&triage, &ann, "?").await, Err(StandingError::NotQuarantined));
    workloads.set_risk(&triage, 200, "signal").await.unwrap();
    workloads.quarantine(&triage, Some(&ann), "odd hours").await.unwrap();
    assert_eq!(workloads.standings().workloads[&triage].risk, 100);
    assert_eq!(workloads.quarantine(&triage, None, "again").await, Err(StandingError::QuarantinedAlready));
    workloads.release(&triage, &ann, "explained").await.unwrap();
    let standing = workloads.standings().workloads[&triage].clone();
    assert_eq!((standing.status, standing.risk, standing.by), (None, 0, Some(ann.clone())));
    workloads.retire(&triage, &ann, "replaced").await.unwrap();
    assert_eq!(workloads.release(&triage, &ann, "?").await, Err(StandingError::Retired));
    assert_eq!(workloads.quarantine(&triage, None, "?").await, Err(StandingError::Retired));
    assert_eq!(log.entries().len(), 4);
}

#[tokio::test]
async fn without_the_log_nothing_changes() {
    let (workloads, log) = over(Database::in_memory().await.unwrap()).await;
    log.fail(Some(AppendError::Unwritable));
    let refused = Containment::quarantine(&workloads, &name("triage"), &deciding()).await;
    assert_eq!(refused, Err(ContainmentError));
    assert!(workloads.standings().workloads.is_empty());
    log.fail(None);
    assert_eq!(Containment::quarantine(&workloads, &name("triage"), &deciding()).await, Ok(()));
}
