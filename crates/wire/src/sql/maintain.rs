//! Rights, code, upkeep and the server: what a database needs seldom, and a workload hardly ever.

use kernel::operation::Action;
use kernel::resource::ResourceKind;

use super::analyse::Walk;
use super::analysis::Refused;
use super::collect::{Plain, Returned};
use super::define::object_word;
use super::lineage::{Field, Lineage};
use super::names::{inner, qualified, strings, unknown};
use super::parse::{NodeEnum, pb};
use super::scope::Scope;

impl Walk<'_> {
    /// A statement about rights, code, upkeep or the server. Says whether the node is one.
    pub(super) fn maintain(&mut self, node: &NodeEnum) -> Result<bool, Refused> {
        Ok(self.rights(node)? || self.code(node)? || self.upkeep(node)? || self.server(node))
    }

    fn verb(&mut self, action: Action, verb: &'static str, object: &'static str, name: &str) {
        self.found.tag = verb;
        self.plain(action, verb, object, name);
    }

    fn rights(&mut self, node: &NodeEnum) -> Result<bool, Refused> {
        let grant = Action::SqlGrant;
        match node {
            NodeEnum::GrantStmt(granted) => self.granted(granted)?,
            NodeEnum::GrantRoleStmt(roles) => {
                let verb = if roles.is_grant { "GRANT ROLE" } else { "REVOKE ROLE" };
                self.found.tag = verb;
                for node in &roles.granted_roles {
                    let NodeEnum::AccessPriv(role) = inner(node)? else { return unknown(-1) };
                    self.verb(grant, verb, "role", &role.priv_name);
                }
            }
            NodeEnum::AlterDefaultPrivilegesStmt(_) => {
                self.verb(grant, "ALTER DEFAULT PRIVILEGES", "default privileges", "*");
            }
            NodeEnum::CreateRoleStmt(role) => self.verb(grant, "CREATE ROLE", "role", &role.role),
            NodeEnum::AlterRoleStmt(alter) => self.role(alter.role.as_ref(), "ALTER ROLE"),
            NodeEnum::AlterRoleSetStmt(alter) => self.role(alter.role.as_ref(), "ALTER ROLE SET"),
            NodeEnum::DropRoleStmt(drop) => {
                for node in &drop.roles {
                    let NodeEnum::RoleSpec(role) = inner(node)? else { return unknown(-1) };
                    self.role(Some(role), "DROP ROLE");
                }
            }
            NodeEnum::DropOwnedStmt(drop) => {
                for node in &drop.roles {
                    let NodeEnum::RoleSpec(role) = inner(node)? else { return unknown(-1) };
                    self.role(Some(role), "DROP OWNED");
                    self.plain(Action::SqlDrop, "DROP OWNED", "role", &role.rolename);
                }
            }
            NodeEnum::ReassignOwnedStmt(reassign) => self.role(reassign.newrole.as_ref(), "REASSIGN OWNED"),
            NodeEnum::AlterOwnerStmt(alter) => {
                self.found.tag = "ALTER OWNER";
                let (relation, object) = (alter.relation.as_ref(), alter.object.as_deref());
                self.object(grant, "ALTER OWNER", alter.object_type(), relation, object)?;
            }
            NodeEnum::CreatePolicyStmt(policy) => {
                self.policy(policy.table.as_ref(), "CREATE POLICY")?;
                self.calls_of(policy.qual.as_deref())?;
                self.calls_of(policy.with_check.as_deref())?;
            }
            NodeEnum::AlterPolicyStmt(policy) => {
                self.policy(policy.table.as_ref(), "ALTER POLICY")?;
                self.calls_of(policy.qual.as_deref())?;
                self.calls_of(policy.with_check.as_deref())?;
            }
            NodeEnum::SecLabelStmt(label) => {
                self.found.tag = "SECURITY LABEL";
                self.object(grant, "SECURITY LABEL", label.objtype(), None, label.object.as_deref())?;
                self.loses_declared(label.objtype(), label.object.as_deref())?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn role(&mut self, role: Option<&pb::RoleSpec>, verb: &'static str) {
        let name = role.map_or("*", |role| role.rolename.as_str());
        self.verb(Action::SqlGrant, verb, "role", if name.is_empty() { "*" } else { name });
    }

    fn policy(&mut self, table: Option<&pb::RangeVar>, verb: &'static str) -> Result<(), Refused> {
        let Some(named) = table else { return unknown(-1) };
        self.tagged(Action::SqlGrant, verb, "policy", named)
    }

    fn granted(&mut self, granted: &pb::GrantStmt) -> Result<(), Refused> {
        let verb = if granted.is_grant { "GRANT" } else { "REVOKE" };
        self.found.tag = verb;
        let kind = granted.objtype();
        for node in &granted.objects {
            match inner(node)? {
                NodeEnum::RangeVar(named) => self.on_relation(Action::SqlGrant, verb, object_word(kind), named)?,
                NodeEnum::String(name) if granted.targtype() == pb::GrantTargetType::AclTargetAllInSchema => {
                    self.schema(Action::SqlGrant, verb, &name.sval);
                }
                _ => self.object(Action::SqlGrant, verb, kind, None, Some(node))?,
            }
        }
        if granted.objects.is_empty() {
            self.database(Action::SqlGrant, verb);
        }
        Ok(())
    }

    /// Code that runs now or later.
    fn code(&mut self, node: &NodeEnum) -> Result<bool, Refused> {
        let code = Action::SqlCode;
        match node {
            NodeEnum::DoStmt(_) => {
                self.found.tag = "DO";
                self.database(code, "DO");
            }
            NodeEnum::CreateFunctionStmt(create) => {
                let (verb, object) = if create.is_procedure {
                    ("CREATE PROCEDURE", "procedure")
                } else {
                    ("CREATE FUNCTION", "function")
                };
                self.found.tag = verb;
                self.function(&strings(&create.funcname)?, verb, object)?;
            }
            NodeEnum::AlterFunctionStmt(alter) => {
                let Some(function) = &alter.func else { return unknown(-1) };
                self.found.tag = "ALTER FUNCTION";
                self.function(&strings(&function.objname)?, "ALTER FUNCTION", object_word(alter.objtype()))?;
            }
            NodeEnum::AlterObjectDependsStmt(alter) => {
                self.found.tag = "ALTER";
                let (relation, object) = (alter.relation.as_ref(), alter.object.as_deref());
                self.object(Action::SqlAlter, "ALTER DEPENDS ON", alter.object_type(), relation, object)?;
            }
            NodeEnum::CreateTrigStmt(trigger) => {
                let Some(named) = &trigger.relation else { return unknown(-1) };
                self.tagged(code, "CREATE TRIGGER", "trigger", named)?;
            }
            NodeEnum::RuleStmt(rule) => {
                let Some(named) = &rule.relation else { return unknown(-1) };
                self.tagged(code, "CREATE RULE", "rule", named)?;
            }
            NodeEnum::CreateEventTrigStmt(trigger) => {
                self.verb(code, "CREATE EVENT TRIGGER", "event trigger", &trigger.trigname);
            }
            NodeEnum::AlterEventTrigStmt(trigger) => {
                self.verb(code, "ALTER EVENT TRIGGER", "event trigger", &trigger.trigname);
            }
            NodeEnum::CreateExtensionStmt(create) => {
                self.verb(code, "CREATE EXTENSION", "extension", &create.extname);
            }
            NodeEnum::AlterExtensionStmt(alter) => self.verb(code, "ALTER EXTENSION", "extension", &alter.extname),
            NodeEnum::AlterExtensionContentsStmt(alter) => {
                self.verb(code, "ALTER EXTENSION", "extension", &alter.extname);
            }
            NodeEnum::CreatePlangStmt(create) => self.verb(code, "CREATE LANGUAGE", "language", &create.plname),
            NodeEnum::CreateAmStmt(create) => self.verb(code, "CREATE ACCESS METHOD", "access method", &create.amname),
            NodeEnum::CreateCastStmt(_) => self.verb(code, "CREATE CAST", "cast", "*"),
            NodeEnum::CreateTransformStmt(create) => {
                self.verb(code, "CREATE TRANSFORM", "transform", &create.lang);
            }
            NodeEnum::CreateConversionStmt(create) => {
                self.verb(code, "CREATE CONVERSION", "conversion", &Self::dotted(&create.conversion_name));
            }
            NodeEnum::CreateRangeStmt(create) => {
                // It may name functions that run for every value of the type.
                self.verb(code, "CREATE TYPE", "type", &Self::dotted(&create.type_name));
            }
            NodeEnum::DefineStmt(define) => {
                // Aggregates, operators, base types, collations, text search objects: all may name functions.
                self.verb(code, "CREATE", object_word(define.kind()), &Self::dotted(&define.defnames));
            }
            NodeEnum::AlterTypeStmt(alter) => self.verb(code, "ALTER TYPE", "type", &Self::dotted(&alter.type_name)),
            NodeEnum::AlterOperatorStmt(_) => self.verb(code, "ALTER OPERATOR", "operator", "*"),
            NodeEnum::CreateOpClassStmt(create) => {
                self.verb(code, "CREATE OPERATOR CLASS", "operator class", &Self::dotted(&create.opclassname));
            }
            NodeEnum::CreateOpFamilyStmt(create) => {
                self.verb(code, "CREATE OPERATOR FAMILY", "operator family", &Self::dotted(&create.opfamilyname));
            }
            NodeEnum::AlterOpFamilyStmt(alter) => {
                self.verb(code, "ALTER OPERATOR FAMILY", "operator family", &Self::dotted(&alter.opfamilyname));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn function(&mut self, names: &[&str], verb: &'static str, object: &'static str) -> Result<(), Refused> {
        let Some((schema, name)) = qualified(names) else { return unknown(-1) };
        let catalogue = self.context.catalogue;
        let schema = schema.map_or_else(|| catalogue.common.search_path.first().cloned(), |schema| Some(schema.into()));
        let path = [Some(catalogue.common.database.clone()), schema, Some(name.into())].into_iter().flatten().collect();
        let (action, kind, object) = (Action::SqlCode, ResourceKind::Function, Some(object));
        self.found.plain.push(Plain { action, verb, kind, path, object, location: -1 });
        Ok(())
    }

    /// CALL of a procedure: always judged by name, whatever its volatility.
    pub(super) fn procedure(&mut self, call: &pb::FuncCall) -> Result<Returned, Refused> {
        // What it is given, it has; what it gives back is not stored.
        let given = self.call(call, &Scope::inside(None))?;
        self.found.copy(&Lineage { unknown: false, ..given });
        let names = strings(&call.funcname)?;
        let Some((schema, name)) = qualified(&names) else { return unknown(call.location) };
        let catalogue = self.context.catalogue;
        let known = self.found.calls.keys().any(|(_, called)| **called == *name);
        if !known {
            let home =
                schema.map_or_else(|| catalogue.common.search_path.first().cloned(), |schema| Some(schema.into()));
            self.found.calls.insert((home.unwrap_or_else(|| "public".into()), name.into()), Action::SqlCall);
        }
        // Its OUT and INOUT parameters come back as a row that nothing is known of: each counts as everything in reach.
        let mut counts = catalogue
            .functions(name)
            .iter()
            .filter(|known| schema.is_none_or(|schema| *known.schema == *schema))
            .map(|known| known.outputs.len());
        match counts.next() {
            Some(0) | None if counts.all(|count| count == 0) => Ok(Returned::None),
            Some(first) if counts.all(|count| count == first) => {
                Ok(Returned::Fields((0..first).map(|_| Field::new("", Lineage::unknown())).collect()))
            }
            _ => unknown(call.location),
        }
    }

    fn upkeep(&mut self, node: &NodeEnum) -> Result<bool, Refused> {
        let maintain = Action::SqlMaintain;
        match node {
            NodeEnum::VacuumStmt(vacuum) => {
                let verb = if vacuum.is_vacuumcmd { "VACUUM" } else { "ANALYZE" };
                self.found.tag = verb;
                self.found.changes_catalogue = false;
                for node in &vacuum.rels {
                    let NodeEnum::VacuumRelation(relation) = inner(node)? else { return unknown(-1) };
                    let Some(named) = &relation.relation else { return unknown(-1) };
                    self.on_relation(maintain, verb, "table", named)?;
                }
                if vacuum.rels.is_empty() {
                    self.database(maintain, verb);
                }
            }
            NodeEnum::ClusterStmt(cluster) => {
                self.found.tag = "CLUSTER";
                match &cluster.relation {
                    Some(named) => self.on_relation(maintain, "CLUSTER", "table", named)?,
                    None => self.database(maintain, "CLUSTER"),
                }
            }
            NodeEnum::ReindexStmt(reindex) => {
                self.found.tag = "REINDEX";
                match &reindex.relation {
                    Some(named) => self.on_relation(maintain, "REINDEX", "index", named)?,
                    None => self.database(maintain, "REINDEX"),
                }
            }
            NodeEnum::RefreshMatViewStmt(refresh) => {
                let Some(named) = &refresh.relation else { return unknown(-1) };
                self.tagged(maintain, "REFRESH MATERIALIZED VIEW", "materialized view", named)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The server, other databases, other servers.
    fn server(&mut self, node: &NodeEnum) -> bool {
        let (verb, object, name): (&'static str, &'static str, &str) = match node {
            NodeEnum::AlterSystemStmt(_) => ("ALTER SYSTEM", "setting", "*"),
            NodeEnum::LoadStmt(_) => ("LOAD", "library", "*"),
            NodeEnum::CheckPointStmt(_) => ("CHECKPOINT", "server", "*"),
            NodeEnum::CreatedbStmt(create) => ("CREATE DATABASE", "database", &create.dbname),
            NodeEnum::AlterDatabaseStmt(alter) => ("ALTER DATABASE", "database", &alter.dbname),
            NodeEnum::AlterDatabaseRefreshCollStmt(alter) => ("ALTER DATABASE", "database", &alter.dbname),
            NodeEnum::AlterDatabaseSetStmt(alter) => ("ALTER DATABASE SET", "database", &alter.dbname),
            NodeEnum::DropdbStmt(drop) => ("DROP DATABASE", "database", &drop.dbname),
            NodeEnum::CreateTableSpaceStmt(create) => ("CREATE TABLESPACE", "tablespace", &create.tablespacename),
            NodeEnum::DropTableSpaceStmt(drop) => ("DROP TABLESPACE", "tablespace", &drop.tablespacename),
            NodeEnum::AlterTableSpaceOptionsStmt(alter) => ("ALTER TABLESPACE", "tablespace", &alter.tablespacename),
            NodeEnum::AlterTableMoveAllStmt(alter) => {
                ("ALTER ALL IN TABLESPACE", "tablespace", &alter.orig_tablespacename)
            }
            NodeEnum::CreateFdwStmt(create) => ("CREATE FOREIGN DATA WRAPPER", "foreign data wrapper", &create.fdwname),
            NodeEnum::AlterFdwStmt(alter) => ("ALTER FOREIGN DATA WRAPPER", "foreign data wrapper", &alter.fdwname),
            NodeEnum::CreateForeignServerStmt(create) => ("CREATE SERVER", "server", &create.servername),
            NodeEnum::AlterForeignServerStmt(alter) => ("ALTER SERVER", "server", &alter.servername),
            NodeEnum::CreateUserMappingStmt(create) => ("CREATE USER MAPPING", "user mapping", &create.servername),
            NodeEnum::AlterUserMappingStmt(alter) => ("ALTER USER MAPPING", "user mapping", &alter.servername),
            NodeEnum::DropUserMappingStmt(drop) => ("DROP USER MAPPING", "user mapping", &drop.servername),
            NodeEnum::ImportForeignSchemaStmt(import) => ("IMPORT FOREIGN SCHEMA", "server", &import.server_name),
            NodeEnum::CreatePublicationStmt(create) => ("CREATE PUBLICATION", "publication", &create.pubname),
            NodeEnum::AlterPublicationStmt(alter) => ("ALTER PUBLICATION", "publication", &alter.pubname),
            NodeEnum::CreateSubscriptionStmt(create) => ("CREATE SUBSCRIPTION", "subscription", &create.subname),
            NodeEnum::AlterSubscriptionStmt(alter) => ("ALTER SUBSCRIPTION", "subscription", &alter.subname),
            NodeEnum::DropSubscriptionStmt(drop) => ("DROP SUBSCRIPTION", "subscription", &drop.subname),
            _ => return false,
        };
        self.verb(Action::SqlAdminister, verb, object, name);
        true
    }
}
