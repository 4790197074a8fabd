//! CREATE, ALTER, DROP, RENAME, COMMENT: the shape of the database. Rights, code and upkeep are in `maintain.rs`.
//!
//! What an object's own expressions call (defaults, checks, indexes) is called later, for another workload: such calls are
//! operations of the definition.

use std::sync::Arc;

use kernel::operation::Action;
use kernel::resource::ResourceKind;

use super::analyse::Walk;
use super::analysis::Refused;
use super::catalogue::{Made, TEMPORARY};
use super::collect::Plain;
use super::names::{boxed, inner, qualified, string, strings, unknown};
use super::parse::{NodeEnum, pb};
use super::scope::Scope;

impl Walk<'_> {
    /// A definition. Says whether the node is one.
    pub(super) fn define(&mut self, node: &NodeEnum) -> Result<bool, Refused> {
        if is_temporary_type(node) {
            return unknown(-1);
        }
        match node {
            NodeEnum::CreateStmt(create) => self.create_table(create, "table", "CREATE TABLE")?,
            NodeEnum::CreateForeignTableStmt(create) => {
                let Some(base) = &create.base_stmt else { return unknown(-1) };
                self.create_table(base, "foreign table", "CREATE FOREIGN TABLE")?;
            }
            NodeEnum::CreateTableAsStmt(create) => self.create_table_as(create)?,
            NodeEnum::ViewStmt(view) => self.create_view(view)?,
            NodeEnum::IndexStmt(index) => self.create_index(index)?,
            NodeEnum::CreateSchemaStmt(schema) => self.create_schema(schema)?,
            NodeEnum::CreateSeqStmt(create) => {
                let Some(named) = &create.sequence else { return unknown(-1) };
                self.created(named, "sequence", "CREATE SEQUENCE")?;
            }
            NodeEnum::AlterSeqStmt(alter) => {
                let Some(named) = &alter.sequence else { return unknown(-1) };
                self.tagged(Action::SqlAlter, "ALTER SEQUENCE", "sequence", named)?;
            }
            NodeEnum::CreateStatsStmt(create) => {
                self.made("CREATE STATISTICS", "statistics", &Self::dotted(&create.defnames));
                for node in &create.relations {
                    let NodeEnum::RangeVar(named) = inner(node)? else { return unknown(-1) };
                    self.on_relation(Action::SqlAlter, "CREATE STATISTICS", "statistics", named)?;
                }
                for node in &create.exprs {
                    let NodeEnum::StatsElem(element) = inner(node)? else { return unknown(-1) };
                    self.calls_of(element.expr.as_deref())?;
                }
            }
            NodeEnum::AlterStatsStmt(alter) => {
                self.changed("ALTER STATISTICS", "statistics", &Self::dotted(&alter.defnames));
            }
            NodeEnum::CompositeTypeStmt(create) => {
                let Some(named) = &create.typevar else { return unknown(-1) };
                self.check_range_var(named)?;
                self.made("CREATE TYPE", "type", &named.relname);
            }
            NodeEnum::CreateEnumStmt(create) => self.made("CREATE TYPE", "type", &Self::dotted(&create.type_name)),
            NodeEnum::CreateDomainStmt(create) => {
                self.made("CREATE DOMAIN", "domain", &Self::dotted(&create.domainname));
                self.constraints(&create.constraints)?;
            }
            NodeEnum::AlterEnumStmt(alter) => self.changed("ALTER TYPE", "type", &Self::dotted(&alter.type_name)),
            NodeEnum::AlterDomainStmt(alter) => {
                self.changed("ALTER DOMAIN", "domain", &Self::dotted(&alter.type_name));
                if let Some(definition) = alter.def.as_deref() {
                    self.definition(definition)?;
                }
            }
            NodeEnum::AlterCollationStmt(alter) => {
                self.changed("ALTER COLLATION", "collation", &Self::dotted(&alter.collname));
            }
            NodeEnum::AlterTableStmt(alter) => self.alter_table(alter)?,
            NodeEnum::RenameStmt(rename) => self.rename(rename)?,
            NodeEnum::AlterObjectSchemaStmt(alter) => {
                self.found.tag = "ALTER";
                let schema: Arc<str> = alter.newschema.as_str().into();
                self.moves_label(alter.relation.as_ref(), None, |[_, name, column]| [schema.clone(), name, column])?;
                self.object(
                    Action::SqlAlter,
                    "ALTER SET SCHEMA",
                    alter.object_type(),
                    alter.relation.as_ref(),
                    alter.object.as_deref(),
                )?;
                self.schema(Action::SqlCreate, "ALTER SET SCHEMA", &alter.newschema);
            }
            NodeEnum::CommentStmt(comment) => {
                self.found.tag = "COMMENT";
                self.object(Action::SqlAlter, "COMMENT", comment.objtype(), None, comment.object.as_deref())?;
                self.loses_declared(comment.objtype(), comment.object.as_deref())?;
            }
            NodeEnum::DropStmt(drop) => {
                self.found.tag = "DROP";
                for node in &drop.objects {
                    self.object(Action::SqlDrop, drop_verb(drop.remove_type()), drop.remove_type(), None, Some(node))?;
                }
            }
            NodeEnum::TruncateStmt(truncate) => {
                self.found.tag = "TRUNCATE TABLE";
                self.found.changes_catalogue = false;
                for node in &truncate.relations {
                    let NodeEnum::RangeVar(named) = inner(node)? else { return unknown(-1) };
                    self.on_relation(Action::SqlTruncate, "TRUNCATE", "table", named)?;
                }
            }
            NodeEnum::AlterTsdictionaryStmt(alter) => {
                self.changed("ALTER TEXT SEARCH DICTIONARY", "text search dictionary", &Self::dotted(&alter.dictname));
            }
            NodeEnum::AlterTsconfigurationStmt(alter) => {
                let name = Self::dotted(&alter.cfgname);
                self.changed("ALTER TEXT SEARCH CONFIGURATION", "text search configuration", &name);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// An operation on a new object that is no relation.
    fn made(&mut self, verb: &'static str, object: &'static str, name: &str) {
        self.found.tag = verb;
        self.plain(Action::SqlCreate, verb, object, name);
    }

    fn changed(&mut self, verb: &'static str, object: &'static str, name: &str) {
        self.found.tag = verb;
        self.plain(Action::SqlAlter, verb, object, name);
    }

    /// An operation on a relation, which also names the statement.
    pub(super) fn tagged(
        &mut self,
        action: Action,
        verb: &'static str,
        object: &'static str,
        named: &pb::RangeVar,
    ) -> Result<(), Refused> {
        self.found.tag = verb;
        self.on_relation(action, verb, object, named)
    }

    /// A new relation.
    pub(super) fn created(
        &mut self,
        named: &pb::RangeVar,
        object: &'static str,
        verb: &'static str,
    ) -> Result<(), Refused> {
        if is_temporary(named) {
            return unknown(named.location);
        }
        self.found.shareable = false;
        self.found.changes_catalogue = true;
        self.tagged(Action::SqlCreate, verb, object, named)
    }

    /// A temporary table, which the session knows and nobody else. It must not hide another relation, nor its row type
    /// another type: whether it is there would decide what a name means.
    pub(super) fn make_temporary(
        &mut self,
        named: &pb::RangeVar,
        columns: Vec<(Arc<str>, u32)>,
        verb: &'static str,
    ) -> Result<(), Refused> {
        let catalogue = self.context.catalogue;
        let elsewhere = !named.catalogname.is_empty() && *named.catalogname != *catalogue.common.database;
        let array = format!("_{}", named.relname);
        let hides = catalogue.resolve(&named.relname).is_some()
            || [&named.relname, &array].into_iter().any(|name| catalogue.type_named(None, name).is_some());
        if elsewhere || hides || !self.expanding.is_empty() {
            return unknown(named.location);
        }
        let name: Arc<str> = named.relname.as_str().into();
        self.found.shareable = false;
        self.found.changes_catalogue = false;
        self.found.tag = verb;
        let path = vec![catalogue.common.database.clone(), TEMPORARY.into(), name.clone()];
        let (action, kind, object) = (Action::SqlCreate, ResourceKind::Table, Some("temporary table"));
        self.found.plain.push(Plain { action, verb, kind, path, object, location: named.location });
        self.found.made = Some(Arc::new(Made { name, columns }));
        Ok(())
    }

    /// The columns of a temporary table; of one that takes them from elsewhere they are not known.
    fn temporary_columns(&self, create: &pb::CreateStmt) -> Result<Vec<(Arc<str>, u32)>, Refused> {
        let plain = create.inh_relations.is_empty() && create.partbound.is_none() && create.partspec.is_none();
        if !plain || create.of_typename.is_some() {
            return unknown(-1);
        }
        let mut columns = Vec::new();
        for node in &create.table_elts {
            match inner(node)? {
                NodeEnum::ColumnDef(column) => {
                    let named = column.type_name.as_ref().and_then(|name| self.named_type(name));
                    columns.push((column.colname.as_str().into(), named.unwrap_or(0)));
                }
                NodeEnum::Constraint(_) => {}
                _ => return unknown(-1),
            }
        }
        Ok(columns)
    }

    pub(super) fn schema(&mut self, action: Action, verb: &'static str, name: &str) {
        let path = vec![self.context.catalogue.common.database.clone(), name.into()];
        let object = Some("schema");
        self.found.plain.push(Plain { action, verb, kind: ResourceKind::Schema, path, object, location: -1 });
    }

    fn create_schema(&mut self, schema: &pb::CreateSchemaStmt) -> Result<(), Refused> {
        let name = match &schema.authrole {
            Some(role) if schema.schemaname.is_empty() => role.rolename.clone(),
            _ => schema.schemaname.clone(),
        };
        self.schema(Action::SqlCreate, "CREATE SCHEMA", &name);
        if let Some(role) = &schema.authrole {
            self.plain(Action::SqlGrant, "CREATE SCHEMA AUTHORIZATION", "role", &role.rolename);
        }
        for element in &schema.schema_elts {
            // Unqualified names inside would mean the new schema, not the search path.
            let named = match inner(element)? {
                NodeEnum::CreateStmt(create) => create.relation.as_ref(),
                NodeEnum::CreateSeqStmt(create) => create.sequence.as_ref(),
                NodeEnum::IndexStmt(index) => index.relation.as_ref(),
                _ => return unknown(-1),
            };
            if named.is_none_or(|named| named.schemaname.is_empty()) {
                return unknown(named.map_or(-1, |named| named.location));
            }
            self.define(inner(element)?)?;
        }
        self.found.tag = "CREATE SCHEMA";
        Ok(())
    }

    fn create_table(
        &mut self,
        create: &pb::CreateStmt,
        object: &'static str,
        verb: &'static str,
    ) -> Result<(), Refused> {
        let Some(named) = &create.relation else { return unknown(-1) };
        if is_temporary(named) {
            let columns = self.temporary_columns(create)?;
            self.make_temporary(named, columns, verb)?;
        } else {
            self.created(named, object, verb)?;
        }
        for node in &create.table_elts {
            self.definition(node)?;
        }
        self.constraints(&create.constraints)?;
        for parent in &create.inh_relations {
            // A child's rows show up in its parents: both change.
            let NodeEnum::RangeVar(parent) = inner(parent)? else { return unknown(-1) };
            self.on_relation(Action::SqlAlter, "INHERIT", "table", parent)?;
        }
        Ok(())
    }

    /// A column, constraint, index, partition or other part of a relation's definition.
    fn definition(&mut self, node: &pb::Node) -> Result<(), Refused> {
        match inner(node)? {
            NodeEnum::ColumnDef(column) => {
                self.calls_of(column.raw_default.as_deref())?;
                self.constraints(&column.constraints)
            }
            NodeEnum::Constraint(_) => self.constraints(std::slice::from_ref(node)),
            NodeEnum::TableLikeClause(like) => {
                let Some(named) = &like.relation else { return unknown(-1) };
                self.on_relation(Action::SqlSelect, "LIKE", "table", named)
            }
            NodeEnum::IndexStmt(index) => self.index_calls(index),
            NodeEnum::PartitionCmd(partition) => {
                let Some(named) = &partition.name else { return unknown(-1) };
                self.on_relation(Action::SqlAlter, "PARTITION", "table", named)
            }
            NodeEnum::RangeVar(named) => self.on_relation(Action::SqlAlter, "INHERIT", "table", named),
            // Settings, type names, identities and the like hold no code.
            NodeEnum::TypeName(_)
            | NodeEnum::DefElem(_)
            | NodeEnum::List(_)
            | NodeEnum::String(_)
            | NodeEnum::Integer(_)
            | NodeEnum::ReplicaIdentityStmt(_)
            | NodeEnum::AtalterConstraint(_) => Ok(()),
            // An expression by itself: SET DEFAULT, SET EXPRESSION.
            _ => self.calls_of(Some(node)),
        }
    }

    pub(super) fn constraints(&mut self, nodes: &[pb::Node]) -> Result<(), Refused> {
        for node in nodes {
            let constraint = match inner(node)? {
                NodeEnum::Constraint(constraint) => constraint,
                NodeEnum::CollateClause(_) => continue,
                _ => return unknown(-1),
            };
            self.calls_of(constraint.raw_expr.as_deref())?;
            self.calls_of(constraint.where_clause.as_deref())?;
            if let Some(key) = &constraint.pktable {
                // A foreign key tells which values the other table holds.
                self.on_relation(Action::SqlAlter, "REFERENCES", "table", key)?;
            }
            for exclusion in &constraint.exclusions {
                let NodeEnum::List(pair) = inner(exclusion)? else { return unknown(-1) };
                if let Some(NodeEnum::IndexElem(element)) = pair.items.first().and_then(|node| node.node.as_ref()) {
                    self.calls_of(element.expr.as_deref())?;
                }
            }
        }
        Ok(())
    }

    /// What an expression calls; its columns are those of a relation that is being made or changed.
    pub(super) fn calls_of(&mut self, node: Option<&pb::Node>) -> Result<(), Refused> {
        let Some(node) = node else { return Ok(()) };
        let before = std::mem::replace(&mut self.lenient, true);
        let result = self.expr(node, &Scope::inside(None));
        self.lenient = before;
        result.map(|_| ())
    }

    fn create_view(&mut self, view: &pb::ViewStmt) -> Result<(), Refused> {
        let Some(named) = &view.view else { return unknown(-1) };
        let selected = self.subquery(view.query.as_deref(), None)?;
        // A view's columns are traced through its definition; it stores nothing, but its readers read what it reads.
        self.read_values(&selected.fields);
        self.created(named, "view", "CREATE VIEW")
    }

    fn create_index(&mut self, index: &pb::IndexStmt) -> Result<(), Refused> {
        let Some(named) = &index.relation else { return unknown(-1) };
        self.tagged(Action::SqlCreate, "CREATE INDEX", "index", named)?;
        self.index_calls(index)
    }

    fn index_calls(&mut self, index: &pb::IndexStmt) -> Result<(), Refused> {
        for node in &index.index_params {
            let NodeEnum::IndexElem(element) = inner(node)? else { return unknown(-1) };
            self.calls_of(element.expr.as_deref())?;
        }
        self.calls_of(index.where_clause.as_deref())
    }

    fn alter_table(&mut self, alter: &pb::AlterTableStmt) -> Result<(), Refused> {
        use pb::AlterTableType as Type;
        let Some(named) = &alter.relation else { return unknown(-1) };
        let object = object_word(alter.objtype());
        self.found.tag = "ALTER TABLE";
        for node in &alter.cmds {
            let NodeEnum::AlterTableCmd(command) = inner(node)? else { return unknown(-1) };
            let (action, verb) = match command.subtype() {
                Type::Undefined => return unknown(-1),
                Type::AtDropColumn => (Action::SqlDrop, "ALTER TABLE DROP COLUMN"),
                Type::AtDetachPartition | Type::AtDetachPartitionFinalize => (Action::SqlAlter, "DETACH PARTITION"),
                Type::AtChangeOwner => (Action::SqlGrant, "ALTER TABLE OWNER"),
                Type::AtEnableRowSecurity
                | Type::AtDisableRowSecurity
                | Type::AtForceRowSecurity
                | Type::AtNoForceRowSecurity => (Action::SqlGrant, "ALTER TABLE ROW LEVEL SECURITY"),
                Type::AtEnableTrig
                | Type::AtEnableAlwaysTrig
                | Type::AtEnableReplicaTrig
                | Type::AtDisableTrig
                | Type::AtEnableTrigAll
                | Type::AtDisableTrigAll
                | Type::AtEnableTrigUser
                | Type::AtDisableTrigUser
                | Type::AtEnableRule
                | Type::AtEnableAlwaysRule
                | Type::AtEnableReplicaRule
                | Type::AtDisableRule => (Action::SqlCode, "ALTER TABLE TRIGGER"),
                Type::AtSetTableSpace => (Action::SqlAdminister, "ALTER TABLE SET TABLESPACE"),
                _ => (Action::SqlAlter, "ALTER TABLE"),
            };
            self.on_relation(action, verb, object, named)?;
            self.relabels(command, named)?;
            if let Some(definition) = command.def.as_deref() {
                self.definition(definition)?;
            }
        }
        Ok(())
    }

    fn rename(&mut self, rename: &pb::RenameStmt) -> Result<(), Refused> {
        use pb::ObjectType as Type;
        self.found.tag = "ALTER";
        let kind = rename.rename_type();
        match kind {
            Type::ObjectColumn
            | Type::ObjectAttribute
            | Type::ObjectTabconstraint
            | Type::ObjectPolicy
            | Type::ObjectTrigger
            | Type::ObjectRule => {
                let Some(named) = &rename.relation else { return unknown(-1) };
                if kind == Type::ObjectColumn {
                    let new: Arc<str> = rename.newname.as_str().into();
                    self.moves_label(Some(named), Some(&rename.subname), |[schema, name, _]| {
                        [schema, name, new.clone()]
                    })?;
                }
                self.on_relation(Action::SqlAlter, "RENAME", object_word(kind), named)
            }
            Type::ObjectRole => {
                self.plain(Action::SqlGrant, "ALTER ROLE RENAME", "role", &rename.subname);
                Ok(())
            }
            Type::ObjectSchema => {
                self.schema(Action::SqlAlter, "RENAME", &rename.subname);
                Ok(())
            }
            Type::ObjectDatabase | Type::ObjectTablespace => {
                self.plain(Action::SqlAdminister, "RENAME", object_word(kind), &rename.subname);
                Ok(())
            }
            Type::ObjectTable | Type::ObjectView | Type::ObjectMatview | Type::ObjectForeignTable => {
                let new: Arc<str> = rename.newname.as_str().into();
                self.moves_label(rename.relation.as_ref(), None, |[schema, _, column]| [schema, new.clone(), column])?;
                self.object(Action::SqlAlter, "RENAME", kind, rename.relation.as_ref(), rename.object.as_deref())
            }
            _ => self.object(Action::SqlAlter, "RENAME", kind, rename.relation.as_ref(), rename.object.as_deref()),
        }
    }

    /// An operation on an object by its type and name, as DROP, COMMENT and ALTER spell them.
    pub(super) fn object(
        &mut self,
        action: Action,
        verb: &'static str,
        kind: pb::ObjectType,
        relation: Option<&pb::RangeVar>,
        object: Option<&pb::Node>,
    ) -> Result<(), Refused> {
        use pb::ObjectType as Type;
        let word = object_word(kind);
        if let Some(named) = relation {
            return self.on_relation(action, verb, word, named);
        }
        let node = boxed(object)?;
        let names: Vec<&str> = match node {
            NodeEnum::List(list) => list.items.iter().filter_map(string).collect(),
            NodeEnum::String(name) => vec![name.sval.as_str()],
            NodeEnum::TypeName(name) => strings(&name.names)?,
            NodeEnum::ObjectWithArgs(object) => strings(&object.objname)?,
            NodeEnum::Integer(_) | NodeEnum::Float(_) => vec!["large object"],
            _ => return unknown(-1),
        };
        // A column, constraint, trigger, rule or policy is named behind its relation.
        let of_relation = matches!(
            kind,
            Type::ObjectColumn
                | Type::ObjectTabconstraint
                | Type::ObjectTrigger
                | Type::ObjectRule
                | Type::ObjectPolicy
        );
        let names = match names.split_last() {
            Some((_, relation)) if of_relation && !relation.is_empty() => relation.to_vec(),
            _ => names,
        };
        let Some((schema, name)) = qualified(&names) else { return unknown(-1) };
        let own = schema.is_none_or(|schema| schema == TEMPORARY)
            && self.context.catalogue.temporary_place(name).is_some()
            && (action, kind) == (Action::SqlDrop, Type::ObjectTable);
        if own {
            self.found.unmade.push(name.into());
        } else if schema.is_some_and(super::system::is_temporary_schema) {
            return unknown(-1);
        }
        let (kind, path) = match kind {
            Type::ObjectTable
            | Type::ObjectView
            | Type::ObjectMatview
            | Type::ObjectForeignTable
            | Type::ObjectSequence => (ResourceKind::Table, self.qualified_path(schema, name)),
            _ if of_relation => (ResourceKind::Table, self.qualified_path(schema, name)),
            Type::ObjectSchema => {
                self.schema(action, verb, name);
                return Ok(());
            }
            Type::ObjectFunction | Type::ObjectProcedure | Type::ObjectRoutine | Type::ObjectAggregate => {
                (ResourceKind::Function, self.qualified_path(schema, name))
            }
            _ => {
                self.plain(action, verb, word, &names.join("."));
                return Ok(());
            }
        };
        self.found.plain.push(Plain { action, verb, kind, path, object: Some(word), location: -1 });
        Ok(())
    }
}

/// Whether a type is made among the session's temporary objects, where it would hide others.
fn is_temporary_type(node: &NodeEnum) -> bool {
    let names = match node {
        NodeEnum::CreateEnumStmt(create) => &create.type_name,
        NodeEnum::CreateRangeStmt(create) => &create.type_name,
        NodeEnum::CreateDomainStmt(create) => &create.domainname,
        NodeEnum::DefineStmt(create) => &create.defnames,
        _ => return false,
    };
    names.iter().filter_map(string).rev().skip(1).any(super::system::is_temporary_schema)
}

/// Whether a relation that is made is to be temporary.
pub(super) fn is_temporary(named: &pb::RangeVar) -> bool {
    named.relpersistence == "t" || *named.schemaname == *TEMPORARY
}

fn drop_verb(kind: pb::ObjectType) -> &'static str {
    use pb::ObjectType as Type;
    match kind {
        Type::ObjectTable => "DROP TABLE",
        Type::ObjectView => "DROP VIEW",
        Type::ObjectMatview => "DROP MATERIALIZED VIEW",
        Type::ObjectIndex => "DROP INDEX",
        Type::ObjectSequence => "DROP SEQUENCE",
        Type::ObjectSchema => "DROP SCHEMA",
        Type::ObjectFunction => "DROP FUNCTION",
        Type::ObjectExtension => "DROP EXTENSION",
        Type::ObjectType => "DROP TYPE",
        Type::ObjectTrigger => "DROP TRIGGER",
        Type::ObjectPolicy => "DROP POLICY",
        _ => "DROP",
    }
}

/// The fact `object`.
pub(super) fn object_word(kind: pb::ObjectType) -> &'static str {
    use pb::ObjectType as Type;
    match kind {
        Type::Undefined => "unknown",
        Type::ObjectAccessMethod => "access method",
        Type::ObjectAggregate => "aggregate",
        Type::ObjectAmop | Type::ObjectAmproc | Type::ObjectOpclass | Type::ObjectOpfamily => "operator class",
        Type::ObjectAttribute | Type::ObjectType => "type",
        Type::ObjectCast => "cast",
        Type::ObjectColumn | Type::ObjectDefault => "column",
        Type::ObjectCollation => "collation",
        Type::ObjectConversion => "conversion",
        Type::ObjectDatabase => "database",
        Type::ObjectDefacl => "default privileges",
        Type::ObjectDomain => "domain",
        Type::ObjectDomconstraint | Type::ObjectTabconstraint => "constraint",
        Type::ObjectEventTrigger => "event trigger",
        Type::ObjectExtension => "extension",
        Type::ObjectFdw => "foreign data wrapper",
        Type::ObjectForeignServer => "server",
        Type::ObjectForeignTable => "foreign table",
        Type::ObjectFunction => "function",
        Type::ObjectIndex => "index",
        Type::ObjectLanguage => "language",
        Type::ObjectLargeobject => "large object",
        Type::ObjectMatview => "materialized view",
        Type::ObjectOperator => "operator",
        Type::ObjectParameterAcl => "parameter",
        Type::ObjectPolicy => "policy",
        Type::ObjectProcedure => "procedure",
        Type::ObjectPublication | Type::ObjectPublicationNamespace | Type::ObjectPublicationRel => "publication",
        Type::ObjectRole => "role",
        Type::ObjectRoutine => "routine",
        Type::ObjectRule => "rule",
        Type::ObjectSchema => "schema",
        Type::ObjectSequence => "sequence",
        Type::ObjectSubscription => "subscription",
        Type::ObjectStatisticExt => "statistics",
        Type::ObjectTable => "table",
        Type::ObjectTablespace => "tablespace",
        Type::ObjectTransform => "transform",
        Type::ObjectTrigger => "trigger",
        Type::ObjectTsconfiguration => "text search configuration",
        Type::ObjectTsdictionary => "text search dictionary",
        Type::ObjectTsparser => "text search parser",
        Type::ObjectTstemplate => "text search template",
        Type::ObjectUserMapping => "user mapping",
        Type::ObjectView => "view",
    }
}
