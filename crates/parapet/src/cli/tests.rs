//! The command tree as users meet it: help pages, tables, failures, and the reference pages that must agree with them.

use clap::{Command as Tree, CommandFactory as _};
use serde_json::json;

use super::*;
use crate::cli::globals::{Format, TimeFormat};

fn tree() -> Tree {
    let mut tree = Cli::command().term_width(100);
    tree.build();
    tree
}

/// Every command with its whole name, in order.
fn commands(tree: &Tree, name: &str, all: &mut Vec<(String, Tree)>) {
    for command in tree.get_subcommands().filter(|command| name == "parapet" || command.get_name() != "help") {
        let name = format!("{name} {}", command.get_name());
        all.push((name.clone(), command.clone()));
        commands(command, &name, all);
    }
}

fn all_commands() -> Vec<(String, Tree)> {
    let mut all = Vec::new();
    commands(&tree(), "parapet", &mut all);
    all
}

#[test]
fn the_command_tree_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn help_of_every_command() {
    let mut text = String::new();
    // The global options stand on every page; they are shown once.
    let page = tree().render_long_help().to_string();
    text.push_str(&format!("# parapet\n\n{page}\n"));
    for (name, mut command) in all_commands() {
        let page = command.render_help().to_string();
        let page = page.split("Global options:").next().unwrap().trim_end();
        text.push_str(&format!("# {name}\n\n{page}\n\n"));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn every_command_is_documented() {
    let page = include_str!("../../../../docs/reference/cli.md");
    for (name, command) in all_commands() {
        assert!(page.contains(&format!("`{name}")), "{name} is not in docs/reference/cli.md");
        for argument in command.get_arguments().filter(|argument| !argument.is_global_set()) {
            if let Some(long) = argument.get_long().filter(|long| *long != "help") {
                assert!(page.contains(&format!("--{long}")), "--{long} of {name} is not in docs/reference/cli.md");
            }
        }
    }
    for argument in Cli::command().get_arguments() {
        if let Some(long) = argument.get_long() {
            assert!(page.contains(&format!("`--{long}")), "--{long} is not in docs/reference/cli.md");
        }
    }
}

#[test]
fn every_code_is_documented() {
    let page = include_str!("../../../../docs/reference/error-codes.md");
    let codes = codes::all();
    for code in &codes {
        assert!(page.contains(&format!("| `{}` | {} | {} |", code.code, code.meaning, code.hint)), "{}", code.code);
    }
    let mut unique: Vec<&str> = codes.iter().map(|code| code.code).collect();
    unique.dedup();
    assert_eq!(unique.len(), codes.len(), "a code has two meanings");
}

#[test]
fn every_code_in_the_source_is_in_the_table() {
    fn walk(folder: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for (at, _) in text.match_indices("\"PAR0") {
                    let code = text.get(at + 1..at + 8).unwrap_or_default();
                    if code.bytes().skip(3).all(|byte| byte.is_ascii_digit()) {
                        found.push(code.to_owned());
                    }
                }
            }
        }
    }
    let mut found = Vec::new();
    walk(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut found);
    assert!(found.len() > 40, "{}", found.len());
    for code in found {
        assert!(codes::find(&code).is_some(), "{code} is not in cli/codes.rs");
    }
}

#[test]
fn every_exit_code_is_documented() {
    let page = include_str!("../../../../docs/reference/exit-codes.md");
    for (exit, meaning) in Exit::MEANINGS {
        assert!(page.contains(&format!("| {} | {meaning} |", exit.code())), "{}", exit.code());
    }
}

#[test]
fn usage_errors_exit_with_2() {
    for arguments in [
        &["parapet", "serv"][..],
        &["parapet", "workloads", "quarantine", "triage-bot"],
        &["parapet", "run", "--as", "deploy"],
        &["parapet", "decide", "--as", "a", "--on", "b"],
        &["parapet", "demo", "--tour", "run", "mask"],
        &["parapet", "sessions", "list", "--json", "-o", "id"],
        &["parapet", "sessions", "list", "--timeout", "soon"],
    ] {
        let error = Cli::try_parse_from(arguments).unwrap_err();
        assert_eq!(error.exit_code(), i32::from(Exit::Usage.code()), "{arguments:?}");
    }
}

#[test]
fn global_flags_do_not_clash_with_those_of_commands() {
    let cli = Cli::try_parse_from(["parapet", "approvals", "list", "--state", "all", "--state-folder", "/s"]).unwrap();
    assert_eq!(cli.globals.state.as_deref(), Some(std::path::Path::new("/s")));
    let cli = Cli::try_parse_from(["parapet", "--state-folder", "/s", "approvals", "list"]).unwrap();
    assert_eq!(cli.globals.state.as_deref(), Some(std::path::Path::new("/s")));
}

/// Base64url has a hyphen, and one value in 64 begins with it.
#[test]
fn nonces_and_thumbprints_may_begin_with_a_hyphen() {
    for arguments in [
        &["parapet", "tasks", "proof", "--key", "k", "--url", "http://127.0.0.1/token", "--nonce", "-trQ"][..],
        &["parapet", "tasks", "narrow", "--key", "k", "--token-file", "t", "--for-key", "-trQ"],
    ] {
        assert!(Cli::try_parse_from(arguments).is_ok(), "{arguments:?}");
    }
}

#[test]
fn a_misspelt_command_is_suggested() {
    let error = Cli::try_parse_from(["parapet", "workload", "list"]).unwrap_err();
    assert!(error.to_string().contains("'workloads'"), "{error}");
}

fn globals(format: Format) -> Globals {
    Globals { output: format, time: TimeFormat::Rfc3339, ..Globals::default() }
}

/// Without colours, as in a file.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn tables() {
    let workloads = json!({ "items": [
        { "name": "triage-bot", "status": "quarantined", "kind": "agent", "owner": "mara@example.com", "environment": "production",
          "sessions": 2, "expires": 1_798_761_600_000_i64, "groups": ["agents", "bots"], "risk": 12, "purpose": "sorts \u{1b}[31mtickets" },
        { "name": "deploy", "status": "active", "kind": "ci", "owner": "ann@example.com", "environment": "production",
          "sessions": 0, "expires": null, "groups": [], "risk": 0, "purpose": "applies migrations" },
    ]});
    let mut text = String::new();
    for format in [Format::Table, Format::Wide, Format::Json, Format::Jsonl, Format::Id] {
        text.push_str(&format!("-- {format:?}\n{}", plain(&workloads::LISTING.render(&workloads, &globals(format)))));
    }
    text.push_str("-- none\n");
    text.push_str(&plain(&workloads::LISTING.render(&json!([]), &globals(Format::Table))));
    text.push_str("-- one\n");
    let one = workloads.pointer("/items/0").unwrap();
    text.push_str(&plain(&workloads::LISTING.render_one("parapet.workload/v1", one, &globals(Format::Table))));
    insta::assert_snapshot!(text);
}

#[test]
fn colours_come_with_a_mark_and_a_word() {
    let text = workloads::LISTING.render(&json!([{ "name": "a", "status": "quarantined" }]), &globals(Format::Table));
    assert!(text.contains("\u{1b}[31m✗ quarantined\u{1b}[0m"), "{text:?}");
}

#[test]
fn failures() {
    let failure = Failure::new(Exit::Unreachable, "PAR0304", "no gateway runs with the state folder /var/lib/parapet")
        .help("start one with `parapet serve`, `dev` or `demo`, or name its folder with `--state-folder`");
    let text = format!("{}{}", output::render_failure(false, &failure), output::render_failure(true, &failure));
    insta::assert_snapshot!(plain(&text));
}

#[test]
fn a_decision_is_laid_out() {
    let denied = json!({
        "seq": 31, "at": "2020-11-21T02:04:12.000Z", "kind": "decision", "decision": "dec_01JX8ZQ301JX8ZQ3",
        "session": "ses_01JX8ZQ301JX8ZQ3", "workload": "triage-bot", "upstream": "shop-db", "bundle": "9ac1",
        "verdict": "deny",
        "reason": { "why": "policy", "policy": "agents-never-destroy", "reason": "Agents do not drop or truncate." },
        "operations": [{ "action": "sql:drop", "kind": "table", "resource": "shop-db/shop.public.orders" }],
        "statement": "DROP TABLE orders",
    });
    let masked = json!({
        "decision": "dec_01JX8ZQ301JX8ZQ3", "workload": "triage-bot", "verdict": "permit",
        "terms": { "masks": [[1, "partial", "pii-is-masked"]], "permits": ["agents-read"] },
        "operations": [
            { "action": "sql:select", "resource": "shop-db/shop.public.customers" },
            { "action": "sql:select", "resource": "shop-db/shop.public.customers.email" },
        ],
        "statement": "select email from customers",
    });
    let held = json!({ "workload": "deploy", "verdict": "ask", "by": { "policy": "schema-needs-dba" }, "approval": "apr_01JX8ZQ301JX8ZQ3",
        "operations": [{ "action": "sql:alter", "resource": "shop-db/shop.public.orders" }], "statement": "alter table …" });
    let undecided = json!({ "workload": "deploy", "verdict": "deny", "reason": { "why": "cannot_decide", "code": "unknown_relation" } });
    let text: String = [denied, masked, held, undecided]
        .iter()
        .map(|answer| plain(&page::decision(answer, &globals(Format::Table))) + "\n")
        .collect();
    // How long ago it was depends on the day.
    let text: String = text.lines().map(|line| line.split("  (").next().unwrap().to_owned() + "\n").collect();
    insta::assert_snapshot!(text);
}

#[test]
fn ids_are_read_from_what_people_paste() {
    for (text, id) in [
        ("dec_01JX8ZQ3", "dec_01JX8ZQ3"),
        ("last", "last"),
        ("http://127.0.0.1:18000/d/dec_01JX8ZQ3", "dec_01JX8ZQ3"),
        ("https://parapet.example/d/dec_01JX8ZQ3/?tab=proof#x", "dec_01JX8ZQ3"),
        ("triage-bot", "triage-bot"),
    ] {
        assert_eq!(id::read(text).unwrap(), id, "{text}");
    }
    for text in ["", "/", "a b", "..", "a/..", "%2e%2e", "a\r\nHost: x"] {
        assert!(id::read(text).is_err(), "{text}");
    }
}

#[test]
fn times_are_shown_as_asked() {
    let at = kernel::time::Timestamp::from_millis(1_795_233_600_123);
    for (later_ms, shown) in
        [(14_000, "14 s ago"), (600_000, "10 min ago"), (7_200_000, "2 h ago"), (-90_000, "in 90 s")]
    {
        let now = kernel::time::Timestamp::from_millis(at.millis() + later_ms);
        assert_eq!(time::show(at, TimeFormat::Relative, now), shown);
    }
    assert_eq!(time::show(at, TimeFormat::Rfc3339, at), "2026-11-21T04:00:00Z");
}
