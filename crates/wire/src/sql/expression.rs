//! Expressions: the columns that flow into a value.
//!
//! Casts, operators, constructors and computing functions give the union of their arguments. CASE counts its conditions,
//! because they choose the value. A function that policy must know gives a value of unknown origin, and its arguments
//! count as copied: code that we cannot see has them.

use kernel::facts::Inference;
use kernel::operation::Action;
use kernel::resource::ResourceKind;
use kernel::verdict::Undecidable;

use super::analyse::Walk;
use super::analysis::Refused;
use super::arguments::Guess;
use super::channel;
use super::collect::Plain;
use super::functions::Called;
use super::lineage::{Field, Lineage};
use super::names::{boxed, constant_word, inner, plain_type, qualified, string, strings, unknown};
use super::parse::{NodeEnum, pb};
use super::query::ends_with_star;
use super::rows::{behind, only};
use super::scope::Scope;

/// Type ids of `text` and `varchar`, between which a cast without a length changes nothing.
const TEXT: u32 = 25;
const VARCHAR: u32 = 1043;

impl Walk<'_> {
    /// Remembers that a name was found at this depth; levels beyond 63 share a bit, which only ever says "varies".
    pub(super) fn touch(&mut self, depth: u32) {
        self.touched |= 1 << depth.min(63);
    }

    /// The union over several nodes.
    pub(super) fn union(&mut self, nodes: &[pb::Node], scope: &Scope<'_>) -> Result<Lineage, Refused> {
        let mut all = Lineage::clear();
        for node in nodes {
            all.add(&self.expr(node, scope)?);
        }
        Ok(all)
    }

    /// The union over nodes that may be absent.
    pub(super) fn union_of(&mut self, nodes: &[&Option<Box<pb::Node>>], scope: &Scope<'_>) -> Result<Lineage, Refused> {
        let mut all = Lineage::clear();
        for node in nodes.iter().filter_map(|node| node.as_deref()) {
            all.add(&self.expr(node, scope)?);
        }
        Ok(all)
    }

    pub(super) fn expr(&mut self, node: &pb::Node, scope: &Scope<'_>) -> Result<Lineage, Refused> {
        let lineage = self.value(node, scope)?;
        let may_be_row = matches!(
            node.node,
            Some(
                NodeEnum::ColumnRef(_)
                    | NodeEnum::SubLink(_)
                    | NodeEnum::TypeCast(_)
                    | NodeEnum::AIndirection(_)
                    | NodeEnum::RowExpr(_)
            )
        );
        if !may_be_row {
            self.row = None;
        }
        Ok(lineage)
    }

    /// What a value is made of. Where it may be a row, this leaves its fields in `self.row`.
    fn value(&mut self, node: &pb::Node, scope: &Scope<'_>) -> Result<Lineage, Refused> {
        Ok(match inner(node)? {
            NodeEnum::AConst(_)
            | NodeEnum::SetToDefault(_)
            | NodeEnum::CurrentOfExpr(_)
            | NodeEnum::SqlvalueFunction(_) => Lineage::clear(),
            NodeEnum::MergeSupportFunc(function) => {
                self.since(17, function.location)?;
                Lineage::clear()
            }
            NodeEnum::ParamRef(parameter) => {
                let number = u32::try_from(parameter.number).unwrap_or(0);
                self.found.parameters = self.found.parameters.max(number);
                Lineage::clear()
            }
            NodeEnum::ColumnRef(column) => self.column(column, scope)?,
            NodeEnum::AExpr(expr) => {
                let mut lineage = self.union_of(&[&expr.lexpr], scope)?;
                let right = self.union_of(&[&expr.rexpr], scope)?;
                lineage.add(&right);
                lineage.unknown |= !self.operates(&expr.name, expr.lexpr.as_deref(), expr.rexpr.as_deref(), scope)?;
                self.note_operator(&expr.name, &lineage, &right);
                lineage
            }
            NodeEnum::BoolExpr(expr) => {
                let lineage = self.union(&expr.args, scope)?;
                self.note_test(&lineage);
                lineage
            }
            NodeEnum::FuncCall(call) => self.call(call, scope)?,
            NodeEnum::SubLink(link) => self.sublink(link, scope)?,
            NodeEnum::CaseExpr(case) => self.case(case, scope)?,
            NodeEnum::CoalesceExpr(coalesce) => self.union(&coalesce.args, scope)?,
            NodeEnum::MinMaxExpr(least) => self.union(&least.args, scope)?,
            NodeEnum::NullTest(test) => self.union_of(&[&test.arg], scope)?,
            NodeEnum::BooleanTest(test) => self.union_of(&[&test.arg], scope)?,
            NodeEnum::TypeCast(cast) => self.cast(cast, scope)?,
            NodeEnum::CollateClause(collate) => self.union_of(&[&collate.arg], scope)?,
            NodeEnum::AIndirection(indirection) => self.indirection(indirection, scope)?,
            NodeEnum::AIndices(indices) => self.union_of(&[&indices.lidx, &indices.uidx], scope)?,
            NodeEnum::AArrayExpr(array) => self.union(&array.elements, scope)?,
            NodeEnum::RowExpr(row) => self.row_constructor(row, scope)?,
            NodeEnum::List(list) => self.union(&list.items, scope)?,
            NodeEnum::NamedArgExpr(named) => self.union_of(&[&named.arg], scope)?,
            NodeEnum::MultiAssignRef(assigned) => {
                let whole = self.union_of(&[&assigned.source], scope)?;
                let place = usize::try_from(assigned.colno).ok().and_then(|number| number.checked_sub(1));
                let row = self.row.take().filter(|_| assigned.ncolumns > 1);
                let part = place.zip(row).and_then(|(place, row)| row.get(place).map(|part| part.lineage.clone()));
                part.unwrap_or(whole)
            }
            NodeEnum::GroupingFunc(grouping) => {
                // It tells which grouping set a row belongs to, not what is in the columns.
                self.union(&grouping.args, scope)?;
                Lineage::clear()
            }
            NodeEnum::XmlExpr(xml) => {
                let mut lineage = self.union(&xml.args, scope)?;
                for node in &xml.named_args {
                    match inner(node)? {
                        NodeEnum::ResTarget(target) => lineage.add(&self.union_of(&[&target.val], scope)?),
                        _ => return unknown(xml.location),
                    }
                }
                lineage
            }
            NodeEnum::XmlSerialize(xml) => self.union_of(&[&xml.expr], scope)?,
            other => self.json(other, scope)?,
        })
    }

    /// `ROW (…)`: the server names the fields `f1`, `f2` and so on.
    fn row_constructor(&mut self, row: &pb::RowExpr, scope: &Scope<'_>) -> Result<Lineage, Refused> {
        let mut all = Lineage::clear();
        let mut fields = Vec::with_capacity(row.args.len());
        for (place, part) in row.args.iter().enumerate() {
            let lineage = self.expr(part, scope)?;
            all.add(&lineage);
            let row = self.row.take();
            fields.push(Field { row, ..Field::new(format!("f{}", place + 1), lineage.derived()) });
        }
        // `ROW (t.*)` has as many fields as `t`.
        let starred = row.args.iter().any(|part| match &part.node {
            Some(NodeEnum::ColumnRef(column)) => ends_with_star(&column.fields),
            Some(NodeEnum::AIndirection(indirection)) => ends_with_star(&indirection.indirection),
            _ => false,
        });
        self.row = (!starred).then(|| fields.into());
        Ok(all)
    }

    /// A column, a whole row, or a row's field.
    fn column(&mut self, column: &pb::ColumnRef, scope: &Scope<'_>) -> Result<Lineage, Refused> {
        self.row = self.row_of_column(column, scope);
        let star = ends_with_star(&column.fields);
        let names: Vec<&str> = column.fields.iter().filter_map(string).collect();
        let found = match (names.as_slice(), star) {
            ([name], false) => scope.column(name),
            ([], true) => {
                let mut all = Lineage::clear();
                scope.from.items.iter().for_each(|item| all.add(&item.whole_row()));
                Some((all, scope.depth))
            }
            ([table], true) => scope.item(None, table).map(|(item, depth)| (item.whole_row(), depth)),
            ([schema, table], true) => scope.item(Some(schema), table).map(|(item, depth)| (item.whole_row(), depth)),
            ([table, name], false) => {
                scope.item(None, table).and_then(|(item, depth)| Some((item.field(name)?, depth)))
            }
            ([schema, table, name], false) => {
                scope.item(Some(schema), table).and_then(|(item, depth)| Some((item.field(name)?, depth)))
            }
            ([database, schema, table, name], false) if **database == *self.context.catalogue.common.database => {
                scope.item(Some(schema), table).and_then(|(item, depth)| Some((item.field(name)?, depth)))
            }
            _ => None,
        };
        match found {
            Some((lineage, depth)) => {
                self.touch(depth);
                self.found.mention(&lineage, column.location);
                Ok(lineage)
            }
            None if self.lenient => Ok(Lineage::clear()),
            None => Err(Refused::at(Undecidable::UnknownRelation, column.location)),
        }
    }

    /// `(t).c`, `(value).field`, `array[i]`.
    fn indirection(&mut self, node: &pb::AIndirection, scope: &Scope<'_>) -> Result<Lineage, Refused> {
        // `(t).c` of an item is the column itself; but a column of the name `t` comes first.
        if let NodeEnum::ColumnRef(column) = boxed(node.arg.as_deref())?
            && let ([table], [field]) = (column.fields.as_slice(), node.indirection.as_slice())
            && let (Some(table), Some(field)) = (string(table), string(field))
            && !scope.may_have_column(table)
            && let Some((item, depth)) = scope.item(None, table)
            && let Some(lineage) = item.field(field)
        {
            self.touch(depth);
            self.found.mention(&lineage, column.location);
            self.row = item.only_field(field).and_then(|field| field.row.clone());
            return Ok(lineage);
        }
        let mut lineage = self.union_of(&[&node.arg], scope)?;
        if let Some(row) = self.row.take()
            && let Some((last, steps)) = node.indirection.split_last()
            && let Some(name) = string(last)
            && let Some(field) = behind(row, steps).as_deref().and_then(|row| only(row, name))
        {
            self.row = field.row.clone();
            return Ok(field.lineage.clone().derived());
        }
        for step in &node.indirection {
            match inner(step)? {
                NodeEnum::String(_) | NodeEnum::AStar(_) => {}
                NodeEnum::AIndices(_) => lineage.add(&self.expr(step, scope)?),
                _ => return unknown(-1),
            }
        }
        self.row = None;
        Ok(lineage)
    }

    /// A cast computes, but between `text` and `varchar` without a length it does not change the value.
    fn cast(&mut self, cast: &pb::TypeCast, scope: &Scope<'_>) -> Result<Lineage, Refused> {
        let (Some(argument), Some(target)) = (&cast.arg, &cast.type_name) else { return unknown(cast.location) };
        let tests = self.tests;
        let lineage = self.expr(argument, scope)?;
        let row = self.row.take();
        if !matches!(plain_type(target), Some("text" | "varchar")) {
            self.note_fallible(&lineage, tests);
        }
        let same = matches!(plain_type(target), Some("text" | "varchar")) && self.is_text(&lineage);
        let mut lineage = if same { lineage } else { lineage.derived() };
        lineage.unknown |= !self.casts_by(argument, target, scope);
        self.row = self.row_of_cast(row, &lineage, target);
        Ok(lineage)
    }

    fn is_text(&self, lineage: &Lineage) -> bool {
        lineage.columns.iter().all(|id| {
            let relation = self.context.catalogue.at(id.relation);
            let column = relation.and_then(|relation| relation.columns.get(id.column));
            column.is_some_and(|column| matches!(column.type_oid, TEXT | VARCHAR))
        })
    }

    /// An operator by name. One outside `pg_catalog` is a function call that policy must know; says whether it is not.
    pub(super) fn operator(&mut self, name: &[pb::Node]) -> Result<bool, Refused> {
        if name.is_empty() {
            return Ok(true);
        }
        match qualified(&strings(name)?) {
            None => unknown(-1),
            Some((None | Some("pg_catalog"), _)) => Ok(true),
            Some((Some(schema), operator)) => {
                self.found.calls.insert((schema.into(), operator.into()), Action::SqlCall);
                Ok(false)
            }
        }
    }

    /// ORDER BY inside an aggregate or a window.
    pub(super) fn order_arguments(&mut self, nodes: &[pb::Node], scope: &Scope<'_>) -> Result<Lineage, Refused> {
        let mut all = Lineage::clear();
        for node in nodes {
            let NodeEnum::SortBy(sort) = inner(node)? else { return unknown(-1) };
            self.operator(&sort.use_op)?;
            let lineage = self.union_of(&[&sort.node], scope)?;
            self.found.infer(&lineage, Inference::Order);
            all.add(&lineage);
        }
        Ok(all)
    }

    /// A function, aggregate or window function.
    pub(super) fn call(&mut self, call: &pb::FuncCall, scope: &Scope<'_>) -> Result<Lineage, Refused> {
        let tests = self.tests;
        let mut arguments = self.union(&call.args, scope)?;
        if let Some(lineage) = self.projection(call, self.row.as_ref()) {
            return Ok(lineage);
        }
        let ordered = self.order_arguments(&call.agg_order, scope)?;
        if call.agg_within_group {
            arguments.add(&ordered);
        }
        if call.agg_distinct {
            // From 16 on, the rows of all aggregates come sorted by it.
            self.found.infer(&arguments, Inference::Distinct);
        }
        if let Some(condition) = &call.agg_filter {
            self.filter(condition, scope)?;
        }
        if let Some(window) = &call.over {
            self.window(window, scope)?;
        }
        let Some((schema, name)) =
            qualified(&strings(&call.funcname)?).map(|(schema, name)| (schema.map(str::to_owned), name.to_owned()))
        else {
            return unknown(call.location);
        };
        if call.funcformat() == pb::CoercionForm::CoerceSqlSyntax && name == "system_user" {
            // Before 16 it is the name of a column.
            self.since(16, call.location)?;
        }
        if !channel::never_fails(&name) {
            self.note_fallible(&arguments, tests);
        }
        if self.multiplies_rows(call, &name) {
            self.found.infer(&arguments, Inference::Expression);
        }
        let guesses: Vec<Guess> = call.args.iter().map(|node| self.guess(node, scope)).collect();
        match self.called(schema.as_deref(), &name, &guesses) {
            Called::Computes(home) => {
                self.found.functions.insert(format!("{home}.{name}").into());
                Ok(arguments)
            }
            Called::SetsConfig => {
                self.set_config(call)?;
                // It returns the value, and the server reports some settings back to the client.
                self.found.copy(&arguments);
                Ok(arguments.derived())
            }
            Called::Judged(home, action, oid) => {
                self.found.functions.insert(format!("{home}.{name}").into());
                let key = (home, name.into());
                self.found.called_at.entry(key.clone()).or_insert(call.location);
                self.found.calls.insert(key, action);
                if let Some(columns) = oid.and_then(|oid| self.look_into(oid)) {
                    columns.iter().for_each(|column| arguments.add(column));
                    if !call.args.iter().all(|node| self.is_one_value(node, scope)) {
                        self.found.infer_lists();
                    }
                    return Ok(arguments.derived());
                }
                self.found.copy(&arguments);
                arguments.unknown = true;
                Ok(arguments)
            }
        }
    }

    /// Whether how many rows there are depends on the arguments: those of a set, but for an array whose length the text
    /// tells.
    fn multiplies_rows(&self, call: &pb::FuncCall, name: &str) -> bool {
        let plain = |node: &pb::Node| matches!(node.node, Some(NodeEnum::AArrayExpr(_)));
        let known = self.context.catalogue.functions(name);
        known.iter().any(|function| function.returns_set) && !(name == "unnest" && call.args.iter().all(plain))
    }

    /// `set_config(name, value, is_local)` is SET: it is judged by the name, which must be a constant.
    fn set_config(&mut self, call: &pb::FuncCall) -> Result<(), Refused> {
        self.found.shareable = false;
        self.found.functions.insert("pg_catalog.set_config".into());
        let word = |place: usize| match call.args.get(place).map(|node| &node.node) {
            Some(Some(NodeEnum::AConst(constant))) => constant_word(constant),
            _ => None,
        };
        let pinned = Refused::at(Undecidable::PinnedSetting, call.location);
        let name = word(0).ok_or(pinned)?.to_ascii_lowercase();
        let values: Vec<String> = word(1).into_iter().collect();
        if !super::session::may_set(self.context.catalogue, &name, &values) {
            return Err(pinned);
        }
        let setting = ["setting".into(), name.as_str().into()];
        self.found.plain.push(Plain {
            action: Action::SqlSet,
            verb: "SET",
            kind: ResourceKind::Object,
            path: std::iter::once(self.context.catalogue.common.database.clone()).chain(setting).collect(),
            object: Some("setting"),
            location: call.location,
        });
        Ok(())
    }

    /// A subquery in an expression.
    fn sublink(&mut self, link: &pb::SubLink, scope: &Scope<'_>) -> Result<Lineage, Refused> {
        let selected = self.subquery(link.subselect.as_deref(), Some(scope))?;
        let mut lineage = Lineage::clear();
        for field in &selected.fields {
            lineage.add(&field.lineage);
        }
        self.row = match (link.sub_link_type(), selected.fields.as_slice()) {
            (pb::SubLinkType::ExprSublink, [only]) => only.row.clone(),
            // Of several columns only where they are assigned to as many.
            (pb::SubLinkType::ExprSublink | pb::SubLinkType::MultiexprSublink, fields) => Some(fields.to_vec().into()),
            _ => None,
        };
        match link.sub_link_type() {
            // Whether there is a row depends on the subquery's own conditions, which are noted as such.
            pb::SubLinkType::ExistsSublink => Ok(Lineage::clear()),
            pb::SubLinkType::AnySublink | pb::SubLinkType::AllSublink => {
                lineage.add(&self.union_of(&[&link.testexpr], scope)?);
                // `IN` is `= ANY`. The type of the other side is the subquery's.
                let equals = [string_node("=")];
                let name = if link.oper_name.is_empty() { equals.as_slice() } else { &link.oper_name };
                lineage.unknown |= !self.operates(name, link.testexpr.as_deref(), Some(&any_node()), scope)?;
                self.found.infer(&lineage, Inference::Join);
                Ok(lineage)
            }
            pb::SubLinkType::ExprSublink
            | pb::SubLinkType::MultiexprSublink
            | pb::SubLinkType::ArraySublink
            | pb::SubLinkType::RowcompareSublink => Ok(lineage.derived()),
            pb::SubLinkType::CteSublink | pb::SubLinkType::Undefined => unknown(link.location),
        }
    }
}

/// A name, as the grammar would have it.
fn string_node(text: &str) -> pb::Node {
    pb::Node { node: Some(NodeEnum::String(pb::String { sval: text.to_owned() })) }
}

/// A value of which nothing is known.
fn any_node() -> pb::Node {
    pb::Node { node: None }
}

/// The column name of `current_date` and its kin.
pub(super) fn value_function_name(op: pb::SqlValueFunctionOp) -> &'static str {
    use pb::SqlValueFunctionOp as Op;
    match op {
        Op::SqlvalueFunctionOpUndefined => "?column?",
        Op::SvfopCurrentDate => "current_date",
        Op::SvfopCurrentTime | Op::SvfopCurrentTimeN => "current_time",
        Op::SvfopCurrentTimestamp | Op::SvfopCurrentTimestampN => "current_timestamp",
        Op::SvfopLocaltime | Op::SvfopLocaltimeN => "localtime",
        Op::SvfopLocaltimestamp | Op::SvfopLocaltimestampN => "localtimestamp",
        Op::SvfopCurrentRole => "current_role",
        Op::SvfopCurrentUser => "current_user",
        Op::SvfopUser => "user",
        Op::SvfopSessionUser => "session_user",
        Op::SvfopCurrentCatalog => "current_catalog",
        Op::SvfopCurrentSchema => "current_schema",
    }
}
