//! What tasks have used of their limits, over all their sessions on this node. A narrowed task's use counts for every link
//! above it too, so that narrowing a budget ten times does not make ten of it (hazard ID20).
//!
//! What is left is part of the circumstances; the kernel judges it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kernel::task::{Left, Task};
use kernel::time::Timestamp;

/// Links that are counted at once. Beyond, none is left to a task: it is refused rather than uncounted.
const MOST: usize = 50_000;

#[derive(Clone, Copy, Debug)]
struct Used {
    rows: u64,
    uses: u64,
    until: Timestamp,
}

/// The counts of every task that has limits and has not ended.
#[derive(Debug, Default)]
pub(crate) struct TaskUses {
    used: Mutex<HashMap<[u8; 32], Used>>,
}

impl TaskUses {
    /// What is left of a task.
    pub(crate) fn left(&self, task: &Task, now: Timestamp) -> Left {
        self.taking(task, now, 0)
    }

    /// Takes one use, unless none is left. What was left before, which counts this use.
    pub(crate) fn take(&self, task: &Task, now: Timestamp) -> Left {
        self.taking(task, now, 1)
    }

    fn taking(&self, task: &Task, now: Timestamp, uses: u64) -> Left {
        let mut left = Left::default();
        if !is_limited(task) {
            return left;
        }
        let mut used = self.used();
        if used.len() + task.links().len() > MOST {
            used.retain(|_, one| one.until > now);
        }
        let room = used.len() + task.links().len() <= MOST;
        for link in task.links() {
            let limits = link.details.limits;
            let one = match used.get(&link.mark) {
                Some(one) => *one,
                None if room => Used { rows: 0, uses: 0, until: link.expires },
                None => return Left { rows: Some(0), uses: Some(0) },
            };
            left.rows = least(left.rows, limits.rows.map(|limit| limit.saturating_sub(one.rows)));
            left.uses = least(left.uses, limits.uses.map(|limit| limit.saturating_sub(one.uses)));
        }
        if uses > 0 && left.uses != Some(0) && left.rows != Some(0) {
            add(&mut used, task, |one| one.uses = one.uses.saturating_add(uses));
        }
        left
    }

    /// Gives back a use that was taken for what then did not pass.
    pub(crate) fn give_back(&self, task: &Task) {
        if is_limited(task) {
            add(&mut self.used(), task, |one| one.uses = one.uses.saturating_sub(1));
        }
    }

    /// Counts rows that left.
    pub(crate) fn count_rows(&self, task: &Task, rows: u64) {
        if rows > 0 && is_limited(task) {
            add(&mut self.used(), task, |one| one.rows = one.rows.saturating_add(rows));
        }
    }

    fn used(&self) -> MutexGuard<'_, HashMap<[u8; 32], Used>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_limited(task: &Task) -> bool {
    task.links().iter().any(|link| link.details.limits.rows.is_some() || link.details.limits.uses.is_some())
}

fn add(used: &mut HashMap<[u8; 32], Used>, task: &Task, change: impl Fn(&mut Used)) {
    for link in task.links() {
        change(used.entry(link.mark).or_insert(Used { rows: 0, uses: 0, until: link.expires }));
    }
}

fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests;
