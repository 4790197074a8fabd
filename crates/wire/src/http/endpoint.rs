//! The endpoints of an HTTP upstream: which template a method and a path belong to, what its parameters are, and what is
//! known of its bodies.
//!
//! Endpoints come from an OpenAPI document (`openapi.rs`) and from the configuration; [`merge`] puts the two together.
//! Templates are matched segment by segment against the canonical path that is also what is sent, literals before patterns. What no
//! template names belongs to `/**`, where the configuration allows that, and to nothing otherwise.

mod template;
mod tree;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use kernel::operation::ActionGroup;
use kernel::resource::{Resource, ResourceKind};
use kernel::workload::Name;

use super::body::BodyField;
use super::json_path::JsonPath;
use super::secret_store::SecretPlace;
use tree::Tree;

pub use template::{Template, TemplateError};

/// The method of an endpoint that takes any.
pub const ANY_METHOD: &str = "*";
/// The template of what no other names.
pub const UNLISTED: &str = "/**";
/// The most endpoints of one upstream.
pub const MOST_ENDPOINTS: usize = 20_000;

/// A field of a response that has classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where it stands in the body.
    pub path: JsonPath,
    /// Its classes, sorted; may be empty for one that only has a name for policy.
    pub classes: Vec<Arc<str>>,
}

/// One endpoint of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The configuration's `id`, or the document's `operationId`.
    pub id: Option<Arc<str>>,
    /// In capitals, or [`ANY_METHOD`].
    pub method: Arc<str>,
    /// The paths that it has.
    pub template: Template,
    /// What it does, where its method does not say so.
    pub group: Option<ActionGroup>,
    /// The fields of the request's body that policy can read.
    pub body: Vec<BodyField>,
    /// The fields of the response that have classes.
    pub fields: Vec<Field>,
    /// Whether it takes GraphQL documents.
    pub graphql: bool,
    /// The paths with classes of what such documents select, such as `Query.customer.email`; `*` stands for names.
    pub selections: Vec<Arc<str>>,
    /// Where a request names its secret, if the upstream is a secret store.
    pub secret: Option<SecretPlace>,
    resource: Option<Arc<Resource>>,
    field_resources: Vec<Arc<Resource>>,
}

impl Endpoint {
    /// An endpoint of which no more is known.
    pub fn new(method: &str, template: Template) -> Self {
        Self {
            id: None,
            method: method.into(),
            template,
            group: None,
            body: Vec::new(),
            fields: Vec::new(),
            graphql: false,
            selections: Vec::new(),
            secret: None,
            resource: None,
            field_resources: Vec::new(),
        }
    }

    /// Its place in the tree of resources.
    pub fn resource(&self, upstream: &Name) -> Arc<Resource> {
        match &self.resource {
            Some(resource) => resource.clone(),
            None => Arc::new(Resource::new(ResourceKind::Endpoint, upstream, [self.template.text()])),
        }
    }

    /// The places of its classed fields, as many as `fields`.
    pub fn field_resources(&self, upstream: &Name) -> Vec<Arc<Resource>> {
        if self.field_resources.len() == self.fields.len() {
            return self.field_resources.clone();
        }
        let template = self.template.text();
        let place = |field: &Field| {
            Arc::new(Resource::new(ResourceKind::Field, upstream, [template, field.path.text().as_ref()]))
        };
        self.fields.iter().map(place).collect()
    }

    /// Adds fields; those of one path have the classes of both.
    fn add_fields(&mut self, fields: &[Field]) {
        for field in fields {
            match self.fields.iter_mut().find(|own| own.path == field.path) {
                Some(own) => {
                    own.classes.extend(field.classes.iter().cloned());
                    own.classes.sort();
                    own.classes.dedup();
                }
                None => self.fields.push(field.clone()),
            }
        }
    }

    fn takes(&self, method: &str) -> bool {
        &*self.method == ANY_METHOD || &*self.method == method
    }

    fn settle(mut self, upstream: &Name) -> Arc<Self> {
        self.field_resources.clear();
        self.resource = None;
        self.resource = Some(self.resource(upstream));
        self.field_resources = self.field_resources(upstream);
        Arc::new(self)
    }
}

/// What becomes of paths that no template names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// They are no endpoint, and denied.
    Deny,
    /// They are the endpoint `/**`.
    Allow,
}

/// Why endpoints cannot stand beside each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// One method and one form of path, twice.
    #[error("`{method} {template}` is the same endpoint as `{other}`")]
    Twice {
        /// The method of both.
        method: Arc<str>,
        /// The later template.
        template: Arc<str>,
        /// The earlier one.
        other: Arc<str>,
    },
    /// More than [`MOST_ENDPOINTS`].
    #[error("an upstream has at most {MOST_ENDPOINTS} endpoints")]
    TooMany,
    /// The template of a constant is refused, which cannot happen.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// A path that belongs to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match<'e> {
    /// The endpoint.
    pub endpoint: &'e Arc<Endpoint>,
    /// The parameters of its template, by name, decoded.
    pub parameters: Vec<(Arc<str>, Arc<str>)>,
    /// Whether the path is on no list and belongs to `/**`.
    pub unlisted: bool,
}

/// All endpoints of one upstream.
#[derive(Debug)]
pub struct Endpoints {
    tree: Tree,
    all: Vec<Arc<Endpoint>>,
    /// For the first endpoint of each form of path: that of the other methods.
    others: HashMap<usize, Arc<Endpoint>>,
    unlisted: Option<Arc<Endpoint>>,
}

impl Endpoints {
    /// The endpoints of `upstream`.
    ///
    /// # Errors
    /// [`EndpointError`] if two are the same, or there are too many.
    pub fn new(upstream: &Name, listed: Vec<Endpoint>, unlisted: Unlisted) -> Result<Self, EndpointError> {
        Self::with_fields(upstream, listed, unlisted, &[])
    }

    /// The endpoints of `upstream`, of which each may answer with the fields `everywhere`: those of paths and methods that
    /// are not listed, too.
    ///
    /// # Errors
    /// [`EndpointError`] if two are the same, or there are too many.
    pub fn with_fields(
        upstream: &Name,
        listed: Vec<Endpoint>,
        unlisted: Unlisted,
        everywhere: &[Field],
    ) -> Result<Self, EndpointError> {
        if listed.len() > MOST_ENDPOINTS {
            return Err(EndpointError::TooMany);
        }
        let catch_all = || -> Result<_, EndpointError> {
            let mut endpoint = Endpoint::new(ANY_METHOD, Template::parse(UNLISTED)?);
            endpoint.add_fields(everywhere);
            Ok(endpoint.settle(upstream))
        };
        let mut endpoints = Self {
            tree: Tree::default(),
            all: Vec::new(),
            others: HashMap::new(),
            unlisted: if unlisted == Unlisted::Allow { Some(catch_all()?) } else { None },
        };
        for mut endpoint in listed {
            endpoint.add_fields(everywhere);
            let endpoint = endpoint.settle(upstream);
            let leaf = endpoints.tree.insert(endpoint.template.segments(), endpoints.all.len());
            let mut known = leaf.iter().filter_map(|place| endpoints.all.get(*place));
            if let Some(known) = known.find(|known| known.method == endpoint.method) {
                let (method, template) = (endpoint.method.clone(), endpoint.template.text().into());
                return Err(EndpointError::Twice { method, template, other: known.template.text().into() });
            }
            endpoints.all.push(endpoint);
        }
        for leaf in endpoints.tree.leaves() {
            let of_path: Vec<&Arc<Endpoint>> = leaf.iter().filter_map(|place| endpoints.all.get(*place)).collect();
            if let (Some(place), Some(first)) = (leaf.first(), of_path.first()) {
                // Whatever a listed method may answer with, another may, too.
                let mut other = Endpoint::new(ANY_METHOD, first.template.clone());
                of_path.iter().for_each(|endpoint| other.add_fields(&endpoint.fields));
                endpoints.others.insert(*place, other.settle(upstream));
            }
        }
        Ok(endpoints)
    }

    /// Every endpoint that is listed.
    pub fn all(&self) -> &[Arc<Endpoint>] {
        &self.all
    }

    /// Whether paths that no template names pass as `/**`.
    pub const fn allows_unlisted(&self) -> bool {
        self.unlisted.is_some()
    }

    /// The endpoint of a method and of the decoded segments of a canonical path, which has none for `/`.
    ///
    /// HEAD is GET where it is not listed by itself. A slash at the end makes no difference, because it makes none to
    /// most servers. Where unlisted paths pass, another method of a listed path is an endpoint of that path's template. A path that is
    /// listed but for its case, or for dots and blanks at the end of a segment, is none, whatever else would take it: a server that does
    /// not tell them apart would serve the one that is listed.
    pub fn find(&self, method: &str, segments: &[&str]) -> Option<Match<'_>> {
        let bare = match segments.split_last() {
            Some((&"", rest)) => rest,
            _ => segments,
        };
        let wanted = |leaf: &[usize]| {
            let of = |method: &str| {
                let exact = |place: &&usize| self.all.get(**place).is_some_and(|one| &*one.method == method);
                let any = |place: &&usize| self.all.get(**place).is_some_and(|one| one.takes(method));
                leaf.iter().find(exact).or_else(|| leaf.iter().find(any)).copied()
            };
            of(method).or_else(|| if method == "HEAD" { of("GET") } else { None })
        };
        if let Some((place, captured)) = self.tree.find(bare, &wanted) {
            if !captured.is_empty() && self.tree.is_another_to_some(bare) {
                return None;
            }
            return Some(matched(self.all.get(place)?, captured));
        }
        let unlisted = self.unlisted.as_ref()?;
        if let Some((place, captured)) = self.tree.find(bare, &|leaf: &[usize]| leaf.first().copied()) {
            return Some(matched(self.others.get(&place)?, captured));
        }
        if self.tree.holds_but_for_spelling(bare) {
            return None;
        }
        Some(Match { endpoint: unlisted, parameters: Vec::new(), unlisted: true })
    }
}

fn matched<'e>(endpoint: &'e Arc<Endpoint>, captured: Vec<Cow<'_, str>>) -> Match<'e> {
    let names = endpoint.template.parameters();
    let parameters = names.zip(captured).filter_map(|(name, value)| Some((name?.clone(), value.into()))).collect();
    Match { endpoint, parameters, unlisted: false }
}

/// What a document describes with what the configuration says: an endpoint of the same method and form replaces the
/// described one, and takes from it what it does not say itself; fields are those of both.
pub fn merge(described: Vec<Endpoint>, configured: Vec<Endpoint>) -> Vec<Endpoint> {
    let mut all = described;
    for mut endpoint in configured {
        let same = |one: &&mut Endpoint| one.method == endpoint.method && one.template.same_form(&endpoint.template);
        let Some(known) = all.iter_mut().find(same) else {
            all.push(endpoint);
            continue;
        };
        endpoint.id = endpoint.id.or_else(|| known.id.clone());
        endpoint.group = endpoint.group.or(known.group);
        endpoint.secret = endpoint.secret.or(known.secret);
        endpoint.graphql |= known.graphql;
        for field in &known.body {
            if !endpoint.body.iter().any(|own| own.name == field.name) {
                endpoint.body.push(field.clone());
            }
        }
        endpoint.add_fields(&known.fields);
        *known = endpoint;
    }
    all
}

#[cfg(test)]
mod tests;
