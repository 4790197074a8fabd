//! An origin: scheme, host and port (RFC 6454). A credential belongs to exactly one, and goes nowhere else (hazard HT13).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use hyper::Uri;
use hyper::http::uri::Authority;

use crate::upstream::dial::Address;

pub use wire::http::authority::Scheme;

/// Where an HTTP upstream is. The host is in lower case, without brackets, and without a dot at its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
}

/// Why a text is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrigin {
    /// Not a URL with a scheme and a host.
    #[error("not a URL")]
    NotUrl,
    /// Another scheme than `https` or `http`.
    #[error("the scheme is neither `https` nor `http`")]
    Scheme,
    /// A user name or password in the URL.
    #[error("a user name or password does not belong in the URL")]
    UserInfo,
    /// More than scheme, host and port.
    #[error("a path or a query does not belong here; name scheme, host and port only")]
    Path,
}

impl Origin {
    /// That of a URL, whatever its path.
    pub(super) fn of(uri: &Uri) -> Result<Self, InvalidOrigin> {
        let authority = uri.authority().ok_or(InvalidOrigin::NotUrl)?;
        if authority.as_str().contains('@') {
            return Err(InvalidOrigin::UserInfo);
        }
        let scheme = match uri.scheme_str() {
            Some("https") => Scheme::Https,
            Some("http") => Scheme::Http,
            Some(_) => return Err(InvalidOrigin::Scheme),
            None => return Err(InvalidOrigin::NotUrl),
        };
        let port = port(authority, scheme).ok_or(InvalidOrigin::NotUrl)?;
        let host = plain_host(authority.host()).ok_or(InvalidOrigin::NotUrl)?;
        Ok(Self { scheme, host, port })
    }

    /// Its scheme.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Its host: lower case, no brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where it is dialled.
    pub fn address(&self) -> Address {
        Address::Tcp { host: self.host.clone(), port: self.port }
    }

    /// As the `Host` header and `:authority` name it: without the scheme's own port, with brackets around IPv6.
    pub fn authority(&self) -> String {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        if self.port == self.scheme.default_port() {
            format!("{open}{}{close}", self.host)
        } else {
            format!("{open}{}{close}:{}", self.host, self.port)
        }
    }

    /// Is the host a loopback address, or `localhost`?
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
            || self.host.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
    }

    /// Does an authority (`host` or `host:port`) name this origin? User information never does.
    pub fn is_named_by(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<Authority>() else { return false };
        if authority.as_str().contains('@') {
            return false;
        }
        let Some(port) = port(&authority, self.scheme) else { return false };
        port == self.port && plain_host(authority.host()).is_some_and(|host| host == self.host)
    }
}

/// The port that an authority names, or else the scheme's own; none if what stands behind the colon is no port. (`http` takes
/// `host:` and `host:99999` for hosts without one.)
fn port(authority: &Authority, scheme: Scheme) -> Option<u16> {
    match authority.as_str().strip_prefix(authority.host())? {
        "" => Some(scheme.default_port()),
        rest => {
            let digits = rest.strip_prefix(':').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
            digits.parse().ok().filter(|port| *port != 0)
        }
    }
}

/// A host in the form that origins keep; none if it is empty.
fn plain_host(host: &str) -> Option<String> {
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let uri = text.parse::<Uri>().map_err(|_invalid| InvalidOrigin::NotUrl)?;
        let origin = Self::of(&uri)?;
        if uri.path() != "/" && !uri.path().is_empty() || uri.query().is_some() {
            return Err(InvalidOrigin::Path);
        }
        Ok(origin)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

#[cfg(test)]
mod tests;
