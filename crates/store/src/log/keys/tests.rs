//! Signing keys at rest: closed under the master key, and kept through rotations.

use super::*;
use crate::scratch::Scratch;

const NOW: Timestamp = Timestamp::from_millis(1_795_233_600_000);

fn master(byte: u8) -> MasterKey {
    MasterKey::from_text(&format!("{byte:02x}").repeat(32)).unwrap()
}

fn open(path: &Path, byte: u8, origin: Option<&str>) -> Result<SigningKeys, KeysError> {
    SigningKeys::open(path, master(byte), origin, NOW)
}

#[test]
fn keys_are_kept_under_the_master_key() {
    let scratch = Scratch::new();
    let path = scratch.path().join("signing.keys");
    let made = open(&path, 1, Some("parapet.example/audit")).unwrap();
    assert!(made.is_fresh());
    assert_eq!(made.current().unwrap().name(), "parapet.example/audit");
    let again = open(&path, 1, None).unwrap();
    assert!(!again.is_fresh());
    assert_eq!((again.current(), again.witness()), (made.current(), made.witness()));
    assert_eq!(again.sign("text\n".to_owned(), NOW), made.sign("text\n".to_owned(), NOW));
    assert!(matches!(open(&path, 2, None), Err(KeysError::Envelope(EnvelopeError::DoesNotOpen))));
    assert!(matches!(open(&path, 1, Some("other.example")), Err(KeysError::OtherOrigin { .. })));
    // The public half of one key does not go with the wrapped half of another.
    let text = fs::read_to_string(&path).unwrap();
    let mut file: File = serde_json::from_str(&text).unwrap();
    let wrapped = file.keys[1].wrapped.clone();
    file.keys[0].wrapped = wrapped;
    fs::write(&path, serde_json::to_string(&file).unwrap()).unwrap();
    assert!(matches!(open(&path, 1, None), Err(KeysError::Envelope(EnvelopeError::DoesNotOpen))));
    fs::write(&path, "{}").unwrap();
    assert!(matches!(open(&path, 1, None), Err(KeysError::Unreadable)));
}

#[test]
fn each_log_without_a_name_gets_its_own() {
    let scratch = Scratch::new();
    let origins = ["a", "b"].map(|name| open(&scratch.path().join(name), 1, None).unwrap().origin().to_owned());
    assert_ne!(origins[0], origins[1]);
    assert!(matches!(open(&scratch.path().join("c"), 1, Some("a b")), Err(KeysError::BadOrigin)));
}

#[test]
fn the_old_key_signs_along_for_a_while() {
    let scratch = Scratch::new();
    let path = scratch.path().join("signing.keys");
    let mut keys = open(&path, 1, None).unwrap();
    let old = keys.current().unwrap().clone();
    let refused: Result<VerifierKey, KeysError> =
        keys.rotate(NOW, Duration::from_secs(60), |_| Err(KeysError::BadOrigin));
    assert!(refused.is_err());
    assert_eq!(keys.current(), Some(&old));
    let new = keys.rotate(NOW, Duration::from_secs(60), |_| Ok::<(), KeysError>(())).unwrap();
    let keys = open(&path, 1, None).unwrap();
    assert_eq!(keys.current(), Some(&new));
    assert_eq!(keys.views().len(), 2);
    let signers = |seconds| {
        let note = keys.sign("text\n".to_owned(), NOW.after(Duration::from_secs(seconds)));
        [&old, &new].map(|key| note.verify(std::slice::from_ref(key)).is_ok())
    };
    assert_eq!(signers(59), [true, true]);
    assert_eq!(signers(60), [false, true]);
}

#[test]
fn a_master_key_is_32_bytes() {
    for wrong in ["", "00", &"0g".repeat(32), &"A".repeat(43), "secret"] {
        assert_eq!(MasterKey::from_text(wrong).unwrap_err(), EnvelopeError::NotAKey, "{wrong}");
    }
    let text = MasterKey::fresh_text().unwrap();
    let master = MasterKey::from_text(&text).unwrap();
    let wrapped = master.wrap("purpose", b"secret").unwrap();
    assert_eq!(**master.unwrap("purpose", &wrapped).unwrap(), *b"secret");
    assert_eq!(master.unwrap("other", &wrapped).unwrap_err(), EnvelopeError::DoesNotOpen);
    assert_eq!(master.unwrap("purpose", b"").unwrap_err(), EnvelopeError::DoesNotOpen);
}
