//! The wire crate understands. It turns bytes into messages and messages into operations, and writes refusals in each
//! protocol's own words; a folder for each protocol, and one for SQL.
//!
//! It is pure: no input or output, no runtime, no clock, no randomness, and no policy.

pub mod detect;
mod digest;
pub mod http;
pub mod mask;
pub mod postgres;
pub mod reader;
pub mod refusal;
pub mod sql;

#[cfg(test)]
mod tests;

// What the fuzz targets call it, and what they call their fuzzer.
#[cfg(test)]
extern crate self as libfuzzer_sys;
#[cfg(test)]
extern crate self as wire;
