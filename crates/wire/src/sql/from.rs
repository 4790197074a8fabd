//! FROM: relations, subqueries, functions, joins, and the columns that they offer.

use std::sync::Arc;

use kernel::facts::Inference;

use super::analyse::Walk;
use super::analysis::Refused;
use super::catalogue::RelationKind;
use super::functions;
use super::lineage::{Field, Lineage};
use super::names::{boxed, inner, qualified, string, strings, unknown};
use super::parse::{NodeEnum, pb};
use super::query::{figure_name, rename};
use super::scope::{From, Item, Scope};
use super::system;

impl Walk<'_> {
    /// A FROM list: the items see the CTEs and outer levels; LATERAL ones and functions also those before them.
    pub(super) fn items(&mut self, nodes: &[pb::Node], outer: &Scope<'_>) -> Result<From, Refused> {
        let mut all = From::default();
        for node in nodes {
            let next = self.one_item(node, outer, &all)?;
            all.append(next);
        }
        Ok(all)
    }

    fn one_item(&mut self, node: &pb::Node, outer: &Scope<'_>, before: &From) -> Result<From, Refused> {
        match inner(node)? {
            NodeEnum::RangeVar(named) => self.relation_item(named, outer),
            NodeEnum::RangeSubselect(subselect) => {
                let selected = if subselect.lateral {
                    let beside = Scope::with(before.clone(), Some(outer));
                    self.subquery(subselect.subquery.as_deref(), Some(&beside))?
                } else {
                    self.subquery(subselect.subquery.as_deref(), Some(outer))?
                };
                let item = item("", selected.fields, subselect.alias.as_ref())?;
                // Without an alias its columns are still visible by name.
                Ok(From::one(item, selected.bounded))
            }
            NodeEnum::RangeFunction(function) => {
                let beside = Scope::with(before.clone(), Some(outer));
                self.function_item(function, &beside)
            }
            NodeEnum::RangeTableFunc(table) => {
                let beside = Scope::with(before.clone(), Some(outer));
                self.xml_table(table, &beside)
            }
            NodeEnum::JsonTable(table) => {
                let beside = Scope::with(before.clone(), Some(outer));
                let fields = self.json_table(table, &beside)?;
                Ok(From::one(item("json_table", fields, table.alias.as_ref())?, true))
            }
            NodeEnum::RangeTableSample(sample) => {
                let Some(relation) = &sample.relation else { return unknown(sample.location) };
                let method = strings(&sample.method)?;
                if !matches!(method.as_slice(), ["bernoulli" | "system"] | ["pg_catalog", "bernoulli" | "system"]) {
                    return unknown(sample.location);
                }
                let mut lineage = self.union(&sample.args, outer)?;
                if let Some(seed) = &sample.repeatable {
                    lineage.add(&self.expr(seed, outer)?);
                }
                self.found.infer(&lineage, Inference::Expression);
                self.one_item(relation, outer, before)
            }
            NodeEnum::JoinExpr(join) => self.join(join, outer, before),
            _ => unknown(-1),
        }
    }

    fn relation_item(&mut self, named: &pb::RangeVar, outer: &Scope<'_>) -> Result<From, Refused> {
        if named.schemaname.is_empty()
            && named.catalogname.is_empty()
            && let Some(cte) = outer.cte(&named.relname)
        {
            let Some((fields, bounded)) = cte.found.clone() else { return unknown(named.location) };
            return Ok(From::one(item(&named.relname, fields, named.alias.as_ref())?, bounded));
        }
        let place = self.relation_place(named)?;
        self.found.read(place, named.location);
        Ok(From::one(self.relation_as_item(place, named)?, false))
    }

    /// A relation of the catalogue with its columns, under its alias.
    pub(super) fn relation_as_item(&mut self, place: usize, named: &pb::RangeVar) -> Result<Item, Refused> {
        let fields = self.relation_fields(place, named.location)?;
        let mut found = item(&named.relname, fields, named.alias.as_ref())?;
        found.relation = Some(place);
        found.row_is_known = named.alias.as_ref().is_none_or(|alias| alias.colnames.is_empty());
        if named.alias.is_none() {
            let schema = self.context.catalogue.at(place).map(|relation| relation.schema.clone());
            found.schema = schema;
        }
        Ok(found)
    }

    /// What each column of a relation is made of: itself, and through a view what the view reads.
    pub(super) fn relation_fields(&mut self, place: usize, location: i32) -> Result<Vec<Field>, Refused> {
        let catalogue = self.context.catalogue;
        let Some(relation) = catalogue.at(place) else { return unknown(location) };
        let sensitive = system::is_sensitive(&relation.schema, &relation.name);
        if relation.system || sensitive {
            let lineage = if sensitive { Lineage::unknown() } else { Lineage::clear() };
            let columns = relation.columns.iter();
            return Ok(columns.map(|column| Field::new(column.name.clone(), lineage.clone())).collect());
        }
        match relation.kind {
            RelationKind::View | RelationKind::MaterialisedView => self.view_fields(place, location),
            RelationKind::Table | RelationKind::Foreign | RelationKind::Partitioned | RelationKind::Sequence => {
                self.table_fields(place, location)
            }
        }
    }

    /// `FROM f(…)`, `ROWS FROM (…)`, WITH ORDINALITY, a column definition list.
    fn function_item(&mut self, range: &pb::RangeFunction, scope: &Scope<'_>) -> Result<From, Refused> {
        let alias = range.alias.as_ref().map(|alias| alias.aliasname.as_str());
        let mut fields: Vec<Field> = Vec::new();
        let mut open: Option<Lineage> = None;
        let mut own_name = String::new();
        for node in &range.functions {
            let NodeEnum::List(pair) = inner(node)? else { return unknown(-1) };
            let Some(call) = pair.items.first() else { return unknown(-1) };
            let lineage = self.expr(call, scope)?.derived();
            let name = figure_name(inner(call)?);
            let definitions = match pair.items.get(1).and_then(|node| node.node.as_ref()) {
                Some(NodeEnum::List(list)) => list.items.as_slice(),
                None => &[],
                Some(_) => return unknown(-1),
            };
            let definitions = if definitions.is_empty() { range.coldeflist.as_slice() } else { definitions };
            if !definitions.is_empty() {
                for definition in definitions {
                    let NodeEnum::ColumnDef(column) = inner(definition)? else { return unknown(-1) };
                    fields.push(Field::new(column.colname.as_str(), lineage.clone()));
                }
            } else {
                let columns = self.function_columns(call)?;
                if let NodeEnum::FuncCall(called) = inner(call)? {
                    // One column without a name is named below.
                    let names = columns
                        .as_ref()
                        .map(|names| if names.is_empty() { vec![name.as_str().into()] } else { names.clone() });
                    let arguments = self.union(&called.args, scope)?;
                    if let Some(names) = names
                        && let Some(looked) = self.looked_columns(called, &names, &arguments, scope)?
                    {
                        let single = columns.as_ref().is_some_and(Vec::is_empty) && range.functions.len() == 1;
                        let own = alias.filter(|_| single);
                        fields.extend(looked.into_iter().map(|field| match own {
                            Some(alias) => Field::new(alias, field.lineage),
                            None => field,
                        }));
                        if own_name.is_empty() {
                            own_name = name;
                        }
                        continue;
                    }
                }
                match columns {
                    Some(names) if names.is_empty() => {
                        let only = if range.functions.len() == 1 { alias.unwrap_or(&name) } else { &name };
                        fields.push(Field::new(only, lineage));
                    }
                    Some(names) => fields.extend(names.into_iter().map(|name| Field::new(name, lineage.clone()))),
                    None => open = Some(open.unwrap_or_default().either(&lineage)),
                }
            }
            if own_name.is_empty() {
                own_name = name;
            }
        }
        if range.ordinality {
            fields.push(Field::new("ordinality", Lineage::clear()));
        }
        let mut found = match (&open, range.alias.as_ref()) {
            (Some(lineage), Some(alias)) => {
                // The number of columns is not known, so neither is which of them the names rename.
                let names = alias.colnames.iter().filter_map(string);
                let fields = names.map(|name| Field::new(name, lineage.clone())).collect();
                item(&alias.aliasname, fields, None)?
            }
            (_, alias) => item(&own_name, fields, alias)?,
        };
        found.open = open;
        found.row_is_known = false;
        Ok(From::one(found, true))
    }

    fn function_columns(&self, call: &pb::Node) -> Result<Option<Vec<Arc<str>>>, Refused> {
        match inner(call)? {
            NodeEnum::FuncCall(call) => {
                let names = strings(&call.funcname)?;
                let Some((schema, name)) = qualified(&names) else { return unknown(call.location) };
                if name == "unnest" && call.args.len() > 1 {
                    return Ok(Some((0..call.args.len()).map(|_| Arc::from("unnest")).collect()));
                }
                Ok(functions::result_columns(self.context.catalogue, schema, name))
            }
            // `current_date`, a cast: one column.
            _ => Ok(Some(Vec::new())),
        }
    }

    fn xml_table(&mut self, table: &pb::RangeTableFunc, scope: &Scope<'_>) -> Result<From, Refused> {
        let mut lineage = Lineage::clear();
        for node in [&table.docexpr, &table.rowexpr].into_iter().flatten() {
            lineage.add(&self.expr(node, scope)?);
        }
        for node in &table.namespaces {
            match inner(node)? {
                NodeEnum::ResTarget(target) => lineage.add(&self.expr_boxed(target.val.as_deref(), scope)?),
                _ => return unknown(table.location),
            }
        }
        self.found.infer(&lineage, Inference::Expression);
        let mut fields = Vec::with_capacity(table.columns.len());
        for node in &table.columns {
            let NodeEnum::RangeTableFuncCol(column) = inner(node)? else { return unknown(table.location) };
            let mut own = lineage.clone();
            for node in [&column.colexpr, &column.coldefexpr].into_iter().flatten() {
                own.add(&self.expr(node, scope)?);
            }
            fields.push(Field::new(column.colname.as_str(), own.derived()));
        }
        Ok(From::one(item("xmltable", fields, table.alias.as_ref())?, true))
    }

    fn expr_boxed(&mut self, node: Option<&pb::Node>, scope: &Scope<'_>) -> Result<Lineage, Refused> {
        boxed(node)?;
        match node {
            Some(node) => self.expr(node, scope),
            None => unknown(-1),
        }
    }

    fn join(&mut self, join: &pb::JoinExpr, outer: &Scope<'_>, before: &From) -> Result<From, Refused> {
        let (Some(left), Some(right)) = (&join.larg, &join.rarg) else { return unknown(-1) };
        let left = self.one_item(left, outer, before)?;
        let mut beside = before.clone();
        beside.append(left.clone());
        let right = self.one_item(right, outer, &beside)?;
        let names: Vec<Arc<str>> = if join.is_natural {
            if left.items.iter().chain(&right.items).any(|item| item.open.is_some()) {
                return unknown(-1);
            }
            let common = left.visible.iter().filter(|field| right.visible.iter().any(|other| other.name == field.name));
            common.map(|field| field.name.clone()).collect()
        } else {
            strings(&join.using_clause)?.into_iter().map(Arc::from).collect()
        };
        let mut joined = self.merge(join, left, right, &names)?;
        if let Some(condition) = &join.quals {
            let scope = Scope::with(joined.clone(), Some(outer));
            self.filter(condition, &scope)?;
        }
        if let Some(alias) = &join.join_using_alias {
            let merged = joined.visible.iter().take(names.len()).cloned().collect();
            joined.items.push(item(&alias.aliasname, merged, None)?);
        }
        if let Some(alias) = &join.alias {
            // The alias hides what is joined.
            joined = From::one(item(&alias.aliasname, joined.visible, Some(alias))?, joined.bounded);
        }
        Ok(joined)
    }

    /// Puts two sides together; columns of USING come first and once.
    fn merge(&mut self, join: &pb::JoinExpr, left: From, right: From, names: &[Arc<str>]) -> Result<From, Refused> {
        let mut visible = Vec::with_capacity(left.visible.len() + right.visible.len());
        for name in names {
            let find =
                |side: &From| side.visible.iter().find(|field| field.name == *name).map(|field| field.lineage.clone());
            let (Some(from_left), Some(from_right)) = (find(&left), find(&right)) else { return unknown(-1) };
            self.found.infer(&from_left, Inference::Join);
            self.found.infer(&from_right, Inference::Join);
            let lineage = match join.jointype() {
                pb::JoinType::JoinInner | pb::JoinType::JoinLeft => from_left,
                pb::JoinType::JoinRight => from_right,
                _ => from_left.either(&from_right).derived(),
            };
            visible.push(Field::new(name.clone(), lineage));
        }
        let rest =
            |side: &[Field]| side.iter().filter(|field| !names.contains(&field.name)).cloned().collect::<Vec<_>>();
        visible.extend(rest(&left.visible));
        visible.extend(rest(&right.visible));
        let bounded = left.bounded && right.bounded;
        let mut items = left.items;
        items.extend(right.items);
        Ok(From { items, visible, bounded })
    }
}

/// An item under its own name, or its alias with the columns that the alias renames.
fn item(name: &str, mut fields: Vec<Field>, alias: Option<&pb::Alias>) -> Result<Item, Refused> {
    let mut own = name;
    if let Some(alias) = alias {
        own = &alias.aliasname;
        rename(&mut fields, &alias.colnames)?;
    }
    Ok(Item { name: own.into(), schema: None, fields, open: None, relation: None, row_is_known: true })
}
