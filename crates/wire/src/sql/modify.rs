//! INSERT, UPDATE, DELETE, MERGE: what is written, what is stored from where, and what RETURNING returns.

use std::sync::Arc;

use kernel::facts::Inference;
use kernel::operation::Action;

use super::analyse::Walk;
use super::analysis::Refused;
use super::catalogue::{RelationKind, TEMPORARY};
use super::collect::{Returned, Write};
use super::define::is_temporary;
use super::delayed::Defaulted;
use super::lineage::{ColumnId, Field, Lineage};
use super::names::{boxed, inner, string, unknown};
use super::parse::{NodeEnum, pb};
use super::query::Selected;
use super::scope::{From, Item, Scope};

impl Walk<'_> {
    /// A modifying statement of its own.
    pub(super) fn modify_statement(&mut self, node: &NodeEnum) -> Result<Returned, Refused> {
        let (tag, returning) = match node {
            NodeEnum::InsertStmt(insert) => ("INSERT", insert.returning_clause.is_some()),
            NodeEnum::UpdateStmt(update) => ("UPDATE", update.returning_clause.is_some()),
            NodeEnum::DeleteStmt(delete) => ("DELETE", delete.returning_clause.is_some()),
            NodeEnum::MergeStmt(merge) => ("MERGE", merge.returning_clause.is_some()),
            _ => return unknown(-1),
        };
        self.found.tag = tag;
        let selected = self.modify(node, None)?;
        self.found.bounded = Some(selected.bounded);
        Ok(if returning { Returned::Fields(selected.fields) } else { Returned::None })
    }

    /// A modifying statement, also inside WITH.
    pub(super) fn modify(&mut self, node: &NodeEnum, outer: Option<&Scope<'_>>) -> Result<Selected, Refused> {
        let mut base = Scope::inside(outer);
        match node {
            NodeEnum::InsertStmt(insert) => {
                self.with(insert.with_clause.as_ref(), &mut base)?;
                self.insert(insert, &base)
            }
            NodeEnum::UpdateStmt(update) => {
                self.with(update.with_clause.as_ref(), &mut base)?;
                self.update(update, &base)
            }
            NodeEnum::DeleteStmt(delete) => {
                self.with(delete.with_clause.as_ref(), &mut base)?;
                self.delete(delete, &base)
            }
            NodeEnum::MergeStmt(merge) => {
                self.with(merge.with_clause.as_ref(), &mut base)?;
                self.merge_rows(merge, &base)
            }
            _ => unknown(-1),
        }
    }

    /// The relation that is written, as an item that WHERE and RETURNING see.
    fn written(&mut self, named: Option<&pb::RangeVar>) -> Result<(usize, Item, i32), Refused> {
        let Some(named) = named else { return unknown(-1) };
        let place = self.relation_place(named)?;
        let reads = self.found.reads.clone();
        let item = self.relation_as_item(place, named)?;
        // Naming a view as the target reads nothing yet.
        self.found.reads = reads;
        Ok((place, item, named.location))
    }

    /// Notes a write; through a view it reaches the tables behind it.
    fn write(
        &mut self,
        place: usize,
        action: Action,
        verb: &'static str,
        bounded: bool,
        defaulted: &Defaulted,
        location: i32,
    ) -> Result<(), Refused> {
        let catalogue = self.context.catalogue;
        let Some(relation) = catalogue.at(place) else { return unknown(location) };
        self.sets_off(place, action, defaulted, location)?;
        let path = vec![catalogue.common.database.clone(), relation.schema.clone(), relation.name.clone()];
        self.found.write(Write { action, verb, path, bounded, location });
        if relation.kind == RelationKind::View && !relation.system {
            let behind = self.expansion(place).map(|expansion| expansion.reads.clone()).unwrap_or_default();
            for read in behind {
                // The view may name its columns otherwise.
                self.sets_off(read, action, &Defaulted::Any, location)?;
                if let Some(table) = catalogue.at(read) {
                    let path = vec![catalogue.common.database.clone(), table.schema.clone(), table.name.clone()];
                    self.found.write(Write { action, verb, path, bounded, location: -1 });
                }
            }
        }
        // A row of a partition or a child is a row of its parents.
        for ancestor in &relation.ancestors {
            if let Some(parent) = catalogue.at(*ancestor) {
                let path = vec![catalogue.common.database.clone(), parent.schema.clone(), parent.name.clone()];
                self.found.write(Write { action, verb, path, bounded, location: -1 });
            }
        }
        Ok(())
    }

    /// RETURNING reads the target.
    fn returning(
        &mut self,
        clause: Option<&pb::ReturningClause>,
        place: usize,
        target: &Item,
        mut scope: Scope<'_>,
    ) -> Result<Vec<Field>, Refused> {
        let Some(clause) = clause else { return Ok(Vec::new()) };
        let (mut old, mut new): (Arc<str>, Arc<str>) = ("old".into(), "new".into());
        for node in &clause.options {
            let NodeEnum::ReturningOption(option) = inner(node)? else { return unknown(-1) };
            match option.option() {
                pb::ReturningOptionKind::ReturningOptionOld => old = option.value.as_str().into(),
                pb::ReturningOptionKind::ReturningOptionNew => new = option.value.as_str().into(),
                pb::ReturningOptionKind::Undefined => return unknown(option.location),
            }
        }
        if !clause.options.is_empty() {
            self.since(18, -1)?;
        }
        let offers = self.context.catalogue.common.server_major >= 18;
        for name in [old, new] {
            // A table of that name comes first.
            if offers && scope.item(None, &name).is_none() {
                scope.from.items.push(Item { name, schema: None, ..target.clone() });
            }
        }
        let mut fields = self.targets(&clause.exprs, &scope)?;
        if self.rows_are_rewritten(place) {
            fields.iter_mut().for_each(|field| field.lineage.add(&Lineage::unknown()));
        }
        self.read_target(place);
        Ok(fields)
    }

    fn read_target(&mut self, place: usize) {
        self.found.read(place, -1);
        if let Ok(expansion) = self.expansion(place) {
            for read in &expansion.reads {
                self.found.read(*read, -1);
            }
        }
    }

    /// SET lists. What flows into a column from another one is stored; a column computed from itself stays what it is.
    fn assign(&mut self, nodes: &[pb::Node], target: &Item, place: usize, scope: &Scope<'_>) -> Result<(), Refused> {
        for node in nodes {
            let NodeEnum::ResTarget(assigned) = inner(node)? else { return unknown(-1) };
            let Some(value) = &assigned.val else { return unknown(assigned.location) };
            for step in &assigned.indirection {
                if let NodeEnum::AIndices(_) = inner(step)? {
                    let lineage = self.expr(step, scope)?;
                    self.found.copy(&lineage);
                }
            }
            let mut lineage = self.expr(value, scope)?;
            if !matches!(inner(value)?, NodeEnum::MultiAssignRef(_))
                && let own @ Some(_) = target.fields.iter().find(|field| *field.name == *assigned.name)
            {
                lineage = beyond(lineage, own);
            }
            let into = target.only_field(&assigned.name).cloned();
            self.store(&lineage, into.as_ref(), place);
        }
        Ok(())
    }

    /// A value is stored in a column, or in any that the table has. If it comes from the written table itself, that table is read too.
    fn store(&mut self, lineage: &Lineage, into: Option<&Field>, place: usize) {
        if lineage.columns.iter().any(|id| id.relation == place) {
            self.read_target(place);
        }
        self.found.copy(lineage);
        if lineage.is_clear() {
            return;
        }
        let catalogue = self.context.catalogue;
        let every = || {
            let count = catalogue.at(place).map_or(0, |relation| relation.columns.len());
            (0..count).map(|column| ColumnId { relation: place, column }).collect::<Vec<_>>()
        };
        // Through a view the value reaches the table behind it.
        let reached = match into.filter(|into| into.lineage.bare) {
            Some(into) => into.lineage.columns.clone(),
            None => every(),
        };
        for id in reached {
            let Some(relation) = catalogue.at(id.relation) else { continue };
            // What a temporary table was filled from is not written with it.
            if id.relation != place && catalogue.at(place).is_some_and(|target| target.filled_from.is_some()) {
                continue;
            }
            if let Some(column) = relation.columns.get(id.column) {
                self.found.copy_into([relation.schema.clone(), relation.name.clone(), column.name.clone()], lineage);
            }
        }
    }

    fn insert(&mut self, insert: &pb::InsertStmt, base: &Scope<'_>) -> Result<Selected, Refused> {
        let (place, target, location) = self.written(insert.relation.as_ref())?;
        let (mut bounded, mut width) = (true, 0);
        // What each column is given, under the column's name.
        let mut excluded: Vec<Field> =
            target.fields.iter().map(|field| Field::new(field.name.clone(), Lineage::clear())).collect();
        if let Some(source) = &insert.select_stmt {
            let selected = self.subquery(Some(source), Some(base))?;
            (bounded, width) = (selected.bounded, selected.fields.len());
            for (order, field) in selected.fields.iter().enumerate() {
                let into = inserted(insert, &target, order);
                for given in &mut excluded {
                    // Of a part of a column it is not known which.
                    if into.is_none_or(|into| into.name == given.name) {
                        given.lineage.add(&field.lineage);
                    }
                }
                self.store(&beyond(field.lineage.clone(), into), into, place);
            }
        }
        let given = given(insert, &target, width);
        self.write(place, Action::SqlInsert, "INSERT", bounded, &given, location)?;
        if let Some(conflict) = &insert.on_conflict_clause {
            let mut from = From::one(target.clone(), true);
            // What the client or the source brought: it may go into another column than the one that it was meant for.
            from.items.push(Item { name: "excluded".into(), schema: None, fields: excluded, ..target.clone() });
            let scope = Scope::with(from, Some(base));
            if let Some(arbiter) = &conflict.infer {
                for node in &arbiter.index_elems {
                    let NodeEnum::IndexElem(element) = inner(node)? else { return unknown(-1) };
                    let probed = match &element.expr {
                        Some(expr) => self.expr(expr, &scope)?,
                        None => target.field(&element.name).unwrap_or_default(),
                    };
                    // Whether there was a conflict tells whether the value was there.
                    let how = if is_one_row(insert) { Inference::Equality } else { Inference::Join };
                    self.found.infer(&probed, how);
                }
                if let Some(condition) = &arbiter.where_clause {
                    self.filter(condition, &scope)?;
                }
            }
            match conflict.action() {
                pb::OnConflictAction::OnconflictNothing => {}
                pb::OnConflictAction::OnconflictUpdate => {
                    self.assign(&conflict.target_list, &target, place, &scope)?;
                    if let Some(condition) = &conflict.where_clause {
                        self.filter(condition, &scope)?;
                    }
                    // It changes only rows that the inserted ones collide with.
                    let reset = reset(&conflict.target_list);
                    self.write(place, Action::SqlUpdate, "INSERT ON CONFLICT DO UPDATE", true, &reset, location)?;
                }
                pb::OnConflictAction::OnconflictNone | pb::OnConflictAction::Undefined => return unknown(location),
            }
        }
        let scope = Scope::with(From::one(target.clone(), true), Some(base));
        let fields = self.returning(insert.returning_clause.as_ref(), place, &target, scope)?;
        Ok(Selected { fields, bounded, limit: None })
    }

    fn update(&mut self, update: &pb::UpdateStmt, base: &Scope<'_>) -> Result<Selected, Refused> {
        let (place, target, location) = self.written(update.relation.as_ref())?;
        let mut from = From::one(target.clone(), false);
        let others = self.items(&update.from_clause, base)?;
        from.append(others);
        let scope = Scope::with(from, Some(base));
        self.assign(&update.target_list, &target, place, &scope)?;
        let bounded = self.condition(update.where_clause.as_deref(), &scope)?;
        let reset = reset(&update.target_list);
        self.write(place, Action::SqlUpdate, "UPDATE", bounded, &reset, location)?;
        let fields = self.returning(update.returning_clause.as_ref(), place, &target, scope)?;
        Ok(Selected { fields, bounded, limit: None })
    }

    fn delete(&mut self, delete: &pb::DeleteStmt, base: &Scope<'_>) -> Result<Selected, Refused> {
        let (place, target, location) = self.written(delete.relation.as_ref())?;
        let mut from = From::one(target.clone(), false);
        let others = self.items(&delete.using_clause, base)?;
        from.append(others);
        let scope = Scope::with(from, Some(base));
        let bounded = self.condition(delete.where_clause.as_deref(), &scope)?;
        self.write(place, Action::SqlDelete, "DELETE", bounded, &Defaulted::Any, location)?;
        let fields = self.returning(delete.returning_clause.as_ref(), place, &target, scope)?;
        Ok(Selected { fields, bounded, limit: None })
    }

    fn condition(&mut self, node: Option<&pb::Node>, scope: &Scope<'_>) -> Result<bool, Refused> {
        match node {
            Some(node) => Ok(self.filter(node, scope)?.limits()),
            None => Ok(false),
        }
    }

    fn merge_rows(&mut self, merge: &pb::MergeStmt, base: &Scope<'_>) -> Result<Selected, Refused> {
        let (place, target, location) = self.written(merge.relation.as_ref())?;
        if merge.returning_clause.is_some() {
            self.since(17, location)?;
        }
        let source = match &merge.source_relation {
            Some(source) => self.items(std::slice::from_ref(source), base)?,
            None => return unknown(location),
        };
        let mut from = From::one(target.clone(), false);
        from.append(source);
        let scope = Scope::with(from, Some(base));
        let bounded = self.condition(merge.join_condition.as_deref(), &scope)?;
        for node in &merge.merge_when_clauses {
            let NodeEnum::MergeWhenClause(when) = inner(node)? else { return unknown(location) };
            if let Some(condition) = &when.condition {
                self.filter(condition, &scope)?;
            }
            let stray = when.match_kind() == pb::MergeMatchKind::MergeWhenNotMatchedBySource;
            match when.command_type() {
                pb::CmdType::CmdNothing => {}
                pb::CmdType::CmdDelete => {
                    // NOT MATCHED BY SOURCE takes every row that the source does not name.
                    self.write(place, Action::SqlDelete, "MERGE DELETE", bounded && !stray, &Defaulted::Any, location)?;
                }
                pb::CmdType::CmdUpdate => {
                    self.assign(&when.target_list, &target, place, &scope)?;
                    let reset = reset(&when.target_list);
                    self.write(place, Action::SqlUpdate, "MERGE UPDATE", bounded && !stray, &reset, location)?;
                }
                pb::CmdType::CmdInsert => {
                    for (order, value) in when.values.iter().enumerate() {
                        let lineage = self.expr(value, &scope)?;
                        let into = match when.target_list.get(order).and_then(|node| node.node.as_ref()) {
                            Some(NodeEnum::ResTarget(named)) if named.indirection.is_empty() => {
                                target.only_field(&named.name)
                            }
                            None if when.target_list.is_empty() => target.fields.get(order),
                            _ => None,
                        };
                        self.store(&lineage, into, place);
                    }
                    self.write(place, Action::SqlInsert, "MERGE INSERT", true, &Defaulted::Any, location)?;
                }
                pb::CmdType::Undefined
                | pb::CmdType::CmdUnknown
                | pb::CmdType::CmdSelect
                | pb::CmdType::CmdMerge
                | pb::CmdType::CmdUtility => return unknown(location),
            }
        }
        let fields = self.returning(merge.returning_clause.as_ref(), place, &target, scope)?;
        Ok(Selected { fields, bounded, limit: None })
    }

    /// SELECT … INTO and CREATE TABLE AS: a new relation that stores what the query returns.
    pub(super) fn store_into(&mut self, into: &pb::IntoClause, fields: &[Field]) -> Result<(), Refused> {
        let Some(named) = &into.rel else { return unknown(-1) };
        let renamed = into.col_names.iter().map(string).chain(std::iter::repeat(None));
        let columns: Vec<(Arc<str>, &Field)> = fields
            .iter()
            .zip(renamed)
            .map(|(field, name)| (name.map_or(field.name.clone(), Arc::from), field))
            .collect();
        let temporary = is_temporary(named);
        let path = if temporary {
            vec![self.context.catalogue.common.database.clone(), TEMPORARY.into(), named.relname.as_str().into()]
        } else {
            self.relation_path(named)?
        };
        if let [_, schema, table] = path.as_slice() {
            for (name, field) in &columns {
                self.found.copy_into([schema.clone(), table.clone(), name.clone()], &field.lineage);
            }
        }
        if temporary {
            let columns = columns.into_iter().map(|(name, field)| (name, self.type_of_field(field))).collect();
            return self.make_temporary(named, columns, "CREATE TABLE AS");
        }
        self.created(named, "table", "CREATE TABLE AS")
    }

    /// The type of a column that is exactly another one; 0 for any other.
    fn type_of_field(&self, field: &Field) -> u32 {
        let (true, Some(id)) = (field.lineage.bare, field.lineage.columns.first()) else { return 0 };
        let relation = self.context.catalogue.at(id.relation);
        relation.and_then(|relation| relation.columns.get(id.column)).map_or(0, |column| column.type_oid)
    }

    /// CREATE TABLE AS and CREATE MATERIALIZED VIEW.
    pub(super) fn create_table_as(&mut self, create: &pb::CreateTableAsStmt) -> Result<(), Refused> {
        self.found.tag = "CREATE TABLE AS";
        let Some(into) = &create.into else { return unknown(-1) };
        let NodeEnum::SelectStmt(select) = boxed(create.query.as_deref())? else { return unknown(-1) };
        let selected = self.select(select, None)?;
        self.found.bounded = Some(selected.bounded);
        match create.objtype() {
            pb::ObjectType::ObjectTable => self.store_into(into, &selected.fields),
            pb::ObjectType::ObjectMatview => {
                self.found.tag = "CREATE MATERIALIZED VIEW";
                let Some(named) = &into.rel else { return unknown(-1) };
                // Its columns are traced through its definition, so nothing gets away by being stored in it.
                self.read_values(&selected.fields);
                self.created(named, "materialized view", "CREATE MATERIALIZED VIEW")
            }
            _ => unknown(-1),
        }
    }
}

/// The column of the target that the source's column in this place is stored in.
fn inserted<'i>(insert: &pb::InsertStmt, target: &'i Item, order: usize) -> Option<&'i Field> {
    if insert.cols.is_empty() {
        return target.fields.get(order);
    }
    match insert.cols.get(order).and_then(|node| node.node.as_ref()) {
        Some(NodeEnum::ResTarget(named)) if named.indirection.is_empty() => {
            target.fields.iter().find(|field| *field.name == *named.name)
        }
        _ => None,
    }
}

/// Which columns an INSERT leaves to their defaults: those that it does not name, and those for which it says DEFAULT. Of
/// columns without names the source gives the first `width`.
fn given(insert: &pb::InsertStmt, target: &Item, width: usize) -> Defaulted {
    let mut names: Vec<Option<Arc<str>>> = if insert.cols.is_empty() {
        target.fields.iter().take(width).map(|field| Some(field.name.clone())).collect()
    } else {
        let name = |node: &pb::Node| match &node.node {
            Some(NodeEnum::ResTarget(named)) if named.indirection.is_empty() => Some(Arc::from(named.name.as_str())),
            _ => None,
        };
        insert.cols.iter().map(name).collect()
    };
    if let Some(NodeEnum::SelectStmt(select)) = insert.select_stmt.as_deref().and_then(|node| node.node.as_ref()) {
        for row in &select.values_lists {
            let Some(NodeEnum::List(row)) = &row.node else { return Defaulted::Any };
            for (name, value) in names.iter_mut().zip(&row.items) {
                if matches!(value.node, Some(NodeEnum::SetToDefault(_))) {
                    *name = None;
                }
            }
        }
    }
    Defaulted::AllBut(names.into_iter().flatten().collect())
}

/// The columns that a SET list sets to their defaults.
fn reset(nodes: &[pb::Node]) -> Defaulted {
    let mut names = Vec::new();
    for node in nodes {
        let Some(NodeEnum::ResTarget(assigned)) = &node.node else { return Defaulted::Any };
        match assigned.val.as_deref().and_then(|value| value.node.as_ref()) {
            Some(NodeEnum::SetToDefault(_)) => names.push(Arc::from(assigned.name.as_str())),
            // `(a, b) = (1, DEFAULT)`.
            Some(NodeEnum::MultiAssignRef(_)) => return Defaulted::Any,
            _ => {}
        }
    }
    Defaulted::Only(names)
}

/// What flows into a stored value besides what its column is: a column stays what it is in another row, under the same
/// label.
fn beyond(mut lineage: Lineage, into: Option<&Field>) -> Lineage {
    if let Some(into) = into {
        lineage.columns.retain(|id| !into.lineage.columns.contains(id));
    }
    lineage
}

/// One row of VALUES.
fn is_one_row(insert: &pb::InsertStmt) -> bool {
    matches!(insert.select_stmt.as_deref().and_then(|node| node.node.as_ref()),
        Some(NodeEnum::SelectStmt(select)) if select.values_lists.len() == 1)
}
