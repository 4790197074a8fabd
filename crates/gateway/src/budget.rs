//! Budgets of questions (`@limit("per=20/1h")`): counted for each policy, workload and resource, over all sessions of this
//! process. A window begins with its first request, and a restart begins all of them anew.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kernel::resource::Resource;
use kernel::time::Timestamp;
use kernel::verdict::Rate;
use kernel::workload::Name;

/// So many windows are remembered. Beyond it those that have ended are dropped; if none has, requests are refused.
const MOST: usize = 65_536;

/// Whose budget, of what, by which policy.
type Key = (std::sync::Arc<str>, Name, Resource);

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Timestamp,
    length: Duration,
    used: u32,
}

/// What has been used of every budget.
#[derive(Debug, Default)]
pub struct Budgets {
    windows: Mutex<HashMap<Key, Window>>,
}

impl Budgets {
    /// Takes one request from a budget. False if none is left.
    pub fn take(
        &self,
        policy: &std::sync::Arc<str>,
        workload: &Name,
        resource: &Resource,
        rate: Rate,
        now: Timestamp,
    ) -> bool {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (policy.clone(), workload.clone(), resource.clone());
        if windows.len() >= MOST && !windows.contains_key(&key) {
            windows.retain(|_, window| !window.has_ended(now));
            if windows.len() >= MOST {
                return false;
            }
        }
        let length = Duration::from_secs(rate.window_s.into());
        let window = windows.entry(key).or_insert(Window { began: now, length, used: 0 });
        window.length = length;
        if window.has_ended(now) {
            (window.began, window.used) = (now, 0);
        }
        let left = window.used < rate.count;
        if left {
            window.used += 1;
        }
        left
    }
}

impl Window {
    fn has_ended(&self, now: Timestamp) -> bool {
        now.since(self.began) >= self.length
    }
}

#[cfg(test)]
mod tests;
