//! What is known about one database: relations with their columns, views, functions, types, operators and casts.
//!
//! The gateway runs the queries of `queries.rs` and hands the rows over; `read.rs` understands them; `model.rs` is what
//! comes out. What needs a parse (what a view reads, what a generated column is made of, what a SQL function does) is
//! worked out at first use and kept in the catalogue, which all sessions of one upstream share.

mod labels;
mod model;
mod queries;
mod read;
mod temporary;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kernel::resource::Kin;

pub use labels::Label;
pub(super) use model::{Body, DelayedKind, FIRST_USER_OID};
pub use model::{
    Cast, Column, Function, FunctionKind, Operator, Relation, RelationKind, Signature, Type, TypeKind, Volatility,
};
pub use queries::{CATALOGUE_FINGERPRINT, CATALOGUE_LACKS, CatalogueQuery, CatalogueRow, CatalogueRows};
pub(super) use temporary::TEMPORARY;
pub use temporary::{Made, Temporary};

/// A row that does not have the form that its query promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {row} of the catalogue query `{query:?}` has an unexpected form")]
pub struct CatalogueError {
    /// Which query.
    pub query: CatalogueQuery,
    /// Which row, from 0.
    pub row: usize,
}

/// One database, as it was at one epoch; for a session that has temporary tables, with these.
#[derive(Debug)]
pub struct Catalogue {
    pub(super) common: Arc<Common>,
    /// Counted behind the others.
    temporary: Vec<Relation>,
}

/// What all sessions share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) database: Arc<str>,
    pub(super) server_major: u32,
    pub(super) epoch: u64,
    pub(super) search_path: Vec<Arc<str>>,
    pub(super) relations: Vec<Relation>,
    by_name: HashMap<Arc<str>, HashMap<Arc<str>, usize>>,
    /// Relations by the object id of their row type.
    row_types: HashMap<u32, usize>,
    functions: HashMap<Arc<str>, Vec<Function>>,
    /// Functions that are not the server's own, by object id: the name, and which of that name.
    by_function: HashMap<u32, (Arc<str>, usize)>,
    types: HashMap<u32, Type>,
    types_by_name: HashMap<Arc<str>, Vec<u32>>,
    /// Fields of composite types, by the object id of the type's own relation.
    fields: HashMap<u32, Vec<(Arc<str>, u32)>>,
    operators: HashMap<Arc<str>, Vec<Operator>>,
    casts: Vec<Cast>,
    /// Functions in the checks of domains, by the object id of the domain.
    domain_checks: HashMap<u32, Vec<u32>>,
    coercions: HashSet<(u32, u32)>,
    labels: Vec<Label>,
}

impl Catalogue {
    /// Builds the catalogue of `database` from the rows of the queries. `server_major` is such as 15 or 18; `epoch` grows
    /// with each refresh, and nothing analysed under another epoch is reused. The search path is `public`.
    ///
    /// # Errors
    /// [`CatalogueError`] for a row of another form than its query promises.
    pub fn read(database: &str, server_major: u32, epoch: u64, rows: &CatalogueRows) -> Result<Self, CatalogueError> {
        let mut common = Common {
            database: database.into(),
            server_major,
            epoch,
            search_path: vec!["public".into()],
            relations: Vec::new(),
            by_name: HashMap::new(),
            row_types: HashMap::new(),
            functions: HashMap::new(),
            by_function: HashMap::new(),
            types: HashMap::new(),
            types_by_name: HashMap::new(),
            fields: HashMap::new(),
            operators: HashMap::new(),
            casts: Vec::new(),
            domain_checks: HashMap::new(),
            coercions: HashSet::new(),
            labels: Vec::new(),
        };
        read::read(&mut common, rows)?;
        Ok(Self { common: Arc::new(common), temporary: Vec::new() })
    }

    /// A catalogue of relations, views and functions alone, without types, operators and what hangs on relations. Rows
    /// of functions may end after their eighth field; then each of that name counts as a candidate for every call.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn from_rows(
        database: &str,
        server_major: u32,
        epoch: u64,
        relations: &[CatalogueRow],
        views: &[CatalogueRow],
        functions: &[CatalogueRow],
    ) -> Result<Self, CatalogueError> {
        let mut rows = CatalogueRows::new();
        rows.put(CatalogueQuery::Relations, relations.to_vec());
        rows.put(CatalogueQuery::Views, views.to_vec());
        rows.put(CatalogueQuery::Functions, functions.to_vec());
        Self::read(database, server_major, epoch, &rows)
    }

    /// The database's name.
    pub fn database(&self) -> &Arc<str> {
        &self.common.database
    }

    /// The server's major version.
    pub fn server_major(&self) -> u32 {
        self.common.server_major
    }

    /// Which refresh this is.
    pub fn epoch(&self) -> u64 {
        self.common.epoch
    }

    /// The pinned search path; `pg_catalog` stands before it.
    pub fn search_path(&self) -> &[Arc<str>] {
        &self.common.search_path
    }

    /// Every relation that is not temporary.
    pub fn relations(&self) -> &[Relation] {
        &self.common.relations
    }

    /// The relation in a place.
    pub(super) fn at(&self, place: usize) -> Option<&Relation> {
        match place.checked_sub(self.common.relations.len()) {
            None => self.common.relations.get(place),
            Some(place) => self.temporary.get(place),
        }
    }

    /// Every relation, with its place.
    pub(super) fn placed(&self) -> impl Iterator<Item = (usize, &Relation)> {
        self.common.relations.iter().chain(&self.temporary).enumerate()
    }

    /// The session's temporary table of that name.
    pub(super) fn temporary_place(&self, name: &str) -> Option<usize> {
        let found = self.temporary.iter().position(|relation| *relation.name == *name)?;
        Some(self.common.relations.len() + found)
    }

    /// What comments and security labels say of relations and columns.
    pub fn labels(&self) -> &[Label] {
        &self.common.labels
    }

    /// The relation of that schema and name, as stored (folded and cut).
    pub fn relation(&self, schema: &str, name: &str) -> Option<&Relation> {
        self.relation_place(schema, name).and_then(|place| self.at(place))
    }

    /// The relations whose rows are read through that one, by schema and name.
    pub fn kin(&self, schema: &str, name: &str) -> Option<Kin> {
        self.relation(schema, name)?.kin.clone()
    }

    pub(super) fn relation_place(&self, schema: &str, name: &str) -> Option<usize> {
        if schema == TEMPORARY {
            return self.temporary_place(name);
        }
        self.common.by_name.get(schema)?.get(name).copied()
    }

    /// Resolves an unqualified name as the server does under the pinned path.
    pub(super) fn resolve(&self, name: &str) -> Option<usize> {
        self.relation_place("pg_catalog", name)
            .or_else(|| self.common.search_path.iter().find_map(|schema| self.relation_place(schema, name)))
    }

    /// Every function of that name, whatever its schema.
    pub fn functions(&self, name: &str) -> &[Function] {
        self.common.functions.get(name).map_or(&[], Vec::as_slice)
    }

    /// A function that is not the server's own, with its name.
    pub fn function(&self, oid: u32) -> Option<(&Arc<str>, &Function)> {
        let (name, place) = self.common.by_function.get(&oid)?;
        Some((name, self.common.functions.get(name)?.get(*place)?))
    }

    /// Every operator of that name, whatever its schema.
    pub fn operators(&self, name: &str) -> &[Operator] {
        self.common.operators.get(name).map_or(&[], Vec::as_slice)
    }

    /// Casts whose function is not the server's own.
    pub fn casts(&self) -> &[Cast] {
        &self.common.casts
    }

    /// Whether somebody added a cast from that type, or from what an array of that type holds.
    pub fn has_added_cast_from(&self, oid: u32) -> bool {
        let base = self.base_type(oid);
        let element = match self.common.types.get(&base).map(|found| found.kind) {
            Some(TypeKind::Array(element)) => element,
            _ => base,
        };
        self.common.casts.iter().any(|cast| [oid, base, element].contains(&cast.source))
    }

    /// The functions that a value of that type is checked by, for itself or for what is inside it.
    pub(super) fn checks_of(&self, oid: u32) -> Vec<u32> {
        let mut found = Vec::new();
        if self.common.domain_checks.is_empty() {
            return found;
        }
        let (mut open, mut seen) = (vec![oid], HashSet::new());
        while let Some(next) = open.pop() {
            if !seen.insert(next) {
                continue;
            }
            found.extend(self.common.domain_checks.get(&next).into_iter().flatten());
            match self.common.types.get(&next).map(|known| known.kind) {
                Some(TypeKind::Array(inside) | TypeKind::Domain(inside) | TypeKind::Range(inside)) => open.push(inside),
                Some(TypeKind::Composite(_)) => {
                    open.extend(self.fields(next).into_iter().flatten().map(|(_, field)| field));
                }
                Some(TypeKind::Base | TypeKind::Enum | TypeKind::Multirange | TypeKind::Pseudo) | None => {}
            }
        }
        found
    }

    /// Whether a value of the one type becomes one of the other unasked.
    pub fn coerces(&self, source: u32, target: u32) -> bool {
        source == target || self.common.coercions.contains(&(source, target))
    }

    /// A type; `None` also for the row types of the server's own relations.
    pub fn type_of(&self, oid: u32) -> Option<&Type> {
        self.common.types.get(&oid)
    }

    /// Resolves the name of a type as the server does under the pinned path.
    pub fn type_named(&self, schema: Option<&str>, name: &str) -> Option<u32> {
        let known = self.common.types_by_name.get(name)?;
        let within = |schema: &str| {
            known.iter().copied().find(|oid| self.common.types.get(oid).is_some_and(|found| *found.schema == *schema))
        };
        match schema {
            Some(schema) => within(schema),
            None => within("pg_catalog").or_else(|| self.common.search_path.iter().find_map(|schema| within(schema))),
        }
    }

    /// The type below domains.
    pub fn base_type(&self, oid: u32) -> u32 {
        let mut base = oid;
        // Domains over domains end; the bound is for a catalogue that a hostile server made up.
        for _ in 0..32 {
            match self.common.types.get(&base).map(|found| found.kind) {
                Some(TypeKind::Domain(below)) => base = below,
                _ => break,
            }
        }
        base
    }

    /// The fields of a row type or a composite type, in order, each with its type.
    pub fn fields(&self, type_oid: u32) -> Option<Vec<(Arc<str>, u32)>> {
        let base = self.base_type(type_oid);
        if let Some(relation) = self.common.row_types.get(&base).and_then(|place| self.common.relations.get(*place)) {
            return Some(relation.columns.iter().map(|column| (column.name.clone(), column.type_oid)).collect());
        }
        match self.common.types.get(&base)?.kind {
            TypeKind::Composite(relation) => self.common.fields.get(&relation).cloned(),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(in crate::sql) mod tests;
