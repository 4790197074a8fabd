//! Hashes of the log. A leaf is hashed as in RFC 6962, as the Merkle tree has it (`tree.rs`); the chain
//! binds each leaf to all before it, and costs the append one hash.

use std::fmt;

use aws_lc_rs::digest::{Context, Digest, SHA256, digest};

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
    // What is short is put together first: one call for all of it needs no context, which would be allocated.
    const SHORT: usize = 320;
    let mut together = [0; SHORT];
    let length = entry.len() + 1;
    match together.get_mut(1..length) {
        Some(place) => {
            place.copy_from_slice(entry);
            sha256(together.get(..length).unwrap_or_default())
        }
        None => {
            let mut context = Context::new(&SHA256);
            context.update(&[0]);
            context.update(entry);
            bytes(&context.finish())
        }
    }
}

/// The chain after a leaf: `SHA-256(0x02 ‖ previous ‖ leaf hash)`. 0x02 keeps it apart from RFC 6962's leaves and nodes.
pub fn next_chain_hash(previous: &ChainHash, leaf: &[u8; 32]) -> ChainHash {
    ChainHash(sha256_of_two(2, &previous.0, leaf))
}

/// `SHA-256(prefix ‖ left ‖ right)`.
pub(super) fn sha256_of_two(prefix: u8, left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut before = [0; 32];
    before[31] = prefix;
    sha256([before, *left, *right].as_flattened().get(31..).unwrap_or_default())
}

pub(super) fn sha256(all: &[u8]) -> [u8; 32] {
    bytes(&digest(&SHA256, all))
}

fn bytes(digest: &Digest) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}
