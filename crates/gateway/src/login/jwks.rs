//! The keys of one issuer (RFC 7517), fetched or read from a file, and kept for a while. A key is found by the configured
//! issuer, which owns its own [`Keys`], and the `kid`; nothing in a token chooses what is fetched (hazards ID08, ID09).
//!
//! The bundle of a SPIFFE trust domain is kept in the same way, with its authorities beside its keys. Whether a token is
//! genuine is `oidc.rs`; whether a certificate is, `trust_domains.rs`.

mod keys;

use std::collections::HashMap;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use kernel::ports::Clock;
use kernel::time::Timestamp;
use tokio::io::AsyncReadExt as _;
use tokio::sync::Semaphore;

pub use self::keys::SignatureAlgorithm;
pub(super) use self::keys::{Purpose, VerifyingKey, parse};
use super::bundle::{Authorities, Bundle};
use super::json::{self, Json};
use super::workload_api::WorkloadApiError;
use crate::upstream::fetch::{FetchError, Fetcher, InvalidLocation, Location};

/// How often a file is looked at whose content must be at hand before anybody asks for it.
const LOOK: Duration = Duration::from_secs(1);
/// The largest key set, in bytes.
const LONGEST_SET: usize = 256 * 1024;
/// The most keys in a set.
pub(super) const MOST_KEYS: usize = 100;
/// The longest `kid`, in bytes.
const LONGEST_KID: usize = 256;

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwksSource {
    /// Fetched over HTTPS; over plain HTTP on loopback alone.
    Url(Location),
    /// Fetched from where the issuer's metadata says (OpenID Connect Discovery 1.0, section 4).
    Discovery {
        /// The exact issuer, which the metadata must name too.
        issuer: String,
        /// Where the metadata stands.
        metadata: Location,
    },
    /// Read from a file, and again whenever it changes.
    File(PathBuf),
    /// Brought by the SPIFFE Workload API, whenever they change.
    WorkloadApi,
}

impl JwksSource {
    /// A source by its URL, as configured.
    pub fn url(text: &str) -> Result<Self, InvalidLocation> {
        text.parse().map(Self::Url)
    }

    /// A source that the issuer itself names.
    pub fn discovery(issuer: &str) -> Result<Self, InvalidLocation> {
        let metadata = format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer));
        Ok(Self::Discovery { issuer: issuer.to_owned(), metadata: metadata.parse()? })
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
    /// The issuer's metadata is none, or another issuer's, or names no place that may be asked.
    #[error("its metadata is not its own, or does not say where its keys are")]
    NotMetadata,
    /// The last attempt failed, and the next must wait.
    #[error("its keys could not be had a moment ago, and are not asked for again yet")]
    Waiting,
    /// An authority of X.509-SVIDs that may not sign certificates, or is no certificate.
    #[error("its bundle has an authority that is none")]
    NotAuthority,
    /// An older bundle than the known one: it may hold what was removed since.
    #[error("its bundle has a lower sequence than the one before")]
    Backwards,
    /// The Workload API does not bring it.
    #[error("the Workload API: {0}")]
    WorkloadApi(#[from] WorkloadApiError),
    /// The keys are older than they may be.
    #[error("its keys are too old to be used")]
    TooOld,
}

/// What tells a changed file: when it was written, its length, and which file it is.
type Stamp = (Option<SystemTime>, u64, u64);

#[derive(Clone, Debug)]
struct KeySet {
    by_id: HashMap<String, Arc<VerifyingKey>>,
    since: Timestamp,
    stamp: Option<Stamp>,
    /// Of X.509-SVIDs; none but in bundles.
    authorities: Option<Arc<Authorities>>,
    sequence: Option<u64>,
    refresh_hint: Option<Duration>,
}

/// The keys of one issuer.
pub(super) struct Keys {
    source: JwksSource,
    fetcher: Fetcher,
    freshness: Freshness,
    clock: Arc<dyn Clock>,
    set: ArcSwapOption<KeySet>,
    purpose: Purpose,
    /// One refresh at a time; who waits for it uses its result.
    gate: Semaphore,
    last_attempt: Mutex<Attempt>,
}

/// The last attempt to refresh.
#[derive(Debug, Default)]
struct Attempt {
    at: Option<Timestamp>,
    /// Why it failed; none if it did not.
    failed: Option<KeysError>,
}

/// How an issuer's keys are, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysHealth {
    /// How many keys are known.
    pub keys: usize,
    /// How many authorities of X.509-SVIDs are known; none but of a trust domain.
    pub authorities: Option<usize>,
    /// When they were fetched; none if they never were. Keys in a file are as old as their file, and are not told of.
    pub since: Option<Timestamp>,
    /// Why the last attempt to refresh them failed; none if it did not.
    pub failed: Option<KeysError>,
    /// Until when the known keys serve without being refreshed.
    pub until: Option<Timestamp>,
}

impl Keys {
    pub(super) fn new(source: JwksSource, fetcher: Fetcher, freshness: Freshness, clock: Arc<dyn Clock>) -> Self {
        Self {
            source,
            fetcher,
            freshness,
            clock,
            set: ArcSwapOption::empty(),
            purpose: Purpose::Tokens,
            gate: Semaphore::new(1),
            last_attempt: Mutex::default(),
        }
    }

    /// The same, for another purpose.
    pub(super) fn for_purpose(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }

    /// How they are.
    pub(super) fn health(&self) -> KeysHealth {
        let set = self.set.load_full();
        let failed = self.last_attempt.lock().unwrap_or_else(PoisonError::into_inner).failed.clone();
        let remote = set.as_ref().filter(|_| !matches!(self.source, JwksSource::File(_)));
        KeysHealth {
            keys: set.as_ref().map_or(0, |set| set.by_id.len()),
            authorities: set.as_ref().and_then(|set| set.authorities.as_ref()).map(|found| found.count()),
            since: remote.map(|set| set.since),
            failed,
            until: remote.map(|set| set.since.after(self.freshness.max_age)),
        }
    }

    /// Refreshes for as long as the gateway runs, so that no login waits for an issuer that is slow or gone, and a key that
    /// the issuer removed is gone here too, whether or not anybody logs in.
    pub(super) async fn keep_fresh(&self) {
        match (&self.source, self.purpose) {
            (JwksSource::File(path), Purpose::JwtSvids) => return self.keep_as_file(path).await,
            (JwksSource::WorkloadApi | JwksSource::File(_), _) => return,
            (JwksSource::Url(_) | JwksSource::Discovery { .. }, _) => {}
        }
        loop {
            let known = self.set.load_full();
            let outcome = self.refreshed(known.as_ref()).await;
            let pause = match &outcome {
                Ok(set) => self.pause_after(set),
                Err(error) => {
                    tracing::warn!(%error, source = ?self.source, "the keys of an issuer are not refreshed");
                    self.freshness.floor * 3
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// How long a set is left alone: as its domain wishes, within what the configuration bears.
    fn pause_after(&self, set: &KeySet) -> Duration {
        let longest = self.freshness.refresh_after.mul_f32(0.8);
        set.refresh_hint.map_or(longest, |hint| hint.clamp(self.freshness.floor, longest.max(self.freshness.floor)))
    }

    /// A handshake cannot wait for a file, so that a bundle is read before it is asked for.
    async fn keep_as_file(&self, path: &Path) {
        let mut told = None;
        loop {
            let failed = self.find_in_file(path, self.set.load_full(), "").await.err();
            if failed != told
                && let Some(error) = &failed
            {
                tracing::warn!(%error, source = ?self.source, "the bundle of a trust domain cannot be read");
            }
            told.clone_from(&failed);
            self.note(failed);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Reads or fetches them once. Why it failed is kept for operators.
    pub(super) async fn load(&self) {
        let known = self.set.load_full();
        let failed = match &self.source {
            JwksSource::WorkloadApi => return,
            JwksSource::File(path) => self.find_in_file(path, known, "").await.err(),
            JwksSource::Url(_) | JwksSource::Discovery { .. } => self.refreshed(known.as_ref()).await.err(),
        };
        if let Some(error) = &failed {
            tracing::warn!(%error, source = ?self.source, "the keys of an issuer are not there yet");
        }
        self.note(failed);
    }

    fn note(&self, failed: Option<KeysError>) {
        self.last_attempt.lock().unwrap_or_else(PoisonError::into_inner).failed = failed;
    }

    /// The authorities of X.509-SVIDs, as they are now. Never waits.
    pub(super) fn authorities(&self) -> Result<Arc<Authorities>, KeysError> {
        let failed = || self.last_attempt.lock().unwrap_or_else(PoisonError::into_inner).failed.clone();
        let is_file = matches!(self.source, JwksSource::File(_));
        // A file that cannot be read has no authority, as it has no key.
        if let Some(error) = failed().filter(|_| is_file) {
            return Err(error);
        }
        let set = self.set.load_full().ok_or_else(|| failed().unwrap_or(KeysError::Waiting))?;
        if !is_file && self.age(&set) > self.freshness.max_age {
            return Err(failed().unwrap_or(KeysError::TooOld));
        }
        set.authorities.clone().ok_or(KeysError::NotKeys)
    }

    /// The authorities of X.509-SVIDs that were known last, however old they are.
    pub(super) fn latest_authorities(&self) -> Option<Arc<Authorities>> {
        self.set.load().as_ref().and_then(|set| set.authorities.clone())
    }

    /// Does the Workload API bring them?
    pub(super) fn are_pushed(&self) -> bool {
        matches!(self.source, JwksSource::WorkloadApi)
    }

    /// Takes what the Workload API brought: the authorities, the keys as a JWK set, or both. What it does not bring, stays.
    pub(super) fn push(&self, authorities: Option<Arc<Authorities>>, keys: Option<&[u8]>) -> Result<(), KeysError> {
        let known = self.set.load_full();
        let by_id = match (keys, &known) {
            (Some(text), _) => keys::parse(text, Purpose::WorkloadApi)?,
            (None, Some(known)) => known.by_id.clone(),
            (None, None) => HashMap::new(),
        };
        let authorities = authorities.or_else(|| known.as_ref().and_then(|known| known.authorities.clone()));
        let since = self.clock.now();
        let set = KeySet { by_id, since, stamp: None, authorities, sequence: None, refresh_hint: None };
        self.set.store(Some(Arc::new(set)));
        Ok(())
    }

    /// The Workload API still stands behind what it brought.
    pub(super) fn confirm(&self) {
        if let Some(known) = self.set.load_full() {
            self.set.store(Some(Arc::new(KeySet { since: self.clock.now(), ..KeySet::clone(&known) })));
        }
    }

    /// Whether the Workload API has this trust domain, as far as is known. What it brought serves until it is too old.
    pub(super) fn told(&self, failed: Option<WorkloadApiError>) {
        self.note(failed.map(KeysError::from));
    }

    /// The key with this `kid`, if the issuer has one. Refreshes at most once, and not if that was tried a moment ago.
    pub(super) async fn find(&self, kid: &str) -> Result<Option<Arc<VerifyingKey>>, KeysError> {
        let known = self.set.load_full();
        match &self.source {
            JwksSource::File(path) => return self.find_in_file(path, known, kid).await,
            JwksSource::WorkloadApi => return self.find_pushed(known, kid),
            JwksSource::Url(_) | JwksSource::Discovery { .. } => {}
        }
        let Some(set) = known.as_ref().filter(|set| self.age(set) <= self.freshness.max_age) else {
            // None, or too old to be used: nothing but a refresh will do.
            return Ok(self.refreshed(known.as_ref()).await?.key(kid));
        };
        let found = set.key(kid);
        // While another refreshes, or did so of late, a key that may still serve does: a slow issuer is not to slow every
        // login down.
        let refreshing = self.gate.available_permits() == 0;
        if found.is_some() && (refreshing || self.age(set) <= self.freshness.refresh_after || self.is_tended()) {
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

    fn find_pushed(&self, known: Option<Arc<KeySet>>, kid: &str) -> Result<Option<Arc<VerifyingKey>>, KeysError> {
        match known.filter(|set| self.age(set) <= self.freshness.max_age) {
            Some(set) => Ok(set.key(kid)),
            None => {
                let failed = self.last_attempt.lock().unwrap_or_else(PoisonError::into_inner).failed.clone();
                Err(failed.unwrap_or(KeysError::Waiting))
            }
        }
    }

    /// A file is read again whenever it changed, and only then: no floor is needed, since a stranger cannot change it.
    async fn find_in_file(
        &self,
        path: &Path,
        known: Option<Arc<KeySet>>,
        kid: &str,
    ) -> Result<Option<Arc<VerifyingKey>>, KeysError> {
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

    /// Was a refresh tried of late, whatever became of it?
    fn is_tended(&self) -> bool {
        let now = self.clock.now();
        let last = self.last_attempt.lock().unwrap_or_else(PoisonError::into_inner).at;
        last.is_some_and(|last| last <= now && now.since(last) <= self.freshness.refresh_after)
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
            if last.at.is_some_and(|last| last <= now && now.since(last) < self.freshness.floor) {
                return Err(KeysError::Waiting);
            }
            last.at = Some(now);
        }
        let outcome = match self.fetch().await {
            Ok(text) => self.replace(&text, now, None),
            Err(error) => Err(error),
        };
        self.last_attempt.lock().unwrap_or_else(PoisonError::into_inner).failed = outcome.as_ref().err().cloned();
        outcome
    }

    /// Fetches the set, from where the issuer says it is.
    async fn fetch(&self) -> Result<Vec<u8>, KeysError> {
        let location = match &self.source {
            JwksSource::Url(location) => location.clone(),
            JwksSource::Discovery { issuer, metadata } => {
                let text = self.fetch_at(metadata).await?;
                let metadata = json::object(&text).ok_or(KeysError::NotMetadata)?;
                // Metadata of another issuer would bring another's keys (Discovery, section 4.3).
                if metadata.get("issuer") != Some(&Json::Text(issuer.clone())) {
                    return Err(KeysError::NotMetadata);
                }
                let Some(Json::Text(place)) = metadata.get("jwks_uri") else { return Err(KeysError::NotMetadata) };
                place.parse::<Location>().map_err(|_unsafe| KeysError::NotMetadata)?
            }
            JwksSource::File(_) | JwksSource::WorkloadApi => return Err(KeysError::Waiting),
        };
        self.fetch_at(&location).await
    }

    async fn fetch_at(&self, location: &Location) -> Result<Vec<u8>, KeysError> {
        self.fetcher.fetch(location, LONGEST_SET, self.freshness.patience).await.map_err(|error| match error {
            FetchError::TooLarge(_) => KeysError::TooMany,
            error => error.into(),
        })
    }

    fn newer_than(&self, known: Option<&Arc<KeySet>>) -> Option<Arc<KeySet>> {
        let current = self.set.load_full()?;
        let same = known.is_some_and(|known| Arc::ptr_eq(known, &current));
        (!same && self.age(&current) <= self.freshness.max_age).then_some(current)
    }

    /// Replaces the set as a whole, so that a key that the issuer removed is gone.
    fn replace(&self, text: &[u8], since: Timestamp, stamp: Option<Stamp>) -> Result<Arc<KeySet>, KeysError> {
        let set = match self.purpose {
            Purpose::Tokens | Purpose::WorkloadApi => {
                let by_id = keys::parse(text, self.purpose)?;
                KeySet { by_id, since, stamp, authorities: None, sequence: None, refresh_hint: None }
            }
            Purpose::JwtSvids => {
                let Bundle { keys: by_id, authorities, sequence, refresh_hint } = Bundle::read(text)?;
                let before = self.set.load().as_ref().and_then(|known| known.sequence);
                if before.zip(sequence).is_some_and(|(before, now)| now < before) {
                    return Err(KeysError::Backwards);
                }
                KeySet { by_id, since, stamp, authorities: Some(authorities), sequence, refresh_hint }
            }
        };
        let set = Arc::new(set);
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
    fn key(&self, kid: &str) -> Option<Arc<VerifyingKey>> {
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

#[cfg(test)]
mod tests;
