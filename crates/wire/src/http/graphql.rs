//! GraphQL over HTTP (October 2021 edition): which fields a request selects, how deep, and at what cost.
//!
//! `request.rs` reads the envelope, `seek.rs` finds what a mask made, `cost.rs` the limits, `document.rs` the document, by `apollo-parser`, behind caps on its bytes, tokens and depth; what it
//! does not read without an error is refused, and so is what would execute without being in the request (persisted documents) or
//! answer elsewhere than its selection says (`@defer`, `@stream`). A field's real name is what policy sees, and its alias is where its value
//! stands in the answer. Directives that leave fields out are not believed: what could be selected counts.

mod cost;
mod document;
mod request;
mod seek;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kernel::operation::Action;

use super::json_path::{JsonPath, Step};
use super::violation::Violation;

pub use request::{read, read_query};
pub use seek::brings_back;

/// The longest document, in bytes.
pub const LONGEST_DOCUMENT: usize = 256 * 1024;
/// The most tokens of a document, blanks and comments included.
pub const MOST_TOKENS: usize = 20_000;
/// How deep a document may select, and its values may be nested.
pub const DEEPEST_DOCUMENT: usize = 60;
/// The most different fields of a request.
pub const MOST_FIELDS: usize = 512;
/// How deep selection sets may be nested once fragments are spread: by fields, fragments in place, and fragments by name.
pub const DEEPEST_SELECTION: usize = 2 * DEEPEST_DOCUMENT;
/// The most selections of a request, or of a batch in all, once their fragments are spread.
pub const MOST_SELECTIONS: usize = 10_000;
/// The most requests of a batch.
pub const LARGEST_BATCH: usize = 16;

/// Why a request cannot be said to select this or that. Without data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphqlError {
    /// The body is no GraphQL request, or has members that are none of its.
    #[error("the body is no graphql request")]
    Envelope,
    /// The document does not parse, or defines types.
    #[error("the graphql document is malformed")]
    Malformed,
    /// Longer, deeper or wider than the caps.
    #[error("the graphql document is too large or too deep")]
    TooLarge,
    /// None, or more than one, of the document's operations is meant.
    #[error("the graphql request does not say which operation it means")]
    Operation,
    /// A fragment is missing, stands twice, or spreads itself.
    #[error("a fragment of the graphql document is missing, repeated or spreads itself")]
    Fragment,
    /// Something that runs or answers outside of what the document selects: a persisted document, `@defer`, `@stream`.
    #[error("the graphql request uses persisted documents, @defer or @stream")]
    Unsupported,
    /// A mutation by GET.
    #[error("a graphql mutation needs a POST")]
    Method,
}

impl From<GraphqlError> for Violation {
    fn from(error: GraphqlError) -> Self {
        match error {
            GraphqlError::Envelope
            | GraphqlError::Malformed
            | GraphqlError::Operation
            | GraphqlError::Fragment
            | GraphqlError::Unsupported => Self::Body,
            GraphqlError::TooLarge => Self::BodyDepth,
            GraphqlError::Method => Self::Method,
        }
    }
}

/// One field that is selected, under all its aliases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedField {
    /// From the root type by real names: `Query.customer.email`.
    pub path: Arc<str>,
    /// What selecting it does.
    pub action: Action,
    /// Where its values stand in the answer. None for what a mutation changes.
    pub answers: Vec<JsonPath>,
}

/// What a request selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// What the request as a whole does: of a batch, the gravest.
    pub action: Action,
    /// Every field once for each thing that is done with it.
    pub fields: Vec<SelectedField>,
    /// The deepest selection.
    pub depth: u32,
    /// How many fields are selected, lists counted by their limits where an argument says them.
    pub cost: u64,
}

/// How grave an operation is: a batch is as grave as its gravest.
const fn gravity(action: Action) -> u8 {
    match action {
        Action::GraphqlMutate => 2,
        Action::GraphqlSubscribe => 1,
        _ => 0,
    }
}

const fn verb(action: Action) -> &'static str {
    match action {
        Action::GraphqlMutate => "mutation",
        Action::GraphqlSubscribe => "subscription",
        _ => "query",
    }
}

impl SelectedField {
    /// What people call it.
    pub const fn verb(&self) -> &'static str {
        verb(self.action)
    }
}

impl Selection {
    /// What people call it.
    pub const fn verb(&self) -> &'static str {
        verb(self.action)
    }
}

/// A selection while the requests that make it are read.
#[derive(Debug)]
struct Gathered {
    selection: Selection,
    /// Where in the selection a field stands.
    places: HashMap<(Action, Arc<str>), usize>,
    /// Which answers a field has.
    answers: HashSet<(usize, Arc<str>)>,
    /// How many selections there were, in all requests of a batch.
    count: usize,
}

impl Gathered {
    fn nothing() -> Self {
        let selection = Selection { action: Action::GraphqlQuery, fields: Vec::new(), depth: 0, cost: 0 };
        Self { selection, places: HashMap::new(), answers: HashSet::new(), count: 0 }
    }

    /// Counts a selection.
    const fn count(&mut self) -> Result<(), GraphqlError> {
        self.count += 1;
        if self.count > MOST_SELECTIONS { Err(GraphqlError::TooLarge) } else { Ok(()) }
    }

    /// Notes a field; `answer` are the names in the answer that lead to it.
    fn note(&mut self, path: &str, action: Action, answer: Option<&[Arc<str>]>) -> Result<(), GraphqlError> {
        let answer = answer.map(answer_path).transpose()?;
        let path: Arc<str> = path.into();
        let fields = &mut self.selection.fields;
        let place = *self.places.entry((action, Arc::clone(&path))).or_insert(fields.len());
        if place == fields.len() {
            if place >= MOST_FIELDS {
                return Err(GraphqlError::TooLarge);
            }
            fields.push(SelectedField { path, action, answers: Vec::new() });
        }
        if let (Some(field), Some(answer)) = (fields.get_mut(place), answer)
            && self.answers.insert((place, Arc::clone(answer.text())))
        {
            field.answers.push(answer);
        }
        Ok(())
    }

    /// The whole of it.
    fn selection(mut self) -> Selection {
        // Each field stands behind those that lead to it; batches and aliases may have mixed the actions.
        self.selection.fields.sort_by_key(|field| std::cmp::Reverse(gravity(field.action)));
        self.selection
    }
}

/// `$..data.customer.email`: at any depth, because transports of streams wrap answers.
fn answer_path(names: &[Arc<str>]) -> Result<JsonPath, GraphqlError> {
    let mut steps = vec![Step::Deep, Step::Member("data".into())];
    steps.extend(names.iter().map(|name| Step::Member(name.clone())));
    JsonPath::of(steps).map_err(|_| GraphqlError::TooLarge)
}

/// Whether a parameter of a URL would be a part of a GraphQL request.
pub fn is_parameter(name: &str) -> bool {
    ["query", "operationname", "variables", "extensions", "documentid", "doc_id", "id"]
        .contains(&name.to_ascii_lowercase().as_str())
}

/// The parts of an answer that quote values.
pub fn quoting_paths() -> Vec<JsonPath> {
    ["$..errors[*].message", "$..errors[*].extensions", "$.extensions"]
        .iter()
        .filter_map(|path| JsonPath::parse(path).ok())
        .collect()
}

#[cfg(test)]
mod tests;
