//! What a grant binds of a request: method, path, query, the body, and every header that may mean something to the upstream. Two
//! requests that differ in any of it are two questions to people.
//!
//! Left out are headers that say something of the client, of the way or of this one attempt, which a client that asks again
//! sends otherwise (`IGNORED`). A header that is not known is bound. People are shown the names of bound headers, and the values
//! of those that say what the body is: others may hold secrets.

use std::fmt::Write as _;

use aws_lc_rs::digest::{Context, SHA256};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};

use crate::http::head::Head;

/// The longest body that is shown to people in full, in bytes. A longer one is bound by its digest alone.
const SHOWN: usize = 16 * 1024;

/// Headers that do not change what is asked for.
const IGNORED: &[&str] = &[
    // How the answer is to look, and what the client may know of it already.
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "pragma",
    // The body's digest says more.
    "content-length",
    "content-md5",
    "content-digest",
    "digest",
    "expect",
    "trailer",
    // Of the client.
    "dnt",
    "from",
    "origin",
    "prefer",
    "priority",
    "referer",
    "upgrade-insecure-requests",
    "user-agent",
    "x-goog-api-client",
    "x-requested-with",
    // Of this attempt.
    "baggage",
    "b3",
    "date",
    "elastic-apm-traceparent",
    "idempotency-key",
    "newrelic",
    "request-id",
    "sentry-trace",
    "traceparent",
    "tracestate",
    "uber-trace-id",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amzn-trace-id",
    "x-client-request-id",
    "x-cloud-trace-context",
    "x-correlation-id",
    "x-idempotency-key",
    "x-ms-client-request-id",
    "x-ms-date",
    "x-request-id",
    "x-retry-count",
];

/// The same, by what their names begin with.
const IGNORED_PREFIXES: &[&str] =
    &["amz-sdk-", "grpc-accept-", "grpc-timeout", "sec-", "x-b3-", "x-datadog-", "x-stainless-"];

/// What people are shown, and what is bound besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The request line, the headers that are bound, the body.
    pub text: String,
    /// Digests of the body and of the headers' values.
    pub values: Vec<u8>,
}

impl Bound {
    /// Of a request, with its whole body.
    pub fn of(head: &Head, body: &[u8]) -> Self {
        let mut text = format!("{} {}\n", head.method, head.target());
        let headers = headers(&head.headers);
        for (name, value) in &headers {
            // Writing to a String cannot fail.
            let _written = if **name == CONTENT_TYPE || **name == CONTENT_ENCODING {
                writeln!(text, "{name}: {}", String::from_utf8_lossy(value))
            } else {
                writeln!(text, "{name}: ({} bytes)", value.len())
            };
        }
        if !body.is_empty() {
            match std::str::from_utf8(body).ok().filter(|body| body.len() <= SHOWN) {
                Some(shown) => text.push_str(&format!("\n{shown}")),
                None => text.push_str(&format!("\n({} bytes)", body.len())),
            }
        }
        let mut values = Context::new(&SHA256);
        for (name, value) in &headers {
            for part in [name.as_str().as_bytes(), value] {
                values.update(&(part.len() as u64).to_be_bytes());
                values.update(part);
            }
        }
        let digests = [aws_lc_rs::digest::digest(&SHA256, body), values.finish()];
        Self { text, values: digests.iter().flat_map(|digest| digest.as_ref().iter().copied()).collect() }
    }
}

/// The headers that are bound, sorted by their names; those of one name in their order.
fn headers(all: &HeaderMap) -> Vec<(&HeaderName, &[u8])> {
    let is_bound = |name: &HeaderName| {
        let name = name.as_str();
        !IGNORED.contains(&name) && !IGNORED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let mut bound: Vec<_> =
        all.iter().filter(|(name, _)| is_bound(name)).map(|(name, value)| (name, value.as_bytes())).collect();
    bound.sort_by_key(|(name, _)| name.as_str());
    bound
}

#[cfg(test)]
mod tests;
