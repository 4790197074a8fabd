//! The head of a request as bytes: what a receipt holds, and what is sent. It is written once, from the one normal form,
//! before anything is judged; what goes upstream is read back from the receipt and from nowhere else.

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Uri};
use wire::http::head::Head;

/// Writes a head for the upstream of this authority. No value holds a line end, as hyper has read each of them.
pub(super) fn seal(head: &Head, authority: &str) -> Vec<u8> {
    write(head.method.as_str(), head.path.as_str(), head.query.as_str(), authority, &head.headers)
}

fn write(method: &str, path: &str, query: Option<&str>, authority: &str, headers: &HeaderMap) -> Vec<u8> {
    let values: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let line = method.len() + path.len() + query.map_or(0, str::len) + authority.len() + 16;
    let mut out = Vec::with_capacity(line + values);
    let (mark, query) = query.map_or(("", ""), |query| ("?", query));
    for part in [method, " ", path, mark, query, "\r\nhost: ", authority, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Reads a head that [`seal`] wrote, without copying a value. None if it is none.
pub(super) fn unseal(wire: Vec<u8>) -> Option<Parts> {
    let wire = Bytes::from(wire);
    let mut lines = Lines { wire: &wire, at: 0 };
    let (start, end) = lines.next()?;
    let first = wire.get(start..end)?;
    let space = memchr::memchr(b' ', first)?;
    let method = Method::from_bytes(first.get(..space)?).ok()?;
    let target = PathAndQuery::from_maybe_shared(wire.slice(start + space + 1..end)).ok()?;
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = method;
    parts.uri = Uri::from(target);
    parts.headers = HeaderMap::with_capacity(memchr::memchr_iter(b'\n', &wire).count());
    for (start, end) in lines {
        let line = wire.get(start..end)?;
        let colon = memchr::memchr(b':', line)?;
        let name = HeaderName::from_bytes(line.get(..colon)?).ok()?;
        let value = HeaderValue::from_maybe_shared(wire.slice((start + colon + 2).min(end)..end)).ok()?;
        parts.headers.append(name, value);
    }
    Some(parts)
}

/// The lines of a head: where each begins and ends.
struct Lines<'w> {
    wire: &'w [u8],
    at: usize,
}

impl Iterator for Lines<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        let start = self.at;
        let feed = memchr::memchr(b'\n', self.wire.get(start..)?)?;
        self.at = start + feed + 1;
        Some((start, start + feed.checked_sub(1)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_read_back() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("x-empty", ""), ("accept", "a"), ("accept", "b: c"), ("x-latin", "gr\u{fc}n"), ("x-colon", ":")]
        {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        for (method, path, query, target) in [
            ("GET", "/", None, "/"),
            ("POST", "/v1/refunds", Some("x=1&y=%20"), "/v1/refunds?x=1&y=%20"),
            ("DELETE", "/a%3Ab", Some(""), "/a%3Ab?"),
        ] {
            let parts = unseal(write(method, path, query, "api.example", &headers)).unwrap();
            assert_eq!((parts.method.as_str(), parts.uri.to_string().as_str()), (method, target));
            let mut expected = headers.clone();
            expected.insert(hyper::header::HOST, HeaderValue::from_static("api.example"));
            assert_eq!(parts.headers, expected);
        }
        for odd in ["", "GET /", "GET\r\n", "GET /\r\nno colon\r\n", "\n"] {
            assert!(unseal(odd.as_bytes().to_vec()).is_none(), "{odd:?}");
        }
    }
}
