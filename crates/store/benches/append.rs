//! The audit log on disk: how long an append takes and how many a processor does in a second, what an entry costs whose
//! statement is kept beside it, what is on the disk afterwards, how long a million entries take to verify, and how many
//! clients get through when each waits for the disk. Prints lines of figures; those that are wanted say so.
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
use kernel::workload::Person;
use parapet_store::log::{DiskLog, Durability, LogOptions, MasterKey, SigningKeys, verify};
use parapet_store::memory::StoppedClock;

const NOW: Timestamp = Timestamp::from_millis(1_795_233_600_000);
const ROUNDS: u32 = 200_000;
const MILLION: u64 = 1_000_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        // On the disk that holds the checkout: a folder for temporary files may be in memory, where durability costs nothing.
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("append-{}", std::process::id()));
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

/// How long a thread, or the process with all of its threads, has run on a processor (Linux).
fn on_processor(of: &str) -> Duration {
    if of == "thread" {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        return Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap());
    }
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let each = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
    Duration::from_nanos(each.map(|text| text.split_whitespace().next().unwrap().parse::<u64>().unwrap()).sum())
}

/// Appends of one thread, and what the process used for them: signing and forcing run in other threads meanwhile.
async fn appends(scratch: &Path) {
    let kinds = [
        ("a short permit", batch(230, 1), 1),
        ("8 short permits", batch(230, 8), 8),
        ("a long entry", batch(1000, 1), 1),
    ];
    let kinds = kinds.into_iter().chain([("an entry with a statement", with_statement(), 1)]);
    for (name, batch, entries) in kinds {
        let (log, dir) = open(scratch, "appends", Durability::Process).await;
        let (mut best, mut whole) = (Duration::MAX, Duration::MAX);
        for _ in 0..3 {
            let (thread, process) = (on_processor("thread"), on_processor("process"));
            for _ in 0..ROUNDS / entries {
                log.append_now(&batch).unwrap();
            }
            best = best.min(on_processor("thread") - thread);
            whole = whole.min(on_processor("process") - process);
        }
        let rate = |took: Duration| f64::from(ROUNDS) / took.as_secs_f64();
        println!(
            "append, {name}: {} ns of processor, {:.0} a second a core (wanted: 200000); {:.0} with forcing and sealing",
            (best / ROUNDS).as_nanos(),
            rate(best),
            rate(whole),
        );
        log.close().await;
        std::fs::remove_dir_all(dir).unwrap();
    }
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
    println!("bytes on the disk for an entry of 230 bytes, hashes included: {}", folder(&dir) / MILLION);
    let (began, used) = (Instant::now(), on_processor("thread"));
    assert_eq!(verify(&dir).unwrap().entries, MILLION);
    println!(
        "verifying {MILLION} entries: {} ms, {} ms of processor (wanted: < 5000)",
        began.elapsed().as_millis(),
        (on_processor("thread") - used).as_millis()
    );
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

/// An entry with 200 bytes of content, which is kept beside the leaf: encrypted, and committed to.
fn with_statement() -> Batch {
    let (mut batch, by) = (Batch::default(), Person("mara@example.com".into()));
    let (object, reason) = ("o".repeat(600), "s".repeat(200));
    batch.push(&Entry {
        at: NOW,
        event: Event::Admin { by: Some(&by), action: "bench", object: &object, reason: Some(&reason) },
    });
    assert!(batch.parts().all(|part| part.content.is_some()));
    batch
}
