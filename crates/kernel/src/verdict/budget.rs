//! Budgets: how often a workload may ask something of a resource in a time. Policies set them (`@limit("per=20/1h")`); who
//! counts is the gateway, since a judgement remembers nothing.

use serde::Serialize;

use super::Deciding;

/// So many requests in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how many seconds, from the first of them on.
    pub window_s: u32,
}

/// A budget that a request draws on, once for the operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// Which operation: its resource is what is counted.
    pub operation: usize,
    /// How much there is.
    pub rate: Rate,
    /// The policy that sets it.
    pub by: Deciding,
}
