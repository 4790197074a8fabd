//! Every verb of the command line against a live gateway: exit codes and what people read, as snapshots without ids, times
//! and ports; `run` as a supervisor of its child; proofs; the demo's tour.

mod adopt;

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::bed::clients::{Ran, run};
use crate::bed::gateway::BINARY;
use crate::bed::raw::{self, Raw};
use crate::bed::{Bed, folder::Folder, postgres, skip, wait};

/// Without what differs from run to run: ids, times, ports, hashes, counts of the log, the test's folder.
fn redacted(bed: &Bed, text: &str) -> String {
    let text = text.replace(bed.folder.join("").display().to_string().trim_end_matches('/'), "FOLDER");
    let text = text.replace(&crate::tidy::root().display().to_string(), "CHECKOUT");
    let mut out = String::new();
    let mut word = String::new();
    let mut before = String::new();
    for letter in text.chars().chain(['\0']) {
        if letter.is_ascii_alphanumeric() || "_:.-".contains(letter) {
            word.push(letter);
            continue;
        }
        if !word.is_empty() {
            out.push_str(&redacted_word(&before, &word));
            before = std::mem::take(&mut word);
        }
        if letter != '\0' {
            out.push(letter);
        }
    }
    let versions: Vec<&str> = out.lines().filter(|line| line.contains("PostgreSQL ")).collect();
    let out = versions.iter().fold(out.clone(), |out, line| {
        out.replace(line, &format!("{}PostgreSQL VERSION", line.split("PostgreSQL ").next().unwrap_or_default()))
    });
    // How many there are depends on the server's version.
    let out = out.split_inclusive('\n').map(|line| match line.split_once("catalogue        read: ") {
        Some((before, _)) => format!("{before}catalogue        read: N relations\n"),
        None => line.to_owned(),
    });
    let out: String = out.collect();
    (0..100).fold(out, |out, seconds| out.replace(&format!("({seconds} s ago)"), "(N s ago)"))
}

fn redacted_word(before: &str, word: &str) -> String {
    let id = ["dec_", "ses_", "apr_", "grt_"].into_iter().find(|prefix| word.starts_with(prefix));
    let time = word.len() == 20 && word.ends_with('Z') && word.starts_with("20");
    let hash = word.len() >= 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = word.trim_end_matches(':').bytes().all(|byte| byte.is_ascii_digit());
    match (id, word.rsplit_once(':')) {
        (Some(prefix), _) => format!("{prefix}…"),
        _ if time => "TIME".to_owned(),
        _ if hash => "HASH".to_owned(),
        _ if before == "bundle" => "BUNDLE".to_owned(),
        _ if number && ["seq", "of", "verified:"].contains(&before) => "N".to_owned(),
        (None, Some((host, port))) if ["127.0.0.1", "localhost"].contains(&host) && !port.is_empty() => {
            format!("{host}:PORT")
        }
        _ => word.to_owned(),
    }
}

/// A transcript of commands, each with its streams and its exit code.
fn transcript(bed: &Bed, commands: &[&[&str]]) -> String {
    let mut text = String::new();
    for arguments in commands {
        let ran = bed.gateway.cli(arguments);
        writeln!(text, "$ parapet {}", arguments.join(" ")).unwrap();
        text.push_str(&ran.err);
        text.push_str(&ran.out);
        writeln!(text, "[exit {}]\n", ran.code).unwrap();
    }
    redacted(bed, &text)
}

#[test]
fn lists_and_changes() {
    let Some(bed) = Bed::start("commands-lists") else { return };
    let mut session = bed.raw("reporting");
    session.query("select 1");
    let text = transcript(
        &bed,
        &[
            &["workloads", "list"],
            &["workloads", "list", "-o", "id"],
            &["workloads", "show", "triage-bot"],
            &["workloads", "show", "nobody"],
            &["upstreams", "list"],
            &["upstreams", "test", "shop-db"],
            &["upstreams", "test", "nothing"],
            &["sessions", "list"],
            &["sessions", "show", "last"],
            &["sessions", "show", "ses_nothing"],
            &["sessions", "kill", "last", "--reason", "a test"],
            &["workloads", "quarantine", "reporting", "--reason", "a test"],
            &["workloads", "quarantine", "nobody", "--reason", "a test"],
            &["workloads", "show", "reporting"],
            &["workloads", "release", "reporting", "--reason", "it was a test"],
            &["workloads", "release", "reporting", "--reason", "it was a test"],
            &["approvals", "list"],
            &["approvals", "show", "last"],
            &["config", "reload"],
            &["version"],
        ],
    );
    insta::assert_snapshot!(text);
    assert_eq!(raw::errors(&session.until_closed()), ["57P01"]);
}

#[test]
fn what_is_destructive_needs_a_yes() {
    let Some(bed) = Bed::start("commands-yes") else { return };
    // The bed's own `--yes` is left out.
    let ran = run(Command::new(BINARY)
        .args(["--no-input", "--state-folder"])
        .arg(bed.folder.join("state"))
        .args(["workloads", "quarantine", "reporting", "--reason", "a test"])
        .env("PARAPET_CONFIG", bed.folder.join("parapet.toml"))
        .env("PARAPET_TOKEN", "ppt_none"));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("add `--yes`"), "{ran:?}");
}

#[test]
fn decisions_are_explained_and_foretold() {
    let Some(bed) = Bed::start("commands-explain") else { return };
    let decide = |workload, sql| ["decide", "--as", workload, "--on", "shop-db", "--sql", sql];
    let mut text = String::new();
    for (workload, sql) in
        [("triage-bot", "drop table orders"), ("reporting", "select name, card from customers"), ("reporting", "selec")]
    {
        let mut session = bed.raw(workload);
        session.query(sql);
        // The session's own decisions are over before the question.
        drop(session);
        text.push_str(&transcript(&bed, &[&["explain", "last"]]));
    }
    text.push_str(&transcript(
        &bed,
        &[
            &decide("reporting", "select id from orders"),
            &decide("deploy", "alter table orders add column note text"),
            &decide("triage-bot", "drop table orders"),
            &decide("reporting", "select 1; selec"),
            &decide("nobody", "select 1"),
            &["decide", "--as", "reporting", "--on", "nothing", "--sql", "select 1"],
            &["explain", "PAR0201"],
            &["explain", "PAR9999"],
            &["explain", "dec_nothing"],
            &["explain", "nothing"],
        ],
    ));
    insta::assert_snapshot!(text);
}

/// What a read looks like in the log, and that a changed log is noticed by everybody who looks.
#[test]
fn the_log_is_searched_and_proved() {
    let Some(bed) = Bed::start("commands-log") else { return };
    bed.raw("triage-bot").query("drop table orders");
    let found = bed.gateway.cli(&["audit", "search", "--verdict", "deny"]);
    for part in ["OUTCOME", "✗ deny", "triage-bot", "DROP TABLE", "shop-db/shop.public.orders", "agents-never-destroy"]
    {
        assert!(found.out.contains(part), "{part}: {found:?}");
    }
    let explained = bed.gateway.cli(&["explain", "last"]);
    assert!(explained.out.contains("✓ verified locally"), "{explained:?}");
    let explained: Value = serde_json::from_str(&bed.gateway.cli(&["explain", "last", "--json"]).out).unwrap();
    assert_eq!(explained["proof"]["verified"], true, "{explained}");
    // What is copied while it is written has heads of more than the entries that were copied before them.
    wait::until("the session's end in the log", Duration::from_secs(20), || {
        bed.gateway.entries().iter().any(|entry| entry["kind"] == "session_ended").then_some(())
    });
    let copy = bed.folder.join("copy");
    run(Command::new("cp").arg("-a").arg(bed.gateway.audit()).arg(&copy)).assert_done();
    let copy_text = copy.display().to_string();
    bed.gateway.cli(&["audit", "verify", &copy_text]).assert_done();
    change(&copy, "DROP TABLE", "DROP TABLF");
    let broken = bed.gateway.cli(&["audit", "verify", &copy_text]);
    assert_eq!(broken.code, 8, "{broken:?}");
    assert!(broken.out.contains("✗ failed") && broken.out.contains("the first bad entry is seq"), "{broken:?}");
    change(&bed.gateway.audit(), "DROP TABLE", "DROP TABLF");
    let explained = bed.gateway.cli(&["explain", "last"]);
    assert_eq!(explained.code, 8, "{explained:?}");
    let doctor = bed.gateway.cli(&["doctor"]);
    assert_eq!(doctor.code, 1, "{doctor:?}");
}

/// Changes a log in place, where it stands: a text for another of its length. No byte beyond it is touched, for a gateway that
/// runs has the file's pages mapped.
fn change(log: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let mut changed = 0;
    for entry in fs::read_dir(log).unwrap().flatten() {
        if entry.path().extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let text = fs::read_to_string(entry.path()).unwrap();
        let file = fs::File::options().write(true).open(entry.path()).unwrap();
        for (place, _) in text.match_indices(from) {
            file.write_all_at(to.as_bytes(), u64::try_from(place).unwrap()).unwrap();
        }
        changed += i32::from(text.contains(from));
    }
    assert_eq!(changed, 1, "the log holds no `{from}`");
}

#[test]
fn run_is_a_good_supervisor() {
    let Some(bed) = Bed::start("commands-run") else { return };
    let token = bed.folder.write("token", &bed.token("triage-bot"));
    let token = token.display().to_string();
    let run = |extra: &[&str], command: &[&str]| -> Ran {
        let mut arguments = vec!["run", "--as", "triage-bot", "--token-file", &token];
        arguments.extend(extra);
        arguments.push("--");
        arguments.extend(command);
        bed.gateway.cli(&arguments)
    };
    let not_executable = bed.folder.write("file", "");
    let not_executable = not_executable.display().to_string();
    let drop: &[&str] = &["psql", "-X", "-c", "drop table orders"];
    let drop_and_go_on: &[&str] = &["psql", "-X", "-c", "drop table orders", "-c", "select 1"];
    let cases: [(&[&str], &[&str], i32, &str); 11] = [
        (&[], &["true"], 0, ""),
        (&[], &["sh", "-c", "exit 42"], 42, ""),
        (&[], &["sh", "-c", "kill -KILL $$"], 137, ""),
        // What a supervisor sends to `run` reaches the child, and the child's answer is the answer.
        (&[], &["sh", "-c", "kill -TERM $PPID; exec sleep 30"], 143, ""),
        (&[], &["sh", "-c", "trap 'exit 7' TERM; kill -TERM $PPID; while :; do sleep 0.05; done"], 7, ""),
        (&[], &["/nonexistent"], 127, "there is no such command"),
        (&[], &[&not_executable], 126, "it cannot be executed"),
        (&[], &["psql", "-XAt", "-c", "select count(*) from orders"], 0, ""),
        (&[], drop, 1, "✗ 1 denied\n  DROP TABLE on shop-db/shop.public.orders  by \"agents-never-destroy\"  dec_"),
        (&[], drop_and_go_on, 0, "✗ 1 denied"),
        (&["--map-denied"], drop_and_go_on, 5, "✗ 1 denied"),
    ];
    for (extra, command, code, said) in cases {
        let ran = run(extra, command);
        assert_eq!(ran.code, code, "{extra:?} {command:?}: {ran:?}");
        assert!(ran.err.contains(said), "{extra:?} {command:?}: {ran:?}");
    }
    // The child gets its own credential, and none for the admin API.
    let seen = run(&[], &["sh", "-c", "echo $PGUSER $PGDATABASE ${PARAPET_TOKEN-none} ${PGPASSWORD:+set}"]);
    assert_eq!(seen.out, "triage-bot shop-db none set\n", "{seen:?}");
}

#[test]
fn approvals_are_answered_taken_back_and_revoked() {
    let Some(bed) = Bed::start("commands-approvals") else { return };
    let sql = "create table t (a int)";
    let ask = || {
        let mut session = bed.raw("deploy");
        session.send(&raw::query(sql));
        session
    };
    let _held = ask();
    let withdrawn = bed.answer("mara@example.com", &["withdraw"]);
    let _held = ask();
    let rejected = bed.answer("dana@example.com", &["reject", "--reason", "not today"]);
    let shown = bed.gateway.cli(&["approvals", "show", &rejected]);
    assert!(shown.out.contains("✗ rejected") && shown.out.contains("not today"), "{shown:?}");
    let held = ask();
    let id = bed.waiting_approval();
    drop(held);
    let approved = bed.gateway.cli_as("dana@example.com", &["approvals", "approve", &id]);
    assert_eq!((approved.code, approved.err.contains("is granted")), (0, true), "{approved:?}");
    let revoked = bed.gateway.cli_as("dana@example.com", &["approvals", "revoke", &id, "--reason", "too late"]);
    assert_eq!((revoked.code, revoked.err.contains("is revoked")), (0, true), "{revoked:?}");
    let again = bed.gateway.cli_as("dana@example.com", &["approvals", "revoke", &id, "--reason", "too late"]);
    assert_eq!(again.code, 7, "{again:?}");
    let own = bed.gateway.cli_as("mara@example.com", &["approvals", "approve", &withdrawn]);
    assert_ne!(own.code, 0, "{own:?}");
    let all = bed.gateway.cli(&["approvals", "list", "--state", "all"]).out;
    for state in ["✗ rejected", "◷ withdrawn", "✗ revoked"] {
        assert!(all.contains(state), "{all}");
    }
}

#[test]
fn doctor_mends_modes_and_leaves_a_live_address() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(bed) = Bed::start("commands-fix") else { return };
    let state = bed.folder.join("state");
    let mode = || fs::metadata(&state).unwrap().permissions().mode() & 0o777;
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(!bed.gateway.cli(&["doctor"]).out.contains("now 700") && mode() == 0o755);
    let mended = bed.gateway.cli(&["doctor", "--fix"]);
    assert!(mended.out.contains("had mode 755, now 700") && mode() == 0o700, "{mended:?}");
    assert!(state.join("admin.addr").exists(), "the address of a gateway that runs is no longer there");
}

#[test]
fn what_was_seen_before_is_counted() {
    let Some(bed) = Bed::start("commands-seen") else { return };
    let seen = || {
        let ran = bed.gateway.cli(&["explain", "last", "-o", "json"]);
        let page = bed.gateway.cli(&["explain", "last"]).out;
        let line = page.lines().find(|line| line.contains("seen before")).unwrap_or_default().to_owned();
        (serde_json::from_str::<Value>(&ran.out).unwrap()["seen_before"].clone(), line)
    };
    let ask = |workload, sql| drop(bed.raw(workload).query(sql));
    ask("triage-bot", "drop table orders");
    let (first, line) = seen();
    assert_eq!((&first["own"]["times"], &first["complete"]), (&Value::from(0), &Value::from(true)), "{first}");
    assert!(line.contains("never by this workload, 0 by others in 30 days"), "{line}");
    ask("triage-bot", "drop table orders");
    ask("reporting", "drop table orders");
    ask("triage-bot", "drop table customers");
    ask("triage-bot", "drop table orders");
    let (seen, line) = seen();
    assert_eq!((&seen["own"]["times"], &seen["own"]["denied"]), (&Value::from(2), &Value::from(2)), "{seen}");
    assert_eq!(seen["others"]["times"], Value::from(1), "{seen}");
    assert!(line.contains("2, all denied, by this workload since "), "{line}");
}

#[test]
fn what_was_asked_ahead_passes_once_it_is_granted() {
    let Some(bed) = Bed::start("commands-ahead") else { return };
    let sql = "create table asked_ahead (a int)";
    let request = ["approvals", "request", "--as", "deploy", "--on", "shop-db", "--sql", sql, "--reason", "Friday"];
    let asked = bed.gateway.cli_as("mara@example.com", &[&request[..], &["-o", "id"]].concat());
    assert_eq!(asked.code, 0, "{asked:?}");
    let id = bed.waiting_approval();
    let own = bed.gateway.cli_as("mara@example.com", &["approvals", "approve", &id]);
    assert!(own.code != 0 && own.err.contains("PAR0320"), "{own:?}");
    let shown = bed.gateway.cli_as("dana@example.com", &["approvals", "show", &id]);
    assert!(shown.out.contains(sql) && shown.out.contains("Friday"), "{shown:?}");
    bed.answer("dana@example.com", &["approve"]);
    // Another text is not what was granted; this one runs at once, and once.
    let mut session = bed.raw("deploy");
    session.query(sql);
    assert!(bed.postgres.executed().iter().any(|statement| statement.contains(sql)), "it was not executed");
    let used = bed.gateway.cli(&["approvals", "show", &id]);
    assert!(used.out.contains("used"), "{used:?}");
    let waited = bed.gateway.cli_as("mara@example.com", &[&request[..], &["--wait", "1s"]].concat());
    assert_eq!(waited.code, 6, "{waited:?}");
    for (arguments, code) in [
        (["approvals", "request", "--as", "deploy", "--on", "shop-db", "--sql", "select 1"], 7),
        (["approvals", "request", "--as", "triage-bot", "--on", "shop-db", "--sql", "drop table orders"], 7),
    ] {
        let ran = bed.gateway.cli(&arguments);
        assert!(ran.code == code && ran.err.contains("PAR0329"), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn doctor_looks_at_everything() {
    let Some(mut bed) = Bed::start("commands-doctor") else { return };
    let healthy = bed.gateway.cli(&["doctor"]);
    assert_eq!(healthy.code, 0, "{healthy:?}");
    for check in [
        "configuration",
        "policies",
        "issuer ",
        "state folder",
        "disk",
        "audit log",
        "file descriptors",
        "gateway",
        "clock",
        "port postgres",
        "shop-db tls",
        "shop-db login",
        "shop-db least privilege",
        "shop-db catalogue",
    ] {
        let passed = healthy.out.lines().any(|line| line.starts_with("✓ passed") && line.contains(check));
        assert!(passed, "{check}: {}", healthy.out);
    }
    assert!(healthy.out.contains("◷ warning  shop-db bypass"), "{}", healthy.out);
    bed.postgres.crash();
    let ill = bed.gateway.cli(&["doctor", "--json"]);
    assert_eq!(ill.code, 1, "{ill:?}");
    let ill: Value = serde_json::from_str(&ill.out).unwrap();
    let failed = ill["checks"].as_array().unwrap().iter().filter(|check| check["passed"] == false);
    let failed: Vec<&str> = failed.map(|check| check["check"].as_str().unwrap()).collect();
    assert!(failed.len() == 1 && failed[0].starts_with("shop-db "), "{ill}");
    bed.gateway.stop();
    let down = bed.gateway.cli(&["doctor"]);
    assert_eq!(down.code, 1, "{down:?}");
    assert!(down.out.contains("✗ failed  gateway"), "{down:?}");
    for (arguments, code) in [(&["workloads", "list"][..], 9), (&["audit", "verify"], 0)] {
        let ran = bed.gateway.cli(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
    }
}

/// The links in refusals lead to a page that shows no more than the id, and asks for no credential.
#[test]
fn links_lead_to_a_command() {
    let Some(bed) = Bed::start("commands-links") else { return };
    let mut session = bed.raw("triage-bot");
    let refused = session.query("drop table orders").into_iter().find(|reply| reply.tag == b'E').unwrap();
    let hint = refused.field(b'H');
    let url = hint.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
    let path = url.strip_prefix(&format!("http://{}", bed.gateway.admin()));
    let path = path.unwrap_or_else(|| panic!("{url} is not where {} listens", bed.gateway.admin()));
    let page = get(&bed, path);
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("parapet explain dec_"), "{page}");
    assert!(!page.contains("orders") && !page.contains("triage-bot"), "{page}");
    for path in ["/d/", "/d/apr_1", "/d/dec_%0a$(id)", "/a/dec_1", "/", "/v1/status"] {
        let page = get(&bed, path);
        assert!(page.starts_with("HTTP/1.1 4"), "{path}: {page}");
    }
}

fn get(bed: &Bed, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(bed.gateway.admin()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// In an observing upstream everything passes, and what would not have is in sight.
#[test]
fn what_is_observed_is_counted_and_shown() {
    let Some(bed) = Bed::start_with("commands-observe", |setup| setup.observe()) else { return };
    let mut session: Raw = bed.raw("triage-bot");
    assert!(raw::errors(&session.query("truncate notes")).is_empty());
    let listed = bed.gateway.cli(&["upstreams", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(listed["items"][0]["would_be_denied"], 1, "{listed}");
    let found = bed.gateway.cli(&["audit", "search", "--kind", "decision"]);
    let line = found.out.lines().find(|line| line.contains("TRUNCATE")).unwrap_or_else(|| panic!("{found:?}"));
    assert!(line.contains("◷ observed") && line.contains("agents-never-destroy"), "{line}");
    let explained = bed.gateway.cli(&["explain", "last"]);
    assert!(
        explained.out.starts_with("◷ PERMIT, observed") && explained.out.contains("agents-never-destroy"),
        "{explained:?}"
    );
}

#[test]
fn a_bad_configuration_is_not_loaded() {
    let Some(bed) = Bed::start("commands-reload") else { return };
    let file = bed.folder.join("parapet.toml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{good}\n[gatway]\n")).unwrap();
    let refused = bed.gateway.cli(&["config", "reload"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.err.contains("PAR0327") && refused.err.contains("gatway"), "{refused:?}");
    fs::write(&file, good).unwrap();
    bed.gateway.cli(&["config", "reload"]).assert_done();
}

#[test]
fn the_tour_ends_as_it_should() {
    if postgres::program("postgres").is_none() {
        return skip("no PostgreSQL for the demo");
    }
    let folder = Folder::new("commands-tour");
    let ran = run(Command::new(BINARY)
        .args(["demo", "--tour"])
        .env("TMPDIR", folder.join(""))
        .env("NO_COLOR", "1")
        .env_remove("PARAPET_CONFIG"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    for step in
        ["✓ 1 mask", "✓ 2 block", "✓ 3 approve", "✓ 4 quarantine", "✓ 5 http", "✓ 6 explain", "✓ verified locally"]
    {
        assert!(ran.err.contains(step), "{step}: {}", ran.err);
    }
    // Nothing stays but what the test itself wrote.
    let left: Vec<_> = fs::read_dir(folder.join("")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}
