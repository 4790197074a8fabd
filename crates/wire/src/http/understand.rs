//! From a request's head, and its body where it is needed, to what it asks for: the one step that the gateway, the decision
//! point, dry runs and policy tests share, so that they cannot disagree.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use kernel::policy::HttpReads;
use kernel::workload::Name;

use super::body::{self, BodyFacts, BodyField};
use super::classify::{Classified, Request, Unclassified, classify};
use super::endpoint::Match;
use super::head::Head;
use super::secret_store::SecretPlace;
use super::violation::Violation;

/// What of a request's body must be read before it can be judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    fields: Vec<BodyField>,
    document: bool,
    secret: bool,
}

impl Wanted {
    /// What policies that read `reads` want of a request to an endpoint.
    pub fn of(matched: &Match<'_>, reads: &HttpReads) -> Self {
        let endpoint = matched.endpoint;
        let fields = endpoint.body.iter().filter(|field| reads.reads_field(&field.name)).cloned();
        Self {
            fields: fields.collect(),
            document: endpoint.graphql,
            secret: matches!(endpoint.secret, Some(SecretPlace::Body)),
        }
    }

    /// Must the body be read at all?
    pub const fn any(&self) -> bool {
        !self.fields.is_empty() || self.document || self.secret
    }
}

/// What a request asks for. `body` is the whole body; without it nothing of it may be wanted.
///
/// # Errors
/// A [`Violation`] where it cannot be said in one way what the request does. It is denied then.
pub fn understand(
    upstream: &Name,
    head: &Head,
    matched: &Match<'_>,
    reads: &HttpReads,
    wanted: &Wanted,
    body: Option<&[u8]>,
) -> Result<Classified, Violation> {
    let content_type = head.headers.get(CONTENT_TYPE).map(|kind| kind.to_str().map_err(|_odd| Violation::BodyType));
    let content_type = content_type.transpose()?;
    let query = if reads.query.any() { head.query.facts()? } else { Default::default() };
    let read = match body {
        None if wanted.any() => return Err(Violation::Body),
        Some(_) if wanted.any() && head.headers.contains_key(CONTENT_ENCODING) => return Err(Violation::ContentCoding),
        Some([]) | None => BodyFacts::default(),
        Some(_) if wanted.fields.is_empty() => BodyFacts::default(),
        Some(whole) => body::read(content_type, whole, &wanted.fields).map_err(|error| Violation::from(&error))?,
    };
    let request = Request {
        upstream,
        method: head.method.as_str(),
        host: head.authority.host(),
        path: head.path.as_str(),
        matched,
        query,
        body: read,
        graphql: None,
        secret: None,
        size: body.map(|whole| whole.len() as u64).or_else(|| head.content_length()),
        content_type,
        upgrade: head.upgrade.as_deref(),
    };
    classify(&request, reads).map_err(|error| match error {
        Unclassified::Method => Violation::Method,
        Unclassified::NoDocument | Unclassified::NoSecret => Violation::Body,
    })
}
