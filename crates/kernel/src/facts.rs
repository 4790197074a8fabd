//! What the protocol module found out about an operation. Policies read facts as `context`.
//!
//! A fact that is not known is absent, and a policy that reads an absent fact fails to evaluate: a forbid then counts as
//! a match. So a fact is left out only where it makes no sense.

mod http;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use http::{HttpFacts, Texts};

/// How a statement lets a column decide which rows exist, or their order: a way to learn it without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inference {
    /// Compared for equality with one constant or bound value.
    Equality,
    /// Compared by order.
    Range,
    /// Matched with LIKE, a regular expression or a text search.
    Pattern,
    /// In ORDER BY.
    Order,
    /// In GROUP BY or a window's PARTITION BY.
    Group,
    /// In DISTINCT, or in a UNION that drops equal rows.
    Distinct,
    /// Compared with another column.
    Join,
    /// Any other use in a predicate.
    Expression,
}

impl Inference {
    /// The word that policies and people see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equality => "equality",
            Self::Range => "range",
            Self::Pattern => "pattern",
            Self::Order => "order",
            Self::Group => "group",
            Self::Distinct => "distinct",
            Self::Join => "join",
            Self::Expression => "expression",
        }
    }
}

/// Which way rows travel in a COPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CopyDirection {
    /// `COPY … FROM STDIN`.
    In,
    /// `COPY … TO STDOUT`.
    Out,
}

impl CopyDirection {
    /// The word that policies and people see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// The facts of one operation: of SQL, or in `http` of an HTTP request. Sets hold full names without the upstream: `shop.public.orders`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Does a WHERE that is not provably constant limit the rows? Always present for UPDATE, DELETE and SELECT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounded: Option<bool>,
    /// The outermost LIMIT, if it is a constant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Every relation that the statement reads.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tables_read: BTreeSet<Arc<str>>,
    /// Every relation that the statement writes.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tables_written: BTreeSet<Arc<str>>,
    /// Every function that the statement calls by name, as `schema.name`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub functions: BTreeSet<Arc<str>>,
    /// The sort of object that a definition is about: `table`, `index`, `role`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<Arc<str>>,
    /// Which way a COPY goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyDirection>,
    /// How a column decides which rows exist (for `sql:infer`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inference: Option<Inference>,
    /// Was the statement asked for by EXPLAIN without ANALYZE, so that it does not run?
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub explain_only: bool,
    /// How many statements the client sent in one message; zero for what is no statement.
    #[serde(skip_serializing_if = "is_zero")]
    pub statements: u32,
    /// What is known of an HTTP request; none for other protocols.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Arc<HttpFacts>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde wants")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
