//! A value that is made when it is needed, kept while it is good, and made by one caller at a time. A new one is made while
//! the old is still good, so that nobody but its maker waits.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use kernel::ports::Clock;
use kernel::secret::Secret;
use kernel::time::Timestamp;
use tokio::sync::Semaphore;

use super::CredentialError;
use crate::upstream::secret::SecretSource;

/// How long a secret that was read is kept: a rotation takes effect within this time, and a program that prints one is not
/// run for every request.
const BRIEFLY: Duration = Duration::from_secs(10);
/// After a failure nothing is tried for so long: a token endpoint that is down is not to be asked by every request.
const PAUSE: Duration = Duration::from_secs(1);

/// A value and its times.
pub(super) struct Kept<T> {
    value: Arc<T>,
    /// When it was made. A clock that was set back makes it stale, not eternal.
    made: Timestamp,
    /// Until then it is used without a second thought.
    fresh_until: Timestamp,
    /// From then on it is not used.
    good_until: Timestamp,
}

impl<T> Kept<T> {
    pub(super) fn new(value: T, made: Timestamp, fresh_until: Timestamp, good_until: Timestamp) -> Self {
        Self { value: Arc::new(value), made, fresh_until, good_until }
    }

    /// What can be made anew at any time.
    pub(super) fn briefly(value: T, now: Timestamp) -> Self {
        // While one reads it again, which a program may take seconds for, the others go on with what was read last.
        Self::new(value, now, now.after(BRIEFLY), now.after(BRIEFLY * 2))
    }
}

/// Reads a secret, to be kept briefly.
pub(super) async fn read(source: &SecretSource, clock: &dyn Clock) -> Result<Kept<Secret<String>>, CredentialError> {
    Ok(Kept::briefly(source.read().await?, clock.now()))
}

/// The place of a value.
pub(super) struct Held<T> {
    kept: ArcSwapOption<Kept<T>>,
    /// One maker at a time.
    gate: Semaphore,
    failed: Mutex<Option<(Timestamp, CredentialError)>>,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self { kept: ArcSwapOption::empty(), gate: Semaphore::new(1), failed: Mutex::default() }
    }
}

impl<T> Held<T> {
    /// The value, made by `make` if there is none that is fresh.
    pub(super) async fn get<Made>(
        &self,
        clock: &dyn Clock,
        make: impl FnOnce() -> Made,
    ) -> Result<Arc<T>, CredentialError>
    where
        Made: Future<Output = Result<Kept<T>, CredentialError>>,
    {
        let now = clock.now();
        let known = self.kept.load_full();
        if let Some(kept) = known.as_ref().filter(|kept| kept.made <= now && now < kept.fresh_until) {
            return Ok(Arc::clone(&kept.value));
        }
        let good = known.filter(|kept| kept.made <= now && now < kept.good_until).map(|kept| Arc::clone(&kept.value));
        let permit = match (&good, self.gate.try_acquire()) {
            // Another makes a new one already.
            (Some(good), Err(_busy)) => return Ok(Arc::clone(good)),
            (None, Err(_busy)) => self.gate.acquire().await.map_err(|_closed| CredentialError::Unavailable)?,
            (_, Ok(permit)) => permit,
        };
        // While this caller waited, another may have made it, or failed.
        let now = clock.now();
        if let Some(kept) = self.kept.load_full().filter(|kept| kept.made <= now && now < kept.fresh_until) {
            return Ok(Arc::clone(&kept.value));
        }
        if let Some(error) = self.failed_of_late(now) {
            return good.ok_or(error);
        }
        let outcome = make().await;
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let result = match outcome {
            Ok(made) => {
                *failed = None;
                let value = Arc::clone(&made.value);
                self.kept.store(Some(Arc::new(made)));
                Ok(value)
            }
            Err(error) => {
                tracing::warn!(%error, still_good = good.is_some(), "a credential cannot be renewed");
                *failed = Some((clock.now(), error.clone()));
                good.ok_or(error)
            }
        };
        drop(permit);
        result
    }

    fn failed_of_late(&self, now: Timestamp) -> Option<CredentialError> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let of_late = |at: Timestamp| at <= now && now.since(at) < PAUSE;
        failed.as_ref().filter(|(at, _)| of_late(*at)).map(|(_, error)| error.clone())
    }

    /// Forgets the value, so that the next caller makes it anew.
    pub(super) fn forget(&self) {
        self.kept.store(None);
    }
}

impl<T> fmt::Debug for Held<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}
