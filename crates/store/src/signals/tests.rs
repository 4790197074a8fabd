//! Events are taken once, with all that follows; risks are kept, entered and published.

use kernel::audit::AppendError;
use kernel::risk::{Fading, Level, RiskReason};
use kernel::signal::{Kind, Subject};

use super::*;
use crate::memory::{MemoryLog, StoppedClock};
use crate::risk::RiskBook;
use crate::scratch::Scratch;
use crate::tokens::Issue;

struct House {
    signals: Signals,
    risks: Arc<Risks>,
    tokens: Arc<Tokens>,
    log: Arc<MemoryLog>,
    clock: Arc<StoppedClock>,
}

async fn over(database: Database) -> House {
    let log = Arc::new(MemoryLog::default());
    let clock = Arc::new(StoppedClock::at(Timestamp::from_millis(1_795_233_600_000)));
    let (as_log, as_clock): (Arc<dyn AuditLog>, Arc<dyn Clock>) = (log.clone(), clock.clone());
    let risks = Arc::new(Risks::open(database.clone(), as_log.clone(), as_clock.clone()).await.unwrap());
    let tokens = Arc::new(Tokens::open(database.clone(), as_log.clone(), as_clock.clone()).await.unwrap());
    let signals = Signals::new(database, as_log, as_clock, Arc::clone(&risks), Arc::clone(&tokens));
    House { signals, risks, tokens, log, clock }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn event(id: &str, kind: Kind) -> SecurityEvent {
    SecurityEvent {
        stream: name("idp"),
        issuer: "https://idp.example".into(),
        id: id.into(),
        issued: Timestamp::from_millis(1_795_233_600_000),
        subject: Some(Subject::Opaque("bot-1".into())),
        kind,
    }
}

impl House {
    async fn take(&self, id: &str, kind: Kind, workloads: &[&str]) -> Result<Taken, SignalError> {
        let event = event(id, kind);
        let effects = Effects::of(&event, self.clock.now());
        let workloads: Vec<Name> = workloads.iter().map(|text| name(text)).collect();
        self.signals.take(&event, &workloads, &effects).await
    }

    fn book(&self) -> Arc<RiskBook> {
        self.risks.book()
    }
}

#[tokio::test]
async fn an_event_has_its_effects_once_and_they_survive() {
    let scratch = Scratch::new();
    let path = scratch.path().join("parapet.db");
    let house = over(Database::open(&path).await.unwrap()).await;
    let by = Person("root@example.com".into());
    let issue = |workload| Issue { workload, life: Duration::from_secs(3600), by: &by, reason: "a test" };
    let (bot, other) = (name("bot"), name("other"));
    let given = house.tokens.issue([1; 32], issue(&bot)).await.unwrap();
    house.tokens.issue([2; 32], issue(&other)).await.unwrap();
    let taken = house.take("1", Kind::SessionRevoked, &["bot"]).await;
    assert_eq!(taken, Ok(Taken::Effective { tokens: vec![given.id.clone()] }));
    assert_eq!(house.take("1", Kind::SessionRevoked, &["bot"]).await, Ok(Taken::Repeated));
    let in_force: Vec<bool> = house.tokens.list().iter().map(|token| token.in_force(house.clock.now())).collect();
    assert_eq!(in_force, [false, true]);
    house.take("2", Kind::RiskLevelChange { level: Level::High }, &["bot", "other"]).await.unwrap();
    house.take("3", Kind::SessionRevoked, &[]).await.unwrap();
    house.take("4", Kind::Verification { state: None }, &[]).await.unwrap();
    let actions: Vec<_> =
        house.log.entries().iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        actions[2..],
        [
            "workloads token revoke",
            "incidents open",
            "signals session-revoked",
            "signals risk-level-change",
            "signals session-revoked",
            "signals verification"
        ]
    );
    drop(house);
    let house = over(Database::open(&path).await.unwrap()).await;
    assert_eq!(house.take("2", Kind::SessionRevoked, &["bot"]).await, Ok(Taken::Repeated), "a restart forgot it");
    let (book, now) = (house.book(), house.clock.now());
    assert_eq!((book.score(&name("bot"), now), book.score(&name("other"), now)), (90, 90));
    assert_eq!(book.revocations().before(&name("bot")), Some(now));
    assert_eq!(book.revocations().before(&name("other")), None);
    let listed = house.signals.list(10).await.unwrap();
    let outcomes: Vec<_> = listed.iter().map(|record| record.outcome.as_str()).collect();
    assert_eq!(outcomes, ["verified", "unmatched", "risk", "revoked"]);
    let stream = house.signals.streams().await.unwrap().remove("idp").unwrap();
    assert_eq!((stream.unmatched, stream.verified_at), (1, Some(now)));
    house.signals.acknowledge(listed[0].number, &by).await.unwrap();
    assert_eq!(house.signals.acknowledge(99, &by).await, Err(SignalError::None));
    assert_eq!(house.signals.list(1).await.unwrap()[0].seen_by.as_ref(), Some(&by));
}

/// What the log does not take has not happened, and comes again.
#[tokio::test]
async fn an_event_that_cannot_be_entered_is_not_taken() {
    let house = over(Database::in_memory().await.unwrap()).await;
    house.log.fail(Some(AppendError::Unwritable));
    let high = || Kind::RiskLevelChange { level: Level::High };
    assert_eq!(house.take("1", high(), &["bot"]).await, Err(SignalError::Unavailable));
    assert_eq!(*house.book(), RiskBook::default());
    house.log.fail(None);
    assert_eq!(house.take("1", high(), &["bot"]).await, Ok(Taken::Effective { tokens: vec![] }));
    assert_eq!(house.book().score(&name("bot"), house.clock.now()), 90);
}

#[tokio::test]
async fn people_set_and_clear_risk() {
    let house = over(Database::in_memory().await.unwrap()).await;
    let (bot, by) = (name("bot"), Person("root@example.com".into()));
    let score = |house: &House| house.book().score(&name("bot"), house.clock.now());
    assert_eq!(house.risks.clear(&bot, &by, "nothing").await, Err(RiskError::None));
    house.risks.set(&bot, 70, &by, "seen").await.unwrap();
    house.risks.set(&bot, 40, &by, "less").await.unwrap();
    assert_eq!(score(&house), 40);
    let anomaly = RiskReason {
        by: "task".into(),
        about: "outside its task".into(),
        said: "sql:drop".into(),
        weight: 50,
        at: house.clock.now(),
        fading: Fading::Halves,
    };
    house.risks.add(&bot, anomaly).await.unwrap();
    assert_eq!(score(&house), 70);
    house.clock.advance(kernel::risk::HALF_LIFE);
    assert_eq!(score(&house), 55);
    assert_eq!(house.book().scores(house.clock.now()), [(bot.clone(), 55)].into());
    house.take("1", Kind::SessionRevoked, &["bot"]).await.unwrap();
    house.risks.clear(&bot, &by, "looked into").await.unwrap();
    assert_eq!((score(&house), house.book().revocations().before(&bot)), (0, None));
    assert!(house.log.entries().iter().any(|entry| entry["action"] == "workloads risk clear"));
}

#[tokio::test]
async fn refused_events_are_counted() {
    let house = over(Database::in_memory().await.unwrap()).await;
    let stream = name("idp");
    house.signals.note_asked(&stream).await.unwrap();
    for why in ["its signature is wrong", "its issuer is another"] {
        house.signals.note_refused(&stream, why).await.unwrap();
    }
    let known = house.signals.streams().await.unwrap().remove("idp").unwrap();
    assert_eq!(known.refused, (2, Some("its issuer is another".to_owned())));
    assert_eq!((known.asked_at, known.verified_at), (Some(house.clock.now()), None));
}
