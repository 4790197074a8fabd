//! The audit log: written before anything is forwarded, complete after a crash, and no byte of it can be changed unseen.

mod crash;
mod drill;
mod outside;
mod shred;

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::bed::Bed;
use crate::bed::clients::run;
use crate::bed::gateway::BINARY;
use crate::bed::raw::{self, Raw};
use crate::bed::wait;

/// `parapet audit verify` of a folder: its exit code and all that it said.
fn verify(folder: &std::path::Path) -> (i32, String) {
    let ran = run(std::process::Command::new(BINARY).args(["audit", "verify"]).arg(folder).env("NO_COLOR", "1"));
    (ran.code, format!("{}{}", ran.out, ran.err))
}

/// Every statement is one that differs in its shape, so that each has an entry of its own text.
fn shape(worker: usize, number: usize) -> String {
    format!("select 1 as w{worker}n{number}")
}

#[test]
fn a_crash_under_load_loses_nothing() {
    let Some(mut bed) = Bed::start("audit-crash") else { return };
    let stop = AtomicBool::new(false);
    // The crash is to come between statements, not in a login.
    let sessions: Vec<Raw> = (0..4).map(|_worker| bed.raw("reporting")).collect();
    std::thread::scope(|scope| {
        for (worker, mut raw) in sessions.into_iter().enumerate() {
            let stop = &stop;
            scope.spawn(move || {
                for number in 0.. {
                    let more = !stop.load(Ordering::Relaxed);
                    if !more
                        || !raw.try_send(&raw::query(&shape(worker, number)))
                        || raw::status(&raw.until_ready()) != 'I'
                    {
                        break;
                    }
                }
            });
        }
        wait::until("some load", wait::PATIENCE, || (bed.postgres.executed().len() > 500).then_some(()));
        bed.gateway.kill();
        stop.store(true, Ordering::Relaxed);
    });
    bed.gateway.restart();
    assert_eq!(verify(&bed.gateway.audit()).0, 0, "{}", verify(&bed.gateway.audit()).1);
    let entries = bed.gateway.entries();
    let statements = entries.iter().filter_map(|entry| entry["statement"].as_str());
    let entered: BTreeSet<&str> = statements.filter_map(|text| text.strip_prefix("select $1 as ")).collect();
    let executed = bed.postgres.executed();
    let ours: Vec<&str> = executed.iter().filter_map(|sql| sql.trim().strip_prefix("select 1 as ")).collect();
    assert!(ours.len() > 400, "the load was not seen at the upstream: {}", ours.len());
    let lost: Vec<&&str> = ours.iter().filter(|name| !entered.contains(name.trim())).collect();
    assert!(lost.is_empty(), "executed without an entry: {lost:?}");
}

#[test]
fn every_kind_of_event_is_entered() {
    let Some(bed) = Bed::start("audit-kinds") else { return };
    let mut raw = bed.raw("triage-bot");
    raw.query("select 1");
    raw.query("drop table orders");
    drop(raw);
    Raw::try_log_in(bed.gateway.postgres(), "triage-bot", "hunter2").unwrap_err();
    bed.gateway.cli_as("root@example.com", &["workloads", "quarantine", "auditor", "--reason", "a test"]).assert_done();
    let kinds = ["configuration", "login", "login_refused", "decision", "session_ended", "admin"];
    wait::until("every kind of entry", wait::PATIENCE, || {
        let entries = bed.gateway.entries();
        kinds.iter().all(|kind| entries.iter().any(|entry| entry["kind"] == *kind)).then_some(())
    });
    let decisions: Vec<Value> = bed.gateway.entries().into_iter().filter(|entry| entry["kind"] == "decision").collect();
    let verdicts: Vec<&str> = decisions.iter().filter_map(|entry| entry["verdict"].as_str()).collect();
    // Connecting is a decision too, and each request is exactly one.
    assert_eq!(verdicts, ["permit", "permit", "deny"], "{decisions:?}");
    // By the command line as well.
    let ran = bed.gateway.cli(&["audit", "search", "--verdict", "deny", "-o", "json"]);
    assert!(ran.code == 0 && ran.out.contains("agents-never-destroy"), "{ran:?}");
}

/// The log holds a repeated permit in short; who reads it by Parapet sees it in full.
#[test]
fn repeated_permits_are_short_and_read_in_full() {
    let Some(bed) = Bed::start("audit-short") else { return };
    let mut raw = bed.raw("reporting");
    for number in 1..6 {
        assert_eq!(raw::tags(&raw.query(&format!("select total from orders where id = -{number}"))), "TCZ");
    }
    let decisions: Vec<Value> = bed.gateway.entries().into_iter().filter(|entry| entry["kind"] == "decision").collect();
    let [connect, first, again @ ..] = &*decisions else { panic!("{decisions:?}") };
    assert!(connect.get("like").is_none() && first.get("like").is_none(), "{decisions:?}");
    assert_eq!(again.len(), 4);
    for entry in again {
        assert_eq!(entry["like"], first["decision"]);
        assert!(entry.get("statement").is_none() && entry.to_string().len() <= 250, "{entry}");
    }
    let last = again[3]["decision"].as_str().unwrap();
    let ran = bed.gateway.cli(&["explain", last, "-o", "json"]);
    let shown: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    assert_eq!((&shown["statement"], &shown["bundle"]), (&first["statement"], &first["bundle"]));
    assert_eq!((&shown["decision"], &shown["like"]), (&again[3]["decision"], &first["decision"]));
    assert_eq!(shown["proof"]["verified"], true, "{ran:?}");
    assert!(shown["explanation"].is_object(), "{ran:?}");
    // What permits stands in the first entry alone, and all five are found by it.
    let policy = first["terms"]["permits"][0].as_str().unwrap();
    let ran = bed.gateway.cli(&["audit", "search", "--kind", "decision", "--policy", policy, "-o", "jsonl"]);
    let found = ran.out.lines().filter(|line| line.contains(first["statement"].as_str().unwrap())).count();
    assert_eq!(found, 5, "{ran:?}");
}

/// Flips a bit of every byte of a small log, cuts it, and drops, doubles and swaps its lines.
#[test]
fn every_change_is_found() {
    let Some(mut bed) = Bed::start("audit-tamper") else { return };
    bed.raw("triage-bot").query("drop table orders");
    bed.gateway.stop();
    let (audit, copy) = (bed.gateway.audit(), bed.folder.join("copy"));
    assert_eq!(verify(&audit).0, 0, "{}", verify(&audit).1);
    let name = bed.gateway.segments()[0].file_name().unwrap().to_owned();
    let sound = fs::read(bed.gateway.segments()[0].clone()).unwrap();
    drill::copy(&audit, &copy);
    let check = |what: String, bytes: &[u8]| {
        fs::write(copy.join(&name), bytes).unwrap();
        let (code, said) = verify(&copy);
        assert_eq!(code, 8, "{what} was not found: {said}");
    };
    // A process for each byte: every seventh, and all of the first and last lines.
    let lines: Vec<&[u8]> = sound.split_inclusive(|byte| *byte == b'\n').collect();
    let (first, last) = (lines[0].len(), sound.len() - lines[lines.len() - 1].len());
    for at in (0..sound.len()).filter(|at| at % 7 == 0 || *at < first.min(90) || *at >= last + 100) {
        let mut changed = sound.clone();
        changed[at] ^= 1;
        check(format!("a change of byte {at}"), &changed);
    }
    check("a missing first line".to_owned(), &lines[1..].concat());
    check("a missing line".to_owned(), &[&lines[..1], &lines[2..]].concat().concat());
    check("a doubled line".to_owned(), &[&lines[..2], &lines[1..]].concat().concat());
    let mut swapped = lines.clone();
    swapped.swap(1, 2);
    check("two swapped lines".to_owned(), &swapped.concat());
    // The untouched copy still verifies: it was the change that was found.
    fs::write(copy.join(&name), &sound).unwrap();
    assert_eq!(verify(&copy).0, 0);
}

/// The first bad entry is named.
#[test]
fn the_first_bad_entry_is_named() {
    let Some(mut bed) = Bed::start("audit-first-bad") else { return };
    bed.raw("reporting").query("select 1");
    bed.gateway.stop();
    let segment = bed.gateway.segments()[0].clone();
    let text = fs::read_to_string(&segment).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[2] = lines[2].replacen("\"v\":1", "\"v\":2", 1);
    fs::write(&segment, format!("{}\n", lines.join("\n"))).unwrap();
    let (code, said) = verify(&bed.gateway.audit());
    assert!(code == 8 && said.contains('2'), "{said}");
}

/// AU04: what strangers write is text to every reader: one record stays one line, and no terminal obeys it.
#[test]
fn hostile_text_is_shown_as_text() {
    let Some(bed) = Bed::start("audit-injection") else { return };
    for (number, hostile) in [
        "\u{1b}]52;c;QUJD\u{7}",
        "two\nlines",
        "=cmd|'/c calc'!A1",
        "a|b\\=c",
        "<script>alert(1)</script>",
        "\u{202e}txt.exe",
    ]
    .into_iter()
    .enumerate()
    {
        let user = format!("u{number}{hostile}");
        raw::Raw::try_log_in_with(bed.gateway.postgres(), &[("user", &user), ("database", "shop-db")], "x")
            .unwrap_err();
    }
    let before = bed.gateway.entries().len();
    let table = bed.gateway.cli(&["audit", "search", "--kind", "login_refused"]);
    let obeyed = |letter: char| letter != '\n' && letter.is_control() || letter == '\u{202e}';
    assert!(table.out.contains("u0") && !table.out.contains(obeyed), "{table:?}");
    let json = bed.gateway.cli(&["audit", "search", "--kind", "login_refused", "-o", "jsonl"]);
    assert!(!json.out.contains(|letter: char| letter != '\n' && letter.is_control()), "{json:?}");
    let claimed: Vec<Value> = json.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
    assert_eq!(claimed.len(), 6, "{claimed:?}");
    assert!(
        claimed.iter().any(|entry| entry["claimed"] == "u1two\nlines"),
        "what came is kept as it came: {claimed:?}"
    );
    // AU11: whoever read, and what they looked for, is entered itself.
    let entries = bed.gateway.entries();
    let read = entries.iter().skip(before).find(|entry| entry["action"] == "audit search").unwrap();
    assert_eq!((&read["by"], &read["object"]), (&"root@example.com".into(), &"kind=login_refused".into()), "{read}");
    let (code, said) = verify(&bed.gateway.audit());
    assert_eq!(code, 0, "{said}");
}

/// When the log cannot be written, nothing is forwarded.
#[test]
fn without_a_log_nothing_passes() {
    let Some(bed) = Bed::start("audit-unwritable") else { return };
    let mut raw = bed.raw("reporting");
    assert_eq!(raw::tags(&raw.query("select 1 as before")), "TDCZ");
    // As if the disk were full: no file of the running process may grow.
    let mut limit = std::process::Command::new("prlimit");
    let limit = run(limit.arg(format!("--pid={}", bed.gateway.process())).arg("--fsize=0:0"));
    if limit.code != 0 {
        crate::bed::skip("prlimit cannot limit the gateway's files");
        return;
    }
    // What is reserved already is used up first: each of these is entered, and then no more pass.
    let passed = (0..20_000).take_while(|number| {
        let sent = raw.try_send(&raw::query(&format!("select 1 as p{number}")));
        sent && raw::tags(&raw.until_ready()).contains('C')
    });
    let passed = passed.count();
    assert!(passed < 20_000, "the gateway goes on without a log");
    let executed = bed.postgres.executed().iter().filter(|sql| sql.contains("select 1 as p")).count();
    let statements = bed
        .gateway
        .entries()
        .iter()
        .filter(|entry| entry["statement"].as_str().is_some_and(|sql| sql.starts_with("select $1 as p")))
        .count();
    assert!(executed == passed && statements >= executed, "{executed} executed, {passed} passed, {statements} entered");
}
