//! The temporary tables of one session: what it has made, and what flowed into each of their columns.
//!
//! A temporary column is what was copied into it, as a view's is what it reads: to read `t.c` is to read the columns that it
//! was filled from, too. The names of temporary tables are never those of others (`analyse` refuses to make such), so that
//! it does no harm to take a table for there that a ROLLBACK has undone: the server says so.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use super::model::{Column, Relation, RelationKind};
use super::{Catalogue, Common};
use crate::sql::lineage::{ColumnId, Lineage};

/// The schema of the session's own temporary objects.
pub(in crate::sql) const TEMPORARY: &str = "pg_temp";
/// A session may have so many, dropped ones with traces included.
const MOST_TABLES: usize = 256;
/// A column may be made of so many; beyond it counts as every column of the database.
const MOST_SOURCES: usize = 64;

/// A temporary table as a statement makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its name.
    pub name: Arc<str>,
    /// Its columns, in order: the name, and the type's object id, or 0 where that is not known.
    pub columns: Vec<(Arc<str>, u32)>,
}

/// Schema, table and column.
type Source = [Arc<str>; 3];

#[derive(Clone, Debug)]
struct TemporaryColumn {
    name: Arc<str>,
    type_oid: u32,
    /// What has flowed into it. `None`: more than is counted.
    sources: Option<BTreeSet<Source>>,
    /// It has the values of its source as they were.
    bare: bool,
}

#[derive(Clone, Debug)]
struct TemporaryTable {
    name: Arc<str>,
    columns: Vec<TemporaryColumn>,
    /// It was dropped; the drop may yet be undone.
    dropped: bool,
}

/// The temporary tables of one session.
#[derive(Clone, Debug, Default)]
pub struct Temporary {
    tables: Vec<TemporaryTable>,
    version: u64,
}

impl Temporary {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(|table| table.dropped)
    }

    /// Counts up with every change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// A table is made; says `false` where there are too many. One of the same name that was there before may still be, so
    /// that each column of the new one counts as everything in it.
    #[must_use]
    pub fn make(&mut self, made: &Made) -> bool {
        let before = self.tables.iter().position(|table| table.name == made.name).map(|at| self.tables.swap_remove(at));
        if self.tables.len() >= MOST_TABLES {
            return false;
        }
        self.version += 1;
        let mut old = Some(BTreeSet::new());
        for column in before.iter().flat_map(|table| &table.columns) {
            old = match (old, &column.sources) {
                (Some(mut old), Some(sources)) => {
                    old.extend(sources.iter().cloned());
                    Some(old)
                }
                _ => None,
            };
        }
        let bare = old.as_ref().is_some_and(BTreeSet::is_empty);
        let column = |(name, type_oid): &(Arc<str>, u32)| TemporaryColumn {
            name: name.clone(),
            type_oid: *type_oid,
            sources: old.clone(),
            bare,
        };
        let columns = made.columns.iter().map(column).collect();
        self.tables.push(TemporaryTable { name: made.name.clone(), columns, dropped: false });
        true
    }

    /// A table is dropped.
    pub fn unmake(&mut self, name: &str) {
        self.version += 1;
        for table in self.tables.iter_mut().filter(|table| *table.name == *name) {
            table.dropped = true;
        }
        self.forget();
    }

    /// All tables are dropped.
    pub fn clear(&mut self) {
        self.version += 1;
        self.tables.iter_mut().for_each(|table| table.dropped = true);
        self.forget();
    }

    /// Dropped tables are remembered for what was in them alone.
    fn forget(&mut self) {
        let traces = |column: &TemporaryColumn| column.sources.as_ref().is_none_or(|sources| !sources.is_empty());
        self.tables.retain(|table| !table.dropped || table.columns.iter().any(traces));
    }

    /// Values of these columns flow into that one; `bare` if of one alone, as they are.
    pub fn fill(&mut self, table: &str, column: &str, from: &[Source], bare: bool) {
        let mut tables = self.tables.iter_mut().filter(|known| *known.name == *table);
        let Some(table) = tables.next() else { return };
        let Some(column) = table.columns.iter_mut().find(|known| *known.name == *column) else { return };
        let Some(sources) = &mut column.sources else { return };
        let before = sources.len();
        column.bare &= bare;
        sources.extend(from.iter().cloned());
        if sources.len() != before {
            self.version += 1;
        }
        if sources.len() > MOST_SOURCES {
            column.sources = None;
            column.bare = false;
        }
    }

    /// What has flowed into a column: for what is copied on from it.
    pub fn sources(&self, table: &str, column: &str) -> Vec<Source> {
        let table = self.tables.iter().find(|known| *known.name == *table);
        let column = table.and_then(|table| table.columns.iter().find(|known| *known.name == *column));
        column.and_then(|column| column.sources.as_ref()).into_iter().flatten().cloned().collect()
    }
}

impl Catalogue {
    /// The same database as that session sees it. What is worked out at first use is shared with the others.
    pub fn with_temporary(&self, temporary: &Temporary) -> Self {
        let tables = temporary.tables.iter().filter(|table| !table.dropped).enumerate();
        let first = self.common.relations.len();
        let relations = tables.map(|(place, table)| relation(&self.common, first + place, table)).collect();
        Self { common: Arc::clone(&self.common), temporary: relations }
    }
}

fn relation(common: &Common, place: usize, table: &TemporaryTable) -> Relation {
    let columns = table.columns.iter().zip(1..);
    let column = |(column, number): (&TemporaryColumn, i16)| Column {
        name: column.name.clone(),
        number,
        type_oid: column.type_oid,
        type_name: "".into(),
        not_null: false,
        generated: false,
        expression: None,
        computed_when_read: false,
    };
    let filled = table.columns.iter().enumerate();
    Relation {
        schema: TEMPORARY.into(),
        name: table.name.clone(),
        full_name: format!("{}.{TEMPORARY}.{}", common.database, table.name).into(),
        // The server gives it one that only the session could ask for: see `mask::check_description`.
        oid: 0,
        kind: RelationKind::Table,
        system: false,
        columns: columns.map(column).collect(),
        definition: None,
        ancestors: Vec::new(),
        kin: None,
        descendants: Vec::new(),
        delayed: Vec::new(),
        filled_from: Some(
            filled.map(|(at, column)| lineage(common, ColumnId { relation: place, column: at }, column)).collect(),
        ),
        expansion: OnceLock::new(),
        traced: OnceLock::new(),
    }
}

/// The column itself, and what flowed into it. A source that is there no more cannot be judged.
fn lineage(common: &Common, own: ColumnId, column: &TemporaryColumn) -> Lineage {
    let mut lineage = Lineage::bare(own);
    let Some(sources) = &column.sources else {
        lineage.add(&Lineage::unknown());
        // Everything.
        for (relation, known) in common.relations.iter().enumerate().filter(|(_, known)| !known.system) {
            for column in 0..known.columns.len() {
                lineage.add(&Lineage::bare(ColumnId { relation, column }));
            }
        }
        return lineage;
    };
    for [schema, table, name] in sources {
        let relation = common.by_name.get(schema).and_then(|tables| tables.get(table)).copied();
        let known = relation.and_then(|place| common.relations.get(place));
        let column = known.and_then(|known| known.columns.iter().position(|column| column.name == *name));
        match (relation, column) {
            (Some(relation), Some(column)) => lineage.add(&Lineage::bare(ColumnId { relation, column })),
            _ => lineage.add(&Lineage::unknown()),
        }
    }
    lineage.bare = column.bare && sources.len() <= 1 && !lineage.unknown;
    lineage
}
