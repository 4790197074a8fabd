//! Budgets of questions (`@limit("per=20/1h")`) and of sums (`@limit("sum(amount)=10000/1h")`): counted for each policy, workload and resource, over all sessions of this
//! process. A window begins with its first request, and a restart begins all of them anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kernel::operation::Operation;
use kernel::resource::Resource;
use kernel::time::Timestamp;
use kernel::verdict::Budget;
use kernel::workload::Name;

/// So many windows are remembered. Beyond it those that have ended are dropped; if none has, requests are refused.
const MOST: usize = 65_536;

/// By which policy, of what number (none: of requests), whose, and of what.
type Key = (Arc<str>, Option<Arc<str>>, Name, Resource);

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Timestamp,
    length: Duration,
    used: u64,
}

/// What has been used of every budget.
#[derive(Debug, Default)]
pub struct Budgets {
    windows: Mutex<HashMap<Key, Window>>,
}

/// What a request draws on.
#[derive(Clone, Copy, Debug)]
pub struct Draws<'a> {
    /// From which budgets, and how much from each.
    pub budgets: &'a [Budget],
    /// What it asks for; each budget is for one of these.
    pub operations: &'a [Operation],
    /// Whose it is.
    pub workload: &'a Name,
}

impl Draws<'_> {
    fn resource(&self, budget: &Budget) -> Option<&Resource> {
        self.operations.get(budget.operation).map(|operation| &*operation.resource)
    }
}

impl Budgets {
    /// Takes what a request draws on: from all of its budgets, or from none.
    ///
    /// # Errors
    /// The one that has not so much left.
    pub fn take_all<'a>(&self, draws: Draws<'a>, now: Timestamp) -> Result<(), (&'a Budget, UsedUp)> {
        for (place, budget) in draws.budgets.iter().enumerate() {
            let taken = match draws.resource(budget) {
                Some(resource) => self.take(budget, draws.workload, resource, now),
                None => Err(UsedUp { frees_in: None }),
            };
            if let Err(used_up) = taken {
                let budgets = draws.budgets.get(..place).unwrap_or_default();
                self.give_all_back(Draws { budgets, ..draws }, now);
                return Err((budget, used_up));
            }
        }
        Ok(())
    }

    /// Gives back what a request took at a time from its budgets, because it did not pass.
    pub(crate) fn give_all_back(&self, draws: Draws<'_>, taken: Timestamp) {
        for budget in draws.budgets {
            if let Some(resource) = draws.resource(budget) {
                self.give_back(budget, draws.workload, resource, taken);
            }
        }
    }

    /// Takes what a request draws from a budget.
    ///
    /// # Errors
    /// So much is not left, and nothing is taken.
    fn take(&self, budget: &Budget, workload: &Name, resource: &Resource, now: Timestamp) -> Result<(), UsedUp> {
        let rate = budget.rate;
        let length = Duration::from_secs(rate.window_s.into());
        // What is more than the whole budget never fits, however long one waits.
        let fits_ever = budget.draws() <= rate.count;
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(budget, workload, resource);
        if windows.len() >= MOST && !windows.contains_key(&key) {
            windows.retain(|_, window| !window.has_ended(now));
            if windows.len() >= MOST {
                return Err(UsedUp { frees_in: fits_ever.then_some(length) });
            }
        }
        let window = windows.entry(key).or_insert(Window { began: now, length, used: 0 });
        window.length = length;
        if window.has_ended(now) {
            (window.began, window.used) = (now, 0);
        }
        match window.used.checked_add(budget.draws()).filter(|used| *used <= rate.count) {
            Some(used) => {
                window.used = used;
                Ok(())
            }
            None => Err(UsedUp { frees_in: fits_ever.then(|| window.left(now)) }),
        }
    }

    /// Nothing is given back if another window has begun since.
    fn give_back(&self, budget: &Budget, workload: &Name, resource: &Resource, taken: Timestamp) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.get_mut(&key(budget, workload, resource)).filter(|window| window.began <= taken);
        if let Some(window) = window {
            window.used = window.used.saturating_sub(budget.draws());
        }
    }
}

fn key(budget: &Budget, workload: &Name, resource: &Resource) -> Key {
    let field = budget.drawn.as_ref().map(|drawn| drawn.field.clone());
    (budget.by.policy.clone(), field, workload.clone(), resource.clone())
}

/// A budget has no room for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the budget is used up")]
pub struct UsedUp {
    /// When it has room for the same request; none if it is larger than the whole budget.
    pub frees_in: Option<Duration>,
}

impl Window {
    fn has_ended(&self, now: Timestamp) -> bool {
        now.since(self.began) >= self.length
    }

    /// How long until it ends.
    fn left(&self, now: Timestamp) -> Duration {
        self.length.saturating_sub(now.since(self.began))
    }
}

#[cfg(test)]
mod tests;
