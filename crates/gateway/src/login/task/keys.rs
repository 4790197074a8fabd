//! The keys with which Parapet signs its own tokens: one that signs, and the one before it, which still verifies until every
//! token that it signed has ended. Kept in the state folder, closed under a key that stands elsewhere.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kernel::ports::Clock;
use kernel::time::Timestamp;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::LONGEST_LIFE;
use super::jose::{KeyError, KeyPair, PublicKey};

/// How long a key signs.
const SIGNS_FOR: Duration = Duration::from_secs(30 * 86_400);

/// What stands before a key that is closed. The PKCS #8 form, which was kept as it is, begins with a byte 48.
const CLOSED: &[u8] = b"closed ";

/// Closes what is kept, and opens it: under the master key, which this crate does not know.
pub trait Envelope: Send + Sync {
    /// The secret, closed, as text; none where that fails.
    fn close(&self, secret: &[u8]) -> Option<String>;

    /// What was closed; none where it was closed otherwise, or changed.
    fn open(&self, closed: &str) -> Option<Zeroizing<Vec<u8>>>;
}

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
    /// A key does not open, or could not be closed.
    #[error("the signing key in {} does not open: the master key is another, or the file was changed", .0.display())]
    Closed(PathBuf),
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
    envelope: Arc<dyn Envelope>,
    held: RwLock<Held>,
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKeys").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl SigningKeys {
    /// Reads the keys in a folder, or makes the first. One that has signed for long enough is replaced, and one that stands there
    /// in clear is closed.
    pub fn open(folder: &Path, clock: Arc<dyn Clock>, envelope: Arc<dyn Envelope>) -> Result<Self, KeysUnusable> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unusable(folder))?;
        let now = clock.now();
        let (current, previous) = (folder.join("current"), folder.join("previous"));
        if !current.exists() && previous.exists() {
            // A rotation was cut short before the new key stood: the old one goes on.
            fs::rename(&previous, &current).map_err(unusable(folder))?;
        }
        let held = match read(&current, &*envelope)? {
            Some((signing, since)) => {
                let before = read(&previous, &*envelope)?;
                let before = before.map(|(pair, _)| (pair.public().clone(), since.after(LONGEST_LIFE)));
                Held { signing: Arc::new(signing), since, before }
            }
            None => {
                let (signing, fresh) = make(folder, now, &*envelope)?;
                fs::rename(&fresh, &current).map_err(unusable(folder))?;
                Held { signing: Arc::new(signing), since: now, before: None }
            }
        };
        let keys = Self { folder: folder.to_owned(), clock, envelope, held: RwLock::new(held) };
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
        // The new key stands on the disk before the old one makes room: a full disk changes nothing.
        let (pair, fresh) = make(&self.folder, now, &*self.envelope)?;
        fs::rename(&current, &previous).map_err(unusable(&current))?;
        fs::rename(&fresh, &current).map_err(unusable(&current))?;
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

/// Closes the keys in a folder anew, where what closes them changes. `anew` gives the new form of one, or none if it needs none, and
/// `exchange` replaces a file. A key in clear is left for the next `open`.
///
/// # Errors
/// Those of `anew` and `exchange`, and of reading.
pub fn close_anew<E: From<std::io::Error>>(
    folder: &Path,
    mut anew: impl FnMut(&str) -> Result<Option<String>, E>,
    exchange: impl Fn(&Path, &[u8]) -> std::io::Result<()>,
) -> Result<(), E> {
    for path in [folder.join("current"), folder.join("previous")] {
        let text = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            text => Zeroizing::new(text?),
        };
        let closed = std::str::from_utf8(&text).ok().and_then(|text| text.split_once("\nclosed "));
        let Some((made, closed)) = closed else { continue };
        if let Some(closed) = anew(closed)? {
            exchange(&path, format!("{made}\nclosed {closed}").as_bytes())?;
        }
    }
    Ok(())
}

/// A key's file: when it was made, in milliseconds, a line end, and the PKCS #8 form, closed. One in clear is closed now.
fn read(path: &Path, envelope: &dyn Envelope) -> Result<Option<(KeyPair, Timestamp)>, KeysUnusable> {
    let text = match fs::read(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(path)(error)),
    };
    let end = text.iter().position(|byte| *byte == b'\n').ok_or(KeyError)?;
    let (made, rest) = text.split_at_checked(end).ok_or(KeyError)?;
    let made = std::str::from_utf8(made).ok().and_then(|made| made.parse().ok()).ok_or(KeyError)?;
    let (made, form) = (Timestamp::from_millis(made), rest.get(1..).unwrap_or_default());
    let pair = match form.strip_prefix(CLOSED) {
        Some(closed) => {
            let form = std::str::from_utf8(closed).ok().and_then(|closed| envelope.open(closed));
            KeyPair::read(&form.ok_or_else(|| KeysUnusable::Closed(path.to_owned()))?)?
        }
        None => {
            let pair = KeyPair::read(form)?;
            close(path, made, form, envelope)?;
            pair
        }
    };
    Ok(Some((pair, made)))
}

/// Closes a key that stands in clear, and overwrites what it stood in.
fn close(path: &Path, made: Timestamp, form: &[u8], envelope: &dyn Envelope) -> Result<(), KeysUnusable> {
    let mut clear = fs::OpenOptions::new().write(true).open(path).map_err(unusable(path))?;
    let length = usize::try_from(clear.metadata().map_err(unusable(path))?.len()).unwrap_or_default();
    let fresh = write(path, made, form, envelope)?;
    fs::rename(&fresh, path).map_err(unusable(path))?;
    // Or a machine that stops may find the old name with nothing in it.
    let folder = path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all());
    folder.map_err(unusable(path))?;
    clear.write_all(&vec![0; length]).and_then(|()| clear.sync_all()).map_err(unusable(path))
}

/// Makes a key, and where it waits to become the current one.
fn make(folder: &Path, now: Timestamp, envelope: &dyn Envelope) -> Result<(KeyPair, PathBuf), KeysUnusable> {
    let (pair, form) = KeyPair::generate()?;
    Ok((pair, write(&folder.join("current"), now, &form, envelope)?))
}

/// Writes a key beside the file that it is to replace; where it waits.
fn write(path: &Path, made: Timestamp, form: &[u8], envelope: &dyn Envelope) -> Result<PathBuf, KeysUnusable> {
    let closed = envelope.close(form).ok_or_else(|| KeysUnusable::Closed(path.to_owned()))?;
    let text = [format!("{}\n", made.millis()).as_bytes(), CLOSED, closed.as_bytes()].concat();
    let fresh = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(&fresh).map_err(unusable(&fresh))?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(unusable(&fresh))?;
    Ok(fresh)
}

fn unusable(path: &Path) -> impl FnOnce(std::io::Error) -> KeysUnusable {
    let path = path.to_owned();
    move |error| KeysUnusable::File { path, kind: error.kind() }
}
