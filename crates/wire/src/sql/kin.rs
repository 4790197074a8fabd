//! What the columns of a table are made of beyond themselves (hazards MK15).
//!
//! A partition, or a child by inheritance, is part of its parents: its column is theirs too, so that a policy or a class on
//! the parent's column holds for it. A generated column is made of the columns in its expression. A column of a type whose
//! values somebody's cast may turn into others, unasked, is of unknown origin (hazards PL14). The other way, from a parent
//! to its children, classes alone are inherited: see `Resource::kin`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kernel::operation::Action;
use kernel::verdict::Undecidable;

use super::analyse::{Context, Walk};
use super::analysis::Refused;
use super::catalogue::Relation;
use super::lineage::{ColumnId, Field, Lineage, table_fields};
use super::names::{inner, unknown};
use super::parse::{self, NodeEnum};
use super::scope::{From, Item, Scope};

/// What the columns of one relation come to.
#[derive(Debug)]
pub(super) struct Traced {
    columns: Vec<Lineage>,
    calls: BTreeMap<(Arc<str>, Arc<str>), Action>,
    functions: BTreeSet<Arc<str>>,
}

/// The column of that name.
fn position(relation: &Relation, name: &str) -> Option<usize> {
    relation.columns.iter().position(|column| *column.name == *name)
}

impl Walk<'_> {
    /// The fields of a table, with what each is made of; its parents are read with it.
    pub(super) fn table_fields(&mut self, place: usize, location: i32) -> Result<Vec<Field>, Refused> {
        let catalogue = self.context.catalogue;
        let Some(table) = catalogue.at(place) else { return unknown(location) };
        if let Some(filled) = &table.filled_from {
            let fields = table.columns.iter().zip(filled);
            return Ok(fields.map(|(column, lineage)| Field::new(column.name.clone(), lineage.clone())).collect());
        }
        let plain = table.ancestors.is_empty()
            && catalogue.casts().is_empty()
            && table.columns.iter().all(|column| column.expression.is_none());
        if plain {
            return Ok(table_fields(place, table));
        }
        let traced = match table.traced.get() {
            Some(known) => known.clone(),
            None => {
                let result = parse::with_stack(|| self.trace(place));
                table.traced.get_or_init(|| result).clone()
            }
        };
        let traced = traced.map_err(|why| Refused::at(why, location))?;
        for ancestor in &table.ancestors {
            self.found.read(*ancestor, -1);
        }
        self.found.calls.extend(traced.calls.iter().map(|(key, action)| (key.clone(), *action)));
        self.found.functions.extend(traced.functions.iter().cloned());
        let fields = table.columns.iter().zip(&traced.columns);
        Ok(fields.map(|(column, lineage)| Field::new(column.name.clone(), lineage.clone())).collect())
    }

    fn trace(&self, place: usize) -> Result<Arc<Traced>, Undecidable> {
        let catalogue = self.context.catalogue;
        let table = catalogue.at(place).ok_or(Undecidable::UnknownRelation)?;
        let mut columns: Vec<Lineage> =
            (0..table.columns.len()).map(|column| self.with_ancestors(ColumnId { relation: place, column })).collect();
        let mut walk = Walk::new(self.context);
        walk.expanding = self.expanding.clone();
        for (own, lineage) in table.columns.iter().zip(&mut columns) {
            if walk.changes_unasked(own.type_oid) {
                lineage.unknown = true;
                lineage.bare = false;
            }
        }
        // The expression of a child may differ from its parent's, and rows of children come through the parent.
        for relative in std::iter::once(&place).chain(&table.ancestors).chain(&table.descendants) {
            let Some(relation) = catalogue.at(*relative) else { continue };
            for column in &relation.columns {
                let Some(expression) = &column.expression else { continue };
                let Some(lineage) = position(table, &column.name).and_then(|at| columns.get_mut(at)) else { continue };
                let sources = walk.expression_of(*relative, relation, expression, column.computed_when_read)?;
                for source in &sources.columns {
                    // A column that a child has from this table is this table's.
                    let own = catalogue.at(source.relation).and_then(|child| child.columns.get(source.column));
                    let inherited = own.filter(|_| table.descendants.contains(&source.relation));
                    let here = inherited.and_then(|column| position(table, &column.name));
                    let source = here.map_or(*source, |column| ColumnId { relation: place, column });
                    lineage.add(&self.with_ancestors(source));
                }
                lineage.add(&Lineage { columns: Vec::new(), bare: false, unknown: sources.unknown });
            }
        }
        Ok(Arc::new(Traced { columns, calls: walk.found.calls, functions: walk.found.functions }))
    }

    /// A column, which is its parents' column too.
    fn with_ancestors(&self, id: ColumnId) -> Lineage {
        let catalogue = self.context.catalogue;
        let mut lineage = Lineage::bare(id);
        let Some(table) = catalogue.at(id.relation) else { return Lineage::unknown() };
        let Some(column) = table.columns.get(id.column) else { return Lineage::unknown() };
        for relation in &table.ancestors {
            let above = catalogue.at(*relation).and_then(|parent| position(parent, &column.name));
            if let Some(column) = above {
                lineage.add(&Lineage::bare(ColumnId { relation: *relation, column }));
            }
        }
        lineage.bare = true;
        lineage
    }

    /// What an expression over a table's own columns is made of. What it calls is called by reading it, unless what it gave
    /// is stored.
    fn expression_of(
        &mut self,
        place: usize,
        table: &Relation,
        expression: &str,
        computed_when_read: bool,
    ) -> Result<Lineage, Undecidable> {
        let text = format!("SELECT {expression}");
        let parsed = parse::parse(&text, self.context.catalogue.common.server_major).map_err(|refused| refused.why)?;
        let [only] = parsed.as_slice() else { return Err(Undecidable::UnknownForm) };
        let Some(NodeEnum::SelectStmt(select)) = only.stmt.as_ref().and_then(|node| node.node.as_ref()) else {
            return Err(Undecidable::UnknownForm);
        };
        let [target] = select.target_list.as_slice() else { return Err(Undecidable::UnknownForm) };
        let NodeEnum::ResTarget(target) = inner(target).map_err(|refused| refused.why)? else {
            return Err(Undecidable::UnknownForm);
        };
        let value = target.val.as_deref().ok_or(Undecidable::UnknownForm)?;
        let item = Item {
            name: table.name.clone(),
            schema: None,
            fields: table_fields(place, table),
            open: None,
            relation: Some(place),
            row_is_known: true,
        };
        let scope = Scope::with(From::one(item, false), None);
        let mut walk = Walk::new(Context { text: &text, ..self.context });
        walk.expanding = self.expanding.clone();
        let lineage = walk.expr(value, &scope).map_err(|refused| refused.why)?;
        if computed_when_read {
            self.found.calls.extend(walk.found.calls);
            self.found.functions.extend(walk.found.functions);
        }
        Ok(lineage)
    }
}
