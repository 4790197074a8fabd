//! What is asked of the egress, as policy sees it: a destination as a resource, and of a plain request its method and path. The
//! way out asks it of a connection's first request; dry runs ask it of a request that nobody sent.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use hyper::http::request::Parts;
use kernel::facts::{Facts, HttpFacts};
use kernel::operation::{Action, Operation};
use kernel::resource::{Resource, ResourceKind};
use kernel::workload::Name;
use wire::http::Violation;
use wire::http::head::{Arrived, Head};

use super::head::{Destination, Wanted};

/// What is asked: a tunnel, or one request.
pub(super) struct Question<'q> {
    pub(super) to: &'q Destination,
    verb: &'static str,
    /// The canonical path of a request; empty for a tunnel.
    path: &'q str,
}

/// The operation that the egress named `upstream` would judge if it were sent this: `CONNECT host:port`, or a request with a
/// whole `http://` URL. Which addresses the host leads to is not looked up: what is refused for its address alone is not known.
///
/// # Errors
/// What the egress would refuse before anybody judges it.
pub fn operation(upstream: &Name, parts: &Parts) -> Result<Operation, Violation> {
    match Wanted::of(parts)? {
        Wanted::Tunnel(to) => Ok(Question::tunnel(&to).operation(upstream)),
        Wanted::Request(to) => Ok(Question::request(&to, &normal_form(parts)?).operation(upstream)),
    }
}

/// A plain request as it is judged and sent. Changes of protocol are for tunnels.
pub(super) fn normal_form(parts: &Parts) -> Result<Head, Violation> {
    let head = Head::read(parts, Arrived { h2: false, sni: None, tls: false })?;
    if head.upgrade.is_some() { Err(Violation::Upgrade) } else { Ok(head) }
}

impl<'q> Question<'q> {
    pub(super) const fn tunnel(to: &'q Destination) -> Self {
        Self { to, verb: "CONNECT", path: "" }
    }

    pub(super) fn request(to: &'q Destination, head: &'q Head) -> Self {
        let verb = match head.method.as_str() {
            "HEAD" => "HEAD",
            "OPTIONS" => "OPTIONS",
            "POST" => "POST",
            "PUT" => "PUT",
            "PATCH" => "PATCH",
            "DELETE" => "DELETE",
            _ => "GET",
        };
        Self { to, verb, path: head.path.as_str() }
    }

    /// As the log and people see it.
    pub(super) fn text(&self) -> String {
        format!("{} {}", self.verb, self.to.named())
    }

    pub(super) fn operation(&self, upstream: &Name) -> Operation {
        let facts = HttpFacts {
            method: self.verb.into(),
            host: self.to.host.to_string().into(),
            path: self.path.into(),
            template: "".into(),
            ..HttpFacts::default()
        };
        Operation {
            action: Action::HttpTunnel,
            resource: Arc::new(Resource::new(ResourceKind::Host, upstream, [self.to.named().as_str()])),
            facts: Arc::new(Facts { http: Some(Arc::new(facts)), ..Facts::default() }),
            verb: self.verb,
            span: None,
        }
    }

    /// The method and the path are what a verdict may depend on besides the destination.
    pub(super) fn shape(&self) -> u128 {
        let shape = [self.verb, "\0", &self.to.named(), "\0", self.path].concat();
        let shape = digest(&SHA256, shape.as_bytes()).as_ref().first_chunk().copied().unwrap_or_default();
        u128::from_be_bytes(shape)
    }
}

#[cfg(test)]
mod tests;
