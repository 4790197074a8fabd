//! What a text asks for in this session: where it names a prepared statement or a cursor, what that name stands for is
//! judged with it (PW12).

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{Context, SHA256};
use kernel::operation::Operation;
use kernel::verdict::{Mask, Undecidable};
use wire::mask::MaskPlan;
use wire::postgres::session_names::{Change, Life, Lookup};
use wire::sql::{Analysis, Control, Discarded};

use super::client::{Place, Stop};
use super::prepared::{Named, Names, Portal, Prepared, Sent};
use super::serve::Conversation;

/// A request as it is judged.
#[derive(Debug)]
pub(super) struct Effective {
    /// Of the catalogue that it was analysed with.
    epoch: u64,
    /// The text's own operations, then those of the names that it uses.
    pub(super) operations: Arc<[Operation]>,
    pub(super) shape: u128,
    /// What its statements name.
    named: Vec<Named>,
    /// Names that it changes.
    pub(super) changes: Vec<Change>,
    pub(super) begins_copy: bool,
    pub(super) changes_catalogue: bool,
    pub(super) writes: bool,
}

impl Conversation<'_> {
    /// Looks up the names that a text uses, and notes those that it changes. `epoch` was read before the analysis: a catalogue
    /// that came in between makes what is prepared look older than it is, never newer.
    pub(super) fn effective(&mut self, analysis: &Arc<Analysis>, epoch: u64, place: Place) -> Result<Effective, Stop> {
        let mut effective = Effective {
            epoch,
            operations: Arc::clone(&analysis.operations),
            shape: analysis.shape,
            named: Vec::new(),
            changes: Vec::new(),
            begins_copy: false,
            changes_catalogue: false,
            writes: false,
        };
        for (index, statement) in analysis.statements.iter().enumerate() {
            effective.changes_catalogue |= statement.changes_catalogue;
            effective.writes |= statement.writes;
            let found = match self.control(&statement.control, &mut effective) {
                Ok(named) => named,
                Err(unknown) => {
                    effective.cancel_changes(&mut self.names);
                    return Err(match unknown {
                        Unknown::Pending => Stop::Settle,
                        Unknown::Missing => Stop::NoSuchName(place),
                        Unknown::TooMany => {
                            Stop::Refuse(place, Box::new(self.session.refuse(Undecidable::TooLarge, "")))
                        }
                    });
                }
            };
            let explains = matches!(statement.control, Control::ExplainExecute(_));
            if let Some((named, portal)) = found {
                effective.writes |= named.statements.iter().any(|statement| statement.writes);
                effective.changes_catalogue |= named.statements.iter().any(|statement| statement.changes_catalogue);
                effective.add(index, named, portal, explains);
            }
        }
        Ok(effective)
    }

    /// What one statement does to the session's names, and the analysis of the name that it uses.
    fn control(&mut self, control: &Control, effective: &mut Effective) -> Result<Option<Found>, Unknown> {
        let change = match control {
            Control::Execute(name) | Control::ExplainExecute(name) => {
                let prepared = Arc::clone(known(self.names.statement(name))?);
                let analysis = self.fresh(&prepared)?;
                return Ok(Some((analysis, None)));
            }
            Control::Fetch { name, .. } => {
                let portal = Arc::clone(known(self.names.portal(name))?);
                return Ok(Some((self.fresh(&portal.prepared)?, Some(Arc::clone(&portal)))));
            }
            Control::Prepare { name, inner } => {
                let prepared = effective.prepared(inner);
                self.names.insert_statement(name, prepared).map_err(|_full| Unknown::TooMany)?
            }
            Control::DeclareCursor { name, inner } => {
                let prepared = effective.prepared(inner);
                let portal = Portal { prepared, values: Vec::new(), formats: Vec::new(), sent: Sent::default() };
                // Whether it outlives the transaction, the upstream knows; a name kept too long stands for nothing there.
                self.names.insert_portal(name, Arc::new(portal), Life::Session).map_err(|_full| Unknown::TooMany)?
            }
            Control::Deallocate(Some(name)) => self.names.remove_statement(name).map_err(|_full| Unknown::TooMany)?,
            Control::Deallocate(None) => self.names.clear_statements().map_err(|_full| Unknown::TooMany)?,
            Control::Close(Some(name)) => self.names.remove_portal(name).map_err(|_full| Unknown::TooMany)?,
            Control::Close(None) => self.names.clear_portals().map_err(|_full| Unknown::TooMany)?,
            Control::Discard(Discarded::All) => self.names.clear().map_err(|_full| Unknown::TooMany)?,
            Control::CopyIn => {
                effective.begins_copy = true;
                return Ok(None);
            }
            Control::None
            | Control::Begin
            | Control::Commit { .. }
            | Control::Rollback { .. }
            | Control::Savepoint(_)
            | Control::Release(_)
            | Control::RollbackTo(_)
            | Control::Discard(Discarded::Plans | Discarded::Sequences | Discarded::Temp)
            | Control::Set
            | Control::CopyOut => return Ok(None),
        };
        effective.changes.push(change);
        Ok(None)
    }

    /// What a name stands for, by the catalogue as it is now (PL18).
    fn fresh(&mut self, prepared: &Prepared) -> Result<Arc<Analysis>, Unknown> {
        if prepared.epoch == self.epoch() {
            return Ok(Arc::clone(&prepared.analysis));
        }
        let analysed = match self.own.view(&self.guarded) {
            Some(view) => view.analyse(&prepared.text),
            None => self.guarded.analyse(&prepared.text),
        };
        analysed.map_err(|_no_longer_understood| Unknown::Missing)
    }
}

/// What a name stands for, and for a cursor its portal.
type Found = (Arc<Analysis>, Option<Arc<Portal>>);

enum Unknown {
    Pending,
    Missing,
    TooMany,
}

fn known<V>(lookup: Lookup<'_, V>) -> Result<&V, Unknown> {
    match lookup {
        Lookup::Found(found) => Ok(found),
        Lookup::Missing => Err(Unknown::Missing),
        Lookup::Pending => Err(Unknown::Pending),
    }
}

impl Effective {
    /// What PREPARE or DECLARE gives a name to.
    fn prepared(&self, inner: &Arc<Analysis>) -> Arc<Prepared> {
        Arc::new(Prepared {
            text: Arc::clone(&inner.template),
            analysis: Arc::clone(inner),
            epoch: self.epoch,
            described: OnceLock::new(),
        })
    }

    fn add(&mut self, statement: usize, analysis: Arc<Analysis>, portal: Option<Arc<Portal>>, explains: bool) {
        let begin = self.operations.len();
        self.operations = self.operations.iter().chain(analysis.operations.iter()).cloned().collect();
        let mut context = Context::new(&SHA256);
        context.update(&self.shape.to_be_bytes());
        context.update(&analysis.shape.to_be_bytes());
        let digest = context.finish();
        if let Some(half) = digest.as_ref().first_chunk() {
            self.shape = u128::from_be_bytes(*half);
        }
        self.named.push(Named { statement, begin, analysis, portal, explains });
    }

    /// What its statements name.
    pub(super) fn named(&self) -> &[Named] {
        &self.named
    }

    /// What its statements name, for the cross-check of their results and for their limits.
    pub(super) fn take_named(&mut self) -> Vec<Named> {
        std::mem::take(&mut self.named)
    }

    /// The names that it would have changed stay as they are.
    pub(super) fn cancel_changes(&mut self, names: &mut Names) {
        for change in self.changes.drain(..) {
            names.cancel(change);
        }
    }

    /// How the rows of each statement are masked: empty if no operation is.
    pub(super) fn plans(
        &self,
        analysis: &Analysis,
        masks: &[(usize, Mask, Arc<str>)],
    ) -> Result<Vec<Option<MaskPlan>>, Undecidable> {
        if masks.is_empty() {
            return Ok(Vec::new());
        }
        let mut plans = Vec::with_capacity(analysis.statements.len());
        for (index, statement) in analysis.statements.iter().enumerate() {
            let own = MaskPlan::new(analysis, statement, masks)?;
            let named = self.named.iter().find(|named| named.statement == index);
            plans.push(match named {
                None => own,
                // A plan tells what it computes, and how many rows there were.
                Some(Named { begin, explains: true, .. }) if masks.iter().any(|(at, _, _)| at >= begin) => {
                    return Err(Undecidable::CannotMask);
                }
                Some(Named { explains: true, .. }) => own,
                Some(Named { begin, analysis: named, .. }) => {
                    let theirs: Vec<_> = masks
                        .iter()
                        .filter_map(|(at, mask, policy)| Some((at.checked_sub(*begin)?, *mask, Arc::clone(policy))))
                        .collect();
                    // An EXECUTE or FETCH stands for one statement.
                    match named.statements.first() {
                        Some(statement) => MaskPlan::new(named, statement, &theirs)?,
                        None => own,
                    }
                }
            });
        }
        Ok(plans)
    }
}
