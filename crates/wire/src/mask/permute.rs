//! FF1 of NIST SP 800-38G (crate `fpe`) over numbers below 2^120, held as two halves on the stack, so that a value is
//! permuted without an allocation. FF3-1 is not here, and must not come: it is broken.

use aes::Aes256;
use fpe::ff1::{FF1, NumeralString, Operations};

/// Numbers stay below this, so that one more byte fits when they are reduced.
const MOST: u128 = 1 << 120;

/// The smallest domain that the standard's revision admits.
pub(super) const LEAST_DOMAIN: u128 = 1_000_000;

/// Permutes the numeral strings of one radix.
pub(super) struct Permutation {
    ff1: FF1<Aes256>,
    radix: u32,
}

/// Numerals of some radix: a number, and how many numerals it is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numerals {
    value: u128,
    count: usize,
    radix: u32,
}

fn power(radix: u32, count: usize) -> Option<u128> {
    u128::from(radix).checked_pow(u32::try_from(count).ok()?).filter(|power| *power <= MOST)
}

impl Permutation {
    /// `None` if FF1 does not take the radix.
    pub(super) fn new(key: &[u8; 32], radix: u32) -> Option<Self> {
        Some(Self { ff1: FF1::new(key, radix).ok()?, radix })
    }

    /// Another number of as many numerals, and each of one only. `None` if the domain is smaller than
    /// [`LEAST_DOMAIN`] or larger than 2^120, or if the number is not in it.
    pub(super) fn permute(&self, tweak: &[u8], value: u128, count: usize) -> Option<u128> {
        let domain = power(self.radix, count)?;
        if domain < LEAST_DOMAIN || value >= domain {
            return None;
        }
        let permuted = self.ff1.encrypt(tweak, &Numerals { value, count, radix: self.radix }).ok()?;
        Some(permuted.value)
    }
}

/// A number's bytes, the most significant first, as many as asked for.
pub(super) struct Bytes {
    bytes: [u8; 32],
    begin: usize,
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(self.begin..).unwrap_or_default()
    }
}

impl Operations for Numerals {
    type Bytes = Bytes;

    fn numeral_count(&self) -> usize {
        self.count
    }

    fn to_be_bytes(&self, _radix: u32, length: usize) -> Bytes {
        let mut bytes = [0; 32];
        if let Some(tail) = bytes.last_chunk_mut::<16>() {
            *tail = self.value.to_be_bytes();
        }
        Bytes { bytes, begin: bytes.len().saturating_sub(length) }
    }

    fn add_mod_exp(self, other: impl Iterator<Item = u8>, radix: u32, count: usize) -> Self {
        let value = match power(radix, count) {
            Some(modulus) => (self.value + reduced(other, modulus)) % modulus,
            // Halves of an admitted number are smaller than it.
            None => 0,
        };
        Self { value, count, radix }
    }

    fn sub_mod_exp(self, other: impl Iterator<Item = u8>, radix: u32, count: usize) -> Self {
        let value = match power(radix, count) {
            Some(modulus) => (self.value % modulus + modulus - reduced(other, modulus)) % modulus,
            None => 0,
        };
        Self { value, count, radix }
    }
}

/// The number that the bytes write, modulo `modulus`, which is at most 2^120.
fn reduced(bytes: impl Iterator<Item = u8>, modulus: u128) -> u128 {
    match u64::try_from(modulus) {
        // Division of 64 bits is several times faster than of 128.
        Ok(modulus) if modulus <= 1 << 56 => {
            u128::from(bytes.fold(0, |number: u64, byte| ((number << 8) | u64::from(byte)) % modulus))
        }
        _ => bytes.fold(0, |number: u128, byte| ((number << 8) | u128::from(byte)) % modulus),
    }
}

impl NumeralString for Numerals {
    type Ops = Self;

    fn is_valid(&self, radix: u32) -> bool {
        self.radix == radix && power(radix, self.count).is_some_and(|domain| self.value < domain)
    }

    fn numeral_count(&self) -> usize {
        self.count
    }

    fn split(&self) -> (Self, Self) {
        let left = self.count / 2;
        let right = self.count - left;
        let modulus = power(self.radix, right).unwrap_or(MOST);
        let half = |value, count| Self { value, count, radix: self.radix };
        (half(self.value / modulus, left), half(self.value % modulus, right))
    }

    fn concat(left: Self, right: Self) -> Self {
        let modulus = power(left.radix, right.count).unwrap_or(MOST);
        let value = left.value.saturating_mul(modulus).saturating_add(right.value);
        Self { value, count: left.count + right.count, radix: left.radix }
    }
}

#[cfg(test)]
mod tests;
