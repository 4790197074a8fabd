//! How often an issuer's tokens are exchanged: bounded for each, so that one that runs wild takes nothing from the others.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kernel::time::Timestamp;

/// Exchanges are counted over so long.
const WINDOW: Duration = Duration::from_secs(60);
/// Exchanges of an issuer's tokens in a window.
pub(super) const MOST: u32 = 600;

/// Counts by issuer. Only verified issuers are counted, of which there are as many as are configured.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<BTreeMap<String, (Timestamp, u32)>>);

impl Rates {
    /// Counts an exchange; false if there were too many.
    pub(super) fn admit(&self, issuer: &str, now: Timestamp) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(issuer.to_owned()).or_insert((now, 0));
        // A clock that is set back must not make a window last.
        if count.0 > now || now.since(count.0) >= WINDOW {
            *count = (now, 0);
        }
        count.1 = count.1.saturating_add(1);
        count.1 <= MOST
    }
}
