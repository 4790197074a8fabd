//! Which prepared statement or portal a name stands for, as the upstream will see it when it comes to the message.
//!
//! There is one table of statements and one of portals, for the protocol and for SQL alike: `PREPARE z` runs by Bind `z`,
//! `DECLARE k` by portal `k` (PW12). The analysis of a statement is kept here from Parse to Execute, so a name that stood
//! for another statement upstream than here would be a bypass. Hence a change is only *pending* until its answer comes:
//!
//! - Within one unit (up to Sync, or one simple Query) a later message runs only if all before it succeeded, so it sees the
//!   unit's own pending changes.
//! - In a later unit a name with a pending change is [`Lookup::Pending`]: the caller waits for the answer, then asks again.
//!
//! [`Lookup::Missing`] may be wrong in one direction only, an old statement may survive upstream; so the caller answers
//! it itself (26000, 34000) and does not forward the client's message.
//! Source: PostgreSQL documentation, §55.2.3 "Extended Query".

use std::collections::{HashMap, VecDeque};

/// The most changes that may wait for an answer.
const MAX_WAITING: usize = 65_536;

/// What a name stands for.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup<'t, V> {
    /// This.
    Found(&'t V),
    /// Nothing: answer so without the upstream.
    Missing,
    /// It depends on an answer that has not come. Wait for `ReadyForQuery`, then ask again.
    Pending,
}

/// A change that waits for its answer: kept by the caller with the forwarded message, then given to
/// [`SessionNames::confirm`] or [`SessionNames::cancel`], in the order of the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change(u64);

/// A table is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session has too many prepared statements or portals")]
pub struct TooMany;

/// How long a portal lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// To the end of the transaction.
    Transaction,
    /// Beyond it: a cursor `WITH HOLD`.
    Session,
}

#[derive(Debug)]
struct Pending<V> {
    change: Change,
    unit: u64,
    to: Option<V>,
}

#[derive(Debug)]
struct Slot<V> {
    settled: Option<V>,
    pending: Vec<Pending<V>>,
}

/// Which names a change is about.
#[derive(Debug)]
enum About {
    Unnamed,
    Named(Box<str>),
    All,
}

impl About {
    fn name(name: &str) -> Self {
        if name.is_empty() { Self::Unnamed } else { Self::Named(name.into()) }
    }
}

#[derive(Debug)]
struct Table<V> {
    /// The unnamed one has its own place, because most statements and portals are that: no hash, no key, no allocation.
    unnamed: Slot<V>,
    named: HashMap<Box<str>, Slot<V>, foldhash::fast::RandomState>,
    /// The changes that wait, oldest first. Answers come in order, so the one that is looked for stands in front.
    waiting: VecDeque<(Change, About)>,
}

impl<V> Table<V> {
    fn new() -> Self {
        Self { unnamed: Slot::new(), named: HashMap::default(), waiting: VecDeque::new() }
    }

    fn slot(&mut self, name: &str) -> Option<&mut Slot<V>> {
        if name.is_empty() { Some(&mut self.unnamed) } else { self.named.get_mut(name) }
    }

    fn find(&self, name: &str, unit: u64) -> Lookup<'_, V> {
        let slot = if name.is_empty() { Some(&self.unnamed) } else { self.named.get(name) };
        let Some(slot) = slot else {
            return Lookup::Missing;
        };
        let value = match slot.pending.last() {
            None => slot.settled.as_ref(),
            Some(pending) if pending.unit == unit => pending.to.as_ref(),
            Some(_) => return Lookup::Pending,
        };
        value.map_or(Lookup::Missing, Lookup::Found)
    }

    fn set(&mut self, name: &str, pending: Pending<V>, cap: usize) -> Result<(), TooMany> {
        // Replacing one name over and over in a pipeline must not grow without bound either.
        if self.waiting.len() >= MAX_WAITING {
            return Err(TooMany);
        }
        let (change, full) = (pending.change, self.named.len() >= cap);
        match self.slot(name) {
            Some(slot) => slot.pending.push(pending),
            None if pending.to.is_none() => return Ok(()),
            None if full => return Err(TooMany),
            None => {
                self.named.insert(name.into(), Slot { settled: None, pending: vec![pending] });
            }
        }
        self.waiting.push_back((change, About::name(name)));
        Ok(())
    }

    fn set_all_missing(&mut self, change: Change, unit: u64) -> Result<(), TooMany> {
        if self.waiting.len() >= MAX_WAITING {
            return Err(TooMany);
        }
        for slot in std::iter::once(&mut self.unnamed).chain(self.named.values_mut()) {
            // One pipeline of `DISCARD ALL` must not grow by names times changes.
            let missing = matches!(slot.pending.last(), Some(last) if last.unit == unit && last.to.is_none());
            if !missing && !slot.is_empty() {
                slot.pending.push(Pending { change, unit, to: None });
            }
        }
        self.waiting.push_back((change, About::All));
        Ok(())
    }

    /// Ends the wait for a change's answer: says what the change is about, if it is one of this table's.
    fn answered(&mut self, change: Change) -> Option<About> {
        let (oldest, _) = self.waiting.front()?;
        let found = if *oldest < change {
            // What was never sent is given up before older changes have their answers.
            let position = self.waiting.iter().position(|(waiting, _)| *waiting == change)?;
            self.waiting.remove(position)
        } else {
            self.waiting.pop_front_if(|(oldest, _)| *oldest == change)
        };
        found.map(|(_, about)| about)
    }

    fn settle(&mut self, change: Change, outcome: Outcome) {
        let Some(about) = self.answered(change) else {
            return;
        };
        if let About::Unnamed | About::All = about
            && self.unnamed.settle(change, outcome)
            && outcome == Outcome::Undone
        {
            // A Parse of the unnamed statement drops the old one even if it then fails. Whether it was skipped or failed
            // is not told apart here, and missing is the safe answer.
            self.unnamed.settled = None;
        }
        match about {
            About::Unnamed => {}
            About::Named(name) => {
                if let Some(slot) = self.named.get_mut(&name) {
                    slot.settle(change, outcome);
                    if slot.is_empty() {
                        self.named.remove(&name);
                    }
                }
            }
            About::All => self.named.retain(|_, slot| {
                slot.settle(change, outcome);
                !slot.is_empty()
            }),
        }
    }

    fn len(&self) -> usize {
        self.named.len() + usize::from(!self.unnamed.is_empty())
    }
}

impl<V> Slot<V> {
    const fn new() -> Self {
        Self { settled: None, pending: Vec::new() }
    }

    /// Settles a change, if it waits for one: says whether it did.
    fn settle(&mut self, change: Change, outcome: Outcome) -> bool {
        let Some(position) = self.pending.iter().position(|pending| pending.change == change) else {
            return false;
        };
        let pending = self.pending.remove(position);
        if outcome == Outcome::Happened {
            self.settled = pending.to;
        }
        true
    }

    /// The name stands for nothing, and nothing waits.
    fn is_empty(&self) -> bool {
        self.settled.is_none() && self.pending.is_empty()
    }

    /// The name stands for nothing any more, whatever the answers that it waits for.
    fn clear(&mut self) {
        self.settled = None;
        self.pending.clear();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Happened,
    Undone,
}

/// The names of one session. `S` is what is known of a statement, `P` of a portal (its statement's analysis and its
/// values: a portal outlives the statement that it was made from).
#[derive(Debug)]
pub struct SessionNames<S, P> {
    statements: Table<S>,
    portals: Table<(P, Life)>,
    cap: usize,
    unit: u64,
    next: u64,
}

impl<S, P> SessionNames<S, P> {
    /// Empty tables that hold `cap` names each.
    pub fn new(cap: usize) -> Self {
        Self { statements: Table::new(), portals: Table::new(), cap, unit: 0, next: 0 }
    }

    fn change(&mut self) -> Change {
        self.next = self.next.wrapping_add(1);
        Change(self.next)
    }

    /// What a statement's name stands for, for a message forwarded now.
    pub fn statement(&self, name: &str) -> Lookup<'_, S> {
        self.statements.find(name, self.unit)
    }

    /// What a portal's name stands for, for a message forwarded now.
    pub fn portal(&self, name: &str) -> Lookup<'_, P> {
        match self.portals.find(name, self.unit) {
            Lookup::Found((portal, _)) => Lookup::Found(portal),
            Lookup::Missing => Lookup::Missing,
            Lookup::Pending => Lookup::Pending,
        }
    }

    /// Parse or `PREPARE` is forwarded. Empty for the unnamed statement.
    ///
    /// # Errors
    /// [`TooMany`]: refuse the message.
    pub fn insert_statement(&mut self, name: &str, statement: S) -> Result<Change, TooMany> {
        let (change, unit) = (self.change(), self.unit);
        self.statements.set(name, Pending { change, unit, to: Some(statement) }, self.cap)?;
        Ok(change)
    }

    /// Bind or `DECLARE` is forwarded. Empty for the unnamed portal.
    ///
    /// # Errors
    /// [`TooMany`]: refuse the message.
    pub fn insert_portal(&mut self, name: &str, portal: P, life: Life) -> Result<Change, TooMany> {
        let (change, unit) = (self.change(), self.unit);
        self.portals.set(name, Pending { change, unit, to: Some((portal, life)) }, self.cap)?;
        Ok(change)
    }

    /// Close of a statement, or `DEALLOCATE name`, is forwarded.
    ///
    /// # Errors
    /// [`TooMany`]: refuse the message.
    pub fn remove_statement(&mut self, name: &str) -> Result<Change, TooMany> {
        let (change, unit) = (self.change(), self.unit);
        self.statements.set(name, Pending { change, unit, to: None }, self.cap)?;
        Ok(change)
    }

    /// Close of a portal, or `CLOSE name`, is forwarded.
    ///
    /// # Errors
    /// [`TooMany`]: refuse the message.
    pub fn remove_portal(&mut self, name: &str) -> Result<Change, TooMany> {
        let (change, unit) = (self.change(), self.unit);
        self.portals.set(name, Pending { change, unit, to: None }, self.cap)?;
        Ok(change)
    }

    /// `DEALLOCATE ALL` is forwarded.
    ///
    /// # Errors
    /// [`TooMany`]: refuse the message.
    pub fn clear_statements(&mut self) -> Result<Change, TooMany> {
        let change = self.change();
        self.statements.set_all_missing(change, self.unit)?;
        Ok(change)
    }

    /// `CLOSE ALL` is forwarded.
    ///
    /// # Errors
    /// [`TooMany`]: refuse the message.
    pub fn clear_portals(&mut self) -> Result<Change, TooMany> {
        let change = self.change();
        self.portals.set_all_missing(change, self.unit)?;
        Ok(change)
    }

    /// `DISCARD ALL` is forwarded.
    ///
    /// # Errors
    /// [`TooMany`]: refuse the message.
    pub fn clear(&mut self) -> Result<Change, TooMany> {
        let change = self.change();
        self.statements.set_all_missing(change, self.unit)?;
        self.portals.set_all_missing(change, self.unit)?;
        Ok(change)
    }

    /// A simple Query is forwarded: it drops the unnamed statement and the unnamed portal, whatever becomes of it.
    pub fn simple_query(&mut self) {
        self.statements.unnamed.clear();
        self.portals.unnamed.clear();
    }

    /// Sync, or the whole of a simple Query, has been forwarded: what follows is another unit.
    pub const fn end_unit(&mut self) {
        self.unit = self.unit.wrapping_add(1);
    }

    /// The change took place: `ParseComplete`, `BindComplete`, `CloseComplete` or `CommandComplete` has come.
    pub fn confirm(&mut self, change: Change) {
        self.settle(change, Outcome::Happened);
    }

    /// The change did not take place: its message failed, or was skipped after an error.
    pub fn cancel(&mut self, change: Change) {
        self.settle(change, Outcome::Undone);
    }

    fn settle(&mut self, change: Change, outcome: Outcome) {
        self.statements.settle(change, outcome);
        self.portals.settle(change, outcome);
    }

    /// `ReadyForQuery` with status idle has come: the transaction is over, and with it all portals but held ones.
    pub fn transaction_ended(&mut self) {
        let end = |slot: &mut Slot<(P, Life)>| {
            if matches!(slot.settled, Some((_, Life::Transaction))) {
                slot.settled = None;
            }
            !slot.is_empty()
        };
        end(&mut self.portals.unnamed);
        self.portals.named.retain(|_, slot| end(slot));
    }

    /// How many statements and portals have a name, pending ones included.
    pub fn len(&self) -> usize {
        self.statements.len().saturating_add(self.portals.len())
    }

    /// Whether no name stands for anything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests;
