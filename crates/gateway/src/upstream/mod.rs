//! The way out: the only dialler, the gateway's own credentials, and small fetches such as an issuer's keys.
//!
//! What is said over a connection is the business of the protocols.

pub mod address;
pub mod credential;
pub mod dial;
pub mod fetch;
pub mod origin;
pub mod secret;
