//! Content beside the log: put back when it is read, gone byte for byte when it is shredded, while the log goes on to verify.

use std::fs;
use std::time::Duration;

use kernel::audit::{Batch, Entry, Event};
use kernel::time::Timestamp;

use super::*;
use crate::log::{DiskLog, Filter, Found, LogOptions, Order, SigningKeys, search, verify};
use crate::memory::StoppedClock;
use crate::scratch::Scratch;

const START: Timestamp = Timestamp::from_millis(1_795_233_600_000);

fn master() -> MasterKey {
    MasterKey::from_text(&"ab".repeat(32)).unwrap()
}

async fn open_log(scratch: &Scratch) -> DiskLog {
    let keys = SigningKeys::open(&scratch.path().join("signing"), master(), Some("a.example"), START).unwrap();
    let options = LogOptions { segment_bytes: 2000, sync_every: Duration::from_millis(1), ..LogOptions::default() };
    let clock = Arc::new(StoppedClock::at(START));
    DiskLog::open_signed(scratch.path().join("log"), options, clock, keys).await.unwrap().0
}

fn say(log: &DiskLog, by: &str, reason: &str) {
    let mut batch = Batch::default();
    let person = Person(by.into());
    let event = Event::Admin { by: Some(&person), action: "test", object: "o", reason: Some(reason) };
    batch.push(&Entry { at: START, event });
    log.append_now(&batch).unwrap();
}

fn read(scratch: &Scratch, contents: Option<ContentReader>) -> Vec<Found> {
    let found = search(&scratch.path().join("log"), Filter::default(), Order::OldestFirst).unwrap();
    found.with_contents(contents).map(Result::unwrap).collect()
}

#[tokio::test]
async fn content_is_read_until_it_is_shredded() {
    let scratch = Scratch::new();
    let log = open_log(&scratch).await;
    for number in 0..40 {
        say(&log, "dana@example.com", &format!("words of dana {number}"));
        say(&log, "m ara", &format!("words of mara {number}"));
    }
    assert_eq!(scratch.holding(b"words of"), Vec::<PathBuf>::new(), "content stands nowhere in clear");
    let before = read(&scratch, log.contents());
    assert_eq!(before[6].entry["reason"], "words of dana 3");
    assert!(before.iter().all(|found| found.entry.get("content").is_none()));
    // Who has no key sees the commitment alone.
    let blind = read(&scratch, None);
    assert!(blind[6].entry.get("reason").is_none() && blind[6].entry["content"].is_array());
    let wrong = ContentReader::new(log.dir(), MasterKey::from_text(&"cd".repeat(32)).unwrap());
    assert_eq!(read(&scratch, Some(wrong))[6].entry["shredded"], true);
    // Text is found in content, too.
    let filter = Filter { text: Some("MARA 39".to_owned()), ..Filter::default() };
    let found = search(log.dir(), filter, Order::NewestFirst).unwrap().with_contents(log.contents());
    assert_eq!(found.map(Result::unwrap).map(|found| found.seq).collect::<Vec<_>>(), [79]);

    let pieces = fs::read(content_path(log.dir())).unwrap();
    let piece = pieces.split(|byte| *byte == b'\n').nth(7).unwrap().rsplit(|byte| *byte == b' ').next().unwrap();
    let wrapped = fs::read_to_string(keys_path(log.dir())).unwrap();
    let wrapped = wrapped.lines().nth(1).unwrap().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(scratch.holding(piece).len(), 1);
    assert_eq!(log.shred(&Shred::Person(Person("m ara".into()))).unwrap(), 40);
    assert_eq!(scratch.holding(piece), Vec::<PathBuf>::new(), "the ciphertext is gone");
    assert_eq!(scratch.holding(wrapped.as_bytes()), Vec::<PathBuf>::new(), "and so is its key");
    let after = read(&scratch, log.contents());
    assert_eq!(after[6].entry["reason"], "words of dana 3");
    assert_eq!((&after[7].entry["shredded"], after[7].entry.get("reason")), (&serde_json::Value::Bool(true), None));
    assert_eq!(log.shred(&Shred::Person(Person("m ara".into()))).unwrap(), 0);
    // Who comes back is under another key.
    say(&log, "m ara", "words of mara again");
    log.close().await;
    let size = verify(log.dir()).unwrap().entries;
    drop(log);
    let log = open_log(&scratch).await;
    assert_eq!(read(&scratch, log.contents()).last().unwrap().entry["reason"], "words of mara again");
    say(&log, "dana@example.com", "words after a restart");
    log.close().await;
    assert_eq!(read(&scratch, log.contents()).last().unwrap().entry["reason"], "words after a restart");
    assert_eq!(verify(log.dir()).unwrap().entries, size + 1);
}

/// A piece that was changed, or put in the place of another, is not taken for what the leaf commits to.
#[tokio::test]
async fn content_that_was_changed_is_not_shown() {
    let scratch = Scratch::new();
    let log = open_log(&scratch).await;
    say(&log, "dana@example.com", "one");
    say(&log, "dana@example.com", "two");
    log.close().await;
    let path = content_path(log.dir());
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let rest = |line: &str| line.split_once(' ').unwrap().1.to_owned();
    let swapped = format!("0 {}\n1 {}\n", rest(lines[1]), rest(lines[0]));
    fs::write(&path, swapped).unwrap();
    assert!(read(&scratch, log.contents()).iter().all(|found| found.entry["shredded"] == true));
    fs::remove_file(&path).unwrap();
    assert!(read(&scratch, log.contents()).iter().all(|found| found.entry["shredded"] == true));
    assert_eq!(verify(log.dir()).unwrap().entries, 2);
}

/// What a crash has left of a last line is cut off; what stands before it is kept.
#[tokio::test]
async fn a_torn_piece_is_cut_off() {
    let scratch = Scratch::new();
    let log = open_log(&scratch).await;
    say(&log, "dana@example.com", "one");
    log.close().await;
    drop(log);
    let dir = scratch.path().join("log");
    for path in [content_path(&dir), keys_path(&dir)] {
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(b"1 0 half a line");
        bytes.resize(bytes.len() + 5000, 0);
        fs::write(&path, bytes).unwrap();
    }
    let log = open_log(&scratch).await;
    say(&log, "dana@example.com", "two");
    let found = read(&scratch, log.contents());
    assert_eq!([&found[0].entry["reason"], &found[1].entry["reason"]], ["one", "two"]);
}

#[test]
fn shredding_takes_what_is_asked_and_no_more() {
    let (one, other): (Name, Name) = ("reporting".parse().unwrap(), "reporting-2".parse().unwrap());
    let session: SessionId = "ses_0000000000000000".parse().unwrap();
    let (owned, scope) = owner(&ContentOf::Session(session, one.clone()));
    assert!(Shred::Workload(one).takes(&owned, &scope) && Shred::Session(session).takes(&owned, &scope));
    assert!(!Shred::Workload(other).takes(&owned, &scope));
    assert!(!Shred::Person(Person(scope.as_str().into())).takes(&owned, &scope));
}
