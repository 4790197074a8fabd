//! What a session knows of its prepared statements and portals, and of what runs at the upstream on its behalf.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use kernel::id::DecisionId;
use kernel::operation::Operation;
use kernel::verdict::Limits;
use wire::mask::{CopyMask, DescribedField, MaskPlan, RowMask};
use wire::postgres::session_names::{Change, SessionNames};
use wire::sql::{Analysis, Outputs};

use super::watch::Watch;

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
    /// Its columns, as the upstream described them first. A later answer may come without a description (MK12).
    pub(super) described: OnceLock<Vec<DescribedField>>,
}

/// A portal: a statement with its values.
#[derive(Debug)]
pub(super) struct Portal {
    pub(super) prepared: Arc<Prepared>,
    /// The values as they were bound, formats included; a grant binds them.
    pub(super) values: Vec<u8>,
    /// The result formats of its Bind: `true` is binary. Empty where all are text.
    pub(super) formats: Vec<bool>,
    /// What has left of it so far.
    pub(super) sent: Sent,
}

/// Rows and bytes of a portal that have left: limits count them over all its Executes and FETCHes (PW18).
#[derive(Debug, Default)]
pub(super) struct Sent {
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Sent {
    pub(super) fn add(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn so_far(&self) -> (u64, u64) {
        (self.rows.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// What a statement stands for that names a prepared statement or a cursor.
#[derive(Clone, Debug)]
pub(super) struct Named {
    /// Which statement of the request, from 0.
    pub(super) statement: usize,
    /// Where the operations of what it names begin among those of the request.
    pub(super) begin: usize,
    /// What it names.
    pub(super) analysis: Arc<Analysis>,
    /// For a cursor: its portal.
    pub(super) portal: Option<Arc<Portal>>,
    /// Its plan comes back, and none of its rows.
    pub(super) explains: bool,
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
    /// How its rows are rewritten, once they come.
    pub(super) rewriting: Option<RowMask>,
    /// The same for lines of `COPY … TO STDOUT`.
    pub(super) copying: Option<CopyMask>,
    /// For an Execute: the portal that runs.
    pub(super) portal: Option<Arc<Portal>>,
    /// Rows of the statement that have come, and that have left.
    pub(super) rows: u64,
    pub(super) rows_sent: u64,
    pub(super) bytes_sent: u64,
    pub(super) limits: Limits,
    /// What it asks for, and for each statement that names another analysis, that one.
    pub(super) analysis: Arc<Analysis>,
    pub(super) named: Vec<Named>,
    /// An error has come.
    pub(super) failed: bool,
    /// Names that it changes.
    pub(super) changes: Vec<Change>,
    pub(super) changes_catalogue: bool,
    pub(super) writes: bool,
    /// How values in columns without a class are looked at.
    pub(super) watch: Watch,
}

impl Running {
    /// How the rows that come now are masked.
    pub(super) fn plan(&self) -> Option<&MaskPlan> {
        self.plans.get(self.statement).and_then(Option::as_ref)
    }

    /// The result columns of the statement that answers now.
    pub(super) fn outputs(&self) -> Option<&Outputs> {
        let statement = match self.named() {
            Some(named) => named.analysis.statements.first(),
            None => self.analysis.statements.get(self.statement),
        };
        statement.map(|statement| &statement.outputs)
    }

    /// The analysis of the statement that answers now, and its result columns.
    pub(super) fn answering(&self) -> (&Analysis, &Outputs) {
        let analysis = self.named().map_or(&self.analysis, |named| &named.analysis);
        (analysis, self.outputs().unwrap_or(&Outputs::None))
    }

    /// What has left of the portal or cursor whose rows come now, if it is one.
    pub(super) fn sent(&self) -> Option<&Sent> {
        let portal = match &self.portal {
            Some(portal) => portal,
            None => self.named()?.portal.as_ref()?,
        };
        Some(&portal.sent)
    }

    fn named(&self) -> Option<&Named> {
        self.named.iter().find(|named| named.statement == self.statement && !named.explains)
    }

    /// Does anything of it need a look at its rows?
    pub(super) fn looks_at_rows(&self) -> bool {
        self.limits.rows.is_some()
            || self.limits.bytes.is_some()
            || self.plan().is_some_and(MaskPlan::rewrites_rows)
            || self.watch.masks()
    }
}

/// What an answer of the upstream's belongs to.
#[derive(Debug)]
pub(super) enum Due {
    /// A message that runs nothing, and the name that it changes.
    Other(Option<Change>),
    /// A request.
    Running(Box<Running>),
    /// A Describe: the columns must be those of the analysis.
    Described(Arc<Prepared>),
    /// The refusal probe: the error that the client gets instead of the upstream's.
    Refusal(Vec<u8>),
}
