//! The credential of a person: `ppt_`, 52 characters of base 32 for 256 random bits, 6 for a checksum.
//!
//! The prefix lets secret scanners know it; the checksum tells a mistyped token from a wrong one before anything is asked.
//! The gateway keeps only the SHA-256. With 256 random bits there is nothing to guess, so a slow hash would gain nothing.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use kernel::secret::Secret;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

const PREFIX: &str = "ppt_";
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const RANDOM_LETTERS: usize = 52;
const CHECK_LETTERS: usize = 6;

/// Text that is no token: wrong prefix, length, letter or checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a token of the form `ppt_` and 58 characters, or mistyped")]
pub struct InvalidToken;

/// The system gives no random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bits")]
pub struct NoRandomness;

/// A token in clear. Shown once, to the person whose it is.
#[derive(Debug)]
pub struct Token(Secret<String>);

impl Token {
    /// A new one, from the system's randomness.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut bits = Zeroizing::new([0u8; 32]);
        aws_lc_rs::rand::fill(bits.as_mut_slice()).map_err(|_| NoRandomness)?;
        Ok(Self::from_bits(&bits))
    }

    /// Reads a token, and checks that it was not mistyped. Says nothing about whose it is.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let letters = text.strip_prefix(PREFIX).ok_or(InvalidToken)?;
        let (random, check) = letters.split_at_checked(RANDOM_LETTERS).ok_or(InvalidToken)?;
        let known = letters.bytes().all(|letter| ALPHABET.contains(&letter));
        if known && check == checksum(random) { Ok(Self(Secret::new(text.to_owned()))) } else { Err(InvalidToken) }
    }

    /// The token itself, to show to its person.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// What the gateway keeps of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(self.expose())
    }

    fn from_bits(bits: &[u8; 32]) -> Self {
        let random = base32(bits, RANDOM_LETTERS);
        let check = checksum(&random);
        Self(Secret::new(format!("{PREFIX}{random}{check}")))
    }
}

/// The SHA-256 of a token, shown as `sha256:` and 64 hexadecimal digits. Compared in constant time.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Of the token's text.
    pub fn of(text: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Self(hash)
    }

    /// From its bytes.
    pub const fn from_bytes(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// Its bytes.
    pub const fn bytes(&self) -> [u8; 32] {
        self.0
    }

    /// Is it the same? Takes as long whatever the answer.
    pub(crate) fn is(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", kernel::approval::hex(&self.0))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

impl FromStr for TokenHash {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let digits = text.strip_prefix("sha256:").ok_or(InvalidToken)?;
        kernel::audit::parse_chain(digits.as_bytes()).map(|hash| Self(hash.0)).ok_or(InvalidToken)
    }
}

/// The first 30 bits of a hash of the random letters.
fn checksum(random: &str) -> String {
    let hash = digest(&SHA256, format!("parapet token\n{random}").as_bytes());
    base32(hash.as_ref(), CHECK_LETTERS)
}

/// The first `letters` of the base 32 (RFC 4648, lower case, no padding) of `bytes`, with zero bits after the last.
fn base32(bytes: &[u8], letters: usize) -> String {
    (0..letters)
        .map(|letter| {
            let value = (0..5).fold(0usize, |value, bit| {
                let place = letter * 5 + bit;
                let byte = bytes.get(place / 8).copied().unwrap_or(0);
                (value << 1) | usize::from((byte >> (7 - place % 8)) & 1)
            });
            ALPHABET.get(value).map_or('a', |letter| char::from(*letter))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_one_form() {
        let token = Token::from_bits(&[0xff; 32]);
        let text = token.expose();
        assert_eq!(text.len(), 4 + 52 + 6);
        assert!(text.starts_with(&format!("ppt_{}q", "7".repeat(51))), "{text}");
        assert_eq!(Token::parse(text).unwrap().expose(), text);
        assert_eq!(token.hash().to_string().parse::<TokenHash>().unwrap().0, token.hash().0);
    }

    #[test]
    fn every_mistyped_letter_shows() {
        let token = Token::generate().unwrap();
        let text = token.expose();
        for at in 0..text.len() {
            for other in ["a", "7", "_", "A", "é"] {
                let mut bad = text.to_owned();
                bad.replace_range(at..=at, other);
                // Thirty bits of checksum let one in a billion pass.
                assert!(bad == text || Token::parse(&bad).is_err(), "{at} {other}");
            }
        }
        for bad in ["", "ppt_", text.trim_start_matches("ppt_"), &format!("{text}a"), &text.to_uppercase()] {
            assert!(Token::parse(bad).is_err());
        }
    }

    #[test]
    fn no_two_are_equal_and_none_is_shown() {
        let (one, two) = (Token::generate().unwrap(), Token::generate().unwrap());
        assert_ne!(one.expose(), two.expose());
        assert!(!bool::from(one.hash().is(&two.hash())) && bool::from(one.hash().is(&one.hash())));
        assert_eq!(format!("{one:?} {:?}", one.hash()), "Token(Secret) TokenHash");
    }
}
