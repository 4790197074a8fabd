//! What one link of a task allows: the `authorization_details` of its token, read strictly. An unknown type, member or
//! action is refused, since whoever wrote it meant something by it.
//!
//! Several objects allow what any of them allows; goal, run, commit and limits are the task's as a whole, so wherever they
//! stand they must agree.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Bound, Wider};
use crate::operation::{Action, ActionGroup, Operation};
use crate::resource::ResourceKind;
use crate::workload::Name;

/// The type of its objects.
const TYPE: &str = "parapet_task";
/// The most objects.
pub const MOST_SCOPES: usize = 8;
/// The most upstreams or actions of an object.
const MOST_NAMES: usize = 32;
/// The longest goal, in bytes.
const LONGEST_GOAL: usize = 500;
/// The longest run, commit or identifier, in bytes.
const LONGEST_TEXT: usize = 256;

/// What one link of a task allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// An operation must lie inside one of them. Empty: it may be any.
    pub scopes: Vec<Scope>,
    /// What it is for, in the words of whoever asked.
    pub goal: Option<Arc<str>>,
    /// The run that it belongs to, such as `github:9912/1`.
    pub run: Option<Arc<str>>,
    /// The commit that the run is of.
    pub commit: Option<Arc<str>>,
    /// How much in all.
    pub limits: Limits,
}

/// How much a task may do in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Rows that may leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Requests that may pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u64>,
}

impl Limits {
    fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What may be done to what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The upstreams; none: any.
    pub locations: Option<BTreeSet<Name>>,
    /// Actions and groups of actions, by the words of policies; none: any.
    pub actions: Option<BTreeSet<Arc<str>>>,
    /// The names from the database downwards of the resource, with everything in it; none: any.
    pub identifier: Option<Vec<Arc<str>>>,
}

/// `authorization_details` that say nothing that can be held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDetails {
    /// No list of objects, or too long, or a member that is unknown or of another type.
    #[error("it is not a list of 1 to {MOST_SCOPES} objects with the members of a task")]
    Form,
    /// An object of another type.
    #[error("its type is not `{TYPE}`")]
    Type,
    /// An upstream that cannot be one.
    #[error("a location is no upstream's name")]
    Location,
    /// An action that no policy knows.
    #[error("an action is none that policies know")]
    Action,
    /// A resource that cannot be one.
    #[error("the identifier is no path of names from the database downwards")]
    Identifier,
    /// Text that is empty, too long, or has control characters.
    #[error("a text is empty, too long, or has control characters")]
    Text,
    /// Two objects say different things of the task as a whole.
    #[error("two objects differ in goal, run, commit or limits")]
    Disagreement,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    locations: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actions: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identifier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    goal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    #[serde(default, skip_serializing_if = "Limits::are_none")]
    limits: Limits,
}

impl Details {
    /// Reads `authorization_details` (RFC 9396, section 2).
    pub fn read(value: &Value) -> Result<Self, InvalidDetails> {
        let objects = Vec::<Object>::deserialize(value).map_err(|_| InvalidDetails::Form)?;
        Self::of(objects)
    }

    /// Reads the same from text, in which no member may stand twice.
    pub fn parse(text: &str) -> Result<Self, InvalidDetails> {
        let objects: Vec<Object> = serde_json::from_str(text).map_err(|_| InvalidDetails::Form)?;
        Self::of(objects)
    }

    fn of(objects: Vec<Object>) -> Result<Self, InvalidDetails> {
        if objects.is_empty() || objects.len() > MOST_SCOPES {
            return Err(InvalidDetails::Form);
        }
        let mut details = Self::default();
        for object in objects {
            if object.kind != TYPE {
                return Err(InvalidDetails::Type);
            }
            details.scopes.push(scope(object.locations, object.actions, object.identifier.as_deref())?);
            agree(&mut details.goal, object.goal, LONGEST_GOAL)?;
            agree(&mut details.run, object.run, LONGEST_TEXT)?;
            agree(&mut details.commit, object.commit, LONGEST_TEXT)?;
            if !object.limits.are_none() {
                if !details.limits.are_none() && details.limits != object.limits {
                    return Err(InvalidDetails::Disagreement);
                }
                details.limits = object.limits;
            }
        }
        // An object that bounds nothing allows all, and so do all of them together.
        Ok(details)
    }

    /// As a token carries them.
    pub fn value(&self) -> Value {
        let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        let any = [Scope::default()];
        let scopes = if self.scopes.is_empty() { &any[..] } else { &self.scopes };
        let object = |(place, scope): (usize, &Scope)| {
            let first = place == 0;
            let whole = |part: &Option<Arc<str>>| text(part).filter(|_| first);
            let names = |names: &BTreeSet<Name>| names.iter().map(|name| name.as_str().to_owned()).collect();
            let words = |words: &BTreeSet<Arc<str>>| words.iter().map(|word| word.as_ref().to_owned()).collect();
            serde_json::to_value(Object {
                kind: TYPE.to_owned(),
                locations: scope.locations.as_ref().map(names),
                actions: scope.actions.as_ref().map(words),
                identifier: scope.identifier.as_deref().map(written),
                goal: whole(&self.goal),
                run: whole(&self.run),
                commit: whole(&self.commit),
                limits: if first { self.limits } else { Limits::default() },
            })
            .unwrap_or_default()
        };
        Value::Array(scopes.iter().enumerate().map(object).collect())
    }

    /// Does it allow no more than `parent`? If not, in what it is wider.
    pub fn within(&self, parent: &Self) -> Result<(), Wider> {
        let scopes_fit = parent.scopes.is_empty()
            || (!self.scopes.is_empty()
                && self.scopes.iter().all(|scope| parent.scopes.iter().any(|wider| scope.within(wider))));
        if !scopes_fit {
            return Err(Wider::Scope);
        }
        let fits = |own: Option<u64>, limit: Option<u64>| match (own, limit) {
            (_, None) => true,
            (Some(own), Some(limit)) => own <= limit,
            (None, Some(_)) => false,
        };
        if !fits(self.limits.rows, parent.limits.rows) || !fits(self.limits.uses, parent.limits.uses) {
            return Err(Wider::Limits);
        }
        // Who narrows cannot know better of which run it is.
        let same = |own: &Option<Arc<str>>, known: &Option<Arc<str>>| own.is_none() || own == known;
        if same(&self.run, &parent.run) && same(&self.commit, &parent.commit) { Ok(()) } else { Err(Wider::Run) }
    }

    /// Which bound an operation breaks; none if it lies inside. Of several objects, that which came nearest says so.
    pub(crate) fn outside(&self, operation: &Operation) -> Option<Bound> {
        let mut nearest = None;
        for scope in &self.scopes {
            match scope.outside(operation) {
                None => return None,
                broken => nearest = nearest.max(broken),
            }
        }
        nearest
    }
}

fn scope(
    locations: Option<Vec<String>>,
    actions: Option<Vec<String>>,
    identifier: Option<&str>,
) -> Result<Scope, InvalidDetails> {
    let counted = |list: &Option<Vec<String>>| list.as_ref().is_none_or(|list| (1..=MOST_NAMES).contains(&list.len()));
    if !counted(&locations) || !counted(&actions) {
        return Err(InvalidDetails::Form);
    }
    let name = |text: String| text.parse().map_err(|_| InvalidDetails::Location);
    let locations = locations.map(|list| list.into_iter().map(name).collect::<Result<_, _>>()).transpose()?;
    let word = |text: String| {
        let known = Action::named(&text).is_some() || ActionGroup::ALL.iter().any(|group| group.as_str() == text);
        if known { Ok(Arc::from(text)) } else { Err(InvalidDetails::Action) }
    };
    let actions = actions.map(|list| list.into_iter().map(word).collect::<Result<_, _>>()).transpose()?;
    let identifier = identifier.map(|text| path(text).ok_or(InvalidDetails::Identifier)).transpose()?;
    Ok(Scope { locations, actions, identifier })
}

fn agree(known: &mut Option<Arc<str>>, said: Option<String>, longest: usize) -> Result<(), InvalidDetails> {
    let Some(said) = said else { return Ok(()) };
    if said.trim().is_empty() || said.len() > longest || said.chars().any(char::is_control) {
        return Err(InvalidDetails::Text);
    }
    match known {
        Some(known) if **known != *said => Err(InvalidDetails::Disagreement),
        Some(_) => Ok(()),
        None => {
            *known = Some(said.into());
            Ok(())
        }
    }
}

impl Scope {
    fn within(&self, wider: &Self) -> bool {
        let locations = match (&self.locations, &wider.locations) {
            (_, None) => true,
            (Some(own), Some(wider)) => own.is_subset(wider),
            (None, Some(_)) => false,
        };
        let allowed = |wider: &BTreeSet<Arc<str>>, word: &Arc<str>| {
            let group = Action::named(word).map(|action| action.group().as_str());
            wider.contains(word) || group.is_some_and(|group| wider.contains(group))
        };
        let actions = match (&self.actions, &wider.actions) {
            (_, None) => true,
            (Some(own), Some(wider)) => own.iter().all(|word| allowed(wider, word)),
            (None, Some(_)) => false,
        };
        let identifier = match (&self.identifier, &wider.identifier) {
            (_, None) => true,
            (Some(own), Some(wider)) => own.starts_with(wider),
            (None, Some(_)) => false,
        };
        locations && actions && identifier
    }

    fn outside(&self, operation: &Operation) -> Option<Bound> {
        let resource = &operation.resource;
        if self.locations.as_ref().is_some_and(|names| !names.contains(&resource.upstream)) {
            return Some(Bound::Location);
        }
        // What opens and steers a session is policy's business; without it a task could do nothing at all.
        // A tunnel is no session: it leads anywhere.
        if operation.action.group() == ActionGroup::Connect && operation.action != Action::HttpTunnel {
            return None;
        }
        // `SELECT 1` asks nothing of any relation; what functions it calls has operations of its own.
        if operation.action == Action::SqlSelect
            && resource.kind == ResourceKind::Database
            && self.identifier.as_ref().is_none_or(|identifier| identifier.starts_with(&resource.path))
        {
            return None;
        }
        let allowed = |words: &BTreeSet<Arc<str>>| {
            words.contains(operation.action.as_str()) || words.contains(operation.action.group().as_str())
        };
        // A field of a response is not asked for: the request that it answers has an operation of its own.
        let asked = operation.action != Action::HttpField;
        if asked && self.actions.as_ref().is_some_and(|words| !allowed(words)) {
            return Some(Bound::Action);
        }
        let Some(identifier) = &self.identifier else { return None };
        // Reading a column reads its table's rows; each column that is read has an operation of its own.
        let of_column = resource.kind == ResourceKind::Table && operation.action == Action::SqlSelect;
        if of_column && identifier.starts_with(&resource.path) {
            return None;
        }
        // Below a database, roles and settings have a path of their own kind, which names no schema.
        let named_alike = resource.kind == ResourceKind::Object && identifier.len() > 1;
        (named_alike || !resource.path.starts_with(identifier)).then_some(Bound::Resource)
    }
}

/// Reads `shop.public.orders`; a name that holds a dot or a quote stands in double quotes, as in policies. Or an endpoint of
/// an HTTP API, by its template: `/v1/refunds/{id}`.
fn path(text: &str) -> Option<Vec<Arc<str>>> {
    const DEEPEST: usize = 4;
    if text.len() > LONGEST_TEXT || text.chars().any(char::is_control) {
        return None;
    }
    if text.starts_with('/') {
        return (!text.contains(['"', ' '])).then(|| vec![Arc::from(text)]);
    }
    let mut names: Vec<Arc<str>> = Vec::new();
    let mut rest = text;
    loop {
        let (name, after) = match rest.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                let (name, after) = rest.split_at_checked(end)?;
                let plain = !name.is_empty() && !name.contains(['"', '*', '/']);
                (plain.then(|| name.to_owned())?, after)
            }
        };
        names.push(name.into());
        if after.is_empty() {
            return (names.len() <= DEEPEST).then_some(names);
        }
        rest = after.strip_prefix('.')?;
    }
}

/// What stands in double quotes, and what comes after them.
fn unquoted(quoted: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (part, after) = rest.split_once('"')?;
        name.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

fn written(path: &[Arc<str>]) -> String {
    if let [template] = path
        && template.starts_with('/')
        && !template.contains(['"', ' '])
    {
        return template.as_ref().to_owned();
    }
    let names: Vec<String> = path
        .iter()
        .map(|name| match name.is_empty() || name.contains(['.', '/', '"', '*']) {
            true => format!("\"{}\"", name.replace('"', "\"\"")),
            false => name.as_ref().to_owned(),
        })
        .collect();
    names.join(".")
}
