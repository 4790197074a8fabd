//! Every way to alter a log on disk is found, and the first bad record is named.

use std::fs;
use std::sync::Arc;

use kernel::audit::{Batch, Entry, Event};
use kernel::time::Timestamp;

use super::*;
use crate::log::{DiskLog, LogOptions};
use crate::memory::StoppedClock;
use crate::scratch::Scratch;

const START: Timestamp = Timestamp::from_millis(1_795_233_600_000);

/// A closed log of `entries` entries, in segments of about three.
async fn written(entries: u64) -> Scratch {
    let scratch = Scratch::new();
    let options = LogOptions { segment_bytes: 500, ..LogOptions::default() };
    let (log, _) = DiskLog::open(scratch.path(), options, Arc::new(StoppedClock::at(START))).await.unwrap();
    for n in 0..entries {
        let mut batch = Batch::default();
        let object = format!("object {n}");
        let event = Event::Admin { by: None, action: "test", object: &object, reason: None };
        batch.push(&Entry { at: START, event });
        log.append_now(&batch).unwrap();
    }
    log.close().await;
    scratch
}

fn tampered(dir: &Path) -> Tampered {
    match verify(dir) {
        Err(VerifyError::Tampered(tampered)) => tampered,
        other => panic!("not found: {other:?}"),
    }
}

/// The segment files, each with the sequence of its first record and its text.
fn segments(dir: &Path) -> Vec<(Segment, Vec<u8>)> {
    segment::list(dir).unwrap().into_iter().map(|one| (one.clone(), fs::read(&one.path).unwrap())).collect()
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

#[tokio::test]
async fn accepts_what_was_written_over_segments() {
    let scratch = written(10).await;
    let verified = verify(scratch.path()).unwrap();
    assert_eq!((verified.entries, verified.head.size, verified.unfinished), (10, 10, 0));
    assert_eq!(verified.head.chain, verified.chain);
    assert!(segments(scratch.path()).len() >= 3);
}

#[tokio::test]
async fn finds_every_changed_byte() {
    let scratch = written(7).await;
    let mut tried = 0;
    for (segment, good) in segments(scratch.path()) {
        let mut seq = segment.first;
        for place in 0..good.len() {
            for flip in [0x01, 0x20, 0x80, 0xff, good[place] ^ b'\n', good[place] ^ b'0'] {
                if flip == 0 {
                    continue;
                }
                let mut bad = good.clone();
                bad[place] ^= flip;
                fs::write(&segment.path, &bad).unwrap();
                let found = tampered(scratch.path());
                assert_eq!((found.seq, &found.file), (seq, &segment.name()), "byte {place} ^ {flip:#x}: {found}");
                tried += 1;
            }
            seq += u64::from(good[place] == b'\n');
        }
        fs::write(&segment.path, &good).unwrap();
    }
    assert!(tried > 5000, "{tried}");
    assert!(verify(scratch.path()).is_ok());
}

#[tokio::test]
async fn finds_every_changed_byte_of_the_head() {
    let scratch = written(7).await;
    let path = scratch.path().join("head.json");
    let good = fs::read(&path).unwrap();
    for place in 0..good.len() {
        for flip in [0x01, 0x02, 0x20, 0x80] {
            let mut bad = good.clone();
            bad[place] ^= flip;
            fs::write(&path, &bad).unwrap();
            assert!(verify(scratch.path()).is_err(), "byte {place} ^ {flip:#x}");
        }
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(tampered(scratch.path()).why, Why::NoHead);
}

#[tokio::test]
async fn finds_deleted_doubled_and_swapped_lines() {
    let scratch = written(9).await;
    for (segment, good) in segments(scratch.path()) {
        let all = lines(&good);
        for at in 0..all.len() {
            let seq = segment.first + at as u64;
            let mut deleted = all.clone();
            deleted.remove(at);
            let mut doubled = all.clone();
            doubled.insert(at, all[at]);
            let mut swapped = all.clone();
            swapped.swap(at, (at + 1) % all.len());
            for (bad, first) in [(deleted, seq), (doubled, seq + 1)] {
                fs::write(&segment.path, bad.concat()).unwrap();
                assert_eq!(tampered(scratch.path()).seq, first);
            }
            if all.len() > 1 {
                fs::write(&segment.path, swapped.concat()).unwrap();
                let first = if at + 1 == all.len() { segment.first } else { seq };
                assert_eq!(tampered(scratch.path()).seq, first);
            }
        }
        fs::write(&segment.path, &good).unwrap();
    }
}

#[tokio::test]
async fn finds_truncation_at_every_length() {
    let scratch = written(7).await;
    let mut segments = segments(scratch.path());
    while let Some((segment, good)) = segments.pop() {
        for length in 0..good.len() {
            fs::write(&segment.path, &good[..length]).unwrap();
            let whole = good[..length].iter().filter(|byte| **byte == b'\n').count() as u64;
            assert_eq!(tampered(scratch.path()).seq, segment.first + whole, "{length}");
        }
        // The next round truncates the segment before, with this one gone.
        fs::remove_file(&segment.path).unwrap();
        assert_eq!(tampered(scratch.path()).seq, segment.first);
    }
}

#[tokio::test]
async fn finds_missing_renamed_and_foreign_segments() {
    let scratch = written(10).await;
    let other = written(12).await;
    let all = segments(scratch.path());
    let middle = &all[1].0;
    fs::rename(&middle.path, scratch.path().join("elsewhere")).unwrap();
    assert_eq!(tampered(scratch.path()).seq, middle.first);
    fs::rename(scratch.path().join("elsewhere"), &middle.path).unwrap();
    let doubled = Segment::new(scratch.path(), middle.first + 1);
    fs::copy(&middle.path, &doubled.path).unwrap();
    assert!(verify(scratch.path()).is_err());
    fs::remove_file(&doubled.path).unwrap();
    // A whole log that verifies by itself, put in place of this one, has another chain at the recorded head.
    let (_, forged) = &segments(other.path())[0];
    let text = String::from_utf8(forged.clone()).unwrap();
    assert!(verify(scratch.path()).is_ok() && text.contains("object 0"));
    let mut chain = ChainHash::default();
    let mut rewritten = Vec::new();
    for seq in 0..10u64 {
        let entry = format!("{{\"v\":1,\"forged\":{seq}}}");
        chain = kernel::audit::next_chain_hash(&chain, &kernel::audit::leaf_hash(entry.as_bytes()));
        kernel::audit::write_record(kernel::audit::LeafIndex(seq), &chain, entry.as_bytes(), &mut rewritten);
    }
    for (segment, _) in &all {
        fs::remove_file(&segment.path).unwrap();
    }
    fs::write(&all[0].0.path, rewritten).unwrap();
    assert_eq!(tampered(scratch.path()).why, Why::OtherChain);
}

#[tokio::test]
async fn a_record_that_is_being_written_is_no_fault() {
    let scratch = written(4).await;
    let (last, good) = segments(scratch.path()).pop().unwrap();
    let mut growing = good.clone();
    growing.extend_from_slice(b"4 abc");
    fs::write(&last.path, growing).unwrap();
    let verified = verify(scratch.path()).unwrap();
    assert_eq!((verified.entries, verified.unfinished), (4, 5));
}

#[test]
fn an_empty_folder_is_no_log() {
    let scratch = Scratch::new();
    assert!(matches!(verify(scratch.path()), Err(VerifyError::NoLog)));
    assert!(matches!(verify(&scratch.path().join("none")), Err(VerifyError::NoLog)));
}
