//! A new signing key, announced in the log by the old one.

use std::sync::PoisonError;
use std::time::Duration;

use kernel::audit::{AppendError, Batch, Entry, Event, VerifierKey};
use kernel::workload::Person;

use super::append::DiskLog;
use super::keys::{KeyView, KeysError};
use super::sync::seal_now;

/// Why there is no new signing key.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The log signs nothing.
    #[error("the audit log has no signing keys")]
    NoKeys,
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The log does not take the announcement.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl DiskLog {
    /// Every key that ever signed, the oldest first.
    pub fn keys(&self) -> Vec<KeyView> {
        self.shared
            .sealer
            .as_ref()
            .map_or_else(Vec::new, |sealer| sealer.lock().unwrap_or_else(PoisonError::into_inner).keys.views())
    }

    /// The key by which this node witnesses the logs of others.
    pub fn witness_key(&self) -> Option<VerifierKey> {
        let sealer = self.shared.sealer.as_ref()?;
        sealer.lock().unwrap_or_else(PoisonError::into_inner).keys.witness().cloned()
    }

    /// A new key signs from now on, and the old one along with it for `overlap`. Blocks.
    pub fn rotate_key(&self, by: &Person, reason: &str, overlap: Duration) -> Result<VerifierKey, RotateError> {
        let sealer = self.shared.sealer.as_ref().ok_or(RotateError::NoKeys)?;
        let now = self.shared.clock.now();
        // What the old key alone has signed so far stays so.
        seal_now(&self.shared);
        let mut sealer = sealer.lock().unwrap_or_else(PoisonError::into_inner);
        let key = sealer.keys.rotate(now, overlap, |key| {
            let mut batch = Batch::default();
            let (by, object) = (Some(by), key.to_string());
            let event = Event::Admin { by, action: "audit rotate", object: &object, reason: Some(reason) };
            batch.push(&Entry { at: now, event });
            self.append_now(&batch).map(drop).map_err(RotateError::from)
        })?;
        sealer.publish_keys().map_err(KeysError::from)?;
        Ok(key)
    }
}
