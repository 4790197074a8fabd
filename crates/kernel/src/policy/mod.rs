//! Policies: the Cedar schema, loading, the snapshot that `judge` reads, remedies, and the explanation of a decision.
//!
//! `load` reads files into a bundle; `snapshot` freezes a bundle with the workloads and upstreams; `evaluate` is what
//! `judge`, dry runs and tests share.

mod annotation;
mod class;
mod entities;
pub(crate) mod evaluate;
mod explain;
mod explain_text;
mod http_reads;
mod load;
mod problem;
pub(crate) mod reads;
mod scan;
mod schema;
mod slice;
mod snapshot;
mod steps;

pub use annotation::{Limited, Remedy};
pub use class::{ClassPattern, ClassSource, DeclaredClass, InvalidPattern, NO_CLASS};
pub use entities::resource_id;
pub use evaluate::{Evaluation, evaluate};
pub use explain::{Clause, Explanation, NearMiss, Part, PolicyExplanation, Truth, explain};
pub use explain_text::explanation_text;
pub use http_reads::{HttpReads, NamesRead};
pub use load::{Bundle, LoadedPolicy, PolicyFile};
pub use problem::{Problem, ProblemKind};
pub use schema::TEXT as SCHEMA;
pub(crate) use snapshot::KnownUpstream;
pub use snapshot::{Disclosure, Mode, Snapshot, SnapshotParts, Upstream};
