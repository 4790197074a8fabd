//! From a text to its analysis: parse, walk each statement, build its operations.
//!
//! The walk is split by what it looks at: `query`, `from`, `expression`, `predicate`, `modify`, `define`, `maintain`,
//! `session`, `copy`, `explain`. Each of them refuses a node that it does not name.

use std::ops::Range;
use std::sync::Arc;

use kernel::operation::{Action, ActionGroup, Operation};
use kernel::verdict::Undecidable;
use kernel::workload::Name;

use super::analysis::{Analysis, Refused, Statement};
use super::catalogue::{Catalogue, TEMPORARY};
use super::collect::{Build, Built, Found, Returned};
use super::lineage::Lineage;
use super::names::{boxed, unknown};
use super::parse::{self, NodeEnum, pb};
use super::rows::Row;
use super::shape;

/// Analyses what one message carries: a simple query's text, or that of a Parse.
///
/// # Errors
/// [`Refused`] where the text does not parse, is too large, has a form that is not known, names a relation that the
/// catalogue does not hold, or changes a pinned setting.
pub fn analyse(text: &str, catalogue: &Catalogue, upstream: &Name) -> Result<Analysis, Refused> {
    parse::with_stack(|| analyse_here(text, catalogue, upstream))
}

fn analyse_here(text: &str, catalogue: &Catalogue, upstream: &Name) -> Result<Analysis, Refused> {
    let parsed = parse::parse(text, catalogue.common.server_major)?;
    let statements = u32::try_from(parsed.len()).unwrap_or(u32::MAX);
    let context = Context { text, catalogue, upstream, statements };
    let mut nodes = Vec::with_capacity(parsed.len());
    for raw in &parsed {
        nodes.push((boxed(raw.stmt.as_deref())?, range(text, raw)));
    }
    context.assemble(&nodes)
}

/// The bytes of a statement; a length of 0 means up to the end.
fn range(text: &str, raw: &pb::RawStmt) -> Range<usize> {
    let start = usize::try_from(raw.stmt_location).unwrap_or(0);
    match usize::try_from(raw.stmt_len) {
        Ok(length) if length > 0 => start..(start + length).min(text.len()),
        _ => start..text.len(),
    }
}

/// What all statements of a text share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) text: &'a str,
    pub(super) catalogue: &'a Catalogue,
    pub(super) upstream: &'a Name,
    pub(super) statements: u32,
}

impl Context<'_> {
    /// Walks and builds each statement.
    pub(super) fn assemble(&self, nodes: &[(&NodeEnum, Range<usize>)]) -> Result<Analysis, Refused> {
        let mut operations: Vec<Operation> = Vec::new();
        let mut statements: Vec<Statement> = Vec::with_capacity(nodes.len());
        let mut shareable = true;
        let mut parameters = 0;
        for (node, range) in nodes {
            let mut walk = Walk::new(*self);
            let returned = walk.statement(node)?;
            for (place, _) in walk.found.reads.clone() {
                walk.read_sets_off(place);
            }
            let found = walk.found;
            // What was read from the catalogue may be stale once an earlier statement of the same text has run.
            let stale = statements.iter().any(|statement| statement.changes_catalogue);
            if stale && !(found.reads.is_empty() && found.writes.is_empty() && found.calls.is_empty()) {
                let position = u32::try_from(range.start).ok();
                return Err(Refused { why: Undecidable::UnknownForm, position });
            }
            let build = Build {
                catalogue: self.catalogue,
                upstream: self.upstream,
                text: self.text,
                statements: self.statements,
                first: operations.len(),
            };
            let built = build.build(&found, returned);
            shareable &= found.shareable;
            parameters = parameters.max(found.parameters);
            let first = operations.len();
            statements.push(statement(&found, &built, first, range.clone()));
            operations.extend(built.operations);
        }
        let template = shape::template(self.text, parameters);
        let shape = shape::shape(&operations, &statements);
        Ok(Analysis { statements, operations: operations.into(), template: template.into(), shape, shareable })
    }
}

fn statement(found: &Found, built: &Built, first: usize, range: Range<usize>) -> Statement {
    let changes = built.operations.iter().any(|operation| {
        let runs = !operation.facts.explain_only;
        runs && !matches!(operation.action.group(), ActionGroup::Read | ActionGroup::Connect)
    });
    Statement {
        tag: found.tag,
        operations: first..first + built.operations.len(),
        outputs: built.outputs.clone(),
        copied: built.copied.clone(),
        stored: built.stored.clone(),
        made: found.made.clone(),
        unmade: found.unmade.clone(),
        control: found.control.clone(),
        changes_catalogue: found.changes_catalogue,
        writes: changes,
        range,
        parameters: found.parameters,
        copy_format: found.copy_format,
        copy_layout: found.copy_layout.clone(),
    }
}

/// The walk over one statement.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    pub(super) context: Context<'a>,
    pub(super) found: Found,
    /// Names of columns that cannot be resolved are let through: the expression belongs to a table that is being made.
    pub(super) lenient: bool,
    /// The next SELECT may have INTO.
    pub(super) into_expected: bool,
    /// Bits of the levels in which names were found, for "does this vary by row?".
    pub(super) touched: u64,
    /// The views that are being expanded.
    pub(super) expanding: Vec<usize>,
    /// How many tests of columns were walked so far.
    pub(super) tests: u32,
    /// What decides whether the expression that is walked is computed at all.
    pub(super) guard: Lineage,
    /// What foreign keys carried changes on to.
    pub(super) carried: Vec<(usize, Action)>,
    /// The fields of the value that was walked last, where it is a row whose fields are known.
    pub(super) row: Option<Row>,
    /// The outermost level is the arguments of the function whose body this is.
    pub(super) arguments_outside: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(context: Context<'a>) -> Self {
        Self {
            context,
            found: Found::new(),
            lenient: false,
            into_expected: false,
            touched: 0,
            expanding: Vec::new(),
            tests: 0,
            guard: Lineage::clear(),
            carried: Vec::new(),
            row: None,
            arguments_outside: false,
        }
    }

    /// One statement, by family.
    pub(super) fn statement(&mut self, node: &NodeEnum) -> Result<Returned, Refused> {
        match node {
            NodeEnum::SelectStmt(select) => self.select_statement(select),
            NodeEnum::InsertStmt(_) | NodeEnum::UpdateStmt(_) | NodeEnum::DeleteStmt(_) | NodeEnum::MergeStmt(_) => {
                self.modify_statement(node)
            }
            NodeEnum::ExplainStmt(explain) => self.explain(explain),
            NodeEnum::CopyStmt(copy) => self.copy(copy),
            NodeEnum::TransactionStmt(_)
            | NodeEnum::VariableSetStmt(_)
            | NodeEnum::VariableShowStmt(_)
            | NodeEnum::ConstraintsSetStmt(_)
            | NodeEnum::DiscardStmt(_)
            | NodeEnum::PrepareStmt(_)
            | NodeEnum::ExecuteStmt(_)
            | NodeEnum::DeallocateStmt(_)
            | NodeEnum::DeclareCursorStmt(_)
            | NodeEnum::FetchStmt(_)
            | NodeEnum::ClosePortalStmt(_)
            | NodeEnum::NotifyStmt(_)
            | NodeEnum::ListenStmt(_)
            | NodeEnum::UnlistenStmt(_)
            | NodeEnum::LockStmt(_) => self.session(node),
            NodeEnum::CallStmt(call) => {
                self.found.shareable = false;
                self.found.tag = "CALL";
                self.found.changes_catalogue = true;
                let Some(call) = &call.funccall else { return unknown(-1) };
                self.procedure(call)
            }
            other => {
                self.found.shareable = false;
                self.found.changes_catalogue = true;
                if self.define(other)? || self.maintain(other)? { Ok(Returned::None) } else { unknown(-1) }
            }
        }
    }

    /// A form that an older server does not know, or reads otherwise, is refused there (hazards PL04).
    pub(super) fn since(&self, major: u32, location: i32) -> Result<(), Refused> {
        if self.context.catalogue.common.server_major < major { unknown(location) } else { Ok(()) }
    }

    /// What a name in the text resolves to, or the refusal.
    pub(super) fn relation_place(&self, named: &pb::RangeVar) -> Result<usize, Refused> {
        self.known_place(named)?.ok_or(Refused::at(Undecidable::UnknownRelation, named.location))
    }

    /// What a name in the text resolves to, if the catalogue holds it.
    pub(super) fn known_place(&self, named: &pb::RangeVar) -> Result<Option<usize>, Refused> {
        self.check_range_var(named)?;
        let catalogue = self.context.catalogue;
        if named.schemaname.is_empty() {
            return match (self.temporary_place(named), catalogue.resolve(&named.relname)) {
                // It was made before the other: which of them is meant depends on whether it is still there.
                (Some(_), Some(_)) => unknown(named.location),
                (temporary, other) => Ok(temporary.or(other)),
            };
        }
        Ok(catalogue.relation_place(&named.schemaname, &named.relname))
    }

    /// The session's own temporary table of that name. Definitions of views and bodies of functions mean others.
    pub(super) fn temporary_place(&self, named: &pb::RangeVar) -> Option<usize> {
        let own = named.schemaname.is_empty() || *named.schemaname == *TEMPORARY;
        if own && self.expanding.is_empty() { self.context.catalogue.temporary_place(&named.relname) } else { None }
    }

    /// Another database, and temporary objects but for the session's own tables: what the catalogue does not know, and what
    /// shadows others.
    pub(super) fn check_range_var(&self, named: &pb::RangeVar) -> Result<(), Refused> {
        if !named.catalogname.is_empty() && *named.catalogname != *self.context.catalogue.common.database {
            return Err(Refused::at(Undecidable::UnknownRelation, named.location));
        }
        let known = *named.schemaname == *TEMPORARY && self.temporary_place(named).is_some();
        if named.relpersistence == "t" || (super::system::is_temporary_schema(&named.schemaname) && !known) {
            return unknown(named.location);
        }
        Ok(())
    }

    /// The path of a relation that need not exist: database, schema, name.
    pub(super) fn relation_path(&self, named: &pb::RangeVar) -> Result<Vec<Arc<str>>, Refused> {
        self.check_range_var(named)?;
        Ok(self.qualified_path((!named.schemaname.is_empty()).then_some(&named.schemaname), &named.relname))
    }

    /// The path of something named under the pinned search path.
    pub(super) fn qualified_path(&self, schema: Option<&str>, name: &str) -> Vec<Arc<str>> {
        let catalogue = self.context.catalogue;
        let schema: Arc<str> = match schema {
            Some(schema) => schema.into(),
            None if self.expanding.is_empty() && catalogue.temporary_place(name).is_some() => TEMPORARY.into(),
            None => match catalogue.resolve(name).and_then(|place| catalogue.at(place)) {
                Some(relation) => relation.schema.clone(),
                None => catalogue.common.search_path.first().cloned().unwrap_or_else(|| "public".into()),
            },
        };
        vec![catalogue.common.database.clone(), schema, name.into()]
    }

    /// A nested statement as an analysis of its own, for PREPARE and DECLARE CURSOR; its operations become this one's.
    pub(super) fn nested(&mut self, node: &NodeEnum) -> Result<(Arc<Analysis>, Returned), Refused> {
        let inner = self.context.assemble(&[(node, 0..self.context.text.len())])?;
        let returned = self.statement(node)?;
        Ok((Arc::new(inner), returned))
    }
}
