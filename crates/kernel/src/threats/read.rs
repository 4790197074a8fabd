//! The texts of threat lists: one network a line, CSV, or indicators of STIX 2.1. What cannot be read refuses the whole list,
//! with its line: a list that was read by half would let through whom it names.
//!
//! Of STIX only indicators with patterns over addresses concern us; the others are counted and passed over.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde_json::Value;

use crate::time::Timestamp;

/// A network, or a range: its first and its last address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Of IPv4.
    V4 {
        /// The lowest address.
        first: u32,
        /// The highest address.
        last: u32,
    },
    /// Of IPv6.
    V6 {
        /// The lowest address.
        first: u128,
        /// The highest address.
        last: u128,
    },
}

/// A text that is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetwork {
    /// Neither an address, nor a network, nor a range.
    #[error("not an address, a network such as `192.0.2.0/24`, or a range `FIRST-LAST`")]
    Unreadable,
    /// All of a family: a list that names everybody is a mistake.
    #[error("it names every address")]
    Everything,
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let address = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| InvalidNetwork::Unreadable);
        if let Some((first, last)) = text.split_once('-') {
            return Self::between(address(first)?, address(last)?);
        }
        let Some((first, bits)) = text.split_once('/') else {
            let only = address(text)?;
            return Self::between(only, only);
        };
        let digits = !bits.is_empty() && bits.len() <= 3 && bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits: u32 = bits.parse().ok().filter(|_| digits).ok_or(InvalidNetwork::Unreadable)?;
        match address(first)? {
            IpAddr::V4(first) => {
                let host = u32::MAX.checked_shr(bits).unwrap_or(0);
                let first = first.to_bits() & !host;
                Self::within(bits, 32, Self::V4 { first, last: first | host })
            }
            IpAddr::V6(first) => {
                let host = u128::MAX.checked_shr(bits).unwrap_or(0);
                let first = first.to_bits() & !host;
                match (Ipv6Addr::from_bits(first).to_ipv4_mapped(), bits) {
                    // `::ffff:192.0.2.0/120` is IPv4, as the addresses of clients are taken.
                    (Some(mapped), 96..=128) => {
                        let host = u32::MAX.checked_shr(bits - 96).unwrap_or(0);
                        let first = mapped.to_bits() & !host;
                        Self::within(bits - 96, 32, Self::V4 { first, last: first | host })
                    }
                    _ => Self::within(bits, 128, Self::V6 { first, last: first | host }),
                }
            }
        }
    }
}

impl Network {
    fn within(bits: u32, most: u32, network: Self) -> Result<Self, InvalidNetwork> {
        match bits {
            0 => Err(InvalidNetwork::Everything),
            bits if bits <= most => Ok(network),
            _ => Err(InvalidNetwork::Unreadable),
        }
    }

    fn between(first: IpAddr, last: IpAddr) -> Result<Self, InvalidNetwork> {
        let network = match (first.to_canonical(), last.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => Self::V4 { first: first.to_bits(), last: last.to_bits() },
            (IpAddr::V6(first), IpAddr::V6(last)) => Self::V6 { first: first.to_bits(), last: last.to_bits() },
            _ => return Err(InvalidNetwork::Unreadable),
        };
        let everything = match network {
            Self::V4 { first, last } => (first, last) == (0, Ipv4Addr::BROADCAST.to_bits()),
            Self::V6 { first, last } => (first, last) == (0, u128::MAX),
        };
        let ordered = match network {
            Self::V4 { first, last } => first <= last,
            Self::V6 { first, last } => first <= last,
        };
        match (everything, ordered) {
            (true, _) => Err(InvalidNetwork::Everything),
            (false, true) => Ok(network),
            (false, false) => Err(InvalidNetwork::Unreadable),
        }
    }
}

/// The form of a list's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// A network a line; from `#` or `;` on it is a comment.
    Lines,
    /// Comma-separated values; the networks stand in one column, by name in the first line, or the first column.
    Csv {
        /// The column's name; without one, the first column of a text that has no heading.
        column: Option<String>,
    },
    /// A bundle of STIX 2.1.
    Stix,
}

/// Why a list was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// Not UTF-8.
    #[error("it is not UTF-8")]
    NotText,
    /// A line that is no network.
    #[error("line {line}: {why}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// Why.
        why: InvalidNetwork,
    },
    /// No such column.
    #[error("its first line has no column `{0}`")]
    NoColumn(String),
    /// A quote without its end.
    #[error("line {0}: a quoted value does not end")]
    Quote(usize),
    /// No bundle of STIX 2.1.
    #[error("it is no STIX 2.1 bundle")]
    NotStix,
    /// An indicator whose pattern over addresses cannot be read.
    #[error("indicator {number}: {why}")]
    Indicator {
        /// Counted from 1 among the objects.
        number: usize,
        /// Why.
        why: InvalidNetwork,
    },
    /// More networks than the gateway was told to hold.
    #[error("it names more than {0} networks")]
    TooMany(usize),
    /// A list that names nobody is more likely an error page than good news.
    #[error("it names no network at all")]
    Empty,
}

/// What a text says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The networks, each with its end, if it has one.
    pub networks: Vec<(Network, Option<Timestamp>)>,
    /// What names no address, and was passed over.
    pub passed_over: usize,
}

impl Lines {
    /// The networks that count at `now`, and when the next of them ends.
    pub fn at(&self, now: Timestamp) -> (impl Iterator<Item = Network> + '_, Option<Timestamp>) {
        let ends = |(_, until): &(Network, Option<Timestamp>)| until.filter(|until| *until > now);
        let next = self.networks.iter().filter_map(ends).min();
        let counts = move |(_, until): &&(Network, Option<Timestamp>)| until.is_none_or(|until| until > now);
        (self.networks.iter().filter(counts).map(|(network, _)| *network), next)
    }

    /// Does any network have an end?
    pub fn has_ends(&self) -> bool {
        self.networks.iter().any(|(_, until)| until.is_some())
    }

    fn push(&mut self, network: Network, until: Option<Timestamp>, most: usize) -> Result<(), ListError> {
        if self.networks.len() >= most {
            return Err(ListError::TooMany(most));
        }
        self.networks.push((network, until));
        Ok(())
    }
}

/// Reads a list of at most `most` networks. `time` reads RFC 3339.
pub fn read(
    text: &[u8],
    format: &Format,
    most: usize,
    time: impl Fn(&str) -> Option<Timestamp>,
) -> Result<Lines, ListError> {
    let lines = match format {
        Format::Lines => plain(std::str::from_utf8(text).map_err(|_| ListError::NotText)?, most)?,
        Format::Csv { column } => {
            csv(std::str::from_utf8(text).map_err(|_| ListError::NotText)?, column.as_deref(), most)?
        }
        Format::Stix => stix(text, most, time)?,
    };
    if lines.networks.is_empty() { Err(ListError::Empty) } else { Ok(lines) }
}

fn plain(text: &str, most: usize) -> Result<Lines, ListError> {
    let mut lines = Lines::default();
    for (number, line) in text.lines().enumerate() {
        let said = line.split(['#', ';']).next().unwrap_or_default().trim();
        if !said.is_empty() {
            let network = said.parse().map_err(|why| ListError::Line { line: number + 1, why })?;
            lines.push(network, None, most)?;
        }
    }
    Ok(lines)
}

fn csv(text: &str, column: Option<&str>, most: usize) -> Result<Lines, ListError> {
    let mut lines = Lines::default();
    let said = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
    let mut rows = text.lines().enumerate().filter(|(_, line)| said(line));
    let place = match column {
        None => 0,
        Some(wanted) => {
            let heading = rows.next().map(|(_, line)| line).unwrap_or_default();
            let names = fields(heading).ok_or(ListError::Quote(1))?;
            names.iter().position(|name| name == wanted).ok_or_else(|| ListError::NoColumn(wanted.to_owned()))?
        }
    };
    for (number, line) in rows {
        let fields = fields(line).ok_or(ListError::Quote(number + 1))?;
        let unreadable = |why| ListError::Line { line: number + 1, why };
        let field = fields.get(place).ok_or_else(|| unreadable(InvalidNetwork::Unreadable))?;
        lines.push(field.trim().parse().map_err(unreadable)?, None, most)?;
    }
    Ok(lines)
}

/// The fields of a line (RFC 4180, without line ends inside quotes); none if a quote does not end.
fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut letters = line.chars().peekable();
    let mut quoted = false;
    while let Some(letter) = letters.next() {
        match (letter, quoted) {
            ('"', true) if letters.peek() == Some(&'"') => {
                letters.next();
                fields.last_mut()?.push('"');
            }
            ('"', _) => quoted = !quoted,
            (',', false) => fields.push(String::new()),
            (letter, _) => fields.last_mut()?.push(letter),
        }
    }
    (!quoted).then_some(fields)
}

fn stix(text: &[u8], most: usize, time: impl Fn(&str) -> Option<Timestamp>) -> Result<Lines, ListError> {
    let bundle: Value = serde_json::from_slice(text).map_err(|_| ListError::NotStix)?;
    let member = |object: &Value, name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    if member(&bundle, "type").as_deref() != Some("bundle") {
        return Err(ListError::NotStix);
    }
    let objects = bundle.get("objects").and_then(Value::as_array).ok_or(ListError::NotStix)?;
    let mut lines = Lines::default();
    for (number, object) in objects.iter().enumerate() {
        let revoked = object.get("revoked").and_then(Value::as_bool).unwrap_or(false);
        if member(object, "type").as_deref() != Some("indicator") || revoked {
            continue;
        }
        let pattern = member(object, "pattern").unwrap_or_default();
        let about_addresses = pattern.contains("ipv4-addr:") || pattern.contains("ipv6-addr:");
        if member(object, "pattern_type").as_deref() != Some("stix") || !about_addresses {
            lines.passed_over += 1;
            continue;
        }
        let unreadable = |why| ListError::Indicator { number: number + 1, why };
        let until = match member(object, "valid_until") {
            Some(text) => Some(time(&text).ok_or_else(|| unreadable(InvalidNetwork::Unreadable))?),
            None => None,
        };
        for network in pattern_networks(&pattern).map_err(unreadable)? {
            lines.push(network, until, most)?;
        }
    }
    Ok(lines)
}

/// The networks of `[ipv4-addr:value = '…']`, `ISSUBSET`, `IN (…)`, and any of them joined by OR. What else a pattern could
/// say about addresses (AND, FOLLOWEDBY, a NOT) would make the list narrower or turn it around, so it is not guessed.
fn pattern_networks(pattern: &str) -> Result<Vec<Network>, InvalidNetwork> {
    let mut networks = Vec::new();
    let body = pattern.trim();
    // Between observations OR joins brackets, inside one it joins comparisons; both mean any of them.
    for part in body.split(" OR ") {
        let comparison = part.trim().trim_start_matches('[').trim_end_matches(']').trim();
        let rest = comparison
            .strip_prefix("ipv4-addr:value")
            .or_else(|| comparison.strip_prefix("ipv6-addr:value"))
            .ok_or(InvalidNetwork::Unreadable)?
            .trim_start();
        if let Some(list) = rest.strip_prefix("IN") {
            let list = list.trim().strip_prefix('(').and_then(|list| list.strip_suffix(')'));
            for value in list.ok_or(InvalidNetwork::Unreadable)?.split(',') {
                networks.push(quoted(value)?.parse()?);
            }
        } else {
            let value = rest.strip_prefix('=').or_else(|| rest.strip_prefix("ISSUBSET"));
            networks.push(quoted(value.ok_or(InvalidNetwork::Unreadable)?)?.parse()?);
        }
    }
    Ok(networks)
}

fn quoted(text: &str) -> Result<&str, InvalidNetwork> {
    let inner = text.trim().strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    inner.filter(|inner| !inner.contains(['\'', '\\'])).ok_or(InvalidNetwork::Unreadable)
}
