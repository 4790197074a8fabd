//! Keeps threat lists: read at the start, and again when their files change, when their time to be fetched comes, and when
//! one of their entries ends. Off the data path: sessions see a new list as one pointer in the next snapshot.
//!
//! A list that cannot be read at the start stops the start. Later it is reported, and the old one stays, growing older: then
//! its age is a fact that policies see.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kernel::audit::{Batch, Entry, Event};
use kernel::ports::{AuditLog, Clock};
use kernel::threats::{AddressSet, Format, Lines, ListError, ThreatList, Threats, read};
use kernel::time::Timestamp;
use kernel::workload::Name;
use tokio::io::AsyncReadExt as _;

use crate::upstream::fetch::{FetchError, Fetcher, Location};

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a fetch may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest text of a list, in bytes.
const LONGEST: usize = 1 << 30;
/// The least time until a fetch that failed is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// Where a list is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File(PathBuf),
    /// Behind a URL, fetched every so often. The last text is kept in the file `cache`, so that a start needs no network.
    Url {
        /// The URL.
        location: Location,
        /// How it is shown.
        shown: Arc<str>,
        /// How often it is fetched.
        every: Duration,
        /// Where the last text is kept.
        cache: PathBuf,
    },
}

/// A list as configured.
#[derive(Clone, Debug)]
pub struct ListSettings {
    /// Its name.
    pub name: Name,
    /// Where it is.
    pub place: Place,
    /// Its form.
    pub format: Format,
    /// Beyond this age it is too old.
    pub max_age: Duration,
    /// The most networks that it may name.
    pub most: usize,
    /// Reads the times of its entries, RFC 3339.
    pub time: fn(&str) -> Option<Timestamp>,
}

/// Why a list was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Its file cannot be read.
    #[error("`{}` cannot be read: {kind}", .path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        kind: std::io::ErrorKind,
    },
    /// It could not be fetched.
    #[error("it cannot be fetched: {0}")]
    Fetch(#[from] FetchError),
    /// It is too long.
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    /// Its text cannot be taken.
    #[error(transparent)]
    Text(#[from] ListError),
    /// The process is stopping.
    #[error("reading it was given up")]
    GivenUp,
}

/// A list that kept the gateway from starting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("threat list `{name}`: {why}")]
pub struct StartError {
    /// Which.
    pub name: Name,
    /// Why.
    pub why: LoadError,
}

/// What tells a changed file: when it was written, its length, and which file it is.
type Stamp = (Option<SystemTime>, u64, u64);

/// A list that is held.
struct Held {
    settings: ListSettings,
    list: ThreatList,
    stamp: Option<Stamp>,
    /// The entries, kept only where some of them end.
    ending: Option<Lines>,
    next_end: Option<Timestamp>,
    next_fetch: Timestamp,
    stale: bool,
}

/// The threat lists.
pub struct ThreatLists {
    held: Vec<Held>,
    fetcher: Fetcher,
    clock: Arc<dyn Clock>,
    log: Arc<dyn AuditLog>,
}

impl fmt::Debug for ThreatLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreatLists").field("lists", &self.held.len()).finish_non_exhaustive()
    }
}

impl ThreatLists {
    /// Reads every list; one that cannot be had at all is an error.
    pub async fn open(
        settings: Vec<ListSettings>,
        fetcher: Fetcher,
        clock: Arc<dyn Clock>,
        log: Arc<dyn AuditLog>,
    ) -> Result<Self, StartError> {
        let mut lists = Self { held: Vec::with_capacity(settings.len()), fetcher, clock, log };
        for settings in settings {
            let name = settings.name.clone();
            let held = lists.first(settings).await.map_err(|why| StartError { name, why })?;
            lists.enter(&held.list, "threats load").await;
            lists.held.push(held);
        }
        Ok(lists)
    }

    /// The lists as they are.
    pub fn current(&self) -> Arc<Threats> {
        let lists = self.held.iter().map(|held| held.list.clone()).collect();
        Arc::new(Threats::new(lists, self.clock.now()))
    }

    /// Keeps them up to date, and publishes what changed. Never returns.
    pub async fn follow(mut self, publish: impl Fn(Arc<Threats>)) {
        if self.held.is_empty() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.refresh().await {
                publish(self.current());
            }
        }
    }

    /// Looks at every list once; has any changed, become too old, or failed?
    pub async fn refresh(&mut self) -> bool {
        let mut changed = false;
        for place in 0..self.held.len() {
            let Some(held) = self.held.get(place) else { continue };
            let now = self.clock.now();
            let outcome = self.reread(held, now).await;
            let Some(held) = self.held.get_mut(place) else { continue };
            let stale = held.list.is_stale(now);
            let aged = stale != held.stale;
            held.stale = stale;
            let entered = match outcome {
                Ok(None) => {
                    changed |= aged;
                    continue;
                }
                Ok(Some(fresh)) => {
                    *held = fresh;
                    tracing::info!(list = %held.list.name, networks = held.list.networks, "threat list loaded");
                    "threats load"
                }
                Err((error, stamp)) => {
                    tracing::error!(list = %held.list.name, %error, "threat list refused; the old one stays");
                    // The same text is not refused again and again.
                    held.stamp = stamp.or(held.stamp);
                    held.next_fetch = now.after(RETRY);
                    held.list.failed = Some(error.to_string().into());
                    "threats refuse"
                }
            };
            changed = true;
            let list = held.list.clone();
            self.enter(&list, entered).await;
        }
        changed
    }

    async fn first(&self, settings: ListSettings) -> Result<Held, LoadError> {
        let now = self.clock.now();
        match settings.place.clone() {
            Place::File(path) => {
                let stamp = stamp(&path).await?;
                let text = read_file(&path).await?;
                held(settings, text, written(&stamp).unwrap_or(now), Some(stamp), now).await
            }
            Place::Url { location, cache, every, .. } => {
                if let Ok(stamp) = stamp(&cache).await {
                    // Fetched again at once if it is due; what is there serves until then.
                    let as_of = written(&stamp).unwrap_or(now);
                    let text = read_file(&cache).await?;
                    let kept = held(settings.clone(), text, as_of, None, now).await;
                    if let Ok(kept) = kept {
                        return Ok(Held { next_fetch: as_of.after(every), ..kept });
                    }
                }
                let text = self.fetcher.fetch(&location, LONGEST, PATIENCE).await?;
                let fresh = held(settings, text.clone(), now, None, now).await?;
                keep(&cache, &text).await;
                Ok(Held { next_fetch: now.after(every), ..fresh })
            }
        }
    }

    /// The list anew, if it is due. With an error comes the stamp of what was refused.
    async fn reread(&self, known: &Held, now: Timestamp) -> Result<Option<Held>, (LoadError, Option<Stamp>)> {
        let settings = known.settings.clone();
        match &known.settings.place {
            Place::File(path) => {
                let stamp = match stamp(path).await {
                    Ok(stamp) => stamp,
                    // Said once: as long as it is gone, nothing is new.
                    Err(_) if known.list.failed.is_some() && known.stamp.is_none() => return self.ended(known, now),
                    Err(error) => return Err((error, None)),
                };
                if known.stamp == Some(stamp) {
                    return self.ended(known, now);
                }
                let refused = |error| (error, Some(stamp));
                let text = read_file(path).await.map_err(refused)?;
                let as_of = written(&stamp).unwrap_or(now);
                held(settings, text, as_of, Some(stamp), now).await.map(Some).map_err(refused)
            }
            Place::Url { location, cache, every, .. } => {
                if now < known.next_fetch {
                    return self.ended(known, now);
                }
                let refused = |error: LoadError| (error, None);
                let fetched = self.fetcher.fetch(location, LONGEST, PATIENCE).await;
                let text = fetched.map_err(|error| refused(error.into()))?;
                let fresh = held(settings, text.clone(), now, None, now).await.map_err(refused)?;
                keep(cache, &text).await;
                Ok(Some(Held { next_fetch: now.after(*every), ..fresh }))
            }
        }
    }

    /// The list without the entries that have ended since.
    fn ended(&self, known: &Held, now: Timestamp) -> Result<Option<Held>, (LoadError, Option<Stamp>)> {
        let (Some(lines), Some(end)) = (&known.ending, known.next_end) else { return Ok(None) };
        if now < end {
            return Ok(None);
        }
        let (counts, next_end) = lines.at(now);
        let list = ThreatList { addresses: Arc::new(AddressSet::new(counts)), ..known.list.clone() };
        Ok(Some(Held {
            settings: known.settings.clone(),
            list,
            stamp: known.stamp,
            ending: Some(lines.clone()),
            next_end,
            next_fetch: known.next_fetch,
            stale: known.stale,
        }))
    }

    async fn enter(&self, list: &ThreatList, action: &str) {
        let object = format!("{}: {} networks of {}", list.name, list.networks, list.source);
        let event = Event::Admin { by: None, action, object: &object, reason: list.failed.as_deref() };
        let mut batch = Batch::default();
        batch.push(&Entry { at: self.clock.now(), event });
        if let Err(error) = self.log.append(&batch).await {
            tracing::error!(list = %list.name, %error, "a threat list's change could not be entered");
        }
    }
}

/// Reads a text into a list, on a thread that may take its time.
async fn held(
    settings: ListSettings,
    text: Vec<u8>,
    as_of: Timestamp,
    stamp: Option<Stamp>,
    now: Timestamp,
) -> Result<Held, LoadError> {
    let source = match &settings.place {
        Place::File(path) => path.display().to_string().into(),
        Place::Url { shown, .. } => Arc::clone(shown),
    };
    let reading = tokio::task::spawn_blocking(move || {
        let lines = read(&text, &settings.format, settings.most, settings.time)?;
        drop(text);
        let (counts, next_end) = lines.at(now);
        let list = ThreatList {
            name: settings.name.clone(),
            source,
            addresses: Arc::new(AddressSet::new(counts)),
            networks: lines.networks.len(),
            passed_over: lines.passed_over,
            as_of,
            max_age: settings.max_age,
            failed: None,
        };
        let ending = lines.has_ends().then_some(lines);
        let stale = list.is_stale(now);
        Ok(Held { settings, list, stamp, ending, next_end, next_fetch: now, stale })
    });
    reading.await.map_err(|_stopping| LoadError::GivenUp)?
}

async fn stamp(path: &Path) -> Result<Stamp, LoadError> {
    let found = tokio::fs::metadata(path).await.map_err(|error| unreadable(path, &error))?;
    Ok((found.modified().ok(), found.len(), found.ino()))
}

/// When a file was written.
fn written(stamp: &Stamp) -> Option<Timestamp> {
    let since = stamp.0?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().map(Timestamp::from_millis)
}

async fn read_file(path: &Path) -> Result<Vec<u8>, LoadError> {
    let mut text = Vec::new();
    let file = tokio::fs::File::open(path).await.map_err(|error| unreadable(path, &error))?;
    file.take(LONGEST as u64 + 1).read_to_end(&mut text).await.map_err(|error| unreadable(path, &error))?;
    if text.len() > LONGEST { Err(LoadError::TooLong) } else { Ok(text) }
}

fn unreadable(path: &Path, error: &std::io::Error) -> LoadError {
    LoadError::Unreadable { path: path.to_owned(), kind: error.kind() }
}

/// Keeps the last good text. Without it the next start needs the network; this one goes on.
async fn keep(cache: &Path, text: &[u8]) {
    let fresh = cache.with_extension("new");
    let kept = async {
        if let Some(folder) = cache.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        tokio::fs::write(&fresh, text).await?;
        tokio::fs::rename(&fresh, cache).await
    };
    if let Err(error) = kept.await {
        tracing::warn!(file = %cache.display(), %error, "a threat list is not kept for the next start");
    }
}

#[cfg(test)]
mod tests;
