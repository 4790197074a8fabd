//! The protocols that the gateway speaks, a folder each.

pub mod egress;
pub mod http;
pub mod postgres;
