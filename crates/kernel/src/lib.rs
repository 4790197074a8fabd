//! The kernel decides. It holds the words of the product as types, the one pure function that judges a request, the
//! approvals as a state machine, and the form of the audit log.
//!
//! It is pure: no input or output, no runtime, no clock, no randomness, no globals. Time, circumstances and new ids are
//! arguments. Read `judge.rs` first, then `verdict.rs` for the proofs that the rest of the product is built on.

pub mod answer;
pub mod approval;
pub mod audit;
pub mod circumstances;
pub mod facts;
pub mod id;
pub mod judge;
pub mod kept;
pub mod operation;
pub mod policy;
pub mod ports;
pub mod provenance;
pub mod resource;
pub mod risk;
pub mod secret;
pub mod signal;
pub mod task;
#[cfg(test)]
pub(crate) mod testing;
pub mod threats;
pub mod time;
pub mod trust;
pub mod verdict;
pub mod workload;
