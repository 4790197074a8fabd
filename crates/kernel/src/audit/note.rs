//! Signed notes (C2SP `signed-note`) and cosignatures (`tlog-cosignature`): a text, a blank line, and lines of signatures, each
//! with the name and id of its key. Ed25519; other algorithms are other bytes in a key's id and pass as unknown keys.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::audit::chain::sha256;
use crate::time::Timestamp;

/// More signatures than a note of ours ever has; a longer note is not read.
const MOST_SIGNATURES: usize = 100;

/// What a key signs, the algorithm byte of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// The text itself: 0x01.
    Sign,
    /// The text with a time before it, as a witness does: 0x04.
    Cosign,
}

impl KeyUse {
    const fn byte(self) -> u8 {
        match self {
            Self::Sign => 1,
            Self::Cosign => 4,
        }
    }
}

/// A public key with its name, written `name+id+base64` (a "vkey").
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: Box<str>,
    key_use: KeyUse,
    public: [u8; 32],
}

/// A text is no key of a note that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a verifier key: `name+hash+base64`, with an Ed25519 key")]
pub struct InvalidKey;

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && !name.contains(|c: char| c == '+' || c.is_whitespace() || c.is_control())
}

impl VerifierKey {
    /// The key of a name. Errors: the name is empty, or has a `+`, a space or a control character.
    pub fn new(name: &str, key_use: KeyUse, public: [u8; 32]) -> Result<Self, InvalidKey> {
        is_name(name).then(|| Self { name: name.into(), key_use, public }).ok_or(InvalidKey)
    }

    /// Its name: of a log's own key the log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    pub fn key_use(&self) -> KeyUse {
        self.key_use
    }

    /// `SHA-256(name ‖ 0x0A ‖ algorithm ‖ key)[:4]`.
    pub fn id(&self) -> [u8; 4] {
        let hash = sha256(&[self.name.as_bytes(), b"\n", &[self.key_use.byte()], &self.public].concat());
        let [a, b, c, d, ..] = hash;
        [a, b, c, d]
    }

    fn holds(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(message, signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.key_use.byte()];
        key.extend_from_slice(&self.public);
        write!(f, "{}+{}+{}", self.name, crate::approval::hex(&self.id()), STANDARD.encode(key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifierKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(InvalidKey);
        };
        let key = STANDARD.decode(key).map_err(|_| InvalidKey)?;
        let (algorithm, public) = key.split_first().ok_or(InvalidKey)?;
        let key_use = [KeyUse::Sign, KeyUse::Cosign].into_iter().find(|key_use| key_use.byte() == *algorithm);
        let read = Self::new(name, key_use.ok_or(InvalidKey)?, public.try_into().map_err(|_| InvalidKey)?)?;
        (crate::approval::hex(&read.id()) == id).then_some(read).ok_or(InvalidKey)
    }
}

/// A private key. Its secret is never shown.
pub struct SignerKey {
    public: VerifierKey,
    pair: Ed25519KeyPair,
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignerKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl SignerKey {
    /// The key that a seed of 32 random bytes makes.
    pub fn from_seed(name: &str, key_use: KeyUse, seed: &[u8; 32]) -> Result<Self, InvalidKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| InvalidKey)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| InvalidKey)?;
        Ok(Self { public: VerifierKey::new(name, key_use, public)?, pair })
    }

    /// Its public half.
    pub fn public(&self) -> &VerifierKey {
        &self.public
    }

    /// Signs a text; a key for cosignatures says that it saw it at `now`.
    pub fn sign(&self, text: &str, now: Timestamp) -> Signature {
        let bytes = match self.public.key_use {
            KeyUse::Sign => self.pair.sign(text.as_bytes()).as_ref().to_vec(),
            KeyUse::Cosign => {
                let seconds = u64::try_from(now.millis() / 1000).unwrap_or(0);
                let signature = self.pair.sign(cosigned(text, seconds).as_bytes());
                [&seconds.to_be_bytes(), signature.as_ref()].concat()
            }
        };
        Signature { name: self.public.name.clone(), id: self.public.id(), bytes }
    }
}

fn cosigned(text: &str, seconds: u64) -> String {
    format!("cosignature/v1\ntime {seconds}\n{text}")
}

/// A signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    name: Box<str>,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl Signature {
    fn parse(line: &str) -> Option<Self> {
        let (name, signature) = line.strip_prefix("— ")?.split_once(' ')?;
        let signature = STANDARD.decode(signature).ok()?;
        let (id, bytes) = signature.split_first_chunk::<4>()?;
        (is_name(name) && !bytes.is_empty()).then(|| Self { name: name.into(), id: *id, bytes: bytes.to_vec() })
    }

    /// Is it one of this key's? Says nothing about whether it holds.
    pub fn is_of(&self, key: &VerifierKey) -> bool {
        self.id == key.id() && self.name == key.name
    }

    /// Does it hold, and if it is a cosignature, when was the text seen?
    fn verify(&self, key: &VerifierKey, text: &str) -> Option<Option<Timestamp>> {
        match key.key_use {
            KeyUse::Sign => key.holds(text.as_bytes(), &self.bytes).then_some(None),
            KeyUse::Cosign => {
                let (seconds, signature) = self.bytes.split_first_chunk::<8>()?;
                let seconds = u64::from_be_bytes(*seconds);
                let at = Timestamp::from_millis(i64::try_from(seconds).ok()?.checked_mul(1000)?);
                key.holds(cosigned(text, seconds).as_bytes(), signature).then_some(Some(at))
            }
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "— {} {}", self.name, STANDARD.encode([&self.id[..], &self.bytes].concat()))
    }
}

/// A signature that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed<'k> {
    /// Whose.
    pub key: &'k VerifierKey,
    /// When a witness saw the text.
    pub at: Option<Timestamp>,
}

/// A signed note as it was read; `Display` writes it. Nothing about it is verified but its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// Why a note is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not a signed note.
    #[error("it is not a signed note")]
    Malformed,
    /// The signature of a known key does not hold.
    #[error("the signature does not hold")]
    BadSignature,
    /// No known key signed it.
    #[error("it is signed by no known key")]
    UnknownKeys,
}

impl Note {
    /// A text with its first signatures. The text ends with a newline.
    pub fn new(text: String, signatures: Vec<Signature>) -> Self {
        Self { text, signatures }
    }

    /// Reads a note.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let blank = text.rfind("\n\n").ok_or(NoteError::Malformed)?;
        let (body, lines) = (text.get(..=blank), text.get(blank + 2..));
        let (Some(body), Some(lines)) = (body, lines.and_then(|lines| lines.strip_suffix('\n'))) else {
            return Err(NoteError::Malformed);
        };
        let signatures: Option<Vec<Signature>> =
            lines.split('\n').take(MOST_SIGNATURES + 1).map(Signature::parse).collect();
        let signatures =
            signatures.filter(|signatures| signatures.len() <= MOST_SIGNATURES).ok_or(NoteError::Malformed)?;
        if body.chars().any(|c| c.is_control() && c != '\n') {
            return Err(NoteError::Malformed);
        }
        Ok(Self { text: body.to_owned(), signatures })
    }

    /// The text that is signed, with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its signatures.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds signatures, unless it has one of the same key.
    pub fn add(&mut self, signatures: impl IntoIterator<Item = Signature>) {
        for signature in signatures {
            if !self.signatures.iter().any(|known| known.id == signature.id && known.name == signature.name) {
                self.signatures.push(signature);
            }
        }
    }

    /// The signatures that known keys made. Errors: one of them does not hold, or there is none.
    pub fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Result<Vec<Signed<'k>>, NoteError> {
        let mut signed: Vec<Signed<'k>> = Vec::new();
        for signature in &self.signatures {
            let Some(key) = keys.iter().find(|key| signature.is_of(key)) else { continue };
            let at = signature.verify(key, &self.text).ok_or(NoteError::BadSignature)?;
            if !signed.iter().any(|known| known.key == key) {
                signed.push(Signed { key, at });
            }
        }
        if signed.is_empty() { Err(NoteError::UnknownKeys) } else { Ok(signed) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| fmt::Display::fmt(signature, f))
    }
}

/// Reads lines of signatures, as a witness answers. Errors: there is none, or a line is none.
pub fn parse_signatures(text: &str) -> Result<Vec<Signature>, NoteError> {
    let lines = text.strip_suffix('\n').ok_or(NoteError::Malformed)?;
    lines.split('\n').take(MOST_SIGNATURES).map(|line| Signature::parse(line).ok_or(NoteError::Malformed)).collect()
}

#[cfg(test)]
mod tests;
