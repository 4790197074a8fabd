//! The set of columns that flow into a value, as the walk carries it. `analysis::Flow` is the same for the outside.

use super::catalogue::Relation;

/// A column of a relation of the catalogue: both are positions, not object ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ColumnId {
    pub(super) relation: usize,
    pub(super) column: usize,
}

/// What flows into a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lineage {
    /// The columns, sorted and without repetition.
    pub(super) columns: Vec<ColumnId>,
    /// The value is exactly that of each of the columns (more than one only through views).
    pub(super) bare: bool,
    /// Something flows in that cannot be seen.
    pub(super) unknown: bool,
}

impl Lineage {
    /// Nothing flows in.
    pub(super) fn clear() -> Self {
        Self::default()
    }

    /// Cannot be seen.
    pub(super) fn unknown() -> Self {
        Self { columns: Vec::new(), bare: false, unknown: true }
    }

    /// Exactly one column.
    pub(super) fn bare(id: ColumnId) -> Self {
        Self { columns: vec![id], bare: true, unknown: false }
    }

    pub(super) fn is_clear(&self) -> bool {
        self.columns.is_empty() && !self.unknown
    }

    /// The same columns, computed with.
    pub(super) fn derived(mut self) -> Self {
        self.bare = false;
        self
    }

    /// Adds what flows into another value; the result is computed.
    pub(super) fn add(&mut self, other: &Self) {
        self.bare = false;
        self.unknown |= other.unknown;
        for id in &other.columns {
            if let Err(place) = self.columns.binary_search(id) {
                self.columns.insert(place, *id);
            }
        }
    }

    /// The value of either of two: bare only where both are the same column.
    pub(super) fn either(self, other: &Self) -> Self {
        if self == *other {
            return self;
        }
        let mut both = self;
        both.add(other);
        both
    }
}

/// A named column that a scope offers.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: std::sync::Arc<str>,
    pub(super) lineage: Lineage,
    /// What its fields are made of, where it is a row whose fields are known.
    pub(super) row: Option<std::sync::Arc<[Field]>>,
}

impl Field {
    pub(super) fn new(name: impl Into<std::sync::Arc<str>>, lineage: Lineage) -> Self {
        Self { name: name.into(), lineage, row: None }
    }
}

impl Field {
    /// As a field of a value: the same, computed.
    pub(super) fn taken_out(&self) -> Self {
        Self { lineage: self.lineage.clone().derived(), ..self.clone() }
    }
}

/// The fields of a table as the catalogue has them, each bare.
pub(super) fn table_fields(position: usize, relation: &Relation) -> Vec<Field> {
    relation
        .columns
        .iter()
        .enumerate()
        .map(|(column, found)| Field::new(found.name.clone(), Lineage::bare(ColumnId { relation: position, column })))
        .collect()
}
