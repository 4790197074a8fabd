//! What one statement's walk gathers, and how it becomes operations with facts.
//!
//! The order of operations is fixed: definitions and calls of the statement itself, writes, locks, functions, relations
//! read, columns whose value leaves, columns that decide which rows exist. Equal texts give equal operations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kernel::facts::{CopyDirection, Facts, Inference};
use kernel::operation::{Action, Operation};
use kernel::resource::{Resource, ResourceKind};
use kernel::workload::Name;

use super::analysis::{Control, CopyFormat, Flow, Origin, Output, Outputs, Stored};
use super::catalogue::{Catalogue, Made};
use super::copy_layout::CopyLayout;
use super::lineage::{ColumnId, Field, Lineage};

/// A write to a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) action: Action,
    pub(super) verb: &'static str,
    pub(super) path: Vec<Arc<str>>,
    pub(super) bounded: bool,
    pub(super) location: i32,
}

/// An operation that is known as it stands.
#[derive(Clone, Debug)]
pub(super) struct Plain {
    pub(super) action: Action,
    pub(super) verb: &'static str,
    pub(super) kind: ResourceKind,
    pub(super) path: Vec<Arc<str>>,
    pub(super) object: Option<&'static str>,
    pub(super) location: i32,
}

/// What the walk over one statement has found so far.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) plain: Vec<Plain>,
    pub(super) writes: Vec<Write>,
    /// Relations locked by FOR UPDATE and its kin.
    pub(super) locks: Vec<(usize, i32)>,
    /// Relations read, with the place of the first mention.
    pub(super) reads: Vec<(usize, i32)>,
    /// Functions that policy must know: schema and name.
    pub(super) calls: BTreeMap<(Arc<str>, Arc<str>), Action>,
    /// Every function by name, as `schema.name`.
    pub(super) functions: BTreeSet<Arc<str>>,
    pub(super) infers: BTreeSet<(ColumnId, Inference)>,
    /// Where a column was compared for equality with one value: at a second place it is a list of guesses.
    equalities: BTreeMap<ColumnId, i32>,
    /// Something unseen decides which rows exist.
    infers_unknown: BTreeSet<Inference>,
    /// Where columns are mentioned: first, and last so far.
    mentions: BTreeMap<ColumnId, (i32, i32)>,
    inferred_at: BTreeMap<(ColumnId, Inference), i32>,
    pub(super) called_at: BTreeMap<(Arc<str>, Arc<str>), i32>,
    /// Columns whose value is stored or handed to code.
    pub(super) copied: BTreeSet<ColumnId>,
    /// What is stored where.
    pub(super) stored: Vec<([Arc<str>; 3], Lineage)>,
    pub(super) made: Option<Arc<Made>>,
    pub(super) unmade: Vec<Arc<str>>,
    /// Something unseen takes part in a stored value.
    pub(super) copied_unknown: bool,
    /// Columns whose value is read for a later statement, as by a cursor.
    pub(super) passed: BTreeSet<ColumnId>,
    pub(super) passed_unknown: bool,
    pub(super) parameters: u32,
    pub(super) shareable: bool,
    pub(super) bounded: Option<bool>,
    pub(super) limit: Option<u64>,
    pub(super) copy: Option<CopyDirection>,
    pub(super) copy_format: Option<CopyFormat>,
    pub(super) copy_layout: Option<Arc<CopyLayout>>,
    pub(super) explain_only: bool,
    pub(super) changes_catalogue: bool,
    pub(super) control: Control,
    pub(super) tag: &'static str,
}

impl Found {
    pub(super) fn new() -> Self {
        Self {
            plain: Vec::new(),
            writes: Vec::new(),
            locks: Vec::new(),
            reads: Vec::new(),
            calls: BTreeMap::new(),
            functions: BTreeSet::new(),
            infers: BTreeSet::new(),
            equalities: BTreeMap::new(),
            infers_unknown: BTreeSet::new(),
            mentions: BTreeMap::new(),
            inferred_at: BTreeMap::new(),
            called_at: BTreeMap::new(),
            copied: BTreeSet::new(),
            stored: Vec::new(),
            made: None,
            unmade: Vec::new(),
            copied_unknown: false,
            passed: BTreeSet::new(),
            passed_unknown: false,
            parameters: 0,
            shareable: true,
            bounded: None,
            limit: None,
            copy: None,
            copy_format: None,
            copy_layout: None,
            explain_only: false,
            changes_catalogue: false,
            control: Control::None,
            tag: "SELECT",
        }
    }

    pub(super) fn read(&mut self, relation: usize, location: i32) {
        if !self.reads.iter().any(|(known, _)| *known == relation) {
            self.reads.push((relation, location));
        }
    }

    pub(super) fn write(&mut self, write: Write) {
        if !self.writes.contains(&write) {
            self.writes.push(write);
        }
    }

    /// The columns decide which rows exist.
    pub(super) fn infer(&mut self, lineage: &Lineage, how: Inference) {
        for id in &lineage.columns {
            self.infers.insert((*id, how));
            if let Some((_, last)) = self.mentions.get(id) {
                self.inferred_at.entry((*id, how)).or_insert(*last);
            }
        }
        if lineage.unknown {
            self.infers_unknown.insert(how);
        }
    }

    /// The columns are compared for equality with one value. Each value is a guess, so that several in one statement are
    /// what a list of them is.
    pub(super) fn infer_equality(&mut self, lineage: &Lineage, location: i32) {
        self.infer(lineage, Inference::Equality);
        for id in &lineage.columns {
            if *self.equalities.entry(*id).or_insert(location) != location {
                self.infers.insert((*id, Inference::Range));
            }
        }
    }

    /// What is compared for equality so far is compared with more than one value: a body is called for each row.
    pub(super) fn infer_lists(&mut self) {
        let equal = self.infers.iter().filter(|(_, how)| *how == Inference::Equality);
        let lists: Vec<_> = equal.map(|(id, _)| (*id, Inference::Range)).collect();
        self.infers.extend(lists);
    }

    /// The text names these columns here.
    pub(super) fn mention(&mut self, lineage: &Lineage, location: i32) {
        for id in &lineage.columns {
            self.mentions.entry(*id).or_insert((location, location)).1 = location;
        }
    }

    /// The value is stored in that column: schema, table and name.
    pub(super) fn copy_into(&mut self, into: [Arc<str>; 3], lineage: &Lineage) {
        self.copy(lineage);
        if !lineage.is_clear() {
            self.stored.push((into, lineage.clone()));
        }
    }

    /// The value is stored, or handed to code.
    pub(super) fn copy(&mut self, lineage: &Lineage) {
        self.copied.extend(lineage.columns.iter().copied());
        self.copied_unknown |= lineage.unknown;
    }
}

/// The operations of one statement and where its columns come from; indices begin at `first`.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) stored: Vec<Stored>,
    pub(super) operations: Vec<Operation>,
    pub(super) outputs: Outputs,
    pub(super) copied: Vec<usize>,
}

/// What a statement returns, as the walk knows it.
#[derive(Debug)]
pub(super) enum Returned {
    None,
    Fields(Vec<Field>),
    Named,
    Text,
}

/// Turns what was found into operations. Needs the text for spans, and how many statements it holds for the facts.
pub(super) struct Build<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) upstream: &'a Name,
    pub(super) text: &'a str,
    pub(super) statements: u32,
    /// Index of the statement's first operation.
    pub(super) first: usize,
}

impl Build<'_> {
    pub(super) fn build(&self, found: &Found, returned: Returned) -> Built {
        let facts = Arc::new(self.facts(found));
        let mut operations = Vec::new();
        for plain in &found.plain {
            let facts = match plain.object {
                Some(object) => Arc::new(Facts { object: Some(object.into()), ..(*facts).clone() }),
                None => facts.clone(),
            };
            operations.push(self.operation(plain.action, plain.verb, plain.kind, &plain.path, facts, plain.location));
        }
        for write in &found.writes {
            let facts = if facts.bounded == Some(write.bounded) {
                facts.clone()
            } else {
                Arc::new(Facts { bounded: Some(write.bounded), ..(*facts).clone() })
            };
            let kind = ResourceKind::Table;
            operations.push(self.operation(write.action, write.verb, kind, &write.path, facts, write.location));
        }
        for (relation, location) in &found.locks {
            let path = self.relation_path(*relation);
            let (action, kind) = (Action::SqlLock, ResourceKind::Table);
            operations.push(self.operation(action, "SELECT FOR UPDATE", kind, &path, facts.clone(), *location));
        }
        for ((schema, name), action) in &found.calls {
            let path = [self.catalogue.common.database.clone(), schema.clone(), name.clone()];
            let location = found.called_at.get(&(schema.clone(), name.clone())).copied().unwrap_or(-1);
            operations.push(self.operation(*action, "CALL", ResourceKind::Function, &path, facts.clone(), location));
        }
        for (relation, location) in &found.reads {
            let path = self.relation_path(*relation);
            let action = match self.catalogue.at(*relation) {
                Some(known) if super::system::is_sensitive(&known.schema, &known.name) => Action::SqlAdminister,
                _ => Action::SqlSelect,
            };
            operations.push(self.operation(action, "SELECT", ResourceKind::Table, &path, facts.clone(), *location));
        }
        let selected = self.selected(found, &returned);
        let mut places = BTreeMap::new();
        for id in &selected {
            places.insert(*id, self.first + operations.len());
            let path = self.column_path(*id);
            let (action, kind) = (Action::SqlSelect, ResourceKind::Column);
            let location = found.mentions.get(id).map_or(-1, |(first, _)| *first);
            operations.push(self.operation(action, "SELECT", kind, &path, facts.clone(), location));
        }
        let mut inferring: BTreeMap<Inference, Arc<Facts>> = BTreeMap::new();
        for (id, how) in &self.inferred(found) {
            let facts = inferring
                .entry(*how)
                .or_insert_with(|| Arc::new(Facts { inference: Some(*how), ..(*facts).clone() }))
                .clone();
            let path = self.column_path(*id);
            let location = found.inferred_at.get(&(*id, *how)).copied().unwrap_or(-1);
            operations.push(self.operation(Action::SqlInfer, "SELECT", ResourceKind::Column, &path, facts, location));
        }
        if operations.is_empty() {
            // A statement that names nothing, such as `SELECT 1`, is judged as a read of the database.
            let path = [self.catalogue.common.database.clone()];
            let (action, kind) = (Action::SqlSelect, ResourceKind::Database);
            operations.push(self.operation(action, found.tag, kind, &path, facts.clone(), -1));
        }
        let outputs = match returned {
            Returned::None => Outputs::None,
            Returned::Named => Outputs::Named,
            Returned::Text => Outputs::Text,
            Returned::Fields(fields) => {
                Outputs::Columns(fields.iter().map(|field| self.output(&field.lineage, &places)).collect())
            }
        };
        let copied = if found.copied_unknown {
            places.values().copied().collect()
        } else {
            found.copied.iter().filter_map(|id| places.get(id).copied()).collect()
        };
        let mut stored: Vec<Stored> = Vec::new();
        for (into, lineage) in found.stored.iter().filter(|(_, lineage)| !lineage.is_clear()) {
            let from = if lineage.unknown {
                places.values().copied().collect()
            } else {
                lineage.columns.iter().filter_map(|id| places.get(id).copied()).collect()
            };
            let next = Stored { into: into.clone(), from, bare: lineage.bare };
            if !stored.contains(&next) {
                stored.push(next);
            }
        }
        Built { stored, operations, outputs, copied }
    }

    /// The columns whose value leaves or is stored. If something unseen takes part, that is every column in reach.
    fn selected(&self, found: &Found, returned: &Returned) -> BTreeSet<ColumnId> {
        let mut selected = found.copied.clone();
        selected.extend(found.passed.iter().copied());
        let mut unknown = found.copied_unknown || found.passed_unknown;
        if let Returned::Fields(fields) = returned {
            for field in fields {
                selected.extend(field.lineage.columns.iter().copied());
                unknown |= field.lineage.unknown;
            }
        }
        if unknown {
            selected.extend(self.reach(found));
        }
        selected
    }

    /// The columns that decide which rows exist. Something unseen in a sample of values is every column in reach.
    fn inferred(&self, found: &Found) -> BTreeSet<(ColumnId, Inference)> {
        let mut infers = found.infers.clone();
        if self.samples(found) {
            let ways = &found.infers_unknown;
            infers.extend(self.reach(found).flat_map(|id| ways.iter().map(move |how| (id, *how))));
        }
        infers
    }

    /// Whether a relation is read that holds samples of any column, such as `pg_stats`.
    fn samples(&self, found: &Found) -> bool {
        let relation = |place: &usize| self.catalogue.at(*place);
        let mut reads = found.reads.iter().filter_map(|(place, _)| relation(place));
        reads.any(|read| super::system::is_sensitive(&read.schema, &read.name))
    }

    /// Every column that something unseen may hold: those of the relations that are read, and where samples of values are
    /// read, of all relations (hazards MK05).
    fn reach(&self, found: &Found) -> impl Iterator<Item = ColumnId> {
        let samples = self.samples(found);
        let relations = self.catalogue.placed().filter(|(_, relation)| !relation.system);
        let reached = relations
            .filter(|(place, _)| samples || found.reads.iter().any(|(read, _)| read == place))
            .map(|(place, relation)| (place, relation.columns.len()))
            .collect::<Vec<_>>();
        reached
            .into_iter()
            .flat_map(|(relation, columns)| (0..columns).map(move |column| ColumnId { relation, column }))
    }

    fn output(&self, lineage: &Lineage, places: &BTreeMap<ColumnId, usize>) -> Output {
        let indices: Vec<usize> = lineage.columns.iter().filter_map(|id| places.get(id).copied()).collect();
        if lineage.unknown || indices.len() != lineage.columns.len() {
            return Output { flow: Flow::Unknown, origins: Vec::new(), type_oid: None };
        }
        if indices.is_empty() {
            return Output { flow: Flow::Clear, origins: Vec::new(), type_oid: None };
        }
        if !lineage.bare {
            return Output { flow: Flow::Derived(indices), origins: Vec::new(), type_oid: None };
        }
        let origins = lineage.columns.iter().filter_map(|id| self.origin(*id)).collect();
        let first = lineage.columns.first();
        let relation = first.and_then(|id| self.catalogue.at(id.relation));
        let type_oid = first.and_then(|id| Some(relation?.columns.get(id.column)?.type_oid));
        Output { flow: Flow::Bare(indices), origins, type_oid }
    }

    fn origin(&self, id: ColumnId) -> Option<Origin> {
        let relation = self.catalogue.at(id.relation)?;
        Some(Origin { table: relation.oid, column: relation.columns.get(id.column)?.number })
    }

    fn facts(&self, found: &Found) -> Facts {
        let name = |place: &usize| self.catalogue.at(*place).map(|relation| relation.full_name.clone());
        Facts {
            bounded: found.bounded,
            limit: found.limit,
            tables_read: found.reads.iter().filter_map(|(place, _)| name(place)).collect(),
            tables_written: found.writes.iter().map(|write| Arc::from(write.path.join("."))).collect(),
            functions: found.functions.clone(),
            object: None,
            copy: found.copy,
            inference: None,
            explain_only: found.explain_only,
            statements: self.statements,
            http: None,
        }
    }

    fn relation_path(&self, place: usize) -> Vec<Arc<str>> {
        let mut path = vec![self.catalogue.common.database.clone()];
        if let Some(relation) = self.catalogue.at(place) {
            path.extend([relation.schema.clone(), relation.name.clone()]);
        }
        path
    }

    fn column_path(&self, id: ColumnId) -> Vec<Arc<str>> {
        let mut path = self.relation_path(id.relation);
        let column = self.catalogue.at(id.relation).and_then(|relation| relation.columns.get(id.column));
        path.extend(column.map(|column| column.name.clone()));
        path
    }

    fn operation(
        &self,
        action: Action,
        verb: &'static str,
        kind: ResourceKind,
        path: &[Arc<str>],
        facts: Arc<Facts>,
        location: i32,
    ) -> Operation {
        let kin = match (kind, path) {
            (ResourceKind::Table | ResourceKind::Column, [_, schema, name, ..]) => self.catalogue.kin(schema, name),
            _ => None,
        };
        let resource = Resource { kind, upstream: self.upstream.clone(), path: path.to_vec(), kin };
        Operation { action, resource: Arc::new(resource), facts, verb, span: span(self.text, location) }
    }
}

/// The bytes of the name that begins at a parser location: letters and quoted parts, joined by dots.
fn span(text: &str, location: i32) -> Option<(u32, u32)> {
    let start = usize::try_from(location).ok()?;
    let rest = text.get(start..)?;
    let mut quoted = false;
    let end = rest
        .char_indices()
        .find(|(_, letter)| {
            if *letter == '"' {
                quoted = !quoted;
            }
            !(quoted || letter.is_alphanumeric() || matches!(letter, '_' | '$' | '"' | '.'))
        })
        .map_or(rest.len(), |(place, _)| place);
    Some((u32::try_from(start).ok()?, u32::try_from(start + end).ok()?))
}
