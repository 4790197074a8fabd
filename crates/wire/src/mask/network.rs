//! Masks of network addresses. `partial` keeps the first byte (IPv4) or group (IPv6); `hash` and `token`
//! a keyed address in 10.0.0.0/8 or fd00::/8. The fourth mask that shows something, `last4`, is NULL: an address ends in what tells
//! hosts apart.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kernel::verdict::Mask;

use super::key::{hex, unhex};
use super::value::Value;

/// How the binary form calls IPv4; IPv6 is one more.
const INET: u8 = 2;

fn read(value: &[u8], binary: bool) -> Option<IpAddr> {
    if binary {
        return match value {
            [family, _bits, _cidr, 4, address @ ..] if *family == INET => {
                Some(Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?).into())
            }
            [family, _bits, _cidr, 16, address @ ..] if *family == INET + 1 => {
                Some(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?).into())
            }
            _ => None,
        };
    }
    let text = std::str::from_utf8(value).ok()?;
    text.split_once('/').map_or(text, |(address, _)| address).parse().ok()
}

fn write(address: IpAddr, bits: u8, binary: bool, cidr: bool, out: &mut Vec<u8>) -> Option<()> {
    let whole = if address.is_ipv4() { 32 } else { 128 };
    if !binary {
        write!(out, "{address}").ok()?;
        if cidr || bits != whole {
            out.push(b'/');
            super::number::write_digits(u64::from(bits), out);
        }
        return Some(());
    }
    match address {
        IpAddr::V4(address) => {
            out.extend([INET, bits, u8::from(cidr), 4]);
            out.extend(address.octets());
        }
        IpAddr::V6(address) => {
            out.extend([INET + 1, bits, u8::from(cidr), 16]);
            out.extend(address.octets());
        }
    }
    Some(())
}

/// Masks an `inet` or `cidr`; `None` where it is NULL.
pub(super) fn address(of: Value<'_>, cidr: bool, out: &mut Vec<u8>) -> Option<()> {
    let Value { mask, value, binary, key } = of;
    let address = read(value, binary)?;
    let (masked, bits): (IpAddr, u8) = match (mask, address) {
        (Mask::Null | Mask::Last4, _) => return None,
        (Mask::Redact, IpAddr::V4(_)) => (Ipv4Addr::UNSPECIFIED.into(), 32),
        (Mask::Redact, IpAddr::V6(_)) => (Ipv6Addr::UNSPECIFIED.into(), 128),
        // Drivers give an address without a prefix length another type than one with it.
        (Mask::Partial, IpAddr::V4(address)) => {
            (Ipv4Addr::from_bits(address.to_bits() & (0xFF << 24)).into(), if cidr { 8 } else { 32 })
        }
        (Mask::Partial, IpAddr::V6(address)) => {
            (Ipv6Addr::from_bits(address.to_bits() & (0xFFFF << 112)).into(), if cidr { 16 } else { 128 })
        }
        // The prefix length is hidden with the rest, and the same host has one hash.
        (Mask::Hash | Mask::Token, IpAddr::V4(address)) => {
            let keyed = u32::try_from(key.number(&address.octets()) >> 40).ok()?;
            (Ipv4Addr::from_bits(10 << 24 | keyed).into(), 32)
        }
        (Mask::Hash | Mask::Token, IpAddr::V6(address)) => {
            let keyed = u128::from_be_bytes(*key.digest(&address.octets()).first_chunk()?) >> 8;
            (Ipv6Addr::from_bits(0xFD << 120 | keyed).into(), 128)
        }
    };
    write(masked, bits, binary, cidr, out)
}

/// Masks a `macaddr` of 6 bytes or a `macaddr8`.
pub(super) fn hardware(of: Value<'_>, bytes: usize, out: &mut Vec<u8>) -> Option<()> {
    let Value { mask, value, binary, key } = of;
    let mut address = [0; 8];
    let slots = address.get_mut(..bytes)?;
    if binary {
        if value.len() != bytes {
            return None;
        }
        slots.copy_from_slice(value);
    } else {
        let mut parts = value.split(|byte| *byte == b':');
        for slot in slots.iter_mut() {
            *slot = match parts.next()? {
                [high, low] => unhex(*high)? << 4 | unhex(*low)?,
                _ => return None,
            };
        }
        if parts.next().is_some() {
            return None;
        }
    }
    match mask {
        Mask::Null | Mask::Last4 => return None,
        Mask::Redact => slots.fill(0),
        Mask::Partial => slots.iter_mut().skip(1).for_each(|byte| *byte = 0),
        Mask::Hash | Mask::Token => {
            let digest = key.digest(slots);
            // Locally administered, and not a group.
            let first = 0x02;
            for (slot, byte) in slots.iter_mut().zip(std::iter::once(first).chain(digest)) {
                *slot = byte;
            }
        }
    }
    for (place, byte) in slots.iter().enumerate() {
        if binary {
            out.push(*byte);
        } else {
            if place > 0 {
                out.push(b':');
            }
            out.extend([hex(byte >> 4), hex(byte & 15)]);
        }
    }
    Some(())
}
