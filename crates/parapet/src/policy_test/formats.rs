//! Reports of policy tests in the forms that CI reads: JUnit, SARIF, TAP, GitHub's annotations and Markdown. One file each;
//! what people and scripts read on stdout is `report.rs`.

use std::fmt::Write as _;

use clap::ValueEnum;
use serde_json::json;

use crate::cli::style::plain;
use crate::policy_test::{Outcome, Report};

/// A form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportForm {
    /// JUnit's XML
    Junit,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Annotations of GitHub's workflows
    Github,
    /// The Test Anything Protocol, version 13
    Tap,
    /// Markdown, for a pull request
    Md,
}

impl ReportForm {
    /// The report.
    pub(crate) fn render(self, report: &Report) -> String {
        match self {
            Self::Junit => junit(report),
            Self::Sarif => sarif(report),
            Self::Github => github(report),
            Self::Tap => tap(report),
            Self::Md => markdown(report),
        }
    }
}

fn failed(report: &Report) -> impl Iterator<Item = &Outcome> {
    report.outcomes.iter().filter(|outcome| !outcome.differences.is_empty())
}

/// What was expected and what came, in a line.
fn why(outcome: &Outcome) -> String {
    let differences = outcome.differences.iter();
    let each = differences.map(|difference| {
        format!("{}: expected {}, came {}", difference.of, plain(&difference.expected), plain(&difference.came))
    });
    each.collect::<Vec<_>>().join("; ")
}

fn junit(report: &Report) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let (tests, failures) = (report.outcomes.len(), report.failed());
    let _infallible = writeln!(text, "<testsuites tests=\"{tests}\" failures=\"{failures}\">");
    let _infallible =
        writeln!(text, "  <testsuite name=\"parapet policy test\" tests=\"{tests}\" failures=\"{failures}\">");
    for outcome in &report.outcomes {
        let (name, file) = (xml(&outcome.name), xml(&outcome.file.display().to_string()));
        let _infallible = write!(
            text,
            "    <testcase classname=\"{file}\" name=\"{name}\" file=\"{file}\" line=\"{}\"",
            outcome.line
        );
        if outcome.differences.is_empty() {
            text.push_str("/>\n");
        } else {
            let why = xml(&why(outcome));
            let _infallible = write!(text, ">\n      <failure message=\"{why}\"/>\n    </testcase>\n");
        }
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

/// Without what XML reads, and without the control characters that it cannot hold.
fn xml(text: &str) -> String {
    let mut out = String::new();
    for letter in plain(text).chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

fn sarif(report: &Report) -> String {
    let result = |outcome: &Outcome| {
        json!({
            "ruleId": "policy-test",
            "level": "error",
            "message": { "text": format!("{}: {}", plain(&outcome.name), why(outcome)) },
            "locations": [{ "physicalLocation": {
                "artifactLocation": { "uri": outcome.file.display().to_string() },
                "region": { "startLine": outcome.line },
            }}],
        })
    };
    let rule = json!({ "id": "policy-test", "shortDescription": { "text": "a policy decides otherwise than its test expects" } });
    let driver = json!({ "name": "parapet", "version": env!("CARGO_PKG_VERSION"), "rules": [rule] });
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{ "tool": { "driver": driver }, "results": failed(report).map(result).collect::<Vec<_>>() }],
    });
    format!("{document:#}\n")
}

fn github(report: &Report) -> String {
    // The runner reads `%`, line ends and, in properties, `:` and `,` in its own way.
    let message = |text: &str| plain(text).replace('%', "%25");
    let property = |text: &str| message(text).replace(':', "%3A").replace(',', "%2C");
    let line = |outcome: &Outcome| {
        let (file, name) = (property(&outcome.file.display().to_string()), property(&outcome.name));
        format!("::error file={file},line={},title={name}::{}\n", outcome.line, message(&why(outcome)))
    };
    failed(report).map(line).collect()
}

fn tap(report: &Report) -> String {
    let mut text = format!("TAP version 13\n1..{}\n", report.outcomes.len());
    for (number, outcome) in report.outcomes.iter().enumerate() {
        let word = if outcome.differences.is_empty() { "ok" } else { "not ok" };
        // A `#` would begin a directive, such as one that says that nothing failed.
        let name = plain(&outcome.name).replace('#', "\\#");
        let _infallible = writeln!(text, "{word} {} - {name}", number + 1);
        if !outcome.differences.is_empty() {
            let place = format!("{}:{}", outcome.file.display(), outcome.line);
            let _infallible =
                write!(text, "  ---\n  message: {}\n  at: {}\n  ...\n", json!(why(outcome)), json!(place));
        }
    }
    text
}

fn markdown(report: &Report) -> String {
    let cell = |text: &str| plain(text).replace('|', "\\|").replace('<', "&lt;");
    let (all, failures) = (report.outcomes.len(), report.failed());
    let mut text = format!("**Policy tests**: {} passed, {failures} failed\n", all - failures);
    if failures > 0 {
        text.push_str("\n| test | place | what came |\n|---|---|---|\n");
    }
    for outcome in failed(report) {
        let place = format!("{}:{}", outcome.file.display(), outcome.line);
        let _infallible = writeln!(text, "| {} | `{}` | {} |", cell(&outcome.name), cell(&place), cell(&why(outcome)));
    }
    let unused = report.never_exercised();
    if !report.partial && !unused.is_empty() {
        let unused: Vec<String> =
            unused.iter().map(|(id, place)| format!("`{}` at {}", cell(id), cell(place))).collect();
        let _infallible = writeln!(text, "\nNever exercised: {}", unused.join(", "));
    }
    text
}

#[cfg(test)]
mod tests;
