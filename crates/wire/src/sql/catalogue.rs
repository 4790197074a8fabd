//! What is known about one database: relations with their columns, view definitions and functions. Plain data; the gateway
//! runs the queries that stand here and hands the rows over as text.
//!
//! The queries are for a connection whose `search_path` is empty, so that names in view definitions come qualified, and
//! no object outside `pg_catalog` can answer to a name in the queries themselves. A role without rights can run them.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::system;
use super::views::Expansion;

/// Relations and their columns: a row for each column, in order of relation and number; a relation without columns has
/// one row with the column fields absent.
/// Result: schema, relation, oid, relkind, attnum, column, type oid, type name, not null, generated.
pub const CATALOGUE_RELATIONS: &str = "SELECT n.nspname, c.relname, c.oid, c.relkind, a.attnum, a.attname, a.atttypid, \
t.typname, a.attnotnull, a.attgenerated <> '' FROM pg_catalog.pg_class c \
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p', 'S') AND n.nspname !~ '^pg_(toast|temp)' ORDER BY c.oid, a.attnum";

/// The definitions of views and materialised views outside the system schemas. Result: oid, definition.
pub const CATALOGUE_VIEWS: &str = "SELECT c.oid, pg_catalog.pg_get_viewdef(c.oid) FROM pg_catalog.pg_class c \
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') \
AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)' ORDER BY c.oid";

/// Functions, procedures and aggregates, a row for each distinct combination.
/// Result: schema, name, volatility (`i`, `s`, `v`), language, returns set, security definer, may return a row, names of the
/// OUT and TABLE parameters in order, separated by U+001F (absent if there are none).
pub const CATALOGUE_FUNCTIONS: &str = "SELECT DISTINCT n.nspname, p.proname, p.provolatile, l.lanname, p.proretset, \
p.prosecdef, t.typtype = 'c' OR p.prorettype IN (2249, 2283, 5077), (SELECT pg_catalog.string_agg(coalesce(p.proargnames[i], ''), \
pg_catalog.chr(31) ORDER BY i) FROM pg_catalog.generate_subscripts(p.proargmodes, 1) AS i \
WHERE p.proargmodes[i] IN ('o', 'b', 't')) FROM pg_catalog.pg_proc p \
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
JOIN pg_catalog.pg_type t ON t.oid = p.prorettype WHERE n.nspname !~ '^pg_(toast|temp)'";

/// A result row in text format.
pub type CatalogueRow = Vec<Option<String>>;

/// Which catalogue query a problem is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatalogueQuery {
    /// [`CATALOGUE_RELATIONS`].
    Relations,
    /// [`CATALOGUE_VIEWS`].
    Views,
    /// [`CATALOGUE_FUNCTIONS`].
    Functions,
}

/// A row that does not have the form that its query promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {row} of the catalogue query `{query:?}` has an unexpected form")]
pub struct CatalogueError {
    /// Which query.
    pub query: CatalogueQuery,
    /// Which row, from 0.
    pub row: usize,
}

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
    /// What the definition reads, worked out once.
    pub(super) expansion: OnceLock<Result<Arc<Expansion>, kernel::verdict::Undecidable>>,
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

/// A function, procedure or aggregate. Overloads that differ in nothing that matters here are one.
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
}

/// One database, as it was at one epoch.
#[derive(Debug)]
pub struct Catalogue {
    pub(super) database: Arc<str>,
    pub(super) server_major: u32,
    pub(super) epoch: u64,
    pub(super) search_path: Vec<Arc<str>>,
    pub(super) relations: Vec<Relation>,
    by_name: HashMap<Arc<str>, HashMap<Arc<str>, usize>>,
    functions: HashMap<Arc<str>, Vec<Function>>,
}

fn field(row: &CatalogueRow, place: usize) -> Option<&str> {
    row.get(place).and_then(|value| value.as_deref())
}

fn flag(row: &CatalogueRow, place: usize) -> Option<bool> {
    match field(row, place)? {
        "t" => Some(true),
        "f" => Some(false),
        _ => None,
    }
}

fn relation_kind(letter: &str) -> Option<RelationKind> {
    Some(match letter {
        "r" => RelationKind::Table,
        "v" => RelationKind::View,
        "m" => RelationKind::MaterialisedView,
        "f" => RelationKind::Foreign,
        "p" => RelationKind::Partitioned,
        "S" => RelationKind::Sequence,
        _ => return None,
    })
}

fn read_column(row: &CatalogueRow) -> Option<Column> {
    Some(Column {
        number: field(row, 4)?.parse().ok()?,
        name: field(row, 5)?.into(),
        type_oid: field(row, 6)?.parse().ok()?,
        type_name: field(row, 7)?.into(),
        not_null: flag(row, 8)?,
        generated: flag(row, 9)?,
    })
}

fn read_relation(database: &str, row: &CatalogueRow) -> Option<Relation> {
    let (schema, name) = (field(row, 0)?, field(row, 1)?);
    Some(Relation {
        schema: schema.into(),
        name: name.into(),
        full_name: format!("{database}.{schema}.{name}").into(),
        oid: field(row, 2)?.parse().ok()?,
        kind: relation_kind(field(row, 3)?)?,
        system: system::is_system_schema(schema),
        columns: Vec::new(),
        definition: None,
        expansion: OnceLock::new(),
    })
}

fn read_function(row: &CatalogueRow) -> Option<(Arc<str>, Function)> {
    let function = Function {
        schema: field(row, 0)?.into(),
        volatility: match field(row, 2)? {
            "i" => Volatility::Immutable,
            "s" => Volatility::Stable,
            "v" => Volatility::Volatile,
            _ => return None,
        },
        language: field(row, 3)?.into(),
        returns_set: flag(row, 4)?,
        security_definer: flag(row, 5)?,
        returns_row: flag(row, 6)?,
        outputs: field(row, 7).map(|names| names.split('\u{1f}').map(Arc::from).collect()).unwrap_or_default(),
    };
    Some((field(row, 1)?.into(), function))
}

impl Catalogue {
    /// Builds the catalogue of `database` from the rows of the three queries. `server_major` is such as 15 or 18; `epoch`
    /// grows with each refresh, and nothing analysed under another epoch is reused. The search path is `public`.
    pub fn from_rows(
        database: &str,
        server_major: u32,
        epoch: u64,
        relations: &[CatalogueRow],
        views: &[CatalogueRow],
        functions: &[CatalogueRow],
    ) -> Result<Self, CatalogueError> {
        let mut catalogue = Self {
            database: database.into(),
            server_major,
            epoch,
            search_path: vec!["public".into()],
            relations: Vec::new(),
            by_name: HashMap::new(),
            functions: HashMap::new(),
        };
        let mut by_oid: HashMap<u32, usize> = HashMap::new();
        for (row, values) in relations.iter().enumerate() {
            let problem = CatalogueError { query: CatalogueQuery::Relations, row };
            let oid = field(values, 2).and_then(|oid| oid.parse().ok()).ok_or(problem)?;
            let place = match by_oid.get(&oid) {
                Some(place) => *place,
                None => {
                    let relation = read_relation(database, values).ok_or(problem)?;
                    let place = catalogue.relations.len();
                    by_oid.insert(oid, place);
                    let schema = catalogue.by_name.entry(relation.schema.clone()).or_default();
                    schema.insert(relation.name.clone(), place);
                    catalogue.relations.push(relation);
                    place
                }
            };
            if field(values, 4).is_some() {
                let column = read_column(values).ok_or(problem)?;
                catalogue.relations.get_mut(place).ok_or(problem)?.columns.push(column);
            }
        }
        for (row, values) in views.iter().enumerate() {
            let problem = CatalogueError { query: CatalogueQuery::Views, row };
            let oid = field(values, 0).and_then(|oid| oid.parse::<u32>().ok()).ok_or(problem)?;
            // A view that came into being between the two queries: unknown until the next refresh.
            let Some(relation) = by_oid.get(&oid).and_then(|place| catalogue.relations.get_mut(*place)) else {
                continue;
            };
            relation.definition = field(values, 1).map(Arc::from);
        }
        for (row, values) in functions.iter().enumerate() {
            let problem = CatalogueError { query: CatalogueQuery::Functions, row };
            let (name, function) = read_function(values).ok_or(problem)?;
            catalogue.functions.entry(name).or_default().push(function);
        }
        Ok(catalogue)
    }

    /// The database's name.
    pub fn database(&self) -> &Arc<str> {
        &self.database
    }

    /// The server's major version.
    pub fn server_major(&self) -> u32 {
        self.server_major
    }

    /// Which refresh this is.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The pinned search path; `pg_catalog` stands before it.
    pub fn search_path(&self) -> &[Arc<str>] {
        &self.search_path
    }

    /// Every relation.
    pub fn relations(&self) -> &[Relation] {
        &self.relations
    }

    /// The relation of that schema and name, as stored (folded and cut).
    pub fn relation(&self, schema: &str, name: &str) -> Option<&Relation> {
        self.relation_place(schema, name).and_then(|place| self.relations.get(place))
    }

    pub(super) fn relation_place(&self, schema: &str, name: &str) -> Option<usize> {
        self.by_name.get(schema)?.get(name).copied()
    }

    /// Resolves an unqualified name as the server does under the pinned path.
    pub(super) fn resolve(&self, name: &str) -> Option<usize> {
        self.relation_place("pg_catalog", name)
            .or_else(|| self.search_path.iter().find_map(|schema| self.relation_place(schema, name)))
    }

    /// Every function of that name, whatever its schema.
    pub fn functions(&self, name: &str) -> &[Function] {
        self.functions.get(name).map_or(&[], Vec::as_slice)
    }
}
