//! `parapet upstreams classes`: which columns carry which classes, who says so, what masks them, what is suggested, and what
//! people decide. Values are never shown: only counts and names of detectors.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::client::{Client, named};
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::{Format, Globals};
use crate::cli::output::{self, Column, Listing};
use crate::cli::workloads::changed;
use crate::cli::{id, style};

/// What to do about classes
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Classes {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The upstream
    #[arg(required = true)]
    upstream: Option<String>,
    /// Look at a sample of the values of columns without a class first; no value is kept or shown
    #[arg(long)]
    scan: bool,
    /// Every column, whether it needs a class or not
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// A column carries a class, from the next statement on
    Confirm {
        /// The upstream
        upstream: String,
        /// The column, as schema.table.column; a name with a dot in double quotes
        column: String,
        /// The class, such as pii
        class: String,
        /// Why, for the audit log
        #[arg(long)]
        reason: Option<String>,
    },
    /// A column does not carry a class: it is no longer suggested, and what was confirmed no longer counts
    Reject {
        /// The upstream
        upstream: String,
        /// The column, as schema.table.column; a name with a dot in double quotes
        column: String,
        /// The class, such as pii
        class: String,
        /// Why, for the audit log
        #[arg(long)]
        reason: String,
    },
}

const LISTING: Listing = Listing {
    schema: "parapet.classes/v1",
    noun: "columns with a class or a suggestion",
    id: "/column",
    columns: &[
        Column::new("COLUMN", &["/column"]),
        Column::new("TYPE", &["/type"]).wide(),
        Column::new("CLASS", &["/shown/classes"]),
        Column::new("SOURCE", &["/shown/sources"]),
        Column::new("MASKED BY", &["/shown/masks"]),
        Column::new("SUGGESTED", &["/shown/suggested"]),
        Column::new("BECAUSE", &["/shown/because"]),
        Column::new("DECIDED", &["/shown/decided"]).wide(),
    ],
};

impl Classes {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        let Self { verb, upstream, scan, all } = self;
        match verb {
            Some(Verb::Confirm { upstream, column, class, reason }) => {
                decide(globals, &upstream, "confirm", &column, &class, reason.as_deref()).await?;
            }
            Some(Verb::Reject { upstream, column, class, reason }) => {
                decide(globals, &upstream, "reject", &column, &class, Some(&reason)).await?;
            }
            None => list(globals, &upstream.unwrap_or_default(), scan, all).await?,
        }
        Ok(Exit::Done)
    }
}

async fn list(globals: &Globals, upstream: &str, scan: bool, all: bool) -> Result<(), Failure> {
    let name = id::read(upstream)?;
    let client = Client::new(globals)?.patient(Duration::from_secs(60));
    if scan {
        let looked = client.post(&format!("/v1/upstreams/{name}/classes/scan"), &json!({})).await;
        let looked = named(looked, "upstream", &name, "parapet upstreams list")?;
        output::note(globals, &looked_at(&looked));
    }
    let query = if all { "?all=true" } else { "" };
    let answer = client.get(&format!("/v1/upstreams/{name}/classes{query}")).await;
    let answer = named(answer, "upstream", &name, "parapet upstreams list")?;
    output::data(&LISTING.render(&shown(answer, globals), globals));
    Ok(())
}

/// What a scan has looked at, in a line.
fn looked_at(looked: &Value) -> String {
    let count = |member: &str| looked.get(member).and_then(Value::as_u64).unwrap_or(0);
    let mut line = format!("looked at {} tables", count("tables"));
    for (member, what) in
        [("unreadable", "could not be read by the gateway's login"), ("left_out", "were left out for want of time")]
    {
        if count(member) > 0 {
            line.push_str(&format!("; {} {what}", count(member)));
        }
    }
    line
}

/// Each item with what people read of it, in few words.
fn shown(mut answer: Value, globals: &Globals) -> Value {
    if !matches!(globals.format(), Format::Table | Format::Wide) {
        return answer;
    }
    for item in answer.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
        let parts = |list: &str, part: &dyn Fn(&Value) -> String| -> Value {
            let items = item.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let mut parts: Vec<String> = items.iter().map(part).collect();
            parts.dedup();
            if parts.is_empty() { Value::Null } else { parts.join(", ").into() }
        };
        let text = |value: &Value, member: &str| value.get(member).map(output::scalar).unwrap_or_default();
        let mask = |value: &Value| {
            let workloads = value.get("workloads").and_then(Value::as_array).map_or(0, Vec::len);
            format!("{} ({}, {})", text(value, "policy"), text(value, "mask"), output::count(workloads, "workload"))
        };
        let decided = |value: &Value| {
            let word =
                if value.get("confirmed").and_then(Value::as_bool).unwrap_or(false) { "confirmed" } else { "rejected" };
            format!("{} {word} by {}", text(value, "class"), text(value, "by"))
        };
        let shown = json!({
            "classes": parts("classes", &|value| text(value, "class")),
            "sources": parts("classes", &|value| text(value, "source")),
            "masks": parts("masks", &mask),
            "suggested": parts("suggestions", &|value| text(value, "class")),
            "because": parts("suggestions", &because),
            "decided": parts("decisions", &decided),
        });
        if let Some(members) = item.as_object_mut() {
            members.insert("shown".to_owned(), shown);
        }
    }
    answer
}

/// `email in 40 of 200 sampled values, high`
fn because(suggestion: &Value) -> String {
    let text = |member: &str| suggestion.get(member).filter(|value| !value.is_null()).map(output::scalar);
    let (hits, samples) = (text("hits").unwrap_or_default(), text("samples").unwrap_or_default());
    let found = match (text("origin").as_deref(), text("detector")) {
        (Some("results"), Some(detector)) => format!("{detector} in {hits} of {samples} values in results"),
        (_, Some(detector)) => format!("{detector} in {hits} of {samples} sampled values"),
        _ => "its name".to_owned(),
    };
    format!("{found}, {}", text("confidence").unwrap_or_default())
}

async fn decide(
    globals: &Globals,
    upstream: &str,
    verb: &str,
    column: &str,
    class: &str,
    reason: Option<&str>,
) -> Result<(), Failure> {
    let name = id::read(upstream)?;
    let names = split(column).ok_or_else(|| {
        let help = "write schema.table.column, with names that hold a dot in double quotes";
        Failure::usage("the column cannot be read").help(help)
    })?;
    let body = json!({ "column": names, "class": class, "reason": reason });
    let answer = Client::new(globals)?.post(&format!("/v1/upstreams/{name}/classes/{verb}"), &body).await;
    let answer = named(answer, "column", column, &format!("parapet upstreams classes {name} --all"))?;
    if globals.for_programs() {
        output::data(&output::object("parapet.class/v1", &answer));
        return Ok(());
    }
    let (tone, what) = match verb {
        "confirm" => (style::Tone::Good, format!("{column} of {name} carries {class} from the next statement on")),
        _ => (style::Tone::Waiting, format!("{column} of {name} does not carry {class} by anybody's confirmation")),
    };
    changed(globals, tone, &what, &format!("parapet upstreams classes {name}"));
    Ok(())
}

/// Three names, with a dot between; one in double quotes may hold dots, and quotes written twice.
fn split(column: &str) -> Option<[String; 3]> {
    let mut names = vec![String::new()];
    let mut characters = column.chars().peekable();
    let mut quoted = false;
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                names.last_mut()?.push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted => names.push(String::new()),
            other => names.last_mut()?.push(other),
        }
    }
    let whole = !quoted && names.iter().all(|name| !name.is_empty());
    names.try_into().ok().filter(|_| whole)
}

#[cfg(test)]
mod tests;
