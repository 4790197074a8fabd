//! From a request's head, and its body where it is needed, to what it asks for: the one step that the gateway, the decision
//! point, dry runs and policy tests share, so that they cannot disagree.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use kernel::policy::{HttpReads, NamesRead};
use kernel::workload::Name;

use super::body::{self, BodyFacts, BodyField, Expect};
use super::classify::{Classified, Request, Unclassified, classify};
use super::endpoint::Match;
use super::graphql::{self, Selection};
use super::head::Head;
use super::overrides::Overrides;
use super::secret_store::{Secret, SecretPlace};
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
        let fields = endpoint.body.iter().filter(|field| reads.reads_field(&field.name)).map(|field| {
            let mut field = field.clone();
            // What only counts as a number has to be one: a text such as `5000 EUR` is 5000 to some upstreams.
            if field.expect == Expect::Any && !reads.body.reads(&field.name) {
                field.expect = Expect::Decimal(0);
            }
            field
        });
        Self {
            fields: fields.collect(),
            document: endpoint.graphql,
            secret: endpoint.secret.is_some_and(SecretPlace::needs_body),
        }
    }

    /// Must the body be read at all?
    pub const fn any(&self) -> bool {
        !self.fields.is_empty() || self.document || self.secret
    }
}

/// Do all requests to an endpoint that have one method, host and type of content ask for the same, as far as policies that read
/// `reads` can tell? Then what was found out for one holds for the next.
pub fn are_alike(matched: &Match<'_>, reads: &HttpReads, wanted: &Wanted) -> bool {
    let of_target = reads.path || reads.size || reads.parameters.any() || reads.query.any();
    !of_target && !wanted.any() && !matched.endpoint.graphql && matched.endpoint.secret.is_none()
}

/// What looks for a field in the body that would override the method; none where no upstream would obey one.
///
/// # Errors
/// As [`Overrides::of`].
pub fn overrides(head: &Head) -> Result<Option<Overrides>, Violation> {
    let coded = head.headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
    Overrides::of(&head.method, head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes), coded)
}

/// What a request asks for. `body` is the whole body; without it nothing of it may be wanted, and whether it overrides the method
/// is for the caller to find out by [`overrides`] as it passes.
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
    let query = if reads.query.any() { head.query.facts(&reads.query)? } else { Default::default() };
    if let Some(whole) = body.filter(|whole| !whole.is_empty())
        && let Some(mut overrides) = overrides(head)?
    {
        overrides.feed(whole)?;
    }
    let read = match body {
        // A GraphQL query may stand in the URL.
        None if wanted.any() && !(wanted.document && wanted.fields.is_empty() && is_get(head)) => {
            return Err(Violation::Body);
        }
        Some(_) if wanted.any() && head.headers.contains_key(CONTENT_ENCODING) => return Err(Violation::ContentCoding),
        Some([]) | None => BodyFacts::default(),
        Some(_) if wanted.fields.is_empty() => BodyFacts::default(),
        Some(whole) => body::read(content_type, whole, &wanted.fields).map_err(|error| Violation::from(&error))?,
    };
    let selection = if wanted.document { Some(select(head, content_type, body.unwrap_or_default())?) } else { None };
    let secrets = match matched.endpoint.secret {
        Some(place) => secrets(place, head, matched, body.unwrap_or_default())?,
        None => Vec::new(),
    };
    let request = Request {
        upstream,
        method: head.method.as_str(),
        host: head.authority.host(),
        path: head.path.as_str(),
        matched,
        query,
        body: read,
        graphql: selection.as_ref(),
        secrets: &secrets,
        size: body.map(|whole| whole.len() as u64).or_else(|| head.content_length()),
        content_type,
        upgrade: head.upgrade.as_deref(),
    };
    classify(&request, reads).map_err(|error| match error {
        Unclassified::Method => Violation::Method,
        Unclassified::NoDocument | Unclassified::NoSecret => Violation::Body,
    })
}

fn is_get(head: &Head) -> bool {
    matches!(head.method.as_str(), "GET" | "HEAD")
}

/// What a GraphQL request selects: from the URL by GET, from the body otherwise. Some servers look into the URL first, so a document
/// in both places is refused.
fn select(head: &Head, content_type: Option<&str>, body: &[u8]) -> Result<Selection, Violation> {
    let parameters = head.query.facts(&NamesRead::All)?;
    if is_get(head) {
        if !body.is_empty() {
            return Err(Violation::Body);
        }
        return Ok(graphql::read_query(parameters.iter().map(|(name, value)| (name.as_ref(), value.as_ref())))?);
    }
    if parameters.keys().any(|name| graphql::is_parameter(name)) {
        return Err(Violation::RepeatedParameter);
    }
    Ok(graphql::read(content_type, body)?)
}

/// What a request to a secret store asks for.
fn secrets(place: SecretPlace, head: &Head, matched: &Match<'_>, body: &[u8]) -> Result<Vec<Secret>, Violation> {
    if place.refused_headers().iter().any(|name| head.headers.contains_key(*name)) {
        return Err(Violation::Override);
    }
    let mut targets = head.headers.get_all("x-amz-target").iter();
    let target = match (targets.next(), targets.next()) {
        (Some(target), None) => Some(target.to_str().map_err(|_odd| Violation::HeaderValue)?),
        (None, _) => None,
        (Some(_), Some(_)) => return Err(Violation::RepeatedHeader),
    };
    place.secrets(&matched.parameters, target, body)
}

#[cfg(test)]
mod tests;
