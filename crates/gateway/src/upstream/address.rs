//! Which addresses may be dialled for a name that a workload chose (hazard HT12): the public internet, and what the operator
//! allows. A name is resolved once, every address is checked, and only what was checked can be dialled.
//!
//! Names from the configuration do not come here: the operator chose them. The sockets are opened in `dial.rs`.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use crate::upstream::dial::{DialError, Dialler};

/// The longest name (RFC 1035, section 3.1, without the root).
const LONGEST_NAME: usize = 253;
/// The longest label.
const LONGEST_LABEL: usize = 63;

/// A host as a workload named it, in one form: a name in lower case without a dot at its end, or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A DNS name.
    Name(String),
    /// An address, written as one.
    Literal(IpAddr),
}

/// Why a text is no host. Resolvers of old read `0x7f.1`, `017700000001` and `2130706433` as addresses: here they are
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    /// No host at all.
    #[error("there is no host")]
    Empty,
    /// Longer than names can be.
    #[error("the host is longer than a name can be")]
    TooLong,
    /// A character that names do not have. International names are written with `xn--`.
    #[error("the host has a character that no name has")]
    Characters,
    /// A label that is empty or too long, or begins or ends with a hyphen.
    #[error("the host has a label that no name has")]
    Label,
    /// A number that is no address in the usual form.
    #[error("the host is a number, but no address in the usual form")]
    Number,
    /// An IPv6 address without brackets, or brackets around something else.
    #[error("the host is no address in brackets")]
    Brackets,
}

impl FromStr for Host {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        if let Some(rest) = text.strip_prefix('[') {
            // No zone: `fe80::1%eth0` does not parse, and would be link-local anyway.
            let address = rest.strip_suffix(']').ok_or(InvalidHost::Brackets)?;
            return address.parse().map(|v6| Self::Literal(IpAddr::V6(v6))).map_err(|_| InvalidHost::Brackets);
        }
        if text.contains(':') {
            return Err(InvalidHost::Brackets);
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err(InvalidHost::Empty);
        }
        if name.len() > LONGEST_NAME {
            return Err(InvalidHost::TooLong);
        }
        let of_names = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if !name.bytes().all(of_names) {
            return Err(InvalidHost::Characters);
        }
        let bad = |label: &str| {
            label.is_empty() || label.len() > LONGEST_LABEL || label.starts_with('-') || label.ends_with('-')
        };
        if name.split('.').any(bad) {
            return Err(InvalidHost::Label);
        }
        // Whatever ends in a number is read as an address by somebody: so it must be one in the one usual form.
        if name.rsplit('.').next().is_some_and(is_number) {
            return name.parse().map(|v4| Self::Literal(IpAddr::V4(v4))).map_err(|_| InvalidHost::Number);
        }
        Ok(Self::Name(name.to_ascii_lowercase()))
    }
}

/// Would `inet_aton` take this label for a number?
fn is_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    hexadecimal.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        || label.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Literal(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Literal(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// What an address is, if it is not on the public internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Special {
    /// This host, or this network (`0.0.0.0/8`, `::`).
    #[error("unspecified")]
    Unspecified,
    /// This host.
    #[error("loopback")]
    Loopback,
    /// A private network (RFC 1918, RFC 4193, and the site-local addresses of old).
    #[error("private")]
    Private,
    /// This link.
    #[error("link-local")]
    LinkLocal,
    /// Where clouds give credentials to whoever asks.
    #[error("the cloud's metadata")]
    Metadata,
    /// Behind a carrier's NAT (RFC 6598).
    #[error("shared, behind a carrier's NAT")]
    Shared,
    /// Several hosts at once.
    #[error("multicast or broadcast")]
    Multicast,
    /// Documentation, benchmarks, and what IANA has reserved.
    #[error("reserved")]
    Reserved,
    /// An IPv6 address that leads to an IPv4 address in a way that nobody needs any more (6to4, Teredo, ISATAP).
    #[error("an IPv4 address in disguise")]
    Disguised,
}

/// Where clouds keep metadata, besides link-local addresses: Azure's wire server, Oracle's and Alibaba's, and the IPv6
/// addresses of AWS and of GCP.
const METADATA: [IpAddr; 8] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// What an address is; none on the public internet (IANA's registries of special-purpose addresses).
pub fn special(address: IpAddr) -> Option<Special> {
    if METADATA.contains(&address) {
        return Some(Special::Metadata);
    }
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<Special> {
    Some(match address.octets() {
        [0, ..] => Special::Unspecified,
        [127, ..] => Special::Loopback,
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] => Special::Private,
        [169, 254, ..] => Special::LinkLocal,
        [100, 64..=127, ..] => Special::Shared,
        [224..=239, ..] | [255, 255, 255, 255] => Special::Multicast,
        // 192.88.99.0/24 was the way into 6to4.
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => {
            Special::Reserved
        }
        [240..=255, ..] => Special::Reserved,
        _ => return None,
    })
}

fn special_v6(address: Ipv6Addr) -> Option<Special> {
    let last_v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    Some(match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Special::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Special::Loopback,
        // Mapped, and what DNS64 makes (RFC 6052): the address that it leads to counts.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            return special(IpAddr::V4(last_v4(high, low)));
        }
        // Compatible and translated forms, the local NAT64 prefix, 6to4, Teredo, ISATAP.
        [0, 0, 0, 0, 0, 0, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] => Special::Disguised,
        [0x64, 0xff9b, 1, ..] | [0x2002, ..] | [0x2001, 0, ..] => Special::Disguised,
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => Special::Disguised,
        [0xfe80..=0xfebf, ..] => Special::LinkLocal,
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Special::Private,
        [0xff00..=0xffff, ..] => Special::Multicast,
        // Protocol assignments (ORCHID, benchmarks) and documentation.
        [0x2001, 1..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Special::Reserved,
        [0x2000..=0x3fff, ..] => return None,
        _ => Special::Reserved,
    })
}

/// A name that leads where it may not. The one who chose it is at fault; nothing was dialled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReachError {
    /// An address, written as one, that is not allowed by name.
    #[error("addresses are not dialled, only names, unless the configuration allows the address")]
    Literal,
    /// The name leads to an address that is not on the public internet. Which, is not told: it would map the network.
    #[error("the name leads to an address that is not allowed: {0}")]
    Forbidden(Special),
    /// It cannot be resolved, or not in time.
    #[error(transparent)]
    Dial(#[from] DialError),
}

/// What may be dialled for workloads besides the public internet.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    allowed: Vec<IpNet>,
    hosts: HashMap<String, Vec<IpAddr>>,
}

impl Reach {
    /// The public internet, and `allowed` networks. The addresses of `hosts` are as given, and count as allowed: the operator
    /// chose them. A cloud's metadata is allowed by a network of that single address only.
    pub fn new(allowed: Vec<IpNet>, hosts: HashMap<String, Vec<IpAddr>>) -> Self {
        let hosts = hosts.into_iter().map(|(name, addresses)| (name.to_ascii_lowercase(), addresses)).collect();
        Self { allowed, hosts }
    }

    /// Is the address named by the configuration?
    fn is_allowed(&self, address: IpAddr) -> bool {
        let metadata = special(address) == Some(Special::Metadata);
        self.allowed.iter().any(|net| net.contains(&address) && (!metadata || net.prefix_len() == net.max_prefix_len()))
    }

    fn check(&self, address: IpAddr) -> Result<Checked, Special> {
        if self.is_allowed(address) {
            return Ok(Checked::ByName);
        }
        special(address).map_or(Ok(Checked::Public), Err)
    }

    /// Resolves a host once, within a deadline, and checks all of its addresses: a single bad one spoils the name, since a
    /// name that leads to the public and to the private is an attack, or a mistake.
    pub async fn resolve(
        &self,
        dialler: &Dialler,
        host: &Host,
        port: u16,
        within: Duration,
    ) -> Result<Pinned, ReachError> {
        let (found, chosen) = match host {
            Host::Literal(address) if !self.is_allowed(*address) => return Err(ReachError::Literal),
            Host::Literal(address) => (vec![*address], true),
            Host::Name(name) => match self.hosts.get(name) {
                Some(addresses) => (addresses.clone(), true),
                None => (dialler.resolve(name, port, within).await?, false),
            },
        };
        let mut public = false;
        for address in &found {
            if !chosen {
                public |= self.check(*address).map_err(ReachError::Forbidden)? == Checked::Public;
            }
        }
        let addresses = found.into_iter().map(|address| SocketAddr::new(address, port)).collect();
        Ok(Pinned { host: host.clone(), port, addresses, public })
    }
}

/// How an address passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checked {
    Public,
    ByName,
}

/// A host whose addresses were resolved and checked. Only [`Reach::resolve`] makes one, and the dialler takes nothing else for
/// names of workloads.
#[derive(Debug)]
pub struct Pinned {
    host: Host,
    port: u16,
    addresses: Vec<SocketAddr>,
    /// Some of them are known only to be public: if one turns out to be this very machine, nothing is said to it.
    public: bool,
}

impl Pinned {
    /// The host.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The addresses, all of them checked.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// May none of them be this machine?
    pub(super) const fn is_public(&self) -> bool {
        self.public
    }
}

#[cfg(test)]
mod tests;
