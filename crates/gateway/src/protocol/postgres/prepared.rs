//! What a session knows of its prepared statements and portals, and of what runs at the upstream on its behalf.

use std::sync::Arc;

use kernel::id::DecisionId;
use kernel::operation::Operation;
use kernel::verdict::Limits;
use wire::mask::MaskPlan;
use wire::postgres::message::Format;
use wire::postgres::session_names::{Change, SessionNames};
use wire::sql::Analysis;

/// Prepared statements and portals that a session may have, each.
pub(super) const MOST_NAMES: usize = 4096;

/// The names of one session.
pub(super) type Names = SessionNames<Arc<Prepared>, Arc<Portal>>;

/// A prepared statement.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The statement as the client wrote it.
    pub(super) text: Arc<str>,
    /// What it asks for.
    pub(super) analysis: Arc<Analysis>,
    /// The catalogue that it was analysed with.
    pub(super) epoch: u64,
}

/// A portal: a statement with its values.
#[derive(Debug)]
pub(super) struct Portal {
    pub(super) prepared: Arc<Prepared>,
    /// The values as they were bound, formats included; a grant binds them.
    pub(super) values: Vec<u8>,
    /// How the result's columns are written: none (text), one for all, or one for each.
    pub(super) formats: Vec<Format>,
}

/// A request that was forwarded, until its answer is complete.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) decision: DecisionId,
    pub(super) operations: Arc<[Operation]>,
    pub(super) shape: u128,
    /// For each statement, how its rows are masked; empty if none is.
    pub(super) plans: Vec<Option<MaskPlan>>,
    /// The statement whose rows come now.
    pub(super) statement: usize,
    /// Rows of the statement that have come, and that have left.
    pub(super) rows: u64,
    pub(super) rows_sent: u64,
    pub(super) bytes_sent: u64,
    pub(super) limits: Limits,
    /// How the columns are written.
    pub(super) formats: Vec<Format>,
    /// An error has come.
    pub(super) failed: bool,
    /// Names that it changes.
    pub(super) changes: Vec<Change>,
    pub(super) changes_catalogue: bool,
    pub(super) writes: bool,
}

impl Running {
    /// How the rows that come now are masked.
    pub(super) fn plan(&self) -> Option<&MaskPlan> {
        self.plans.get(self.statement).and_then(Option::as_ref)
    }

    /// Does anything of it need a look at its rows?
    pub(super) fn looks_at_rows(&self) -> bool {
        self.limits.rows.is_some() || self.limits.bytes.is_some() || self.plan().is_some()
    }
}

/// What an answer of the upstream's belongs to.
#[derive(Debug)]
pub(super) enum Due {
    /// A message that runs nothing, and the name that it changes.
    Other(Option<Change>),
    /// A request.
    Running(Box<Running>),
    /// The refusal probe: the error that the client gets instead of the upstream's.
    Refusal(Vec<u8>),
}
