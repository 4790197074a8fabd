//! Kept requests: taken once, unknown after a crash, in clear nowhere, erased when they are over, entered at each step.

use kernel::audit::AppendError;
use kernel::id::DecisionId;
use kernel::workload::Name;

use super::*;
use crate::memory::{MemoryLog, StoppedClock};
use crate::scratch::Scratch;

const START: Timestamp = Timestamp::from_millis(1_795_233_600_000);
const CANARY: &[u8] = b"POST /v1/payouts canary-4711";

struct Room {
    store: Arc<KeptStore>,
    log: Arc<MemoryLog>,
    clock: Arc<StoppedClock>,
}

fn over(database: Database) -> Room {
    let log = Arc::new(MemoryLog::default());
    let clock = Arc::new(StoppedClock::at(START));
    let master = MasterKey::from_text(&"07".repeat(32)).unwrap();
    let store = KeptStore::new(database, Arc::<MemoryLog>::clone(&log), Arc::<StoppedClock>::clone(&clock), master);
    Room { store: Arc::new(store), log, clock }
}

fn approval(number: u64) -> ApprovalId {
    ApprovalId::new(START, number)
}

fn session() -> SessionId {
    SessionId::new(START, 3)
}

fn decision() -> DecisionId {
    DecisionId::new(START, 4)
}

async fn keep(room: &Room, number: u64) -> Result<(), KeepError> {
    let (workload, upstream): (Name, Name) = ("bot".parse().unwrap(), "payments".parse().unwrap());
    let new = NewKept {
        approval: approval(number),
        workload: &workload,
        upstream: &upstream,
        session: session(),
        task: None,
        request: CANARY,
        most: 2,
    };
    KeptRequests::keep(&*room.store, new).await
}

const fn step(from: KeptState, to: KeptState) -> KeptStep<'static> {
    KeptStep { from, to, decision: None, status: None, answer: None, until: None }
}

impl Room {
    async fn take(&self, number: u64, step: KeptStep<'_>) -> Result<bool, KeepError> {
        KeptRequests::step(&*self.store, approval(number), Some(session()), step).await
    }

    async fn state(&self, number: u64) -> Option<KeptState> {
        self.store.find(approval(number)).await.unwrap().map(|kept| kept.state)
    }

    fn states(&self) -> Vec<String> {
        let entries = self.log.entries().into_iter().filter(|entry| entry["kind"] == "kept_request");
        entries.map(|entry| entry["state"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

#[tokio::test]
async fn one_of_two_sends_it_and_a_crash_leaves_it_unknown() {
    let scratch = Scratch::new();
    let path = scratch.path().join("parapet.db");
    let room = over(Database::open(&path).await.unwrap());
    for number in [1, 2] {
        keep(&room, number).await.unwrap();
        // Who asks again finds what there is.
        keep(&room, number).await.unwrap();
    }
    assert_eq!(keep(&room, 3).await, Err(KeepError::Full));
    assert_eq!(room.store.request(approval(1)).await.unwrap().unwrap().expose(), CANARY);
    let sending = KeptStep { decision: Some(decision()), ..step(KeptState::Waiting, KeptState::Sending) };
    assert_eq!((room.take(1, sending).await, room.take(1, sending).await), (Ok(true), Ok(false)));
    assert!(room.store.request(approval(1)).await.unwrap().is_none(), "what is on its way is held no longer");
    room.store.database.close().await;
    // The process has died.
    let room = over(Database::open(&path).await.unwrap());
    assert_eq!(KeptRequests::recover(&*room.store).await.unwrap(), [approval(2)]);
    let known = room.store.find(approval(1)).await.unwrap().unwrap();
    assert_eq!((known.state, known.decision), (KeptState::Unknown, Some(decision())));
    assert_eq!(room.take(1, sending).await, Ok(false), "never twice");
    assert_eq!(room.store.request(approval(2)).await.unwrap().unwrap().expose(), CANARY);
    assert_eq!(room.states(), ["unknown"]);
    let bytes =
        std::fs::read_dir(scratch.path()).unwrap().flat_map(|file| std::fs::read(file.unwrap().path()).unwrap());
    let bytes: Vec<u8> = bytes.collect();
    assert!(!bytes.windows(11).any(|window| window == b"canary-4711"), "nothing stands on the disk in clear");
    room.clock.advance(REMEMBERED);
    assert_eq!(KeptRequests::sweep(&*room.store).await, Ok(1));
    assert_eq!((room.state(1).await, room.state(2).await), (None, Some(KeptState::Waiting)));
}

#[tokio::test]
async fn an_answer_is_kept_for_a_time() {
    let room = over(Database::in_memory().await.unwrap());
    keep(&room, 1).await.unwrap();
    assert!(room.take(1, step(KeptState::Waiting, KeptState::Sending)).await.unwrap());
    assert_eq!(KeptRequests::forget(&*room.store, approval(1), session()).await, Ok(false), "it is under way");
    let until = Some(START.after(Duration::from_secs(60)));
    let answered =
        KeptStep { status: Some(201), answer: Some(CANARY), until, ..step(KeptState::Sending, KeptState::Answered) };
    assert!(room.take(1, answered).await.unwrap());
    assert_eq!(room.store.answer(approval(1)).await.unwrap().unwrap().expose(), CANARY);
    KeptRequests::fetched(&*room.store, approval(1), session()).await.unwrap();
    assert_eq!(KeptRequests::sweep(&*room.store).await, Ok(0));
    room.clock.advance(Duration::from_secs(60));
    assert_eq!(KeptRequests::sweep(&*room.store).await, Ok(1));
    assert!(room.store.answer(approval(1)).await.unwrap().is_none());
    assert_eq!(room.states(), ["waiting", "sending", "answered", "fetched", "forgotten"]);
    let fetched = room.log.entries().into_iter().find(|entry| entry["state"] == "fetched").unwrap();
    let members = (&fetched["approval"], &fetched["workload"], &fetched["upstream"], &fetched["status"]);
    assert_eq!(members.0, &serde_json::json!(approval(1)));
    assert_eq!((members.1, members.2, members.3), (&"bot".into(), &"payments".into(), &201.into()));
}

#[tokio::test]
async fn what_is_shredded_is_never_sent() {
    let room = over(Database::in_memory().await.unwrap());
    for number in [1, 2] {
        keep(&room, number).await.unwrap();
    }
    assert!(room.take(2, step(KeptState::Waiting, KeptState::Sending)).await.unwrap());
    assert_eq!(room.store.shred(&Shred::Workload("other".parse().unwrap())).await, Ok(0));
    assert_eq!(room.store.shred(&Shred::Session(session())).await, Ok(1));
    assert!(room.store.request(approval(1)).await.unwrap().is_none());
    // What was on its way has no key for its answer any more.
    let answered = KeptStep { answer: Some(CANARY), ..step(KeptState::Sending, KeptState::Answered) };
    assert!(room.take(2, answered).await.unwrap());
    assert_eq!(room.state(2).await, Some(KeptState::Lost));
    assert!(room.store.answer(approval(2)).await.unwrap().is_none());
}

#[tokio::test]
async fn no_step_counts_that_the_log_does_not_hold() {
    let room = over(Database::in_memory().await.unwrap());
    keep(&room, 1).await.unwrap();
    room.log.fail(Some(AppendError::Unwritable));
    assert_eq!(keep(&room, 2).await, Err(KeepError::Unavailable));
    assert_eq!(room.take(1, step(KeptState::Waiting, KeptState::Sending)).await, Err(KeepError::Unavailable));
    room.log.fail(None);
    assert_eq!((room.state(1).await, room.state(2).await), (Some(KeptState::Waiting), None));
}

#[tokio::test]
async fn its_key_is_closed_anew_when_the_master_key_changes() {
    let scratch = Scratch::new();
    let path = scratch.path().join("parapet.db");
    let room = over(Database::open(&path).await.unwrap());
    for number in [1, 2] {
        keep(&room, number).await.unwrap();
    }
    let before = room.store.stored(approval(1)).await.unwrap().unwrap().key;
    // One that opens under none of the keys, as after a shred or under a key that is lost.
    for (number, fill) in [(2, 0_u8), (3, 7)] {
        let put = sqlx::query("UPDATE kept_requests SET approval = ?, key = ? WHERE approval = ?");
        let put = put.bind(approval(number + 1).to_string()).bind(vec![fill; before.len()]);
        let mut change = room.store.database.begin().await.unwrap();
        put.bind(approval(number).to_string()).execute(&mut *change).await.unwrap();
        change.commit().await.unwrap();
        let both = MasterKey::from_text(&format!("{} {}", "08".repeat(32), "07".repeat(32))).unwrap();
        let done = rekey(&room.store.database, &both).await.unwrap();
        let closed = u64::from(fill == 0);
        assert_eq!(done, Rekeyed { closed, left: 1 - closed });
    }
    assert!(room.store.request(approval(1)).await.unwrap().is_none(), "the old master key opens nothing");
    let (log, clock) = (Arc::clone(&room.log), Arc::clone(&room.clock));
    let master = MasterKey::from_text(&"08".repeat(32)).unwrap();
    let store = KeptStore::new(room.store.database.clone(), log, clock, master);
    assert_eq!((room.store.unopened().await, store.unopened().await), (Ok(2), Ok(1)));
    assert_eq!(store.request(approval(1)).await.unwrap().unwrap().expose(), CANARY);
    store.database.close().await;
    for file in std::fs::read_dir(scratch.path()).unwrap().flatten() {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!bytes.windows(before.len()).any(|window| window == before), "{:?}", file.path());
    }
}
