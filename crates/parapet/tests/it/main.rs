//! The one integration-test binary: the real `parapet`, a real PostgreSQL, stock clients, and the checks of the tree itself.
//!
//! One binary because every further one is another link. Each module is a group of `test.sh`; `bed` is what they stand on.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests fail by panicking, start processes, and read the clock and the environment"
)]

mod audit;
mod bed;
mod cli;
mod commands;
mod docs;
mod hazards;
mod http;
mod identity;
mod life;
mod parity;
mod pdp;
mod postgres;
mod tidy;
