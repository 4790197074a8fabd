//! Limits of one response, and budgets: how often a workload may ask something of a resource in a time. Policies set them
//! (`@limit("rows=1000, per=20/1h")`); who counts is the gateway, since a judgement remembers nothing.

use serde::Serialize;

use super::Deciding;

/// What a response is capped at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Limits {
    /// Rows of one response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Bytes of one response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Requests of one workload about one resource, over all its sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per: Option<Rate>,
}

impl Limits {
    pub(super) fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

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
