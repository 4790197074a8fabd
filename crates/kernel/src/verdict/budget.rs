//! Limits of one response, and budgets: how often a workload may ask something of a resource in a time. Policies set them
//! (`@limit("rows=1000, per=20/1h")`), or how much of a number in the body (`@limit("sum(amount)=10000/1h")`); who counts is the gateway, since a judgement remembers nothing.

use std::sync::Arc;

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

/// A cap on the sum of a number that requests have in their bodies.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct SumLimit {
    /// The body's field, by its name among the facts (`context.amounts`).
    pub field: Arc<str>,
    /// The largest sum, and in what time.
    pub rate: Rate,
}

/// So many requests, or so much, in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Rate {
    /// How many, or how much.
    pub count: u64,
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
    /// What the request draws, where that is a number of its body; one request of the count where none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drawn: Option<Drawn>,
    /// The policy that sets it.
    pub by: Deciding,
}

impl Budget {
    /// How much the request draws.
    pub fn draws(&self) -> u64 {
        self.drawn.as_ref().map_or(1, |drawn| drawn.amount)
    }
}

/// What a request draws on a sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drawn {
    /// The body's field.
    pub field: Arc<str>,
    /// Its value. The caller's data, so it is written nowhere.
    #[serde(skip)]
    pub amount: u64,
}
