//! Tasks: in force from their issue to their end, across a restart; ending one is entered in the log.

use super::*;
use crate::memory::{MemoryLog, StoppedClock};
use crate::scratch::Scratch;

const START: Timestamp = Timestamp::from_millis(1_795_233_600_000);
const MINUTE: Duration = Duration::from_secs(60);

struct Bed {
    tasks: Tasks,
    log: Arc<MemoryLog>,
    clock: Arc<StoppedClock>,
}

async fn over(database: Database, at: Timestamp) -> Bed {
    let (log, clock) = (Arc::new(MemoryLog::default()), Arc::new(StoppedClock::at(at)));
    let tasks = Tasks::open(database, Arc::<MemoryLog>::clone(&log), Arc::<StoppedClock>::clone(&clock)).await.unwrap();
    Bed { tasks, log, clock }
}

fn task(random: u64) -> NewTask {
    let details = r#"[{"type": "parapet_task", "locations": ["shop-db"], "goal": "backfill", "limits": {"uses": 3}}]"#;
    NewTask {
        id: TaskId::new(START, random),
        workload: "bot".parse().unwrap(),
        issued_at: START,
        issued_by: (random == 1).then(|| Person("ann@example.com".into())),
        expires_at: START.after(MINUTE * 15),
        chain: vec!["ann@example.com".into(), "bot".into()],
        details: Details::parse(details).unwrap(),
        bound: true,
    }
}

#[tokio::test]
async fn a_task_is_in_force_from_its_issue_to_its_end() {
    let scratch = Scratch::new();
    let path = scratch.path().join("parapet.db");
    let bed = over(Database::open(&path).await.unwrap(), START).await;
    let (one, two, unknown) = (task(1), task(2), task(3));
    bed.tasks.add(&one).await.unwrap();
    bed.tasks.add(&two).await.unwrap();
    assert_eq!(bed.tasks.add(&one).await, Err(TaskRecordError), "an id counts once");
    let in_force = |bed: &Bed| [&one, &two, &unknown].map(|task| bed.tasks.in_force(task.id));
    assert_eq!(in_force(&bed), [true, true, false]);
    let by = Person("bob@example.com".into());
    let revoked = bed.tasks.revoke(one.id, Some(&by), Some("over")).await.unwrap();
    assert_eq!((revoked.revoked_by, revoked.task), (Some(by.clone()), one.clone()));
    assert_eq!(bed.tasks.revoke(one.id, Some(&by), None).await, Err(RevokeError::None));
    assert_eq!(bed.tasks.revoke(unknown.id, None, None).await, Err(RevokeError::None));
    assert_eq!(in_force(&bed), [false, true, false]);
    assert_eq!(bed.log.entries().last().unwrap()["action"], "tasks revoke");
    // After a restart it is the same.
    let again = over(Database::open(&path).await.unwrap(), START).await;
    assert_eq!(in_force(&again), [false, true, false]);
    assert_eq!(again.tasks.list(), bed.tasks.list());
    again.clock.advance(MINUTE * 15);
    assert_eq!(in_force(&again), [false, false, false]);
    assert_eq!(again.tasks.revoke(two.id, None, None).await, Err(RevokeError::None), "it has ended by itself");
    let later = over(Database::open(&path).await.unwrap(), START.after(MINUTE * 60 * 24 * 40)).await;
    assert!(later.tasks.list().is_empty());
}

/// What does not stand in the log did not happen.
#[tokio::test]
async fn without_the_log_nothing_is_ended() {
    let scratch = Scratch::new();
    let bed = over(Database::open(&scratch.path().join("parapet.db")).await.unwrap(), START).await;
    bed.tasks.add(&task(1)).await.unwrap();
    bed.log.fail(Some(kernel::audit::AppendError::Unwritable));
    assert_eq!(bed.tasks.revoke(task(1).id, None, None).await, Err(RevokeError::Unavailable));
    assert!(bed.tasks.in_force(task(1).id));
}
