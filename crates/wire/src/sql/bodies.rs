//! Functions in SQL, looked into: what a call returns is made of what the body selects, and of the arguments.
//!
//! A body is looked into if it is one SELECT (or `RETURN …`) that changes nothing, and names in it mean what they mean
//! outside: a function with SET clauses is opaque. Policy must know the function all the same; that it can be looked into
//! spares the caller a value of unknown origin, no more. What the body's own conditions look at counts as inference, because
//! the caller chooses the arguments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kernel::facts::Inference;
use kernel::operation::Action;
use kernel::verdict::Undecidable;

use super::analyse::{Context, Walk};
use super::analysis::Refused;
use super::arguments::Guess;
use super::catalogue::{Body, Function, FunctionKind};
use super::functions::Called;
use super::lineage::{ColumnId, Field, Lineage};
use super::names::{qualified, strings};
use super::parse::{self, NodeEnum, pb};
use super::query::Selected;
use super::scope::{From, Item, Scope};

/// How many functions and views may stand on each other.
const MAX_DEPTH: usize = 32;
/// What makes a body in standard form a statement that the grammar takes.
const HEAD: &str = "CREATE FUNCTION f() RETURNS int LANGUAGE sql ";

/// What a body comes to.
#[derive(Debug)]
pub(super) struct Looked {
    fields: Vec<Lineage>,
    reads: Vec<usize>,
    calls: BTreeMap<(Arc<str>, Arc<str>), Action>,
    functions: BTreeSet<Arc<str>>,
    infers: BTreeSet<(ColumnId, Inference)>,
    copied: BTreeSet<ColumnId>,
    copied_unknown: bool,
}

impl Walk<'_> {
    /// What the function with that object id returns, a lineage for each column of its result, without its arguments;
    /// what the body reads and calls is read and called by this statement. `None` if it is opaque.
    pub(super) fn look_into(&mut self, oid: u32) -> Option<Vec<Lineage>> {
        let catalogue = self.context.catalogue;
        let (name, function) = catalogue.function(oid)?;
        let body = function.body.as_ref()?;
        let looked = self.looked(oid, name, function, body).ok()?;
        for read in &looked.reads {
            self.found.read(*read, -1);
        }
        self.found.calls.extend(looked.calls.iter().map(|(key, action)| (key.clone(), *action)));
        self.found.functions.extend(looked.functions.iter().cloned());
        self.found.infers.extend(looked.infers.iter().copied());
        self.found.copied.extend(looked.copied.iter().copied());
        self.found.copied_unknown |= looked.copied_unknown;
        Some(looked.fields.clone())
    }

    /// The columns of a function in FROM, where its body can be looked into: what each is made of.
    pub(super) fn looked_columns(
        &mut self,
        call: &pb::FuncCall,
        names: &[Arc<str>],
        arguments: &Lineage,
        scope: &Scope<'_>,
    ) -> Result<Option<Vec<Field>>, Refused> {
        let guesses: Vec<Guess> = call.args.iter().map(|node| self.guess(node, scope)).collect();
        let words = strings(&call.funcname)?;
        let Some((schema, name)) = qualified(&words) else { return Ok(None) };
        let Called::Judged(_, _, Some(oid)) = self.called(schema, name, &guesses) else { return Ok(None) };
        let Some(columns) = self.look_into(oid) else { return Ok(None) };
        if columns.len() != names.len() {
            return Ok(None);
        }
        // Which rows there are may depend on the arguments.
        self.found.infer(arguments, Inference::Expression);
        let fields = names.iter().zip(columns).map(|(name, mut lineage)| {
            lineage.add(arguments);
            Field::new(name.clone(), lineage)
        });
        Ok(Some(fields.collect()))
    }

    fn looked(&self, oid: u32, name: &str, function: &Function, body: &Body) -> Result<Arc<Looked>, Undecidable> {
        if let Some(known) = body.looked.get() {
            return known.clone();
        }
        let signature = function.signature.as_ref().ok_or(Undecidable::UnknownForm)?;
        if function.has_settings || signature.kind != FunctionKind::Plain {
            return Err(Undecidable::UnknownForm);
        }
        // Views and functions that are being looked into share one list; relations are counted from below.
        let mark = usize::try_from(oid).map_or(usize::MAX, |oid| usize::MAX - oid);
        if self.expanding.len() >= MAX_DEPTH || self.expanding.contains(&mark) {
            return Err(Undecidable::TooLarge);
        }
        let result = parse::with_stack(|| self.look(mark, name, body));
        // A cap that depends on where the look began is not the function's own property.
        if self.expanding.is_empty() || result.is_ok() {
            return body.looked.get_or_init(|| result).clone();
        }
        result
    }

    fn look(&self, mark: usize, name: &str, body: &Body) -> Result<Arc<Looked>, Undecidable> {
        let text = if body.standard { format!("{HEAD}{}", body.text) } else { body.text.to_string() };
        let parsed = parse::parse(&text, self.context.catalogue.common.server_major).map_err(|refused| refused.why)?;
        let [only] = parsed.as_slice() else { return Err(Undecidable::UnknownForm) };
        let node = only.stmt.as_ref().and_then(|node| node.node.as_ref()).ok_or(Undecidable::UnknownForm)?;
        let mut walk = Walk::new(Context { text: &text, ..self.context });
        walk.expanding = self.expanding.clone();
        walk.expanding.push(mark);
        walk.arguments_outside = true;
        let named = body.names.iter().filter(|name| !name.is_empty());
        let fields: Vec<Field> = named.map(|name| Field::new(name.clone(), Lineage::clear())).collect();
        let item = Item { name: name.into(), schema: None, fields, open: None, relation: None, row_is_known: false };
        let outside = Scope::with(From::one(item, true), None);
        let statement = if body.standard { standard(node)? } else { Statement::Whole(node) };
        let fields = match statement {
            Statement::Whole(NodeEnum::SelectStmt(select)) => {
                let Selected { fields, .. } = walk.select(select, Some(&outside)).map_err(|refused| refused.why)?;
                fields.into_iter().map(|field| field.lineage).collect()
            }
            Statement::Value(value) => vec![walk.expr(value, &outside).map_err(|refused| refused.why)?.derived()],
            Statement::Whole(_) => return Err(Undecidable::UnknownForm),
        };
        let found = walk.found;
        if !(found.writes.is_empty() && found.plain.is_empty() && found.locks.is_empty()) {
            return Err(Undecidable::UnknownForm);
        }
        Ok(Arc::new(Looked {
            fields,
            reads: found.reads.into_iter().map(|(read, _)| read).collect(),
            calls: found.calls,
            functions: found.functions,
            infers: found.infers,
            copied: found.copied,
            copied_unknown: found.copied_unknown,
        }))
    }
}

enum Statement<'n> {
    Whole(&'n NodeEnum),
    Value(&'n pb::Node),
}

/// The one statement of a body in standard form.
fn standard(node: &NodeEnum) -> Result<Statement<'_>, Undecidable> {
    let NodeEnum::CreateFunctionStmt(create) = node else { return Err(Undecidable::UnknownForm) };
    let mut body = create.sql_body.as_deref();
    // `BEGIN ATOMIC … END` is a list of lists of statements.
    for _ in 0..3 {
        match body.and_then(|node| node.node.as_ref()) {
            Some(NodeEnum::List(list)) => match list.items.as_slice() {
                [only] => body = Some(only),
                _ => return Err(Undecidable::UnknownForm),
            },
            Some(NodeEnum::ReturnStmt(returned)) => {
                return returned.returnval.as_deref().map(Statement::Value).ok_or(Undecidable::UnknownForm);
            }
            Some(other) => return Ok(Statement::Whole(other)),
            None => break,
        }
    }
    Err(Undecidable::UnknownForm)
}
