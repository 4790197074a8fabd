//! What the decision point gives out and must know again: keyed digests, so that nothing need be remembered.

use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use kernel::secret::Secret;

/// A digest over parts, each with its length before it, under a word that says what it is for. Lower-case hexadecimal.
pub(super) fn seal(key: &Secret<Vec<u8>>, purpose: &str, parts: &[&[u8]]) -> String {
    let mut context = hmac::Context::with_key(&Key::new(HMAC_SHA256, key.expose()));
    for part in [purpose.as_bytes()].iter().chain(parts) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    kernel::approval::hex(context.sign().as_ref())
}

/// Is it the seal of these parts?
pub(super) fn is_seal(shown: &str, key: &Secret<Vec<u8>>, purpose: &str, parts: &[&[u8]]) -> bool {
    use subtle::ConstantTimeEq as _;
    bool::from(shown.as_bytes().ct_eq(seal(key, purpose, parts).as_bytes()))
}
