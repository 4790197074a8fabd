//! What a person reads when a request does not pass: the message line and its fields, once for all protocols.
//!
//! Everything here is written by policy authors or by us; no literal, row value or upstream text can get in. The line is
//! ASCII, at most 120 characters, with the ids last, and complete by itself: many clients show nothing else.

use std::fmt::Write as _;

use kernel::id::{ApprovalId, DecisionId};
use kernel::operation::Operation;
use kernel::policy::Disclosure;
use kernel::verdict::{Ask, Deciding, Deny, DenyReason};
use kernel::workload::Workload;

/// The most characters of a message line.
pub const LONGEST_LINE: usize = 120;

/// The fields of a refusal, before a protocol puts them in its own form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Complete by itself.
    pub line: String,
    /// Why: the policy's reason, and who answers for the workload.
    pub reason: Option<String>,
    /// What to do next.
    pub next: Option<String>,
    /// The policy that decided.
    pub policy: Option<String>,
    /// Position of the offending part in the client's text: a byte offset.
    pub at: Option<u32>,
}

/// Where people look a decision up.
#[derive(Debug, Clone, Copy)]
pub struct Desk<'a> {
    /// The console's address, such as `http://127.0.0.1:18000`.
    pub url: &'a str,
    /// How much the client may be told.
    pub disclosure: Disclosure,
}

/// `DROP TABLE on shop-db/shop.public.orders`.
pub fn what(operation: Option<&Operation>) -> String {
    match operation {
        Some(operation) => format!("{} on {}", operation.verb, ascii(&operation.resource.to_string())),
        None => "this request".to_owned(),
    }
}

/// Describes a denial.
pub fn denied(deny: &Deny, workload: Option<&Workload>, desk: Desk<'_>) -> Refused {
    let decision = deny.subject().decision();
    let what = what(deny.subject().deciding_operation());
    let tail = format!(" [{decision}]");
    let head = match deny.reason() {
        DenyReason::Policy(by) | DenyReason::Quarantine(by) => format!("blocked by policy \"{}\": ", ascii(&by.policy)),
        DenyReason::NotApproved(by) => format!("not approved, policy \"{}\": ", ascii(&by.policy)),
        DenyReason::OverBudget(by) => format!("budget used up, policy \"{}\": ", ascii(&by.policy)),
        DenyReason::NoPermit => "blocked, no policy permits ".to_owned(),
        DenyReason::Standing => "blocked, the workload may not act: ".to_owned(),
        DenyReason::CannotDecide(why) => format!("blocked, cannot decide ({}): ", why.code()),
        DenyReason::OutsideTask { .. } => "blocked, outside the task: ".to_owned(),
    };
    let by = match deny.reason() {
        DenyReason::Policy(by)
        | DenyReason::Quarantine(by)
        | DenyReason::NotApproved(by)
        | DenyReason::OverBudget(by) => Some(by),
        DenyReason::NoPermit | DenyReason::Standing | DenyReason::CannotDecide(_) | DenyReason::OutsideTask { .. } => {
            None
        }
    };
    let outside = match deny.reason() {
        DenyReason::OutsideTask { task, bound } => Some(format!("outside the task {task}: {}", bound.as_str())),
        _ => None,
    };
    let wait = match deny.frees_in() {
        Some(time) => format!("wait {} s, or ask less often", time.as_millis().div_ceil(1000)),
        None => "ask for less: it is more than the whole budget".to_owned(),
    };
    let (own_reason, own_hint) = match deny.reason() {
        DenyReason::CannotDecide(why) => (Some(why.explanation()), Some(why.hint())),
        DenyReason::Standing => (Some("the workload is quarantined, retired or expired"), None),
        DenyReason::NoPermit => (Some("what no policy permits is denied"), None),
        DenyReason::OutsideTask { .. } => {
            (outside.as_deref(), Some("ask for a token whose task allows it, if policy does"))
        }
        DenyReason::OverBudget(_) => {
            (Some("the workload has asked this as often as the policy lets it in a time"), Some(wait.as_str()))
        }
        DenyReason::Policy(_) | DenyReason::Quarantine(_) | DenyReason::NotApproved(_) => (None, None),
    };
    let at = deny.subject().deciding_operation().and_then(|operation| operation.span).map(|(start, _)| start);
    let next = format!("parapet explain {decision}   or   {}/d/{decision}", desk.url);
    compose(Parts { head, what, tail, by, own_reason, own_hint, next, at }, &decision, workload, desk.disclosure)
}

/// Describes a request that waits for people.
pub fn asked(ask: &Ask, approval: ApprovalId, workload: Option<&Workload>, desk: Desk<'_>) -> Refused {
    let decision = ask.subject().decision();
    let what = what(ask.subject().deciding_operation());
    let tail = format!(" [{decision} {approval}]");
    let head = format!("approval required by policy \"{}\": ", ascii(&ask.deciding().policy));
    let next =
        format!("approve at {}/a/{approval}   or   parapet approvals approve {approval}; then run it again", desk.url);
    let at = ask.subject().deciding_operation().and_then(|operation| operation.span).map(|(start, _)| start);
    let parts = Parts { head, what, tail, by: Some(ask.deciding()), own_reason: None, own_hint: None, next, at };
    compose(parts, &decision, workload, desk.disclosure)
}

struct Parts<'a> {
    head: String,
    what: String,
    tail: String,
    by: Option<&'a Deciding>,
    own_reason: Option<&'a str>,
    own_hint: Option<&'a str>,
    next: String,
    at: Option<u32>,
}

fn compose(parts: Parts<'_>, decision: &DecisionId, workload: Option<&Workload>, disclosure: Disclosure) -> Refused {
    let Parts { head, what, tail, by, own_reason, own_hint, next, at } = parts;
    match disclosure {
        Disclosure::Id => {
            Refused { line: format!("blocked [{decision}]"), reason: None, next: None, policy: None, at: None }
        }
        Disclosure::Policy => Refused {
            line: fit(&head, &what, &tail),
            reason: None,
            next: None,
            policy: by.map(|by| ascii(&by.policy)),
            at,
        },
        Disclosure::Full => {
            let mut reason = by.and_then(|by| by.reason.as_deref()).or(own_reason).map(str::to_owned);
            if let Some(workload) = workload {
                let text = reason.get_or_insert_default();
                if !text.is_empty() && !text.ends_with('.') {
                    text.push('.');
                }
                if !text.is_empty() {
                    text.push(' ');
                }
                // Writing to a String cannot fail.
                let _written = write!(text, "Owner of {}: {}", workload.name, workload.owner);
            }
            let hint = by.and_then(|by| by.hint.as_deref()).or(own_hint);
            let next = hint.map_or_else(|| next.clone(), |hint| format!("{hint}   |   {next}"));
            Refused {
                line: fit(&head, &what, &tail),
                reason,
                next: Some(next),
                policy: by.map(|by| ascii(&by.policy)),
                at,
            }
        }
    }
}

/// Joins a line of at most [`LONGEST_LINE`] characters. Too long: the middle of the resource is left out, never the id.
fn fit(head: &str, what: &str, tail: &str) -> String {
    let room = LONGEST_LINE.saturating_sub(head.len() + tail.len());
    if what.len() <= room {
        return format!("{head}{what}{tail}");
    }
    let keep = room.saturating_sub(3);
    let front: String = what.chars().take(keep.div_ceil(2)).collect();
    let back: String = what.chars().skip(what.chars().count().saturating_sub(keep / 2)).collect();
    format!("{head}{front}...{back}{tail}")
}

/// Names come from the upstream or from policy: what is not printable ASCII is shown as `?`.
fn ascii(text: &str) -> String {
    text.chars().map(|letter| if matches!(letter, ' '..='~') { letter } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_its_id_and_its_length() {
        let tail = " [dec_01JX8ZQ301JX8ZQ3]";
        let short = fit("blocked by policy \"p\": ", "DROP TABLE on shop-db/shop.public.orders", tail);
        assert_eq!(short, "blocked by policy \"p\": DROP TABLE on shop-db/shop.public.orders [dec_01JX8ZQ301JX8ZQ3]");
        let long = fit("blocked by policy \"p\": ", &format!("DROP TABLE on {}", "x".repeat(200)), tail);
        assert!(long.len() <= LONGEST_LINE && long.ends_with(tail) && long.contains("..."), "{long}");
    }

    #[test]
    fn names_cannot_break_the_line() {
        assert_eq!(ascii("a\nb\u{202e}c"), "a?b?c");
    }
}
