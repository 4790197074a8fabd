//! What the annotations of a policy say: its id, its remedy, and the words for people.
//!
//! An annotation that is not known is refused, because a misspelt `@quarantine` would otherwise be a plain block, and a
//! misspelt `@observe` an outage.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{Effect, Policy};

use crate::approval::ApprovalTerms;
use crate::policy::problem::ProblemKind;
use crate::verdict::{Deciding, Limits, Mask, Rate, SumLimit};
use crate::workload::Name;

/// What a forbid does instead of a plain block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing else: it blocks.
    Block,
    /// `@mask`
    Mask(Mask),
    /// `@limit`
    Limit(Limited),
    /// `@approve`
    Approve(Arc<ApprovalTerms>),
    /// `@quarantine`
    Quarantine,
}

/// What `@limit` caps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limited {
    /// The response, and how often it may be asked for.
    pub limits: Limits,
    /// Sums of numbers that requests have in their bodies.
    pub sums: Vec<SumLimit>,
}

impl Remedy {
    /// The word for people.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Mask(_) => "mask",
            Self::Limit(_) => "limit",
            Self::Approve(_) => "approve",
            Self::Quarantine => "quarantine",
        }
    }
}

/// Everything that a policy's annotations say.
#[derive(Clone, Debug)]
pub(super) struct Annotations {
    pub(super) remedy: Remedy,
    pub(super) observed: bool,
    pub(super) durable: bool,
    pub(super) deciding: Deciding,
}

/// A mistake in an annotation: the annotation's name, to find its place by, and what people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) annotation: String,
    pub(super) kind: ProblemKind,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

const KNOWN: [&str; 10] =
    ["id", "reason", "hint", "severity", "mask", "approve", "limit", "quarantine", "observe", "durable"];
const REMEDIES: [&str; 4] = ["mask", "approve", "limit", "quarantine"];
const SEVERITIES: [&str; 4] = ["low", "medium", "high", "critical"];
const LONGEST_TEXT: usize = 500;

/// Reads every annotation, or says everything that is wrong with them.
pub(super) fn read(policy: &Policy) -> Result<Annotations, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let id = read_id(policy, &mut mistakes);
    let texts = ["reason", "hint"].map(|name| read_text(policy, name, &mut mistakes));
    let severity = read_severity(policy, &mut mistakes);
    let mut remedies = Vec::new();
    let (mut observed, mut durable) = (false, false);
    for (name, value) in policy.annotations() {
        if !KNOWN.contains(&name) {
            mistakes.push(unknown(name));
        } else if (REMEDIES.contains(&name) || name == "observe") && policy.effect() == Effect::Permit {
            mistakes.push(Mistake {
                annotation: name.to_owned(),
                kind: ProblemKind::RemedyOnPermit,
                message: format!("`@{name}` stands on a permit"),
                help: Some("a permit carries no remedy; put it on a forbid".to_owned()),
            });
        } else if name == "durable" {
            durable = true;
            mistakes.extend(must_be_bare(name, value));
        } else if name == "observe" {
            observed = true;
            mistakes.extend(must_be_bare(name, value));
        } else if REMEDIES.contains(&name) {
            match read_remedy(name, value, &id) {
                Ok(remedy) => remedies.push((name, remedy)),
                Err(mistake) => mistakes.push(mistake),
            }
        }
    }
    if let [_, (second, _), ..] = remedies.as_slice() {
        mistakes.push(Mistake {
            annotation: (*second).to_owned(),
            kind: ProblemKind::ManyRemedies,
            message: format!("more than one remedy: {}", names(&remedies)),
            help: Some("write one forbid for each remedy; the strictest that matches wins".to_owned()),
        });
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let [reason, hint] = texts;
    Ok(Annotations {
        remedy: remedies.pop().map_or(Remedy::Block, |(_, remedy)| remedy),
        observed,
        durable,
        deciding: Deciding { policy: id, reason, hint, severity },
    })
}

fn names(remedies: &[(&str, Remedy)]) -> String {
    remedies.iter().map(|(name, _)| format!("`@{name}`")).collect::<Vec<_>>().join(", ")
}

fn unknown(name: &str) -> Mistake {
    let nearest = KNOWN
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .min()
        .filter(|(distance, _)| *distance <= 2);
    Mistake {
        annotation: name.to_owned(),
        kind: ProblemKind::UnknownAnnotation,
        message: format!("unknown annotation `@{name}`"),
        help: Some(match nearest {
            Some((_, known)) => format!("did you mean `@{known}`?"),
            None => format!("known are {}", KNOWN.map(|known| format!("`@{known}`")).join(", ")),
        }),
    }
}

fn bad(annotation: &str, message: String, help: impl Into<String>) -> Mistake {
    Mistake { annotation: annotation.to_owned(), kind: ProblemKind::BadAnnotation, message, help: Some(help.into()) }
}

fn must_be_bare(name: &str, value: &str) -> Option<Mistake> {
    (!value.is_empty()).then(|| bad(name, format!("`@{name}` takes no value"), format!("write `@{name}` alone")))
}

fn read_id(policy: &Policy, mistakes: &mut Vec<Mistake>) -> Arc<str> {
    let id = policy.annotation("id").unwrap_or_default();
    // Ids stand in error messages of every protocol, so they are as plain as other names.
    if id.parse::<Name>().is_err() {
        mistakes.push(Mistake {
            annotation: "id".to_owned(),
            kind: ProblemKind::Id,
            message: if id.is_empty() {
                "the policy has no `@id`".to_owned()
            } else {
                "the policy's `@id` is not a name".to_owned()
            },
            help: Some(
                "write `@id(\"…\")` before the policy: 1 to 63 letters, digits, `-`, `_` or `.`, beginning with a letter or digit"
                    .to_owned(),
            ),
        });
    }
    id.into()
}

fn read_text(policy: &Policy, name: &str, mistakes: &mut Vec<Mistake>) -> Option<Arc<str>> {
    let text = policy.annotation(name)?;
    if text.is_empty() || text.len() > LONGEST_TEXT || text.chars().any(char::is_control) {
        mistakes.push(bad(
            name,
            format!("`@{name}` is not one line of text"),
            format!("write one line of at most {LONGEST_TEXT} bytes, in quotes"),
        ));
    }
    Some(text.into())
}

fn read_severity(policy: &Policy, mistakes: &mut Vec<Mistake>) -> Option<Arc<str>> {
    let word = policy.annotation("severity")?;
    if !SEVERITIES.contains(&word) {
        mistakes.push(bad("severity", "unknown severity".to_owned(), format!("one of {}", SEVERITIES.join(", "))));
    }
    Some(word.into())
}

fn read_remedy(name: &str, value: &str, id: &Arc<str>) -> Result<Remedy, Mistake> {
    match name {
        "mask" => Mask::from_word(value).map(Remedy::Mask).ok_or_else(|| {
            bad(name, format!("unknown mask `{value}`"), "one of null, redact, hash, token, last4, partial")
        }),
        "approve" => read_approve(value, id).map(|terms| Remedy::Approve(terms.into())),
        "limit" => read_limit(value).map(Remedy::Limit),
        _ => must_be_bare(name, value).map_or(Ok(Remedy::Quarantine), Err),
    }
}

/// The items of an annotation's value, which commas or white space divide.
fn items(value: &str) -> impl Iterator<Item = &str> {
    value.split(|c: char| c == ',' || c.is_whitespace()).filter(|item| !item.is_empty())
}

const APPROVE_FORM: &str =
    "write `@approve(\"group, other-group, quorum=2, window=30m, valid=10m, uses=1\")`; only the groups are needed";

/// `@approve("dba, security, quorum=2, window=30m, valid=10m, uses=1")`
fn read_approve(value: &str, id: &Arc<str>) -> Result<ApprovalTerms, Mistake> {
    const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);
    let mut terms = ApprovalTerms {
        groups: BTreeSet::new(),
        quorum: 1,
        open_for: HALF_AN_HOUR,
        valid_for: HALF_AN_HOUR,
        uses: 1,
        policies: [id.clone()].into(),
    };
    let wrong = |what: &str| bad("approve", format!("`@approve`: {what}"), APPROVE_FORM);
    for item in items(value) {
        let Some((option, setting)) = item.split_once('=') else {
            let group = item.parse().map_err(|_| wrong(&format!("`{item}` is not the name of a group")))?;
            terms.groups.insert(group);
            continue;
        };
        let count = || {
            setting
                .parse::<u32>()
                .ok()
                .filter(|count| (1..=100).contains(count))
                .ok_or_else(|| wrong(&format!("`{option}` is a number from 1 to 100")))
        };
        let time = || {
            duration(setting).ok_or_else(|| wrong(&format!("`{option}` is a time such as `90s`, `30m`, `8h` or `7d`")))
        };
        match option {
            "quorum" => terms.quorum = count()?,
            "uses" => terms.uses = count()?,
            "window" => terms.open_for = time()?,
            "valid" => terms.valid_for = time()?,
            _ => return Err(wrong(&format!("unknown option `{option}`"))),
        }
    }
    if terms.groups.is_empty() { Err(wrong("no group is named")) } else { Ok(terms) }
}

/// `90s`, `30m`, `8h`, `7d`; from a second to 31 days.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let total = count.checked_mul(seconds)?;
    (1..=31 * 86_400).contains(&total).then(|| Duration::from_secs(total))
}

/// `@limit("rows=1000, bytes=1000000")`, `@limit("per=20/1h")`, `@limit("sum(amount)=10000/1h")`
fn read_limit(value: &str) -> Result<Limited, Mistake> {
    let form = "write `@limit(\"rows=1000\")`, `@limit(\"bytes=1000000\")`, `@limit(\"per=20/1h\")`, \
        `@limit(\"sum(amount)=10000/1h\")`, or several with commas";
    let wrong = |what: &str| bad("limit", format!("`@limit`: {what}"), form);
    let mut limited = Limited::default();
    for item in items(value) {
        let (option, setting) = item.split_once('=').ok_or_else(|| wrong("each part is a name, `=` and a number"))?;
        let count = || setting.parse::<u64>().map(Some).map_err(|_| wrong(&format!("`{option}` is a whole number")));
        match option {
            "rows" => limited.limits.rows = count()?,
            "bytes" => limited.limits.bytes = count()?,
            "per" => {
                let rate = rate(setting, u32::MAX.into())
                    .ok_or_else(|| wrong("`per` is a count and a time, such as `20/1h`"))?;
                limited.limits.per = Some(rate);
            }
            _ => match option.strip_prefix("sum(").and_then(|rest| rest.strip_suffix(')')) {
                Some(field) if field.parse::<Name>().is_ok() => {
                    let rate = rate(setting, i64::MAX.unsigned_abs())
                        .ok_or_else(|| wrong("`sum(…)` is a number and a time, such as `10000/1h`"))?;
                    limited.sums.push(SumLimit { field: field.into(), rate });
                }
                Some(_) => return Err(wrong("`sum(…)` names a field of the body")),
                None => return Err(wrong(&format!("unknown option `{option}`"))),
            },
        }
    }
    if limited == Limited::default() { Err(wrong("nothing is limited")) } else { Ok(limited) }
}

/// `20/1h`, with a count of at most `most`.
fn rate(text: &str, most: u64) -> Option<Rate> {
    let (count, window) = text.split_once('/')?;
    let count = count.parse::<u64>().ok().filter(|count| (1..=most).contains(count))?;
    let window_s = u32::try_from(duration(window)?.as_secs()).ok()?;
    Some(Rate { count, window_s })
}
