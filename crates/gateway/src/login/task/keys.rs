//! The keys with which Parapet signs its own tokens: one that signs, and the one before it, which still verifies until every
//! token that it signed has ended. Kept in the state folder, readable by its own user alone.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kernel::ports::Clock;
use kernel::time::Timestamp;
use serde_json::{Value, json};

use super::LONGEST_LIFE;
use super::jose::{KeyError, KeyPair, PublicKey};

/// How long a key signs.
const SIGNS_FOR: Duration = Duration::from_secs(30 * 86_400);

/// The keys could not be read or made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysUnusable {
    /// A file.
    #[error("the signing key in {} cannot be used: {kind}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        kind: std::io::ErrorKind,
    },
    /// What a file holds.
    #[error(transparent)]
    Key(#[from] KeyError),
}

#[derive(Debug)]
struct Held {
    signing: Arc<KeyPair>,
    since: Timestamp,
    /// The one before, and until when it verifies.
    before: Option<(PublicKey, Timestamp)>,
}

/// The keys.
pub struct SigningKeys {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    held: RwLock<Held>,
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKeys").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl SigningKeys {
    /// Reads the keys in a folder, or makes the first. One that has signed for long enough is replaced.
    pub fn open(folder: &Path, clock: Arc<dyn Clock>) -> Result<Self, KeysUnusable> {
        let unusable = |error: std::io::Error| KeysUnusable::File { path: folder.to_owned(), kind: error.kind() };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unusable)?;
        let now = clock.now();
        let (current, previous) = (folder.join("current"), folder.join("previous"));
        if !current.exists() && previous.exists() {
            // A rotation was cut short before the new key stood: the old one goes on.
            fs::rename(&previous, &current).map_err(unusable)?;
        }
        let held = match read(&current)? {
            Some((signing, since)) => {
                let before = read(&previous)?;
                let before = before.map(|(pair, _)| (pair.public().clone(), since.after(LONGEST_LIFE)));
                Held { signing: Arc::new(signing), since, before }
            }
            None => {
                let (signing, fresh) = make(folder, now)?;
                fs::rename(&fresh, &current).map_err(unusable)?;
                Held { signing: Arc::new(signing), since: now, before: None }
            }
        };
        let keys = Self { folder: folder.to_owned(), clock, held: RwLock::new(held) };
        keys.rotate_if_due()?;
        Ok(keys)
    }

    /// Replaces the signing key if it has signed for long enough; the id of the new one, if so.
    pub fn rotate_if_due(&self) -> Result<Option<String>, KeysUnusable> {
        let due = {
            let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
            self.clock.now().since(held.since) >= SIGNS_FOR
        };
        if !due {
            return Ok(None);
        }
        self.rotate()?;
        Ok(Some(self.signing().public().thumbprint().to_owned()))
    }

    /// Replaces the signing key. Tokens of the one before are good until they end.
    pub fn rotate(&self) -> Result<(), KeysUnusable> {
        let now = self.clock.now();
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let (current, previous) = (self.folder.join("current"), self.folder.join("previous"));
        let unusable = |error: std::io::Error| KeysUnusable::File { path: current.clone(), kind: error.kind() };
        // The new key stands on the disk before the old one makes room: a full disk changes nothing.
        let (pair, fresh) = make(&self.folder, now)?;
        fs::rename(&current, &previous).map_err(unusable)?;
        fs::rename(&fresh, &current).map_err(unusable)?;
        let before = Some((held.signing.public().clone(), now.after(LONGEST_LIFE)));
        *held = Held { signing: Arc::new(pair), since: now, before };
        Ok(())
    }

    /// The key that signs now.
    pub(super) fn signing(&self) -> Arc<KeyPair> {
        Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner).signing)
    }

    /// A key that verifies, by its id.
    pub(super) fn find(&self, kid: &str) -> Option<PublicKey> {
        self.public().into_iter().find(|key| key.thumbprint() == kid)
    }

    /// The JWK set (RFC 7517).
    pub fn jwks(&self) -> Value {
        let view = |key: &PublicKey| {
            let mut jwk = key.jwk().clone();
            if let Some(members) = jwk.as_object_mut() {
                members.insert("kid".to_owned(), json!(key.thumbprint()));
                members.insert("alg".to_owned(), json!("ES256"));
                members.insert("use".to_owned(), json!("sig"));
            }
            jwk
        };
        json!({ "keys": self.public().iter().map(view).collect::<Vec<_>>() })
    }

    fn public(&self) -> Vec<PublicKey> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let before = held.before.as_ref().filter(|(_, until)| *until > now).map(|(key, _)| key.clone());
        std::iter::once(held.signing.public().clone()).chain(before).collect()
    }
}

/// A key's file: when it was made, in milliseconds, a line end, and the PKCS #8 form.
fn read(path: &Path) -> Result<Option<(KeyPair, Timestamp)>, KeysUnusable> {
    let text = match fs::read(path) {
        Ok(text) => zeroize::Zeroizing::new(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(KeysUnusable::File { path: path.to_owned(), kind: error.kind() }),
    };
    let end = text.iter().position(|byte| *byte == b'\n').ok_or(KeyError)?;
    let (made, form) = text.split_at_checked(end).ok_or(KeyError)?;
    let made = std::str::from_utf8(made).ok().and_then(|made| made.parse().ok()).ok_or(KeyError)?;
    let pair = KeyPair::read(form.get(1..).unwrap_or_default())?;
    Ok(Some((pair, Timestamp::from_millis(made))))
}

/// Makes a key, and where it waits to become the current one.
fn make(folder: &Path, now: Timestamp) -> Result<(KeyPair, PathBuf), KeysUnusable> {
    let (pair, form) = KeyPair::generate()?;
    let fresh = folder.join("current.new");
    let unusable = |error: std::io::Error| KeysUnusable::File { path: fresh.clone(), kind: error.kind() };
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh).map_err(unusable)?;
    file.write_all(format!("{}\n", now.millis()).as_bytes()).map_err(unusable)?;
    file.write_all(&form).map_err(unusable)?;
    file.sync_all().map_err(unusable)?;
    Ok((pair, fresh))
}
