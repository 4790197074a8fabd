//! The masks that were made lately and look like values themselves: tokens, keyed numbers and UUIDs. They do not prove
//! themselves as hashes of texts do, so they are remembered, by a digest alone, until newer ones take their places.

use std::hash::BuildHasher;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many are remembered, at most.
const SLOTS: usize = 1 << 16;
/// Shorter ones are not: a value that somebody else made could be equal to one of them by chance.
const LEAST_TEXT: usize = 10;
const LEAST_BINARY: usize = 8;

/// A bounded memory of masks. It forgets without notice, and remembers nothing that it was not told, but for one chance in
/// 2^48.
#[derive(Debug, Default)]
pub(super) struct Recent {
    slots: OnceLock<Box<[AtomicU64]>>,
    hasher: foldhash::quality::RandomState,
}

impl Recent {
    fn digest(&self, mask: &[u8]) -> (u64, usize) {
        // A sign stands apart in a statement.
        let mask = mask.strip_prefix(b"-").unwrap_or(mask);
        let digest = self.hasher.hash_one(mask);
        (digest | 1, usize::try_from(digest >> 48).unwrap_or(0))
    }

    /// Remembers what a mask wrote.
    pub(super) fn note(&self, mask: &[u8], binary: bool) {
        if mask.len() < if binary { LEAST_BINARY } else { LEAST_TEXT } {
            return;
        }
        let slots = self.slots.get_or_init(|| std::iter::repeat_with(AtomicU64::default).take(SLOTS).collect());
        let (digest, place) = self.digest(mask);
        if let Some(slot) = slots.get(place) {
            slot.store(digest, Ordering::Relaxed);
        }
    }

    /// Whether a mask wrote this, lately.
    pub(super) fn holds(&self, value: &[u8]) -> bool {
        if value.len() < LEAST_BINARY {
            return false;
        }
        let Some(slots) = self.slots.get() else { return false };
        let (digest, place) = self.digest(value);
        slots.get(place).is_some_and(|slot| slot.load(Ordering::Relaxed) == digest)
    }

    /// Whether nothing was remembered yet.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.get().is_none()
    }
}
