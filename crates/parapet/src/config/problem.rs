//! A mistake in the configuration, and how a list of them is shown: code, place, the offending entry, and what to do.
//!
//! What is shown of the file is the key and its value, never the rest of a line, and only the key where the value could
//! be a secret: an error message ends up in logs and tickets.

use std::fmt;
use std::fmt::Write as _;

use crate::config::layers::{Place, Source};

/// How much of the file a message may show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// The key and its value.
    Entry,
    /// The key alone.
    Key,
}

/// One mistake.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    /// Its code `PARnnnn`; see `codes.rs`.
    pub(crate) code: &'static str,
    /// What is wrong, in a line.
    pub(crate) message: String,
    /// Where.
    pub(crate) place: Place,
    /// How much of the file may be shown.
    pub(crate) show: Show,
    /// What to do about it.
    pub(crate) help: Option<String>,
}

impl Problem {
    /// A mistake that shows the key and its value.
    pub(crate) fn new(code: &'static str, place: &Place, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), place: place.clone(), show: Show::Entry, help: None }
    }

    /// With what to do about it.
    #[must_use]
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Without showing the value.
    #[must_use]
    pub(crate) fn key_only(self) -> Self {
        Self { show: Show::Key, ..self }
    }
}

/// Every mistake, with the texts that they are in.
#[derive(Clone, Debug)]
pub(crate) struct Problems {
    list: Vec<Problem>,
    sources: Vec<Source>,
}

/// A problem as programs read it.
#[derive(Debug, serde::Serialize)]
pub(crate) struct ProblemView {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

impl Problems {
    /// Sorts by source and place.
    pub(crate) fn new(mut list: Vec<Problem>, sources: Vec<Source>) -> Self {
        list.sort_by_key(|problem| (problem.place.source, problem.place.key.start, problem.code));
        Self { list, sources }
    }

    /// The mistakes.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// For programs.
    pub(crate) fn views(&self) -> Vec<ProblemView> {
        let view = |problem: &Problem| {
            let spot = self.spot(problem);
            ProblemView {
                code: problem.code,
                message: problem.message.clone(),
                source: spot.as_ref().map(|spot| spot.name.to_owned()),
                line: spot.as_ref().map(|spot| spot.line),
                column: spot.as_ref().map(|spot| spot.column),
                help: problem.help.clone(),
            }
        };
        self.list.iter().map(view).collect()
    }

    fn spot(&self, problem: &Problem) -> Option<Spot<'_>> {
        let source = self.sources.get(problem.place.source?)?;
        let start = problem.place.key.start.min(source.text.len());
        let before = source.text.get(..start)?;
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let key = source.text.get(problem.place.key.clone()).unwrap_or_default();
        let whole = problem.place.key.start..problem.place.value.end;
        let entry = source.text.get(whole).unwrap_or(key);
        let mut shown = entry.lines().next().unwrap_or_default().trim_end().to_owned();
        let underlined = match problem.show {
            Show::Entry => shown.chars().count(),
            Show::Key => {
                key.lines().next().unwrap_or_default().clone_into(&mut shown);
                let width = shown.chars().count();
                if shown.len() < entry.trim_end().len() {
                    shown.push_str(" …");
                }
                width
            }
        };
        let mut indent = 0;
        // The name of a table is shown with its header: `[upstreams.shop-db]`.
        let opening = before.rsplit('\n').next().unwrap_or_default();
        if problem.show == Show::Key && opening.trim_start().starts_with('[') {
            let line =
                source.text.get(start - opening.len()..).and_then(|rest| rest.lines().next()).unwrap_or_default();
            line.clone_into(&mut shown);
            indent = opening.chars().count();
        }
        Some(Spot { name: &source.name, line, column, shown, indent, underlined: underlined.max(1) })
    }
}

struct Spot<'s> {
    name: &'s str,
    line: usize,
    column: usize,
    shown: String,
    indent: usize,
    underlined: usize,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.list {
            writeln!(f, "error[{}]: {}", problem.code, problem.message)?;
            if let Some(spot) = self.spot(problem) {
                let number = spot.line.to_string();
                let margin = " ".repeat(number.len());
                writeln!(f, "{margin}--> {}:{}:{}", spot.name, spot.line, spot.column)?;
                writeln!(f, "{margin} |")?;
                writeln!(f, "{number} | {}", spot.shown)?;
                writeln!(f, "{margin} | {}{}", " ".repeat(spot.indent), "^".repeat(spot.underlined))?;
                if let Some(help) = &problem.help {
                    writeln!(f, "{margin} = help: {help}")?;
                }
            } else if let Some(help) = &problem.help {
                writeln!(f, "  = help: {help}")?;
            }
            f.write_char('\n')?;
        }
        let mistakes =
            if self.list.len() == 1 { "1 mistake".to_owned() } else { format!("{} mistakes", self.list.len()) };
        write!(f, "{mistakes} in the configuration; see `parapet explain PARnnnn` and `parapet config explain`")
    }
}

impl std::error::Error for Problems {}
