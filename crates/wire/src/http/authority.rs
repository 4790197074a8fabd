//! Which host a request is for: one form of each name, and agreement of all the places that say it (HT05).
//!
//! A name is letters, digits, `-` and `_`, in lower case, without a dot at its end; an address is in its canonical form, and
//! what some resolvers would take for an address (decimal, octal, hexadecimal) is refused. Not here: whether an address may
//! be dialled. Sources: RFC 3986, §3.2; RFC 9110, §4.2 and §7.2; RFC 9112, §3.2; RFC 9113, §8.3.1.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use http::Uri;
use http::header::{HOST, HeaderMap};
use http::request::Parts;

use crate::http::violation::Violation;

/// The longest name of a host. RFC 1035, §2.3.4, without the final dot.
const NAME_CAP: usize = 253;
/// The longest label of a name.
const LABEL_CAP: usize = 63;

/// Whether TLS protects the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that is meant where none is said.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// The scheme of a connection.
    pub const fn of_connection(tls: bool) -> Self {
        if tls { Self::Https } else { Self::Http }
    }
}

/// A host in its one form, and a port where one is said.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority {
    host: Arc<str>,
    port: Option<u16>,
}

impl Authority {
    /// Reads `host`, `host:port`, `[address]` or `[address]:port`.
    ///
    /// # Errors
    /// [`Violation::NoAuthority`] if it is empty, [`Violation::Authority`] if it is anything else, also with user
    /// information.
    pub fn read(text: &str) -> Result<Self, Violation> {
        if text.is_empty() {
            return Err(Violation::NoAuthority);
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, after) = rest.split_once(']').ok_or(Violation::Authority)?;
                (canonical_v6(address)?, after.strip_prefix(':').or(if after.is_empty() { None } else { Some("?") }))
            }
            None => match text.split_once(':') {
                Some((name, port)) => (canonical_name(name)?, Some(port)),
                None => (canonical_name(text)?, None),
            },
        };
        Ok(Self { host, port: port.map(read_port).transpose()? })
    }

    /// The host: lower case, no dot at its end, an IPv6 address without brackets.
    pub const fn host(&self) -> &Arc<str> {
        &self.host
    }

    /// The port, where one is said.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The port that is meant.
    fn port_for(&self, scheme: Scheme) -> u16 {
        self.port.unwrap_or_else(|| scheme.default_port())
    }

    /// Do both name the same host and, under `scheme`, the same port?
    fn agrees_with(&self, other: &Self, scheme: Scheme) -> bool {
        self.host == other.host && self.port_for(scheme) == other.port_for(scheme)
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]", self.host) } else { f.write_str(&self.host) }?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The one host of a request: target, `Host`, `:authority` and the name of the TLS handshake say the same.
///
/// # Errors
/// A [`Violation`] of HT05 if one of them is malformed, missing, doubled, or differs.
pub(super) fn of_request(
    uri: &Uri,
    headers: &HeaderMap,
    scheme: Scheme,
    sni: Option<&str>,
) -> Result<Authority, Violation> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err(Violation::TwoHosts),
        (host, None) => {
            host.map(|host| host.to_str().map_err(|_| Violation::Authority).and_then(Authority::read)).transpose()?
        }
    };
    let target = uri.authority().map(|authority| Authority::read(authority.as_str())).transpose()?;
    if let Some(said) = uri.scheme_str()
        && said != scheme.as_str()
    {
        return Err(Violation::Scheme);
    }
    let authority = match (target, host) {
        (Some(target), Some(host)) if !target.agrees_with(&host, scheme) => return Err(Violation::AuthoritiesDiffer),
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => return Err(Violation::NoAuthority),
    };
    if let Some(sni) = sni {
        let named = Authority::read(sni).map_err(|_| Violation::ServerName)?;
        if named.host != authority.host {
            return Err(Violation::ServerName);
        }
    }
    Ok(authority)
}

/// The destination of a CONNECT: host and port, as the target says, and as `Host` says where there is one.
///
/// # Errors
/// [`Violation::TargetForm`] if the target is not `host:port`, else a [`Violation`] of HT05.
pub fn of_connect(parts: &Parts) -> Result<Authority, Violation> {
    if parts.method != http::Method::CONNECT || parts.uri.scheme().is_some() || parts.uri.path_and_query().is_some() {
        return Err(Violation::TargetForm);
    }
    let target = parts.uri.authority().ok_or(Violation::TargetForm)?;
    if Authority::read(target.as_str())?.port.is_none() {
        return Err(Violation::TargetForm);
    }
    // The port of a Host without one is the scheme's; a tunnel is for TLS unless its port says otherwise.
    of_request(&parts.uri, &parts.headers, Scheme::Https, None)
}

fn read_port(text: &str) -> Result<u16, Violation> {
    match text.as_bytes() {
        [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => {
            text.parse().map_err(|_| Violation::Authority)
        }
        _ => Err(Violation::Authority),
    }
}

/// Zones are refused: they mean something on one machine alone.
fn canonical_v6(text: &str) -> Result<Arc<str>, Violation> {
    let address = Ipv6Addr::from_str(text).map_err(|_| Violation::Authority)?;
    Ok(address.to_string().into())
}

fn canonical_name(text: &str) -> Result<Arc<str>, Violation> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.is_empty() || name.len() > NAME_CAP {
        return Err(Violation::Authority);
    }
    let mut last = "";
    for label in name.split('.') {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let hyphens = label.starts_with('-') || label.ends_with('-');
        if label.is_empty() || label.len() > LABEL_CAP || hyphens || !label.bytes().all(plain) {
            return Err(Violation::Authority);
        }
        last = label;
    }
    // Resolvers take `2130706433`, `0x7f.1` and `127.1` for addresses: so only the plain form of four numbers is one.
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let hexadecimal = |text: &str| {
        text.strip_prefix("0x")
            .or(text.strip_prefix("0X"))
            .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    if digits(last) || hexadecimal(last) {
        let address = Ipv4Addr::from_str(name).map_err(|_| Violation::Authority)?;
        if name.len() != text.len() {
            return Err(Violation::Authority);
        }
        return Ok(address.to_string().into());
    }
    Ok(if name.bytes().any(|byte| byte.is_ascii_uppercase()) { name.to_ascii_lowercase().into() } else { name.into() })
}

#[cfg(test)]
mod tests;
