//! SELECT, VALUES, TABLE, set operations and WITH: what each column of the result is made of.

use std::sync::Arc;

use kernel::facts::Inference;
use kernel::verdict::Undecidable;

use super::analyse::Walk;
use super::analysis::Refused;
use super::collect::Returned;
use super::lineage::{Field, Lineage};
use super::names::{boxed, inner, string, unknown};
use super::parse::{NodeEnum, pb};
use super::rows::behind;
use super::scope::{Cte, Scope};

/// How often a recursive CTE is walked before its lineage counts as unknown.
const FIXPOINT_ROUNDS: usize = 16;

/// What a query returns.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) fields: Vec<Field>,
    /// Its rows are limited by a WHERE that is not constant, its own or that of each subquery that it reads.
    pub(super) bounded: bool,
    pub(super) limit: Option<u64>,
}

impl Walk<'_> {
    /// A SELECT as a statement of its own.
    pub(super) fn select_statement(&mut self, select: &pb::SelectStmt) -> Result<Returned, Refused> {
        if let Some(into) = leftmost_into(select) {
            self.into_expected = true;
            let selected = self.select(select, None)?;
            self.found.bounded = Some(selected.bounded);
            self.store_into(into, &selected.fields)?;
            return Ok(Returned::None);
        }
        let selected = self.select(select, None)?;
        self.found.bounded = Some(selected.bounded);
        self.found.limit = selected.limit;
        Ok(Returned::Fields(selected.fields))
    }

    /// A query inside another statement.
    pub(super) fn subquery(&mut self, node: Option<&pb::Node>, outer: Option<&Scope<'_>>) -> Result<Selected, Refused> {
        match boxed(node)? {
            NodeEnum::SelectStmt(select) => self.select(select, outer),
            _ => unknown(-1),
        }
    }

    pub(super) fn select(&mut self, select: &pb::SelectStmt, outer: Option<&Scope<'_>>) -> Result<Selected, Refused> {
        let mut base = Scope::inside(outer);
        self.with(select.with_clause.as_ref(), &mut base)?;
        let mut selected = match select.op() {
            pb::SetOperation::SetopNone if !select.values_lists.is_empty() => self.values(select, &base)?,
            pb::SetOperation::SetopNone => self.simple_select(select, &base)?,
            pb::SetOperation::SetopUnion | pb::SetOperation::SetopIntersect | pb::SetOperation::SetopExcept => {
                self.set_operation(select, &base)?
            }
            pb::SetOperation::Undefined => return unknown(-1),
        };
        for node in [&select.limit_offset, &select.limit_count].into_iter().flatten() {
            let lineage = self.expr(node, &base)?;
            self.found.infer(&lineage, Inference::Expression);
        }
        selected.limit = self.constant_limit(select.limit_count.as_deref());
        Ok(selected)
    }

    /// The LIMIT if it is a constant. Templates keep a number in their key only where it directly follows LIMIT, FIRST or
    /// NEXT, so any other constant limit must not be shared.
    fn constant_limit(&mut self, node: Option<&pb::Node>) -> Option<u64> {
        let Some(NodeEnum::AConst(constant)) = node.and_then(|node| node.node.as_ref()) else {
            self.found.shareable &= node.is_none_or(|node| matches!(node.node, Some(NodeEnum::ParamRef(_))));
            return None;
        };
        let before = usize::try_from(constant.location).ok().and_then(|place| self.context.text.get(..place));
        let word = before.and_then(|before| before.trim_end().rsplit([' ', '\t', '\n', '\r']).next());
        self.found.shareable &= word
            .is_some_and(|word| ["limit", "first", "next"].iter().any(|keyword| word.eq_ignore_ascii_case(keyword)));
        match &constant.val {
            Some(pb::a_const::Val::Ival(number)) => u64::try_from(number.ival).ok(),
            Some(pb::a_const::Val::Fval(number)) => number.fval.parse().ok(),
            _ => None,
        }
    }

    fn simple_select(&mut self, select: &pb::SelectStmt, base: &Scope<'_>) -> Result<Selected, Refused> {
        if select.into_clause.is_some() && !std::mem::take(&mut self.into_expected) {
            return unknown(-1);
        }
        let from = self.items(&select.from_clause, base)?;
        let mut bounded = from.items.is_empty() || from.bounded;
        let scope = Scope::with(from, Some(base));
        let fields = self.targets(&select.target_list, &scope)?;
        if let Some(condition) = &select.where_clause {
            bounded |= self.filter(condition, &scope)?.limits();
        }
        for node in &select.group_clause {
            self.group(node, Inference::Group, &scope, &fields)?;
        }
        if let Some(condition) = &select.having_clause {
            self.filter(condition, &scope)?;
        }
        for node in &select.window_clause {
            match inner(node)? {
                NodeEnum::WindowDef(window) => self.window(window, &scope)?,
                _ => return unknown(-1),
            }
        }
        for node in &select.distinct_clause {
            match &node.node {
                None => self.distinct(&fields),
                Some(_) => self.group(node, Inference::Distinct, &scope, &fields)?,
            }
        }
        self.sort(&select.sort_clause, &scope, &fields)?;
        for node in &select.locking_clause {
            self.lock_rows(node, &scope)?;
        }
        Ok(Selected { fields, bounded, limit: None })
    }

    /// DISTINCT tells which values are equal, also where the values themselves leave masked: with a row of the client's
    /// own beside it, whether a guess is right.
    fn distinct(&mut self, fields: &[Field]) {
        for field in fields {
            self.found.infer(&field.lineage, Inference::Distinct);
        }
    }

    fn values(&mut self, select: &pb::SelectStmt, base: &Scope<'_>) -> Result<Selected, Refused> {
        let mut columns: Vec<Option<Lineage>> = Vec::new();
        for row in &select.values_lists {
            let NodeEnum::List(row) = inner(row)? else { return unknown(-1) };
            for (place, node) in row.items.iter().enumerate() {
                let lineage = self.expr(node, base)?;
                match columns.get_mut(place) {
                    Some(column) => *column = column.take().map(|known| known.either(&lineage)),
                    None => columns.push(Some(lineage)),
                }
            }
        }
        let fields: Vec<Field> = columns
            .into_iter()
            .enumerate()
            .map(|(place, lineage)| Field::new(format!("column{}", place + 1), lineage.unwrap_or_default().derived()))
            .collect();
        self.sort(&select.sort_clause, base, &fields)?;
        Ok(Selected { fields, bounded: true, limit: None })
    }

    fn set_operation(&mut self, select: &pb::SelectStmt, base: &Scope<'_>) -> Result<Selected, Refused> {
        let (Some(left), Some(right)) = (&select.larg, &select.rarg) else { return unknown(-1) };
        let left = self.select(left, Some(base))?;
        let right = self.select(right, Some(base))?;
        if left.fields.len() != right.fields.len() {
            return unknown(-1);
        }
        let union = select.op() == pb::SetOperation::SetopUnion;
        if union && !select.all {
            self.distinct(&left.fields);
            self.distinct(&right.fields);
        }
        let mut fields = Vec::with_capacity(left.fields.len());
        for (field, other) in left.fields.into_iter().zip(&right.fields) {
            if !union {
                // Which rows of the left remain tells what the right holds, and the reverse.
                self.found.infer(&field.lineage, Inference::Join);
                self.found.infer(&other.lineage, Inference::Join);
            }
            fields.push(Field::new(field.name, field.lineage.either(&other.lineage)));
        }
        self.sort(&select.sort_clause, base, &fields)?;
        if !select.locking_clause.is_empty() {
            return unknown(-1);
        }
        Ok(Selected { fields, bounded: left.bounded && right.bounded, limit: None })
    }

    /// The columns of a SELECT list or RETURNING.
    pub(super) fn targets(&mut self, nodes: &[pb::Node], scope: &Scope<'_>) -> Result<Vec<Field>, Refused> {
        let mut fields = Vec::with_capacity(nodes.len());
        for node in nodes {
            let NodeEnum::ResTarget(target) = inner(node)? else { return unknown(-1) };
            let Some(value) = &target.val else { return unknown(target.location) };
            if self.expand_star(inner(value)?, scope, &mut fields)? {
                continue;
            }
            let lineage = self.expr(value, scope)?;
            let name = if target.name.is_empty() { figure_name(inner(value)?) } else { target.name.clone() };
            let row = self.row.take();
            fields.push(Field { row, ..Field::new(name, lineage) });
        }
        Ok(fields)
    }

    /// `*`, `t.*`, `s.t.*` and `(t).*`.
    fn expand_star(&mut self, node: &NodeEnum, scope: &Scope<'_>, fields: &mut Vec<Field>) -> Result<bool, Refused> {
        let (names, location): (Vec<&str>, i32) = match node {
            NodeEnum::ColumnRef(column) if ends_with_star(&column.fields) => {
                (column.fields.iter().filter_map(string).collect(), column.location)
            }
            NodeEnum::AIndirection(row) if ends_with_star(&row.indirection) => match boxed(row.arg.as_deref())? {
                NodeEnum::ColumnRef(column) if row.indirection.len() == 1 && names_item(column, scope) => {
                    (column.fields.iter().filter_map(string).collect(), column.location)
                }
                _ => {
                    let Some((_, steps)) = row.indirection.split_last() else { return unknown(-1) };
                    self.union_of(&[&row.arg], scope)?;
                    return match self.row.take().and_then(|known| behind(known, steps)) {
                        Some(known) => {
                            fields.extend(known.iter().cloned());
                            Ok(true)
                        }
                        // How many fields it has is not known.
                        None => unknown(-1),
                    };
                }
            },
            _ => return Ok(false),
        };
        if names.is_empty() {
            if scope.from.items.iter().any(|item| item.open.is_some()) || scope.from.items.is_empty() {
                return unknown(location);
            }
            self.touch(scope.depth);
            scope.from.visible.iter().for_each(|field| self.found.mention(&field.lineage, location));
            fields.extend(scope.from.visible.iter().cloned());
            return Ok(true);
        }
        let found = match names.as_slice() {
            [table] => scope.item(None, table),
            [schema, table] => scope.item(Some(schema), table),
            [database, schema, table] if **database == *self.context.catalogue.common.database => {
                scope.item(Some(schema), table)
            }
            _ => None,
        };
        match found {
            Some((item, depth)) if item.open.is_none() => {
                self.touch(depth);
                item.fields.iter().for_each(|field| self.found.mention(&field.lineage, location));
                fields.extend(item.fields.iter().cloned());
                Ok(true)
            }
            Some(_) => unknown(location),
            None => Err(Refused::at(Undecidable::UnknownRelation, location)),
        }
    }

    /// ORDER BY: a position or the name of an output column, else an expression.
    pub(super) fn sort(&mut self, nodes: &[pb::Node], scope: &Scope<'_>, fields: &[Field]) -> Result<(), Refused> {
        for node in nodes {
            let NodeEnum::SortBy(sort) = inner(node)? else { return unknown(-1) };
            let Some(value) = sort.node.as_deref() else { return unknown(sort.location) };
            self.operator(&sort.use_op)?;
            let lineage = match self.output_column(value, fields, true)? {
                Some(lineage) => lineage,
                None => self.expr(value, scope)?,
            };
            self.found.infer(&lineage, Inference::Order);
        }
        Ok(())
    }

    /// GROUP BY and DISTINCT ON: positions, names, expressions and grouping sets.
    fn group(&mut self, node: &pb::Node, how: Inference, scope: &Scope<'_>, fields: &[Field]) -> Result<(), Refused> {
        if let NodeEnum::GroupingSet(set) = inner(node)? {
            return set.content.iter().try_for_each(|node| self.group(node, how, scope, fields));
        }
        let own = match inner(node)? {
            NodeEnum::ColumnRef(column) => match column.fields.as_slice() {
                [name] => string(name).is_some_and(|name| scope.own_column(name).is_some()),
                _ => true,
            },
            _ => false,
        };
        // GROUP BY prefers an input column to an output column of the same name; ORDER BY the reverse.
        let lineage = match if own { None } else { self.output_column(node, fields, true)? } {
            Some(lineage) => lineage,
            None => self.expr(node, scope)?,
        };
        self.found.infer(&lineage, how);
        Ok(())
    }

    /// What a position or a bare name says of the output. A position is a constant that decides.
    fn output_column(&mut self, node: &pb::Node, fields: &[Field], names: bool) -> Result<Option<Lineage>, Refused> {
        match inner(node)? {
            NodeEnum::AConst(constant) => {
                self.found.shareable = false;
                let place = match &constant.val {
                    Some(pb::a_const::Val::Ival(number)) => usize::try_from(number.ival).ok(),
                    _ => None,
                };
                match place.and_then(|place| place.checked_sub(1)).and_then(|place| fields.get(place)) {
                    Some(field) => Ok(Some(field.lineage.clone())),
                    None => unknown(constant.location),
                }
            }
            NodeEnum::ColumnRef(column) if names => match column.fields.as_slice() {
                [name] => {
                    let Some(name) = string(name) else { return Ok(None) };
                    let mut found = fields.iter().filter(|field| &*field.name == name);
                    let Some(first) = found.next() else { return Ok(None) };
                    let mut lineage = first.lineage.clone();
                    found.for_each(|more| lineage.add(&more.lineage));
                    Ok(Some(lineage))
                }
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }

    pub(super) fn window(&mut self, window: &pb::WindowDef, scope: &Scope<'_>) -> Result<(), Refused> {
        for node in &window.partition_clause {
            let lineage = self.expr(node, scope)?;
            self.found.infer(&lineage, Inference::Group);
        }
        self.order_arguments(&window.order_clause, scope)?;
        for node in [&window.start_offset, &window.end_offset].into_iter().flatten() {
            let lineage = self.expr(node, scope)?;
            self.found.infer(&lineage, Inference::Expression);
        }
        Ok(())
    }

    /// FOR UPDATE and its kin lock what the named items read; without names, all that the query reads.
    fn lock_rows(&mut self, node: &pb::Node, scope: &Scope<'_>) -> Result<(), Refused> {
        let NodeEnum::LockingClause(clause) = inner(node)? else { return unknown(-1) };
        let mut places: Vec<(usize, i32)> = Vec::new();
        let mut all = clause.locked_rels.is_empty();
        for node in &clause.locked_rels {
            let NodeEnum::RangeVar(named) = inner(node)? else { return unknown(-1) };
            match scope.item(None, &named.relname) {
                Some((item, _)) => match item.relation {
                    Some(place) => places.push((place, named.location)),
                    None => all = true,
                },
                None => return Err(Refused::at(Undecidable::UnknownRelation, named.location)),
            }
        }
        if all {
            places.extend(self.found.reads.iter().copied());
        }
        for (place, location) in places {
            if !self.found.locks.iter().any(|(known, _)| *known == place) {
                self.found.locks.push((place, location));
            }
        }
        Ok(())
    }

    /// WITH: each query in turn, seen by the later ones and the statement itself.
    pub(super) fn with(&mut self, clause: Option<&pb::WithClause>, base: &mut Scope<'_>) -> Result<(), Refused> {
        let Some(clause) = clause else { return Ok(()) };
        let mut ctes = Vec::with_capacity(clause.ctes.len());
        for node in &clause.ctes {
            let NodeEnum::CommonTableExpr(cte) = inner(node)? else { return unknown(-1) };
            ctes.push(&**cte);
        }
        let first = base.ctes.len();
        if clause.recursive {
            // With RECURSIVE a name may be used before it is defined: then it must not be taken for a table.
            base.ctes.extend(ctes.iter().map(|cte| Cte { name: cte.ctename.as_str().into(), found: None }));
        }
        for (place, cte) in ctes.into_iter().enumerate() {
            let (fields, bounded) = if clause.recursive {
                self.recursive_cte(cte, base, first + place)?
            } else {
                let (fields, bounded) = self.cte_query(cte, base)?;
                (named(cte, fields)?, bounded)
            };
            let found = Some((self.search_and_cycle(cte, fields), bounded));
            match base.ctes.get_mut(first + place) {
                Some(known) => known.found = found,
                None => base.ctes.push(Cte { name: cte.ctename.as_str().into(), found }),
            }
        }
        Ok(())
    }

    fn cte_query(&mut self, cte: &pb::CommonTableExpr, base: &Scope<'_>) -> Result<(Vec<Field>, bool), Refused> {
        match boxed(cte.ctequery.as_deref())? {
            NodeEnum::SelectStmt(select) => {
                let selected = self.select(select, Some(base))?;
                Ok((selected.fields, selected.bounded))
            }
            node => Ok((self.modify(node, Some(base))?.fields, true)),
        }
    }

    /// A CTE that may refer to itself: from its first arm to a fixpoint.
    fn recursive_cte(
        &mut self,
        cte: &pb::CommonTableExpr,
        base: &mut Scope<'_>,
        place: usize,
    ) -> Result<(Vec<Field>, bool), Refused> {
        let seed = match boxed(cte.ctequery.as_deref())? {
            NodeEnum::SelectStmt(select) if select.op() == pb::SetOperation::SetopUnion => {
                let mut around = Scope::inside(Some(&*base));
                self.with(select.with_clause.as_ref(), &mut around)?;
                let Some(left) = &select.larg else { return unknown(-1) };
                let seed = self.select(left, Some(&around))?;
                Some((named(cte, seed.fields)?, seed.bounded))
            }
            _ => None,
        };
        let Some((mut fields, bounded)) = seed else {
            let (fields, bounded) = self.cte_query(cte, base)?;
            return Ok((named(cte, fields)?, bounded));
        };
        for _ in 0..FIXPOINT_ROUNDS {
            let offered = self.search_and_cycle(cte, fields.clone());
            if let Some(known) = base.ctes.get_mut(place) {
                known.found = Some((offered, bounded));
            }
            let (next, _) = self.cte_query(cte, base)?;
            let next = named(cte, next)?;
            let settled = next.iter().map(|field| &field.lineage).eq(fields.iter().map(|field| &field.lineage));
            fields = next;
            if settled {
                return Ok((fields, bounded));
            }
        }
        for field in &mut fields {
            field.lineage.add(&Lineage::unknown());
        }
        Ok((fields, bounded))
    }

    /// SEARCH and CYCLE add columns made of the others.
    fn search_and_cycle(&self, cte: &pb::CommonTableExpr, mut fields: Vec<Field>) -> Vec<Field> {
        let mut all = Lineage::clear();
        fields.iter().for_each(|field| all.add(&field.lineage));
        if let Some(search) = &cte.search_clause {
            fields.push(Field::new(search.search_seq_column.as_str(), all.clone()));
        }
        if let Some(cycle) = &cte.cycle_clause {
            fields.push(Field::new(cycle.cycle_mark_column.as_str(), all.clone()));
            fields.push(Field::new(cycle.cycle_path_column.as_str(), all));
        }
        fields
    }
}

/// Whether `(name)` is a whole item, and no column.
fn names_item(column: &pb::ColumnRef, scope: &Scope<'_>) -> bool {
    let names: Vec<&str> = column.fields.iter().filter_map(string).collect();
    match names.as_slice() {
        _ if names.len() != column.fields.len() => false,
        [name] => !scope.may_have_column(name),
        [table, name] => scope.item(None, table).is_none_or(|(item, _)| item.field(name).is_none()),
        _ => true,
    }
}

/// Renames the first columns as the CTE's own list says.
fn named(cte: &pb::CommonTableExpr, mut fields: Vec<Field>) -> Result<Vec<Field>, Refused> {
    rename(&mut fields, &cte.aliascolnames)?;
    Ok(fields)
}

/// Renames the first columns.
pub(super) fn rename(fields: &mut [Field], names: &[pb::Node]) -> Result<(), Refused> {
    if names.len() > fields.len() {
        return unknown(-1);
    }
    for (field, node) in fields.iter_mut().zip(names) {
        let Some(name) = string(node) else { return unknown(-1) };
        field.name = Arc::from(name);
    }
    Ok(())
}

pub(super) fn ends_with_star(nodes: &[pb::Node]) -> bool {
    nodes.last().is_some_and(|node| matches!(node.node, Some(NodeEnum::AStar(_))))
}

/// SELECT … INTO stands in the leftmost arm of a set operation.
fn leftmost_into(select: &pb::SelectStmt) -> Option<&pb::IntoClause> {
    match &select.larg {
        Some(left) => leftmost_into(left),
        None => select.into_clause.as_deref(),
    }
}

/// The name that the server gives to a column without AS (`FigureColname`).
pub(super) fn figure_name(node: &NodeEnum) -> String {
    figure(node, 0).map_or_else(|| "?column?".to_owned(), |(name, _)| name)
}

/// The name, and whether it is a good one; a type's name gives way to a better one.
fn figure(node: &NodeEnum, depth: usize) -> Option<(String, bool)> {
    let below = |node: Option<&pb::Node>| {
        node.and_then(|node| node.node.as_ref()).filter(|_| depth < 64).and_then(|node| figure(node, depth + 1))
    };
    let last = |nodes: &[pb::Node]| nodes.iter().rev().find_map(string).map(str::to_owned);
    let word = |word: &str| Some((word.to_owned(), true));
    match node {
        NodeEnum::ColumnRef(column) => last(&column.fields).map(|name| (name, true)),
        NodeEnum::AIndirection(row) => {
            last(&row.indirection).map(|name| (name, true)).or_else(|| below(row.arg.as_deref()))
        }
        NodeEnum::FuncCall(call) => last(&call.funcname).map(|name| (name, true)),
        NodeEnum::AExpr(expr) if expr.kind() == pb::AExprKind::AexprNullif => word("nullif"),
        NodeEnum::TypeCast(cast) => match below(cast.arg.as_deref()) {
            Some((name, true)) => Some((name, true)),
            other => cast.type_name.as_ref().and_then(|name| last(&name.names)).map(|name| (name, false)).or(other),
        },
        NodeEnum::CollateClause(collate) => below(collate.arg.as_deref()),
        NodeEnum::GroupingFunc(_) => word("grouping"),
        NodeEnum::MergeSupportFunc(_) => word("merge_action"),
        NodeEnum::SubLink(link) => match link.sub_link_type() {
            pb::SubLinkType::ExistsSublink => word("exists"),
            pb::SubLinkType::ArraySublink => word("array"),
            pb::SubLinkType::ExprSublink => match link.subselect.as_deref().and_then(|node| node.node.as_ref()) {
                Some(NodeEnum::SelectStmt(select)) => match select.target_list.first()?.node.as_ref()? {
                    NodeEnum::ResTarget(target) if !target.name.is_empty() => Some((target.name.clone(), true)),
                    NodeEnum::ResTarget(target) => below(target.val.as_deref()),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        },
        NodeEnum::CaseExpr(case) => match below(case.defresult.as_deref()) {
            Some((name, true)) => Some((name, true)),
            _ => Some(("case".to_owned(), false)),
        },
        NodeEnum::AArrayExpr(_) => word("array"),
        NodeEnum::RowExpr(_) => word("row"),
        NodeEnum::CoalesceExpr(_) => word("coalesce"),
        NodeEnum::MinMaxExpr(least) if least.op() == pb::MinMaxOp::IsLeast => word("least"),
        NodeEnum::MinMaxExpr(_) => word("greatest"),
        NodeEnum::SqlvalueFunction(function) => word(super::expression::value_function_name(function.op())),
        NodeEnum::XmlSerialize(_) => word("xmlserialize"),
        NodeEnum::XmlExpr(xml) => super::json::xml_name(xml.op()).and_then(word),
        other => super::json::name(other).and_then(word),
    }
}
