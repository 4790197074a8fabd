//! PostgreSQL's frontend/backend protocol, versions 3.0 and 3.2, without IO.
//!
//! `frame` cuts a byte stream into messages; `message` reads and writes each of them; `startup` checks what a client asks
//! for before login; `state` matches the upstream's replies to what was forwarded; `session_names` knows which statement
//! and portal a name stands for; `refuse` says no in PostgreSQL's own words. What a statement *means* is not here: see
//! `crate::sql`. Source: PostgreSQL documentation, chapter 55 "Frontend/Backend Protocol".

pub mod frame;
pub mod message;
pub mod refuse;
pub mod session_names;
pub mod startup;
pub mod state;
mod write;

#[cfg(test)]
mod tests;
