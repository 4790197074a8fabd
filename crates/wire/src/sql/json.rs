//! The SQL/JSON constructors and queries, and the names of their columns. All of them compute from their arguments.

use kernel::facts::Inference;

use super::analyse::Walk;
use super::analysis::Refused;
use super::lineage::{Field, Lineage};
use super::names::{inner, unknown};
use super::parse::{NodeEnum, pb};
use super::scope::Scope;

impl Walk<'_> {
    /// A JSON expression; any other node is a form that is not known.
    pub(super) fn json(&mut self, node: &NodeEnum, scope: &Scope<'_>) -> Result<Lineage, Refused> {
        // To an older server the same text is a call of somebody's function (hazards PL04).
        self.since(if is_of_sixteen(node) { 16 } else { 17 }, -1)?;
        match node {
            NodeEnum::JsonValueExpr(value) => self.json_value(Some(value), scope),
            NodeEnum::JsonParseExpr(parse) => self.json_value(parse.expr.as_deref(), scope),
            NodeEnum::JsonSerializeExpr(serialize) => self.json_value(serialize.expr.as_deref(), scope),
            NodeEnum::JsonScalarExpr(scalar) => self.optional(scalar.expr.as_deref(), scope),
            NodeEnum::JsonIsPredicate(test) => self.optional(test.expr.as_deref(), scope),
            NodeEnum::JsonArgument(argument) => self.json_value(argument.val.as_deref(), scope),
            NodeEnum::JsonKeyValue(pair) => self.json_pair(Some(pair), scope),
            NodeEnum::JsonObjectConstructor(object) => self.union(&object.exprs, scope),
            NodeEnum::JsonArrayConstructor(array) => self.union(&array.exprs, scope),
            NodeEnum::JsonArrayQueryConstructor(array) => {
                let selected = self.subquery(array.query.as_deref(), Some(scope))?;
                let mut lineage = Lineage::clear();
                selected.fields.iter().for_each(|field| lineage.add(&field.lineage));
                Ok(lineage)
            }
            NodeEnum::JsonObjectAgg(object) => {
                self.json_aggregate(object.constructor.as_deref(), scope)?;
                self.json_pair(object.arg.as_deref(), scope)
            }
            NodeEnum::JsonArrayAgg(array) => {
                self.json_aggregate(array.constructor.as_deref(), scope)?;
                self.json_value(array.arg.as_deref(), scope)
            }
            NodeEnum::JsonFuncExpr(function) => {
                let mut lineage = self.json_value(function.context_item.as_deref(), scope)?;
                lineage.add(&self.optional(function.pathspec.as_deref(), scope)?);
                lineage.add(&self.union(&function.passing, scope)?);
                for behavior in [&function.on_empty, &function.on_error].into_iter().flatten() {
                    lineage.add(&self.optional(behavior.expr.as_deref(), scope)?);
                }
                Ok(lineage)
            }
            _ => unknown(-1),
        }
    }

    fn optional(&mut self, node: Option<&pb::Node>, scope: &Scope<'_>) -> Result<Lineage, Refused> {
        node.map_or_else(|| Ok(Lineage::clear()), |node| Ok(self.expr(node, scope)?.derived()))
    }

    fn json_value(&mut self, value: Option<&pb::JsonValueExpr>, scope: &Scope<'_>) -> Result<Lineage, Refused> {
        match value {
            Some(value) if value.formatted_expr.is_some() => unknown(-1),
            Some(value) => self.optional(value.raw_expr.as_deref(), scope),
            None => Ok(Lineage::clear()),
        }
    }

    fn json_pair(&mut self, pair: Option<&pb::JsonKeyValue>, scope: &Scope<'_>) -> Result<Lineage, Refused> {
        let Some(pair) = pair else { return Ok(Lineage::clear()) };
        let mut lineage = self.optional(pair.key.as_deref(), scope)?;
        lineage.add(&self.json_value(pair.value.as_deref(), scope)?);
        Ok(lineage)
    }

    fn json_aggregate(&mut self, aggregate: Option<&pb::JsonAggConstructor>, scope: &Scope<'_>) -> Result<(), Refused> {
        let Some(aggregate) = aggregate else { return Ok(()) };
        self.order_arguments(&aggregate.agg_order, scope)?;
        if let Some(condition) = &aggregate.agg_filter {
            self.filter(condition, scope)?;
        }
        if let Some(window) = &aggregate.over {
            self.window(window, scope)?;
        }
        Ok(())
    }

    /// JSON_TABLE: every column is made of the document and the arguments.
    pub(super) fn json_table(&mut self, table: &pb::JsonTable, scope: &Scope<'_>) -> Result<Vec<Field>, Refused> {
        self.since(17, table.location)?;
        let mut lineage = self.json_value(table.context_item.as_deref(), scope)?;
        lineage.add(&self.union(&table.passing, scope)?);
        // How many rows there are is up to the document.
        self.found.infer(&lineage, Inference::Expression);
        let mut fields = Vec::new();
        self.json_columns(&table.columns, &lineage, scope, &mut fields)?;
        Ok(fields)
    }

    fn json_columns(
        &mut self,
        nodes: &[pb::Node],
        lineage: &Lineage,
        scope: &Scope<'_>,
        fields: &mut Vec<Field>,
    ) -> Result<(), Refused> {
        for node in nodes {
            let NodeEnum::JsonTableColumn(column) = inner(node)? else { return unknown(-1) };
            if column.columns.is_empty() {
                let mut own = lineage.clone().derived();
                for behavior in [&column.on_empty, &column.on_error].into_iter().flatten() {
                    own.add(&self.optional(behavior.expr.as_deref(), scope)?);
                }
                fields.push(Field::new(column.name.as_str(), own));
            } else {
                self.json_columns(&column.columns, lineage, scope, fields)?;
            }
        }
        Ok(())
    }
}

/// What PostgreSQL 16 brought; the rest came with 17.
fn is_of_sixteen(node: &NodeEnum) -> bool {
    matches!(
        node,
        NodeEnum::JsonValueExpr(_)
            | NodeEnum::JsonIsPredicate(_)
            | NodeEnum::JsonKeyValue(_)
            | NodeEnum::JsonObjectConstructor(_)
            | NodeEnum::JsonArrayConstructor(_)
            | NodeEnum::JsonArrayQueryConstructor(_)
            | NodeEnum::JsonObjectAgg(_)
            | NodeEnum::JsonArrayAgg(_)
    )
}

/// The column name of a JSON expression.
pub(super) fn name(node: &NodeEnum) -> Option<&'static str> {
    Some(match node {
        NodeEnum::JsonParseExpr(_) => "json",
        NodeEnum::JsonScalarExpr(_) => "json_scalar",
        NodeEnum::JsonSerializeExpr(_) => "json_serialize",
        NodeEnum::JsonObjectConstructor(_) => "json_object",
        NodeEnum::JsonArrayConstructor(_) | NodeEnum::JsonArrayQueryConstructor(_) => "json_array",
        NodeEnum::JsonObjectAgg(_) => "json_objectagg",
        NodeEnum::JsonArrayAgg(_) => "json_arrayagg",
        NodeEnum::JsonFuncExpr(function) => match function.op {
            1 => "json_exists",
            2 => "json_query",
            3 => "json_value",
            _ => return None,
        },
        _ => return None,
    })
}

/// The column name of an XML expression.
pub(super) fn xml_name(op: pb::XmlExprOp) -> Option<&'static str> {
    Some(match op {
        pb::XmlExprOp::IsXmlconcat => "xmlconcat",
        pb::XmlExprOp::IsXmlelement => "xmlelement",
        pb::XmlExprOp::IsXmlforest => "xmlforest",
        pb::XmlExprOp::IsXmlparse => "xmlparse",
        pb::XmlExprOp::IsXmlpi => "xmlpi",
        pb::XmlExprOp::IsXmlroot => "xmlroot",
        pb::XmlExprOp::IsXmlserialize => "xmlserialize",
        pb::XmlExprOp::IsDocument | pb::XmlExprOp::Undefined => return None,
    })
}
