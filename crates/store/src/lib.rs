//! The store remembers: the audit log on disk, and in SQLite the approvals, the standing of workloads and ended sessions.
//!
//! It implements ports of `kernel::ports` and knows neither protocols nor HTTP. `log/` is the audit log; the rest is a file
//! per noun over `database.rs`. `memory.rs` has stand-ins for tests of other crates.

pub mod approvals;
pub mod classes;
pub mod copied;
pub mod database;
pub mod incidents;
pub mod kept;
pub mod log;
pub mod memory;
pub mod outgoing;
pub mod risk;
#[cfg(test)]
mod scratch;
pub mod signals;
pub mod spent;
pub mod tasks;
pub mod tokens;
pub mod workloads;

/// A build with `--all-features`, by mistake, must not become a gateway that enters nothing.
#[cfg(feature = "unaudited")]
const _: () = assert!(
    option_env!("PARAPET_BENCH").is_some(),
    "the feature `unaudited` enters nothing in the audit log: it is for `./bench.sh audit` alone"
);
