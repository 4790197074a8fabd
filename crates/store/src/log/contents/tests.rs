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

/// Pages that did not reach the disk: between lines, amid them, more than a line can be. What stands before is kept, the rest put
/// aside, whether the file was closed or not.
#[tokio::test]
async fn what_stands_behind_a_hole_is_put_aside() {
    for (cut, zeros, reserved) in
        [(0, 10, 0), (0, 300_000, 5000), (20, 4096, 5000), (20, 300_000, 5000), (20, 70_000, 0)]
    {
        let scratch = Scratch::new();
        let log = open_log(&scratch).await;
        for number in 0..6 {
            say(&log, &format!("person {number}"), &format!("words {number}"));
        }
        log.close().await;
        drop(log);
        let dir = scratch.path().join("log");
        let mut aside = Vec::new();
        for path in [content_path(&dir), keys_path(&dir)] {
            let text = fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            let (before, behind) = (lines[..2].concat(), lines[3..].concat());
            let (partly, behind) = (lines[2].split_at(cut).0, behind.split_at(cut).1);
            let hole = "\0".repeat(zeros);
            fs::write(&path, format!("{before}{partly}{hole}{behind}{}", "\0".repeat(reserved))).unwrap();
            aside.push((path, before, format!("{partly}{hole}{behind}")));
        }
        let log = open_log(&scratch).await;
        if cut == 0 || reserved > 0 {
            for (path, before, rest) in aside {
                let name = format!("{}-{}-0.torn", path.display(), before.len());
                assert!(fs::read_to_string(name).unwrap() == rest, "{cut} {zeros} {reserved}");
                assert_eq!(fs::read_to_string(&path).unwrap(), before);
            }
        }
        say(&log, "person 7", "words 7");
        let found = read(&scratch, log.contents());
        let reasons: Vec<_> = found.iter().filter_map(|found| found.entry["reason"].as_str()).collect();
        assert_eq!((reasons[..2].to_vec(), reasons.last()), (vec!["words 0", "words 1"], Some(&"words 7")));
    }
}

/// Wherever the last line is bad, or is not found, numbers go on behind the last good one.
#[test]
fn numbers_go_on_behind_the_last_good_line() {
    let scratch = Scratch::new();
    let path = scratch.path().join("lines");
    let (hole, page) = ("\0".repeat(300_000), "\0".repeat(4096));
    for rest in [
        String::new(),
        "2 c".to_owned(),
        format!("2 c{page}d\n"),
        format!("{page}2 c\n"),
        format!("{hole}2 c\n"),
        format!("2 c{hole}d\n"),
        format!("2 c{hole}d\n3 d\n"),
        format!("{hole}d\n3 d\n"),
        "no number\n".to_owned(),
        format!("2 c{hole}"),
    ] {
        fs::write(&path, format!("0 a\n1 b\n{rest}")).unwrap();
        let (tail, next) = numbered(&path).unwrap();
        assert_eq!((tail.length(), next, fs::read(&path).unwrap().len()), (8, 2, 8), "{}", rest.len());
    }
}

/// A hole hides no key from being shredded: neither one that stands behind it nor what is left of one.
#[test]
fn shredding_passes_over_holes() {
    let scratch = Scratch::new();
    let path = scratch.path().join("keys");
    let hole = "\0".repeat(70_000);
    let before = format!(
        "0 a s0 AAAA\n{hole}b s1 BBBB\n2 b s2 CCCC\n3 a s3 DD{hole}D s4 EEEE\n5 a s5 FFFF\n6 b s6 GGGG\n{hole}"
    );
    fs::write(&path, before).unwrap();
    let count = overwrite(&path, |fields, torn| torn || matches!(fields, [_, "a", _, _])).unwrap();
    let after = fs::read_to_string(&path).unwrap().replace(&hole, "~");
    assert_eq!(after, "0 a s0 ----\n~b s1 ----\n2 b s2 CCCC\n3 a s3 DD~D s4 ----\n5 a s5 ----\n6 b s6 GGGG\n~");
    assert_eq!(count, 4);
    fs::write(&path, format!("0 a s0 A{}\n1 a s1 BBBB\n", hole.repeat(2))).unwrap();
    assert_eq!(overwrite(&path, |_, _| true).unwrap_err().kind(), io::ErrorKind::InvalidData);
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
