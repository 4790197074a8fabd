//! A refusal as a Kubernetes API server says it: a `Status` object of `meta/v1`, which its clients show instead of a decoding error.
//!
//! Sources: the Kubernetes API conventions, "Response Status Kind"; client-go, which takes whatever is no `Success` for an error,
//! and kubectl, which shows `reason` and `message`.

use serde::Serialize;

use super::write::line_of_json;
use super::{Refusal, Words};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    kind: &'a str,
    api_version: &'a str,
    metadata: Empty,
    status: &'a str,
    message: String,
    reason: &'a str,
    details: Details<'a>,
    code: u16,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details<'a> {
    causes: [Cause<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u32>,
}

#[derive(Serialize)]
struct Cause<'a> {
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

pub(super) fn status(refusal: &Refusal, words: &Words) -> Vec<u8> {
    let status = Status {
        kind: "Status",
        api_version: "v1",
        metadata: Empty {},
        // Of a request that is kept, too: it has not been done.
        status: "Failure",
        // kubectl shows several lines as they are.
        message: refusal.message(),
        reason: reason(words.status),
        details: Details {
            causes: [Cause { reason: cause(words.problem), message: refusal.refused.reason.as_deref() }],
            retry_after_seconds: refusal.retry_after,
        },
        code: words.status,
    };
    line_of_json(&status)
}

/// `StatusReason` of a status, as API servers and client-go pair them; empty where they have none.
const fn reason(status: u16) -> &'static str {
    match status {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        410 => "Gone",
        413 => "RequestEntityTooLarge",
        415 => "UnsupportedMediaType",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        500.. => "InternalError",
        _ => "",
    }
}

/// The cause, in the form of Kubernetes' own: `PolicyDenied`, `ApprovalRequired`.
fn cause(problem: &str) -> String {
    if problem == "denied" {
        return "PolicyDenied".to_owned();
    }
    let mut out = String::with_capacity(problem.len());
    for word in problem.split('-') {
        let mut letters = word.chars();
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}
