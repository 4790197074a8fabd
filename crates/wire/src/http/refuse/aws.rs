//! A refusal as AWS Secrets Manager says it: a type and a message, by which SDKs name and show an error, and retry it or not.
//!
//! Sources: Smithy, "AWS JSON 1.1 protocol", error serialization; Secrets Manager's common errors; botocore, which raises what is
//! not below 301 (`parsers.py`) and retries by status and by type (`retries/standard.py`, `data/_retry.json`).

use serde::Serialize;

use super::write::line_of_json;
use super::{Kind, Refusal};

#[derive(Serialize)]
struct Error<'a> {
    #[serde(rename = "__type")]
    kind: &'a str,
    message: String,
}

pub(super) fn error(refusal: &Refusal) -> Vec<u8> {
    line_of_json(&Error { kind: kind(refusal), message: refusal.message() })
}

/// The type of the error. SDKs retry a `ThrottlingException`, and nothing else that stands here by its name.
pub(super) const fn kind(refusal: &Refusal) -> &'static str {
    match refusal.kind {
        Kind::Denied | Kind::Quarantined | Kind::ApprovalRequired | Kind::Accepted | Kind::GrantMismatch => {
            "AccessDeniedException"
        }
        Kind::NoSuchRequest => "ResourceNotFoundException",
        Kind::NotCarriedOut | Kind::OutcomeUnknown | Kind::AnswerLost => "InvalidRequestException",
        Kind::OverBudget if refusal.retry_after.is_some() => "ThrottlingException",
        // It is more than the whole budget, and always will be.
        Kind::OverBudget => "ServiceQuotaExceededException",
        Kind::Malformed(_) => "ValidationException",
        Kind::Unauthenticated => "UnrecognizedClientException",
        Kind::CannotDecide | Kind::UpstreamFailed | Kind::UpstreamSlow => "InternalServiceError",
    }
}
