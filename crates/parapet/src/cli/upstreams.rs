//! `parapet upstreams`: the protected systems, and whether they can be reached as configured.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::classes::Classes;
use crate::cli::client::{Client, named};
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::id;
use crate::cli::noun::Noun;
use crate::cli::output::{self, Column, Listing, Shape};
use crate::cli::style::Tone;

/// List and test the protected systems
#[derive(Debug, Args)]
pub(super) struct Upstreams {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Every upstream
    List,
    /// Connect, log in, and read the catalogue, as the gateway does
    Test {
        /// Its name
        upstream: String,
    },
    /// Which columns carry which classes, who says so, which policies mask them, and what is suggested
    Classes(Classes),
}

pub(super) const LISTING: Listing = Listing {
    schema: "parapet.upstreams/v1",
    noun: "upstreams",
    id: "/name",
    columns: &[
        Column::new("NAME", &["/name"]),
        Column::new("MODE", &["/mode"]).shape(Shape::Word),
        Column::new("PROTOCOL", &["/protocol"]),
        Column::new("ENVIRONMENT", &["/environment"]),
        Column::new("ADDRESS", &["/address"]).wide(),
        Column::new("SESSIONS", &["/sessions"]),
        Column::new("WOULD BLOCK", &["/would_be_denied"]),
        Column::new("DISCLOSURE", &["/disclosure"]).wide(),
    ],
};

const UPSTREAMS: Noun = Noun {
    one: "upstream",
    listing: &LISTING,
    empty: "they are configured as `[upstreams.NAME]`: parapet config explain upstreams",
};

impl Upstreams {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        match self.verb {
            Verb::List => {
                UPSTREAMS.list(globals).await?;
                Ok(Exit::Done)
            }
            Verb::Classes(classes) => classes.execute(globals).await,
            Verb::Test { upstream } => {
                let name = id::read(&upstream)?;
                let client = Client::new(globals)?.patient(Duration::from_secs(60));
                let answer = client.post(&format!("/v1/upstreams/{name}/test"), &json!({})).await;
                let answer = named(answer, "upstream", &name, "parapet upstreams list")?;
                let (text, passed) = checks(&answer, globals);
                output::data(&text);
                Ok(if passed { Exit::Done } else { Exit::Unreachable })
            }
        }
    }
}

/// A line for each check: mark, name, what was found, and what to do.
pub(super) fn checks(answer: &Value, globals: &Globals) -> (String, bool) {
    let list = answer.get("checks").map_or_else(|| output::items(answer), output::items);
    let passed = |check: &Value| check.get("passed").and_then(Value::as_bool).unwrap_or(false);
    let all = !list.is_empty() && list.iter().all(passed);
    if globals.for_programs() {
        return (output::object("parapet.checks/v1", &json!({ "passed": all, "checks": list })), all);
    }
    let mut rows = Vec::new();
    for check in &list {
        let text = |member: &str| check.get(member).filter(|value| !value.is_null()).map(output::scalar);
        let warns = check.get("warning").and_then(Value::as_bool).unwrap_or(false);
        let (tone, word) = match (passed(check), warns) {
            (true, false) => (Tone::Good, "✓ passed"),
            (true, true) => (Tone::Waiting, "◷ warning"),
            (false, _) => (Tone::Bad, "✗ failed"),
        };
        let detail = text("detail").unwrap_or_default();
        rows.push(vec![
            (tone, word.to_owned()),
            (Tone::Plain, text("check").unwrap_or_default()),
            (Tone::Plain, detail),
        ]);
        if let Some(fix) = text("fix") {
            rows.push(vec![(Tone::Plain, String::new()), (Tone::Faint, "fix".to_owned()), (Tone::Plain, fix)]);
        }
    }
    (output::aligned(&rows), all)
}
