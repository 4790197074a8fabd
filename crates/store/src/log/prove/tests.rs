//! Signed logs: every proof of every entry, and every way to tamper that a chain alone does not find.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use kernel::audit::tree::verify_consistency;
use kernel::audit::{
    Batch, Entry, Event, ExportVerifier, LeafIndex, RecordFault, next_chain_hash, parse_hash, write_record,
};
use kernel::time::Timestamp;
use kernel::workload::Person;

use super::*;
use crate::log::{
    DiskLog, Expected, LogOptions, MasterKey, OpenError, SigningKeys, Tampered, VerifyError, Why, verify_as,
};
use crate::memory::StoppedClock;
use crate::scratch::Scratch;

const START: Timestamp = Timestamp::from_millis(1_795_233_600_000);

fn keys(scratch: &Scratch, name: &str) -> SigningKeys {
    let master = MasterKey::from_text(&"ab".repeat(32)).unwrap();
    let origin = format!("{name}.example/audit");
    SigningKeys::open(&scratch.path().join(format!("{name}.keys")), master, Some(&origin), START).unwrap()
}

async fn open(scratch: &Scratch, name: &str) -> Result<DiskLog, OpenError> {
    let options = LogOptions { segment_bytes: 2000, sync_every: Duration::from_millis(1), ..LogOptions::default() };
    let clock = Arc::new(StoppedClock::at(START));
    Ok(DiskLog::open_signed(scratch.path().join(name), options, clock, keys(scratch, name)).await?.0)
}

fn append(log: &DiskLog, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let mut batch = Batch::default();
        let object = format!("object {number}");
        let event = Event::Admin { by: None, action: "test", object: &object, reason: None };
        batch.push(&Entry { at: START, event });
        log.append_now(&batch).unwrap();
    }
}

async fn written(scratch: &Scratch, name: &str, entries: u64) -> PathBuf {
    let log = open(scratch, name).await.unwrap();
    append(&log, 0..entries);
    log.close().await;
    assert_eq!(log.checkpoint().unwrap().size, entries);
    scratch.path().join(name)
}

fn expected(scratch: &Scratch, name: &str) -> Expected {
    Expected { keys: keys(scratch, name).views().into_iter().map(|view| view.key).collect(), ..Expected::default() }
}

fn tampered(dir: &Path, expected: &Expected) -> Tampered {
    match verify_as(dir, expected) {
        Err(VerifyError::Tampered(tampered)) => tampered,
        other => panic!("not found: {other:?}"),
    }
}

#[tokio::test]
async fn every_entry_is_proved_and_every_older_head() {
    let scratch = Scratch::new();
    let dir = written(&scratch, "a", 600).await;
    let expected = expected(&scratch, "a");
    let verified = verify_as(&dir, &expected).unwrap();
    assert_eq!((verified.entries, verified.signed.unwrap().root), (600, verified.root));
    let prover = Prover::open(&dir, 0).unwrap();
    for seq in 0..600 {
        let leaf = crate::log::seal::leaf(&prover.entry(seq).unwrap());
        let file = ProofFile::parse(&prover.inclusion(seq).unwrap().text()).unwrap();
        assert_eq!(file.verify(&leaf, &expected.keys).unwrap().size, 600);
    }
    let hashes = Hashes::of(&dir);
    for old in [0, 1, 2, 255, 256, 257, 511, 512, 599, 600] {
        let root = tree::root(&hashes, old).unwrap();
        let proof = prover.consistency(old).unwrap();
        verify_consistency((old, &root), (600, &verified.root), &proof).unwrap();
    }
    assert!(matches!(prover.consistency(601), Err(ProveError::Beyond { size: 600, asked: 601 })));
    assert!(matches!(prover.inclusion(600), Err(ProveError::Beyond { .. })));
}

#[tokio::test]
async fn an_export_of_any_part_is_verified_without_the_log() {
    let scratch = Scratch::new();
    let dir = written(&scratch, "a", 300).await;
    let expected = expected(&scratch, "a");
    let prover = Prover::open(&dir, 0).unwrap();
    for (first, end) in [(0, 300), (0, 0), (17, 18), (255, 257), (299, 300), (300, 300), (5, 290)] {
        let mut out = Vec::new();
        prover.export((first, end), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let mut lines = text.lines();
        let mut verifier = ExportVerifier::begin(lines.next().unwrap(), &expected.keys, Vec::new()).unwrap();
        lines.for_each(|line| verifier.accept(line.as_bytes()).unwrap());
        let proved = verifier.finish().unwrap();
        assert_eq!((proved.first, proved.end, proved.signed_by), (first, end, vec!["a.example/audit".to_owned()]));
    }
    // A part is verified in the folder, too.
    let part = Expected { first: 100, end: Some(200), ..expected };
    let verified = verify_as(&dir, &part).unwrap();
    assert_eq!((verified.first, verified.entries), (100, 200));
}

#[tokio::test]
async fn tiles_are_those_of_the_tree() {
    let scratch = Scratch::new();
    let dir = written(&scratch, "a", 300).await;
    let prover = Prover::open(&dir, 0).unwrap();
    let tile = |path: &str| prover.tile(TilePath::parse(path).unwrap()).unwrap();
    assert_eq!(tile("tile/0/000").unwrap().len(), 8192);
    assert_eq!(tile("tile/0/001.p/44").unwrap().len(), 44 * 32);
    assert_eq!(tile("tile/1/000.p/1").unwrap(), tree::root(&Hashes::of(&dir), 256).unwrap().0);
    assert_eq!((tile("tile/0/001"), tile("tile/0/001.p/45"), tile("tile/entries/002")), (None, None, None));
    let bundle = tile("tile/entries/001.p/44").unwrap();
    let (mut rest, mut seq) = (&bundle[..], 256);
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (entry, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
        assert_eq!(entry, prover.entry(seq).unwrap());
        (rest, seq) = (after, seq + 1);
    }
    assert_eq!(seq, 300);
}

#[tokio::test]
async fn the_tree_goes_on_after_a_restart_and_is_computed_anew_where_it_is_lost() {
    let scratch = Scratch::new();
    let dir = written(&scratch, "a", 300).await;
    let changes: [&dyn Fn(); 4] = [
        &|| {},
        &|| fs::remove_dir_all(dir.join("tree")).unwrap(),
        &|| fs::write(dir.join("tree/0"), vec![0; 300 * 32]).unwrap(),
        &|| fs::write(dir.join("tree/1"), []).unwrap(),
    ];
    for (round, change) in (0..).zip(changes) {
        change();
        let log = open(&scratch, "a").await.unwrap();
        append(&log, 0..10);
        log.close().await;
        let verified = verify_as(&dir, &expected(&scratch, "a")).unwrap();
        assert_eq!((verified.entries, verified.signed.unwrap().size), (310 + round * 10, 310 + round * 10));
        Prover::open(&dir, 0).unwrap().inclusion(0).unwrap();
    }
}

#[tokio::test]
async fn a_new_key_is_announced_by_the_old_one() {
    let scratch = Scratch::new();
    let log = open(&scratch, "a").await.unwrap();
    append(&log, 0..3);
    let old = expected(&scratch, "a");
    let new = log.rotate_key(&Person("root@example.com".into()), "yearly", Duration::from_secs(60)).unwrap();
    log.close().await;
    let dir = scratch.path().join("a");
    // Who knows the old key alone verifies the log, and finds the new key in it.
    assert_eq!(verify_as(&dir, &old).unwrap().entries, 4);
    let entry = String::from_utf8(Prover::open(&dir, 0).unwrap().entry(3).unwrap()).unwrap();
    assert!(entry.contains("audit rotate") && entry.contains(&new.to_string()), "{entry}");
    assert_eq!(verify_as(&dir, &Expected { keys: vec![new], ..Expected::default() }).unwrap().entries, 4);
    drop(log);
    drop(open(&scratch, "a").await.unwrap());
}

/// Writes the records anew from `from` on, chain and head and all, as who has the machine could.
fn forge(dir: &Path, from: u64) {
    let segments = segment::list(dir).unwrap();
    let (mut seq, mut chain) = (0, kernel::audit::ChainHash::default());
    for one in &segments {
        let text = fs::read(&one.path).unwrap();
        let mut fresh = Vec::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let record = Record::parse(line.strip_suffix(b"\n").unwrap()).unwrap();
            let entry = String::from_utf8(record.entry.to_vec()).unwrap();
            let entry = if seq >= from { entry.replace("object", "abject") } else { entry };
            chain = next_chain_hash(&chain, &kernel::audit::leaf_hash(entry.as_bytes()));
            write_record(LeafIndex(seq), &chain, entry.as_bytes(), &mut fresh);
            seq += 1;
        }
        fs::write(&one.path, fresh).unwrap();
    }
    crate::log::Head { size: seq, chain, at: START }.store(dir).unwrap();
}

#[tokio::test]
async fn records_written_anew_are_found_by_the_signed_head() {
    let scratch = Scratch::new();
    let dir = written(&scratch, "a", 40).await;
    forge(&dir, 23);
    let found = tampered(&dir, &expected(&scratch, "a"));
    assert_eq!((found.seq, found.why), (23, Why::OtherTree { size: 40 }));
    assert_eq!(tampered(&dir, &Expected::default()).seq, 23);
    // The gateway does not go on with it either.
    fs::remove_dir_all(dir.join("tree")).unwrap();
    assert!(matches!(open(&scratch, "a").await, Err(OpenError::Tampered(Tampered { why: Why::OtherTree { .. }, .. }))));
}

#[tokio::test]
async fn another_key_and_another_nodes_log_are_found() {
    let scratch = Scratch::new();
    let (ours, theirs) = (written(&scratch, "a", 9).await, written(&scratch, "b", 9).await);
    let found = tampered(&theirs, &expected(&scratch, "a"));
    assert_eq!((found.seq, found.why), (0, Why::Checkpoint(NoteError::UnknownKeys)));
    // As if each node had the other's folder.
    let away = scratch.path().join("away");
    fs::rename(&ours, &away).unwrap();
    fs::rename(&theirs, &ours).unwrap();
    assert!(matches!(open(&scratch, "a").await, Err(OpenError::Tampered(Tampered { seq: 0, .. }))));
    // Without a signed head nothing is proved to who knows the key.
    fs::remove_file(away.join("checkpoint")).unwrap();
    assert_eq!(tampered(&away, &expected(&scratch, "a")).why, Why::NoCheckpoint);
}

#[tokio::test]
async fn a_log_rolled_back_is_found_by_a_head_that_was_kept() {
    let scratch = Scratch::new();
    let dir = written(&scratch, "a", 5).await;
    let old = scratch.path().join("old");
    copy(&dir, &old);
    let log = open(&scratch, "a").await.unwrap();
    append(&log, 5..9);
    log.close().await;
    let kept = log.checkpoint().unwrap();
    drop(log);
    // The whole folder, from before: in itself it is a good log.
    let expected = expected(&scratch, "a");
    assert_eq!(verify_as(&old, &expected).unwrap().entries, 5);
    let with_head = Expected { known: vec![kept.clone()], ..expected.clone() };
    let found = tampered(&old, &with_head);
    assert_eq!((found.seq, found.why), (5, Why::ShorterThanCheckpoint { size: 9 }));
    assert_eq!(verify_as(&dir, &with_head).unwrap().consistent_with, [9]);
    // Only the records, with the head.json of then: the signed head remembers.
    for name in ["head.json", "00000000000000000000.log"] {
        fs::copy(old.join(name), dir.join(name)).unwrap();
    }
    assert_eq!(tampered(&dir, &expected).why, Why::ShorterThanCheckpoint { size: 9 });
    assert!(matches!(
        open(&scratch, "a").await,
        Err(OpenError::Tampered(Tampered { seq: 5, why: Why::ShorterThanCheckpoint { size: 9 }, .. }))
    ));
    let other =
        Checkpoint { root: parse_hash("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=").unwrap(), size: 3, ..kept };
    assert_eq!(tampered(&old, &Expected { known: vec![other], ..expected }).why, Why::OtherTree { size: 3 });
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Who changes the files of a log that is written stops it: what was changed is never signed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_changed_under_way_is_not_signed() {
    let scratch = Scratch::new();
    let log = open(&scratch, "a").await.unwrap();
    append(&log, 0..3);
    let mut signed = log.watch_checkpoint();
    signed.wait_for(|signed| signed.as_ref().is_some_and(|signed| signed.size == 3)).await.unwrap();
    let path = scratch.path().join("a/00000000000000000000.log");
    append(&log, 3..4);
    // Before the second is over, most likely; if it was, the change is found by the next verification instead.
    let text = fs::read(&path).unwrap();
    let at = memchr::memmem::rfind(&text, b"object 3").unwrap();
    std::os::unix::fs::FileExt::write_all_at(&fs::OpenOptions::new().write(true).open(&path).unwrap(), b"O", at as u64)
        .unwrap();
    log.close().await;
    let found = tampered(&scratch.path().join("a"), &Expected::default());
    assert_eq!((found.seq, found.why), (3, Why::Record(RecordFault::Changed)));
}

/// Leaves that are not remembered are read back from the disk: the tree is the same.
#[tokio::test]
async fn leaves_that_were_forgotten_are_read_back() {
    let scratch = Scratch::new();
    let (kept, forgotten) = (written(&scratch, "a", 300).await, open(&scratch, "b").await.unwrap());
    for stretch in 0..30 {
        append(&forgotten, stretch * 10..stretch * 10 + 10);
        if stretch % 3 == 0 {
            forgotten.shared.forget_unsealed();
        }
    }
    forgotten.close().await;
    let root = |name: &str, dir: &Path| {
        let keys: Vec<_> = keys(&scratch, name).views().into_iter().map(|view| view.key).collect();
        read_checkpoint(dir, CHECKPOINT, &keys).unwrap().unwrap().0.root
    };
    assert_eq!(root("a", &kept), root("b", &scratch.path().join("b")));
    assert!(verify_as(&scratch.path().join("b"), &expected(&scratch, "b")).is_ok());
}
