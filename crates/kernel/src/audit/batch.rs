//! Entries that go to the log together: encoded back to back, so that a request of several decisions costs one write.

use std::sync::Arc;

use crate::audit::body::DecisionBody;
use crate::audit::content::ContentOf;
use crate::audit::entry::{self, Entry};
use crate::id::DecisionId;
use crate::time::{TimeText, Timestamp};
use crate::verdict::{Ask, Deny, Permit};

/// Encoded entries in order. Kept by a session and used again, so that the common path allocates nothing.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// For some entries, by their index: where their content begins, and whose it is.
    contents: Vec<(usize, usize, ContentOf)>,
    durable: bool,
    times: TimeText,
}

impl Batch {
    /// Adds an entry that is no verdict: a login, an administrative action, a change of configuration.
    pub fn push(&mut self, entry: &Entry<'_>) {
        // A build of the benchmark alone.
        if cfg!(feature = "unaudited") {
            return self.ends.push(0);
        }
        if let Some((at, of)) = entry::encode(entry, &mut self.times, &mut self.bytes) {
            self.contents.push((self.ends.len(), at, of));
        }
        self.ends.push(self.bytes.len());
    }

    /// The entries with their content apart, in order.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let mut contents = self.contents.iter().peekable();
        let mut start = 0;
        self.ends.iter().enumerate().map(move |(index, end)| {
            let entry = self.bytes.get(start..*end).unwrap_or_default();
            let content = contents.next_if(|(of, ..)| *of == index).and_then(|(_, at, of)| {
                let at = at.checked_sub(start)?;
                let (before, words) = entry.split_at_checked(at)?;
                Some(PartContent { before: before.strip_suffix(b",")?, words: words.strip_suffix(b"}")?, of })
            });
            start = *end;
            Part { entry, content }
        })
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

    /// Must it be forced to the disk before it counts as appended, whatever the log's own durability?
    pub fn is_durable(&self) -> bool {
        self.durable
    }

    /// Demands that.
    pub fn make_durable(&mut self) {
        self.durable = true;
    }

    /// Forgets the entries and keeps the memory, unless there is much of it.
    pub(crate) fn clear(&mut self) {
        const KEEP: usize = 4096;
        self.durable = false;
        self.contents.clear();
        self.ends.clear();
        self.bytes.clear();
        if self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
            self.ends = Vec::new();
        }
    }
}

/// An entry of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Part<'b> {
    /// Its canonical bytes, content included.
    pub entry: &'b [u8],
    /// Its content, if it has some.
    pub content: Option<PartContent<'b>>,
}

/// What of an entry is content, which a log may keep beside its leaves.
#[derive(Clone, Copy, Debug)]
pub struct PartContent<'b> {
    /// The entry up to the comma before its content.
    pub before: &'b [u8],
    /// The last members, as they stand in the entry.
    pub words: &'b [u8],
    /// Whose it is.
    pub of: &'b ContentOf,
}

/// Verdicts that wait to be entered, with their encoded entries. `Pending::enter` turns them into receipts.
///
/// A permit whose body stands in an earlier entry is entered in short. Because only what waits here knows what reaches the
/// log, references are made here: to entries that were appended, or to one before in the same batch.
#[derive(Debug, Default)]
pub struct Pending {
    pub(crate) batch: Batch,
    pub(crate) permits: Vec<Permit>,
    pub(crate) denials: Vec<Deny>,
    /// Bodies that this batch holds in full for the first time, with their decisions.
    pub(super) first: Vec<(Arc<DecisionBody>, DecisionId)>,
}

impl Pending {
    /// Adds a permit, which is held until it is entered.
    pub fn permit(&mut self, permit: Permit, now: Timestamp) {
        if permit.terms.durable {
            self.batch.make_durable();
        }
        let like = self.like(&permit);
        let grant = permit.grant.as_deref().copied();
        self.push(entry::Event::Decision { subject: &permit.subject, grant, approval: None, like }, now);
        self.permits.push(permit);
    }

    /// The decision whose entry holds this permit's body. If there is none, the permit's own entry becomes that.
    fn like(&mut self, permit: &Permit) -> Option<DecisionId> {
        // A pipeline repeats one of its last statements, if any.
        const LATEST: usize = 8;
        let (subject, body) = (&permit.subject, &permit.subject.audit_body);
        if permit.grant.is_some() || subject.around.is_some() || body.short().is_none() {
            return None;
        }
        let waiting = || {
            let mut latest = self.first.iter().rev().take(LATEST);
            latest.find(|(first, _)| Arc::ptr_eq(first, body)).map(|(_, decision)| *decision)
        };
        let like = body.entered().or_else(waiting);
        if like.is_none() {
            self.first.push((body.clone(), subject.decision));
        }
        like
    }

    /// Adds a denial, which is held until it is entered.
    pub fn deny(&mut self, deny: Deny, now: Timestamp) {
        self.push(entry::Event::Decision { subject: &deny.subject, grant: None, approval: None, like: None }, now);
        self.denials.push(deny);
    }

    /// Adds an ask, which stays with the caller: it is answered later.
    pub fn ask(&mut self, ask: &Ask, approval: crate::id::ApprovalId, now: Timestamp) {
        self.push(
            entry::Event::Decision { subject: &ask.subject, grant: None, approval: Some(approval), like: None },
            now,
        );
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
