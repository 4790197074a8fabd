//! What a request asks for that somebody else received and asks about: read and understood as our own, without a connection, a
//! session or an upstream. For the decision point, whose answers must be those of the gateway.

use std::sync::Arc;

use hyper::Request;
use hyper::header::{COOKIE, HOST, HeaderName, HeaderValue};
use kernel::operation::Operation;
use kernel::policy::Snapshot;
use kernel::verdict::Undecidable;
use kernel::workload::Name;
use wire::http::Violation;
use wire::http::bound::Bound;
use wire::http::classify::Classified;
use wire::http::head::{Arrived, Head};
use wire::http::json_path::JsonPath;
use wire::http::understand::{Wanted, understand};

use super::upstream::{HttpUpstream, InvalidHttpUpstream, Routes};

/// A request, as whoever received it tells of it.
#[derive(Clone, Copy, Debug)]
pub struct Told<'t> {
    /// The method.
    pub method: &'t str,
    /// `Host` or `:authority`.
    pub authority: &'t str,
    /// Path and query, as they were received.
    pub target: &'t str,
    /// The headers that its client sent, without those of the one hop.
    pub headers: &'t [(String, Vec<u8>)],
    /// The whole body, where it is told.
    pub body: Option<&'t [u8]>,
    /// Did TLS protect it?
    pub tls: bool,
}

/// What a request asks for.
#[derive(Clone, Debug)]
pub struct Understood {
    /// The upstream that it is for.
    pub upstream: Name,
    /// What it asks.
    pub operations: Arc<[Operation]>,
    /// The method and the path template.
    pub template: String,
    /// Method, host, path and query in their one form.
    pub text: String,
    /// For operations that stand for a field of the answer: where it stands.
    pub answers: Vec<(usize, JsonPath)>,
}

/// Why it is not known what a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotUnderstood {
    /// It can be read in no way, or in several.
    Malformed(Violation),
    /// No upstream answers at its host and path.
    NoUpstream,
    /// It is for an upstream, and what it does cannot be said.
    Undecidable {
        /// The upstream.
        upstream: Name,
        /// Why.
        why: Undecidable,
    },
}

/// The HTTP upstreams, as requests name them.
#[derive(Debug)]
pub struct HttpRoutes(Routes);

impl HttpRoutes {
    /// Those of these upstreams.
    ///
    /// # Errors
    /// An upstream that no request can be for.
    pub fn new(upstreams: &[Arc<HttpUpstream>]) -> Result<Self, InvalidHttpUpstream> {
        Routes::new(upstreams).map(Self)
    }

    /// Reads a request and finds what it asks for. What policies of the snapshot do not read is not looked at, so it must be
    /// judged under the same one.
    ///
    /// # Errors
    /// Why it cannot be said. It is denied then.
    pub fn understand(&self, snapshot: &Snapshot, told: Told<'_>) -> Result<Understood, NotUnderstood> {
        let (head, upstream, classified) = self.read(snapshot, told)?;
        Ok(Understood {
            upstream: upstream.name.clone(),
            answers: classified.answers().map(|(place, path)| (place, path.clone())).collect(),
            operations: classified.operations,
            template: format!("{} {}", head.method, classified.template),
            text: format!("{} {}{}", head.method, head.authority, head.target()),
        })
    }

    /// What a grant would bind of a request, if the gateway received it so: for who asks people ahead.
    ///
    /// # Errors
    /// Why it cannot be said.
    pub fn bound(&self, snapshot: &Snapshot, told: Told<'_>) -> Result<(Name, Bound), NotUnderstood> {
        let (mut head, upstream, classified) = self.read(snapshot, told)?;
        if classified.answers().next().is_some() {
            head.ask_for_the_whole();
        }
        if let (true, Some(cookies)) = (upstream.cookies, head.cookies.take()) {
            head.headers.insert(COOKIE, cookies);
        }
        Ok((upstream.name.clone(), Bound::of(&head, told.body.unwrap_or_default())))
    }

    fn read(
        &self,
        snapshot: &Snapshot,
        told: Told<'_>,
    ) -> Result<(Head, &Arc<HttpUpstream>, Classified), NotUnderstood> {
        let head = head(told).map_err(NotUnderstood::Malformed)?;
        let served = self.0.find(head.authority.host(), &head.path).ok_or(NotUnderstood::NoUpstream)?;
        let upstream = &served.upstream;
        let undecidable = |why| NotUnderstood::Undecidable { upstream: upstream.name.clone(), why };
        if head.upgrade.as_deref().is_some_and(|protocol| !upstream.upgrades.allow(protocol)) {
            return Err(undecidable(Undecidable::Upgrade));
        }
        let segments: Vec<&str> = head.path.segments().collect();
        let matched = upstream.endpoints.find(head.method.as_str(), &segments);
        let matched = matched.ok_or_else(|| undecidable(Undecidable::UnknownEndpoint))?;
        let reads = snapshot.http_reads(&upstream.name);
        // A body that a policy reads and that was not told is no empty one.
        let wanted = Wanted::of(&matched, &reads);
        // As in the data path, where what needs a body whole reads no more of it than this.
        let signed = upstream.credential.as_ref().is_some_and(|credential| credential.needs_body_digest());
        if (wanted.any() || signed) && told.body.is_some_and(|body| body.len() > upstream.limits.body) {
            return Err(undecidable(Violation::BodyTooLong.undecidable()));
        }
        let classified = understand(&upstream.name, &head, &matched, &reads, &wanted, told.body)
            .map_err(|violation| undecidable(violation.undecidable()))?;
        drop(segments);
        Ok((head, upstream, classified))
    }
}

/// The head in its one form.
fn head(told: Told<'_>) -> Result<Head, Violation> {
    let mut request =
        Request::builder().method(told.method).uri(told.target).body(()).map_err(|_odd| Violation::TargetForm)?;
    let headers = request.headers_mut();
    for (name, value) in told.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_odd| Violation::TargetForm)?;
        headers.append(name, HeaderValue::from_bytes(value).map_err(|_odd| Violation::TargetForm)?);
    }
    headers.insert(HOST, HeaderValue::from_str(told.authority).map_err(|_odd| Violation::TargetForm)?);
    let (parts, ()) = request.into_parts();
    Head::read(&parts, Arrived { h2: false, sni: None, tls: told.tls })
}
