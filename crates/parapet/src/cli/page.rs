//! The page of one decision, for `explain` and `decide`: what was asked, who asked, why it was decided so, the policies' own
//! lines with what each clause came to, what would have passed, and the proof. Lays out; finds nothing out.

use std::fmt::Write as _;

use kernel::verdict::Undecidable;
use serde_json::Value;

use crate::cli::globals::{Format, Globals, TimeFormat};
use crate::cli::output::{self, scalar};
use crate::cli::style::{Styled, Tone, plain};
use crate::cli::{time, yaml};

/// The width of the labels.
const LABEL: usize = 11;

/// A decision, laid out for people or as JSON.
pub(crate) fn decision(answer: &Value, globals: &Globals) -> String {
    match globals.format() {
        Format::Json | Format::Jsonl => return output::object("parapet.decision/v1", answer),
        Format::Yaml => return yaml::document("parapet.decision/v1", answer),
        Format::Id => return answer.get("decision").map(scalar).unwrap_or_default() + "\n",
        Format::Table | Format::Wide => {}
    }
    let text = |pointer: &str| answer.pointer(pointer).filter(|value| !value.is_null()).map(scalar);
    let mut page = Page { text: headline(answer) };
    page.row("who", who(answer));
    page.row("task", task(answer));
    page.row("chain", list(answer, "/task/chain", " → ", |actor| Some(scalar(actor))));
    page.row("run", run(answer));
    page.row("what", what(answer));
    page.row("why", Some(why(answer)));
    page.row("reason", text("/reason/reason").or_else(|| text("/by/reason")));
    page.row("hint", text("/reason/hint").or_else(|| text("/by/hint")));
    page.row("observed", observed(answer));
    page.row("masks", masks(answer));
    page.row("limit", text("/terms/limits/rows").map(|rows| format!("{rows} rows")));
    page.sources(answer);
    for (index, way) in ways_out(answer).into_iter().enumerate() {
        page.row(if index == 0 { "passes if" } else { "or" }, Some(way));
    }
    page.row("near misses", near_misses(answer));
    page.row("seen before", seen_before(answer));
    page.row("approval", text("/approval").map(|id| format!("{id}   parapet approvals show {id}")));
    page.row("grant", text("/grant"));
    let circumstances = text("/explanation/circumstances").map(|said| format!("circumstances: {said}"));
    page.row("note", text("/explanation/note").or(circumstances));
    page.row("proof", proof(answer));
    page.text
}

struct Page {
    text: String,
}

impl Page {
    fn row(&mut self, label: &str, value: Option<String>) {
        if let Some(value) = value {
            let label = Styled(Tone::Faint, format!("{label:<LABEL$}"));
            let _infallible = writeln!(self.text, "  {label}  {value}");
        }
    }

    /// The policies' own lines, as the gateway drew them; its other lines are said here in another place.
    fn sources(&mut self, answer: &Value) {
        let drawn = answer.pointer("/explanation/text").and_then(Value::as_str).unwrap_or_default();
        for line in drawn.lines() {
            let rest = line.trim_start();
            let number = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            let source = number.len() < rest.len() && number.starts_with(" │");
            if source || rest.starts_with(['╭', '·']) || line.starts_with("          and ") {
                let _infallible = writeln!(self.text, "{}", plain(line).trim_end());
            }
        }
    }
}

fn headline(answer: &Value) -> String {
    let verdict = answer.get("verdict").and_then(Value::as_str).unwrap_or_default();
    let observed = answer.pointer("/terms/observed").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let (tone, word) = match verdict {
        "permit" if observed => (Tone::Waiting, "◷ PERMIT, observed"),
        "permit" => (Tone::Good, "✓ PERMIT"),
        "ask" => (Tone::Waiting, "◷ ASK"),
        _ => (Tone::Bad, "✗ DENY"),
    };
    let mut line = Styled(tone, word).to_string();
    let operation = deciding(answer);
    if let Some(operation) = operation {
        let part = |member: &str| operation.get(member).filter(|value| !value.is_null()).map(scalar);
        let verb = part("verb").or_else(|| part("action")).unwrap_or_default();
        let _infallible = write!(line, "  {verb} on {}", part("resource").unwrap_or_default());
    } else if let Some(why) = undecidable(answer) {
        let _infallible = write!(line, "  cannot decide ({})", why.code());
    }
    if let Some(at) = answer.get("at").and_then(time::read) {
        let now = time::now();
        let (at_text, ago) = (time::show(at, TimeFormat::Rfc3339, now), time::show(at, TimeFormat::Relative, now));
        let _infallible = write!(line, "   {at_text}  ({ago})");
    }
    if answer.get("dry_run").is_some() {
        line.push_str("   dry run: nothing was sent, nothing was decided");
    }
    line.push('\n');
    line
}

/// The operation that decided, else the first.
fn deciding(answer: &Value) -> Option<&Value> {
    let operations = answer.get("operations")?.as_array()?;
    let index = answer.pointer("/explanation/evaluation/operation").and_then(Value::as_u64).unwrap_or(0);
    operations.get(usize::try_from(index).ok()?).or_else(|| operations.first())
}

fn who(answer: &Value) -> Option<String> {
    let mut text = scalar(answer.get("workload")?);
    let known = answer.get("who").filter(|who| who.is_object());
    let part = |member: &str| known.and_then(|who| who.get(member)).map(scalar);
    if let (Some(kind), Some(owner)) = (part("kind"), part("owner")) {
        let _infallible = write!(text, "   {kind}, owner {owner}");
    }
    if let Some(session) = answer.get("session").filter(|session| !session.is_null()) {
        let _infallible = write!(text, ", session {}", scalar(session));
    }
    Some(text)
}

fn what(answer: &Value) -> Option<String> {
    let statement = answer.get("statement").and_then(Value::as_str).unwrap_or_default();
    let mut text = plain(statement);
    let operations = answer.get("operations")?.as_array()?;
    if let Some(first) = operations.first() {
        let action = first.get("action").map(scalar).unwrap_or_default();
        let group = answer.pointer("/explanation/group").filter(|group| group.as_str() != Some("")).map(scalar);
        let plural = if operations.len() == 1 { "" } else { "s" };
        let _infallible = write!(text, "   {} operation{plural}: {action}", operations.len());
        if let Some(group) = group {
            let _infallible = write!(text, ", in {group}");
        }
    }
    let text = text.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn why(answer: &Value) -> String {
    let text = |pointer: &str| answer.pointer(pointer).filter(|value| !value.is_null()).map(scalar);
    let forbid = |remedy: &str| {
        let policy = text("/reason/policy").or_else(|| text("/by/policy")).unwrap_or_default();
        format!("forbid \"{policy}\"   remedy: {remedy}")
    };
    let mut why = match text("/reason/why").as_deref() {
        Some("policy") => forbid("block"),
        Some("quarantine") => forbid("quarantine"),
        Some("not_approved") => format!("{}, and it was not approved", forbid("approve")),
        Some("no_permit") => "no policy permits it".to_owned(),
        Some("outside_task") => outside_task(answer),
        Some("standing") => "the workload is quarantined, retired or expired".to_owned(),
        Some("cannot_decide") => format!("it cannot be decided: {}", cannot_decide(answer)),
        Some(_) | None if text("/by/policy").is_some() => forbid("approve"),
        Some(_) | None => {
            let permits = list(answer, "/terms/permits", ", ", |name| Some(format!("\"{}\"", scalar(name))));
            permits.map_or_else(|| "a grant".to_owned(), |permits| format!("permit {permits}"))
        }
    };
    if let Some(bundle) = text("/bundle") {
        let _infallible = write!(why, "   bundle {}", bundle.chars().take(4).collect::<String>());
    }
    why
}

/// `tsk_…   backfill order status`
fn task(answer: &Value) -> Option<String> {
    let mut text = scalar(answer.pointer("/task/id")?);
    if let Some(goal) = answer.pointer("/task/goal") {
        let _infallible = write!(text, "   {}", plain(&scalar(goal)));
    }
    Some(text)
}

/// Where the session came from, as its attestation's issuer says.
fn run(answer: &Value) -> Option<String> {
    let known = answer.get("provenance").filter(|known| known.is_object())?;
    let part = |name: &str| Some(format!("{name} {}", plain(&scalar(known.get(name)?))));
    let parts: Vec<String> =
        ["run", "commit", "workflow", "actor", "pod"].iter().filter_map(|name| part(name)).collect();
    Some(parts.join(", "))
}

fn outside_task(answer: &Value) -> String {
    let text = |pointer: &str| answer.pointer(pointer).map(scalar).unwrap_or_default();
    let what = match text("/reason/bound").as_str() {
        "expired" => "its time is over",
        "uses" => "its uses are used up",
        "rows" => "its rows are used up",
        "location" => "it is for other upstreams",
        "action" => "it is for other actions",
        _ => "it is for other resources",
    };
    format!("outside the task {}: {what}", text("/reason/task"))
}

fn cannot_decide(answer: &Value) -> String {
    let words = |why: Undecidable| format!("{} ({})", why.explanation(), why.code());
    undecidable(answer).map_or_else(|| "for a reason of another version".to_owned(), words)
}

/// Tagged by the reason's name, as a member or as a value.
pub(crate) fn undecidable(answer: &Value) -> Option<Undecidable> {
    let members = answer.get("reason")?.as_object()?;
    let mut words = members.iter().flat_map(|(name, value)| [Some(name.as_str()), value.as_str()]).flatten();
    words.find_map(|word| {
        Undecidable::ALL
            .into_iter()
            .find(|why| serde_json::to_value(why).is_ok_and(|value| value.as_str() == Some(word)))
    })
}

fn masks(answer: &Value) -> Option<String> {
    let operations = answer.get("operations")?;
    list(answer, "/terms/masks", ", ", |mask| {
        let index = usize::try_from(mask.get(0)?.as_u64()?).ok()?;
        let resource = operations.get(index).and_then(|operation| operation.get("resource")).map(scalar)?;
        let column = resource.rsplit('.').next().unwrap_or(&resource).to_owned();
        Some(format!("{column} {} by \"{}\"", scalar(mask.get(1)?), scalar(mask.get(2)?)))
    })
}

/// What policies under observation would have done.
fn observed(answer: &Value) -> Option<String> {
    let told = answer.pointer("/explanation/policies").and_then(Value::as_array);
    list(answer, "/terms/observed", ", ", |observed| {
        let policy = observed.get("policy")?;
        let known = told.and_then(|told| told.iter().find(|told| told.get("policy") == Some(policy)));
        let remedy = known.and_then(|known| known.get("remedy")).map(|remedy| format!(": {}", scalar(remedy)));
        Some(format!("without observation \"{}\" decides{}", scalar(policy), remedy.unwrap_or_default()))
    })
}

/// What would have to be otherwise; each would do alone.
fn ways_out(answer: &Value) -> Vec<String> {
    let clauses = answer.pointer("/explanation/passes_if").and_then(Value::as_array);
    let mut ways: Vec<String> = clauses.into_iter().flatten().map(scalar).collect();
    let terms = answer.pointer("/explanation/evaluation/approval").filter(|terms| terms.is_object());
    if answer.get("verdict").and_then(Value::as_str) == Some("ask")
        && let Some(terms) = terms
    {
        let quorum = terms.get("quorum").and_then(Value::as_u64).unwrap_or(1);
        let people = if quorum == 1 { "1 person".to_owned() } else { format!("{quorum} people") };
        let groups = list(terms, "/groups", " and ", |group| Some(scalar(group))).unwrap_or_default();
        let command = match answer.get("approval").filter(|id| !id.is_null()) {
            Some(id) => format!("parapet approvals approve {}", scalar(id)),
            None => match answer.get("request") {
                Some(request) => scalar(request),
                None => "run it, and its request can be approved".to_owned(),
            },
        };
        ways.push(format!("{people} of {groups} approves: {command}"));
    } else if answer.pointer("/reason/why").and_then(Value::as_str) == Some("policy") {
        match ways.last_mut() {
            Some(last) => last.push_str("; a plain block is not lifted by a grant"),
            None => {
                ways.push("only outside the scope of the forbid; a plain block is not lifted by a grant".to_owned())
            }
        }
    }
    ways
}

fn near_misses(answer: &Value) -> Option<String> {
    let explanation = answer.get("explanation")?;
    let misses = list(explanation, "/near_misses", "; ", |miss| {
        let needs = list(miss, "/needs", " and ", |need| Some(scalar(need)))?;
        Some(format!("permit \"{}\" needs {needs}", scalar(miss.get("policy")?)))
    });
    if misses.is_some() || answer.get("verdict").and_then(Value::as_str) == Some("permit") {
        return misses;
    }
    let permits = list(explanation, "/evaluation/terms/permits", ", ", |name| Some(format!("\"{}\"", scalar(name))));
    Some(permits.map_or_else(|| "none".to_owned(), |permits| format!("none: permit {permits} matches")))
}

/// `2 by this workload, all denied, since 2026-11-01T…, 3 by others in 30 days`.
fn seen_before(answer: &Value) -> Option<String> {
    let seen = answer.get("seen_before").filter(|seen| seen.is_object())?;
    let count = |who: &str| {
        let number = |member: &str| seen.pointer(&format!("/{who}/{member}")).and_then(Value::as_u64);
        let (times, denied) = (number("times")?, number("denied")?);
        Some(match (times, denied) {
            (0, _) => "0".to_owned(),
            (times, denied) if times == denied => format!("{times}, all denied,"),
            (times, 0) => times.to_string(),
            (times, denied) => format!("{times}, {denied} denied,"),
        })
    };
    let mut text = match count("own")?.as_str() {
        "0" => "never by this workload".to_owned(),
        own => format!("{own} by this workload"),
    };
    if let Some(first) = seen.pointer("/own/first").and_then(time::read) {
        let _infallible = write!(text, " since {}", time::show(first, TimeFormat::Rfc3339, time::now()));
    }
    if let Some(others) = count("others") {
        let _infallible = write!(text, ", {others} by others");
    }
    let _infallible = write!(text, " in {} days", seen.get("days").map(scalar).unwrap_or_default());
    if seen.get("complete") != Some(&Value::Bool(true)) {
        text.push_str(", at least: the log is long");
    }
    Some(text)
}

fn proof(answer: &Value) -> Option<String> {
    let short = |value: &Value| scalar(value).chars().take(12).collect::<String>();
    let mut text = format!("seq {}", scalar(answer.get("seq")?));
    if let Some(leaf) = answer.pointer("/proof/leaf") {
        let _infallible = write!(text, ", leaf {}", short(leaf));
    }
    if let Some(chain) = answer.get("chain") {
        let _infallible = write!(text, ", chain {}", short(chain));
    }
    let why = answer.pointer("/proof/why").map(scalar).unwrap_or_default();
    match answer.pointer("/proof/verified") {
        Some(Value::Bool(true)) => {
            let entries = answer.pointer("/proof/entries").map(scalar).unwrap_or_default();
            let root = answer.pointer("/proof/root").map(short).unwrap_or_default();
            let mark = Styled(Tone::Good, "✓ verified locally");
            let _infallible = write!(text, ", included in head {root} of {entries}  {mark}");
        }
        Some(Value::Bool(false)) => {
            let _infallible = write!(text, "  {}: {why}", Styled(Tone::Bad, "✗ failed"));
        }
        Some(_) => {
            let _infallible = write!(text, "  not verified: {why}");
        }
        None => {}
    }
    Some(text)
}

/// The items of a list that is not empty, joined.
fn list(value: &Value, pointer: &str, between: &str, show: impl Fn(&Value) -> Option<String>) -> Option<String> {
    let items: Vec<String> = value.pointer(pointer)?.as_array()?.iter().filter_map(show).collect();
    (!items.is_empty()).then(|| items.join(between))
}
