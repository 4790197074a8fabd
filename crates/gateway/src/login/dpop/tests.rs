//! A proof counts once, for one place and method, lately, with our nonce.

use std::collections::BTreeSet;
use std::sync::Mutex;

use kernel::ports::{PortFuture, SpendError};

use super::*;
use crate::login::scripted::ScriptedClock;

#[derive(Default)]
struct Memory(Mutex<(BTreeSet<[u8; 32]>, bool)>);

impl SpentTokens for Memory {
    fn spend<'a>(&'a self, token: &'a OnceToken) -> PortFuture<'a, Result<Spent, SpendError>> {
        let mut memory = self.0.lock().unwrap();
        let outcome = match (memory.1, memory.0.insert(token.hash())) {
            (true, _) => Err(SpendError::Unavailable),
            (false, true) => Ok(Spent::Consumed),
            (false, false) => Ok(Spent::AlreadyUsed),
        };
        Box::pin(std::future::ready(outcome))
    }
}

const PLACE: &str = "https://parapet.example/token";

#[tokio::test]
async fn a_proof_counts_once_and_for_one_thing() {
    let (clock, memory) = (ScriptedClock::new(), Arc::new(Memory::default()));
    let proofs = DpopProofs::new(Arc::<Memory>::clone(&memory), clock.clone());
    let (pair, _) = KeyPair::generate().unwrap();
    let nonce = proofs.nonce();
    let good = NewProof { method: "POST", place: PLACE, nonce: Some(&nonce), token: None, id: "1", at: clock.now() };
    let at = |proof: String, token: Option<&'static str>| {
        let proofs = &proofs;
        async move { proofs.verify(Shown { proof: &proof, method: "POST", place: PLACE, token }).await.map(|_| ()) }
    };
    let signed = |new: &NewProof<'_>| prove(&pair, new).unwrap();
    let first = signed(&good);
    let key = proofs.verify(Shown { proof: &first, method: "POST", place: PLACE, token: None }).await.unwrap();
    assert_eq!(key.thumbprint(), pair.public().thumbprint());
    assert_eq!(at(first, None).await, Err(DpopRefusal::Replayed));
    // Signed anew with the same id is the same proof; by another key it is another.
    assert_eq!(at(signed(&good), None).await, Err(DpopRefusal::Replayed));
    let (other, _) = KeyPair::generate().unwrap();
    assert_eq!(at(prove(&other, &good).unwrap(), None).await, Ok(()));
    let second = Duration::from_secs(1);
    let before = |time: Duration| Timestamp::from_millis(clock.now().millis() - time.as_millis() as i64);
    for (what, new, token, expected) in [
        ("with a query", NewProof { place: "https://parapet.example/token?x=1", id: "2", ..good }, None, Ok(())),
        (
            "another place",
            NewProof { place: "https://evil.example/token", id: "3", ..good },
            None,
            Err(DpopRefusal::Place),
        ),
        (
            "a longer place",
            NewProof { place: "https://parapet.example/token/x", id: "3", ..good },
            None,
            Err(DpopRefusal::Place),
        ),
        ("another method", NewProof { method: "GET", id: "3", ..good }, None, Err(DpopRefusal::Place)),
        ("no nonce", NewProof { nonce: None, id: "3", ..good }, None, Err(DpopRefusal::Nonce)),
        ("another nonce", NewProof { nonce: Some("x"), id: "3", ..good }, None, Err(DpopRefusal::Nonce)),
        ("no id", NewProof { id: "", ..good }, None, Err(DpopRefusal::Claims)),
        ("old", NewProof { id: "3", at: before(LEEWAY + second), ..good }, None, Err(DpopRefusal::Time)),
        ("not old", NewProof { id: "4", at: before(LEEWAY), ..good }, None, Ok(())),
        ("early", NewProof { id: "5", at: clock.now().after(LEEWAY + second), ..good }, None, Err(DpopRefusal::Time)),
        ("for no token", NewProof { id: "6", ..good }, Some("token"), Err(DpopRefusal::Token)),
        (
            "for another token",
            NewProof { id: "6", token: Some("other"), ..good },
            Some("token"),
            Err(DpopRefusal::Token),
        ),
        ("for this token", NewProof { id: "6", token: Some("token"), ..good }, Some("token"), Ok(())),
    ] {
        assert_eq!(at(signed(&new), token).await, expected, "{what}");
    }
    assert_eq!(at("x.y.z".to_owned(), None).await, Err(DpopRefusal::Form));
    let proof = signed(&NewProof { id: "7", ..good });
    let flipped = format!("{}.{}", proof.rsplit_once('.').unwrap().0, URL_SAFE_NO_PAD.encode([1; 64]));
    assert_eq!(at(flipped, None).await, Err(DpopRefusal::Signature));
    memory.0.lock().unwrap().1 = true;
    assert_eq!(at(proof, None).await, Err(DpopRefusal::Unspendable));
}

#[tokio::test]
async fn nonces_age() {
    let clock = ScriptedClock::new();
    let proofs = DpopProofs::new(Arc::new(Memory::default()), clock.clone());
    let (pair, _) = KeyPair::generate().unwrap();
    let nonce = proofs.nonce();
    for (id, passed, expected) in [("1", 120, true), ("2", 120, false)] {
        clock.pass(Duration::from_secs(passed));
        let new = NewProof { method: "POST", place: PLACE, nonce: Some(&nonce), token: None, id, at: clock.now() };
        let proof = prove(&pair, &new).unwrap();
        let verified = proofs.verify(Shown { proof: &proof, method: "POST", place: PLACE, token: None }).await;
        assert_eq!(verified.is_ok(), expected, "{id}");
    }
    assert_ne!(proofs.nonce(), nonce);
}
