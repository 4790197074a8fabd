//! Where each proof is in use on this node: from how many networks at once. One proof in two networks may be a copy of it, or
//! an identity that several things share (hazard ID18). It decides nothing: the session that makes it two says so, as a signal.
//!
//! A network is 256 addresses of IPv4 or a site of IPv6 (/48), so that neither the machines of one rack nor an address that
//! its provider changes make two places; the families are counted apart, because one host speaks both.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use kernel::risk::{Fading, Level, RiskReason};
use kernel::time::Timestamp;
use kernel::trust::Authenticated;

/// One proof: the token or the certificate, and not whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProofId([u8; 32]);

impl ProofId {
    /// By what the attestation says of itself: two proofs of one workload differ at least in their id or their times.
    pub(crate) fn of(who: &Authenticated) -> Self {
        let about = (who.evidence(), who.accepted(), who.until(), who.issued());
        let text = serde_json::to_vec(&about).unwrap_or_default();
        let mut id = [0; 32];
        id.copy_from_slice(digest(&SHA256, &text).as_ref());
        Self(id)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Network {
    V4(u32),
    V6(u128),
}

impl Network {
    fn of(source: IpAddr) -> Self {
        match source.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits() >> 8),
            IpAddr::V6(address) => Self::V6(address.to_bits() >> 80),
        }
    }

    fn is_like(self, other: Self) -> bool {
        matches!((self, other), (Self::V4(_), Self::V4(_)) | (Self::V6(_), Self::V6(_)))
    }
}

/// The proofs in use, and how many sessions each network has of them.
#[derive(Debug, Default)]
pub(crate) struct Places {
    in_use: Mutex<HashMap<ProofId, BTreeMap<Network, u32>>>,
}

impl Places {
    /// A session begins. In how many networks of its family the proof is in use now, this one included.
    pub(crate) fn arrive(&self, proof: ProofId, source: IpAddr) -> usize {
        let network = Network::of(source);
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        let networks = in_use.entry(proof).or_default();
        *networks.entry(network).or_default() += 1;
        networks.keys().filter(|other| other.is_like(network)).count()
    }

    /// A session that arrived ends.
    pub(crate) fn leave(&self, proof: ProofId, source: IpAddr) {
        let network = Network::of(source);
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(networks) = in_use.get_mut(&proof) else { return };
        if let Some(sessions) = networks.get_mut(&network) {
            *sessions = sessions.saturating_sub(1);
        }
        networks.retain(|_, sessions| *sessions > 0);
        if networks.is_empty() {
            in_use.remove(&proof);
        }
    }
}

/// What follows from a proof in so many networks; nothing from one. It fades: a workload that was moved is in two for a while.
pub(crate) fn signal(networks: usize, at: Timestamp) -> Option<RiskReason> {
    const MANY: usize = 5;
    let level = match networks {
        0 | 1 => return None,
        2..MANY => Level::Low,
        _ => Level::Medium,
    };
    let said = format!("one proof is in use from {networks} networks at once").into();
    let about = "shared proof".into();
    Some(RiskReason { by: "places".into(), about, said, weight: level.weight(), at, fading: Fading::Halves })
}

#[cfg(test)]
mod tests;
