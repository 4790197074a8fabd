//! How often an address may call, or fail to say who calls: verifying a signature costs more than asking for it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kernel::time::Timestamp;

/// Calls are counted over so long.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; beyond, new ones wait.
const MOST_ADDRESSES: usize = 8192;

/// Counts by address; of IPv6, by the /64 around it.
#[derive(Debug)]
pub(crate) struct Rates {
    /// As many in a window.
    most: u32,
    counts: Mutex<HashMap<IpAddr, (Timestamp, u32)>>,
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

fn runs(began: Timestamp, now: Timestamp) -> bool {
    began <= now && now.since(began) < WINDOW
}

impl Rates {
    /// So many of an address a minute.
    pub(crate) fn new(most: u32) -> Self {
        Self { most, counts: Mutex::default() }
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, (Timestamp, u32)>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Have there been as many as may be? Counts nothing.
    pub(crate) fn is_spent(&self, address: IpAddr, now: Timestamp) -> bool {
        let counts = self.counts();
        match counts.get(&network(address)) {
            Some((began, count)) => runs(*began, now) && *count >= self.most,
            // Where there is no room to count, nothing more is let in.
            None => counts.len() >= MOST_ADDRESSES && counts.values().all(|(began, _)| runs(*began, now)),
        }
    }

    /// Counts one; false if there were too many.
    pub(crate) fn admit(&self, address: IpAddr, now: Timestamp) -> bool {
        let network = network(address);
        let mut counts = self.counts();
        if counts.len() >= MOST_ADDRESSES && !counts.contains_key(&network) {
            counts.retain(|_, (began, _)| runs(*began, now));
            if counts.len() >= MOST_ADDRESSES {
                return false;
            }
        }
        let count = counts.entry(network).or_insert((now, 0));
        if !runs(count.0, now) {
            *count = (now, 0);
        }
        count.1 = count.1.saturating_add(1);
        count.1 <= self.most
    }
}
