//! The digest that tells whether two requests are equal to policy, whatever their protocol.

use std::hash::Hasher;

use aws_lc_rs::digest::{Context, SHA256};

/// Feeds a SHA-256 from `Hash`, which writes lengths and discriminants, so that no two values share their bytes.
pub(crate) struct Digest(Context);

impl Digest {
    pub(crate) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// The first sixteen bytes.
    pub(crate) fn shape(self) -> u128 {
        let full = self.0.finish();
        full.as_ref().iter().take(16).fold(0, |shape, byte| (shape << 8) | u128::from(*byte))
    }
}

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
