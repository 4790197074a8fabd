//! `parapet explain`: why a decision was made, or what a code means. The codes need no gateway.
//!
//! The decision comes from the gateway as its audit entry and, where policies can be asked again, with the clauses that
//! were true; this module only lays it out. `-o json` has the same tree.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::{Format, Globals};
use crate::cli::output::{self, scalar};
use crate::cli::style::{Styled, Tone};
use crate::cli::{codes, id, time};

/// Explain a decision, or a code such as PAR0201
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// A decision's id or URL, `last`, or a code PARnnnn
    #[arg(value_name = "ID|last|PARnnnn")]
    what: String,
}

impl Explain {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        if self.what.to_ascii_uppercase().starts_with("PAR") {
            output::data(&code(&self.what, globals)?);
            return Ok(Exit::Done);
        }
        let id = id::read(&self.what)?;
        let answer = Client::new(globals)?.get(&format!("/v1/decisions/{id}")).await?;
        output::data(&decision(&answer, globals));
        Ok(Exit::Done)
    }
}

fn code(text: &str, globals: &Globals) -> Result<String, Failure> {
    let Some(code) = codes::find(text) else {
        let failure =
            Failure::new(Exit::Failed, "PAR0309", format!("there is no code `{}`", text.to_ascii_uppercase()));
        return Err(failure.help("codes are listed in docs/reference/error-codes.md"));
    };
    Ok(match globals.format() {
        Format::Json | Format::Jsonl => {
            output::object("parapet.code/v1", &json!({ "code": code.code, "meaning": code.meaning, "hint": code.hint }))
        }
        Format::Id => format!("{}\n", code.code),
        Format::Table | Format::Wide => format!("{}  {}\n  next  {}\n", code.code, code.meaning, code.hint),
    })
}

/// The words of a verdict.
fn headline(verdict: &str) -> (Tone, &'static str) {
    match verdict {
        "permit" => (Tone::Good, "✓ PERMIT"),
        "ask" => (Tone::Waiting, "◷ ASK"),
        _ => (Tone::Bad, "✗ DENY"),
    }
}

/// A decision, laid out for people or as JSON.
pub(super) fn decision(answer: &Value, globals: &Globals) -> String {
    match globals.format() {
        Format::Json | Format::Jsonl => return output::object("parapet.decision/v1", answer),
        Format::Id => return answer.get("decision").map(scalar).unwrap_or_default() + "\n",
        Format::Table | Format::Wide => {}
    }
    let text = |pointer: &str| answer.pointer(pointer).filter(|value| !value.is_null()).map(scalar);
    let (tone, verdict) = headline(&text("/verdict").unwrap_or_default());
    let when = answer.get("at").and_then(time::read).map(|at| {
        let now = time::now();
        let at_text = time::show(at, crate::cli::globals::TimeFormat::Rfc3339, now);
        format!("{at_text}  ({})", time::show(at, crate::cli::globals::TimeFormat::Relative, now))
    });
    let mut page = format!("{}  {}", Styled(tone, verdict), what(answer));
    if let Some(when) = when {
        let _infallible = write!(page, "   {when}");
    }
    page.push('\n');
    let mut rows: Vec<(&str, (Tone, String))> = Vec::new();
    let mut row = |label, value: Option<String>| {
        if let Some(value) = value {
            rows.push((label, (Tone::Plain, value)));
        }
    };
    row("who", who(answer));
    row("what", text("/statement").filter(|statement| !statement.is_empty()));
    row("asks", operations(answer));
    row("why", why(answer));
    row("reason", text("/reason/reason").or_else(|| text("/by/reason")));
    row("hint", text("/reason/hint").or_else(|| text("/by/hint")));
    row("masks", masks(answer));
    row("bundle", text("/bundle"));
    row("passes if", list(answer, "/explanation/passes_if", " or "));
    row("near miss", near_misses(answer));
    row("approval", text("/approval").map(|id| format!("{id}   parapet approvals show {id}")));
    row("grant", text("/grant"));
    row("proof", proof(answer));
    page.push_str(&output::fields(&rows));
    if let Some(clauses) = answer.pointer("/explanation/text").and_then(Value::as_str) {
        // The policies' own lines, with what each clause came to.
        for line in clauses.lines() {
            let _infallible = writeln!(page, "  {}", crate::cli::style::plain(line));
        }
    }
    page
}

fn list(answer: &Value, pointer: &str, between: &str) -> Option<String> {
    let items = answer.pointer(pointer)?.as_array().filter(|items| !items.is_empty())?;
    Some(items.iter().map(scalar).collect::<Vec<_>>().join(between))
}

fn near_misses(answer: &Value) -> Option<String> {
    let misses = answer.pointer("/explanation/near_misses")?.as_array().filter(|misses| !misses.is_empty())?;
    let miss = |miss: &Value| {
        let policy = miss.get("policy").map(scalar).unwrap_or_default();
        format!("permit \"{policy}\" needs {}", list(miss, "/needs", " and ").unwrap_or_default())
    };
    Some(misses.iter().map(miss).collect::<Vec<_>>().join(", "))
}

fn what(answer: &Value) -> String {
    if let Some(summary) = answer.get("summary") {
        return scalar(summary);
    }
    let first = answer.pointer("/operations/0");
    let part = |member: &str| first.and_then(|operation| operation.get(member)).map(scalar).unwrap_or_default();
    format!("{} on {}", part("action"), part("resource"))
}

fn who(answer: &Value) -> Option<String> {
    let workload = answer.get("workload")?;
    let name = workload.get("name").unwrap_or(workload);
    let mut text = scalar(name);
    if let Some(kind) = workload.get("kind") {
        let _infallible = write!(text, "   {}", scalar(kind));
    }
    if let Some(owner) = workload.get("owner") {
        let _infallible = write!(text, ", owner {}", scalar(owner));
    }
    if let Some(session) = answer.get("session") {
        let _infallible = write!(text, ", session {}", scalar(session));
    }
    Some(text)
}

fn operations(answer: &Value) -> Option<String> {
    let operations = answer.get("operations")?.as_array()?;
    let part = |operation: &Value, member: &str| operation.get(member).map(scalar).unwrap_or_default();
    let mut texts: Vec<String> = Vec::new();
    for operation in operations.iter().take(6) {
        texts.push(format!("{} {}", part(operation, "action"), part(operation, "resource")));
    }
    if operations.len() > texts.len() {
        texts.push(format!("{} more", operations.len() - texts.len()));
    }
    Some(texts.join(", "))
}

fn why(answer: &Value) -> Option<String> {
    let text = |pointer: &str| answer.pointer(pointer).map(scalar);
    let reason = answer.get("reason").filter(|reason| reason.is_object());
    match reason.and_then(|reason| reason.get("why")).and_then(Value::as_str) {
        Some("policy") => Some(format!("forbid \"{}\"   remedy: block", text("/reason/policy")?)),
        Some("quarantine") => Some(format!("forbid \"{}\"   remedy: quarantine", text("/reason/policy")?)),
        Some("not_approved") => Some(format!("forbid \"{}\"   remedy: approve; not approved", text("/reason/policy")?)),
        Some("no_permit") => Some("no policy permits it".to_owned()),
        Some("standing") => Some("the workload is quarantined, retired or expired".to_owned()),
        Some("cannot_decide") => Some(format!("it cannot be decided: {}", cannot_decide(answer)?)),
        Some(_) | None => match text("/by/policy") {
            Some(policy) => Some(format!("forbid \"{policy}\"   remedy: approve")),
            None => {
                let permits = answer.pointer("/terms/permits")?.as_array()?;
                let names: Vec<String> = permits.iter().map(|name| format!("\"{}\"", scalar(name))).collect();
                Some(format!("permit {}", names.join(", ")))
            }
        },
    }
}

fn cannot_decide(answer: &Value) -> Option<String> {
    let reason = answer.get("reason")?;
    let word = reason.as_object()?.values().filter_map(Value::as_str).find(|word| *word != "cannot_decide")?;
    let known = kernel::verdict::Undecidable::ALL
        .into_iter()
        .find(|why| serde_json::to_value(why).is_ok_and(|value| value.as_str() == Some(word)));
    Some(known.map_or_else(|| word.to_owned(), |why| format!("{} ({})", why.explanation(), why.code())))
}

fn masks(answer: &Value) -> Option<String> {
    let masks = answer.pointer("/terms/masks")?.as_array().filter(|masks| !masks.is_empty())?;
    let operations = answer.get("operations")?;
    let mask = |mask: &Value| {
        let index = usize::try_from(mask.get(0)?.as_u64()?).ok()?;
        let resource = operations.get(index).and_then(|operation| operation.get("resource")).map(scalar)?;
        Some(format!("{resource} {} by \"{}\"", scalar(mask.get(1)?), scalar(mask.get(2)?)))
    };
    Some(masks.iter().filter_map(mask).collect::<Vec<_>>().join(", "))
}

fn proof(answer: &Value) -> Option<String> {
    let seq = answer.get("seq")?;
    Some(match answer.get("chain") {
        Some(chain) => format!("seq {}, chain {}", scalar(seq), scalar(chain).chars().take(12).collect::<String>()),
        None => format!("seq {}", scalar(seq)),
    })
}
