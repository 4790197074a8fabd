//! The audit log on disk: how long an append takes, what a decision costs in bytes, how long a million entries take to verify,
//! and how many clients get through when each waits for the disk. Prints lines of figures.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark: it measures time"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::audit::{Batch, Entry, Event};
use kernel::ports::AuditLog;
use kernel::time::Timestamp;
use parapet_store::log::{DiskLog, Durability, LogOptions, MasterKey, SigningKeys, verify};
use parapet_store::memory::StoppedClock;

const NOW: Timestamp = Timestamp::from_millis(1_795_233_600_000);
const ROUNDS: u32 = 200_000;
const MILLION: u64 = 1_000_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let scratch = std::env::temp_dir().join(format!("parapet-bench-append-{}", std::process::id()));
        std::fs::create_dir_all(&scratch).unwrap();
        appends(&scratch).await;
        million(&scratch).await;
        for durability in [Durability::Process, Durability::Disk] {
            clients(&scratch, durability).await;
        }
        std::fs::remove_dir_all(&scratch).unwrap();
    });
}

async fn open(scratch: &Path, name: &str, durability: Durability) -> (DiskLog, PathBuf) {
    let master = MasterKey::from_text(&"ab".repeat(32)).unwrap();
    let keys = SigningKeys::open(&scratch.join(format!("{name}.keys")), master, Some("bench.example"), NOW).unwrap();
    let options = LogOptions { durability, ..LogOptions::default() };
    let dir = scratch.join(name);
    (DiskLog::open_signed(&dir, options, Arc::new(StoppedClock::at(NOW)), keys).await.unwrap().0, dir)
}

async fn appends(scratch: &Path) {
    let (log, dir) = open(scratch, "appends", Durability::Process).await;
    for (bytes, entries) in [(230, 1u32), (230, 8), (1000, 1), (1000, 8)] {
        let batch = batch(bytes, entries);
        let began = Instant::now();
        for _ in 0..ROUNDS / entries {
            log.append(&batch).await.unwrap();
        }
        let each = began.elapsed().as_nanos() / u128::from(ROUNDS / entries);
        let rate = 1_000_000_000 / (each / u128::from(entries)).max(1);
        println!(
            "append of {entries} of {bytes} bytes: {each} ns, {} ns an entry, {rate} entries a second",
            each / u128::from(entries)
        );
    }
    log.close().await;
    std::fs::remove_dir_all(dir).unwrap();
}

/// A million entries as long as a permit in short.
async fn million(scratch: &Path) {
    let (log, dir) = open(scratch, "million", Durability::Process).await;
    let batch = batch(230, 8);
    for _ in 0..MILLION / 8 {
        log.append_now(&batch).unwrap();
    }
    let began = Instant::now();
    log.close().await;
    println!("forcing to the disk and sealing what was left of {MILLION} entries: {} ms", began.elapsed().as_millis());
    println!("bytes on the disk for an entry of 230: {}", folder(&dir) / MILLION);
    let began = Instant::now();
    assert_eq!(verify(&dir).unwrap().entries, MILLION);
    println!("verifying {MILLION} entries: {} ms", began.elapsed().as_millis());
    std::fs::remove_dir_all(dir).unwrap();
}

fn folder(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().flatten();
    entries
        .map(|entry| if entry.path().is_dir() { folder(&entry.path()) } else { entry.metadata().unwrap().len() })
        .sum()
}

/// 32 clients, each of which waits for its entry.
async fn clients(scratch: &Path, durability: Durability) {
    const FOR: Duration = Duration::from_secs(2);
    let (log, dir) = open(scratch, "clients", durability).await;
    let log = Arc::new(log);
    let began = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let log = Arc::clone(&log);
        clients.spawn(async move {
            let (batch, mut done) = (batch(230, 1), 0u64);
            while began.elapsed() < FOR {
                log.append(&batch).await.unwrap();
                done += 1;
                tokio::task::yield_now().await;
            }
            done
        });
    }
    let mut done = 0;
    while let Some(client) = clients.join_next().await {
        done += client.unwrap();
    }
    println!("32 clients, durable by {durability:?}: {} appends a second", done / FOR.as_secs());
    log.close().await;
    std::fs::remove_dir_all(dir).unwrap();
}

fn batch(bytes: usize, entries: u32) -> Batch {
    // The other members are 107 bytes.
    let object = "o".repeat(bytes - 107);
    let mut batch = Batch::default();
    for _ in 0..entries {
        let event = Event::Admin { by: None, action: "bench", object: &object, reason: None };
        batch.push(&Entry { at: NOW, event });
    }
    assert!(batch.entries().all(|entry| entry.len() == bytes));
    batch
}
