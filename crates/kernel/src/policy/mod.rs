//! Policies: the Cedar schema, loading, the snapshot that `judge` reads, remedies, and the explanation of a decision.

mod snapshot;

pub use snapshot::{Disclosure, Mode, Snapshot, Upstream};
