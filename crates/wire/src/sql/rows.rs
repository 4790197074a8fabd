//! Values that are rows: `(t).c`, `((SELECT t FROM t)).c`, `(row('x', 1)::pair).*`, `c(t)`. What is known of their fields is
//! known apart, so that a field counts as what it is made of, and not as the whole row.
//!
//! `Walk::row` holds the fields of the value that was walked last. A field that was taken out of a value is computed: only a
//! column of a relation that is named itself is bare.

use std::sync::Arc;

use super::analyse::Walk;
use super::lineage::{Field, Lineage};
use super::names::{string, strings};
use super::parse::pb;
use super::scope::Scope;

/// The fields of a row.
pub(super) type Row = Arc<[Field]>;

impl Walk<'_> {
    /// The fields of a relation that is named as a value, or of a column that is a row.
    pub(super) fn row_of_column(&self, column: &pb::ColumnRef, scope: &Scope<'_>) -> Option<Row> {
        let names: Vec<&str> = column.fields.iter().filter_map(string).collect();
        if names.len() != column.fields.len() {
            return None;
        }
        let field = match names.as_slice() {
            [name] if scope.may_have_column(name) => scope.own_field(name)?,
            [name] => {
                let (item, _) = scope.item(None, name).filter(|(item, _)| item.open.is_none() && item.row_is_known)?;
                return Some(item.fields.iter().map(Field::taken_out).collect());
            }
            [table, name] => scope.item(None, table).and_then(|(item, _)| item.only_field(name))?,
            _ => return None,
        };
        if field.row.is_some() {
            return field.row.clone();
        }
        // A column of a composite type: its fields are all made of it.
        let (true, [id]) = (field.lineage.bare, field.lineage.columns.as_slice()) else { return None };
        let catalogue = self.context.catalogue;
        let known = catalogue.at(id.relation).and_then(|relation| relation.columns.get(id.column))?;
        let fields = catalogue.fields(known.type_oid)?;
        Some(fields.into_iter().map(|(name, _)| Field::new(name, field.lineage.clone().derived())).collect())
    }

    /// The fields of a value that is cast: those of the type that it is cast to, made of what stands in their places.
    pub(super) fn row_of_cast(&self, row: Option<Row>, whole: &Lineage, target: &pb::TypeName) -> Option<Row> {
        let fields = self.context.catalogue.fields(self.named_type(target)?)?;
        let parts = row.filter(|row| row.len() == fields.len() && !whole.unknown);
        let part = |place: usize| parts.as_ref().and_then(|parts| parts.get(place)).map(|part| part.lineage.clone());
        let named = fields.into_iter().enumerate();
        let cast = |(place, (name, _)): (usize, (Arc<str>, u32))| {
            Field::new(name, part(place).unwrap_or_else(|| whole.clone()).derived())
        };
        Some(named.map(cast).collect())
    }

    /// What `c(t)` is made of, which is `(t).c` where no function of that name takes one argument.
    pub(super) fn projection(&self, call: &pb::FuncCall, row: Option<&Row>) -> Option<Lineage> {
        let plain = call.agg_order.is_empty() && call.agg_filter.is_none() && call.over.is_none();
        if !plain || call.args.len() != 1 || call.agg_star || call.agg_distinct || call.func_variadic {
            return None;
        }
        let words = strings(&call.funcname).ok()?;
        let [name] = words.as_slice() else { return None };
        let takes_one = |signature: &super::catalogue::Signature| super::functions::takes(signature, 1);
        let known = self.context.catalogue.functions(name);
        if known.iter().any(|function| function.signature.as_ref().is_none_or(takes_one)) {
            return None;
        }
        only(row?, name).map(|field| field.lineage.clone().derived())
    }
}

/// The one field of that name.
pub(super) fn only<'r>(fields: &'r [Field], name: &str) -> Option<&'r Field> {
    let mut found = fields.iter().filter(|field| *field.name == *name);
    let first = found.next();
    if found.next().is_none() { first } else { None }
}

/// The fields of what the names, one after the other, take out of a row.
pub(super) fn behind(row: Row, names: &[pb::Node]) -> Option<Row> {
    names.iter().try_fold(row, |row, name| only(&row, string(name)?)?.row.clone())
}
