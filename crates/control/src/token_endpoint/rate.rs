//! How often an address may call: verifying a signature costs more than asking for it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kernel::time::Timestamp;

/// Calls are counted over so long.
const WINDOW: Duration = Duration::from_secs(60);
/// Calls of an address in a window.
pub(super) const MOST: u32 = 600;
/// Addresses that are remembered; beyond, new ones wait.
const MOST_ADDRESSES: usize = 8192;

/// Counts by address; of IPv6, by the /64 around it.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<HashMap<IpAddr, (Timestamp, u32)>>);

impl Rates {
    /// Counts a call; false if there were too many.
    pub(super) fn admit(&self, address: IpAddr, now: Timestamp) -> bool {
        let network = match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = |began: Timestamp| began <= now && now.since(began) < WINDOW;
        if counts.len() >= MOST_ADDRESSES && !counts.contains_key(&network) {
            counts.retain(|_, (began, _)| runs(*began));
            if counts.len() >= MOST_ADDRESSES {
                return false;
            }
        }
        let count = counts.entry(network).or_insert((now, 0));
        if !runs(count.0) {
            *count = (now, 0);
        }
        count.1 = count.1.saturating_add(1);
        count.1 <= MOST
    }
}
