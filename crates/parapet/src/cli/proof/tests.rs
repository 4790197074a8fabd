//! Entries proved by the files of a log, and claims that are not true of them.

use std::sync::Arc;

use kernel::audit::{Batch, Entry, Event};
use kernel::time::Timestamp;
use store::log::{DiskLog, LogOptions, MasterKey, SigningKeys};
use store::memory::StoppedClock;

use super::*;

const START: Timestamp = Timestamp::from_millis(1_795_233_600_000);

/// A closed log of ten entries, its public keys, and the chain after each.
async fn log(folder: &Path) -> (Vec<VerifierKey>, Vec<String>) {
    let keys = |name: &str| {
        let master = MasterKey::from_text(&"ab".repeat(32)).unwrap();
        SigningKeys::open(&folder.with_extension(name), master, Some("test.example/audit"), START).unwrap()
    };
    let public = keys("keys").views().into_iter().map(|view| view.key).collect();
    let clock = Arc::new(StoppedClock::at(START));
    let (log, _) = DiskLog::open_signed(folder, LogOptions::default(), clock, keys("keys")).await.unwrap();
    let mut chains = Vec::new();
    for number in 0..10 {
        let (mut batch, object) = (Batch::default(), format!("object {number}"));
        batch.push(&Entry {
            at: START,
            event: Event::Admin { by: None, action: "test", object: &object, reason: None },
        });
        log.append_now(&batch).unwrap();
        chains.push(log.head().chain.to_string());
    }
    log.close().await;
    (public, chains)
}

#[tokio::test]
async fn claims_hold_or_do_not() {
    let scratch = std::env::temp_dir().join(format!("parapet-proof-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).unwrap();
    let folder = scratch.join("log");
    let (keys, chains) = log(&folder).await;
    let claim = |seq: u64, chain: &'static str| (seq, chain, None);
    let chain = |index: usize| -> &'static str { chains[index].clone().leak() };
    let stranger = SigningKeys::open(
        &scratch.join("stranger.keys"),
        MasterKey::from_text(&"cd".repeat(32)).unwrap(),
        Some("test.example/audit"),
        START,
    )
    .unwrap();
    let stranger: Vec<VerifierKey> = stranger.views().into_iter().map(|view| view.key).collect();
    for ((seq, chain, decision), keys, expect) in [
        (claim(3, chain(3)), &keys[..], "verified"),
        (claim(9, chain(9)), &keys[..], "verified"),
        // The folder's own keys, where there are none of ours.
        (claim(0, chain(0)), &[][..], "verified"),
        (claim(4, chain(3)), &keys[..], "no such entry"),
        ((3, chain(3), Some("dec_01JX8ZQ301JX8ZQ30")), &keys[..], "no such entry"),
        (claim(3, chain(3)), &stranger[..], "no known key"),
        (claim(10, chain(9)), &keys[..], "the signed head has 10 entries"),
    ] {
        // Without waiting for a head that never comes.
        let proof = attempt(&folder, Claim { seq, chain, decision }, keys);
        let text = proof.map_or_else(|error| error.to_string(), |proof| proof.json().to_string());
        assert!(
            if expect == "verified" { text.contains("\"verified\":true") } else { text.contains(expect) },
            "{seq}: {text}"
        );
    }
    // An entry that was changed, with its chain as it was: the tree's root does not lead to it.
    let segment =
        std::fs::read_dir(&folder).unwrap().flatten().find(|file| file.path().extension().is_some_and(|e| e == "log"));
    let segment = segment.unwrap().path();
    let text = std::fs::read_to_string(&segment).unwrap().replace("object 3", "object 8");
    std::fs::write(&segment, text).unwrap();
    let proof = prove(&folder, Claim { seq: 3, chain: chain(3), decision: None }, &keys).await;
    assert!(matches!(proof, Proof::Failed(_)), "{proof:?}");
    std::fs::remove_dir_all(&scratch).unwrap();
}
