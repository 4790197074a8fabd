//! Definitions by which a value would come to stand under another label than the one it has (hazards MK08): a renamed or
//! moved column, a column that is recomputed from others, a partition or child that leaves its parent.
//!
//! Labels belong to names, so that such a change counts as a copy of the values: if one of them is masked, it cannot run.

use std::sync::Arc;

use super::analyse::Walk;
use super::analysis::Refused;
use super::lineage::Lineage;
use super::names::{qualified, strings};
use super::parse::{NodeEnum, pb};
use super::scope::{From, Item, Scope};

impl Walk<'_> {
    /// The values of this column, or of all of the relation's, will have another name.
    pub(super) fn loses_label(&mut self, named: Option<&pb::RangeVar>, column: Option<&str>) -> Result<(), Refused> {
        let Some(item) = self.existing(named)? else { return Ok(()) };
        for field in item.fields.iter().filter(|field| column.is_none_or(|column| *field.name == *column)) {
            self.found.copy(&field.lineage);
        }
        Ok(())
    }

    /// The values of this column, or of all of the relation's, will have the name that `to` makes of schema, relation and
    /// column.
    pub(super) fn moves_label(
        &mut self,
        named: Option<&pb::RangeVar>,
        column: Option<&str>,
        to: impl Fn([Arc<str>; 3]) -> [Arc<str>; 3],
    ) -> Result<(), Refused> {
        let Some(item) = self.existing(named)? else { return Ok(()) };
        let catalogue = self.context.catalogue;
        let Some(relation) = item.relation.and_then(|place| catalogue.at(place)) else { return Ok(()) };
        for field in item.fields.iter().filter(|field| column.is_none_or(|column| *field.name == *column)) {
            let now = [relation.schema.clone(), relation.name.clone(), field.name.clone()];
            self.found.copy_into(to(now), &field.lineage);
        }
        Ok(())
    }

    /// What a command of ALTER TABLE does to labels.
    pub(super) fn relabels(&mut self, command: &pb::AlterTableCmd, named: &pb::RangeVar) -> Result<(), Refused> {
        use pb::AlterTableType as Type;
        let definition = command.def.as_deref().and_then(|node| node.node.as_ref());
        match (command.subtype(), definition) {
            // USING computes the new values from the row.
            (Type::AtAlterColumnType, Some(NodeEnum::ColumnDef(column))) => {
                let Some(using) = column.raw_default.as_deref() else { return Ok(()) };
                let Some(item) = self.existing(Some(named))? else { return Ok(()) };
                let own = item.field(&command.name).unwrap_or_default();
                let relation = item.relation.and_then(|place| self.context.catalogue.at(place));
                let name: Arc<str> = command.name.as_str().into();
                let into = relation.map(|relation| [relation.schema.clone(), relation.name.clone(), name]);
                let scope = Scope::with(From::one(item, false), None);
                let mut lineage: Lineage = self.expr(using, &scope)?;
                lineage.columns.retain(|id| !own.columns.contains(id));
                match into {
                    Some(into) => self.found.copy_into(into, &lineage),
                    None => self.found.copy(&lineage),
                }
                Ok(())
            }
            (Type::AtDetachPartition | Type::AtDetachPartitionFinalize, Some(NodeEnum::PartitionCmd(partition))) => {
                self.moves_label(partition.name.as_ref(), None, |own| own)
            }
            (Type::AtDropInherit, _) => self.moves_label(Some(named), None, |own| own),
            _ => Ok(()),
        }
    }

    /// A comment or a security label takes the place of one that declares classes: whoever sees the values masked must not
    /// take the class away (hazards MK08). Where nothing is declared, nothing can be lost.
    pub(super) fn loses_declared(&mut self, kind: pb::ObjectType, object: Option<&pb::Node>) -> Result<(), Refused> {
        use pb::ObjectType as Type;
        let of_column = kind == Type::ObjectColumn;
        let of_relation =
            matches!(kind, Type::ObjectTable | Type::ObjectView | Type::ObjectMatview | Type::ObjectForeignTable);
        let Some(NodeEnum::List(list)) = object.and_then(|node| node.node.as_ref()) else { return Ok(()) };
        let names = strings(&list.items)?;
        let (column, names) = match names.split_last() {
            Some((column, names)) if of_column => (Some(*column), names),
            _ if of_relation => (None, names.as_slice()),
            _ => return Ok(()),
        };
        let Some((schema, relation)) = qualified(names) else { return Ok(()) };
        let named = pb::RangeVar {
            schemaname: schema.unwrap_or_default().to_owned(),
            relname: relation.to_owned(),
            ..pb::RangeVar::default()
        };
        let Some(place) = self.known_place(&named)? else { return Ok(()) };
        let catalogue = self.context.catalogue;
        let declared = catalogue.at(place).is_some_and(|relation| {
            catalogue.labels().iter().any(|label| {
                label.schema == relation.schema && label.relation == relation.name && label.column.as_deref() == column
            })
        });
        if declared { self.loses_label(Some(&named), column) } else { Ok(()) }
    }

    /// A relation that the catalogue holds, with its columns; what it does not hold has no labels to lose.
    fn existing(&mut self, named: Option<&pb::RangeVar>) -> Result<Option<Item>, Refused> {
        let Some(named) = named else { return Ok(None) };
        let catalogue = self.context.catalogue;
        match self.known_place(named)? {
            Some(place) if catalogue.at(place).is_some_and(|relation| !relation.system) => {
                Ok(Some(self.relation_as_item(place, named)?))
            }
            Some(_) | None => Ok(None),
        }
    }
}
