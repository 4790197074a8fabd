//! What would be decided about a way out that nobody asked for: the destination is read and judged as the egress does. Which addresses its
//! name leads to is not looked up, so what is refused for its address alone is not known here.

use std::sync::Arc;

use gateway::upstream::address::Host;
use hyper::Method;
use hyper::http::request::Parts;
use kernel::circumstances::Circumstances;
use kernel::facts::{Facts, HttpFacts};
use kernel::operation::{Action, Operation};
use kernel::policy::Snapshot;
use kernel::resource::{Resource, ResourceKind};
use kernel::verdict::Undecidable;
use kernel::workload::Name;
use wire::http::Violation;
use wire::http::authority::{Authority, of_connect};
use wire::http::head::{Arrived, Head};

use super::http::Question;
use super::{Asked, DryRun};

/// Judges `CONNECT host:port`, or a request with a whole `http://` URL, as if `workload` sent it to the egress.
pub(crate) fn ask(
    upstream: &Name,
    snapshot: &Snapshot,
    workload: &Name,
    question: &Question,
    around: &Circumstances,
) -> DryRun {
    let operation = match question.parts("") {
        Some(parts) => operation(upstream, &parts).map_err(|violation| violation.undecidable()),
        None => Err(Undecidable::UnsupportedMessage),
    };
    match operation {
        Ok(operation) => {
            let template = format!("{} {}", operation.verb, operation.resource.name()).into();
            DryRun::judged(snapshot, workload, upstream, Asked { operations: [operation].into(), template }, around)
        }
        Err(why) => DryRun::refused(why, snapshot, None, workload, upstream),
    }
}

/// The operation that the egress makes of it.
fn operation(upstream: &Name, parts: &Parts) -> Result<Operation, Violation> {
    if parts.method == Method::CONNECT {
        return destination(upstream, &of_connect(parts)?, 443, "CONNECT", "");
    }
    let to = match (parts.uri.scheme_str(), parts.uri.authority()) {
        (Some("http"), Some(to)) => Authority::read(to.as_str())?,
        (Some(_), _) => return Err(Violation::Scheme),
        _ => return Err(Violation::TargetForm),
    };
    let head = Head::read(parts, Arrived { h2: false, sni: None, tls: false })?;
    if head.upgrade.is_some() {
        return Err(Violation::Upgrade);
    }
    let known = ["HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];
    let verb = known.into_iter().find(|known| *known == head.method.as_str()).unwrap_or("GET");
    destination(upstream, &to, 80, verb, head.path.as_str())
}

fn destination(
    upstream: &Name,
    to: &Authority,
    default_port: u16,
    verb: &'static str,
    path: &str,
) -> Result<Operation, Violation> {
    let host = to.host();
    let host = if host.contains(':') { format!("[{host}]").parse::<Host>() } else { host.parse::<Host>() };
    let host = host.map_err(|_invalid| Violation::Authority)?.to_string();
    let named = format!("{host}:{}", to.port().unwrap_or(default_port));
    let facts = HttpFacts {
        method: verb.into(),
        host: host.into(),
        path: path.into(),
        template: "".into(),
        ..HttpFacts::default()
    };
    Ok(Operation {
        action: Action::HttpTunnel,
        resource: Arc::new(Resource::new(ResourceKind::Host, upstream, [named.as_str()])),
        facts: Arc::new(Facts { http: Some(Arc::new(facts)), ..Facts::default() }),
        verb,
        span: None,
    })
}
