//! Writes rules as Cedar: one permit each, with its count, its first and last use and an example above it.
//!
//! Names come from databases, and statements, paths and hosts from clients: in Cedar they stand in escaped strings, in comments on
//! one line.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use kernel::operation::{Action, ActionGroup};
use kernel::policy::{Bundle, PolicyFile, resource_id};
use kernel::resource::{Resource, ResourceKind};

use crate::cli::output::count;
use crate::cli::style::plain;
use crate::suggest::usage::{Denied, Tally, Usage};
use crate::suggest::{Ground, Options, Reach, Rule};

/// The most characters of a statement in a comment.
const LONGEST_EXAMPLE: usize = 120;
/// The template of paths that no endpoint names.
pub(super) const UNLISTED: &str = "/**";
/// The most denials that are listed.
const MOST_DENIED: usize = 50;

/// The whole file.
pub(crate) fn file(rules: &[Rule], usage: &Usage, options: Options, seen: &str) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _written = write(&mut text, rules, usage, options, seen);
    text
}

fn write(text: &mut String, rules: &[Rule], usage: &Usage, options: Options, seen: &str) -> std::fmt::Result {
    writeln!(text, "// Proposed by `parapet policy suggest` from {seen}.")?;
    writeln!(text, "// These permit what was seen and passed. Guardrails, which are forbids, go beside them and win.")?;
    writeln!(
        text,
        "// Wider than seen: settings and transactions stand for their upstream; columns for their table and fields for"
    )?;
    writeln!(text, "// their endpoint, unless one of them is labelled or was masked; paths for their template.")?;
    if let Some(from) = options.schema_from {
        writeln!(
            text,
            "// Tables stand for their schema from {from} with the same actions on, unless a column in it is labelled."
        )?;
    }
    if usage.cut > 0 {
        let decisions = count(usize::try_from(usage.cut).unwrap_or(usize::MAX), "decision");
        writeln!(text, "// Not complete: {decisions} asked for more than an entry of the log holds.")?;
    }
    for rule in rules.iter().filter(|rule| rule.ground == Ground::Permitted) {
        text.push('\n');
        comments(text, rule)?;
        let mut permit = String::new();
        policy(&mut permit, rule, "")?;
        if loads(&permit) {
            text.push_str(&permit);
        } else {
            writeln!(text, "// Not proposed: a name in it has letters that no policy may hold.")?;
            policy(text, rule, "// ")?;
        }
    }
    for (ground, why) in [
        (Ground::Observed, "it passed because its upstream observes. Uncomment what should pass."),
        (Ground::Denied, "it was denied for that alone. Uncomment what should pass from now on."),
    ] {
        let open: Vec<&Rule> = rules.iter().filter(|rule| rule.ground == ground).collect();
        if !open.is_empty() {
            writeln!(text, "\n// ---- for a person to decide ----")?;
            writeln!(text, "// No policy permits what follows: {why}")?;
        }
        for rule in open {
            text.push_str("//\n");
            comments(text, rule)?;
            policy(text, rule, "// ")?;
        }
    }
    if !usage.denied.is_empty() {
        writeln!(text, "\n// ---- denied, and not proposed ----")?;
    }
    for (denied, tally) in usage.denied.iter().take(MOST_DENIED) {
        let Denied { workload, upstream, why } = denied;
        write!(text, "// {} × {workload} at {upstream}, by {}", tally.count, plain(why))?;
        match &tally.example {
            Some(example) => writeln!(text, ", such as: {}", shortened(example))?,
            None => text.push('\n'),
        }
    }
    if usage.denied.len() > MOST_DENIED {
        writeln!(text, "// and {} more: parapet audit search --verdict deny", usage.denied.len() - MOST_DENIED)?;
    }
    Ok(())
}

/// Does it stand in a bundle by itself?
fn loads(permit: &str) -> bool {
    Bundle::load(&[PolicyFile { name: "permit".into(), text: permit.into() }]).is_ok()
}

fn comments(text: &mut String, rule: &Rule) -> std::fmt::Result {
    let Tally { count, first, last, example, would_be } = &rule.tally;
    writeln!(text, "// {count} × from {first} to {last}")?;
    if let Some(example) = example {
        writeln!(text, "// such as: {}", shortened(example))?;
    }
    for (policy, times) in would_be {
        writeln!(
            text,
            "// {times} × it would have been stopped by {}: this permit does not change that",
            plain(policy)
        )?;
    }
    if rule.actions.iter().any(|action| is_grave(*action)) {
        writeln!(text, "// Look twice: it changes, removes or hands out more than rows.")?;
    }
    if rule.reach.resource().kind == ResourceKind::Endpoint && rule.reach.resource().name() == UNLISTED {
        writeln!(
            text,
            "// Look twice: it is every path that no endpoint names. Name the endpoints, and propose again."
        )?;
    }
    Ok(())
}

/// A statement on one line of a comment.
fn shortened(statement: &str) -> String {
    let line = plain(statement);
    let short: String = line.chars().take(LONGEST_EXAMPLE).collect();
    if short.len() < line.len() { short + " …" } else { short }
}

fn is_grave(action: Action) -> bool {
    match action.group() {
        ActionGroup::Read | ActionGroup::Write | ActionGroup::Delete | ActionGroup::Connect => false,
        ActionGroup::Define
        | ActionGroup::Destroy
        | ActionGroup::Execute
        | ActionGroup::Reveal
        | ActionGroup::Grant
        | ActionGroup::Administer => true,
    }
}

fn policy(text: &mut String, rule: &Rule, margin: &str) -> std::fmt::Result {
    let resource = match &rule.reach {
        Reach::Below(resource) => format!("resource in {}", entity(resource)),
        Reach::Exactly(resource) => format!("resource == {}", entity(resource)),
        Reach::Parts(whole, parts) => {
            let kind = parts.first().map_or(ResourceKind::Column, |part| part.kind);
            format!("resource is {} in {}", kind.as_str(), entity(whole))
        }
    };
    writeln!(text, "{margin}@id(\"{}\")", rule.id)?;
    writeln!(text, "{margin}permit (")?;
    writeln!(text, "{margin}  principal == Workload::{},", string(rule.workload.as_str()))?;
    writeln!(text, "{margin}  {},", actions(&rule.actions))?;
    write!(text, "{margin}  {resource}\n{margin})")?;
    if let Reach::Parts(_, parts) = &rule.reach {
        let parts: Vec<String> = parts.iter().map(entity).collect();
        write!(text, "\n{margin}when {{ [{}].contains(resource) }}", parts.join(", "))?;
    }
    writeln!(text, ";")
}

fn actions(actions: &BTreeSet<Action>) -> String {
    let named: Vec<String> = actions.iter().map(|action| format!("Action::{}", string(action.as_str()))).collect();
    match named.as_slice() {
        [one] => format!("action == {one}"),
        several => format!("action in [{}]", several.join(", ")),
    }
}

fn entity(resource: &Resource) -> String {
    format!("{}::{}", resource.kind.as_str(), string(&resource_id(resource)))
}

/// A string of Cedar, whose escapes are those of Rust.
fn string(text: &str) -> String {
    format!("\"{}\"", text.escape_debug())
}
