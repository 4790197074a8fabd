//! What an entry says, in its one canonical form: a JSON object with a fixed order of members, without white space.
//!
//! The first member is `"v":1`. A decision's constant part is encoded once for each shape of request (`decision_body`), so
//! that the hot path copies bytes. Literals, row values, tokens and passwords never stand in an entry.

use std::sync::Arc;

use serde::Serialize;

use crate::id::{ApprovalId, GrantId, SessionId};
use crate::operation::Operation;
use crate::time::Timestamp;
use crate::trust::Evidence;
use crate::verdict::{Deciding, DenyReason, Subject, Terms};
use crate::workload::{Name, Person};

/// Something that happened, and when.
#[derive(Debug)]
pub struct Entry<'a> {
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: Event<'a>,
}

/// What can happen.
#[derive(Debug)]
pub enum Event<'a> {
    /// A request was decided.
    Decision {
        /// What it is about, with the encoded constant part.
        subject: &'a Subject,
        /// The grant that was used.
        grant: Option<(GrantId, ApprovalId)>,
        /// The approval that was asked for.
        approval: Option<ApprovalId>,
    },
    /// A workload proved who it is, and a session began.
    Login {
        /// The session.
        session: SessionId,
        /// Who.
        workload: &'a Name,
        /// What was shown.
        evidence: &'a Evidence,
        /// The upstream that it asked for.
        upstream: &'a Name,
        /// Where it came from.
        source: std::net::IpAddr,
    },
    /// Somebody did not prove who they are, or may not connect.
    LoginRefused {
        /// The session that did not begin.
        session: SessionId,
        /// The name that was claimed, as sent, shortened.
        claimed: &'a str,
        /// Where it came from.
        source: std::net::IpAddr,
        /// Why, for the log alone.
        why: &'a str,
    },
    /// A session ended.
    SessionEnded {
        /// The session.
        session: SessionId,
        /// Why: `closed`, `killed`, `quarantined`, …
        why: &'a str,
        /// Rows that left.
        rows: u64,
        /// Bytes that left.
        bytes: u64,
    },
    /// What became of a decision whose request was forwarded.
    Outcome {
        /// The decision.
        decision: crate::id::DecisionId,
        /// `ok`, `error`, or why it was cut.
        outcome: &'a str,
        /// Rows that left.
        rows: u64,
    },
    /// An approval changed its state.
    Approval {
        /// The approval.
        approval: ApprovalId,
        /// The new state.
        state: &'a str,
        /// The person who changed it, if one did.
        by: Option<&'a Person>,
        /// Their words.
        reason: Option<&'a str>,
    },
    /// A person or the gateway itself acted on the product.
    Admin {
        /// The person; none for the gateway itself.
        by: Option<&'a Person>,
        /// The verb, such as `workloads quarantine`.
        action: &'a str,
        /// What was acted on.
        object: &'a str,
        /// Their reason.
        reason: Option<&'a str>,
    },
    /// Configuration or policies were loaded, or refused.
    Configuration {
        /// `loaded` or `refused`.
        result: &'a str,
        /// SHA-256 of what was read, in hexadecimal.
        digest: &'a str,
    },
}

/// The constant part of a decision's entry: everything besides ids and time. Begins and ends without a comma.
pub fn decision_body(
    workload: &Name,
    upstream: &Name,
    bundle: &str,
    verdict: &VerdictSummary<'_>,
    operations: &[Operation],
    template: &str,
) -> Arc<str> {
    #[derive(Serialize)]
    struct Body<'b> {
        workload: &'b Name,
        upstream: &'b Name,
        bundle: &'b str,
        #[serde(flatten)]
        verdict: &'b VerdictSummary<'b>,
        operations: Vec<OperationSummary<'b>>,
        statement: &'b str,
    }
    #[derive(Serialize)]
    struct OperationSummary<'b> {
        action: crate::operation::Action,
        verb: &'static str,
        kind: crate::resource::ResourceKind,
        resource: String,
        /// Only where a name holds a dot, so that `resource` can be read in two ways.
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<&'b [Arc<str>]>,
        #[serde(skip_serializing_if = "Option::is_none")]
        facts: Option<&'b crate::facts::Facts>,
    }
    // An entry must fit a leaf, whatever the statement: what is cut says so.
    const MOST_OPERATIONS: usize = 64;
    const LONGEST_STATEMENT: usize = 8192;
    let mut last: Option<&Arc<crate::facts::Facts>> = None;
    let mut summaries: Vec<OperationSummary<'_>> = operations
        .iter()
        .take(MOST_OPERATIONS)
        .map(|operation| {
            // Operations of one statement share their facts: they are written with the first.
            let repeated = last.is_some_and(|facts| Arc::ptr_eq(facts, &operation.facts));
            last = Some(&operation.facts);
            OperationSummary {
                action: operation.action,
                verb: operation.verb,
                kind: operation.resource.kind,
                resource: operation.resource.to_string(),
                path: operation
                    .resource
                    .path
                    .iter()
                    .any(|name| name.contains('.'))
                    .then_some(&*operation.resource.path),
                facts: (!repeated).then_some(&*operation.facts),
            }
        })
        .collect();
    if let (true, Some(cut)) = (operations.len() > MOST_OPERATIONS, summaries.last_mut()) {
        cut.resource = format!("… {} more", operations.len() - MOST_OPERATIONS);
    }
    let mut end = template.len().min(LONGEST_STATEMENT);
    while !template.is_char_boundary(end) {
        end -= 1;
    }
    let body = Body {
        workload,
        upstream,
        bundle,
        verdict,
        operations: summaries,
        statement: template.get(..end).unwrap_or_default(),
    };
    let text = serde_json::to_string(&body).unwrap_or_default();
    text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default().into()
}

/// The verdict as an entry states it.
#[derive(Debug, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum VerdictSummary<'a> {
    /// It passed, under these terms.
    Permit {
        /// The terms.
        terms: &'a Terms,
    },
    /// It was held.
    Ask {
        /// The policy that asked.
        by: &'a Deciding,
    },
    /// It was denied.
    Deny {
        /// Why.
        reason: &'a DenyReason,
    },
}

/// Appends the canonical bytes of an entry.
pub(super) fn encode(entry: &Entry<'_>, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail; a member that cannot be serialized would leave the entry unreadable, and `verify`
    // would say so.
    let _written: Result<(), serde_json::Error> = encode_members(entry, out);
}

fn encode_members(entry: &Entry<'_>, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    out.extend_from_slice(b"{\"v\":1,\"at\":\"");
    out.extend_from_slice(&entry.at.text());
    out.push(b'"');
    match &entry.event {
        Event::Decision { subject, grant, approval } => {
            // By hand: these stand in every entry of the hot path.
            out.extend_from_slice(b",\"kind\":\"decision\",\"decision\":\"dec_");
            out.extend_from_slice(&subject.decision.letters());
            out.extend_from_slice(b"\",\"session\":\"ses_");
            out.extend_from_slice(&subject.session.letters());
            out.push(b'"');
            if subject.prepares {
                member(out, "prepares", &true)?;
            }
            if let Some((grant, approval)) = grant {
                member(out, "grant", grant)?;
                member(out, "approval", approval)?;
            }
            if let Some(approval) = approval {
                member(out, "approval", approval)?;
            }
            if let Some(around) = &subject.around {
                member(out, "around", around)?;
            }
            out.push(b',');
            out.extend_from_slice(subject.audit_body.as_bytes());
        }
        Event::Login { session, workload, evidence, upstream, source } => {
            member(out, "kind", "login")?;
            member(out, "session", session)?;
            member(out, "workload", workload)?;
            member(out, "evidence", evidence)?;
            member(out, "upstream", upstream)?;
            member(out, "source", source)?;
        }
        Event::LoginRefused { session, claimed, source, why } => {
            member(out, "kind", "login_refused")?;
            member(out, "session", session)?;
            member(out, "claimed", claimed)?;
            member(out, "source", source)?;
            member(out, "why", why)?;
        }
        Event::SessionEnded { session, why, rows, bytes } => {
            member(out, "kind", "session_ended")?;
            member(out, "session", session)?;
            member(out, "why", why)?;
            member(out, "rows", rows)?;
            member(out, "bytes", bytes)?;
        }
        Event::Outcome { decision, outcome, rows } => {
            member(out, "kind", "outcome")?;
            member(out, "decision", decision)?;
            member(out, "outcome", outcome)?;
            member(out, "rows", rows)?;
        }
        Event::Approval { approval, state, by, reason } => {
            member(out, "kind", "approval")?;
            member(out, "approval", approval)?;
            member(out, "state", state)?;
            member(out, "by", by)?;
            member(out, "reason", reason)?;
        }
        Event::Admin { by, action, object, reason } => {
            member(out, "kind", "admin")?;
            member(out, "by", by)?;
            member(out, "action", action)?;
            member(out, "object", object)?;
            member(out, "reason", reason)?;
        }
        Event::Configuration { result, digest } => {
            member(out, "kind", "configuration")?;
            member(out, "result", result)?;
            member(out, "digest", digest)?;
        }
    }
    out.push(b'}');
    Ok(())
}

fn member<T: Serialize + ?Sized>(out: &mut Vec<u8>, name: &str, value: &T) -> Result<(), serde_json::Error> {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    serde_json::to_writer(out, value)
}
