//! Proving attestations: a file per sort of proof. Each yields a `VerifiedAttestation`, which only these files may make;
//! which workload it is, the kernel's trust rules say.
//!
//! Refusals say everything to the log. What a stranger is told is the protocol's business, and is nothing useful.

pub mod bearer;
mod bundle;
pub mod certificate;
mod claims;
pub mod dpop;
pub mod federation;
mod json;
pub mod jwks;
pub mod logins;
pub mod native;
pub mod oidc;
pub mod passed_on;
pub(crate) mod resumed;
pub mod security_event;
pub mod spiffe;
pub mod task;
pub mod trust_domains;
pub mod workload_api;

#[cfg(test)]
pub(crate) mod scripted;

/// Text from a stranger, made fit for a log line: without control characters, and short.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 120;
    let mut short: String = text.chars().filter(|letter| !letter.is_control()).take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}
