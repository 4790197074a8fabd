//! What would be decided about an HTTP request that nobody sent: read by the gateway's own readers, judged by its own
//! policies. Credentials are not looked at, since it is said who asks.

use std::borrow::Cow;
use std::sync::Arc;

use gateway::protocol::http::{HttpRoutes, HttpUpstream, NotUnderstood, Told};
use hyper::Request;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use kernel::circumstances::Circumstances;
use kernel::operation::{Action, Operation};
use kernel::policy::{Evaluation, Snapshot};
use kernel::resource::{Resource, ResourceKind};
use kernel::verdict::Undecidable;
use kernel::workload::Name;
use serde_json::{Value, json};
use wire::http::Violation;
use wire::http::authority::Authority;
use wire::http::bound::Bound;
use wire::http::classify::Classified;
use wire::http::endpoint::Endpoints;
use wire::http::head::{Arrived, Head};
use wire::http::json_path::JsonPath;
use wire::http::understand::{Wanted, understand};

use super::{Asked, DryRun};

/// A request in the form that people write.
#[derive(Clone, Debug, Default)]
pub(crate) struct Question {
    /// `POST /v1/refunds?dry=1`, or with a whole URL.
    pub(crate) line: String,
    /// Headers in their order; a name may stand there more than once.
    pub(crate) headers: Vec<(String, String)>,
    /// The body; JSON unless a header says otherwise.
    pub(crate) body: Option<Vec<u8>>,
}

impl Question {
    fn says(&self, wanted: &HeaderName) -> bool {
        self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted.as_str()))
    }

    /// What a client would add: the type and the length of the body.
    fn headers(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str())));
        let body = self.body.iter().flat_map(|body| {
            let kind = (!self.says(&CONTENT_TYPE)).then_some((CONTENT_TYPE.as_str(), "application/json".into()));
            let length = (!self.says(&CONTENT_LENGTH)).then(|| (CONTENT_LENGTH.as_str(), body.len().to_string()));
            [kind, length.map(|(name, length): (_, String)| (name, Cow::Owned(length)))]
        });
        own.chain(body.flatten())
    }

    /// Is a body said to come that is not there?
    fn comes(&self) -> bool {
        self.body.is_none() && [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| self.says(name))
    }

    /// The request as hyper would give it; `host` is asked for unless it says one. None if it is none.
    pub(super) fn parts(&self, host: &str) -> Option<Parts> {
        let (method, target) = self.line.split_once(' ')?;
        let mut request = Request::builder().method(method).uri(target.trim());
        if !self.says(&HOST) && !host.is_empty() {
            request = request.header(HOST, host);
        }
        for (name, value) in self.headers() {
            request = request.header(name, &*value);
        }
        Some(request.body(()).ok()?.into_parts().0)
    }
}

/// An HTTP upstream, as far as a request is understood by it.
pub(crate) struct Api<'a> {
    /// Its name.
    pub(crate) name: &'a Name,
    /// The host that is asked for, unless the request says one.
    pub(crate) host: &'a str,
    /// Its endpoints.
    pub(crate) endpoints: &'a Endpoints,
}

impl Api<'_> {
    /// Judges a request as if `workload` sent it.
    pub(crate) fn ask(
        &self,
        snapshot: &Snapshot,
        workload: &Name,
        question: &Question,
        around: &Circumstances,
    ) -> DryRun {
        let classified = match self.understood(snapshot, question) {
            Ok(classified) => classified,
            Err(why) => return DryRun::refused(why, snapshot, None, workload, self.name),
        };
        let method = question.line.split(' ').next().unwrap_or_default();
        let template = format!("{method} {}", classified.template).into();
        let asked = Asked { operations: Arc::clone(&classified.operations), template };
        DryRun::judged(snapshot, workload, self.name, asked, around).with_fields(snapshot, classified.answers())
    }

    fn understood(&self, snapshot: &Snapshot, question: &Question) -> Result<Classified, Undecidable> {
        let refused = |violation: Violation| violation.undecidable();
        let parts = question.parts(self.host).ok_or(Undecidable::UnsupportedMessage)?;
        let head = Head::read(&parts, Arrived { h2: false, sni: None, tls: true }).map_err(refused)?;
        let segments: Vec<&str> = head.path.segments().collect();
        let matched = self.endpoints.find(head.method.as_str(), &segments).ok_or(Undecidable::UnknownEndpoint)?;
        let reads = snapshot.http_reads(self.name);
        let wanted = Wanted::of(&matched, &reads);
        // A length without a body says how much would come.
        let body = match &question.body {
            Some(body) => Some(body.as_slice()),
            None if question.comes() && !wanted.any() => None,
            None => Some(&[][..]),
        };
        understand(self.name, &head, &matched, &reads, &wanted, body).map_err(refused)
    }
}

/// Why a request was not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Astray {
    /// No upstream answers at its host and path.
    Nowhere,
    /// Its host and path lead to another upstream than was said.
    Elsewhere,
}

/// Judges a request as the gateway would if `workload` sent it: found by host and path among all upstreams, read by the gateway's own
/// step, with connecting before it.
pub(crate) fn ask(
    upstreams: &[Arc<HttpUpstream>],
    on: Option<&Name>,
    snapshot: &Snapshot,
    workload: &Name,
    question: &Question,
    around: &Circumstances,
) -> Result<DryRun, Astray> {
    let routes = HttpRoutes::new(upstreams).map_err(|_no_request_can_be_for_one| Astray::Nowhere)?;
    let named = |name: &Name| upstreams.iter().find(|upstream| upstream.name == *name);
    let (authority, target) = place(question, on.and_then(named));
    // Whoever cannot be read is told about by the upstream that was meant.
    let host =
        authority.as_deref().and_then(|text| Authority::read(text).ok()).map(|authority| authority.host().clone());
    let by_host = upstreams.iter().find(|upstream| {
        host.as_ref().is_some_and(|host| upstream.hosts.iter().any(|known| known.eq_ignore_ascii_case(host)))
    });
    let meant = on.or(by_host.map(|upstream| &upstream.name)).ok_or(Astray::Nowhere)?;
    let refused = |why, upstream: &Name| DryRun::refused(why, snapshot, None, workload, upstream);
    let Some(((method, target), authority)) = target.zip(authority) else {
        return Ok(refused(Undecidable::UnsupportedMessage, meant));
    };
    if question.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(HOST.as_str())).count() > 1 {
        return Ok(refused(Undecidable::AmbiguousAuthority, meant));
    }
    let headers: Vec<(String, Vec<u8>)> =
        question.headers().map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect();
    let body = if question.comes() { None } else { Some(question.body.as_deref().unwrap_or_default()) };
    let told = Told { method, authority: &authority, target: &target, headers: &headers, body, tls: true };
    let understood = match routes.understand(snapshot, told) {
        Ok(understood) => understood,
        Err(NotUnderstood::Malformed(violation)) => return Ok(refused(violation.undecidable(), meant)),
        Err(NotUnderstood::Undecidable { upstream, why }) => return Ok(refused(why, &upstream)),
        Err(NotUnderstood::NoUpstream) => return Err(Astray::Nowhere),
    };
    let upstream = &understood.upstream;
    if on.is_some_and(|on| on != upstream) {
        return Err(Astray::Elsewhere);
    }
    let connecting = Asked { operations: [connect(upstream)].into(), template: "".into() };
    let connected = DryRun::judged(snapshot, workload, upstream, connecting, around);
    if connected.evaluation.verdict != "permit" {
        return Ok(connected);
    }
    let asked = Asked { operations: understood.operations, template: understood.template.into() };
    let judged = DryRun::judged(snapshot, workload, upstream, asked, around);
    let fields = understood.answers.iter().map(|(place, path)| (*place, path));
    Ok(judged.with_fields(snapshot, fields))
}

/// The upstream of a request, and what a grant would bind of it; none for what is not understood.
pub(crate) fn bound(
    upstreams: &[Arc<HttpUpstream>],
    on: Option<&Name>,
    snapshot: &Snapshot,
    question: &Question,
) -> Option<(Name, Bound)> {
    let routes = HttpRoutes::new(upstreams).ok()?;
    let (authority, target) = place(question, on.and_then(|on| upstreams.iter().find(|upstream| upstream.name == *on)));
    let ((method, target), authority) = target.zip(authority)?;
    let headers: Vec<(String, Vec<u8>)> =
        question.headers().map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect();
    let body = Some(question.body.as_deref().unwrap_or_default());
    let told = Told { method, authority: &authority, target: &target, headers: &headers, body, tls: true };
    // A body that is only said to come cannot be bound.
    (!question.comes()).then(|| routes.bound(snapshot, told).ok())?
}

/// The host that a request is for, and its method and target, as a client would send them.
fn place<'q>(question: &'q Question, on: Option<&Arc<HttpUpstream>>) -> (Option<String>, Option<(&'q str, String)>) {
    let own = question.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(HOST.as_str()));
    let own = own.map(|(_, value)| value.clone());
    let usual = || on.map(|on| on.hosts.first().map_or_else(|| on.origin.host().to_owned(), Clone::clone));
    let Some((method, target)) = question.line.split_once(' ') else { return (own.or_else(usual), None) };
    let target = target.trim();
    let absolute = target.strip_prefix("https://").or_else(|| target.strip_prefix("http://"));
    let Some(rest) = absolute else { return (own.or_else(usual), Some((method, target.to_owned()))) };
    let (authority, path) =
        rest.split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len())).unwrap_or((rest, ""));
    let path = path.split('#').next().unwrap_or_default();
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    (own.or_else(|| Some(authority.to_owned())), Some((method, path)))
}

/// A session of the gateway begins with this.
fn connect(upstream: &Name) -> Operation {
    Operation {
        action: Action::Connect,
        resource: Arc::new(Resource::new(ResourceKind::Upstream, upstream, [""; 0])),
        facts: Arc::default(),
        verb: "CONNECT",
        span: None,
    }
}

impl DryRun {
    /// With each field of the answer that has a name: its classes, and what a mask makes of it.
    fn with_fields<'f>(mut self, snapshot: &Snapshot, answers: impl Iterator<Item = (usize, &'f JsonPath)>) -> Self {
        if let (Some(asked), true) = (&self.asked, self.evaluation.verdict != "deny") {
            self.columns = fields(snapshot, &asked.operations, answers, &self.evaluation);
        }
        self
    }
}

/// Each field of the answer that has a name.
fn fields<'f>(
    snapshot: &Snapshot,
    operations: &[Operation],
    answers: impl Iterator<Item = (usize, &'f JsonPath)>,
    evaluation: &Evaluation,
) -> Vec<Value> {
    let view = |(place, path): (usize, &JsonPath)| {
        let resource = &operations.get(place)?.resource;
        let masked = evaluation.terms.masks.iter().find(|(index, ..)| *index == place);
        Some(json!({
            "statement": 1,
            "column": place,
            "flow": "value",
            "sources": [path.text()],
            "classes": snapshot.classes(resource),
            "mask": masked.map(|(_, mask, _)| mask),
            "policies": masked.map(|(_, _, policy)| policy).into_iter().collect::<Vec<_>>(),
            "example": null,
        }))
    };
    answers.filter_map(view).collect()
}

#[cfg(test)]
mod tests;
