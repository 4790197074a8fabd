//! What policies read of an HTTP request, found in their text once. The protocol module looks at nothing else: a body that no
//! policy reads streams by, and what it holds does not tell two requests apart.

use std::collections::BTreeSet;
use std::ops::BitOr;
use std::sync::Arc;

use cedar_policy::{EntityUid, Policy, ResourceConstraint};
use serde_json::Value;

use crate::policy::annotation::Remedy;
use crate::policy::load::LoadedPolicy;
use crate::policy::reads::context_path;
use crate::policy::schema::Vocabulary;
use crate::policy::snapshot::Upstream;
use crate::resource::ResourceKind;

/// Which names of a part of a request are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NamesRead {
    /// None.
    #[default]
    None,
    /// These. Never empty.
    Named(BTreeSet<Arc<str>>),
    /// Any: a policy picks the name while it is evaluated.
    All,
}

impl NamesRead {
    /// Is anything read at all?
    pub const fn any(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Is this name read?
    pub fn reads(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::Named(names) => names.contains(name),
            Self::All => true,
        }
    }

    fn one(name: &str) -> Self {
        Self::Named([Arc::from(name)].into())
    }

    fn add(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::All, _) | (_, Self::None) => {}
            (Self::Named(names), Self::Named(more)) => names.extend(more.iter().cloned()),
            (_, other) => *self = other.clone(),
        }
    }
}

/// What the policies about an upstream read of an HTTP request, besides what is always known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpReads {
    /// `context.http.path`.
    pub path: bool,
    /// `context.http.size`.
    pub size: bool,
    /// Parameters of the path template.
    pub parameters: NamesRead,
    /// Pairs of the query.
    pub query: NamesRead,
    /// Texts and truth values of the body.
    pub body: NamesRead,
    /// Numbers of the body, for conditions and for `@limit("sum(…)")`.
    pub amounts: NamesRead,
    /// GraphQL fields that policies with a mask name: `payments/graphql Query.customer.email`, `Query.*.email`. Unlike other
    /// fields they need no class to be masked.
    pub masked: BTreeSet<Arc<str>>,
}

impl HttpReads {
    /// Is the body's field of this name read, as a text or as a number?
    pub fn reads_field(&self, name: &str) -> bool {
        self.body.reads(name) || self.amounts.reads(name)
    }

    /// Everything: what a dry run or a test fills in.
    pub const fn all() -> Self {
        Self {
            path: true,
            size: true,
            parameters: NamesRead::All,
            query: NamesRead::All,
            body: NamesRead::All,
            amounts: NamesRead::All,
            masked: BTreeSet::new(),
        }
    }

    /// What a policy reads. What cannot be looked into reads everything.
    pub(super) fn of(policy: &Policy, remedy: &Remedy) -> Self {
        let mut reads = Self::default();
        let json = policy.to_json().unwrap_or_default();
        match json.get("conditions") {
            Some(conditions) => reads.expression(conditions),
            None => reads = Self::all(),
        }
        if let Remedy::Mask(_) = remedy {
            ["resource", "conditions"].iter().filter_map(|part| json.get(part)).for_each(|part| reads.selections(part));
        }
        if let Remedy::Limit(limited) = remedy {
            for sum in &limited.sums {
                reads.amounts.add(&NamesRead::one(&sum.field));
            }
        }
        reads
    }

    fn expression(&mut self, json: &Value) {
        if let Some(path) = context_path(json) {
            // That there is something to read says nothing of what it holds.
            let asks_presence = json.get("has").is_some() && path.len() == 1;
            if !asks_presence {
                self.along(&path);
            }
            return;
        }
        match json {
            Value::Object(members) => {
                for (operator, operand) in members {
                    let tags = matches!(operator.as_str(), "hasTag" | "getTag");
                    if !(tags && self.tag(operand)) {
                        self.expression(operand);
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.expression(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// `context.body.getTag("currency")`: reads one name. False if it is of another form.
    fn tag(&mut self, operands: &Value) -> bool {
        let path = operands.get("left").and_then(context_path);
        let name = operands.get("right").and_then(|right| right.get("Value")).and_then(Value::as_str);
        let (Some([part]), Some(name)) = (path.as_deref(), name) else { return false };
        match self.names(part) {
            Some(names) => {
                names.add(&NamesRead::one(name));
                true
            }
            None => false,
        }
    }

    /// Notes the GraphQL paths in a policy: as names of fields, at the end of their ids, or in patterns.
    fn selections(&mut self, json: &Value) {
        match json {
            Value::Object(members) => {
                if let Some(pattern) = members.get("pattern").and_then(Value::as_array) {
                    let part = |part: &'_ Value| part.get("Literal").and_then(Value::as_str).unwrap_or("*").to_owned();
                    self.selection(&pattern.iter().map(part).collect::<String>());
                }
                members.values().for_each(|member| self.selections(member));
            }
            Value::Array(items) => items.iter().for_each(|item| self.selections(item)),
            Value::String(text) => self.selection(text),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn selection(&mut self, text: &str) {
        let path = text.rsplit(' ').next().unwrap_or_default();
        if ["Query.", "Mutation.", "Subscription.", "*"].iter().any(|root| path.starts_with(root)) {
            self.masked.insert(text.into());
        }
    }

    fn names(&mut self, part: &str) -> Option<&mut NamesRead> {
        match part {
            "parameters" => Some(&mut self.parameters),
            "query" => Some(&mut self.query),
            "body" => Some(&mut self.body),
            "amounts" => Some(&mut self.amounts),
            _ => None,
        }
    }

    fn along(&mut self, path: &[&str]) {
        match path {
            [] => *self = Self::all(),
            ["http"] => (self.path, self.size) = (true, true),
            ["http", "path", ..] => self.path = true,
            ["http", "size", ..] => self.size = true,
            [part, ..] => {
                if let Some(names) = self.names(part) {
                    *names = NamesRead::All;
                }
            }
        }
    }
}

impl BitOr<&Self> for HttpReads {
    type Output = Self;

    fn bitor(mut self, other: &Self) -> Self {
        self.path |= other.path;
        self.size |= other.size;
        self.parameters.add(&other.parameters);
        self.query.add(&other.query);
        self.body.add(&other.body);
        self.amounts.add(&other.amounts);
        self.masked.extend(other.masked.iter().cloned());
        self
    }
}

/// What the policies that can be about an upstream read.
pub(super) fn of_upstream(vocabulary: &Vocabulary, policies: &[LoadedPolicy], upstream: &Upstream) -> HttpReads {
    policies
        .iter()
        .filter(|policy| may_be_about(vocabulary, &policy.cedar.resource_constraint(), upstream))
        .fold(HttpReads::default(), |all, policy| all | &policy.http_reads)
}

/// Leaves out only what is surely about another upstream.
fn may_be_about(vocabulary: &Vocabulary, constraint: &ResourceConstraint, upstream: &Upstream) -> bool {
    let may_hold = |uid: &EntityUid| {
        let id = uid.id().unescaped();
        if *uid.type_name() == vocabulary.environment {
            id == upstream.environment.as_str()
        } else if Some(uid.type_name()) == vocabulary.kind(ResourceKind::Upstream) {
            id == upstream.name.as_str()
        } else {
            true
        }
    };
    match constraint {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => true,
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => may_hold(uid),
    }
}

#[cfg(test)]
mod tests;
