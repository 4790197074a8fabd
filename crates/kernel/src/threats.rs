//! Threat lists: which addresses stand on which list. A list holds millions of networks; a look-up costs well below a
//! microsecond and allocates nothing unless the address is found. Reading the texts of lists is `threats/read.rs`.
//!
//! A list that is too old still bites, and its age is a fact of its own: policies see its name in `context.source.stale`.
//! Fetching and refreshing are the gateway's business.

mod read;
mod set;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use read::{Format, InvalidNetwork, Lines, ListError, Network, read};
pub use set::AddressSet;

use crate::time::Timestamp;
use crate::workload::Name;

/// The names of lists, as policies see them.
pub type Names = Arc<BTreeSet<Arc<str>>>;

/// One list, as it is now.
#[derive(Clone, Debug)]
pub struct ThreatList {
    /// Its name: what policies find in `context.source.threats`.
    pub name: Name,
    /// Where it comes from: a path or a URL, without credentials.
    pub source: Arc<str>,
    /// Its addresses.
    pub addresses: Arc<AddressSet>,
    /// How many networks its text names, those included that overlap.
    pub networks: usize,
    /// Parts of the text that name no address, such as a domain in STIX: passed over, and told.
    pub passed_over: usize,
    /// How old it is counts from here: when a file was written, when a URL was fetched, or what the list says of itself.
    pub as_of: Timestamp,
    /// Beyond this age it is too old.
    pub max_age: Duration,
    /// Why the last refresh failed; none if it did not.
    pub failed: Option<Arc<str>>,
}

impl ThreatList {
    /// From then on it is too old.
    pub fn stale_from(&self) -> Timestamp {
        self.as_of.after(self.max_age)
    }

    /// Is it too old at `now`?
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now >= self.stale_from()
    }
}

/// Every threat list, frozen at one time.
#[derive(Clone, Debug, Default)]
pub struct Threats {
    lists: Vec<ThreatList>,
    stale: Names,
}

impl Threats {
    /// The lists as they are at `now`. Whoever made them makes them anew when one changes or becomes too old.
    pub fn new(lists: Vec<ThreatList>, now: Timestamp) -> Self {
        let stale = lists.iter().filter(|list| list.is_stale(now)).map(|list| Arc::from(list.name.as_str())).collect();
        Self { lists, stale: Arc::new(stale) }
    }

    /// The lists.
    pub fn lists(&self) -> &[ThreatList] {
        &self.lists
    }

    /// The lists that name an address.
    pub fn naming(&self, source: IpAddr) -> Names {
        let mut names = BTreeSet::new();
        for list in self.lists.iter().filter(|list| list.addresses.contains(source)) {
            names.insert(Arc::from(list.name.as_str()));
        }
        Arc::new(names)
    }

    /// The lists that are too old.
    pub fn stale(&self) -> &Names {
        &self.stale
    }
}

#[cfg(test)]
mod tests;
