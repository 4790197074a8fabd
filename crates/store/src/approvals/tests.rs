//! The desk: joining, budgets, uses that are taken once, waits that end, entries before acknowledgements.

use std::collections::BTreeSet;

use kernel::approval::ApprovalTerms;
use kernel::audit::AppendError;
use kernel::id::{DecisionId, SessionId};
use kernel::workload::Name;

use super::*;
use crate::memory::{MemoryLog, StoppedClock};
use crate::scratch::Scratch;

const START: Timestamp = Timestamp::from_millis(1_795_233_600_000);
const LONG: Duration = Duration::from_secs(30);

struct Room {
    desk: Arc<Desk>,
    log: Arc<MemoryLog>,
    clock: Arc<StoppedClock>,
}

async fn over(database: Database) -> Room {
    let log = Arc::new(MemoryLog::default());
    let clock = Arc::new(StoppedClock::at(START));
    // The sweeping is done by hand.
    let options = DeskOptions { sweep_every: Duration::from_secs(3600), ..DeskOptions::default() };
    let desk = Desk::open(database, Arc::<MemoryLog>::clone(&log), Arc::<StoppedClock>::clone(&clock), options).await;
    Room { desk: Arc::new(desk), log, clock }
}

async fn room() -> Room {
    over(Database::in_memory().await.unwrap()).await
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn person(text: &str) -> Person {
    Person(text.into())
}

fn dba(text: &str) -> Approver {
    Approver { person: person(text), groups: BTreeSet::from([name("dba")]) }
}

fn asked(content: &str) -> Asked {
    Asked {
        decision: DecisionId::new(START, 2),
        session: Some(SessionId::new(START, 3)),
        workload: name("deploy"),
        owner: person("mara@example.com"),
        started_by: None,
        upstream: name("shop-db"),
        digest: content.to_owned(),
        summary: "DROP TABLE on shop-db/shop.public.orders".to_owned(),
        text: "drop table orders".to_owned(),
        template: "drop table orders".to_owned(),
        terms: ApprovalTerms {
            groups: BTreeSet::from([name("dba")]),
            quorum: 1,
            open_for: Duration::from_secs(1800),
            valid_for: Duration::from_secs(600),
            uses: 1,
            policies: BTreeSet::from(["schema-needs-dba".into()]),
        },
        reason: None,
        at: START,
    }
}

impl Room {
    fn states(&self) -> Vec<String> {
        self.log.entries().iter().map(|entry| entry["state"].as_str().unwrap().to_owned()).collect()
    }

    async fn state(&self, id: ApprovalId) -> String {
        self.desk.find(&id.to_string()).await.unwrap().approval.state.as_str().to_owned()
    }
}

#[tokio::test]
async fn a_granted_use_is_taken_once_and_asked_for_again() {
    let room = room().await;
    let id = room.desk.ask(asked("a")).await.unwrap();
    assert!(matches!(room.desk.wait(id, Duration::ZERO).await, Ok(Answer::StillWaiting)));
    let granted = room.desk.approve(id, &dba("ann@example.com"), Some("looks right")).await.unwrap();
    assert_eq!(granted.state.as_str(), "granted");
    // A request that is granted and not used is joined, then gone.
    assert_eq!(room.desk.ask(asked("a")).await.unwrap(), id);
    assert!(matches!(room.desk.wait(id, Duration::ZERO).await, Ok(Answer::Granted(grant)) if grant.approval() == id));
    assert!(matches!(room.desk.wait(id, LONG).await, Ok(Answer::Ended(ended)) if ended.state == ApprovalState::Used));
    assert_ne!(room.desk.ask(asked("a")).await.unwrap(), id);
    assert_eq!(room.states(), ["asked", "granted", "used", "asked"]);
    let entry = &room.log.entries()[1];
    assert_eq!((entry["by"].as_str(), entry["reason"].as_str()), (Some("ann@example.com"), Some("looks right")));
}

#[tokio::test]
async fn equal_requests_join_and_unequal_ones_do_not() {
    let room = room().await;
    let id = room.desk.ask(asked("a")).await.unwrap();
    assert_eq!(room.desk.ask(asked("a")).await.unwrap(), id);
    let other_person = Asked { started_by: Some(person("sam@example.com")), ..asked("a") };
    for other in [
        asked("b"),
        Asked { workload: name("triage"), ..asked("a") },
        Asked { upstream: name("other"), ..asked("a") },
        other_person,
    ] {
        assert_ne!(room.desk.ask(other).await.unwrap(), id);
    }
    // A run whose starter is unknown takes up what a person asked ahead, and never the other way round.
    let ahead = Asked { started_by: Some(person("sam@example.com")), session: None, ..asked("c") };
    let ahead = room.desk.ask(ahead).await.unwrap();
    assert_eq!(room.desk.ask(asked("c")).await.unwrap(), ahead);
    let own = room.desk.approve(ahead, &dba("sam@example.com"), None).await;
    assert_eq!(own.unwrap_err(), ActError::Refused(ApprovalRefusal::OwnRequest(person("sam@example.com"))));
    assert!(room.desk.approve(ahead, &dba("ann@example.com"), None).await.is_ok());
    assert!(matches!(room.desk.wait(ahead, Duration::ZERO).await.unwrap(), Answer::Granted(_)));
    // Stricter rules ask a new question, and the old one is no longer open.
    let mut stricter = asked("a");
    stricter.terms.quorum = 2;
    assert_ne!(room.desk.ask(stricter).await.unwrap(), id);
    assert_eq!(room.state(id).await, "withdrawn");
}

#[tokio::test]
async fn waiters_are_woken_by_every_end() {
    let room = room().await;
    for (content, expected) in [("a", "rejected"), ("b", "withdrawn"), ("c", "expired")] {
        let id = room.desk.ask(asked(content)).await.unwrap();
        let act = async {
            match expected {
                "rejected" => drop(room.desk.reject(id, &dba("ann@example.com"), "not today").await.unwrap()),
                "withdrawn" => room.desk.withdraw(id).await.unwrap(),
                _ => {
                    room.clock.advance(Duration::from_secs(1801));
                    // The waiter or the sweep ends it, whoever comes first.
                    assert!(room.desk.sweep().await.unwrap() <= 1);
                }
            }
        };
        let (answer, ()) = tokio::join!(room.desk.wait(id, LONG), act);
        assert!(matches!(answer, Ok(Answer::Ended(ended)) if ended.state.as_str() == expected), "{expected}");
        // Withdrawing what has ended is no error.
        assert_eq!(room.desk.withdraw(id).await, Ok(()));
        assert_eq!(room.state(id).await, expected);
    }
}

#[tokio::test]
async fn a_wait_has_a_deadline() {
    let room = room().await;
    let id = room.desk.ask(asked("a")).await.unwrap();
    assert!(matches!(room.desk.wait(id, Duration::from_millis(5)).await, Ok(Answer::StillWaiting)));
    assert_eq!(room.state(id).await, "asked");
}

#[tokio::test]
async fn a_grant_that_is_not_used_in_time_is_gone() {
    let room = room().await;
    let id = room.desk.ask(asked("a")).await.unwrap();
    room.desk.approve(id, &dba("ann@example.com"), None).await.unwrap();
    room.clock.advance(Duration::from_secs(600));
    assert!(
        matches!(room.desk.wait(id, LONG).await, Ok(Answer::Ended(ended)) if ended.state == ApprovalState::Expired)
    );
    assert_eq!(room.states(), ["asked", "granted", "expired"]);
}

#[tokio::test]
async fn people_are_refused_as_the_machine_says() {
    let room = room().await;
    let mut two = asked("a");
    two.terms.quorum = 2;
    let id = room.desk.ask(two).await.unwrap();
    let refused = room.desk.approve(id, &dba("mara@example.com"), None).await;
    assert_eq!(refused, Err(ActError::Refused(ApprovalRefusal::OwnRequest(person("mara@example.com")))));
    room.desk.approve(id, &dba("ann@example.com"), None).await.unwrap();
    let twice = room.desk.approve(id, &dba("ann@example.com"), None).await;
    assert_eq!(twice, Err(ActError::Refused(ApprovalRefusal::Twice(person("ann@example.com")))));
    assert_eq!(room.state(id).await, "asked");
    room.desk.approve(id, &dba("bob@example.com"), None).await.unwrap();
    room.desk.revoke(id, &person("bob@example.com"), Some("on second thoughts")).await.unwrap();
    assert!(matches!(room.desk.wait(id, LONG).await, Ok(Answer::Ended(ended)) if ended.state.as_str() == "revoked"));
    assert_eq!(room.states(), ["asked", "voted", "granted", "revoked"]);
}

#[tokio::test]
async fn a_workload_has_a_budget() {
    let room = room().await;
    for n in 0..20 {
        room.desk.ask(asked(&n.to_string())).await.unwrap();
    }
    assert_eq!(room.desk.ask(asked("one more")).await, Err(DeskError::TooMany));
    assert!(room.desk.ask(asked("7")).await.is_ok(), "joining is not asking");
    assert!(room.desk.ask(Asked { workload: name("triage"), ..asked("one more") }).await.is_ok());
    // Those whose time is over do not count, swept or not.
    room.clock.advance(Duration::from_secs(1800));
    assert!(room.desk.ask(asked("one more")).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_racers_one_wins() {
    let scratch = Scratch::new();
    let room = over(Database::open(&scratch.path().join("parapet.db")).await.unwrap()).await;
    let id = room.desk.ask(asked("a")).await.unwrap();
    room.desk.approve(id, &dba("ann@example.com"), None).await.unwrap();
    let mut racers = JoinSet::new();
    for _ in 0..1000 {
        let desk = Arc::clone(&room.desk);
        racers.spawn(async move { desk.wait(id, LONG).await });
    }
    let answers = racers.join_all().await;
    let granted = answers.iter().filter(|answer| matches!(answer, Ok(Answer::Granted(_)))).count();
    let ended = answers.iter().filter(|answer| matches!(answer, Ok(Answer::Ended(_)))).count();
    assert_eq!((granted, granted + ended), (1, 1000), "{:?}", answers.iter().find(|answer| answer.is_err()));
    assert_eq!(room.states(), ["asked", "granted", "used"]);
}

#[tokio::test]
async fn nothing_counts_that_the_log_does_not_hold() {
    let room = room().await;
    let id = room.desk.ask(asked("a")).await.unwrap();
    room.log.fail(Some(AppendError::Unwritable));
    assert_eq!(room.desk.ask(asked("b")).await, Err(DeskError::Unavailable));
    let refused = room.desk.approve(id, &dba("ann@example.com"), None).await;
    assert_eq!(refused, Err(ActError::Desk(DeskError::Unavailable)));
    room.log.fail(None);
    assert_eq!(room.state(id).await, "asked");
    room.desk.approve(id, &dba("ann@example.com"), None).await.unwrap();
    room.log.fail(Some(AppendError::Unwritable));
    assert!(matches!(room.desk.wait(id, LONG).await, Err(DeskError::Unavailable)));
    room.log.fail(None);
    assert!(matches!(room.desk.wait(id, LONG).await, Ok(Answer::Granted(_))));
}

#[tokio::test]
async fn it_is_all_there_after_a_restart() {
    let scratch = Scratch::new();
    let path = scratch.path().join("parapet.db");
    let first = over(Database::open(&path).await.unwrap()).await;
    let id = first.desk.ask(asked("a")).await.unwrap();
    first.desk.approve(id, &dba("ann@example.com"), None).await.unwrap();
    first.desk.close().await;
    drop(first);
    let second = over(Database::open(&path).await.unwrap()).await;
    assert_eq!(second.desk.ask(asked("a")).await.unwrap(), id);
    assert!(matches!(second.desk.wait(id, LONG).await, Ok(Answer::Granted(_))));
}

#[tokio::test]
async fn lists_and_finds() {
    let room = room().await;
    let mut ids = Vec::new();
    for content in ["a", "b", "c"] {
        ids.push(room.desk.ask(asked(content)).await.unwrap());
        room.clock.advance(Duration::from_secs(60));
    }
    room.desk.reject(ids[1], &dba("ann@example.com"), "no").await.unwrap();
    let list = async |listing| -> Vec<ApprovalId> {
        room.desk.list(listing).await.unwrap().into_iter().map(|listed| listed.approval.id).collect()
    };
    assert_eq!(list(Listing { limit: 10, ..Listing::default() }).await, [ids[2], ids[1], ids[0]]);
    assert_eq!(list(Listing { limit: 1, ..Listing::default() }).await, [ids[2]]);
    assert_eq!(list(Listing { state: Some("asked"), limit: 10, after: None }).await, [ids[2], ids[0]]);
    assert_eq!(list(Listing { after: Some(2), limit: 10, state: None }).await, [ids[2], ids[1]]);
    assert_eq!(room.desk.find("last").await.unwrap().approval.id, ids[2]);
    let whole = ids[0].to_string();
    assert_eq!(room.desk.find(whole.get(..13).unwrap()).await.map(|found| found.approval.id), Ok(ids[0]));
    assert_eq!(room.desk.find(whole.get(..5).unwrap()).await, Err(ActError::Ambiguous));
    for none in ["", "apr_", "apr_%", "dec_0", "apr_ZZ"] {
        assert_eq!(room.desk.find(none).await, Err(ActError::None), "{none}");
    }
    assert_eq!(room.desk.changed(3, LONG).await, Ok(4));
    let (seen, _) = tokio::join!(room.desk.changed(4, LONG), room.desk.withdraw(ids[0]));
    assert_eq!(seen, Ok(5));
}
