//! The keys of one issuer (RFC 7517), fetched or read from a file, and kept for a while. A key is found by the configured
//! issuer, which owns its own [`Keys`], and the `kid`; nothing in a token chooses what is fetched (hazards ID08, ID09).
//!
//! Whether a token is genuine is `oidc.rs`.

use std::collections::HashMap;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use kernel::ports::Clock;
use kernel::time::Timestamp;
use tokio::io::AsyncReadExt as _;
use tokio::sync::Semaphore;

use super::json::{self, Json, Object};
use crate::upstream::fetch::{FetchError, Fetcher, InvalidLocation, Location};

/// The largest key set, in bytes.
const LONGEST_SET: usize = 256 * 1024;
/// The most keys in a set.
const MOST_KEYS: usize = 100;
/// The longest `kid`, in bytes.
const LONGEST_KID: usize = 256;

/// A signature algorithm of RFC 7518 or RFC 8037 that is accepted. `none` and the HMACs are not among them, so that no
/// configuration can let them in (hazard ID07).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl SignatureAlgorithm {
    /// By its name in a header or a key.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "PS256" => Some(Self::Ps256),
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }

    const fn provided(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwksSource {
    /// Fetched over HTTPS; over plain HTTP on loopback alone.
    Url(Location),
    /// Read from a file, and again whenever it changes.
    File(PathBuf),
}

impl JwksSource {
    /// A source by its URL, as configured.
    pub fn url(text: &str) -> Result<Self, InvalidLocation> {
        text.parse().map(Self::Url)
    }
}

/// How keys are kept fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// The least time between two attempts to refresh: a flood of unknown `kid`s costs the issuer no more than this.
    pub floor: Duration,
    /// Older keys are refreshed before they are used. Should that fail, they serve until `max_age`.
    pub refresh_after: Duration,
    /// Older keys are not used at all.
    pub max_age: Duration,
    /// How long a refresh may take.
    pub patience: Duration,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            floor: Duration::from_secs(10),
            refresh_after: Duration::from_secs(5 * 60),
            max_age: Duration::from_secs(60 * 60),
            patience: Duration::from_secs(5),
        }
    }
}

/// Keys that could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// Not fetched.
    #[error("its keys cannot be fetched: {0}")]
    Fetch(#[from] FetchError),
    /// Not read.
    #[error("its key file `{}` cannot be read: {kind}", .path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        kind: std::io::ErrorKind,
    },
    /// No key set of RFC 7517, or one with repeated members.
    #[error("what stands where its keys should be is no JSON Web Key Set")]
    NotKeys,
    /// Larger than a key set may be.
    #[error("its key set has more than {MOST_KEYS} keys or {LONGEST_SET} bytes")]
    TooMany,
    /// The last attempt failed, and the next must wait.
    #[error("its keys could not be had a moment ago, and are not asked for again yet")]
    Waiting,
}

/// A key that may verify signatures.
#[derive(Clone)]
pub(super) struct VerifyingKey {
    algorithms: &'static [SignatureAlgorithm],
    key: DecodingKey,
}

impl VerifyingKey {
    /// May it verify signatures of this algorithm? Its type decides, and its own `alg`, if it has one.
    pub(super) fn fits(&self, algorithm: SignatureAlgorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Is `signature`, in base64url, that of `message` by this key?
    pub(super) fn verifies(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &str) -> bool {
        self.fits(algorithm)
            && matches!(jsonwebtoken::crypto::verify(signature, message, &self.key, algorithm.provided()), Ok(true))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey").field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

/// What tells a changed file: when it was written, its length, and which file it is.
type Stamp = (Option<SystemTime>, u64, u64);

#[derive(Debug)]
struct KeySet {
    by_id: HashMap<String, VerifyingKey>,
    since: Timestamp,
    stamp: Option<Stamp>,
}

/// The keys of one issuer.
pub(super) struct Keys {
    source: JwksSource,
    fetcher: Fetcher,
    freshness: Freshness,
    clock: Arc<dyn Clock>,
    set: ArcSwapOption<KeySet>,
    /// One refresh at a time; who waits for it uses its result.
    gate: Semaphore,
    last_attempt: Mutex<Option<Timestamp>>,
}

impl Keys {
    pub(super) fn new(source: JwksSource, fetcher: Fetcher, freshness: Freshness, clock: Arc<dyn Clock>) -> Self {
        Self {
            source,
            fetcher,
            freshness,
            clock,
            set: ArcSwapOption::empty(),
            gate: Semaphore::new(1),
            last_attempt: Mutex::new(None),
        }
    }

    /// The key with this `kid`, if the issuer has one. Refreshes at most once, and not if that was tried a moment ago.
    pub(super) async fn find(&self, kid: &str) -> Result<Option<VerifyingKey>, KeysError> {
        let known = self.set.load_full();
        if let JwksSource::File(path) = &self.source {
            return self.find_in_file(path, known, kid).await;
        }
        let Some(set) = known.as_ref().filter(|set| self.age(set) <= self.freshness.max_age) else {
            // None, or too old to be used: nothing but a refresh will do.
            return Ok(self.refreshed(known.as_ref()).await?.key(kid));
        };
        let found = set.key(kid);
        // While another refreshes, a key that may still serve does: a slow issuer is not to slow every login down.
        let refreshing = self.gate.available_permits() == 0;
        if found.is_some() && (refreshing || self.age(set) <= self.freshness.refresh_after) {
            return Ok(found);
        }
        match self.refreshed(known.as_ref()).await {
            Ok(fresh) => Ok(fresh.key(kid)),
            // The keys are old, but not too old; the issuer's outage is not to become the workloads'.
            Err(error) => {
                tracing::debug!(%error, "keys are not refreshed");
                Ok(found)
            }
        }
    }

    /// A file is read again whenever it changed, and only then: no floor is needed, since a stranger cannot change it.
    async fn find_in_file(
        &self,
        path: &Path,
        known: Option<Arc<KeySet>>,
        kid: &str,
    ) -> Result<Option<VerifyingKey>, KeysError> {
        let stamp = stamp(path).await?;
        if let Some(set) = known.filter(|set| set.stamp == Some(stamp)) {
            return Ok(set.key(kid));
        }
        let _one_at_a_time = self.gate.acquire().await.map_err(|_closed| KeysError::Waiting)?;
        if let Some(set) = self.set.load_full().filter(|set| set.stamp == Some(stamp)) {
            return Ok(set.key(kid));
        }
        // Should it change again between the two, the next call finds another stamp.
        Ok(self.replace(&read(path).await?, self.clock.now(), Some(stamp))?.key(kid))
    }

    fn age(&self, set: &KeySet) -> Duration {
        self.clock.now().since(set.since)
    }

    /// Refreshes, unless another did so since `known` was loaded, or the floor forbids it.
    async fn refreshed(&self, known: Option<&Arc<KeySet>>) -> Result<Arc<KeySet>, KeysError> {
        let _one_at_a_time = self.gate.acquire().await.map_err(|_closed| KeysError::Waiting)?;
        if let Some(newer) = self.newer_than(known) {
            return Ok(newer);
        }
        let now = self.clock.now();
        {
            let mut last = self.last_attempt.lock().unwrap_or_else(PoisonError::into_inner);
            // An attempt in the future means that the clock was set back; it must not block for as long.
            if last.is_some_and(|last| last <= now && now.since(last) < self.freshness.floor) {
                return Err(KeysError::Waiting);
            }
            *last = Some(now);
        }
        let JwksSource::Url(location) = &self.source else { return Err(KeysError::Waiting) };
        match self.fetcher.fetch(location, LONGEST_SET, self.freshness.patience).await {
            Ok(text) => self.replace(&text, now, None),
            Err(FetchError::TooLarge(_)) => Err(KeysError::TooMany),
            Err(error) => Err(error.into()),
        }
    }

    fn newer_than(&self, known: Option<&Arc<KeySet>>) -> Option<Arc<KeySet>> {
        let current = self.set.load_full()?;
        let same = known.is_some_and(|known| Arc::ptr_eq(known, &current));
        (!same && self.age(&current) <= self.freshness.max_age).then_some(current)
    }

    /// Replaces the set as a whole, so that a key that the issuer removed is gone.
    fn replace(&self, text: &[u8], since: Timestamp, stamp: Option<Stamp>) -> Result<Arc<KeySet>, KeysError> {
        let set = Arc::new(KeySet { by_id: parse(text)?, since, stamp });
        tracing::debug!(keys = set.by_id.len(), "keys of an issuer are refreshed");
        self.set.store(Some(Arc::clone(&set)));
        Ok(set)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("source", &self.source).finish_non_exhaustive()
    }
}

impl KeySet {
    fn key(&self, kid: &str) -> Option<VerifyingKey> {
        self.by_id.get(kid).cloned()
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> KeysError {
    KeysError::Unreadable { path: path.to_owned(), kind: error.kind() }
}

async fn stamp(path: &Path) -> Result<Stamp, KeysError> {
    let found = tokio::fs::metadata(path).await.map_err(|error| unreadable(path, &error))?;
    Ok((found.modified().ok(), found.len(), found.ino()))
}

async fn read(path: &Path) -> Result<Vec<u8>, KeysError> {
    let mut text = Vec::new();
    let file = tokio::fs::File::open(path).await.map_err(|error| unreadable(path, &error))?;
    file.take(LONGEST_SET as u64 + 1).read_to_end(&mut text).await.map_err(|error| unreadable(path, &error))?;
    if text.len() > LONGEST_SET { Err(KeysError::TooMany) } else { Ok(text) }
}

/// The keys of a set that can verify. Others, such as those for encryption or on other curves, are passed over: an issuer
/// may publish what does not concern us. A `kid` that stands twice names neither.
fn parse(text: &[u8]) -> Result<HashMap<String, VerifyingKey>, KeysError> {
    let mut set = json::object(text).ok_or(KeysError::NotKeys)?;
    let Some(Json::Array(keys)) = set.remove("keys") else { return Err(KeysError::NotKeys) };
    if keys.len() > MOST_KEYS {
        return Err(KeysError::TooMany);
    }
    let mut by_id: HashMap<String, Option<VerifyingKey>> = HashMap::new();
    for key in &keys {
        let Json::Object(key) = key else { return Err(KeysError::NotKeys) };
        let Some((kid, key)) = usable(key) else { continue };
        by_id.entry(kid.to_owned()).and_modify(|known| *known = None).or_insert(Some(key));
    }
    Ok(by_id.into_iter().filter_map(|(kid, key)| Some((kid, key?))).collect())
}

fn text<'o>(object: &'o Object, member: &str) -> Option<&'o str> {
    match object.get(member) {
        Some(Json::Text(text)) => Some(text),
        _ => None,
    }
}

fn usable(jwk: &Object) -> Option<(&str, VerifyingKey)> {
    let kid = text(jwk, "kid").filter(|kid| !kid.is_empty() && kid.len() <= LONGEST_KID)?;
    if jwk.contains_key("use") && text(jwk, "use") != Some("sig") {
        return None;
    }
    match jwk.get("key_ops") {
        None => {}
        Some(Json::Array(operations)) if operations.contains(&Json::Text("verify".to_owned())) => {}
        Some(_) => return None,
    }
    let (algorithms, key): (&'static [SignatureAlgorithm], _) = match text(jwk, "kty")? {
        "RSA" => {
            let modulus = URL_SAFE_NO_PAD.decode(text(jwk, "n")?).ok()?;
            let exponent = URL_SAFE_NO_PAD.decode(text(jwk, "e")?).ok()?;
            let bits = modulus.iter().skip_while(|byte| **byte == 0).count() * 8;
            if !(2048..=8192).contains(&bits) {
                return None;
            }
            let algorithms: &[_] = &[SignatureAlgorithm::Rs256, SignatureAlgorithm::Ps256];
            (algorithms, DecodingKey::from_rsa_raw_components(&modulus, &exponent))
        }
        "EC" if text(jwk, "crv") == Some("P-256") => {
            let (x, y) = (text(jwk, "x")?, text(jwk, "y")?);
            if [x, y].iter().any(|coordinate| !has_32_bytes(coordinate)) {
                return None;
            }
            (&[SignatureAlgorithm::Es256], DecodingKey::from_ec_components(x, y).ok()?)
        }
        "OKP" if text(jwk, "crv") == Some("Ed25519") => {
            let x = text(jwk, "x").filter(|x| has_32_bytes(x))?;
            (&[SignatureAlgorithm::EdDsa], DecodingKey::from_ed_components(x).ok()?)
        }
        _ => return None,
    };
    let algorithms = match jwk.get("alg") {
        None => algorithms,
        // The key is for one algorithm only: the other of its type is not its to verify (RFC 8725, section 3.1).
        Some(Json::Text(name)) => {
            let only = SignatureAlgorithm::named(name)?;
            let at = algorithms.iter().position(|algorithm| *algorithm == only)?;
            algorithms.get(at..=at)?
        }
        Some(_) => return None,
    };
    Some((kid, VerifyingKey { algorithms, key }))
}

fn has_32_bytes(coordinate: &str) -> bool {
    URL_SAFE_NO_PAD.decode(coordinate).is_ok_and(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests;
