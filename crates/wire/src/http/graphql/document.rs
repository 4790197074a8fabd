//! The document: its operation, its fragments spread, and what they select.

use std::collections::HashMap;
use std::sync::Arc;

use apollo_parser::Parser;
use apollo_parser::cst::{self, CstNode, Definition};
use kernel::operation::Action;
use serde_json::{Map, Value};

use super::request::Answer;
use super::{DEEPEST_DOCUMENT, GraphqlError, MOST_SELECTIONS, MOST_TOKENS, Selection, gravity};

/// Arguments that say how long a list may be.
const LIMITS: [&str; 8] = ["first", "last", "limit", "take", "size", "count", "pageSize", "perPage"];

/// Adds what a document selects.
pub(super) fn select(
    text: &str,
    name: Option<&str>,
    variables: &Map<String, Value>,
    into: &mut Selection,
) -> Result<(), GraphqlError> {
    if nesting(text) > DEEPEST_DOCUMENT {
        return Err(GraphqlError::TooLarge);
    }
    let tree = Parser::new(text).token_limit(MOST_TOKENS).recursion_limit(DEEPEST_DOCUMENT * 2).parse();
    if tree.errors().len() > 0 {
        let limited = tree.errors().any(apollo_parser::Error::is_limit);
        return Err(if limited { GraphqlError::TooLarge } else { GraphqlError::Malformed });
    }
    let mut walk = Walk { fragments: HashMap::new(), variables, spread: Vec::new(), selections: 0, into };
    let mut operations = Vec::new();
    for definition in tree.document().definitions() {
        match definition {
            Definition::OperationDefinition(operation) => operations.push(operation),
            Definition::FragmentDefinition(fragment) => {
                let name = fragment.fragment_name().and_then(|name| name.name()).ok_or(GraphqlError::Malformed)?;
                if walk.fragments.insert(name.text().to_string(), fragment).is_some() {
                    return Err(GraphqlError::Fragment);
                }
            }
            _ => return Err(GraphqlError::Malformed),
        }
    }
    let operation = choose(operations, name)?;
    let action = match operation.operation_type() {
        Some(kind) if kind.mutation_token().is_some() => Action::GraphqlMutate,
        Some(kind) if kind.subscription_token().is_some() => Action::GraphqlSubscribe,
        Some(_) | None => Action::GraphqlQuery,
    };
    refuse_incremental(operation.directives())?;
    if gravity(action) > gravity(walk.into.action) {
        walk.into.action = action;
    }
    let root = match action {
        Action::GraphqlMutate => "Mutation",
        Action::GraphqlSubscribe => "Subscription",
        _ => "Query",
    };
    let set = operation.selection_set().ok_or(GraphqlError::Malformed)?;
    walk.selections(&set, &Place { path: root.to_owned(), answer: Vec::new(), action, depth: 0, each: 1, named: true })
}

/// The one operation that is meant.
fn choose(
    operations: Vec<cst::OperationDefinition>,
    name: Option<&str>,
) -> Result<cst::OperationDefinition, GraphqlError> {
    let named = |operation: &cst::OperationDefinition| operation.name().map(|name| name.text().to_string());
    let names: Vec<Option<String>> = operations.iter().map(named).collect();
    // One name for two operations, or one without a name beside others, is invalid; servers differ in what they make of it.
    let unique = names.iter().enumerate().all(|(place, name)| !names.iter().take(place).any(|before| before == name));
    if !unique || (names.len() > 1 && names.contains(&None)) {
        return Err(GraphqlError::Operation);
    }
    let mut meant = operations.into_iter().filter(|operation| name.is_none() || named(operation).as_deref() == name);
    match (meant.next(), meant.next()) {
        (Some(operation), None) => Ok(operation),
        _ => Err(GraphqlError::Operation),
    }
}

/// How deep brackets of any sort are nested, strings and comments left out: before anything recurses.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'{' | b'[' | b'(' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            b'#' => {
                let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                rest = rest.get(end..).unwrap_or_default();
            }
            b'"' => rest = behind_string(rest),
            _ => {}
        }
    }
    deepest
}

/// What stands behind a string, whose first quotation mark was taken.
fn behind_string(text: &[u8]) -> &[u8] {
    if let Some(mut rest) = text.strip_prefix(b"\"\"") {
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix(b"\\\"\"\"") {
                rest = after;
            } else if let Some(after) = rest.strip_prefix(b"\"\"\"") {
                return after;
            } else {
                rest = rest.get(1..).unwrap_or_default();
            }
        }
        return rest;
    }
    let mut rest = text;
    loop {
        match rest {
            [b'\\', _, after @ ..] => rest = after,
            [b'"' | b'\n' | b'\r', after @ ..] => return after,
            [_, after @ ..] => rest = after,
            [] => return rest,
        }
    }
}

fn refuse_incremental(directives: Option<cst::Directives>) -> Result<(), GraphqlError> {
    let mut names = directives.into_iter().flat_map(|all| all.directives()).filter_map(|one| one.name());
    match names.any(|name| matches!(name.text().as_str(), "defer" | "stream")) {
        true => Err(GraphqlError::Unsupported),
        false => Ok(()),
    }
}

/// Where a selection set stands.
#[derive(Clone)]
struct Place {
    path: String,
    answer: Answer,
    action: Action,
    depth: usize,
    /// How often it is selected, by the limits of the lists around it.
    each: u64,
    /// Whether its fields are operations of their own; those of introspection are not.
    named: bool,
}

struct Walk<'w> {
    fragments: HashMap<String, cst::FragmentDefinition>,
    variables: &'w Map<String, Value>,
    spread: Vec<String>,
    selections: usize,
    into: &'w mut Selection,
}

impl Walk<'_> {
    /// Recursion is bounded by `depth` and by the fragments that are open, each once.
    fn selections(&mut self, set: &cst::SelectionSet, place: &Place) -> Result<(), GraphqlError> {
        if place.depth + self.spread.len() > DEEPEST_DOCUMENT {
            return Err(GraphqlError::TooLarge);
        }
        for selection in set.selections() {
            self.selections += 1;
            if self.selections > MOST_SELECTIONS {
                return Err(GraphqlError::TooLarge);
            }
            match selection {
                cst::Selection::Field(field) => self.field(&field, place)?,
                cst::Selection::FragmentSpread(spread) => {
                    refuse_incremental(spread.directives())?;
                    let name = spread.fragment_name().and_then(|name| name.name()).ok_or(GraphqlError::Malformed)?;
                    let name = name.text().to_string();
                    if self.spread.contains(&name) {
                        return Err(GraphqlError::Fragment);
                    }
                    let fragment = self.fragments.get(&name).ok_or(GraphqlError::Fragment)?;
                    refuse_incremental(fragment.directives())?;
                    let set = fragment.selection_set().ok_or(GraphqlError::Malformed)?;
                    self.spread.push(name);
                    self.selections(&set, place)?;
                    self.spread.pop();
                }
                cst::Selection::InlineFragment(fragment) => {
                    refuse_incremental(fragment.directives())?;
                    let set = fragment.selection_set().ok_or(GraphqlError::Malformed)?;
                    self.selections(&set, &Place { depth: place.depth, ..place.clone() })?;
                }
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &cst::Field, place: &Place) -> Result<(), GraphqlError> {
        refuse_incremental(field.directives())?;
        let name = field.name().ok_or(GraphqlError::Malformed)?.text().to_string();
        let depth = place.depth + 1;
        self.into.cost = self.into.cost.saturating_add(place.each);
        self.into.depth = self.into.depth.max(u32::try_from(depth).unwrap_or(u32::MAX));
        if name == "__typename" {
            return Ok(());
        }
        let mut answer = place.answer.clone();
        let alias = field.alias().and_then(|alias| alias.name()).map(|alias| alias.text().to_string());
        answer.push(Arc::from(alias.unwrap_or_else(|| name.clone())));
        let path = format!("{}.{name}", place.path);
        let set = field.selection_set();
        if place.named {
            let changes = place.action == Action::GraphqlMutate;
            if changes {
                self.into.note(&path, Action::GraphqlMutate, None)?;
            }
            // What a mutation answers is read: its fields, or the value itself if it has none.
            if !changes || set.is_none() {
                let action = if changes { Action::GraphqlQuery } else { place.action };
                self.into.note(&path, action, Some(&answer))?;
            }
        }
        let Some(set) = set else { return Ok(()) };
        let action = if place.action == Action::GraphqlMutate { Action::GraphqlQuery } else { place.action };
        let named = place.named && !name.starts_with("__");
        let each = place.each.saturating_mul(self.limit(field));
        self.selections(&set, &Place { path, answer, action, depth, each, named })
    }

    /// How long the list of a field may be, if an argument says so.
    fn limit(&self, field: &cst::Field) -> u64 {
        let arguments = field.arguments().into_iter().flat_map(|arguments| arguments.arguments());
        let limits = arguments.filter_map(|argument| {
            let name = argument.name()?.text().to_string();
            if !LIMITS.contains(&name.as_str()) {
                return None;
            }
            match argument.value()? {
                cst::Value::IntValue(value) => value.syntax().text().to_string().trim().parse::<u64>().ok(),
                cst::Value::Variable(variable) => {
                    self.variables.get(variable.name()?.text().as_str()).and_then(Value::as_u64)
                }
                _ => None,
            }
        });
        limits.max().unwrap_or(1).max(1)
    }
}
