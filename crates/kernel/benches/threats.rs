//! What a look-up in a threat list costs: five million networks of IPv4 and of IPv6, asked for addresses all over. Prints
//! nanoseconds and the memory of each set.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench prints, and reads a clock")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use parapet_kernel::threats::{AddressSet, Network};

const NETWORKS: u32 = 5_000_000;
const LOOK_UPS: u32 = 5_000_000;

/// Numbers that look like chance and are the same each time (xorshift64*).
fn chance(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

fn measure(name: &str, set: &AddressSet, address: impl Fn(u64) -> IpAddr) {
    let mut state = 7;
    let addresses: Vec<IpAddr> = (0..LOOK_UPS).map(|_| address(chance(&mut state))).collect();
    let began = Instant::now();
    let found = addresses.iter().filter(|address| black_box(set).contains(**address)).count();
    let each = began.elapsed().as_secs_f64() * 1e9 / f64::from(LOOK_UPS);
    let bytes = set.bytes() / (1 << 20);
    println!("{name}: {each:.0} ns a look-up, {found} of {LOOK_UPS} found, {} ranges in {bytes} MiB", set.ranges());
}

fn main() {
    let mut state = 42;
    // Single addresses and small networks, as lists hold them, spread over the whole space.
    let v4 = AddressSet::new((0..NETWORKS).map(|_| {
        let number = chance(&mut state);
        let bits = number as u32 % 9;
        let first = ((number >> 32) as u32) & !((1 << bits) - 1);
        Network::V4 { first, last: first | ((1 << bits) - 1) }
    }));
    measure("IPv4", &v4, |number| Ipv4Addr::from_bits((number >> 32) as u32).into());
    // Networks of 56 bits in one block of 32: every 3rd or so of them is named.
    let place = |number: u64| (0x2001_0db8_u128 << 96) | (u128::from(number >> 40) << 72);
    let v6 = AddressSet::new((0..NETWORKS).map(|_| {
        let first = place(chance(&mut state));
        Network::V6 { first, last: first | ((1 << 71) - 1) }
    }));
    measure("IPv6", &v6, |number| Ipv6Addr::from_bits(place(number) | 1).into());
}
