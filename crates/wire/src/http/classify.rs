//! An HTTP request as operations: one on its endpoint (or its secret), and one for each classed field of the answer, so that a policy
//! can mask it; for GraphQL one for each field that the document selects.
//!
//! What no policy reads is left out of the facts, so that requests that differ in nothing that matters have one shape. A
//! request that belongs to no endpoint, or whose method no action stands for, yields no operation: it is denied.

use std::collections::BTreeMap;
use std::hash::Hash as _;
use std::sync::Arc;

use kernel::facts::{Facts, HttpFacts, Texts};
use kernel::operation::{Action, ActionGroup, Operation};
use kernel::policy::HttpReads;
use kernel::resource::{Resource, ResourceKind};
use kernel::verdict::Mask;
use kernel::workload::Name;

use super::body::BodyFacts;
use super::endpoint::Match;
use super::graphql::{self, Selection};
use super::json_path::JsonPath;
use super::secret_store::Secret;
use crate::digest::Digest;

/// What is known of a request once its head stands in its one form, and its body where a policy reads it.
#[derive(Debug)]
pub struct Request<'r> {
    /// The upstream that the host and the path belong to.
    pub upstream: &'r Name,
    /// The method, in capitals.
    pub method: &'r str,
    /// The host that was asked for, in lower case.
    pub host: &'r str,
    /// The canonical path.
    pub path: &'r str,
    /// Its endpoint.
    pub matched: &'r Match<'r>,
    /// The pairs of the query; needed where a policy reads them.
    pub query: Texts,
    /// What the body says; needed where a policy reads it.
    pub body: BodyFacts,
    /// The GraphQL document; needed where the endpoint takes them.
    pub graphql: Option<&'r Selection>,
    /// The secrets that it asks a secret store for; needed where the endpoint is one of a store.
    pub secrets: &'r [Secret],
    /// The body's size, where the head says it.
    pub size: Option<u64>,
    /// The body's media type, as it came.
    pub content_type: Option<&'r str>,
    /// The protocol that the connection would change to, such as `websocket`.
    pub upgrade: Option<&'r str>,
}

/// Why a request has no operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclassified {
    /// The method has no action.
    #[error("the method of the request is not let through")]
    Method,
    /// The endpoint takes GraphQL, and the document was not read.
    #[error("the endpoint takes graphql, and the request has no document")]
    NoDocument,
    /// The endpoint belongs to a secret store, and the request does not name the secret.
    #[error("the request does not say which secret it wants")]
    NoSecret,
}

/// A request that can be judged.
#[derive(Clone, Debug)]
pub struct Classified {
    /// What is asked. The first is the request itself.
    pub operations: Arc<[Operation]>,
    /// Equal for requests that are equal to policy.
    pub shape: u128,
    /// The template of its path.
    pub template: Arc<str>,
    /// For operations that stand for a field: where it stands in the answer.
    answers: Arc<[(usize, JsonPath)]>,
    /// Whether the answer is GraphQL's, whose errors quote values.
    graphql: bool,
}

impl Classified {
    /// What is replaced in the answer under the masks of a permit's terms.
    ///
    /// A mask on the request itself, which is no field, replaces the whole answer. GraphQL's errors quote values, so they
    /// lose their text where anything is masked (hazards MK07).
    pub fn masks(&self, masks: &[(usize, Mask, Arc<str>)]) -> Vec<(JsonPath, Mask)> {
        let mut paths = Vec::new();
        for (place, mask, _) in masks {
            let before = paths.len();
            let mine = self.answers.iter().filter(|(index, _)| index == place);
            paths.extend(mine.map(|(_, path)| (path.clone(), *mask)));
            if paths.len() == before {
                paths.extend(JsonPath::of(Vec::new()).ok().map(|whole| (whole, *mask)));
            }
        }
        if self.graphql && !paths.is_empty() {
            paths.extend(graphql::quoting_paths().into_iter().map(|path| (path, Mask::Redact)));
        }
        paths
    }

    /// Whether the answer holds a secret, so that nothing of it may be kept.
    pub fn reveals(&self) -> bool {
        self.operations.iter().any(|operation| operation.action.group() == ActionGroup::Reveal)
    }

    /// Where the fields of the answer stand that policy knows by name.
    pub fn answers(&self) -> impl Iterator<Item = (usize, &JsonPath)> {
        self.answers.iter().map(|(place, path)| (*place, path))
    }
}

/// The operations of a request.
///
/// # Errors
/// [`Unclassified`] where it cannot be said what the request does; then it is denied.
pub fn classify(request: &Request<'_>, reads: &HttpReads) -> Result<Classified, Unclassified> {
    let endpoint = request.matched.endpoint;
    let verb = verb(request.method).ok_or(Unclassified::Method)?;
    let action = Action::of_http_endpoint(request.method, endpoint.group).ok_or(Unclassified::Method)?;
    let facts = Arc::new(Facts { http: Some(Arc::new(facts(request, reads))), ..Facts::default() });
    let operation = |action, resource, verb| Operation { action, resource, facts: facts.clone(), verb, span: None };
    let mut answers = Vec::new();
    let mut operations = Vec::with_capacity(1 + endpoint.fields.len());
    if endpoint.graphql {
        let selection = request.graphql.ok_or(Unclassified::NoDocument)?;
        let template = endpoint.template.text();
        operations.push(operation(selection.action, endpoint.resource(request.upstream), selection.verb()));
        for field in &selection.fields {
            let resource = Resource::new(ResourceKind::Field, request.upstream, [template, &field.path]);
            answers.extend(field.answers.iter().map(|path| (operations.len(), path.clone())));
            operations.push(operation(field.action, Arc::new(resource), field.verb()));
        }
    } else {
        if endpoint.secret.is_some() {
            if request.secrets.is_empty() {
                return Err(Unclassified::NoSecret);
            }
            for secret in request.secrets {
                let path = [&*secret.mount, &*secret.path];
                let resource = Resource::new(ResourceKind::Secret, request.upstream, path);
                let group = secret.group.or(endpoint.group);
                let action = Action::of_http_endpoint(request.method, group).ok_or(Unclassified::Method)?;
                operations.push(operation(action, Arc::new(resource), verb));
            }
        } else {
            operations.push(operation(action, endpoint.resource(request.upstream), verb));
        }
        for (field, resource) in endpoint.fields.iter().zip(endpoint.field_resources(request.upstream)) {
            answers.push((operations.len(), field.path.clone()));
            operations.push(operation(Action::HttpField, resource, "read of"));
        }
    }
    Ok(Classified {
        shape: shape(&operations),
        operations: operations.into(),
        template: endpoint.template.text().into(),
        answers: answers.into(),
        graphql: endpoint.graphql,
    })
}

/// What people call a method.
fn verb(method: &str) -> Option<&'static str> {
    ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"].into_iter().find(|known| *known == method)
}

fn facts(request: &Request<'_>, reads: &HttpReads) -> HttpFacts {
    let endpoint = request.matched.endpoint;
    let kept = |read: &dyn Fn(&str) -> bool, all: &Texts| -> Texts {
        all.iter().filter(|(name, _)| read(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let parameters = request.matched.parameters.iter().filter(|(name, _)| reads.parameters.reads(name)).cloned();
    let numbers = request.body.numbers.iter().filter(|(name, _)| reads.amounts.reads(name));
    HttpFacts {
        method: request.method.into(),
        host: request.host.into(),
        path: if reads.path { request.path.into() } else { "".into() },
        template: endpoint.template.text().into(),
        operation: endpoint.id.clone(),
        parameters: parameters.collect(),
        query: kept(&|name| reads.query.reads(name), &request.query),
        texts: kept(&|name| reads.body.reads(name), &request.body.texts),
        numbers: numbers.map(|(name, value)| (name.clone(), *value)).collect::<BTreeMap<_, _>>(),
        size: request.size.filter(|_| reads.size),
        content_type: request.content_type.and_then(essence),
        upgrade: request.upgrade.map(|upgrade| upgrade.to_ascii_lowercase().into()),
        depth: request.graphql.map(|selection| selection.depth),
        cost: request.graphql.map(|selection| selection.cost),
    }
}

/// A media type in lower case, without its parameters. One that is malformed is none.
fn essence(content_type: &str) -> Option<Arc<str>> {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let plain = essence.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/!#$&^_.+-".contains(&byte));
    (plain && essence.contains('/')).then(|| essence.to_ascii_lowercase().into())
}

/// The digest over everything that policy sees of operations.
pub fn shape(operations: &[Operation]) -> u128 {
    let mut digest = Digest::new();
    operations.len().hash(&mut digest);
    let mut last: Option<&Arc<Facts>> = None;
    for operation in operations {
        // Mostly all have the same.
        let facts = Some(&operation.facts).filter(|facts| !last.is_some_and(|last| Arc::ptr_eq(last, facts)));
        facts.hash(&mut digest);
        last = Some(&operation.facts);
        operation.action.hash(&mut digest);
        (operation.resource.kind as u8).hash(&mut digest);
        operation.resource.upstream.hash(&mut digest);
        operation.resource.path.hash(&mut digest);
        operation.verb.hash(&mut digest);
    }
    digest.shape()
}

#[cfg(test)]
mod tests;
