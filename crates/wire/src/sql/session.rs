//! Transactions, settings, prepared statements, cursors, notifications, LOCK: what acts on the session.
//!
//! Settings are an allow list. What changes how statements are read, which names mean what, or who asks, is pinned; so is
//! every setting that is not known.

use std::sync::Arc;

use kernel::operation::Action;
use kernel::resource::ResourceKind;
use kernel::verdict::Undecidable;

use super::analyse::Walk;
use super::analysis::{Control, Discarded, Refused};
use super::catalogue::Catalogue;
use super::collect::{Plain, Returned};
use super::lineage::Field;
use super::names::{boxed, constant_word, inner, string, unknown};
use super::parse::{NodeEnum, pb};
use super::scope::Scope;

/// Settings that a session may change to anything.
fn is_safe(name: &str) -> bool {
    matches!(
        name,
        "application_name"
            | "statement_timeout"
            | "lock_timeout"
            | "transaction_timeout"
            | "idle_in_transaction_session_timeout"
            | "idle_session_timeout"
            | "datestyle"
            | "intervalstyle"
            | "timezone"
            | "extra_float_digits"
            | "bytea_output"
            | "client_min_messages"
            | "transaction_isolation"
            | "transaction_read_only"
            | "transaction_deferrable"
            | "default_transaction_isolation"
            | "default_transaction_read_only"
            | "default_transaction_deferrable"
            | "work_mem"
            | "maintenance_work_mem"
            | "temp_buffers"
            | "hash_mem_multiplier"
            | "random_page_cost"
            | "seq_page_cost"
            | "effective_cache_size"
            | "effective_io_concurrency"
            | "from_collapse_limit"
            | "join_collapse_limit"
            | "geqo"
            | "jit"
            | "plan_cache_mode"
            | "cursor_tuple_fraction"
            | "max_parallel_workers_per_gather"
            | "constraint_exclusion"
            | "gin_fuzzy_search_limit"
            | "lc_messages"
            | "lc_monetary"
            | "lc_numeric"
            | "lc_time"
            | "quote_all_identifiers"
            | "synchronous_commit"
            | "tcp_keepalives_idle"
            | "tcp_keepalives_interval"
            | "tcp_keepalives_count"
            | "tcp_user_timeout"
    ) || name.starts_with("enable_")
}

/// Whether a setting may be changed to these values: a safe one to any, a pinned one to what it is pinned to.
pub(super) fn may_set(catalogue: &Catalogue, name: &str, values: &[String]) -> bool {
    let one =
        |accepted: &[&str]| matches!(values, [only] if accepted.iter().any(|word| only.eq_ignore_ascii_case(word)));
    match name {
        "client_encoding" | "names" => one(&["utf8", "utf-8", "unicode"]),
        "standard_conforming_strings" => one(&["on", "true", "yes", "1"]),
        "search_path" => {
            values.len() == catalogue.common.search_path.len()
                && values.iter().zip(&catalogue.common.search_path).all(|(value, pinned)| *value == **pinned)
        }
        _ => is_safe(name),
    }
}

fn word(text: &str) -> Arc<str> {
    Arc::from(text)
}

impl Walk<'_> {
    pub(super) fn session(&mut self, node: &NodeEnum) -> Result<Returned, Refused> {
        match node {
            NodeEnum::TransactionStmt(transaction) => self.transaction(transaction)?,
            NodeEnum::VariableSetStmt(set) => self.set(set)?,
            NodeEnum::VariableShowStmt(show) => {
                self.found.tag = "SHOW";
                self.plain(Action::SqlSet, "SHOW", "setting", &show.name);
                return Ok(Returned::Text);
            }
            NodeEnum::ConstraintsSetStmt(_) => {
                self.found.tag = "SET CONSTRAINTS";
                self.database(Action::SqlSet, "SET CONSTRAINTS");
            }
            NodeEnum::DiscardStmt(discard) => self.discard(discard)?,
            NodeEnum::PrepareStmt(prepare) => self.prepare(prepare)?,
            NodeEnum::ExecuteStmt(execute) => {
                self.found.shareable = false;
                let scope = Scope::inside(None);
                let lineage = self.union(&execute.params, &scope)?;
                self.found.copy(&lineage);
                self.found.tag = "EXECUTE";
                self.found.control = Control::Execute(word(&execute.name));
                return Ok(Returned::Named);
            }
            NodeEnum::DeallocateStmt(deallocate) => {
                self.found.tag = "DEALLOCATE";
                self.database(Action::SqlSet, "DEALLOCATE");
                self.found.control = Control::Deallocate((!deallocate.isall).then(|| word(&deallocate.name)));
            }
            NodeEnum::DeclareCursorStmt(declare) => self.declare(declare)?,
            NodeEnum::FetchStmt(fetch) => {
                self.found.shareable = false;
                self.found.tag = if fetch.ismove { "MOVE" } else { "FETCH" };
                self.found.control = Control::Fetch { name: word(&fetch.portalname), moves: fetch.ismove };
                return Ok(if fetch.ismove { Returned::None } else { Returned::Named });
            }
            NodeEnum::ClosePortalStmt(close) => {
                self.found.tag = "CLOSE CURSOR";
                self.database(Action::SqlSet, "CLOSE");
                self.found.control = Control::Close((!close.portalname.is_empty()).then(|| word(&close.portalname)));
            }
            NodeEnum::NotifyStmt(notify) => {
                self.found.shareable = false;
                self.found.tag = "NOTIFY";
                self.plain(Action::SqlNotify, "NOTIFY", "channel", &notify.conditionname);
            }
            NodeEnum::ListenStmt(listen) => {
                self.found.tag = "LISTEN";
                self.plain(Action::SqlListen, "LISTEN", "channel", &listen.conditionname);
            }
            NodeEnum::UnlistenStmt(unlisten) => {
                self.found.tag = "UNLISTEN";
                let name = if unlisten.conditionname.is_empty() { "*" } else { &unlisten.conditionname };
                self.plain(Action::SqlListen, "UNLISTEN", "channel", name);
            }
            NodeEnum::LockStmt(lock) => {
                self.found.tag = "LOCK TABLE";
                for node in &lock.relations {
                    let NodeEnum::RangeVar(named) = inner(node)? else { return unknown(-1) };
                    self.on_relation(Action::SqlLock, "LOCK TABLE", "table", named)?;
                }
            }
            _ => return unknown(-1),
        }
        Ok(Returned::None)
    }

    /// An operation on the database itself.
    pub(super) fn database(&mut self, action: Action, verb: &'static str) {
        let path = vec![self.context.catalogue.common.database.clone()];
        self.found.plain.push(Plain { action, verb, kind: ResourceKind::Database, path, object: None, location: -1 });
    }

    /// An operation on something that has a type and a name.
    pub(super) fn plain(&mut self, action: Action, verb: &'static str, object: &'static str, name: &str) {
        let path = vec![self.context.catalogue.common.database.clone(), object.into(), name.into()];
        let object = Some(object);
        self.found.plain.push(Plain { action, verb, kind: ResourceKind::Object, path, object, location: -1 });
    }

    /// An operation on a relation that need not exist.
    pub(super) fn on_relation(
        &mut self,
        action: Action,
        verb: &'static str,
        object: &'static str,
        named: &pb::RangeVar,
    ) -> Result<(), Refused> {
        // A temporary table that took another name would hide what has it.
        let harmless = matches!(action, Action::SqlTruncate | Action::SqlLock | Action::SqlMaintain);
        if self.temporary_place(named).is_some() && !(harmless || verb == "CREATE INDEX") {
            return unknown(named.location);
        }
        let path = self.relation_path(named)?;
        let (kind, object, location) = (ResourceKind::Table, Some(object), named.location);
        self.found.plain.push(Plain { action, verb, kind, path, object, location });
        Ok(())
    }

    fn transaction(&mut self, transaction: &pb::TransactionStmt) -> Result<(), Refused> {
        use pb::TransactionStmtKind as Kind;
        let name = word(&transaction.savepoint_name);
        let chain = transaction.chain;
        let (tag, control) = match transaction.kind() {
            Kind::TransStmtBegin => ("BEGIN", Control::Begin),
            Kind::TransStmtStart => ("START TRANSACTION", Control::Begin),
            Kind::TransStmtCommit => ("COMMIT", Control::Commit { chain }),
            Kind::TransStmtRollback => ("ROLLBACK", Control::Rollback { chain }),
            Kind::TransStmtSavepoint => ("SAVEPOINT", Control::Savepoint(name)),
            Kind::TransStmtRelease => ("RELEASE", Control::Release(name)),
            Kind::TransStmtRollbackTo => ("ROLLBACK", Control::RollbackTo(name)),
            // A prepared transaction outlives its session and can be committed from another.
            Kind::TransStmtPrepare | Kind::TransStmtCommitPrepared | Kind::TransStmtRollbackPrepared => {
                self.found.shareable = false;
                self.found.tag = "PREPARE TRANSACTION";
                self.database(Action::SqlAdminister, "PREPARE TRANSACTION");
                return Ok(());
            }
            Kind::Undefined => return unknown(transaction.location),
        };
        // AND CHAIN begins a transaction, too.
        let ends = matches!(
            control,
            Control::Commit { chain: false } | Control::Rollback { chain: false } | Control::RollbackTo(_)
        );
        self.found.tag = tag;
        self.found.control = control;
        self.database(if ends { Action::SqlEnd } else { Action::SqlTransaction }, tag);
        Ok(())
    }

    fn set(&mut self, set: &pb::VariableSetStmt) -> Result<(), Refused> {
        use pb::VariableSetKind as Kind;
        self.found.shareable = false;
        self.found.tag = "SET";
        self.found.control = Control::Set;
        let name = set.name.to_ascii_lowercase();
        let refused = Refused::at(Undecidable::PinnedSetting, set.location);
        match set.kind() {
            Kind::VarSetValue => {
                let mut values = Vec::with_capacity(set.args.len());
                for node in &set.args {
                    match inner(node)? {
                        NodeEnum::AConst(constant) => values.push(constant_word(constant).ok_or(refused)?),
                        // SET TIME ZONE INTERVAL '…'.
                        NodeEnum::TypeCast(_) if name == "timezone" => values.push(String::new()),
                        _ => return Err(refused),
                    }
                }
                if !may_set(self.context.catalogue, &name, &values) {
                    return Err(refused);
                }
            }
            // Back to what the session began with, which for a pinned setting is what it is pinned to; but the server's
            // default need not be, so only safe ones may go back.
            Kind::VarSetDefault | Kind::VarReset | Kind::VarSetCurrent if is_safe(&name) => {}
            // As DISCARD ALL does: every setting goes back to its startup value. The gateway pins settings by startup
            // parameters, so that this is where they are pinned.
            Kind::VarResetAll => {
                self.plain(Action::SqlSet, "RESET ALL", "setting", "*");
                return Ok(());
            }
            Kind::VarSetMulti if matches!(&*name, "transaction" | "session characteristics") => {}
            Kind::VarSetDefault | Kind::VarReset | Kind::VarSetCurrent | Kind::VarSetMulti | Kind::Undefined => {
                return Err(refused);
            }
        }
        self.plain(Action::SqlSet, "SET", "setting", &name);
        Ok(())
    }

    fn discard(&mut self, discard: &pb::DiscardStmt) -> Result<(), Refused> {
        self.found.tag = "DISCARD";
        self.database(Action::SqlSet, "DISCARD");
        let discarded = match discard.target() {
            pb::DiscardMode::DiscardAll => Discarded::All,
            pb::DiscardMode::DiscardPlans => Discarded::Plans,
            pb::DiscardMode::DiscardSequences => Discarded::Sequences,
            pb::DiscardMode::DiscardTemp => Discarded::Temp,
            pb::DiscardMode::Undefined => return unknown(-1),
        };
        self.found.control = Control::Discard(discarded);
        Ok(())
    }

    fn prepare(&mut self, prepare: &pb::PrepareStmt) -> Result<(), Refused> {
        let (inner, returned) = self.nested(boxed(prepare.query.as_deref())?)?;
        if let Returned::Fields(fields) = &returned {
            self.read_values(fields);
        }
        self.found.shareable = false;
        self.found.tag = "PREPARE";
        self.found.control = Control::Prepare { name: word(&prepare.name), inner };
        Ok(())
    }

    fn declare(&mut self, declare: &pb::DeclareCursorStmt) -> Result<(), Refused> {
        let node = boxed(declare.query.as_deref())?;
        let (inner, returned) = self.nested(node)?;
        if let Returned::Fields(fields) = &returned {
            self.read_values(fields);
        }
        self.found.shareable = false;
        self.found.tag = "DECLARE CURSOR";
        self.found.control = Control::DeclareCursor { name: word(&declare.portalname), inner };
        Ok(())
    }

    /// The values of these columns are read, though not by this statement's own result.
    pub(super) fn read_values(&mut self, fields: &[Field]) {
        for field in fields {
            self.found.passed.extend(field.lineage.columns.iter().copied());
            self.found.passed_unknown |= field.lineage.unknown;
        }
    }

    /// A name from a list of String nodes, joined by dots.
    pub(super) fn dotted(nodes: &[pb::Node]) -> String {
        nodes.iter().filter_map(string).collect::<Vec<_>>().join(".")
    }
}
