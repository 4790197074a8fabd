//! The samples of NIST SP 800-38G for FF1 ("FF1samples.pdf", samples 1 to 9), over the same numerals as the masks use.

use aes::{Aes128, Aes192, Aes256};
use fpe::ff1::FF1;
use proptest::prelude::*;

use super::{Numerals, Permutation};

const KEY: [u8; 32] = [
    0x2B, 0x7E, 0x15, 0x16, 0x28, 0xAE, 0xD2, 0xA6, 0xAB, 0xF7, 0x15, 0x88, 0x09, 0xCF, 0x4F, 0x3C, 0xEF, 0x43, 0x59,
    0xD8, 0xD5, 0x80, 0xAA, 0x4F, 0x7F, 0x03, 0x6D, 0x6F, 0x04, 0xFC, 0x6A, 0x94,
];

/// The numerals, with 0 to 9 and a to z for 0 to 35.
fn numerals(text: &str, radix: u32) -> Numerals {
    let value =
        text.chars().fold(0_u128, |value, digit| value * u128::from(radix) + u128::from(digit.to_digit(36).unwrap()));
    Numerals { value, count: text.len(), radix }
}

#[test]
fn the_samples_of_the_standard() {
    let tweak = b"9876543210";
    let letters = b"7777pqrs777";
    let alphabet = "0123456789abcdefghi";
    for (sample, key_bytes, radix, tweak, plain, expect) in [
        (1, 16, 10, &b""[..], "0123456789", "2433477484"),
        (2, 16, 10, tweak, "0123456789", "6124200773"),
        (3, 16, 36, letters, alphabet, "a9tv40mll9kdu509eum"),
        (4, 24, 10, b"", "0123456789", "2830668132"),
        (5, 24, 10, tweak, "0123456789", "2496655549"),
        (6, 24, 36, letters, alphabet, "xbj3kv35jrawxv32ysr"),
        (7, 32, 10, b"", "0123456789", "6657667009"),
        (8, 32, 10, tweak, "0123456789", "1001623463"),
        (9, 32, 36, letters, alphabet, "xs8a0azh2avyalyzuwd"),
    ] {
        let plain = numerals(plain, radix);
        let key = &KEY[..key_bytes];
        let permuted = match key_bytes {
            16 => FF1::<Aes128>::new(key, radix).unwrap().encrypt(tweak, &plain),
            24 => FF1::<Aes192>::new(key, radix).unwrap().encrypt(tweak, &plain),
            _ => FF1::<Aes256>::new(key, radix).unwrap().encrypt(tweak, &plain),
        };
        assert_eq!(permuted.unwrap(), numerals(expect, radix), "sample {sample}");
    }
}

#[test]
fn small_and_large_domains_are_not_permuted() {
    for (radix, count, fits) in
        [(10, 5, false), (10, 6, true), (10, 36, true), (10, 37, false), (2, 19, false), (2, 120, true)]
    {
        let permutation = Permutation::new(&KEY, radix).unwrap();
        assert_eq!(permutation.permute(b"", 1, count).is_some(), fits, "{radix} {count}");
    }
    assert_eq!(Permutation::new(&KEY, 10).unwrap().permute(b"", 1_000_000, 6), None, "seven digits are not six");
}

proptest! {
    /// Nothing is lost: the way back, through the library, leads to the number.
    #[test]
    fn it_is_a_permutation(value in any::<u128>(), radix in prop::sample::select(vec![2_u32, 10, 16, 26]), part in 1_usize..100) {
        let most = 120 / f64::from(radix).log2().ceil() as usize;
        let count = (most * part / 100).max(20.min(most));
        let value = value % u128::from(radix).pow(u32::try_from(count).unwrap());
        let permutation = Permutation::new(&KEY, radix).unwrap();
        let permuted = permutation.permute(b"t", value, count).unwrap();
        let back = permutation.ff1.decrypt(b"t", &Numerals { value: permuted, count, radix }).unwrap();
        prop_assert_eq!(back.value, value);
    }
}
