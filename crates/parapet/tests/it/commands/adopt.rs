//! From a first try to a policy: `dev` and what it shows of the traffic, `policy suggest`, and what goes to those who are asked
//! for help, `doctor --bundle` and the manual pages.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::change;
use crate::bed::clients::run;
use crate::bed::gateway::BINARY;
use crate::bed::postgres::UPSTREAM_PASSWORD;
use crate::bed::{Bed, folder::Folder, raw, shop, wait};

/// What passed becomes permits that pass their tests; what was denied, or was never asked, does not.
#[test]
fn permits_are_proposed_from_what_passed() {
    let Some(bed) = Bed::start("commands-suggest") else { return };
    let mut session = bed.raw("reporting");
    for sql in [
        "select id, status from orders where id = 4711",
        "select id, status from orders where id = 4712",
        "select id, name from customers order by id limit 3",
        "select count(*) from products",
        "begin",
        "commit",
    ] {
        assert!(raw::errors(&session.query(sql)).is_empty(), "{sql}");
    }
    assert!(!raw::errors(&session.query("drop table orders")).is_empty());
    drop(session);
    let suggest = |more: &[&str]| bed.gateway.cli(&[&["policy", "suggest", "--workload", "reporting"], more].concat());
    let shown = suggest(&[]);
    assert_eq!(shown.code, 0, "{shown:?}");
    for part in [
        "principal == Workload::\"reporting\"",
        "resource in Table::\"shop-db/shop.public.orders\"",
        "// such as: select id, status from orders where id = $1",
        "// 1 × reporting at shop-db, by no_permit, such as: drop table orders",
        // A column of customers is labelled: what was read of it stands by name.
        "resource == Table::\"shop-db/shop.public.customers\"",
        "Column::\"shop-db/shop.public.customers.name\"",
    ] {
        assert!(shown.out.contains(part), "{part} is missing:\n{}", shown.out);
    }
    assert!(!shown.out.contains("customers.card") && !shown.out.contains("4711"), "{}", shown.out);
    let into = bed.folder.join("suggested");
    let folder = into.display().to_string();
    let written = suggest(&["--into", &folder]);
    assert_eq!(written.code, 0, "{written:?}");
    assert!(written.out.contains(" 0 failed") && written.out.contains("8 passed"), "{written:?}");
    assert_eq!(fs::read_to_string(into.join("suggested.cedar")).unwrap(), shown.out);
    bed.gateway.cli(&["policy", "check", &folder]).assert_done();
    assert_eq!(suggest(&["--into", &folder]).code, 7);
    let json: Value = serde_json::from_str(&suggest(&["--json"]).out).unwrap();
    assert_eq!((&json["schema"], &json["incomplete"]), (&"parapet.policy-suggest/v1".into(), &0.into()), "{json}");
    let orders = json["rules"].as_array().unwrap().iter().find(|rule| rule["resource"] == "shop-db/shop.public.orders");
    assert_eq!(orders.unwrap()["actions"], serde_json::json!(["sql:select", "sql:infer"]), "{json}");
    let nothing = bed.gateway.cli(&["policy", "suggest", "--workload", "auditor"]);
    assert!(nothing.code == 1 && nothing.err.contains("PAR0315"), "{nothing:?}");
    // A log that somebody changed is no ground for permits.
    let copy = bed.folder.join("copy");
    run(Command::new("cp").arg("-a").arg(bed.gateway.audit()).arg(&copy)).assert_done();
    change(&copy, "shop.public.products", "shop.public.PRODUCTS");
    let changed = suggest(&["--log", &copy.display().to_string()]);
    assert!(changed.code == 8 && changed.out.is_empty(), "{changed:?}");
}

/// A bundle holds nothing of what is secret, and nothing of what was said.
#[test]
fn a_bundle_keeps_secrets() {
    let Some(bed) = Bed::start("commands-bundle") else { return };
    let literal = "canary-91c3-literal";
    bed.raw("reporting").query(&format!("select id from orders where status = '{literal}'"));
    bed.raw("triage-bot").query(&format!("drop table \"{literal}\""));
    let mut stranger = raw::Raw::connect(bed.gateway.postgres());
    stranger.send(&raw::startup(&[("user", literal), ("database", shop::NAME)]));
    drop(stranger);
    bed.gateway.cli(&["workloads", "quarantine", "auditor", "--reason", literal]).assert_done();
    let state = bed.folder.join("state");
    let own = fs::read_to_string(state.join("admin.token")).unwrap_or_default();
    // A secret in an argument of a command, and one in a key that does not exist.
    let toml = bed.folder.join("parapet.toml");
    let text = fs::read_to_string(&toml).unwrap();
    let extra = format!("\n[nonsense]\npasword = \"{literal}\"\n");
    let path = bed.folder.join("bundle.json");
    let write = |path: &Path| bed.gateway.cli(&["doctor", "--bundle", &path.display().to_string()]);
    for (name, text) in [("sound", text.clone()), ("mistaken", format!("{text}{extra}"))] {
        fs::write(&toml, text).unwrap();
        let path = path.with_file_name(format!("{name}.json"));
        let ran = write(&path);
        assert!(ran.err.contains("is written"), "{ran:?}");
        let bundle = fs::read_to_string(&path).unwrap();
        let json: Value = serde_json::from_str(&bundle).unwrap();
        assert_eq!(json["schema"], "parapet.support/v1");
        for member in ["version", "checks", "configuration", "status", "log"] {
            assert_ne!(json[member], Value::Null, "{member}");
        }
        let entries = json["log"]["entries"].as_array().unwrap();
        assert!(entries.iter().any(|entry| entry["verdict"] == "deny") && entries.len() > 5, "{bundle}");
        let tokens = [bed.token("reporting"), own.trim().to_owned()];
        let secrets = [UPSTREAM_PASSWORD, literal, "ppt_", "sha256:", "token_hash\": \"", "eyJ"];
        for secret in secrets.into_iter().chain(tokens.iter().map(String::as_str)).filter(|secret| !secret.is_empty()) {
            assert!(!bundle.contains(secret), "{name} holds `{secret}`:\n{bundle}");
        }
        assert!(bundle.contains("file://…"), "{bundle}");
    }
    // What is there is not overwritten.
    let again = write(&path.with_file_name("sound.json"));
    assert!(again.code == 1 && again.err.contains("already exists"), "{again:?}");
    // What would tell a secret after all is not written: here it stands in the name of an upstream's database.
    fs::write(
        &toml,
        text.replace(&format!("database = \"{}\"", shop::NAME), &format!("database = \"{UPSTREAM_PASSWORD}\"")),
    )
    .unwrap();
    let held = write(&path);
    assert!(held.code == 1 && held.err.contains("nothing was written") && !path.exists(), "{held:?}");
}

#[test]
fn manual_pages_are_of_the_same_tree() {
    let folder = Folder::new("commands-man");
    let pages = folder.join("man1");
    run(Command::new(BINARY).arg("man").arg(&pages)).assert_done();
    for (page, part) in [("parapet.1", "Runtime guardrails"), ("parapet-policy-suggest.1", "schema\\-from")] {
        let text = fs::read_to_string(pages.join(page)).unwrap();
        assert!(text.contains(part) && text.starts_with(".ie"), "{page}: {text}");
    }
    let help = run(Command::new(BINARY).arg("help")).out;
    let commands = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let names: Vec<&str> = commands.map_while(|line| line.strip_prefix("  ")?.split_whitespace().next()).collect();
    assert!(names.len() > 15, "{help}");
    for name in names.into_iter().filter(|name| *name != "help") {
        assert!(pages.join(format!("parapet-{name}.1")).is_file(), "{name} has no page");
    }
}

/// A running `dev`, which ends with its test, however that ends.
struct Dev(Child);

impl Drop for Dev {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// `dev` tells each decision as it happens, and what all of it came to.
#[test]
fn dev_shows_its_traffic() {
    let folder = Folder::new("commands-dev");
    let Some(postgres) = crate::bed::postgres::Postgres::start(&folder) else { return };
    let state = folder.join("dev");
    let parapet = || {
        let mut command = Command::new(BINARY);
        command.arg("--state-folder").arg(&state).env("NO_COLOR", "1").env_remove("PARAPET_CANARY_SECONDS");
        command.current_dir(folder.join("")).stdin(Stdio::null());
        command
    };
    let url = format!("postgres://parapet@localhost:{}/{}", postgres.port(), shop::NAME);
    let child = parapet()
        .args(["dev", "--upstream", &url])
        .env("PGPASSWORD", UPSTREAM_PASSWORD)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut dev = Dev(child);
    let lines = BufReader::new(dev.0.stderr.take().unwrap()).lines();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let reading = std::sync::Arc::clone(&seen);
    let reader =
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| reading.lock().unwrap().push(line)));
    let told = |part: &str| seen.lock().unwrap().iter().find(|line| line.contains(part)).cloned();
    wait::until("dev to be ready", Duration::from_secs(30), || state.join("ports.json").exists().then_some(()));
    let psql = ["psql", "-XAt", "-c", "select count(*) from orders", "-c", "truncate notes"];
    run(parapet().args(["run", "--as", "local-agent", "--"]).args(psql)).assert_done();
    let patience = Duration::from_secs(15);
    let summary = wait::until("what it came to", patience, || told(" statements, "));
    assert!(
        summary.contains("2 statements, 2 shapes, 2 tables → parapet") && summary.contains("policy suggest"),
        "{summary}"
    );
    assert!(told("✓ permit    local-agent  SELECT on shop-db/shop.public.orders").is_some(), "{:?}", seen.lock());
    let observed = told("◷ observed").unwrap();
    assert!(
        observed.contains("TRUNCATE on")
            && observed.contains("would have been stopped by")
            && observed.contains("dec_")
    );
    // What it names is a command that works.
    let words = summary.split('→').nth(1).unwrap().split_whitespace().skip(1);
    let suggested = run(Command::new(BINARY).args(words).env("NO_COLOR", "1"));
    assert!(suggested.code == 0 && suggested.out.contains("Workload::\"local-agent\""), "{suggested:?}");
    let pid = Pid::from_raw(i32::try_from(dev.0.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert!(dev.0.wait().unwrap().success());
    reader.join().unwrap();
}
