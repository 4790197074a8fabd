//! What people decide about classes is in force at once and after a restart; suggestions are counted.

use super::*;
use crate::memory::{MemoryLog, StoppedClock};
use crate::scratch::Scratch;

type Published = Arc<Mutex<Vec<(String, Vec<String>)>>>;

struct Bed {
    classes: ClassDecisions,
    log: Arc<MemoryLog>,
    published: Published,
}

async fn over(database: Database) -> Bed {
    let (log, clock) = (Arc::new(MemoryLog::default()), Arc::new(StoppedClock::at(Timestamp::from_millis(1_000))));
    let published = Published::default();
    let into = Arc::clone(&published);
    let publish: Publish = Box::new(move |upstream, declared| {
        let names =
            declared.iter().map(|one| format!("{}.{}={}", one.table, one.column.as_deref().unwrap(), one.class));
        into.lock().unwrap().push((upstream.to_string(), names.collect()));
    });
    let classes = ClassDecisions::open(database, Arc::<MemoryLog>::clone(&log), clock, publish).await.unwrap();
    Bed { classes, log, published }
}

fn subject(column: &str, class: &str) -> Subject {
    let column = ["public".into(), "customers".into(), column.into()];
    Subject { upstream: "shop-db".parse().unwrap(), column, class: class.into() }
}

fn found(origin: Origin) -> Suggested {
    let at = Timestamp::from_millis(1_000);
    Suggested { origin, detector: Some("email".into()), confidence: "high".into(), hits: 9, samples: 10, at }
}

fn detection(column: &str, hits: u32) -> Detection {
    Detection {
        upstream: "shop-db".parse().unwrap(),
        column: ["public".into(), "customers".into(), column.into()],
        detector: "email",
        class: "pii",
        hits,
        samples: 10,
    }
}

#[tokio::test]
async fn decisions_are_in_force_at_once_and_after_a_restart() {
    let scratch = Scratch::new();
    let path = scratch.path().join("parapet.db");
    let bed = over(Database::open(&path).await.unwrap()).await;
    let by = Person("ann@example.com".into());
    for (column, class, confirm) in [("email", "pii", true), ("card", "pci", true), ("card", "pci", false)] {
        let subject = subject(column, class);
        bed.classes.decide(Act { subject: &subject, confirm, by: &by, reason: Some("seen") }).await.unwrap();
    }
    let expected =
        [&["customers.email=pii"][..], &["customers.card=pci", "customers.email=pii"], &["customers.email=pii"]];
    let published: Vec<Vec<String>> = bed.published.lock().unwrap().iter().map(|(_, names)| names.clone()).collect();
    assert_eq!(published, expected);
    assert_eq!(bed.log.entries().len(), 3);
    bed.classes.detected(detection("notes", 1));
    bed.classes.write().await;
    let again = over(Database::open(&path).await.unwrap()).await;
    assert_eq!(*again.published.lock().unwrap(), [("shop-db".to_owned(), vec!["customers.email=pii".to_owned()])]);
    let upstream = "shop-db".parse().unwrap();
    assert_eq!(again.classes.decided(&upstream), bed.classes.decided(&upstream));
    assert_eq!(again.classes.suggested(&upstream), bed.classes.suggested(&upstream));
    assert_eq!(again.classes.suggested(&"other".parse().unwrap()), []);
}

#[tokio::test]
async fn what_cannot_be_entered_is_not_decided() {
    let bed = over(Database::in_memory().await.unwrap()).await;
    bed.log.fail(Some(kernel::audit::AppendError::Unwritable));
    let (by, subject) = (Person("ann@example.com".into()), subject("email", "pii"));
    let act = Act { subject: &subject, confirm: true, by: &by, reason: None };
    assert_eq!(bed.classes.decide(act).await, Err(ClassError::Unavailable));
    assert!(bed.published.lock().unwrap().is_empty() && bed.classes.decided(&subject.upstream).is_empty());
}

#[tokio::test]
async fn a_scan_replaces_the_one_before_and_results_add_up() {
    let bed = over(Database::in_memory().await.unwrap()).await;
    let upstream: Name = "shop-db".parse().unwrap();
    bed.classes.detected(detection("notes", 1));
    bed.classes.detected(detection("notes", 8));
    bed.classes.scanned(&upstream, vec![(subject("email", "pii"), found(Origin::Scan))]).await.unwrap();
    bed.classes.scanned(&upstream, vec![(subject("phone", "pii"), found(Origin::Name))]).await.unwrap();
    let told: Vec<String> = bed
        .classes
        .suggested(&upstream)
        .iter()
        .map(|(subject, one)| {
            format!("{} {} {} {} of {}", subject.column[2], one.origin.as_str(), one.confidence, one.hits, one.samples)
        })
        .collect();
    assert_eq!(told, ["notes results medium 9 of 20", "phone name high 9 of 10"]);
}
