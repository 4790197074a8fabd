//! Implementations of ports in memory, for tests and for `--ephemeral`. A desk in memory is `Database::in_memory`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use kernel::audit::{AppendError, Batch, LONGEST_ENTRY, LeafIndex};
use kernel::ports::{
    Appending, AuditLog, Clock, NativeToken, NativeTokens, PortFuture, SpendError, Spent, SpentTokens,
};
use kernel::time::Timestamp;
use kernel::trust::OnceToken;
use serde_json::Value;

/// An audit log that keeps its entries and can be told to fail.
#[derive(Debug, Default)]
pub struct MemoryLog {
    inner: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: Vec<Vec<u8>>,
    failing: Option<AppendError>,
}

impl MemoryLog {
    /// From now on every append fails with `error`; with `None` they succeed again.
    pub fn fail(&self, error: Option<AppendError>) {
        if let Ok(mut kept) = self.inner.lock() {
            kept.failing = error;
        }
    }

    /// Every entry so far, as JSON. One that is no JSON is `null`.
    pub fn entries(&self) -> Vec<Value> {
        let Ok(kept) = self.inner.lock() else { return Vec::new() };
        kept.entries.iter().map(|entry| serde_json::from_slice(entry).unwrap_or_default()).collect()
    }
}

impl MemoryLog {
    fn append_now(&self, batch: &Batch) -> Result<LeafIndex, AppendError> {
        let mut kept = self.inner.lock().map_err(|_| AppendError::Unwritable)?;
        if let Some(error) = kept.failing {
            return Err(error);
        }
        if batch.entries().any(|entry| entry.len() > LONGEST_ENTRY) {
            return Err(AppendError::TooLong);
        }
        let first = LeafIndex(kept.entries.len() as u64);
        kept.entries.extend(batch.entries().map(<[u8]>::to_vec));
        Ok(first)
    }
}

impl AuditLog for MemoryLog {
    fn append<'a>(&'a self, batch: &'a Batch) -> Appending<'a> {
        Appending::Done(self.append_now(batch))
    }
}

/// A clock that stands until it is moved, and counts instead of drawing lots.
#[derive(Debug)]
pub struct StoppedClock {
    now: AtomicI64,
    drawn: AtomicU64,
}

impl StoppedClock {
    /// Stands at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self { now: AtomicI64::new(now.millis()), drawn: AtomicU64::new(0) }
    }

    /// Moves forward.
    pub fn advance(&self, by: Duration) {
        self.now.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    fn random(&self) -> u64 {
        self.drawn.fetch_add(1, Ordering::SeqCst)
    }
}

/// Remembers spent tokens until the process ends.
#[derive(Debug, Default)]
pub struct MemorySpent {
    spent: Mutex<BTreeSet<(String, String)>>,
}

impl SpentTokens for MemorySpent {
    fn spend<'a>(&'a self, token: &'a OnceToken) -> PortFuture<'a, Result<Spent, SpendError>> {
        Box::pin(async move {
            let mut spent = self.spent.lock().map_err(|_| SpendError::Unavailable)?;
            let first = spent.insert((token.issuer.to_string(), token.id.clone()));
            Ok(if first { Spent::Consumed } else { Spent::AlreadyUsed })
        })
    }
}

/// Native tokens that were put there.
#[derive(Debug, Default)]
pub struct MemoryTokens {
    /// By SHA-256.
    pub tokens: BTreeMap<[u8; 32], NativeToken>,
}

impl NativeTokens for MemoryTokens {
    fn find(&self, hash: &[u8; 32]) -> Option<NativeToken> {
        self.tokens.get(hash).cloned()
    }

    fn in_force(&self, id: &str) -> bool {
        self.tokens.values().any(|token| *token.id == *id)
    }
}
