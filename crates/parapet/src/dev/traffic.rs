//! What passes the gateway of `dev`, as it happens: a line for each decision, and once it is calm again, what all of it came
//! to. Read from the audit log, as everything that people are told of decisions; nothing is decided here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use store::log::{Filter, Found, Order};

use crate::cli::output::{self, count};
use crate::cli::style::{Styled, Tone, plain};

/// How often the log is looked at.
const EVERY: Duration = Duration::from_millis(300);
/// After so many looks without traffic, what all of it came to is said.
const CALM: u32 = 5;
/// The most lines of one look: a benchmark must not be slowed down by its own report.
const MOST_LINES: usize = 20;
/// The most decisions that one look reads.
const MOST_ENTRIES: usize = 20_000;
/// The most shapes and tables that are told apart.
const MOST_SHAPES: usize = 10_000;

/// Follows the log in this folder. Never returns.
pub(super) async fn follow(log: PathBuf, suggest: &str) {
    let mut traffic = Traffic { seen: newest(&log).await, ..Traffic::default() };
    let mut calm = 0;
    loop {
        tokio::time::sleep(EVERY).await;
        let found = after(&log, traffic.seen).await;
        if found.is_empty() {
            calm += 1;
            if calm == CALM && traffic.told < traffic.statements {
                traffic.told = traffic.statements;
                output::message(&format!("\n  {} → {suggest}\n", traffic.summary()));
            }
            continue;
        }
        calm = 0;
        let lines: Vec<String> = found.iter().filter_map(|found| traffic.line(found)).collect();
        for line in lines.iter().take(MOST_LINES) {
            output::message(line);
        }
        if lines.len() > MOST_LINES {
            output::message(&format!("  … and {} more", lines.len() - MOST_LINES));
        }
    }
}

/// The newest decision that stands there from before.
async fn newest(log: &Path) -> Option<u64> {
    let log = log.to_owned();
    let newest = move || decisions(&log)?.next()?.ok().map(|found| found.seq);
    tokio::task::spawn_blocking(newest).await.ok().flatten()
}

/// The decisions after this one, oldest first.
async fn after(log: &Path, seen: Option<u64>) -> Vec<Found> {
    let log = log.to_owned();
    let read = move || {
        let new = |found: &Found| seen.is_none_or(|seen| found.seq > seen);
        let mut found: Vec<Found> = decisions(&log)?.map_while(Result::ok).take_while(new).take(MOST_ENTRIES).collect();
        found.reverse();
        Some(found)
    };
    tokio::task::spawn_blocking(read).await.ok().flatten().unwrap_or_default()
}

fn decisions(log: &Path) -> Option<store::log::Search> {
    let filter = Filter { kind: Some("decision".to_owned()), ..Filter::default() };
    let search = store::log::search(log, filter, Order::NewestFirst).ok()?;
    Some(search.with_contents(crate::audit::contents_beside(log)))
}

/// What has passed so far.
#[derive(Debug, Default)]
struct Traffic {
    /// The last decision that was looked at.
    seen: Option<u64>,
    statements: u64,
    /// How many statements there were when it was last said.
    told: u64,
    shapes: BTreeSet<String>,
    tables: BTreeSet<String>,
}

impl Traffic {
    /// Takes a decision in; its line, if it is about what somebody asked of data.
    fn line(&mut self, found: &Found) -> Option<String> {
        self.seen = Some(found.seq);
        let entry = &found.entry;
        let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str);
        if text("/operations/0/action") == Some("connect:session") {
            return None;
        }
        self.statements += 1;
        if let Some(statement) = text("/statement").filter(|_| self.shapes.len() < MOST_SHAPES) {
            self.shapes.insert(statement.to_owned());
        }
        for operation in entry.get("operations").and_then(Value::as_array).into_iter().flatten() {
            let table = operation.get("kind").and_then(Value::as_str) == Some("table");
            if let Some(name) = operation.get("resource").and_then(Value::as_str).filter(|_| table)
                && self.tables.len() < MOST_SHAPES
            {
                self.tables.insert(name.to_owned());
            }
        }
        let observed = text("/terms/observed/0/policy");
        let (tone, word) = match (text("/verdict"), observed, text("/grant")) {
            (Some("permit"), None, _) | (Some("ask"), _, Some(_)) => (Tone::Good, "permit"),
            (Some("permit"), Some(_), _) => (Tone::Waiting, "observed"),
            (Some("ask"), ..) => (Tone::Waiting, "ask"),
            _ => (Tone::Bad, "deny"),
        };
        let mut line = format!(
            "  {}  {}  {} on {}",
            Styled(tone, format!("{}{word:<8}", tone.mark())),
            plain(text("/workload").unwrap_or_default()),
            plain(text("/operations/0/verb").unwrap_or("statement")),
            plain(text("/operations/0/resource").or(text("/upstream")).unwrap_or_default()),
        );
        let by = text("/by/policy").or(text("/reason/policy")).or(text("/reason/why"));
        match (observed, by) {
            (Some(policy), _) => line.push_str(&format!("   would have been stopped by \"{}\"", plain(policy))),
            (None, Some(by)) => line.push_str(&format!("   {}", plain(by))),
            (None, None) => {}
        }
        if word != "permit" {
            line.push_str(&format!("   {}", plain(text("/decision").unwrap_or_default())));
        }
        Some(line)
    }

    /// `214 statements, 37 shapes, 5 tables`.
    fn summary(&self) -> String {
        let statements = usize::try_from(self.statements).unwrap_or(usize::MAX);
        let counts = [(statements, "statement"), (self.shapes.len(), "shape"), (self.tables.len(), "table")];
        counts.map(|(number, noun)| count(number, noun)).join(", ")
    }
}

#[cfg(test)]
mod tests;
