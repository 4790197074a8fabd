//! Content apart from its leaf, and back.

use super::*;
use crate::audit::{Batch, Entry, Event};
use crate::time::Timestamp;

const NONCE: [u8; 32] = [9; 32];

#[test]
fn what_is_taken_out_is_put_back() {
    let mut batch = Batch::default();
    let by = Person("dana@example.com".into());
    let at = Timestamp::from_millis(1_795_233_600_000);
    let admin = |by, reason| Entry { at, event: Event::Admin { by, action: "test", object: "o", reason } };
    batch.push(&admin(Some(&by), Some("because of \",\"content\":[1,\"x\"]}")));
    batch.push(&admin(None, Some("the gateway's own words stay")));
    batch.push(&admin(Some(&by), None));
    let parts: Vec<_> = batch.parts().collect();
    assert!(parts[1].content.is_none() && parts[2].content.is_none());
    let content = parts[0].content.unwrap();
    assert_eq!(content.of, &ContentOf::Person(by));
    assert!(content.words.starts_with(b"\"reason\":\"because"));
    let mut leaf = Vec::new();
    commit(content.before, 17, &commitment(&NONCE, content.words), &mut leaf);
    assert!(!leaf.windows(7).any(|window| window == b"because"));
    let read = Committed::read(&leaf).unwrap();
    assert_eq!((read.number, read.commitment), (17, commitment(&NONCE, content.words)));
    assert_eq!(restore(&read, content.words), parts[0].entry);
    assert!(serde_json::from_slice::<serde_json::Value>(&leaf).is_ok());
    // Neither an entry with its content in it, nor one without any.
    assert!(parts.iter().all(|part| Committed::read(part.entry).is_none()));
    // One that a short entry was expanded from keeps what follows.
    let expanded = [&leaf[..leaf.len() - 1], b",\"like\":\"dec_0123456789abcdef\"}"].concat();
    let restored = restore(&Committed::read(&expanded).unwrap(), b"\"statement\":\"x\"");
    assert!(restored.ends_with(b",\"statement\":\"x\",\"like\":\"dec_0123456789abcdef\"}"));
}

/// AU06: the same content under another nonce is another commitment: a list of likely statements finds nothing.
#[test]
fn commitments_are_blinded() {
    assert_ne!(commitment(&NONCE, b"x"), commitment(&[8; 32], b"x"));
    assert_ne!(commitment(&NONCE, b"x"), commitment(&NONCE, b"y"));
}
