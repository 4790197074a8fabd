//! The bytes of a refusal: JSON, HTML, and the protobuf messages of gRPC's richer error model.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use prost::Message as _;
use serde::Serialize;

use super::{Refusal, Words};

#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    decision: Option<String>,
    policy: Option<&'a str>,
    reason: Option<&'a str>,
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    retryable: bool,
    approval: Option<Approval>,
}

#[derive(Serialize)]
struct Approval {
    id: String,
    url: String,
    poll: String,
    expires_at: Option<String>,
}

/// A refusal in JSON, on a line.
pub(super) fn line_of_json(refusal: &impl Serialize) -> Vec<u8> {
    // Texts and numbers alone: this cannot fail, and a refusal without words is one still.
    let mut out = serde_json::to_vec(refusal).unwrap_or_default();
    out.push(b'\n');
    out
}

/// The type of a problem: a page of the console, or a name of its own where the gateway has no address.
fn kind_of(refusal: &Refusal, words: &Words) -> String {
    if refusal.url.is_empty() {
        format!("urn:parapet:problem:{}", words.problem)
    } else {
        format!("{}/problems/{}", refusal.url, words.problem)
    }
}

pub(super) fn problem(refusal: &Refusal, words: &Words) -> Vec<u8> {
    let approval = refusal.waiting.as_ref().map(|waiting| Approval {
        id: waiting.approval.to_string(),
        url: refusal.approve_at(waiting),
        poll: refusal.poll(waiting),
        expires_at: waiting.expires.map(|expires| expires.to_string()),
    });
    let problem = Problem {
        kind: kind_of(refusal, words),
        title: words.title,
        status: words.status,
        detail: &refusal.refused.line,
        instance: refusal.instance(),
        decision: refusal.decision.map(|decision| decision.to_string()),
        policy: refusal.refused.policy.as_deref(),
        reason: refusal.refused.reason.as_deref(),
        hint: refusal.refused.next.as_deref(),
        code: refusal.code,
        retryable: refusal.kind.is_retryable() && refusal.retry_after.is_some(),
        approval,
    };
    line_of_json(&problem)
}

/// A page without styles or scripts, readable in any browser and by screen readers: one heading, one list of terms.
pub(super) fn page(refusal: &Refusal, words: &Words) -> Vec<u8> {
    let mut out = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"color-scheme\" content=\"light dark\">\n");
    out.push_str("<meta name=\"robots\" content=\"noindex\">\n<title>");
    escape(words.title, &mut out);
    out.push_str("</title>\n</head>\n<body>\n<main>\n<h1>");
    escape(words.title, &mut out);
    out.push_str("</h1>\n<p>");
    escape(&refusal.refused.line, &mut out);
    out.push_str("</p>\n");
    let rows = [
        ("Policy", refusal.refused.policy.as_deref()),
        ("Why", refusal.refused.reason.as_deref()),
        ("Next", refusal.refused.next.as_deref()),
        ("Code", refusal.code),
    ];
    if rows.iter().any(|(_, text)| text.is_some()) {
        out.push_str("<dl>\n");
        for (term, text) in rows {
            if let Some(text) = text {
                out.push_str("<dt>");
                out.push_str(term);
                out.push_str("</dt><dd>");
                escape(text, &mut out);
                out.push_str("</dd>\n");
            }
        }
        out.push_str("</dl>\n");
    }
    let approve =
        refusal.waiting.as_ref().map(|waiting| (refusal.approve_at(waiting), "Look at the request for approval"));
    for (url, text) in approve.into_iter().chain(refusal.instance().map(|url| (url, "Look at the decision"))) {
        // Only what is an address of the web becomes a link.
        if url.starts_with("https://") || url.starts_with("http://") {
            out.push_str("<p><a href=\"");
            escape(&url, &mut out);
            out.push_str("\">");
            out.push_str(text);
            out.push_str("</a></p>\n");
        }
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out.into_bytes()
}

fn escape(text: &str, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter if letter.is_control() => out.push(' '),
            letter => out.push(letter),
        }
    }
}

/// `Percent-Encoded` of gRPC over HTTP/2: printable ASCII but for `%` stays.
pub(super) fn grpc_message(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(char::from(byte));
        } else {
            crate::http::letters::escape(byte, &mut out);
        }
    }
    out
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.ErrorInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: BTreeMap<String, String>,
}

/// `google.rpc.Help`.
#[derive(Clone, PartialEq, prost::Message)]
struct Help {
    #[prost(message, repeated, tag = "1")]
    links: Vec<Link>,
}

/// `google.rpc.Help.Link`.
#[derive(Clone, PartialEq, prost::Message)]
struct Link {
    #[prost(string, tag = "1")]
    description: String,
    #[prost(string, tag = "2")]
    url: String,
}

fn any(name: &str, message: &impl prost::Message) -> Any {
    Any { type_url: format!("type.googleapis.com/google.rpc.{name}"), value: message.encode_to_vec() }
}

/// The value of `grpc-status-details-bin`: base64 without padding, as gRPC asks of senders.
pub(super) fn grpc_details(refusal: &Refusal, words: &Words) -> String {
    let mut metadata = BTreeMap::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            metadata.insert(name.to_owned(), value);
        }
    };
    put("decision", refusal.decision.map(|decision| decision.to_string()));
    put("policy", refusal.refused.policy.clone());
    put("reason", refusal.refused.reason.clone());
    put("code", refusal.code.map(str::to_owned));
    put("approval", refusal.waiting.as_ref().map(|waiting| waiting.approval.to_string()));
    let info = ErrorInfo {
        reason: words.problem.to_ascii_uppercase().replace('-', "_"),
        domain: "parapet".to_owned(),
        metadata,
    };
    let mut links = Vec::new();
    if let Some(waiting) = refusal.waiting.as_ref().filter(|_| !refusal.url.is_empty()) {
        links.push(Link { description: "approve".to_owned(), url: refusal.approve_at(waiting) });
    }
    if let Some(url) = refusal.instance() {
        links.push(Link { description: refusal.refused.next.clone().unwrap_or_else(|| "decision".to_owned()), url });
    }
    let mut details = vec![any("ErrorInfo", &info)];
    if !links.is_empty() {
        details.push(any("Help", &Help { links }));
    }
    let status = Status { code: words.grpc, message: refusal.refused.line.clone(), details };
    STANDARD_NO_PAD.encode(status.encode_to_vec())
}

/// What a client of gRPC reads.
#[cfg(test)]
pub(super) struct Read {
    pub(super) code: i32,
    pub(super) reason: String,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) links: Vec<String>,
}

#[cfg(test)]
pub(super) fn read_grpc_details(text: &str) -> Option<Read> {
    let status = Status::decode(STANDARD_NO_PAD.decode(text).ok()?.as_slice()).ok()?;
    let find =
        |name: &str| status.details.iter().find(|any| any.type_url.ends_with(name)).map(|any| any.value.as_slice());
    let info = ErrorInfo::decode(find("ErrorInfo")?).ok()?;
    let help = find("Help").map(Help::decode).transpose().ok()?.unwrap_or_default();
    let links = help.links.into_iter().map(|link| link.url).collect();
    Some(Read { code: status.code, reason: info.reason, metadata: info.metadata, links })
}
