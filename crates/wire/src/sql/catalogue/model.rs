//! What a catalogue holds: relations, columns, functions, types, operators and casts. Plain data, as at one epoch.

use std::sync::{Arc, OnceLock};

use kernel::resource::Kin;
use kernel::verdict::Undecidable;

use crate::sql::bodies::Looked;
use crate::sql::kin::Traced;
use crate::sql::lineage::Lineage;
use crate::sql::views::Expansion;

/// The first object id that `initdb` does not give away.
pub(in crate::sql) const FIRST_USER_OID: u32 = 16_384;

/// What sort of relation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    /// A plain table.
    Table,
    /// A view.
    View,
    /// A materialised view.
    MaterialisedView,
    /// A foreign table.
    Foreign,
    /// A partitioned table.
    Partitioned,
    /// A sequence.
    Sequence,
}

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: Arc<str>,
    /// Its number; not its position, since columns can be dropped.
    pub number: i16,
    /// Object id of its type.
    pub type_oid: u32,
    /// Name of its type, without schema.
    pub type_name: Arc<str>,
    /// NOT NULL.
    pub not_null: bool,
    /// GENERATED ALWAYS AS (…).
    pub generated: bool,
    /// What a generated column is computed from.
    pub expression: Option<Arc<str>>,
    /// It is computed whenever it is read, and not stored.
    pub computed_when_read: bool,
}

/// What runs unasked when a relation is written, or read (hazards PL17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sql) struct Delayed {
    pub(in crate::sql) kind: DelayedKind,
    /// The events, as in `pg_trigger.tgtype`.
    pub(in crate::sql) bits: u16,
    /// Object id of the function; 0 for a rule.
    pub(in crate::sql) function: u32,
    /// Number of the column that a default is for.
    pub(in crate::sql) column: Option<i16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sql) enum DelayedKind {
    Trigger,
    Default,
    Generated,
    Check,
    Index,
    Policy,
    /// A foreign key deletes or updates rows of another relation, whose object id stands in the function's place.
    Deletes,
    Updates,
    Rule,
}

/// A relation.
#[derive(Debug)]
pub struct Relation {
    /// Its schema.
    pub schema: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// `database.schema.name`.
    pub full_name: Arc<str>,
    /// Object id.
    pub oid: u32,
    /// What it is.
    pub kind: RelationKind,
    /// It belongs to `pg_catalog` or `information_schema`.
    pub system: bool,
    /// Its columns, in order.
    pub columns: Vec<Column>,
    /// For views: the SELECT.
    pub definition: Option<Arc<str>>,
    /// Every relation whose rows include its own, as places in the catalogue: parents by partition or inheritance.
    pub(in crate::sql) ancestors: Vec<usize>,
    /// Its descendants, by schema and name; absent if there are none.
    pub(in crate::sql) kin: Option<Kin>,
    /// Every relation whose rows are among its own.
    pub(in crate::sql) descendants: Vec<usize>,
    pub(in crate::sql) delayed: Vec<Delayed>,
    /// For temporary tables: what each column is made of.
    pub(in crate::sql) filled_from: Option<Vec<Lineage>>,
    /// What the definition reads, worked out once.
    pub(in crate::sql) expansion: OnceLock<Result<Arc<Expansion>, Undecidable>>,
    /// What its columns are made of beyond themselves, worked out once.
    pub(in crate::sql) traced: OnceLock<Result<Arc<Traced>, Undecidable>>,
}

/// How constant a function says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volatility {
    /// The same result for the same arguments.
    Immutable,
    /// The same within a statement.
    Stable,
    /// Anything.
    Volatile,
}

/// What sort of function it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    /// A function.
    Plain,
    /// A procedure.
    Procedure,
    /// An aggregate.
    Aggregate,
    /// A window function.
    Window,
}

/// How a function is told from others of its name.
#[derive(Clone, Debug)]
pub struct Signature {
    /// Object id.
    pub oid: u32,
    /// What sort of function it is.
    pub kind: FunctionKind,
    /// Types of its parameters, without those that it only returns.
    pub arguments: Box<[u32]>,
    /// How many of the last ones may be left out.
    pub defaults: usize,
    /// The last one takes any number of values.
    pub variadic: bool,
    /// Its result's type.
    pub result: u32,
}

/// The body of a function in SQL.
#[derive(Debug)]
pub(in crate::sql) struct Body {
    pub(in crate::sql) text: Arc<str>,
    /// `RETURN …` or `BEGIN ATOMIC … END`, whose names were resolved when it was defined.
    pub(in crate::sql) standard: bool,
    /// Names of the parameters; empty where one has none.
    pub(in crate::sql) names: Vec<Arc<str>>,
    /// What it reads and returns, worked out once.
    pub(in crate::sql) looked: OnceLock<Result<Arc<Looked>, Undecidable>>,
}

/// A function, procedure or aggregate.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its schema.
    pub schema: Arc<str>,
    /// How constant it is.
    pub volatility: Volatility,
    /// `internal`, `c`, `sql`, `plpgsql`, …
    pub language: Arc<str>,
    /// It returns a set.
    pub returns_set: bool,
    /// It runs with its owner's rights.
    pub security_definer: bool,
    /// It returns a composite or a record, or a polymorphic type that can be one.
    pub returns_row: bool,
    /// Names of its OUT and TABLE parameters.
    pub outputs: Vec<Arc<str>>,
    /// How it is told from others of its name; absent in a catalogue that is not a server's.
    pub signature: Option<Signature>,
    /// It has SET clauses, so that names in it need not mean what they mean outside.
    pub has_settings: bool,
    /// The extension that brought it.
    pub extension: Option<Arc<str>>,
    /// SHA-256 of what it runs, in hex; for functions that are not the server's own.
    pub body_hash: Option<Arc<str>>,
    /// For SQL functions that are not the server's own.
    pub(in crate::sql) body: Option<Arc<Body>>,
}

/// What sort of type it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeKind {
    /// A type of its own.
    Base,
    /// An array of that type.
    Array(u32),
    /// A domain over that type.
    Domain(u32),
    /// The row type of that relation, or of a composite type's own.
    Composite(u32),
    /// An enumeration.
    Enum,
    /// A range over that type.
    Range(u32),
    /// A set of ranges.
    Multirange,
    /// `record`, `anyelement` and their kin.
    Pseudo,
}

/// A type.
#[derive(Clone, Debug)]
pub struct Type {
    /// Its schema.
    pub schema: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// What it is.
    pub kind: TypeKind,
}

/// An operator; a side that it does not have is of type 0.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Its schema.
    pub schema: Arc<str>,
    /// Type of the left side.
    pub left: u32,
    /// Type of the right side.
    pub right: u32,
    /// Type of the result.
    pub result: u32,
    /// Object id of the function that computes it.
    pub function: u32,
}

/// A cast whose function is not the server's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cast {
    /// From that type.
    pub source: u32,
    /// To that type.
    pub target: u32,
    /// Object id of the function.
    pub function: u32,
    /// It happens unasked: implicitly or on assignment.
    pub unasked: bool,
}
