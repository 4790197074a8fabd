//! What an entry says, in its one canonical form: a JSON object with a fixed order of members, without white space.
//!
//! The first member is `"v":1`. A decision's constant part, its body, is encoded once (`body.rs`), so that the hot path
//! copies bytes. Literals, row values, tokens and passwords never stand in an entry. docs/reference/audit-log.md has it all.
//!
//! A decision's entry is `v at kind decision session`, then `prepares`, `grant`, `approval` and `around` where they apply,
//! then the body: `workload upstream verdict bundle`, `terms` or `by` or `reason`, `provenance task operations statement`. A permit without
//! grant and `around` whose body stands in an earlier entry of the same session and log is short: after `verdict` it has
//! `"like":"dec_…"`, the decision of that entry, in place of the rest. Asks and denials are always in full. What a decision
//! point answers others has `asked_by` after the session, and is always in full too.

use serde::Serialize;

use crate::audit::content::ContentOf;
use crate::id::{ApprovalId, DecisionId, GrantId, SessionId};
use crate::provenance::Provenance;
use crate::time::{TimeText, Timestamp};
use crate::trust::Evidence;
use crate::verdict::Subject;
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
        /// The decision whose entry holds the same body: then this one is short.
        like: Option<DecisionId>,
    },
    /// Somebody asked what policy says about a workload, and was answered.
    Answer(Box<Answered<'a>>),
    /// A workload proved who it is, and a session began.
    Login {
        /// The session.
        session: SessionId,
        /// Who.
        workload: &'a Name,
        /// What was shown.
        evidence: &'a Evidence,
        /// The claims that were accepted, and those that say where it ran.
        claims: &'a crate::trust::Claims,
        /// The upstream that it asked for.
        upstream: &'a Name,
        /// Where it came from.
        source: std::net::IpAddr,
        /// From what run it comes, and for what task.
        provenance: Option<&'a Provenance>,
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
    /// Attestations were, or were not, exchanged for a token.
    Exchange(Box<Exchange<'a>>),
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
        decision: DecisionId,
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
    /// A request that the gateway keeps took a step.
    Kept(Kept<'a>),
    /// Values of a column that carries no class look sensitive.
    Detected {
        /// The session whose result it was.
        session: SessionId,
        /// Who received it.
        workload: &'a Name,
        /// Column, detector and counts.
        found: &'a crate::ports::Detection,
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

/// What became of a request that the gateway keeps until people have answered.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// The approval that it waits for.
    pub approval: ApprovalId,
    /// Who asked.
    pub workload: &'a Name,
    /// Whom it is for.
    pub upstream: &'a Name,
    /// Where it stands, or what was done with it.
    pub state: &'a str,
    /// The session that asks, sends or fetches, where one does.
    pub session: Option<SessionId>,
    /// The decision under which it was sent or denied.
    pub decision: Option<DecisionId>,
    /// The status of the upstream's answer.
    pub status: Option<u16>,
}

fn kept(out: &mut Vec<u8>, kept: &Kept<'_>) -> Result<(), serde_json::Error> {
    member(out, "kind", "kept_request")?;
    member(out, "approval", &kept.approval)?;
    member(out, "workload", kept.workload)?;
    member(out, "upstream", kept.upstream)?;
    member(out, "state", kept.state)?;
    optional(out, "session", kept.session.as_ref())?;
    optional(out, "decision", kept.decision.as_ref())?;
    optional(out, "status", kept.status.as_ref())
}

/// An answer about a workload that somebody else names. Its entry is that of a decision, with `asked_by` after the session.
#[derive(Debug)]
pub struct Answered<'a> {
    /// The decision.
    pub decision: DecisionId,
    /// The connection that the question came by.
    pub session: SessionId,
    /// The workload that it is about.
    pub workload: &'a Name,
    /// Who asked.
    pub asker: &'a crate::answer::Asker,
    /// The grant that was used.
    pub grant: Option<(GrantId, ApprovalId)>,
    /// The approval that was asked for.
    pub approval: Option<ApprovalId>,
    /// What the caller said was true around it.
    pub around: &'a crate::verdict::Around,
    /// The rest.
    pub body: &'a super::body::DecisionBody,
}

/// Says where in `out` the content begins, and whose it is.
fn encode_answer(answer: &Answered<'_>, out: &mut Vec<u8>) -> Result<Option<(usize, ContentOf)>, serde_json::Error> {
    let Answered { decision, session, workload, asker, grant, approval, around, body } = answer;
    member(out, "kind", "decision")?;
    member(out, "decision", decision)?;
    member(out, "session", session)?;
    member(out, "asked_by", asker)?;
    if let Some((grant, approval)) = grant {
        member(out, "grant", grant)?;
        member(out, "approval", approval)?;
    } else if let Some(approval) = approval {
        member(out, "approval", approval)?;
    }
    member(out, "around", around)?;
    out.push(b',');
    let (before, words) = body.parts();
    out.extend_from_slice(before.as_bytes());
    if words.is_empty() {
        return Ok(None);
    }
    out.push(b',');
    let content = out.len();
    out.extend_from_slice(words.as_bytes());
    Ok(Some((content, ContentOf::Session(*session, (*workload).clone()))))
}

/// An exchange of attestations for a token of Parapet's (RFC 8693): a decision like any other.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// The decision.
    pub decision: DecisionId,
    /// Who asked, where that was found out.
    pub workload: Option<&'a Name>,
    /// Where they came from.
    pub source: std::net::IpAddr,
    /// What was shown.
    pub evidence: Option<&'a Evidence>,
    /// The claims that were accepted.
    pub claims: Option<&'a crate::trust::Claims>,
    /// From what run it comes, and for what task.
    pub provenance: Option<&'a Provenance>,
    /// What the task allows.
    pub details: Option<&'a serde_json::Value>,
    /// When the token ends.
    pub expires: Option<Timestamp>,
    /// Why none was issued; none if one was.
    pub why: Option<&'a str>,
}

fn encode_exchange(exchange: &Exchange<'_>, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let Exchange { decision, workload, source, evidence, claims, provenance, details, expires, why } = exchange;
    member(out, "kind", "exchange")?;
    member(out, "decision", decision)?;
    if let Some(workload) = workload {
        member(out, "workload", workload)?;
    }
    member(out, "verdict", if why.is_some() { "deny" } else { "permit" })?;
    member(out, "source", source)?;
    if let Some(evidence) = evidence {
        member(out, "evidence", evidence)?;
    }
    if let Some(claims) = claims.filter(|claims| !claims.is_empty()) {
        member(out, "claims", claims)?;
    }
    super::body::origin(out, *provenance)?;
    if let Some(details) = details {
        member(out, "authorization_details", details)?;
    }
    if let Some(expires) = expires {
        member(out, "expires", &expires.to_string())?;
    }
    match why {
        Some(why) => member(out, "why", why),
        None => Ok(()),
    }
}

/// Appends the canonical bytes of an entry. Says where in `out` its content begins, if it has some: the last members, after
/// their comma and up to the closing brace.
pub(super) fn encode(entry: &Entry<'_>, times: &mut TimeText, out: &mut Vec<u8>) -> Option<(usize, ContentOf)> {
    // Writing to a Vec cannot fail; a member that cannot be serialized would leave the entry unreadable, and `verify`
    // would say so.
    out.extend_from_slice(b"{\"v\":1,\"at\":\"");
    out.extend_from_slice(times.of(entry.at));
    encode_members(entry, out).ok().flatten()
}

fn encode_members(entry: &Entry<'_>, out: &mut Vec<u8>) -> Result<Option<(usize, ContentOf)>, serde_json::Error> {
    let mut content = None;
    out.push(b'"');
    match &entry.event {
        Event::Decision { subject, grant, approval, like } => {
            // By hand: these stand in every entry of the hot path.
            out.extend_from_slice(b",\"kind\":\"decision\",\"decision\":\"dec_");
            out.extend_from_slice(subject.decision.letters());
            out.extend_from_slice(b"\",\"session\":\"ses_");
            out.extend_from_slice(subject.session.letters());
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
            match (like, subject.audit_body.short()) {
                (Some(like), Some(short)) => {
                    out.extend_from_slice(short.as_bytes());
                    out.extend_from_slice(b",\"like\":\"dec_");
                    out.extend_from_slice(like.letters());
                    out.push(b'"');
                }
                (None, _) | (_, None) => {
                    let (before, words) = subject.audit_body.parts();
                    out.extend_from_slice(before.as_bytes());
                    if !words.is_empty() {
                        out.push(b',');
                        let of = ContentOf::Session(subject.session, subject.workload().clone());
                        content = Some((out.len(), of));
                        out.extend_from_slice(words.as_bytes());
                    }
                }
            }
        }
        Event::Answer(answer) => content = encode_answer(answer, out)?,
        Event::Login { session, workload, evidence, claims, upstream, source, provenance } => {
            member(out, "kind", "login")?;
            member(out, "session", session)?;
            member(out, "workload", workload)?;
            member(out, "evidence", evidence)?;
            if !claims.is_empty() {
                member(out, "claims", claims)?;
            }
            member(out, "upstream", upstream)?;
            member(out, "source", source)?;
            super::body::origin(out, *provenance)?;
        }
        Event::LoginRefused { session, claimed, source, why } => {
            member(out, "kind", "login_refused")?;
            member(out, "session", session)?;
            member(out, "claimed", claimed)?;
            member(out, "source", source)?;
            member(out, "why", why)?;
        }
        Event::Exchange(exchange) => encode_exchange(exchange, out)?,
        Event::SessionEnded { session, why, rows, bytes } => {
            member(out, "kind", "session_ended")?;
            member(out, "session", session)?;
            member(out, "why", why)?;
            member(out, "rows", rows)?;
            member(out, "bytes", bytes)?;
        }
        Event::Outcome { decision, outcome, rows } => self::outcome(out, decision, outcome, *rows)?,
        Event::Approval { approval, state, by, reason } => {
            member(out, "kind", "approval")?;
            member(out, "approval", approval)?;
            member(out, "state", state)?;
            member(out, "by", by)?;
            content = by.zip(*reason).map(|(by, _)| (out.len() + 1, ContentOf::Person(by.clone())));
            member(out, "reason", reason)?;
        }
        Event::Kept(step) => kept(out, step)?,
        Event::Detected { session, workload, found } => detected(out, session, workload, found)?,
        Event::Admin { by, action, object, reason } => {
            member(out, "kind", "admin")?;
            member(out, "by", by)?;
            member(out, "action", action)?;
            member(out, "object", object)?;
            content = by.zip(*reason).map(|(by, _)| (out.len() + 1, ContentOf::Person(by.clone())));
            member(out, "reason", reason)?;
        }
        Event::Configuration { result, digest } => {
            member(out, "kind", "configuration")?;
            member(out, "result", result)?;
            member(out, "digest", digest)?;
        }
    }
    out.push(b'}');
    Ok(content)
}

fn outcome(out: &mut Vec<u8>, decision: &DecisionId, outcome: &str, rows: u64) -> Result<(), serde_json::Error> {
    member(out, "kind", "outcome")?;
    member(out, "decision", decision)?;
    member(out, "outcome", outcome)?;
    member(out, "rows", &rows)
}

fn detected(
    out: &mut Vec<u8>,
    session: &SessionId,
    workload: &Name,
    found: &crate::ports::Detection,
) -> Result<(), serde_json::Error> {
    member(out, "kind", "detected")?;
    member(out, "session", session)?;
    member(out, "workload", workload)?;
    member(out, "upstream", &found.upstream)?;
    member(out, "column", &found.column.join("."))?;
    member(out, "detector", found.detector)?;
    member(out, "class", found.class)?;
    member(out, "hits", &found.hits)?;
    member(out, "samples", &found.samples)
}

/// A member that is left out where there is nothing to say.
fn optional<T: Serialize>(out: &mut Vec<u8>, name: &str, value: Option<&T>) -> Result<(), serde_json::Error> {
    value.map_or(Ok(()), |value| member(out, name, value))
}

pub(super) fn member<T: Serialize + ?Sized>(out: &mut Vec<u8>, name: &str, value: &T) -> Result<(), serde_json::Error> {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    serde_json::to_writer(out, value)
}

#[cfg(test)]
mod tests;
