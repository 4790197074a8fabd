//! An explanation as text, without colours: the source of each policy that decided with its clauses marked, then what would
//! have passed. Who asked, when, and the proof are the caller's to add.

use std::fmt::Write as _;

use crate::policy::explain::{Explanation, PolicyExplanation};
use crate::verdict::DenyReason;

/// The most policies whose source is shown; the rest are named.
const MOST_SOURCES: usize = 4;

/// Draws an explanation.
pub fn explanation_text(explanation: &Explanation) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _never_fails = draw(&mut out, explanation);
    out
}

fn draw(out: &mut String, explanation: &Explanation) -> std::fmt::Result {
    let evaluation = &explanation.evaluation;
    let (sign, word) = match evaluation.verdict {
        "permit" => ("✓", "PERMIT"),
        "ask" => ("◷", "ASK"),
        _ => ("✗", "DENY"),
    };
    if explanation.operations == 0 {
        writeln!(out, "{sign} {word}")?;
    } else {
        writeln!(out, "{sign} {word}  {} on {}", explanation.verb, explanation.resource)?;
    }
    let plural = if explanation.operations == 1 { "" } else { "s" };
    if explanation.operations > 0 {
        writeln!(
            out,
            "  what    {} operation{plural}: {}, in {}",
            explanation.operations, explanation.action, explanation.group
        )?;
    }
    let bundle = evaluation.bundle.get(..4).unwrap_or(&evaluation.bundle);
    writeln!(out, "  why     {}      bundle {bundle}", why(explanation))?;
    for policy in explanation.policies.iter().take(MOST_SOURCES) {
        source(out, policy)?;
    }
    for policy in explanation.policies.iter().skip(MOST_SOURCES) {
        writeln!(out, "          and {} \"{}\" at {}:{}", policy.effect, policy.policy, policy.file, policy.line)?;
    }
    labelled(out, "passes if", explanation.passes_if.iter().cloned())?;
    if let Some(note) = grant_note(explanation) {
        writeln!(out, "               {note}")?;
    }
    let misses = explanation
        .near_misses
        .iter()
        .map(|miss| format!("permit \"{}\" needs {}", miss.policy, miss.needs.join(", and ")));
    labelled(out, "near misses", misses)
}

fn labelled(out: &mut String, label: &str, lines: impl Iterator<Item = String>) -> std::fmt::Result {
    for (i, line) in lines.enumerate() {
        let label = if i == 0 { label } else { "or" };
        writeln!(out, "  {label:<11}  {line}")?;
    }
    Ok(())
}

fn why(explanation: &Explanation) -> String {
    let evaluation = &explanation.evaluation;
    if let Some(deciding) = &evaluation.deciding {
        let remedy = explanation.policies.first().and_then(|policy| policy.remedy).unwrap_or("block");
        return format!("forbid \"{}\"      remedy: {remedy}", deciding.policy);
    }
    match &evaluation.reason {
        Some(DenyReason::CannotDecide(why)) => format!("{}: {}", why.code(), why.explanation()),
        Some(DenyReason::OutsideTask { task, bound }) => format!("it is outside the task {task}: {}", bound.as_str()),
        Some(DenyReason::Standing) => "the workload is quarantined, retired or expired".to_owned(),
        Some(_) => "no policy permits it".to_owned(),
        None => {
            let permits: Vec<String> = evaluation.terms.permits.iter().map(|permit| format!("\"{permit}\"")).collect();
            format!("permit {}", permits.join(", "))
        }
    }
}

fn grant_note(explanation: &Explanation) -> Option<String> {
    let evaluation = &explanation.evaluation;
    if let Some(approval) = &evaluation.approval {
        let groups: Vec<&str> = approval.groups.iter().map(|group| group.as_str()).collect();
        let people = if approval.quorum == 1 { "1 person".to_owned() } else { format!("{} people", approval.quorum) };
        return Some(format!("or a grant: {people}, each of {} represented", groups.join(", ")));
    }
    matches!(evaluation.reason, Some(DenyReason::Policy(_)))
        .then(|| "a plain block is not lifted by a grant".to_owned())
}

/// A clause on one line of source: its columns, and what is said of it.
struct Mark {
    start: usize,
    width: usize,
    label: String,
}

impl Mark {
    fn middle(&self) -> usize {
        self.start + self.width.saturating_sub(1) / 2
    }

    fn label_end(&self) -> usize {
        self.middle() + 2 + self.label.chars().count()
    }
}

/// The source from the effect on, with a line of marks below each line that holds clauses.
fn source(out: &mut String, policy: &PolicyExplanation) -> std::fmt::Result {
    let shown = policy.source.get(policy.effect_at..).unwrap_or_default();
    let last_line = policy.line as usize + shown.lines().count();
    let gutter = last_line.to_string().len().max(2);
    let observed = if policy.observed { ", observed" } else { "" };
    writeln!(
        out,
        "  {:gutter$}╭─[{}:{}:{}] {} \"{}\"{observed}",
        "", policy.file, policy.line, policy.column, policy.effect, policy.policy
    )?;
    // The effect may stand behind annotations on its line.
    let line_start = policy.source.get(..policy.effect_at).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let mut offset = line_start;
    for (number, line) in (policy.line..).zip(policy.source.get(line_start..).unwrap_or_default().split('\n')) {
        let begin = offset.max(policy.effect_at);
        let text = policy.source.get(begin..offset + line.len()).unwrap_or_default();
        writeln!(out, " {number:>gutter$} │ {}", text.trim_end().replace('\t', " "))?;
        marks(out, gutter, &marks_of(policy, begin, offset + line.len()))?;
        offset += line.len() + 1;
    }
    Ok(())
}

/// The clauses that begin between two byte offsets of the source, by column from the first.
fn marks_of(policy: &PolicyExplanation, begin: usize, end: usize) -> Vec<Mark> {
    let columns = |from: usize, to: usize| policy.source.get(from..to).map_or(0, |text| text.chars().count());
    policy
        .clauses
        .iter()
        .filter(|clause| (begin..end).contains(&clause.start))
        .map(|clause| Mark {
            start: columns(begin, clause.start),
            width: columns(clause.start, clause.end.min(end)).max(1),
            label: match &clause.because {
                Some(because) => format!("{}: {because}", clause.truth.as_str()),
                None => clause.truth.as_str().to_owned(),
            },
        })
        .collect()
}

/// Draws marks and their labels: from the right, each label on the first row where it ends before the label to its right.
fn marks(out: &mut String, gutter: usize, marks: &[Mark]) -> std::fmt::Result {
    if marks.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<usize> = Vec::with_capacity(marks.len());
    let mut row = 0;
    let mut right: Option<usize> = None;
    for mark in marks.iter().rev() {
        if right.is_some_and(|right| mark.label_end() + 1 > right) {
            row += 1;
        }
        right = Some(mark.middle());
        rows.push(row);
    }
    rows.reverse();
    let mut line = String::new();
    for mark in marks {
        pad(&mut line, mark.start);
        let left = mark.middle() - mark.start;
        line += &"─".repeat(left);
        line.push('┬');
        line += &"─".repeat(mark.width - left - 1);
    }
    writeln!(out, " {:gutter$} · {line}", "")?;
    for current in 0..=row {
        let mut line = String::new();
        for (mark, row) in marks.iter().zip(&rows) {
            if *row < current {
                continue;
            }
            pad(&mut line, mark.middle());
            if *row == current {
                line += "╰ ";
                line += &mark.label;
            } else {
                line.push('│');
            }
        }
        writeln!(out, " {:gutter$} · {line}", "")?;
    }
    Ok(())
}

fn pad(line: &mut String, column: usize) {
    let missing = column.saturating_sub(line.chars().count());
    line.extend(std::iter::repeat_n(' ', missing));
}
