//! The document: its operation, its fragments spread, and what they select.

use std::collections::HashMap;
use std::sync::Arc;

use apollo_parser::cst::{self, Definition};
use apollo_parser::{Parser, SyntaxTree};
use kernel::operation::Action;
use serde_json::{Map, Value};

use super::cost::Limits;
use super::request::Answer;
use super::{DEEPEST_DOCUMENT, DEEPEST_SELECTION, Gathered, GraphqlError, MOST_TOKENS, gravity};

/// Adds what a document selects.
pub(super) fn select(
    text: &str,
    name: Option<&str>,
    variables: &Map<String, Value>,
    into: &mut Gathered,
) -> Result<(), GraphqlError> {
    let tree = parse(text)?;
    let (mut fragments, mut operations) = (HashMap::new(), Vec::new());
    for definition in tree.document().definitions() {
        match definition {
            Definition::OperationDefinition(operation) => operations.push(operation),
            Definition::FragmentDefinition(fragment) => {
                let name = fragment.fragment_name().and_then(|name| name.name()).ok_or(GraphqlError::Malformed)?;
                if fragments.insert(name.text().to_string(), fragment).is_some() {
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
    if gravity(action) > gravity(into.selection.action) {
        into.selection.action = action;
    }
    let root = match action {
        Action::GraphqlMutate => "Mutation",
        Action::GraphqlSubscribe => "Subscription",
        _ => "Query",
    };
    let set = operation.selection_set().ok_or(GraphqlError::Malformed)?;
    let mut walk = Walk { fragments, limits: Limits::of(&operation, variables), spread: Vec::new(), into };
    let root = Place { path: root.to_owned(), answer: Vec::new(), action, depth: 0, nested: 0, each: 1, named: true };
    walk.selections(&set, &root)
}

/// Parses a document within the caps.
pub(super) fn parse(text: &str) -> Result<SyntaxTree, GraphqlError> {
    if nesting(text) > DEEPEST_DOCUMENT {
        return Err(GraphqlError::TooLarge);
    }
    let tree = Parser::new(text).token_limit(MOST_TOKENS).recursion_limit(DEEPEST_DOCUMENT * 2).parse();
    if tree.errors().len() > 0 {
        let limited = tree.errors().any(apollo_parser::Error::is_limit);
        return Err(if limited { GraphqlError::TooLarge } else { GraphqlError::Malformed });
    }
    Ok(tree)
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
    /// In how many selection sets, those of fragments among them.
    nested: usize,
    /// How often it is selected, by the limits of the lists around it.
    each: u64,
    /// Whether its fields are operations of their own; those of introspection are not.
    named: bool,
}

struct Walk<'w> {
    fragments: HashMap<String, cst::FragmentDefinition>,
    limits: Limits<'w>,
    spread: Vec<String>,
    into: &'w mut Gathered,
}

impl Walk<'_> {
    /// Recursion is bounded by `nested`: each fragment may nest as deep as a text may, and fragments lead to fragments.
    fn selections(&mut self, set: &cst::SelectionSet, place: &Place) -> Result<(), GraphqlError> {
        if place.depth + self.spread.len() > DEEPEST_DOCUMENT || place.nested > DEEPEST_SELECTION {
            return Err(GraphqlError::TooLarge);
        }
        let within = || Place { nested: place.nested + 1, ..place.clone() };
        for selection in set.selections() {
            self.into.count()?;
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
                    self.selections(&set, &within())?;
                    self.spread.pop();
                }
                cst::Selection::InlineFragment(fragment) => {
                    refuse_incremental(fragment.directives())?;
                    let set = fragment.selection_set().ok_or(GraphqlError::Malformed)?;
                    self.selections(&set, &within())?;
                }
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &cst::Field, place: &Place) -> Result<(), GraphqlError> {
        refuse_incremental(field.directives())?;
        let name = field.name().ok_or(GraphqlError::Malformed)?.text().to_string();
        let depth = place.depth + 1;
        let selection = &mut self.into.selection;
        selection.cost = selection.cost.saturating_add(place.each);
        selection.depth = selection.depth.max(u32::try_from(depth).unwrap_or(u32::MAX));
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
        let each = place.each.saturating_mul(self.limits.of_field(field));
        self.selections(&set, &Place { path, answer, action, depth, nested: place.nested + 1, each, named })
    }
}
