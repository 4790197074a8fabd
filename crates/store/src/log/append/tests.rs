//! What was acknowledged is there: after a re-open, after SIGKILL, after a full disk.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};

use kernel::audit::{Entry, Event};
use kernel::time::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::log::sync::{Moment, watch_clock};
use crate::log::{Durability, Filter, Order, Tampered, Why, search, verify};
use crate::memory::StoppedClock;
use crate::scratch::Scratch;

const START: Timestamp = Timestamp::from_millis(1_795_233_600_000);
const SMALL: LogOptions = LogOptions {
    segment_bytes: 2000,
    sync_every: Duration::from_millis(1),
    sync_within: Duration::from_secs(10),
    durability: Durability::Process,
};

fn batch(objects: &[String]) -> Batch {
    let mut batch = Batch::default();
    for object in objects {
        batch.push(&Entry { at: START, event: Event::Admin { by: None, action: "test", object, reason: None } });
    }
    batch
}

async fn open(dir: &Path) -> (DiskLog, Opened) {
    DiskLog::open(dir, SMALL, Arc::new(StoppedClock::at(START))).await.unwrap()
}

fn objects(dir: &Path) -> Vec<String> {
    search(dir, Filter::default(), Order::OldestFirst)
        .unwrap()
        .map(|found| found.unwrap().entry["object"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn one_process_writes() {
    let scratch = Scratch::new();
    let (log, _) = open(scratch.path()).await;
    let second = DiskLog::open(scratch.path(), SMALL, Arc::new(StoppedClock::at(START))).await;
    assert!(matches!(second, Err(OpenError::Locked)));
    log.close().await;
    drop(log);
    assert_eq!(open(scratch.path()).await.1.entries, 0);
}

#[tokio::test]
async fn a_closed_log_takes_nothing() {
    let scratch = Scratch::new();
    let (log, _) = open(scratch.path()).await;
    log.close().await;
    assert_eq!(log.append_now(&batch(&["late".to_owned()])), Err(AppendError::Unwritable));
    assert!(!log.writable());
}

/// Who forces records to the disk, and who seals them, must not be gone unnoticed.
#[tokio::test]
async fn a_log_that_nobody_keeps_takes_nothing() {
    let scratch = Scratch::new();
    let (log, _) = open(scratch.path()).await;
    log.append_now(&batch(&["kept".to_owned()])).unwrap();
    log.keeper.lock().await.shutdown().await;
    assert!(!log.writable());
    assert_eq!(log.append_now(&batch(&["late".to_owned()])), Err(AppendError::Unwritable));
}

#[tokio::test]
async fn an_entry_too_long_leaves_no_trace() {
    let scratch = Scratch::new();
    let (log, _) = open(scratch.path()).await;
    let long = batch(&["fits".to_owned(), "x".repeat(LONGEST_ENTRY)]);
    assert_eq!(log.append(&long).await, Err(AppendError::TooLong));
    assert_eq!(log.append(&batch(&["next".to_owned()])).await, Ok(LeafIndex(0)));
    log.close().await;
    assert_eq!(objects(scratch.path()), ["next"]);
}

#[tokio::test]
async fn a_torn_last_record_is_put_aside_and_the_log_goes_on() {
    // Cut off, bad, amid a copy into reserved space (one record and several), and with a page that never reached the disk.
    for rest in [&b"2 0123"[..], b"2 nonsense\n", b"\0 0123\n", b"\0 0123\n3 45\n", b"2 01\0\0\0\n3 45\n4 67\n"] {
        let scratch = Scratch::new();
        let (log, _) = open(scratch.path()).await;
        log.append_now(&batch(&["a".to_owned(), "b".to_owned()])).unwrap();
        log.close().await;
        drop(log);
        let segment = scratch.path().join("00000000000000000000.log");
        let good = std::fs::read(&segment).unwrap();
        std::fs::write(&segment, [&good, rest, &[0; 5000]].concat()).unwrap();
        // Until it is opened again, what has no end may still be being written, for all that a reader knows.
        assert_eq!(verify(scratch.path()).is_ok(), rest.starts_with(b"\0") || !rest.contains(&b'\n'));
        let (log, opened) = open(scratch.path()).await;
        let torn = opened.torn.unwrap();
        assert_eq!((opened.entries, torn.seq, torn.bytes), (2, 2, rest.len() as u64));
        assert_eq!(std::fs::read(&torn.kept_in).unwrap(), rest);
        assert_eq!(log.append_now(&batch(&["c".to_owned()])), Ok(LeafIndex(2)));
        log.close().await;
        assert_eq!(verify(scratch.path()).unwrap().entries, 3);
    }
}

#[tokio::test]
async fn reserved_space_is_no_record_and_is_given_back() {
    let scratch = Scratch::new();
    let segment = scratch.path().join("00000000000000000000.log");
    let lengths = || {
        let bytes = std::fs::read(&segment).unwrap();
        (bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1), bytes.len())
    };
    let options = LogOptions { segment_bytes: 1 << 20, ..SMALL };
    let (log, _) = DiskLog::open(scratch.path(), options, Arc::new(StoppedClock::at(START))).await.unwrap();
    let names: Vec<String> = ('a'..='y').map(String::from).collect();
    for name in &names {
        log.append_now(&batch(std::slice::from_ref(name))).unwrap();
        assert_eq!((verify(scratch.path()).unwrap().unfinished, objects(scratch.path()).last()), (0, Some(name)));
    }
    let (used, length) = lengths();
    // `write(2)` reserves nothing.
    assert!(length > used, "the log does not write through pages: {used} of {length} bytes");
    let newest = || search(scratch.path(), Filter::default(), Order::NewestFirst).unwrap().next().unwrap().unwrap();
    assert_eq!(newest().entry["object"], "y");
    // Dropped without being closed, as by a crash: the next opening gives the space back.
    drop(log);
    let (log, opened) = DiskLog::open(scratch.path(), options, Arc::new(StoppedClock::at(START))).await.unwrap();
    assert_eq!((opened.entries, opened.torn, lengths()), (25, None, (used, used)));
    log.append_now(&batch(&["z".to_owned()])).unwrap();
    log.close().await;
    let (used, length) = lengths();
    assert_eq!(used, length);
    assert_eq!((newest().entry["object"].as_str(), verify(scratch.path()).unwrap().entries), (Some("z"), 26));
}

#[tokio::test]
async fn a_bad_record_elsewhere_is_never_cut_off() {
    let scratch = Scratch::new();
    let (log, _) = open(scratch.path()).await;
    log.append_now(&batch(&["a".to_owned(), "b".to_owned(), "c".to_owned()])).unwrap();
    log.close().await;
    drop(log);
    let segment = scratch.path().join("00000000000000000000.log");
    let good = std::fs::read_to_string(&segment).unwrap();
    let first_line = good.split_inclusive('\n').next().unwrap();
    for (bad, seq, shorter) in [
        (good.replace("\"b\"", "\"B\""), 1, false),
        (good.replace("\"c\"", "\"C\""), 2, false),
        (first_line.to_owned(), 1, true),
        (good.trim_end().to_owned(), 2, false),
        (format!("{good}3 junk\n4 junk\n"), 3, false),
    ] {
        std::fs::write(&segment, &bad).unwrap();
        let refused = DiskLog::open(scratch.path(), SMALL, Arc::new(StoppedClock::at(START))).await;
        match refused {
            Err(OpenError::Tampered(Tampered { seq: found, why, .. })) => {
                assert_eq!((found, matches!(why, Why::ShorterThanHead { .. })), (seq, shorter), "{why}");
            }
            other => panic!("opened: {other:?}"),
        }
        assert_eq!(std::fs::read_to_string(&segment).unwrap(), bad, "opening wrote");
    }
}

#[tokio::test]
async fn the_head_follows_within_a_period() {
    let scratch = Scratch::new();
    let (log, _) = open(scratch.path()).await;
    log.append_now(&batch(&["a".to_owned()])).unwrap();
    let mut period = tokio::time::interval(Duration::from_millis(2));
    let mut seen = 0;
    for _ in 0..5000 {
        period.tick().await;
        seen = verify(scratch.path()).unwrap().head.size;
        if seen == 1 {
            break;
        }
    }
    assert_eq!(seen, 1);
    log.close().await;
}

/// As a disk that was full: the failed write left a part of its record.
fn fail(log: &DiskLog, rest: &[u8]) {
    let mut writer = log.shared.writer.lock().unwrap();
    writer.tail.finish().unwrap();
    writer.tail.file().write_all_at(rest, writer.tail.length()).unwrap();
    writer.state = State::Failed;
}

#[tokio::test]
async fn once_there_is_space_the_log_goes_on() {
    for rest in [&b""[..], b"2 0123"] {
        let scratch = Scratch::new();
        let options = LogOptions { sync_every: Duration::from_secs(3600), ..SMALL };
        let (log, _) = DiskLog::open(scratch.path(), options, Arc::new(StoppedClock::at(START))).await.unwrap();
        log.append_now(&batch(&["a".to_owned(), "b".to_owned()])).unwrap();
        fail(&log, rest);
        assert_eq!(log.append_now(&batch(&["c".to_owned()])), Err(AppendError::Unwritable));
        log.shared.heal();
        assert_eq!(log.append_now(&batch(&["d".to_owned()])), Ok(LeafIndex(3)));
        log.close().await;
        assert_eq!(objects(scratch.path()), ["a", "b", "audit", "d"]);
        assert_eq!(verify(scratch.path()).unwrap().entries, 4);
        log.shared.heal();
        assert!(!log.writable(), "closed is closed");
    }
}

/// A full disk takes no head either. That loses no record, and must not end the log for good.
#[tokio::test]
async fn a_head_that_cannot_be_written_denies_until_it_can() {
    let scratch = Scratch::new();
    let options = LogOptions { sync_every: Duration::from_millis(1), ..LogOptions::default() };
    let (log, _) = DiskLog::open(scratch.path(), options, Arc::new(StoppedClock::at(START))).await.unwrap();
    let obstacle = scratch.path().join("head.json.new");
    std::fs::create_dir(&obstacle).unwrap();
    log.append_now(&batch(&["a".to_owned()])).unwrap();
    let mut period = tokio::time::interval(Duration::from_millis(2));
    while log.writable() {
        period.tick().await;
    }
    log.shared.heal();
    assert_eq!(log.append_now(&batch(&["b".to_owned()])), Err(AppendError::Unwritable));
    std::fs::remove_dir(&obstacle).unwrap();
    while !log.writable() {
        period.tick().await;
    }
    assert_eq!(log.append_now(&batch(&["c".to_owned()])), Ok(LeafIndex(2)));
    log.close().await;
    assert_eq!(objects(scratch.path()), ["a", "audit", "c"]);
    assert_eq!(verify(scratch.path()).unwrap().head.size, 3);
}

/// As where no file can be opened: the folder cannot, but is held. What cannot be done is to write the head, and that heals.
#[tokio::test]
async fn a_folder_that_cannot_be_opened_denies_until_it_can() {
    let scratch = Scratch::new();
    let (there, away) = (scratch.path().join("log"), scratch.path().join("away"));
    let (log, _) = open(&there).await;
    std::fs::rename(&there, &away).unwrap();
    log.append_now(&batch(&["a".to_owned()])).unwrap();
    let mut period = tokio::time::interval(Duration::from_millis(2));
    while log.writable() {
        period.tick().await;
    }
    assert_eq!(log.on_disk(1).await, Ok(()));
    std::fs::rename(&away, &there).unwrap();
    while !log.writable() {
        period.tick().await;
    }
    log.close().await;
    assert_eq!(objects(&there), ["a", "audit"]);
}

/// A full segment is on the disk before there is a next one; where it cannot be forced there, nothing is said to be on the disk.
#[tokio::test]
async fn a_full_segment_that_cannot_be_forced_to_the_disk_is_the_last() {
    let scratch = Scratch::new();
    let options = LogOptions { sync_every: Duration::from_secs(3600), ..SMALL };
    let (log, _) = DiskLog::open(scratch.path(), options, Arc::new(StoppedClock::at(START))).await.unwrap();
    log.append_now(&batch(&["a".to_owned()])).unwrap();
    // Which takes all, and cannot be forced.
    let null = || std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
    let swap = |tail| std::mem::replace(&mut log.shared.writer.lock().unwrap().tail, tail);
    let kept = swap(Tail::new(null(), SMALL.segment_bytes, 0));
    assert_eq!(log.append_now(&batch(&["b".to_owned()])), Err(AppendError::Unwritable));
    swap(kept);
    assert_eq!(log.on_disk(1).await, Err(AppendError::Unwritable));
    log.shared.heal();
    assert!(!log.writable());
    let segments = crate::log::segment::list(scratch.path()).unwrap();
    assert_eq!(segments.iter().map(|segment| segment.first).collect::<Vec<_>>(), [0]);
}

#[tokio::test]
async fn a_log_that_lost_records_is_not_healed() {
    let scratch = Scratch::new();
    let options = LogOptions { sync_every: Duration::from_secs(3600), ..SMALL };
    let (log, _) = DiskLog::open(scratch.path(), options, Arc::new(StoppedClock::at(START))).await.unwrap();
    log.append_now(&batch(&["a".to_owned(), "b".to_owned()])).unwrap();
    fail(&log, b"");
    let segment = scratch.path().join("00000000000000000000.log");
    let good = std::fs::read_to_string(&segment).unwrap();
    std::fs::write(&segment, good.split_inclusive('\n').next().unwrap()).unwrap();
    log.shared.heal();
    assert!(!log.writable());
    std::fs::write(&segment, good).unwrap();
    log.shared.heal();
    assert!(!log.writable());
    log.close().await;
}

/// The other half of the tests below: appends as fast as it can and prints each sequence once it is acknowledged, until it is
/// killed or the log fails. Does nothing unless it is asked to.
#[tokio::test]
async fn writer_process() {
    #[expect(clippy::disallowed_methods, reason = "how a test tells its child what to do")]
    let Ok(dir) = std::env::var("PARAPET_TEST_WRITER") else { return };
    let (log, _) = open(Path::new(&dir)).await;
    for n in 0u64.. {
        match log.append(&batch(&[format!("object {n}")])).await {
            Ok(at) => println!("acknowledged {}", at.0),
            Err(error) => {
                assert_eq!(log.append(&batch(&["again".to_owned()])).await, Err(AppendError::Unwritable));
                println!("failed {error:?}");
                return;
            }
        }
    }
}

/// Starts the writer under `ulimit -f` (blocks of 512 bytes), with SIGXFSZ ignored so that writes fail instead of killing.
fn start_writer(dir: &Path, file_blocks: &str) -> (Child, BufReader<ChildStdout>) {
    let this = std::env::current_exe().unwrap();
    let run = "trap '' XFSZ; ulimit -f \"$1\"; exec \"$2\" --exact log::append::tests::writer_process --nocapture";
    #[expect(clippy::disallowed_methods, reason = "a process that can be killed")]
    let mut child = Command::new("sh")
        .args(["-c", run, "sh", file_blocks])
        .arg(this)
        .env("PARAPET_TEST_WRITER", dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdout)
}

#[tokio::test]
async fn sigkill_loses_nothing_that_was_acknowledged() {
    for kill_after in [1u64, 50, 700] {
        let scratch = Scratch::new();
        let (mut child, stdout) = start_writer(scratch.path(), "unlimited");
        let mut acknowledged = 0;
        for line in stdout.lines() {
            if let Some(seq) = line.unwrap().strip_prefix("acknowledged ") {
                acknowledged = seq.parse::<u64>().unwrap() + 1;
            }
            if acknowledged == kill_after {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(acknowledged >= kill_after);
        let verified = verify(scratch.path()).unwrap();
        assert!(verified.entries >= acknowledged, "{} < {acknowledged}", verified.entries);
        let (log, opened) = open(scratch.path()).await;
        assert_eq!(opened.entries, verified.entries);
        log.append_now(&batch(&["after".to_owned()])).unwrap();
        log.close().await;
        assert_eq!(objects(scratch.path()).len() as u64, verified.entries + 1);
    }
}

#[tokio::test]
async fn a_full_disk_fails_closed_and_leaves_a_good_log() {
    let scratch = Scratch::new();
    // Segments hold 2,000 bytes and a record, so a file of 1,536 bytes is full before the first ends.
    let (mut child, stdout) = start_writer(scratch.path(), "3");
    let lines: Vec<String> = stdout.lines().map(Result::unwrap).collect();
    assert!(child.wait().unwrap().success());
    let acknowledged = lines.iter().filter(|line| line.starts_with("acknowledged")).count() as u64;
    assert!(lines.iter().any(|line| line.ends_with("failed Unwritable")), "{lines:?}");
    assert!((3..20).contains(&acknowledged), "{acknowledged}");
    let verified = verify(scratch.path()).unwrap();
    assert_eq!((verified.entries, verified.unfinished), (acknowledged, 0));
    assert_eq!(open(scratch.path()).await.1, Opened { entries: acknowledged, torn: None, head_was_missing: false });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn batches_and_reopens_keep_order(
        runs in prop::collection::vec(prop::collection::vec(prop::collection::vec("[a-z\\n\"é]{0,60}", 0..5), 0..12), 1..4)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let scratch = Scratch::new();
            let mut expected: Vec<String> = Vec::new();
            for run in &runs {
                let (log, opened) = open(scratch.path()).await;
                prop_assert_eq!(opened.entries, expected.len() as u64);
                for objects in run {
                    prop_assert_eq!(log.append_now(&batch(objects)), Ok(LeafIndex(expected.len() as u64)));
                    expected.extend_from_slice(objects);
                }
                log.close().await;
            }
            prop_assert_eq!(verify(scratch.path()).unwrap().entries, expected.len() as u64);
            prop_assert_eq!(objects(scratch.path()), expected);
            Ok(())
        })?;
    }
}

/// An append of a log that is durable on disk is over when its records are there; and so is a batch that demands it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durable_appends_wait_for_the_disk() {
    let scratch = Scratch::new();
    // Without somebody who waits nothing would be forced to the disk for an hour.
    let lazy = LogOptions { sync_every: Duration::from_secs(3600), ..SMALL };
    let (log, _) = DiskLog::open(scratch.path(), lazy, Arc::new(StoppedClock::at(START))).await.unwrap();
    let mut demanding = batch(&["on disk".to_owned()]);
    demanding.make_durable();
    for size in 1..4 {
        log.append(&demanding).await.unwrap();
        assert!(log.shared.durable.borrow().size >= size);
    }
    log.append(&batch(&["in memory".to_owned()])).await.unwrap();
    assert_eq!(log.shared.durable.borrow().size, 3);
    drop(log);
    let disk = LogOptions { durability: Durability::Disk, ..lazy };
    let (log, opened) = DiskLog::open(scratch.path(), disk, Arc::new(StoppedClock::at(START))).await.unwrap();
    assert_eq!(opened.entries, 4);
    let log = Arc::new(log);
    let mut waiting = JoinSet::new();
    for number in 0..32 {
        let log = Arc::clone(&log);
        waiting.spawn(async move { log.append(&batch(&[format!("{number}")])).await });
    }
    while let Some(appended) = waiting.join_next().await {
        appended.unwrap().unwrap();
    }
    assert_eq!(log.shared.durable.borrow().size, 36);
    log.close().await;
    assert_eq!(log.append(&batch(&["late".to_owned()])).await, Err(AppendError::Unwritable));
}

/// AU02: while the disk does not answer, entries are refused, and those that wait for it learn why.
#[tokio::test]
async fn a_disk_that_hangs_denies() {
    let scratch = Scratch::new();
    let (log, _) = open(scratch.path()).await;
    log.shared.stall(true);
    assert_eq!(log.append_now(&batch(&["refused".to_owned()])), Err(AppendError::TimedOut));
    assert!(!log.writable());
    assert_eq!(log.on_disk(9).await, Err(AppendError::TimedOut));
    log.shared.stall(false);
    assert!(log.append_now(&batch(&["taken".to_owned()])).is_ok());
}

/// AU09: times step with the clock; the order does not, and the log says so.
#[tokio::test]
async fn a_clock_that_steps_is_entered() {
    let scratch = Scratch::new();
    let (log, _) = open(scratch.path()).await;
    let at = |(wall, steady)| Moment {
        wall: Timestamp::from_millis(START.millis() + wall),
        steady: Duration::from_millis(steady),
    };
    // The wall clock and the steady one, before and after.
    for (last, now) in [
        // Time passes, and is slewed.
        ((0, 0), (5, 5)),
        ((0, 0), (86_400_000, 86_400_000)),
        ((5, 5), (-900, 5)),
        ((0, 0), (1900, 1000)),
        // It is set back, by so little that it seems to go on, and by much.
        ((0, 0), (400, 2000)),
        ((60_000, 1000), (0, 1000)),
        // It is set forward, or the machine slept.
        ((0, 1000), (3_601_000, 2000)),
    ] {
        watch_clock(&log.shared, at(last), at(now));
    }
    log.close().await;
    let found: Vec<_> = search(scratch.path(), Filter::default(), Order::OldestFirst).unwrap().flatten().collect();
    assert!(found.iter().all(|found| found.entry["action"] == "audit clock"), "{found:?}");
    let reasons: Vec<&str> = found.iter().map(|found| found.entry["reason"].as_str().unwrap()).collect();
    assert_eq!(
        reasons,
        [
            "the clock stepped back by 1600 ms, from 2026-11-21T04:00:02.000Z",
            "the clock stepped back by 60000 ms, from 2026-11-21T04:01:00.000Z",
            "the clock stepped forward by 3600000 ms, from 2026-11-21T04:00:01.000Z: it was set, or the machine slept",
        ]
    );
}

/// What the clock did while nobody wrote is seen at the next opening, as far as the last head tells.
#[tokio::test]
async fn a_clock_that_went_back_between_openings_is_entered() {
    let scratch = Scratch::new();
    for (at, entries) in [(0, 0), (-900, 0), (-60_000, 1), (-60_000, 1), (3_600_000, 1)] {
        let clock = Arc::new(StoppedClock::at(Timestamp::from_millis(START.millis() + at)));
        let (log, _) = DiskLog::open(scratch.path(), LogOptions::default(), clock).await.unwrap();
        log.close().await;
        let found: Vec<_> = search(scratch.path(), Filter::default(), Order::OldestFirst).unwrap().flatten().collect();
        assert_eq!(found.len(), entries, "{at}: {found:?}");
    }
}
