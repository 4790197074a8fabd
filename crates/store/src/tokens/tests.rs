//! Native tokens: found by their hash while in force, never after; each gift and each end is entered in the log.

use kernel::audit::AppendError;

use super::*;
use crate::memory::{MemoryLog, StoppedClock};
use crate::scratch::Scratch;

const START: Timestamp = Timestamp::from_millis(1_795_233_600_000);
const DAY: Duration = Duration::from_secs(86_400);

struct Bed {
    tokens: Tokens,
    log: Arc<MemoryLog>,
    clock: Arc<StoppedClock>,
}

async fn over(database: Database) -> Bed {
    let (log, clock) = (Arc::new(MemoryLog::default()), Arc::new(StoppedClock::at(START)));
    let tokens =
        Tokens::open(database, Arc::<MemoryLog>::clone(&log), Arc::<StoppedClock>::clone(&clock)).await.unwrap();
    Bed { tokens, log, clock }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

impl Bed {
    async fn issue(&self, hash: u8, workload: &str, life: Duration) -> Result<TokenRecord, TokenError> {
        let (workload, by) = (name(workload), Person("ann@example.com".into()));
        self.tokens.issue([hash; 32], Issue { workload: &workload, life, by: &by, reason: "no issuer" }).await
    }

    fn found(&self, hash: u8) -> Option<String> {
        self.tokens.find(&[hash; 32]).map(|token| token.workload.to_string())
    }
}

#[tokio::test]
async fn a_token_lives_from_its_gift_to_its_end() {
    let scratch = Scratch::new();
    let path = scratch.path().join("parapet.db");
    let bed = over(Database::open(&path).await.unwrap()).await;
    let one = bed.issue(1, "printer", DAY).await.unwrap();
    bed.issue(2, "camera", DAY * 2).await.unwrap();
    assert_eq!((bed.found(1), bed.found(2), bed.found(3)), (Some("printer".into()), Some("camera".into()), None));
    let by = Person("bob@example.com".into());
    assert_eq!(bed.tokens.revoke(&one.id, &by, "leaked").await.unwrap().revoked_by, Some(by.clone()));
    assert_eq!(bed.found(1), None);
    assert_eq!(bed.tokens.revoke(&one.id, &by, "leaked").await, Err(TokenError::None));
    assert_eq!(bed.tokens.revoke("tok_0", &by, "leaked").await, Err(TokenError::None));
    let actions: Vec<String> =
        bed.log.entries().iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect();
    assert_eq!(actions, ["workloads token issue", "workloads token issue", "workloads token revoke"]);
    // What is on disk is the same, and holds no more than hashes.
    let again = over(Database::open(&path).await.unwrap()).await;
    assert_eq!((again.found(1), again.found(2)), (None, Some("camera".into())));
    assert_eq!(again.tokens.list(), bed.tokens.list());
    again.clock.advance(DAY * 2);
    assert_eq!(again.found(2), None);
}

#[tokio::test]
async fn life_and_number_are_bounded() {
    let bed = over(Database::in_memory().await.unwrap()).await;
    for life in [Duration::ZERO, Duration::from_secs(59), LONGEST_LIFE + Duration::from_secs(1)] {
        assert_eq!(bed.issue(1, "printer", life).await, Err(TokenError::Life));
    }
    for hash in 0..5 {
        bed.issue(hash, "printer", DAY).await.unwrap();
    }
    assert_eq!(bed.issue(9, "printer", DAY).await, Err(TokenError::TooMany));
    bed.issue(10, "camera", DAY).await.unwrap();
    let of = |workload: &str| bed.tokens.in_force_of(&name(workload));
    assert_eq!((of("printer"), of("camera"), of("other")), (5, 1, 0));
    // The same token twice is no token.
    assert_eq!(bed.issue(10, "other", DAY).await, Err(TokenError::Unavailable));
    bed.clock.advance(DAY);
    assert_eq!(of("printer"), 0);
    bed.issue(9, "printer", DAY).await.unwrap();
}

#[tokio::test]
async fn what_the_log_does_not_take_does_not_happen() {
    let bed = over(Database::in_memory().await.unwrap()).await;
    let one = bed.issue(1, "printer", DAY).await.unwrap();
    bed.log.fail(Some(AppendError::Unwritable));
    assert_eq!(bed.issue(2, "printer", DAY).await, Err(TokenError::Unavailable));
    let by = Person("bob@example.com".into());
    assert_eq!(bed.tokens.revoke(&one.id, &by, "leaked").await, Err(TokenError::Unavailable));
    assert_eq!((bed.found(1), bed.found(2)), (Some("printer".into()), None));
}

#[tokio::test]
async fn what_ended_long_ago_is_forgotten() {
    let scratch = Scratch::new();
    let path = scratch.path().join("parapet.db");
    let bed = over(Database::open(&path).await.unwrap()).await;
    let revoked = bed.issue(1, "printer", LONGEST_LIFE).await.unwrap();
    bed.issue(2, "printer", DAY).await.unwrap();
    bed.tokens.revoke(&revoked.id, &Person("bob@example.com".into()), "leaked").await.unwrap();
    bed.clock.advance(LONGEST_LIFE);
    bed.issue(3, "printer", DAY).await.unwrap();
    // The second ended a day after the first was revoked.
    assert_eq!(bed.tokens.list().len(), 2);
    bed.clock.advance(DAY);
    bed.issue(4, "printer", DAY).await.unwrap();
    let left: Vec<TokenRecord> = bed.tokens.list();
    assert_eq!(left.len(), 2);
    let again = over(Database::open(&path).await.unwrap()).await;
    assert_eq!(again.tokens.list(), left);
}
