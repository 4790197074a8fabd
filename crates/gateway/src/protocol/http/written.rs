//! What a mask made and a client sends back (MK18): a program that reads an object, changes one member and writes the whole object
//! would put masks where the values were. It is refused for workloads to which a field of that name is masked.
//!
//! Bodies of JSON, forms and multipart bodies are searched, also compressed ones, on the paths whose answers have fields with classes;
//! of GraphQL the mutations; and queries and parameters of paths. A body that cannot be searched is refused. What is of another
//! type passes: the upstream will not take it for such an object either.

use std::sync::Arc;

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use kernel::facts::{Facts, HttpFacts};
use kernel::operation::{Action, Operation};
use kernel::policy::HttpReads;
use kernel::resource::{Resource, ResourceKind};
use wire::http::Violation;
use wire::http::classify::shape;
use wire::http::endpoint::{Endpoint, Match};
use wire::http::graphql;
use wire::http::head::Head;
use wire::http::json_path::JsonPath;
use wire::http::seek::{Seeker, Sought};

use super::decoding::{DecodeError, Decoder};
use super::upstream::HttpUpstream;

/// So much may come out of a compressed body however little came in, in bytes.
const FREE: u64 = 16 << 20;
/// Beyond that: so many bytes of each that came in.
const RATIO: u64 = 100;
/// So much of a compressed body is searched at a time, in bytes as it came: others of the lane go on in between.
const PIECE: usize = 16 * 1024;

/// What a request's body is searched for.
#[derive(Clone, Debug)]
pub(super) struct Written {
    sought: Sought,
    /// Those of the request that say how its body is to be read.
    headers: HeaderMap,
    graphql: bool,
    /// It stands in the target already.
    in_target: bool,
    /// The reading of each field that is sought: what is shown in clear may be written back.
    pub(super) fields: Arc<[Operation]>,
    /// Equal where all of them are.
    pub(super) shape: u128,
}

impl Written {
    /// None where a request writes nothing, or nothing that could have been masked. `operations` are the request's own.
    pub(super) fn of(
        upstream: &HttpUpstream,
        head: &Head,
        matched: &Match<'_>,
        segments: &[&str],
        operations: &[Operation],
        reads: &HttpReads,
    ) -> Option<Self> {
        if head.method.is_safe() {
            return None;
        }
        let first = operations.first()?;
        let graphql = matched.endpoint.graphql;
        let (sought, fields): (_, Vec<_>) = if graphql {
            let selections = selections(upstream, matched.endpoint, reads);
            if first.action != Action::GraphqlMutate || selections.is_empty() {
                return None;
            }
            let fields = selections.iter().map(|path| {
                let subscribes = path.starts_with("Subscription.");
                let action = if subscribes { Action::GraphqlSubscribe } else { Action::GraphqlQuery };
                let place = [matched.endpoint.template.text(), path];
                let resource = Resource::new(ResourceKind::Field, &upstream.name, place);
                reading(action, Arc::new(resource), &first.facts)
            });
            let paths = selections.iter().copied();
            (Sought::in_selections(paths, &upstream.mask_keys), fields.collect())
        } else {
            let read = upstream.endpoints.find("GET", segments).filter(|read| !read.endpoint.graphql);
            let another = read.as_ref().filter(|read| !Arc::ptr_eq(read.endpoint, matched.endpoint));
            let known = || another.into_iter().chain([matched]).map(|matched| matched.endpoint);
            known().find(|endpoint| !endpoint.fields.is_empty())?;
            let value = is_patch(head).then(|| JsonPath::parse("$..value").ok()).flatten();
            let paths = known().flat_map(|endpoint| &endpoint.fields).map(|field| &field.path).chain(value.as_ref());
            let sought = Sought::in_fields(paths, &upstream.mask_keys);
            // A write may be answered with a field, too.
            let mut fields = readings(upstream, matched.endpoint, &first.facts);
            if let Some(read) = &read {
                fields.extend(readings(upstream, read.endpoint, &read_facts(&first.facts, read, reads)));
            }
            (sought, fields)
        };
        let mut headers = HeaderMap::new();
        for name in [CONTENT_TYPE, CONTENT_ENCODING] {
            for value in head.headers.get_all(&name) {
                headers.append(name.clone(), value.clone());
            }
        }
        let writes = matches!(head.method.as_str(), "POST" | "PUT" | "PATCH");
        let in_target = writes && sought.is_in_target(head.query.as_str(), &matched.parameters);
        let shape = shape(&fields);
        let written = Self { sought, headers, graphql, in_target, fields: fields.into(), shape };
        // Nothing is to be found in a body of this type.
        let passes = !graphql && matches!(Seeker::of(written.kind(), &written.sought), Ok(None));
        (!passes || in_target).then_some(written)
    }

    fn kind(&self) -> Option<&[u8]> {
        self.headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes())
    }

    /// Reads the body as it comes.
    ///
    /// # Errors
    /// A [`Violation`] if it cannot be searched.
    pub(super) fn search(&self) -> Result<Search, Violation> {
        let mut codings = self.headers.get_all(CONTENT_ENCODING).iter();
        let (coding, another) = (codings.next(), codings.next());
        let decoder = match coding.filter(|coding| *coding != "identity").map(|coding| coding.as_bytes()) {
            _ if another.is_some() => return Err(Violation::ContentCoding),
            None => None,
            Some(coding) => Some(Decoder::of(Some(coding)).map_err(violation)?),
        };
        // The document of a mutation is whole wherever it is judged.
        let seeker = if self.graphql { None } else { Seeker::of(self.kind(), &self.sought)? };
        Ok(Search { decoder, seeker: seeker.ok_or(Violation::Body)?, plain: Vec::new(), came: 0, left: 0 })
    }

    /// Does a mask's value stand in the target already?
    pub(super) const fn is_in_target(&self) -> bool {
        self.in_target
    }

    /// Does a mask's value stand in a body?
    ///
    /// # Errors
    /// A [`Violation`] if it cannot be searched.
    pub(super) async fn is_in(&self, body: &[u8]) -> Result<bool, Violation> {
        if body.is_empty() {
            return Ok(false);
        }
        if self.graphql {
            let kind = self.kind().and_then(|kind| std::str::from_utf8(kind).ok());
            return Ok(graphql::brings_back(kind, body, &self.sought)?);
        }
        let mut search = self.search()?;
        if search.decoder.is_none() {
            return Ok(search.feed(body)? || search.finish()?);
        }
        for piece in body.chunks(PIECE) {
            if search.feed(piece)? {
                return Ok(true);
            }
            tokio::task::yield_now().await;
        }
        search.finish()
    }
}

/// A search of one body for what a mask made.
#[derive(Debug)]
pub(super) struct Search {
    /// If it is compressed.
    decoder: Option<Decoder>,
    seeker: Seeker,
    plain: Vec<u8>,
    came: u64,
    left: u64,
}

impl Search {
    /// Takes the next bytes as they came: is it found?
    ///
    /// # Errors
    /// A [`Violation`] if it cannot be searched.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<bool, Violation> {
        let Some(decoder) = &mut self.decoder else { return self.seeker.feed(bytes) };
        for step in bytes.chunks(decoder.step()) {
            decoder.feed(step, &mut self.plain).map_err(violation)?;
            self.came += step.len() as u64;
            self.left += self.plain.len() as u64;
            if self.left > FREE && self.left / RATIO > self.came {
                return Err(Violation::Inflation);
            }
            let found = self.seeker.feed(&self.plain)?;
            self.plain.clear();
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Ends the body: is it found?
    ///
    /// # Errors
    /// A [`Violation`] if it ends too early.
    pub(super) fn finish(&mut self) -> Result<bool, Violation> {
        if let Some(decoder) = self.decoder.as_mut().filter(|_| self.came > 0) {
            decoder.finish(&mut self.plain).map_err(violation)?;
        }
        Ok(self.seeker.feed(&self.plain)? || self.seeker.finish()?)
    }
}

const fn violation(error: DecodeError) -> Violation {
    match error {
        DecodeError::Unknown => Violation::ContentCoding,
        DecodeError::Inflation => Violation::Inflation,
        DecodeError::Malformed | DecodeError::Truncated => Violation::Body,
    }
}

/// A patch of RFC 6902, whose values stand under no name of their own.
fn is_patch(head: &Head) -> bool {
    let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.to_ascii_lowercase().trim_start().starts_with("application/json-patch+json")
}

/// The GraphQL paths that a mask may be on: those with classes, and those that policies with a mask name.
fn selections<'s>(upstream: &HttpUpstream, endpoint: &'s Endpoint, reads: &'s HttpReads) -> Vec<&'s str> {
    let here = format!("{}{} ", upstream.name, endpoint.template.text());
    let named = reads.masked.iter().filter_map(|text| match text.contains(' ') {
        true => text.strip_prefix(&here),
        false => Some(text),
    });
    endpoint.selections.iter().map(AsRef::as_ref).chain(named).collect()
}

fn reading(action: Action, resource: Arc<Resource>, facts: &Arc<Facts>) -> Operation {
    Operation { action, resource, facts: Arc::clone(facts), verb: "read of", span: None }
}

/// The reading of each field that has a class.
fn readings(upstream: &HttpUpstream, endpoint: &Endpoint, facts: &Arc<Facts>) -> Vec<Operation> {
    let resources = endpoint.field_resources(&upstream.name).into_iter();
    resources.map(|resource| reading(Action::HttpField, resource, facts)).collect()
}

/// What policy would see of a GET of what a request writes, without a query: a mask may be on the readings alone.
fn read_facts(written: &Facts, read: &Match<'_>, reads: &HttpReads) -> Arc<Facts> {
    let parameters = read.parameters.iter().filter(|(name, _)| reads.parameters.reads(name)).cloned();
    let http = written.http.as_ref().map(|http| HttpFacts {
        method: "GET".into(),
        host: Arc::clone(&http.host),
        path: Arc::clone(&http.path),
        template: read.endpoint.template.text().into(),
        operation: read.endpoint.id.clone(),
        parameters: parameters.collect(),
        ..HttpFacts::default()
    });
    Arc::new(Facts { http: http.map(Arc::new), ..Facts::default() })
}
