//! What a mask made and a client sends back (MK18): a program that reads an object, changes one member and writes the whole object
//! would put masks where the values were. It is refused for workloads to which a field of that name is masked.
//!
//! Bodies of JSON are searched, on the paths whose answers have fields with classes. What is no JSON passes: the upstream will not
//! take it for an object either.

use std::sync::Arc;

use hyper::header::CONTENT_TYPE;
use kernel::operation::{Action, Operation};
use kernel::verdict::Mask;
use wire::http::endpoint::{Endpoints, Match};
use wire::http::head::Head;
use wire::http::json_mask::{Detect, Form, JsonSeeker, Masks};
use wire::http::json_path::{JsonPath, Step};
use wire::mask::MaskKey;

use super::upstream::HttpUpstream;

/// Where masks of this key are sought: at every member that has the name of one of these fields, wherever it stands. A body need
/// not be laid out as the answer was.
pub(super) fn sought<'p>(fields: impl Iterator<Item = &'p JsonPath>, key: &Arc<MaskKey>) -> Masks {
    let anywhere = |path: &JsonPath| match path.steps().last() {
        Some(Step::Member(name)) => JsonPath::of(vec![Step::Deep, Step::Member(Arc::clone(name))]).ok(),
        _ => None,
    };
    let places: Vec<_> = fields.map(|path| (anywhere(path).unwrap_or_else(|| path.clone()), Mask::Redact)).collect();
    Masks::new(&places, Arc::clone(key), Detect::Off, None)
}

/// What a request's body is searched for.
#[derive(Clone, Debug)]
pub(super) struct Written {
    sought: Masks,
    form: Form,
    /// The reading of each field that is sought: what is shown in clear may be written back.
    pub(super) fields: Arc<[Operation]>,
}

impl Written {
    /// None where a request writes nothing, or nothing that could have been masked. `operations` are the request's own.
    pub(super) fn of(
        upstream: &HttpUpstream,
        head: &Head,
        matched: &Match<'_>,
        segments: &[&str],
        operations: &[Operation],
    ) -> Option<Self> {
        if head.method.is_safe() {
            return None;
        }
        let form = match Form::of_content_type(head.headers.get(CONTENT_TYPE)?.to_str().ok()?)? {
            Form::Events => return None,
            form => form,
        };
        let read = read_as(&upstream.endpoints, matched, segments);
        let fields = || read.iter().chain([matched]).flat_map(|matched| &matched.endpoint.fields);
        fields().next()?;
        let facts = &operations.first()?.facts;
        let resources = read.iter().chain([matched]).flat_map(|one| one.endpoint.field_resources(&upstream.name));
        let reading = |resource| Operation {
            action: Action::HttpField,
            resource,
            facts: Arc::clone(facts),
            verb: "read of",
            span: None,
        };
        let fields_read: Vec<Operation> = resources.map(reading).collect();
        let value = is_patch(head).then(|| JsonPath::parse("$..value").ok()).flatten();
        let paths = fields().map(|field| &field.path).chain(value.as_ref());
        Some(Self { sought: sought(paths, &upstream.mask_keys), form, fields: fields_read.into() })
    }

    /// One that reads the body as it comes.
    pub(super) fn seeker(&self) -> JsonSeeker {
        JsonSeeker::new(self.sought.clone(), self.form)
    }

    /// Does a mask's value stand in a body?
    pub(super) fn is_in(&self, body: &[u8]) -> bool {
        let mut seeker = self.seeker();
        let found = seeker.feed(body);
        found == Ok(true) || (found == Ok(false) && seeker.finish() == Ok(true))
    }
}

/// A patch of RFC 6902, whose values stand under no name of their own.
fn is_patch(head: &Head) -> bool {
    let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.to_ascii_lowercase().trim_start().starts_with("application/json-patch+json")
}

/// The endpoint that reads what this one writes, if there is another.
fn read_as<'e>(endpoints: &'e Endpoints, matched: &Match<'_>, segments: &[&str]) -> Option<Match<'e>> {
    endpoints.find("GET", segments).filter(|read| !Arc::ptr_eq(read.endpoint, matched.endpoint))
}
