//! The master key changes: whatever a crash leaves, both open until all is done; then the old one opens nothing, and no old form
//! stands in any file.

use std::io::Seek as _;
use std::sync::Arc;
use std::time::Duration;

use kernel::audit::{Batch, Entry, Event};
use kernel::time::Timestamp;
use kernel::workload::Person;

use super::*;
use crate::log::{
    ContentReader, DiskLog, Filter, LogOptions, OpenError, Order, Shred, SigningKeys, rekey_signing_keys, search,
    verify,
};
use crate::memory::StoppedClock;
use crate::scratch::Scratch;

const NOW: Timestamp = Timestamp::from_millis(1_795_233_600_000);
const OLD: &str = "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=";
const PEOPLE: [&str; 3] = ["dana", "mara", "kim"];

fn new() -> String {
    "cd".repeat(32)
}

fn master(text: &str) -> MasterKey {
    MasterKey::from_text(text).unwrap()
}

fn both() -> MasterKey {
    master(&format!("{}\n{OLD}\n", new()))
}

#[test]
fn the_newest_closes_and_all_open() {
    let [old, both, new] = [master(OLD), both(), master(&new())];
    assert!(both.is_changing() && !old.is_changing());
    let closed = old.wrap_text("purpose", b"secret").unwrap();
    assert_eq!(**both.unwrap_text("purpose", &closed).unwrap(), *b"secret");
    let anew = both.rewrap_text("purpose", &closed).unwrap().unwrap();
    assert_eq!((anew.len(), both.rewrap_text("purpose", &anew)), (closed.len(), Ok(None)));
    assert_eq!(**new.unwrap_text("purpose", &anew).unwrap(), *b"secret");
    let shut = EnvelopeError::DoesNotOpen;
    assert_eq!(
        [new.unwrap_text("purpose", &closed), old.unwrap_text("purpose", &anew)].map(Result::err),
        [Some(shut); 2]
    );
    assert_eq!([both.rewrap_text("other", &closed), both.rewrap_text("purpose", "AAAA")], [Err(shut), Err(shut)]);

    let text = MasterKey::renewed_text(OLD).unwrap();
    let renewed = master(&text);
    assert!(renewed.is_changing() && renewed.unwrap_text("purpose", &closed).is_ok());
    let newest = master(MasterKey::newest_text(&text));
    let closed = renewed.wrap_text("purpose", b"secret").unwrap();
    assert!(!newest.is_changing() && newest.unwrap_text("purpose", &closed).is_ok());
    for wrong in [format!("{OLD} 00"), format!("x {OLD}"), [OLD; 9].join(" ")] {
        assert_eq!(MasterKey::from_text(&wrong).unwrap_err(), EnvelopeError::NotAKey, "{wrong}");
    }
    assert!(MasterKey::from_text(&[OLD; 8].join(" ")).is_ok());
}

/// Each state in which the replacement of a file may be cut short.
#[test]
fn a_replacement_that_was_cut_short_leaves_no_old_form() {
    type Cut = fn(&Path);
    let cuts: [(&str, bool, Cut); 6] = [
        ("before anything", false, |_path| {}),
        ("while the new one is written", false, |path| fs::write(beside(path, ".new"), "middle-").unwrap()),
        ("before the old one has two names", false, |path| fs::write(beside(path, ".new"), "middle-4711").unwrap()),
        ("before the new one is in place", false, |path| {
            fs::write(beside(path, ".new"), "middle-4711").unwrap();
            fs::hard_link(path, beside(path, ".old")).unwrap();
        }),
        ("before the old one is overwritten", true, |path| {
            fs::hard_link(path, beside(path, ".old")).unwrap();
            fs::write(beside(path, ".new"), "middle-4711").unwrap();
            fs::rename(beside(path, ".new"), path).unwrap();
        }),
        ("before the old one is removed", true, |path| {
            fs::write(path, "middle-4711").unwrap();
            fs::write(beside(path, ".old"), "old\0\0\0\0\0").unwrap();
        }),
    ];
    for (when, replaced, cut) in cuts {
        let scratch = Scratch::new();
        let path = scratch.path().join("kept");
        fs::write(&path, "old-4711").unwrap();
        cut(&path);
        settle(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), if replaced { "middle-4711" } else { "old-4711" }, "{when}");
        assert_eq!(scratch.holding(b"").len(), 1, "{when}");
        cut(&path);
        let mut before = File::open(&path).unwrap();
        exchange(&path, b"new").unwrap();
        assert_eq!((fs::read(&path).unwrap(), scratch.holding(b"").len()), (b"new".to_vec(), 1), "{when}");
        let mut overwritten = Vec::new();
        before.rewind().unwrap();
        before.read_to_end(&mut overwritten).unwrap();
        assert!(!overwritten.is_empty() && overwritten.iter().all(|byte| *byte == 0), "{when}");
    }
    let scratch = Scratch::new();
    let [path, backup] = ["kept", "backup"].map(|name| scratch.path().join(name));
    fs::write(&path, "old").unwrap();
    fs::hard_link(&path, &backup).unwrap();
    exchange(&path, b"new").unwrap();
    assert_eq!([path, backup].map(|path| fs::read_to_string(path).unwrap()), ["new", "old"]);
    assert_eq!(exchange(&scratch.path().join("none"), b"new").unwrap_err().kind(), io::ErrorKind::NotFound);
}

async fn open_log(scratch: &Scratch, by: MasterKey) -> DiskLog {
    let lock = LogLock::take(scratch.path().join("log")).unwrap();
    let keys = SigningKeys::open(&scratch.path().join("signing"), by, Some("a.example"), NOW).unwrap();
    let options = LogOptions { sync_every: Duration::from_millis(1), ..LogOptions::default() };
    DiskLog::open_locked(lock, options, Arc::new(StoppedClock::at(NOW)), keys).await.unwrap().0
}

fn say(log: &DiskLog, by: &str) {
    let mut batch = Batch::default();
    let (person, reason) = (Person(by.into()), format!("words of {by}"));
    let event = Event::Admin { by: Some(&person), action: "test", object: "o", reason: Some(&reason) };
    batch.push(&Entry { at: NOW, event });
    log.append_now(&batch).unwrap();
}

/// Which of the people's words are read with this key.
fn words(scratch: &Scratch, by: &str) -> Vec<bool> {
    let dir = scratch.path().join("log");
    let contents = ContentReader::new(&dir, master(by));
    let found = search(&dir, Filter::default(), Order::OldestFirst).unwrap().with_contents(Some(contents));
    found.map(|found| found.unwrap().entry.get("reason").is_some()).collect()
}

/// The last fields of the file of content's keys.
fn wrapped(scratch: &Scratch) -> Vec<String> {
    let text = fs::read_to_string(keys_path(&scratch.path().join("log"))).unwrap();
    text.lines().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn content_and_signing_keys_are_closed_anew() {
    let scratch = Scratch::new();
    let log = open_log(&scratch, master(OLD)).await;
    assert!(matches!(LogLock::take(log.dir()), Err(OpenError::Locked)));
    for by in PEOPLE {
        say(&log, by);
    }
    assert_eq!(log.shred(&Shred::Person(Person("mara".into()))).unwrap(), 1);
    log.close().await;
    drop(log);
    let signing = scratch.path().join("signing");
    let before = wrapped(&scratch);
    let signed = fs::read_to_string(&signing).unwrap();
    let signed: serde_json::Value = serde_json::from_str(&signed).unwrap();
    let signed: Vec<&str> =
        signed["keys"].as_array().unwrap().iter().map(|key| key["wrapped"].as_str().unwrap()).collect();
    // As a loss of power leaves it: a line that was begun, and space that was reserved.
    let path = keys_path(&scratch.path().join("log"));
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&*whole, b"3 person:eve per\0\0\0\0"].concat()).unwrap();

    // Without the old one nothing is changed, and nothing is lost.
    let lock = LogLock::take(scratch.path().join("log")).unwrap();
    assert_eq!(rekey_contents(&lock, &master(&new())).unwrap(), Rekeyed { closed: 0, left: 2 });
    assert_eq!(rekey_signing_keys(&signing, &master(&new())).unwrap(), Rekeyed { closed: 0, left: 2 });
    assert_eq!(words(&scratch, OLD), [true, false, true]);
    // It cannot be replaced: nothing is changed either, and both keys read all of it.
    let obstacle = beside(&path, ".new");
    fs::create_dir(&obstacle).unwrap();
    rekey_contents(&lock, &both()).unwrap_err();
    assert_eq!(words(&scratch, &format!("{} {OLD}", new())), [true, false, true]);
    fs::remove_dir(&obstacle).unwrap();

    let done = Rekeyed { closed: 2, left: 0 };
    assert_eq!(rekey_contents(&lock, &both()).unwrap(), done);
    assert_eq!(words(&scratch, &new()), [true, false, true]);
    assert_eq!(words(&scratch, OLD), [false; 3]);
    assert_eq!(rekey_signing_keys(&signing, &both()).unwrap(), done);
    assert_eq!(wrapped(&scratch)[1], before[1], "shredded");
    let shredded = before[1].as_str();
    for old in before.iter().map(String::as_str).filter(|old| *old != shredded).chain(signed.iter().copied()) {
        assert_eq!(scratch.holding(old.as_bytes()), Vec::<PathBuf>::new());
    }
    // Again there is nothing to do, and nothing is written.
    let inode = fs::metadata(&path).unwrap().ino();
    assert_eq!(rekey_contents(&lock, &both()).unwrap(), Rekeyed::default());
    assert_eq!(rekey_signing_keys(&signing, &both()).unwrap(), Rekeyed::default());
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    drop(lock);
    assert!(SigningKeys::open(&signing, master(OLD), None, NOW).is_err());
    let log = open_log(&scratch, master(&new())).await;
    say(&log, "dana");
    log.close().await;
    assert_eq!(words(&scratch, &new()), [true, false, true, true]);
    assert_eq!(verify(log.dir()).unwrap().entries, 4);
}

#[test]
fn lines_that_are_none_are_left_as_they_are() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path().join("content")).unwrap();
    let path = keys_path(scratch.path());
    let closed = master(OLD).wrap_text(&purpose(3, "s"), b"secret").unwrap();
    let odd = b"0 a b\n1 a b c d\n\xff\xff a s AAAA\n".to_vec();
    let line = format!("3 a s {closed}\n");
    fs::write(&path, [&*odd, line.as_bytes()].concat()).unwrap();
    let lock = LogLock::take(scratch.path()).unwrap();
    assert_eq!(rekey_contents(&lock, &both()).unwrap(), Rekeyed { closed: 1, left: 3 });
    let after = fs::read(&path).unwrap();
    assert_eq!((&after[..odd.len()], after.len()), (&*odd, odd.len() + line.len()));
}

#[test]
fn no_key_behind_a_hole_is_dropped() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path().join("content")).unwrap();
    let path = keys_path(scratch.path());
    let line = |number| {
        let closed = master(OLD).wrap_text(&purpose(number, "s"), b"secret").unwrap();
        format!("{number} a s {closed}\n").into_bytes()
    };
    let lock = LogLock::take(scratch.path()).unwrap();
    let hole = vec![0; 4096];
    // What the log cuts off when it opens does not count.
    for (behind, refused) in [
        (Vec::new(), false),
        (b"1 a".to_vec(), false),
        (line(1), false),
        ([line(1), line(2)].concat(), true),
        ([line(1), line(2), hole.clone()].concat(), true),
    ] {
        let there = [line(0), hole.clone(), behind].concat();
        fs::write(&path, &there).unwrap();
        let done = rekey_contents(&lock, &both());
        if refused {
            assert_eq!(done.unwrap_err().kind(), io::ErrorKind::InvalidData);
            assert_eq!(fs::read(&path).unwrap(), there);
        } else {
            assert_eq!(done.unwrap(), Rekeyed { closed: 1, left: 0 });
        }
        assert!(!beside(&path, ".new").exists() && !beside(&path, ".old").exists());
    }
}
