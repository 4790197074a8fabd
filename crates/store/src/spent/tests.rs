//! A token counts once: for two at the same time, after a restart, and until it expires.

use std::time::Duration;

use kernel::time::Timestamp;

use super::*;
use crate::memory::StoppedClock;
use crate::scratch::Scratch;

const START: Timestamp = Timestamp::from_millis(1_795_233_600_000);

fn token(issuer: &str, id: &str) -> OnceToken {
    OnceToken { issuer: issuer.into(), id: id.to_owned(), until: START.after(Duration::from_secs(600)) }
}

#[tokio::test]
async fn each_counts_once_and_survives_a_restart() {
    let scratch = Scratch::new();
    let path = scratch.path().join("parapet.db");
    let clock = Arc::new(StoppedClock::at(START));
    let spent = SpentStore::new(Database::open(&path).await.unwrap(), Arc::<StoppedClock>::clone(&clock));
    for (issuer, id, expected) in [
        ("https://a", "1", Spent::Consumed),
        ("https://a", "1", Spent::AlreadyUsed),
        ("https://a", "2", Spent::Consumed),
        // Another issuer's `jti` is another token.
        ("https://b", "1", Spent::Consumed),
        ("https://b", "1", Spent::AlreadyUsed),
    ] {
        assert_eq!(spent.spend(&token(issuer, id)).await, Ok(expected), "{issuer} {id}");
    }
    spent.database.close().await;
    let spent = SpentStore::new(Database::open(&path).await.unwrap(), Arc::<StoppedClock>::clone(&clock));
    assert_eq!(spent.spend(&token("https://a", "1")).await, Ok(Spent::AlreadyUsed));
    // Once it has expired nobody can show it any more, and it is forgotten.
    clock.advance(Duration::from_secs(600));
    assert_eq!(spent.spend(&token("https://c", "1")).await, Ok(Spent::Consumed));
    let left = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM spent_tokens").fetch_one(spent.database.read()).await;
    assert_eq!(left.unwrap(), 1);
}

#[tokio::test]
async fn of_many_at_once_one_wins() {
    let clock = Arc::new(StoppedClock::at(START));
    let spent = Arc::new(SpentStore::new(Database::in_memory().await.unwrap(), clock));
    let mut racing = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let spent = Arc::clone(&spent);
        racing.spawn(async move { spent.spend(&token("https://a", "1")).await.unwrap() });
    }
    let results = racing.join_all().await;
    assert_eq!(results.iter().filter(|result| **result == Spent::Consumed).count(), 1);
}

#[tokio::test]
async fn memory_is_bounded_and_fails_closed() {
    let clock = Arc::new(StoppedClock::at(START));
    let mut spent = SpentStore::new(Database::in_memory().await.unwrap(), Arc::<StoppedClock>::clone(&clock));
    spent.most = 2;
    assert_eq!(spent.spend(&token("https://a", "1")).await, Ok(Spent::Consumed));
    assert_eq!(spent.spend(&token("https://a", "2")).await, Ok(Spent::Consumed));
    assert_eq!(spent.spend(&token("https://a", "3")).await, Err(SpendError::Full));
    assert_eq!(spent.spend(&token("https://a", "1")).await, Ok(Spent::AlreadyUsed));
    clock.advance(Duration::from_secs(600));
    assert_eq!(spent.spend(&token("https://a", "3")).await, Ok(Spent::Consumed));
    spent.database.close().await;
    assert_eq!(spent.spend(&token("https://a", "4")).await, Err(SpendError::Unavailable));
}
