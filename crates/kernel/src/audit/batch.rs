//! Entries that go to the log together: encoded back to back, so that a request of several decisions costs one write.

use crate::audit::entry::{self, Entry};
use crate::time::Timestamp;
use crate::verdict::{Ask, Deny, Permit};

/// Encoded entries in order. Kept by a session and used again, so that the common path allocates nothing.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    /// Adds an entry that is no verdict: a login, an administrative action, a change of configuration.
    pub fn push(&mut self, entry: &Entry<'_>) {
        entry::encode(entry, &mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// The entries' canonical bytes, in order.
    pub fn entries(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let entry = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            entry
        })
    }

    /// How many entries it holds.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Does it hold nothing?
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Forgets the entries and keeps the memory, unless there is much of it.
    pub(crate) fn clear(&mut self) {
        const KEEP: usize = 4096;
        self.ends.clear();
        self.bytes.clear();
        if self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
            self.ends = Vec::new();
        }
    }
}

/// Verdicts that wait to be entered, with their encoded entries. `Pending::enter` turns them into receipts.
#[derive(Debug, Default)]
pub struct Pending {
    pub(crate) batch: Batch,
    pub(crate) permits: Vec<Permit>,
    pub(crate) denials: Vec<Deny>,
}

impl Pending {
    /// Adds a permit, which is held until it is entered.
    pub fn permit(&mut self, permit: Permit, now: Timestamp) {
        let grant = permit.grant;
        self.push(entry::Event::Decision { subject: &permit.subject, grant, approval: None }, now);
        self.permits.push(permit);
    }

    /// Adds a denial, which is held until it is entered.
    pub fn deny(&mut self, deny: Deny, now: Timestamp) {
        self.push(entry::Event::Decision { subject: &deny.subject, grant: None, approval: None }, now);
        self.denials.push(deny);
    }

    /// Adds an ask, which stays with the caller: it is answered later.
    pub fn ask(&mut self, ask: &Ask, approval: crate::id::ApprovalId, now: Timestamp) {
        self.push(entry::Event::Decision { subject: &ask.subject, grant: None, approval: Some(approval) }, now);
    }

    /// Adds an event that is no verdict.
    pub fn note(&mut self, event: entry::Event<'_>, now: Timestamp) {
        self.push(event, now);
    }

    /// Is nothing waiting?
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    fn push(&mut self, event: entry::Event<'_>, now: Timestamp) {
        self.batch.push(&Entry { at: now, event });
    }
}
