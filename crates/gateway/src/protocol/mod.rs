//! The protocols that the gateway speaks, a folder each.

pub mod http;
pub mod postgres;
