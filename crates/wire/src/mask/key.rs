//! The key of an upstream's masks, and what is made with it: digests, numbers, permutations, and the digits by which a
//! mask's own hash is known again.

use aws_lc_rs::hmac;

use super::permute::Permutation;
use super::recent::Recent;

/// Hexadecimal digits of a hash: sixteen of a keyed digest, and eight that prove it is ours.
pub(super) const DIGITS: usize = 24;
/// Bytes of the digest that a hash shows.
const SHOWN: usize = 8;

/// The keys of `hash` and `token`, one set for each upstream.
pub struct MaskKey {
    digest: hmac::Key,
    proof: hmac::Key,
    /// FF1 over digits, letters, hexadecimal digits, and bits.
    pub(super) decimal: Option<Permutation>,
    pub(super) letters: Option<Permutation>,
    pub(super) hexadecimal: Option<Permutation>,
    pub(super) binary: Option<Permutation>,
    /// What was made with it lately.
    pub(super) recent: Recent,
}

impl std::fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MaskKey(redacted)")
    }
}

impl MaskKey {
    /// Keys from secret bytes; 32 of them are right.
    pub fn new(secret: &[u8]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let mut cipher = [0; 32];
        if let Some(made) = hmac::sign(&root, b"parapet mask ff1").as_ref().first_chunk::<32>() {
            cipher = *made;
        }
        let proof = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, b"parapet mask proof").as_ref());
        let permutation = |radix| Permutation::new(&cipher, radix);
        let key = Self {
            decimal: permutation(10),
            letters: permutation(26),
            hexadecimal: permutation(16),
            binary: permutation(2),
            recent: Recent::default(),
            digest: root,
            proof,
        };
        zeroize_bytes(&mut cipher);
        key
    }

    /// A keyed digest of a value.
    pub(super) fn digest(&self, value: &[u8]) -> [u8; 32] {
        let tag = hmac::sign(&self.digest, value);
        tag.as_ref().first_chunk::<32>().copied().unwrap_or([0; 32])
    }

    /// A keyed number of a value.
    pub(super) fn number(&self, value: &[u8]) -> u64 {
        self.digest(value).first_chunk().copied().map_or(0, u64::from_be_bytes)
    }

    /// The twelve bytes of a value's hash.
    pub(super) fn hash(&self, value: &[u8]) -> [u8; DIGITS / 2] {
        let digest = self.digest(value);
        let shown: [u8; SHOWN] = digest.first_chunk().copied().unwrap_or_default();
        let mut hash = [0; DIGITS / 2];
        for (place, byte) in hash.iter_mut().zip(shown.into_iter().chain(self.proof(&shown))) {
            *place = byte;
        }
        hash
    }

    fn proof(&self, shown: &[u8; SHOWN]) -> [u8; 4] {
        let tag = hmac::sign(&self.proof, shown);
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }

    /// Whether the bytes are a hash that was made with this key. Another's passes once in 2^32.
    pub(super) fn is_hash(&self, bytes: &[u8; DIGITS / 2]) -> bool {
        match (bytes.first_chunk::<SHOWN>(), bytes.last_chunk::<4>()) {
            (Some(shown), Some(proof)) => self.proof(shown) == *proof,
            _ => false,
        }
    }

    /// Writes the digits of a value's hash.
    pub(super) fn write_hash(&self, value: &[u8], out: &mut Vec<u8>) {
        for byte in self.hash(value) {
            out.extend([hex(byte >> 4), hex(byte & 15)]);
        }
    }
}

/// The digit of a half byte.
pub(super) fn hex(half: u8) -> u8 {
    if half < 10 { b'0' + half } else { b'a' + (half & 15) - 10 }
}

/// The half byte of a digit.
pub(super) fn unhex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The key's copy on the stack does not stay.
fn zeroize_bytes(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}
