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
use wire::http::authority::Authority;

use crate::upstream::dial::{DialError, Dialler};

/// A host as a workload named it, in one form: a name in lower case without a dot at its end, or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A DNS name.
    Name(String),
    /// An address, written as one.
    Literal(IpAddr),
}

/// A text that is no host: what a request may not name as one (`wire::http::authority`), or a host with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a host")]
pub struct InvalidHost;

impl From<&Authority> for Host {
    fn from(authority: &Authority) -> Self {
        let host = authority.host();
        host.parse().map_or_else(|_name| Self::Name(host.to_string()), Self::Literal)
    }
}

impl FromStr for Host {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let authority = Authority::read(text).map_err(|_violation| InvalidHost)?;
        if authority.port().is_some() { Err(InvalidHost) } else { Ok(Self::from(&authority)) }
    }
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
