//! What would be decided about an HTTP request that nobody sent: read by the gateway's own readers, judged by its own
//! policies. Credentials are not looked at, since it is said who asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::Request;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use kernel::circumstances::Circumstances;
use kernel::policy::{Snapshot, evaluate, explain};
use kernel::verdict::Undecidable;
use kernel::workload::Name;
use serde_json::{Value, json};
use wire::http::Violation;
use wire::http::classify::Classified;
use wire::http::endpoint::Endpoints;
use wire::http::head::{Arrived, Head};
use wire::http::understand::{Wanted, understand};

use super::{Asked, DryRun};
use crate::recorded::described;

/// A request in the form that people write.
#[derive(Clone, Debug, Default)]
pub(crate) struct Question {
    /// `POST /v1/refunds?dry=1`
    pub(crate) line: String,
    /// Headers by name.
    pub(crate) headers: BTreeMap<String, String>,
    /// The body; JSON unless a header says otherwise.
    pub(crate) body: Option<String>,
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
        let operations = Arc::clone(&classified.operations);
        let evaluation = evaluate(snapshot, workload, self.name, &operations, around);
        let known = snapshot.workload(workload);
        let explanation = known.map(|known| described(&explain(snapshot, known, &operations, around)));
        let fields = if evaluation.verdict == "deny" { Vec::new() } else { fields(snapshot, &classified, &evaluation) };
        let method = question.line.split(' ').next().unwrap_or_default();
        let template = format!("{method} {}", classified.template).into();
        DryRun {
            evaluation,
            asked: Some(Asked { operations, template }),
            explanation,
            columns: fields,
            workload: workload.clone(),
            upstream: self.name.clone(),
        }
    }

    fn understood(&self, snapshot: &Snapshot, question: &Question) -> Result<Classified, Undecidable> {
        let refused = |violation: Violation| violation.undecidable();
        let parts = self.parts(question).ok_or(Undecidable::UnsupportedMessage)?;
        let head = Head::read(&parts, Arrived { h2: false, sni: None, tls: true }).map_err(refused)?;
        let segments: Vec<&str> = head.path.segments().collect();
        let matched = self.endpoints.find(head.method.as_str(), &segments).ok_or(Undecidable::UnknownEndpoint)?;
        let reads = snapshot.http_reads(self.name);
        let wanted = Wanted::of(&matched, &reads);
        // A length without a body says how much would come.
        let comes = [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| parts.headers.contains_key(name));
        let body = match &question.body {
            Some(body) => Some(body.as_bytes()),
            None if comes && !wanted.any() => None,
            None => Some(&[][..]),
        };
        understand(self.name, &head, &matched, &reads, &wanted, body).map_err(refused)
    }

    /// The request as hyper would give it. None if it is none.
    fn parts(&self, question: &Question) -> Option<Parts> {
        let (method, target) = question.line.split_once(' ')?;
        let mut request = Request::builder().method(method).uri(target.trim());
        let says = |name: &str| question.headers.keys().any(|known| known.eq_ignore_ascii_case(name));
        if !says(HOST.as_str()) {
            request = request.header(HOST, self.host);
        }
        if let Some(body) = &question.body {
            if !says(CONTENT_TYPE.as_str()) {
                request = request.header(CONTENT_TYPE, "application/json");
            }
            if !says(CONTENT_LENGTH.as_str()) {
                request = request.header(CONTENT_LENGTH, body.len());
            }
        }
        for (name, value) in &question.headers {
            request = request.header(name, value);
        }
        Some(request.body(()).ok()?.into_parts().0)
    }
}

/// Each field of the answer that has a name: its classes, and what a mask makes of it.
fn fields(snapshot: &Snapshot, classified: &Classified, evaluation: &kernel::policy::Evaluation) -> Vec<Value> {
    let view = |(place, path): (usize, &wire::http::json_path::JsonPath)| {
        let resource = &classified.operations.get(place)?.resource;
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
    classified.answers().filter_map(view).collect()
}

#[cfg(test)]
mod tests;
