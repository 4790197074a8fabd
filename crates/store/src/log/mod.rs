//! The audit log on disk: a folder of segment files, one line a record, in the form that `kernel::audit` defines.
//!
//! - `00000000000000000000.log`: a segment, named after its first record; at 64 MiB the next one begins
//! - `head.json`: how many records were certainly on disk at some time, and the chain there; it only moves forward
//! - `lock`: held by the one process that writes
//! - `*.torn`: a last record that a crash of the machine cut off, put aside when the log was opened
//! - `tree/`: the Merkle tree's hashes; `checkpoint`: its signed head; `checkpoint.cosigned`: one that witnesses signed too
//! - `keys`: the log's public keys; `content/`: what entries commit to and do not hold, and its keys
//!
//! `append.rs` writes, `open.rs` recovers, `sync.rs` makes durable, `seal.rs` signs, `verify.rs` and `prove.rs` prove,
//! `search.rs` reads, `referred.rs` brings what short entries leave out, `rekey.rs` changes the master key.

mod append;
mod contents;
mod envelope;
mod filter;
mod hashes;
mod head;
mod keys;
mod lines;
mod locate;
mod lock;
mod open;
mod prove;
mod referred;
mod rekey;
mod rotate;
mod seal;
mod search;
mod segment;
mod sync;
mod tail;
mod unsealed;
mod verify;
mod witness;

pub use append::{DiskLog, Durability, LogOptions};
pub use contents::{ContentReader, Shred};
pub use envelope::{EnvelopeError, MasterKey};
pub(crate) use envelope::{open, random_key, seal};
pub use filter::{Filter, Order, parse_time};
pub use head::Head;
pub use keys::{KeyView, KeysError, SigningKeys, public_keys, rekey_signing_keys, replace};
pub use lock::LogLock;
pub use open::{OpenError, Opened, Torn};
pub use prove::{ProveError, Prover};
pub use rekey::{Rekeyed, content_keys_path, erase, exchange, rekey_contents, settle};
pub use rotate::RotateError;
pub use search::{FindError, Found, Search, SearchError, find_decision, search};
pub use verify::{Expected, Tampered, Verified, VerifyError, Why, verify, verify_as};
pub use witness::{Refusal, Witness, WitnessedBy, submission};
