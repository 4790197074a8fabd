//! How long an append to the audit log takes: entries as long as a permit in short and in full, alone and in batches of
//! eight. Prints nanoseconds.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::sync::Arc;

use kernel::audit::{Batch, Entry, Event};
use kernel::ports::AuditLog;
use kernel::time::Timestamp;
use parapet_store::log::{DiskLog, LogOptions};
use parapet_store::memory::StoppedClock;

const ROUNDS: u32 = 200_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = std::env::temp_dir().join(format!("parapet-bench-append-{}", std::process::id()));
        let clock = Arc::new(StoppedClock::at(Timestamp::from_millis(1_795_233_600_000)));
        let (log, _) = DiskLog::open(&dir, LogOptions::default(), clock).await.unwrap();
        for (bytes, entries) in [(230, 1u32), (230, 8), (1000, 1), (1000, 8)] {
            let batch = batch(bytes, entries);
            #[expect(clippy::disallowed_methods, reason = "measures")]
            let began = std::time::Instant::now();
            for _ in 0..ROUNDS / entries {
                log.append(&batch).await.unwrap();
            }
            let each = began.elapsed().as_nanos() / u128::from(ROUNDS / entries);
            println!("append of {entries} of {bytes} bytes: {each} ns, {} ns an entry", each / u128::from(entries));
        }
        log.close().await;
        std::fs::remove_dir_all(&dir).unwrap();
    });
}

fn batch(bytes: usize, entries: u32) -> Batch {
    // The other members are 107 bytes.
    let object = "o".repeat(bytes - 107);
    let mut batch = Batch::default();
    for _ in 0..entries {
        let event = Event::Admin { by: None, action: "bench", object: &object, reason: None };
        batch.push(&Entry { at: Timestamp::from_millis(1_795_233_600_000), event });
    }
    assert!(batch.entries().all(|entry| entry.len() == bytes));
    batch
}
