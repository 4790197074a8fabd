//! The envelope: secrets at rest are encrypted under the master key, which stands elsewhere (a file, the environment, or what a
//! program prints). AES-256-GCM; what the secret is for is authenticated with it, so that two cannot be swapped.
//!
//! While the master key changes there are several: the newest closes, and all of them open. `rekey.rs` has the change.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The key over all keys; while it changes, with those of before. Never shown.
pub struct MasterKey {
    newest: RandomizedNonceKey,
    before: Vec<RandomizedNonceKey>,
}

/// So many keys may count at a time. There are more than two only where a change begins before the last one is complete.
const MOST_KEYS: usize = 8;

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterKey").finish_non_exhaustive()
    }
}

/// An envelope cannot be made or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The master key is not 32 bytes in base64 or hexadecimal; nor several of them, which are at most 8.
    #[error("the master key is not 32 bytes in base64 or hexadecimal")]
    NotAKey,
    /// The system gave no randomness.
    #[error("the system gave no random bytes")]
    NoRandomness,
    /// It was closed under another master key, for another purpose, or changed.
    #[error("a key that is kept does not open: the master key is another, or the file was changed")]
    DoesNotOpen,
}

/// 32 fresh random bytes.
pub(crate) fn random_key() -> Result<Zeroizing<[u8; 32]>, EnvelopeError> {
    let mut key = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut *key).map_err(|_| EnvelopeError::NoRandomness)?;
    Ok(key)
}

impl MasterKey {
    /// From its text: 32 bytes in base64, or in hexadecimal. Behind it, after white space, those of before may follow.
    ///
    /// # Errors
    /// [`EnvelopeError::NotAKey`].
    pub fn from_text(text: &str) -> Result<Self, EnvelopeError> {
        let mut keys = text.split_ascii_whitespace().map(one_key);
        let newest = keys.next().ok_or(EnvelopeError::NotAKey)??;
        let before = keys.collect::<Result<Vec<_>, _>>()?;
        if before.len() >= MOST_KEYS { Err(EnvelopeError::NotAKey) } else { Ok(Self { newest, before }) }
    }

    /// Do keys of before count, too?
    #[must_use]
    pub fn is_changing(&self) -> bool {
        !self.before.is_empty()
    }

    /// The text of a fresh one, with those of `text` behind it.
    ///
    /// # Errors
    /// [`EnvelopeError::NoRandomness`].
    pub fn renewed_text(text: &str) -> Result<Zeroizing<String>, EnvelopeError> {
        Ok(Zeroizing::new(format!("{}\n{}", *Self::fresh_text()?, text)))
    }

    /// The text of the newest alone.
    #[must_use]
    pub fn newest_text(text: &str) -> &str {
        text.split_ascii_whitespace().next().unwrap_or_default()
    }

    /// The text of a fresh one.
    pub fn fresh_text() -> Result<Zeroizing<String>, EnvelopeError> {
        Ok(Zeroizing::new(STANDARD.encode(*random_key()?)))
    }

    /// Closes a secret: nonce and ciphertext.
    pub(crate) fn wrap(&self, purpose: &str, secret: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
        seal(&self.newest, purpose.as_bytes(), secret)
    }

    /// Closes a secret as text, for a file of somebody else's.
    ///
    /// # Errors
    /// [`EnvelopeError::NoRandomness`].
    pub fn wrap_text(&self, purpose: &str, secret: &[u8]) -> Result<String, EnvelopeError> {
        Ok(STANDARD.encode(self.wrap(purpose, secret)?))
    }

    /// Opens what [`wrap_text`](Self::wrap_text) closed for the same purpose.
    ///
    /// # Errors
    /// [`EnvelopeError::DoesNotOpen`].
    pub fn unwrap_text(&self, purpose: &str, wrapped: &str) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        self.unwrap(purpose, &STANDARD.decode(wrapped).map_err(|_| EnvelopeError::DoesNotOpen)?)
    }

    /// Opens what `wrap` closed.
    pub(crate) fn unwrap(&self, purpose: &str, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        let about = purpose.as_bytes();
        let mut keys = std::iter::once(&self.newest).chain(&self.before);
        keys.find_map(|key| open(key, about, wrapped).ok()).ok_or(EnvelopeError::DoesNotOpen)
    }

    /// Closes anew, under the newest key, what `wrap` closed under one of before; none if it is under the newest.
    ///
    /// # Errors
    /// [`EnvelopeError::DoesNotOpen`] under any, [`EnvelopeError::NoRandomness`].
    pub(crate) fn rewrap(&self, purpose: &str, wrapped: &[u8]) -> Result<Option<Vec<u8>>, EnvelopeError> {
        if open(&self.newest, purpose.as_bytes(), wrapped).is_ok() {
            return Ok(None);
        }
        self.wrap(purpose, &self.unwrap(purpose, wrapped)?).map(Some)
    }

    /// As `rewrap`, for what [`wrap_text`](Self::wrap_text) closed. The text is as long as before.
    ///
    /// # Errors
    /// [`EnvelopeError::DoesNotOpen`] under any, [`EnvelopeError::NoRandomness`].
    pub fn rewrap_text(&self, purpose: &str, wrapped: &str) -> Result<Option<String>, EnvelopeError> {
        let wrapped = STANDARD.decode(wrapped).map_err(|_| EnvelopeError::DoesNotOpen)?;
        Ok(self.rewrap(purpose, &wrapped)?.map(|anew| STANDARD.encode(anew)))
    }
}

/// A single key, of its text.
fn one_key(text: &str) -> Result<RandomizedNonceKey, EnvelopeError> {
    let bytes = if text.len() == 64 {
        let nibble = |digit: u8| (digit as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let byte = |[high, low]: &[u8; 2]| Some((nibble(*high)? << 4) | nibble(*low)?);
        text.as_bytes().as_chunks::<2>().0.iter().map(byte).collect::<Option<Vec<u8>>>()
    } else {
        STANDARD.decode(text).ok()
    };
    let bytes = Zeroizing::new(bytes.unwrap_or_default());
    if bytes.len() != 32 {
        return Err(EnvelopeError::NotAKey);
    }
    RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| EnvelopeError::NotAKey)
}

/// Encrypts: a random nonce, then the ciphertext with its tag.
pub(crate) fn seal(key: &RandomizedNonceKey, about: &[u8], clear: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let mut text = clear.to_vec();
    let nonce = key.seal_in_place_append_tag(Aad::from(about), &mut text).map_err(|_| EnvelopeError::NoRandomness)?;
    Ok([&nonce.as_ref()[..], &text].concat())
}

/// Decrypts what `seal` made.
pub(crate) fn open(key: &RandomizedNonceKey, about: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(EnvelopeError::DoesNotOpen)?;
    let mut text = Zeroizing::new(text.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let clear = key.open_in_place(nonce, Aad::from(about), &mut text).map_err(|_| EnvelopeError::DoesNotOpen)?.len();
    text.truncate(clear);
    Ok(text)
}
