//! The first request of a connection: `CONNECT host:port`, or a request with a whole `http://` URL. Read by the strict reader
//! of `wire/http`, so that nobody after it reads it in another way.

use hyper::http::Version;
use hyper::http::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Uri};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use wire::http::Violation;
use wire::http::authority::{self, Authority};
use wire::http::framing::{Framing, FramingLimits};

use crate::upstream::address::Host;

/// What is read at once.
const CHUNK: usize = 8 * 1024;

/// Why there is no request.
#[derive(Debug)]
pub(super) enum Unread {
    /// The client is gone.
    Gone,
    /// It can be read in two ways, or in none.
    Malformed(Violation),
}

/// What is asked for.
pub(super) struct Asked {
    /// The head.
    pub(super) parts: Parts,
    /// Every byte that was read, the head's and those behind it.
    pub(super) bytes: Vec<u8>,
}

/// Where a client wants to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) host: Host,
    pub(super) port: u16,
}

impl Destination {
    /// `host:port`, as policies name it.
    pub(super) fn named(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn of(authority: &Authority, default_port: u16) -> Self {
        Self { host: authority.into(), port: authority.port().unwrap_or(default_port) }
    }
}

/// What a client wants.
pub(super) enum Wanted {
    /// A tunnel.
    Tunnel(Destination),
    /// This very request, passed on.
    Request(Destination),
}

impl Wanted {
    /// What a request wants.
    pub(super) fn of(parts: &Parts) -> Result<Self, Violation> {
        if parts.method == Method::CONNECT {
            let to = authority::of_connect(parts)?;
            return Ok(Self::Tunnel(Destination::of(&to, 443)));
        }
        // A request that is not for a proxy names no host in its target.
        match (parts.uri.scheme_str(), parts.uri.authority()) {
            (Some("http"), Some(to)) => Ok(Self::Request(Destination::of(&Authority::read(to.as_str())?, 80))),
            // `https` is asked for by CONNECT.
            (Some(_), _) => Err(Violation::Scheme),
            _ => Err(Violation::TargetForm),
        }
    }
}

/// Reads the head. Bytes behind it belong to its body.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Asked, Unread> {
    let limits = FramingLimits::default();
    let (mut framing, mut bytes) = (Framing::new(limits), Vec::with_capacity(CHUNK));
    while framing.heads() == 0 {
        let before = bytes.len();
        bytes.reserve(CHUNK);
        if stream.read_buf(&mut bytes).await.map_err(|_gone| Unread::Gone)? == 0 {
            return Err(Unread::Gone);
        }
        framing.feed(bytes.get(before..).unwrap_or_default()).map_err(Unread::Malformed)?;
    }
    let parts = parse(&bytes).ok_or(Unread::Malformed(Violation::RequestLine))?;
    if parts.method == Method::CONNECT {
        // Bytes before the answer could be meant for somebody else (hazard HT11).
        framing.release().map_err(Unread::Malformed)?;
    }
    Ok(Asked { parts, bytes })
}

/// The head that the strict reader has taken: CR LF ends lines, names are tokens, nothing is folded.
fn parse(bytes: &[u8]) -> Option<Parts> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = Method::from_bytes(method.as_bytes()).ok()?;
    parts.uri = target.parse::<Uri>().ok()?;
    parts.version = if version == "HTTP/1.0" { Version::HTTP_10 } else { Version::HTTP_11 };
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let value = HeaderValue::from_str(value.trim_matches([' ', '\t'])).ok()?;
        parts.headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
    }
    Some(parts)
}

#[cfg(test)]
mod tests;
