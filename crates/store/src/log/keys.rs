//! The keys that sign checkpoints, and the one that cosigns others'. They stand in one file, each closed in the envelope of the
//! master key. After a rotation the old key signs along for a while, so that who knows the old one learns the new one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kernel::audit::{KeyUse, Note, Signature, SignerKey, VerifierKey};
use kernel::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::envelope::{EnvelopeError, MasterKey, random_key};
use super::rekey::{Rekeyed, exchange};
use super::segment::sync_dir;

/// Why there are no signing keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read or written.
    #[error("the file of signing keys cannot be used: {0}")]
    Unusable(io::ErrorKind),
    /// The file is not what this module writes.
    #[error("the file of signing keys cannot be read")]
    Unreadable,
    /// A key does not open, or cannot be made.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The keys are another log's.
    #[error("the signing keys are those of the log `{kept}`, and the configuration says `{configured}`")]
    OtherOrigin {
        /// Whose keys they are.
        kept: String,
        /// What is configured.
        configured: String,
    },
    /// The origin has a character that no name of a key has.
    #[error("the origin has a space or a `+`")]
    BadOrigin,
}

impl From<io::Error> for KeysError {
    fn from(error: io::Error) -> Self {
        Self::Unusable(error.kind())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    origin: String,
    keys: Vec<Kept>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    key: String,
    wrapped: String,
    made_ms: i64,
    /// From then on it signs no more.
    retires_ms: Option<i64>,
}

#[derive(Debug)]
struct Held {
    signer: SignerKey,
    wrapped: String,
    made: Timestamp,
    retires: Option<Timestamp>,
}

/// A key, as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyView {
    /// Its public half.
    pub key: VerifierKey,
    /// When it was made.
    pub made: Timestamp,
    /// From then on it signs no more; none for the current one.
    pub retires: Option<Timestamp>,
}

/// The signing keys of a log, open.
#[derive(Debug)]
pub struct SigningKeys {
    path: PathBuf,
    master: Arc<MasterKey>,
    origin: Box<str>,
    held: Vec<Held>,
    fresh: bool,
}

impl SigningKeys {
    /// Opens the keys in `path`, or makes them. `origin` is the log's name; without one a fresh log gets a name of its own.
    pub fn open(
        path: &Path,
        master: impl Into<Arc<MasterKey>>,
        origin: Option<&str>,
        now: Timestamp,
    ) -> Result<Self, KeysError> {
        let master = master.into();
        match fs::read(path) {
            Ok(bytes) => Self::read(path, master, origin, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(path, master, origin, now),
            Err(error) => Err(error.into()),
        }
    }

    fn read(path: &Path, master: Arc<MasterKey>, origin: Option<&str>, bytes: &[u8]) -> Result<Self, KeysError> {
        let file: File = serde_json::from_slice(bytes).map_err(|_| KeysError::Unreadable)?;
        if let Some(configured) = origin.filter(|origin| *origin != file.origin) {
            return Err(KeysError::OtherOrigin { kept: file.origin, configured: configured.to_owned() });
        }
        let mut held = Vec::new();
        for kept in file.keys {
            let public: VerifierKey = kept.key.parse().map_err(|_| KeysError::Unreadable)?;
            let wrapped = STANDARD.decode(&kept.wrapped).map_err(|_| KeysError::Unreadable)?;
            let seed = master.unwrap(&kept.key, &wrapped)?;
            let seed: &[u8; 32] = seed.as_slice().try_into().map_err(|_| KeysError::Unreadable)?;
            let signer =
                SignerKey::from_seed(public.name(), public.key_use(), seed).map_err(|_| KeysError::Unreadable)?;
            held.push(Held {
                signer,
                wrapped: kept.wrapped,
                made: Timestamp::from_millis(kept.made_ms),
                retires: kept.retires_ms.map(Timestamp::from_millis),
            });
        }
        let keys = Self { path: path.to_owned(), master, origin: file.origin.into(), held, fresh: false };
        if keys.current().is_none() { Err(KeysError::Unreadable) } else { Ok(keys) }
    }

    fn make(path: &Path, master: Arc<MasterKey>, origin: Option<&str>, now: Timestamp) -> Result<Self, KeysError> {
        let origin = match origin {
            Some(origin) => origin.to_owned(),
            None => format!("parapet-{}/audit", kernel::approval::hex(random_key()?.get(..5).unwrap_or_default())),
        };
        let mut keys = Self { path: path.to_owned(), master, origin: origin.into(), held: Vec::new(), fresh: true };
        keys.add(KeyUse::Sign, now)?;
        keys.add(KeyUse::Cosign, now)?;
        keys.store()?;
        Ok(keys)
    }

    fn add(&mut self, key_use: KeyUse, now: Timestamp) -> Result<(), KeysError> {
        let name = match key_use {
            KeyUse::Sign => self.origin.to_string(),
            KeyUse::Cosign => format!("{}/witness", self.origin),
        };
        let seed = random_key()?;
        let signer = SignerKey::from_seed(&name, key_use, &seed).map_err(|_| KeysError::BadOrigin)?;
        let wrapped = STANDARD.encode(self.master.wrap(&signer.public().to_string(), &*seed)?);
        self.held.push(Held { signer, wrapped, made: now, retires: None });
        Ok(())
    }

    fn store(&self) -> Result<(), KeysError> {
        let keys = self.held.iter().map(|held| Kept {
            key: held.signer.public().to_string(),
            wrapped: held.wrapped.clone(),
            made_ms: held.made.millis(),
            retires_ms: held.retires.map(Timestamp::millis),
        });
        let file = File { origin: self.origin.to_string(), keys: keys.collect() };
        let text = serde_json::to_vec(&file).map_err(|_| KeysError::Unreadable)?;
        Ok(replace(&self.path, &text)?)
    }

    /// The key over these and all others.
    pub(super) fn master(&self) -> Arc<MasterKey> {
        Arc::clone(&self.master)
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The key that signs from now on.
    pub fn current(&self) -> Option<&VerifierKey> {
        let mut signing = self.held.iter().rev().filter(|held| held.signer.public().key_use() == KeyUse::Sign);
        signing.find(|held| held.retires.is_none()).map(|held| held.signer.public())
    }

    /// Every key that ever signed, the oldest first.
    pub fn views(&self) -> Vec<KeyView> {
        let signing = self.held.iter().filter(|held| held.signer.public().key_use() == KeyUse::Sign);
        let view = |held: &Held| KeyView { key: held.signer.public().clone(), made: held.made, retires: held.retires };
        signing.map(view).collect()
    }

    /// Signs a text with every key that signs now, the newest first.
    pub(super) fn sign(&self, text: String, now: Timestamp) -> Note {
        let signs = |held: &&Held| {
            held.signer.public().key_use() == KeyUse::Sign && held.retires.is_none_or(|retires| now < retires)
        };
        let signatures = self.held.iter().rev().filter(signs).map(|held| held.signer.sign(&text, now)).collect();
        Note::new(text, signatures)
    }

    /// Cosigns another log's checkpoint; none if there is no key for it.
    pub(super) fn cosign(&self, text: &str, now: Timestamp) -> Option<Signature> {
        let mut cosigning = self.held.iter().filter(|held| held.signer.public().key_use() == KeyUse::Cosign);
        cosigning.next().map(|held| held.signer.sign(text, now))
    }

    /// The key by which this node witnesses others.
    pub fn witness(&self) -> Option<&VerifierKey> {
        let mut public = self.held.iter().map(|held| held.signer.public());
        public.find(|key| key.key_use() == KeyUse::Cosign)
    }

    /// A new key signs from now on; the one before signs along for `overlap`. `announce` enters the new key in the log, which
    /// the old key signs then: if it does not, everything stays as it was.
    pub(super) fn rotate<E: std::convert::From<KeysError>>(
        &mut self,
        now: Timestamp,
        overlap: Duration,
        announce: impl FnOnce(&VerifierKey) -> Result<(), E>,
    ) -> Result<VerifierKey, E> {
        let overlap = i64::try_from(overlap.as_millis()).unwrap_or(i64::MAX);
        let retires = Timestamp::from_millis(now.millis().saturating_add(overlap));
        let before = self.held.len();
        self.add(KeyUse::Sign, now)?;
        for held in self.held.iter_mut().take(before) {
            if held.signer.public().key_use() == KeyUse::Sign && held.retires.is_none() {
                held.retires = Some(retires);
            }
        }
        let current = self.current().cloned().ok_or(KeysError::Unreadable)?;
        let done = announce(&current).and_then(|()| self.store().map_err(E::from));
        if let Err(error) = done {
            self.held.truncate(before);
            for held in self.held.iter_mut().filter(|held| held.retires == Some(retires)) {
                held.retires = None;
            }
            return Err(error);
        }
        Ok(current)
    }

    /// Was the current key made just now, so that the log does not know it yet?
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }
}

/// Closes the keys in a file of signing keys anew, if there is one. Nobody must have them open: the log's lock sees to that.
///
/// # Errors
/// [`KeysError::Unreadable`], [`KeysError::Unusable`], [`EnvelopeError::NoRandomness`].
pub fn rekey_signing_keys(path: &Path, master: &MasterKey) -> Result<Rekeyed, KeysError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Rekeyed::default()),
        read => read?,
    };
    let mut file: File = serde_json::from_slice(&bytes).map_err(|_| KeysError::Unreadable)?;
    let mut done = Rekeyed::default();
    for kept in &mut file.keys {
        if let Some(anew) = done.count(master.rewrap_text(&kept.key, &kept.wrapped))? {
            kept.wrapped = anew;
        }
    }
    if done.closed > 0 {
        exchange(path, &serde_json::to_vec(&file).map_err(|_| KeysError::Unreadable)?)?;
    }
    Ok(done)
}

/// The public halves of the keys in a file of signing keys, cosigning ones too: what stands there needs no master key.
pub fn public_keys(path: &Path) -> Option<Vec<VerifierKey>> {
    let file: File = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    file.keys.iter().map(|kept| kept.key.parse().ok()).collect()
}

/// Replaces a file that only its owner can read: readers see the old one or the new one, and so does a machine that lost its
/// power.
///
/// # Errors
/// The file, or another beside it with `.new` behind its name, cannot be written. The old one stands then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

#[cfg(test)]
mod tests;
