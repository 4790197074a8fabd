//! Code that a write sets off unasked (hazards PL17): triggers, functions in defaults and check constraints, rules.
//!
//! Whoever defined it is not who runs it, so policy must know each function as if the statement called it. What a rule does
//! with a statement cannot be told from the statement: writing to a relation with one is refused.

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

impl Walk<'_> {
    /// Notes what a write to the relation sets off; rows of a parent may be those of its children.
    pub(super) fn sets_off(&mut self, place: usize, action: Action, location: i32) -> Result<(), Refused> {
        let event = match action {
            Action::SqlInsert => INSERT,
            Action::SqlDelete => DELETE,
            Action::SqlUpdate => UPDATE,
            Action::SqlTruncate => TRUNCATE,
            _ => return Ok(()),
        };
        let catalogue = self.context.catalogue;
        let Some(relation) = catalogue.relations.get(place) else { return Ok(()) };
        for relative in std::iter::once(&place).chain(&relation.descendants) {
            let Some(relation) = catalogue.relations.get(*relative) else { continue };
            for delayed in relation.delayed.iter().filter(|delayed| delayed.bits & event != 0) {
                match delayed.kind {
                    // A rule is looked at only where the statement names its relation.
                    DelayedKind::Rule if *relative == place => {
                        return Err(Refused::at(Undecidable::UnknownForm, location));
                    }
                    DelayedKind::Rule => {}
                    DelayedKind::Trigger | DelayedKind::Default | DelayedKind::Check => {
                        self.calls_function(delayed.function);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a trigger may put other values into a row before it is stored, so that RETURNING tells what nobody wrote.
    pub(super) fn rows_are_rewritten(&self, place: usize) -> bool {
        let catalogue = self.context.catalogue;
        let Some(relation) = catalogue.relations.get(place) else { return true };
        std::iter::once(&place).chain(&relation.descendants).any(|relative| {
            catalogue.relations.get(*relative).is_some_and(|relation| {
                relation.delayed.iter().any(|delayed| {
                    let rewrites = delayed.bits & ROW != 0 && delayed.bits & (BEFORE | INSTEAD) != 0;
                    let own = delayed.function < super::catalogue::FIRST_USER_OID;
                    delayed.kind == DelayedKind::Trigger && rewrites && !own
                })
            })
        })
    }
}
