//! Checkpoints and proof files, there and back, and what is neither.

use super::*;
use crate::audit::leaf_hash;
use crate::audit::note::{KeyUse, SignerKey};
use crate::audit::tree::Frontier;
use crate::time::Timestamp;

fn signed(origin: &str, key: &SignerKey) -> (Checkpoint, Note, [TreeHash; 2]) {
    let leaves = [TreeHash(leaf_hash(b"a")), TreeHash(leaf_hash(b"b"))];
    let mut frontier = Frontier::default();
    leaves.iter().for_each(|leaf| frontier.push(*leaf));
    let checkpoint = Checkpoint { origin: origin.into(), size: 2, root: frontier.root() };
    let text = checkpoint.text();
    let note = Note::new(text.clone(), vec![key.sign(&text, Timestamp::from_millis(0))]);
    (checkpoint, note, leaves)
}

#[test]
fn a_checkpoint_is_opened_with_its_logs_key_alone() {
    let key = SignerKey::from_seed("parapet.example/audit", KeyUse::Sign, &[1; 32]).unwrap();
    let (checkpoint, note, _) = signed("parapet.example/audit", &key);
    let keys = [key.public().clone()];
    assert_eq!(Checkpoint::open(&note.to_string(), &keys).unwrap().0, checkpoint);
    assert_eq!(Checkpoint::open(&note.to_string(), &[]), Err(NoteError::UnknownKeys));
    // A known key of another name signs for nothing but its own log.
    let (_, other, _) = signed("parapet.example/other", &key);
    assert_eq!(Checkpoint::open(&other.to_string(), &keys), Err(NoteError::UnknownKeys));
}

#[test]
fn a_checkpoint_has_one_form() {
    let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    assert!(Checkpoint::parse(&format!("a\n0\n{root}\n")).is_some());
    assert!(Checkpoint::parse(&format!("a\n0\n{root}\nextension\n")).is_some());
    for wrong in [
        format!("a\n00\n{root}\n"),
        format!("a\n01\n{root}\n"),
        format!("a\n+1\n{root}\n"),
        format!("a\n\n{root}\n"),
        format!("\n1\n{root}\n"),
        format!("a\n1\n{root}"),
        format!("a\n1\n{root}\n\n"),
        "a\n1\nAAAA\n".to_owned(),
        "a\n1\n".to_owned(),
        format!("a\n18446744073709551616\n{root}\n"),
    ] {
        assert_eq!(Checkpoint::parse(&wrong), None, "{wrong:?}");
    }
}

#[test]
fn a_proof_file_proves_its_leaf_in_its_place() {
    let key = SignerKey::from_seed("parapet.example/audit", KeyUse::Sign, &[1; 32]).unwrap();
    let (checkpoint, note, [a, b]) = signed("parapet.example/audit", &key);
    let keys = [key.public().clone()];
    let file = ProofFile { extra: None, index: 0, path: vec![b], checkpoint: note };
    let read = ProofFile::parse(&file.text()).unwrap();
    assert_eq!(read, file);
    assert_eq!(read.verify(&a, &keys).unwrap(), checkpoint);
    assert_eq!(read.verify(&b, &keys), Err(ProofError::Path(NotProved)));
    assert_eq!(ProofFile { index: 1, ..read.clone() }.verify(&a, &keys), Err(ProofError::Path(NotProved)));
    assert_eq!(read.verify(&a, &[]), Err(ProofError::Checkpoint(NoteError::UnknownKeys)));
    let with_entry = ProofFile { extra: Some(b"a".to_vec()), ..file.clone() };
    assert_eq!(ProofFile::parse(&with_entry.text()).unwrap(), with_entry);
    assert!(with_entry.verify(&a, &keys).is_ok());
    for wrong in [file.text().replace("@v1", "@v2"), file.text().replace("index 0", "index 00"), String::new()] {
        assert_eq!(ProofFile::parse(&wrong), None);
    }
}
