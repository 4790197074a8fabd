//! The audit log on disk: a folder of segment files, one line a record, in the form that `kernel::audit` defines.
//!
//! - `00000000000000000000.log`: a segment, named after its first record; at 64 MiB the next one begins
//! - `head.json`: how many records were certainly on disk at some time, and the chain there; it only moves forward
//! - `lock`: held by the one process that writes
//! - `*.torn`: a last record that a crash of the machine cut off, put aside when the log was opened
//!
//! `append.rs` writes, `open.rs` recovers, `sync.rs` makes durable, `verify.rs` proves, `search.rs` reads,
//! `referred.rs` brings what short entries leave out.

mod append;
mod filter;
mod head;
mod lines;
mod open;
mod referred;
mod search;
mod segment;
mod sync;
mod tail;
mod verify;

pub use append::{DiskLog, LogOptions};
pub use filter::{Filter, Order, parse_time};
pub use head::Head;
pub use open::{OpenError, Opened, Torn};
pub use search::{FindError, Found, Search, SearchError, find_decision, search};
pub use verify::{Tampered, Verified, VerifyError, Why, verify};
