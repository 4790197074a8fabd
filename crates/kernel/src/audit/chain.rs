//! Hashes of the log. A leaf is hashed as in RFC 6962, as the Merkle tree has it (`tree.rs`); the chain
//! binds each leaf to all before it, and costs the append one hash.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256, digest};

/// A SHA-256 that stands for a whole log up to and including one leaf. That of an empty log is all zeros.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ChainHash(pub [u8; 32]);

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::approval::hex(&self.0))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `SHA-256(0x00 ‖ entry)`, RFC 6962 section 2.1.
pub fn leaf_hash(entry: &[u8]) -> [u8; 32] {
    sha256(&[&[0], entry])
}

/// The chain after a leaf: `SHA-256(0x02 ‖ previous ‖ leaf hash)`. 0x02 keeps it apart from RFC 6962's leaves and nodes.
pub fn next_chain_hash(previous: &ChainHash, leaf: &[u8; 32]) -> ChainHash {
    ChainHash(sha256(&[&[2], &previous.0, leaf]))
}

pub(super) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    // What is short is put together first: one call for all of it needs no context, which would be allocated.
    const SHORT: usize = 320;
    let mut together = [0; SHORT];
    let mut length = 0;
    let fits = parts.iter().all(|part| {
        let place = together.get_mut(length..length + part.len());
        length += part.len();
        place.map(|place| place.copy_from_slice(part)).is_some()
    });
    let finished = match together.get(..length) {
        Some(all) if fits => digest(&SHA256, all),
        _ => {
            let mut context = Context::new(&SHA256);
            parts.iter().for_each(|part| context.update(part));
            context.finish()
        }
    };
    let mut hash = [0; 32];
    hash.copy_from_slice(finished.as_ref());
    hash
}
