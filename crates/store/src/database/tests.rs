//! What was erased is gone from the write-ahead log, or it is said that it is not.

use std::sync::Arc;

use kernel::time::Timestamp;

use super::*;
use crate::kept::{KeptStore, rekey};
use crate::log::{MasterKey, Shred};
use crate::memory::{MemoryLog, StoppedClock};
use crate::scratch::Scratch;

async fn execute(database: &Database, sql: &'static str) {
    sqlx::query(sql).execute(&database.write).await.unwrap();
}

#[tokio::test]
async fn nothing_is_settled_while_another_reads_what_was() {
    let scratch = Scratch::new();
    let path = scratch.path().join("parapet.db");
    let database = Database::open(&path).await.unwrap();
    let other = Database::open(&path).await.unwrap();
    // Who reads here does not go away by waiting.
    execute(&database, "PRAGMA busy_timeout = 1").await;
    execute(&database, "CREATE TABLE kept (secret TEXT)").await;
    execute(&database, "INSERT INTO kept VALUES ('canary-4711')").await;
    database.settle().await.unwrap();
    let mut reading = other.read.begin().await.unwrap();
    sqlx::query("SELECT secret FROM kept").fetch_all(&mut *reading).await.unwrap();
    execute(&database, "UPDATE kept SET secret = 'none'").await;

    assert!(!scratch.holding(b"canary-4711").is_empty());
    database.settle().await.unwrap_err();
    // What rests on it fails as well, and is done when it is tried again.
    let master = MasterKey::from_text(&"07".repeat(32)).unwrap();
    rekey(&database, &master).await.unwrap_err();
    let (log, clock) = (Arc::new(MemoryLog::default()), Arc::new(StoppedClock::at(Timestamp::from_secs(1))));
    let kept = KeptStore::new(database.clone(), log, clock, master);
    let shred = Shred::Workload("bot".parse().unwrap());
    kept.shred(&shred).await.unwrap_err();
    reading.rollback().await.unwrap();
    kept.shred(&shred).await.unwrap();
    assert!(scratch.holding(b"canary-4711").is_empty());
}

#[tokio::test]
async fn a_database_in_memory_has_nothing_to_settle() {
    Database::in_memory().await.unwrap().settle().await.unwrap();
}
