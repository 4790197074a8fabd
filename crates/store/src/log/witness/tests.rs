//! A witness of another's log: the protocol's answers, and a log that is rolled back or forked.

use std::time::Duration;

use kernel::audit::{Batch, Entry, Event};

use super::*;
use crate::log::{LogOptions, MasterKey, SigningKeys};
use crate::memory::StoppedClock;
use crate::scratch::Scratch;

const START: Timestamp = Timestamp::from_millis(1_795_233_600_000);

async fn log(scratch: &Scratch, name: &str, keys: &str) -> Arc<DiskLog> {
    let master = MasterKey::from_text(&"ab".repeat(32)).unwrap();
    let origin = format!("{keys}.example/audit");
    let path = scratch.path().join(format!("{keys}.keys"));
    let keys = SigningKeys::open(&path, master, Some(&origin), START).unwrap();
    let options = LogOptions { sync_every: Duration::from_millis(1), ..LogOptions::default() };
    let clock = Arc::new(StoppedClock::at(START));
    Arc::new(DiskLog::open_signed(scratch.path().join(name), options, clock, keys).await.unwrap().0)
}

async fn append(log: &DiskLog, object: &str, size: u64) {
    let mut batch = Batch::default();
    batch.push(&Entry { at: START, event: Event::Admin { by: None, action: "test", object, reason: None } });
    while log.head().size < size {
        log.append_now(&batch).unwrap();
    }
    let mut signed = log.watch_checkpoint();
    signed.wait_for(|signed| signed.as_ref().is_some_and(|signed| signed.size == size)).await.unwrap();
}

fn key(log: &DiskLog) -> VerifierKey {
    log.keys().pop().unwrap().key
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_answers_as_the_protocol_says() {
    let scratch = Scratch::new();
    let (ours, theirs) = (log(&scratch, "ours", "ours").await, log(&scratch, "theirs", "theirs").await);
    append(&ours, "x", 5).await;
    let open = || Witness::open(&scratch.path().join("witness"), Arc::clone(&theirs), vec![key(&ours)]).unwrap();
    let witness = open();
    let cosigner = theirs.witness_key().unwrap();
    let (body, head) = submission(ours.dir(), 0).unwrap();
    let answer = witness.add_checkpoint(&body, START).unwrap();
    let taken = ours.take_cosignatures(&body, &answer, &cosigner).unwrap().unwrap();
    assert_eq!((taken.size, taken.at), (5, START));
    let cosigned = std::fs::read_to_string(ours.dir().join(COSIGNED)).unwrap();
    let note = Note::parse(&cosigned).unwrap();
    assert_eq!(note.verify(&[key(&ours), cosigner.clone()]).unwrap().len(), 2);
    assert_eq!(Prover::open(ours.dir(), 5).unwrap().note().signatures().len(), 2);
    // Not by the key that was expected, or garbage: nothing is taken.
    let other = ours.witness_key().unwrap();
    assert_eq!(ours.take_cosignatures(&body, &answer, &other).unwrap(), None);
    assert_eq!(ours.take_cosignatures(&body, "x", &cosigner).unwrap(), None);
    // It remembers through a restart.
    let witness = open();
    assert_eq!(witness.add_checkpoint(&body, START), Err(Refusal::Conflict { size: 5 }));
    append(&ours, "x", 9).await;
    assert_eq!(
        witness.add_checkpoint(&submission(ours.dir(), 0).unwrap().0, START),
        Err(Refusal::Conflict { size: 5 })
    );
    assert_eq!(
        witness.add_checkpoint(&submission(ours.dir(), 3).unwrap().0, START),
        Err(Refusal::Conflict { size: 5 })
    );
    let (body, _) = submission(ours.dir(), 5).unwrap();
    let wrong = body.replacen("old 5\n", "old 5\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", 1);
    assert_eq!(witness.add_checkpoint(&wrong, START), Err(Refusal::NotConsistent));
    assert_eq!(witness.add_checkpoint(&body.replace("old 5", "old 10"), START), Err(Refusal::Malformed));
    assert_eq!(witness.add_checkpoint(&body.replace("old 5", "old 05"), START), Err(Refusal::Malformed));
    assert_eq!(witness.add_checkpoint("", START), Err(Refusal::Malformed));
    assert!(witness.add_checkpoint(&body, START).is_ok());
    // Twice the same head is answered twice.
    assert!(witness.add_checkpoint(&submission(ours.dir(), 9).unwrap().0, START).is_ok());
    assert_eq!(head.size, 5);
    // Another log's, and a head that its key did not sign.
    append(&theirs, "y", 1).await;
    let (foreign, _) = submission(theirs.dir(), 0).unwrap();
    assert_eq!(witness.add_checkpoint(&foreign, START), Err(Refusal::UnknownLog));
    let forged = body.replacen("\n9\n", "\n8\n", 1);
    assert_eq!(witness.add_checkpoint(&forged, START), Err(Refusal::BadSignature));
    assert_eq!(Refusal::BadSignature.status(), 403);
}

/// The key's holder writes another history, or an older one: nothing in the folder tells, and the witness does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolled_back_or_forked_log_is_found_by_its_witness() {
    let scratch = Scratch::new();
    let (ours, theirs) = (log(&scratch, "ours", "ours").await, log(&scratch, "theirs", "theirs").await);
    append(&ours, "x", 7).await;
    let witness = Witness::open(&scratch.path().join("witness"), theirs, vec![key(&ours)]).unwrap();
    witness.add_checkpoint(&submission(ours.dir(), 0).unwrap().0, START).unwrap();
    // The same keys, another folder.
    let forked = log(&scratch, "forked", "ours").await;
    append(&forked, "y", 5).await;
    let (body, _) = submission(forked.dir(), 0).unwrap();
    assert_eq!(witness.add_checkpoint(&body, START), Err(Refusal::Conflict { size: 7 }));
    assert!(matches!(submission(forked.dir(), 7), Err(ProveError::Beyond { size: 5, asked: 7 })));
    append(&forked, "y", 7).await;
    assert_eq!(
        witness.add_checkpoint(&submission(forked.dir(), 7).unwrap().0, START),
        Err(Refusal::Conflict { size: 7 })
    );
    append(&forked, "y", 11).await;
    assert_eq!(witness.add_checkpoint(&submission(forked.dir(), 7).unwrap().0, START), Err(Refusal::NotConsistent));
}
