//! Notes: Go's own example, which another implementation signed, and what must not be accepted.

use super::*;

/// The example in the documentation of `golang.org/x/mod/sumdb/note`.
const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const NOTE: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn signer(name: &str, key_use: KeyUse, seed: u8) -> SignerKey {
    SignerKey::from_seed(name, key_use, &[seed; 32]).unwrap()
}

#[test]
fn the_example_of_another_implementation_holds() {
    let key: VerifierKey = KEY.parse().unwrap();
    assert_eq!(key.to_string(), KEY);
    let note = Note::parse(NOTE).unwrap();
    assert_eq!(note.to_string(), NOTE);
    let keys = [key];
    assert_eq!(note.verify(&keys).unwrap().len(), 1);
    let changed = Note::parse(&NOTE.replace("cryptography", "Cryptography")).unwrap();
    assert_eq!(changed.verify(&keys), Err(NoteError::BadSignature));
}

#[test]
fn keys_have_one_form() {
    for wrong in [
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+AQ==",
        "a b+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ] {
        assert_eq!(wrong.parse::<VerifierKey>(), Err(InvalidKey), "{wrong}");
    }
}

#[test]
fn unknown_keys_are_passed_over_and_known_ones_must_hold() {
    let text = "example.com/log\n5\nAAAA\n".to_owned();
    let now = Timestamp::from_millis(1_679_315_147_000);
    let (log, witness, other) = (
        signer("example.com/log", KeyUse::Sign, 1),
        signer("witness.example/w1", KeyUse::Cosign, 2),
        signer("other.example", KeyUse::Sign, 3),
    );
    let mut note = Note::new(text.clone(), vec![log.sign(&text, now)]);
    note.add([witness.sign(&text, now), other.sign(&text, now)]);
    let note = Note::parse(&note.to_string()).unwrap();
    let keys = [log.public().clone(), witness.public().clone()];
    let signed = note.verify(&keys).unwrap();
    assert_eq!(signed.iter().map(|signed| signed.at).collect::<Vec<_>>(), [None, Some(now)]);
    assert_eq!(
        note.verify(&[signer("example.com/log", KeyUse::Sign, 9).public().clone()]),
        Err(NoteError::UnknownKeys)
    );
    // A cosignature does not stand for the text alone, nor at another time.
    let mut bytes = witness.sign(&text, now).bytes;
    bytes[7] ^= 1;
    let forged = Signature { bytes, ..witness.sign(&text, now) };
    assert_eq!(Note::new(text, vec![log.sign("", now), forged]).verify(&keys[1..]), Err(NoteError::BadSignature));
}

#[test]
fn what_is_no_note_is_refused() {
    let many = format!("text\n\n{}", "— a AAAAAAA=\n".repeat(MOST_SIGNATURES + 1));
    let sixteen = format!("text\n\n{}", "— a AAAAAAA=\n".repeat(16));
    assert_eq!(Note::parse(&sixteen).unwrap().signatures().len(), 16);
    for wrong in [
        "",
        "text\n",
        "text\n\n",
        "text\n\n\n",
        "text\n\n— a\n",
        "text\n\n— a AAAA\n",
        "text\n\n- a AAAAAAA=\n",
        "text\n\n— a AAAAAAA=",
        "te\u{7}xt\n\n— a AAAAAAA=\n",
        "text\r\n\n— a AAAAAAA=\n",
        "text\n\n—  AAAAAAA=\n",
        &many,
    ] {
        assert_eq!(Note::parse(wrong), Err(NoteError::Malformed), "{wrong:?}");
    }
}
