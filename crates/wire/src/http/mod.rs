//! HTTP/1.1 and HTTP/2, without IO: what a request is before policy sees it, and how it is refused.
//!
//! `framing` is a strict second parser of HTTP/1 that stands before hyper's; `head` makes the one normal form of a request
//! out of `path`, `query`, `authority` and `headers`; `violation` says why a request is not taken; `refuse` says no in
//! problem+json, in a small page and in gRPC's words. Sources: RFC 9110, 9112, 9113, 3986, 9457.

pub mod authority;
pub mod body;
pub mod bound;
pub mod classify;
pub mod echo;
pub mod endpoint;
pub mod framing;
pub mod graphql;
pub mod head;
pub mod headers;
pub mod json_mask;
pub mod json_path;
mod json_text;
mod letters;
mod multipart;
mod names;
pub mod openapi;
pub mod overrides;
pub mod path;
pub mod query;
pub mod refuse;
pub mod secret_store;
pub mod seek;
pub mod understand;
mod utf8;
pub mod violation;
pub mod websocket;

pub use violation::Violation;
