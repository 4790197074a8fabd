//! What the analysis of one text says: its statements, their operations, and where each result column comes from.
//!
//! Indices of operations count through the whole text ([`Analysis::operations`]), because the whole text is one request:
//! a multi-statement query is judged before any of it runs.

use std::ops::Range;
use std::sync::Arc;

use kernel::operation::Operation;
use kernel::verdict::Undecidable;

use super::catalogue::Made;
use super::copy_layout::CopyLayout;

/// Why a text is refused before any policy is asked, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .why.explanation())]
pub struct Refused {
    /// Why.
    pub why: Undecidable,
    /// Byte offset in the text, where one is known.
    pub position: Option<u32>,
}

impl Refused {
    pub(super) fn new(why: Undecidable) -> Self {
        Self { why, position: None }
    }

    /// A refusal at a parser location; the parser writes -1 where it knows none.
    pub(super) fn at(why: Undecidable, location: i32) -> Self {
        Self { why, position: u32::try_from(location).ok() }
    }
}

/// What one text, that is one simple query or one Parse, asks for.
#[derive(Clone, Debug)]
pub struct Analysis {
    /// The statements in order; none for an empty query.
    pub statements: Vec<Statement>,
    /// The operations of all statements, in order. Empty only if there are no statements.
    pub operations: Arc<[Operation]>,
    /// The text with its constants replaced by `$n` and its comments by a space. In an analysis that texts share it is
    /// that of the first of them, whose white space and case of words may differ.
    pub template: Arc<str>,
    /// Digest over operations, facts and outputs: equal where they are equal.
    pub shape: u128,
    /// Whether a text that differs in its constants alone has this very analysis (spans and ranges apart).
    pub shareable: bool,
}

/// One statement of a text.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The command tag's first words, such as `SELECT` or `CREATE TABLE`.
    pub tag: &'static str,
    /// Its operations, as a range in [`Analysis::operations`].
    pub operations: Range<usize>,
    /// Where each result column comes from.
    pub outputs: Outputs,
    /// Operations (indices in [`Analysis::operations`]) whose value is stored or handed to code instead of returned: if
    /// one of them is masked, the statement cannot run.
    pub copied: Vec<usize>,
    /// What flows into the columns of which table, if anything but the client's own values does.
    pub stored: Vec<Stored>,
    /// The temporary table that it makes.
    pub made: Option<Arc<Made>>,
    /// The temporary tables that it drops.
    pub unmade: Vec<Arc<str>>,
    /// What the statement does to the session.
    pub control: Control,
    /// Whether it may change relations, functions or rights, so that the next statement must wait for its answer.
    pub changes_catalogue: bool,
    /// Whether it may change anything that outlives it.
    pub writes: bool,
    /// Bytes of the statement in the text. Right only for the text that was analysed: see [`super::Templates`].
    pub range: Range<usize>,
    /// The highest `$n`.
    pub parameters: u32,
    /// The format of a COPY.
    pub copy_format: Option<CopyFormat>,
    /// How a COPY … TO writes its lines, unless that is binary or cannot be read again.
    pub copy_layout: Option<Arc<CopyLayout>>,
}

/// Values that are stored in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Schema (`pg_temp` for a temporary table), table and column.
    pub into: [Arc<str>; 3],
    /// What flows in: `sql:select` operations on columns, as indices in [`Analysis::operations`].
    pub from: Vec<usize>,
    /// The values are those of one column, as they are.
    pub bare: bool,
}

/// Where the columns of a result come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outputs {
    /// The statement returns no rows.
    None,
    /// It returns rows with exactly these columns.
    Columns(Vec<Output>),
    /// It returns what a prepared statement or cursor returns, which the session's name table knows.
    Named,
    /// It returns rows of server text, such as SHOW's, with no relation's data in them.
    Text,
}

/// One result column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Output {
    /// What flows into its value.
    pub flow: Flow,
    /// For a bare column: the origins that RowDescription may name.
    pub origins: Vec<Origin>,
    /// For a bare column: object id of its type in the catalogue.
    pub type_oid: Option<u32>,
}

/// A relation's column, as RowDescription names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// Object id of the relation.
    pub table: u32,
    /// Number of the column, from 1.
    pub column: i16,
}

/// What flows into the value of a result column. The indices are those of `sql:select` operations on columns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Flow {
    /// Nothing that a policy could name: constants, parameters, counts, system catalogues.
    Clear,
    /// Exactly the value of one column. More than one index where views stand between: the column of each view, and the
    /// column of the table at the end, all have this value.
    Bare(Vec<usize>),
    /// A value computed from these columns.
    Derived(Vec<usize>),
    /// Something that the analysis cannot see into. It counts as every column that the statement touches.
    Unknown,
}

/// How COPY writes rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CopyFormat {
    /// Text with the default delimiter, NULL marker and no header.
    Text,
    /// CSV, or text with options of its own.
    Other,
    /// Binary.
    Binary,
}

/// What DISCARD throws away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Discarded {
    /// Everything.
    All,
    /// Cached plans.
    Plans,
    /// Sequence state.
    Sequences,
    /// Temporary tables.
    Temp,
}

/// What a statement does to the session. Names are as the server stores them.
#[derive(Clone, Debug)]
pub enum Control {
    /// Nothing.
    None,
    /// BEGIN, START TRANSACTION.
    Begin,
    /// COMMIT, END; with AND CHAIN a new transaction begins at once.
    Commit {
        /// AND CHAIN.
        chain: bool,
    },
    /// ROLLBACK, ABORT.
    Rollback {
        /// AND CHAIN.
        chain: bool,
    },
    /// SAVEPOINT.
    Savepoint(Arc<str>),
    /// RELEASE SAVEPOINT.
    Release(Arc<str>),
    /// ROLLBACK TO SAVEPOINT.
    RollbackTo(Arc<str>),
    /// PREPARE: the name table keeps the inner analysis, whose indices are its own.
    Prepare {
        /// The statement's name.
        name: Arc<str>,
        /// What will run.
        inner: Arc<Analysis>,
    },
    /// EXECUTE: judge what the name stands for, too.
    Execute(Arc<str>),
    /// EXPLAIN of an EXECUTE: judge what the name stands for, whose rows do not come.
    ExplainExecute(Arc<str>),
    /// DEALLOCATE; `None` is ALL.
    Deallocate(Option<Arc<str>>),
    /// DECLARE CURSOR: FETCH returns the inner analysis' columns.
    DeclareCursor {
        /// The cursor's name.
        name: Arc<str>,
        /// What it runs; its indices are its own.
        inner: Arc<Analysis>,
    },
    /// FETCH, and MOVE, which returns no rows.
    Fetch {
        /// The cursor's name.
        name: Arc<str>,
        /// MOVE.
        moves: bool,
    },
    /// CLOSE; `None` is ALL.
    Close(Option<Arc<str>>),
    /// DISCARD.
    Discard(Discarded),
    /// SET, RESET of a setting that may change.
    Set,
    /// COPY … FROM STDIN.
    CopyIn,
    /// COPY … TO STDOUT.
    CopyOut,
}
