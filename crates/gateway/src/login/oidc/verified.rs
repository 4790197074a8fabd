//! Signatures that were found right: a token that is shown again, on another connection, is not verified again by the key that has done
//! so. That is all that is remembered. Its times, its audience, who shows it, the trust rules, revocations and threat lists
//! are looked at each time; and a key that its issuer has replaced is another key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};

use super::super::jwks::VerifyingKey;

/// How many are remembered, twice at most: those of the last turn, and those of the one before.
const MOST: usize = 2048;

/// The digest over a token, signature included.
type Digest = [u8; 32];
type Known = HashMap<Digest, Arc<VerifyingKey>>;

#[derive(Default)]
pub(super) struct Verified {
    turns: Mutex<[Known; 2]>,
}

impl Verified {
    /// What a token is known by.
    pub(super) fn digest(message: &str, signature: &str) -> Digest {
        let mut context = Context::new(&SHA256);
        for part in [message, ".", signature] {
            context.update(part.as_bytes());
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }

    /// Has this very key verified it?
    pub(super) fn knows(&self, digest: &Digest, key: &Arc<VerifyingKey>) -> bool {
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.iter().any(|known| known.get(digest).is_some_and(|known| Arc::ptr_eq(known, key)))
    }

    /// Remembers that this key has verified it.
    pub(super) fn remember(&self, digest: Digest, key: &Arc<VerifyingKey>) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let [now, before] = &mut *turns;
        if now.len() >= MOST {
            *before = std::mem::take(now);
        }
        now.insert(digest, Arc::clone(key));
    }

    /// How many signatures were verified of late.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.turns.lock().unwrap().iter().map(HashMap::len).sum()
    }
}
