//! Code that a write sets off unasked (hazards PL17): triggers, functions in defaults, generated columns, check constraints,
//! indexes and the checks of domains, rules; and what reading sets off, too: functions in policies of row security.
//!
//! Whoever defined it is not who runs it, so policy must know each function as if the statement called it. What a rule does
//! with a statement cannot be told from the statement: writing to a relation with one is refused.

use std::sync::Arc;

use kernel::operation::Action;
use kernel::verdict::Undecidable;

use super::analyse::Walk;
use super::analysis::Refused;
use super::catalogue::DelayedKind;

/// Bits of `pg_trigger.tgtype`.
const ROW: u16 = 1;
const BEFORE: u16 = 2;
const INSERT: u16 = 4;
const DELETE: u16 = 8;
const UPDATE: u16 = 16;
const TRUNCATE: u16 = 32;
const INSTEAD: u16 = 64;
/// Not of `pg_trigger`.
const READ: u16 = 128;

/// Which columns of what is written take their defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Defaulted {
    /// Any of them may.
    Any,
    /// Those alone.
    Only(Vec<Arc<str>>),
    /// All but those.
    AllBut(Vec<Arc<str>>),
}

impl Defaulted {
    fn takes(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(names) => names.iter().any(|known| **known == *name),
            Self::AllBut(names) => !names.iter().any(|known| **known == *name),
        }
    }
}

impl Walk<'_> {
    /// Notes what a write to the relation sets off; rows of a parent may be those of its children.
    pub(super) fn sets_off(
        &mut self,
        place: usize,
        action: Action,
        defaulted: &Defaulted,
        location: i32,
    ) -> Result<(), Refused> {
        let event = match action {
            Action::SqlInsert => INSERT,
            Action::SqlDelete => DELETE,
            Action::SqlUpdate => UPDATE,
            Action::SqlTruncate => TRUNCATE,
            _ => return Ok(()),
        };
        let catalogue = self.context.catalogue;
        let Some(relation) = catalogue.at(place) else { return Ok(()) };
        for relative in std::iter::once(&place).chain(&relation.descendants) {
            let Some(relation) = catalogue.at(*relative) else { continue };
            for delayed in relation.delayed.iter().filter(|delayed| delayed.bits & event != 0) {
                match delayed.kind {
                    // A rule is looked at only where the statement names its relation.
                    DelayedKind::Rule if *relative == place => {
                        return Err(Refused::at(Undecidable::UnknownForm, location));
                    }
                    DelayedKind::Rule => {}
                    DelayedKind::Default => {
                        let mut columns = relation.columns.iter();
                        let own = columns.find(|column| Some(column.number) == delayed.column);
                        if own.is_none_or(|column| defaulted.takes(&column.name)) {
                            self.calls_function(delayed.function);
                        }
                    }
                    DelayedKind::Deletes => self.carries_on(delayed.function, Action::SqlDelete, location)?,
                    DelayedKind::Updates => self.carries_on(delayed.function, Action::SqlUpdate, location)?,
                    DelayedKind::Trigger
                    | DelayedKind::Generated
                    | DelayedKind::Check
                    | DelayedKind::Index
                    | DelayedKind::Policy => {
                        self.calls_function(delayed.function);
                    }
                }
            }
            if event & (INSERT | UPDATE) != 0 {
                for column in &relation.columns {
                    self.checked(column.type_oid);
                }
            }
        }
        Ok(())
    }

    /// A foreign key carries the change on to rows of that relation.
    fn carries_on(&mut self, oid: u32, action: Action, location: i32) -> Result<(), Refused> {
        let reached = self.context.catalogue.placed().find(|(_, relation)| relation.oid == oid).map(|(place, _)| place);
        let Some(place) = reached.filter(|place| !self.carried.contains(&(*place, action))) else { return Ok(()) };
        self.carried.push((place, action));
        self.sets_off(place, action, &Defaulted::Any, location)
    }

    /// Notes what reading the relation sets off; a policy of the relation that is named holds for its children, too.
    pub(super) fn read_sets_off(&mut self, place: usize) {
        let Some(relation) = self.context.catalogue.at(place) else { return };
        for delayed in relation.delayed.iter().filter(|delayed| delayed.bits & READ != 0) {
            if delayed.kind == DelayedKind::Policy {
                self.calls_function(delayed.function);
            }
        }
    }

    /// Notes what checks a value that becomes one of that type.
    pub(super) fn checked(&mut self, oid: u32) {
        for function in self.context.catalogue.checks_of(oid) {
            self.calls_function(function);
        }
    }

    /// Whether a trigger may put other values into a row before it is stored, so that RETURNING tells what nobody wrote.
    pub(super) fn rows_are_rewritten(&self, place: usize) -> bool {
        let catalogue = self.context.catalogue;
        let Some(relation) = catalogue.at(place) else { return true };
        std::iter::once(&place).chain(&relation.descendants).any(|relative| {
            catalogue.at(*relative).is_some_and(|relation| {
                relation.delayed.iter().any(|delayed| {
                    let rewrites = delayed.bits & ROW != 0 && delayed.bits & (BEFORE | INSTEAD) != 0;
                    let own = delayed.function < super::catalogue::FIRST_USER_OID;
                    delayed.kind == DelayedKind::Trigger && rewrites && !own
                })
            })
        })
    }
}
