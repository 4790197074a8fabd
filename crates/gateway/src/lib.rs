//! The gateway moves bytes: listeners, TLS, login, sessions, the upstreams' credentials, and the relay between a client
//! and its upstream.
//!
//! Read `session.rs` first: it is the one security path that every protocol takes. The gateway knows neither the store nor
//! the configuration; it meets the rest of the product through `kernel::ports`.

pub mod budget;
pub mod lanes;
pub mod listen;
pub mod login;
mod places;
pub mod protocol;
pub mod relay;
pub mod session;
pub mod sessions;
pub mod signals;
mod task_use;
pub mod tasks;
pub mod tls;
pub mod upstream;
mod word;

/// The gateway's version, as refusals and status pages state it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
