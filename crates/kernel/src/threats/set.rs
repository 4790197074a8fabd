//! A set of addresses: ranges that do not touch, sorted, with a guide to every 64th. The guide of five million ranges fits a
//! processor's second cache, and what it leads to are a few neighbouring lines.

use std::net::IpAddr;

use super::read::Network;

/// How many ranges one entry of the guide leads to.
const STRIDE: usize = 64;

/// A set of addresses of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl AddressSet {
    /// The addresses of these networks, which may overlap and come in any order.
    pub fn new(networks: impl IntoIterator<Item = Network>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network {
                Network::V4 { first, last } => v4.push((first, last)),
                Network::V6 { first, last } => v6.push((first, last)),
            }
        }
        let next4 = |last: u32| last.checked_add(1);
        let next6 = |last: u128| last.checked_add(1);
        Self { v4: Ranges::new(v4, next4), v6: Ranges::new(v6, next6) }
    }

    /// Is the address in the set? IPv4 inside IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.contains(address.to_bits()),
            IpAddr::V6(address) => self.v6.contains(address.to_bits()),
        }
    }

    /// How many ranges there are, after those that touch were joined.
    pub fn ranges(&self) -> usize {
        self.v4.ranges.len() + self.v6.ranges.len()
    }

    /// What the set takes of memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ranges<K> {
    /// First and last of each.
    ranges: Box<[(K, K)]>,
    /// The first of every [`STRIDE`]th.
    guide: Box<[K]>,
}

impl<K: Copy + Ord> Ranges<K> {
    fn new(mut given: Vec<(K, K)>, next: impl Fn(K) -> Option<K>) -> Self {
        given.sort_unstable();
        // Joined in place: what is dense, as the addresses of a provider, becomes few ranges.
        given.dedup_by(|later, earlier| {
            let touches = next(earlier.1).is_none_or(|next| later.0 <= next);
            if touches {
                earlier.1 = earlier.1.max(later.1);
            }
            touches
        });
        let guide = given.chunks(STRIDE).filter_map(|chunk| chunk.first()).map(|(first, _)| *first).collect();
        Self { ranges: given.into(), guide }
    }

    fn contains(&self, key: K) -> bool {
        let Some(chunk) = self.guide.partition_point(|first| *first <= key).checked_sub(1) else { return false };
        let from = chunk * STRIDE;
        let to = (from + STRIDE).min(self.ranges.len());
        let near = self.ranges.get(from..to).unwrap_or_default();
        let Some(place) = near.partition_point(|(first, _)| *first <= key).checked_sub(1) else { return false };
        near.get(place).is_some_and(|(_, last)| key <= *last)
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.ranges) + size_of_val(&*self.guide)
    }
}
