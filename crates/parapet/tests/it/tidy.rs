//! The tree itself: that what ARCHITECTURE.md and CONTRIBUTING.md promise about it is so. Each check names what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files above 600 lines, each with its reason. The list only shrinks.
const LONG_FILES: [(&str, &str); 0] = [];

/// Files that carry `#[expect(clippy::disallowed_methods)]`, each with what for. A new one is argued here.
const EXCEPTIONS: [(&str, &str); 16] = [
    ("crates/gateway/src/login/certificate.rs", "proves attestations"),
    ("crates/gateway/src/login/native.rs", "proves attestations"),
    ("crates/gateway/src/login/oidc.rs", "proves attestations"),
    ("crates/gateway/src/login/resumed.rs", "counts a kept proof again"),
    ("crates/gateway/src/login/task.rs", "proves attestations"),
    ("crates/gateway/src/login/trust_domains.rs", "proves attestations"),
    ("crates/gateway/src/upstream/dial.rs", "the one dialler"),
    ("crates/gateway/src/upstream/secret.rs", "reads credentials from the environment and from programs"),
    ("crates/parapet/src/cli/client.rs", "the command line's one connection, to the admin API on loopback"),
    ("crates/parapet/src/cli/run.rs", "starts the command that it was given"),
    ("crates/parapet/src/cli/time.rs", "says how long ago something was"),
    ("crates/parapet/src/clock.rs", "the clock"),
    ("crates/parapet/src/config/layers.rs", "reads the environment's layer"),
    ("crates/parapet/src/demo/curl.rs", "starts the demo's clients"),
    ("crates/parapet/src/demo/postgres.rs", "starts the demo's own server"),
    ("crates/parapet/src/demo/steps.rs", "starts the demo's clients"),
];

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every file with this extension below a folder of the checkout, with its path from the root.
fn files(below: &str, extension: &str) -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.join(below)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|other| other == extension) {
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

fn report(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
}

/// Is it a test, a benchmark, or what they stand on?
fn is_test(name: &str) -> bool {
    ["/tests/", "/benches/", "/tests.rs", "/testing.rs", "/examples/"].iter().any(|part| name.contains(part))
}

/// The code of a line, without its comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// 1. Every file opens with what it is, and none is long.
#[test]
fn files_open_with_a_purpose_and_are_short() {
    let mut wrong = Vec::new();
    for (name, text) in files("crates", "rs").into_iter().chain(files("fuzz", "rs")) {
        if !text.starts_with("//!") {
            wrong.push(format!("{name}: does not open with //!"));
        }
        let lines = text.lines().count();
        if lines > 600 && !LONG_FILES.iter().any(|(file, _)| *file == name) {
            wrong.push(format!("{name}: {lines} lines"));
        }
    }
    report("files", &wrong);
}

/// 2. The kernel and the wire do no input or output and read no clock.
#[test]
fn kernel_and_wire_are_pure() {
    const BANNED: [&str; 9] = [
        "tokio",
        "std::net::Tcp",
        "std::net::Udp",
        "std::fs",
        "Instant",
        "SystemTime",
        "std::env",
        "std::process",
        "rand::",
    ];
    let mut wrong = Vec::new();
    for (name, text) in files("crates/kernel/src", "rs").into_iter().chain(files("crates/wire/src", "rs")) {
        if name.contains("tests") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for word in BANNED.iter().filter(|word| code(line).contains(**word)) {
                wrong.push(format!("{name}:{}: names `{word}`", number + 1));
            }
            let port = name.ends_with("ports.rs") || name.ends_with("audit/enter.rs");
            let mut words = code(line).split(|letter: char| !(letter.is_alphanumeric() || "_-".contains(letter)));
            if words.any(|word| word == "async") && !port {
                wrong.push(format!("{name}:{}: `async` belongs in ports.rs and audit/enter.rs", number + 1));
            }
        }
    }
    report("kernel and wire", &wrong);
}

/// 3. Which crate may know which: our own crates as listed, and a few others never in some.
#[test]
fn dependencies_point_one_way() {
    let own = BTreeMap::from([
        ("parapet-kernel", vec![]),
        ("parapet-wire", vec!["parapet-kernel"]),
        ("parapet-gateway", vec!["parapet-kernel", "parapet-wire"]),
        ("parapet-pages", vec![]),
        ("parapet-store", vec!["parapet-kernel", "parapet-pages"]),
        ("parapet-control", vec!["parapet-kernel", "parapet-store"]),
        ("parapet", vec!["parapet-kernel", "parapet-wire", "parapet-gateway", "parapet-store", "parapet-control"]),
    ]);
    let never = [
        ("parapet-kernel", &["tokio", "hyper", "rustls", "sqlx", "pg_query"][..]),
        ("parapet-wire", &["tokio", "hyper", "rustls", "sqlx", "cedar-policy"]),
        ("parapet-gateway", &["cedar-policy", "pg_query", "sqlx", "axum"]),
        ("parapet-store", &["axum", "hyper", "rustls", "pg_query", "cedar-policy"]),
        ("parapet-control", &["pg_query", "tokio-rustls"]),
    ];
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--locked", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let normal: BTreeSet<&str> = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|dependency| dependency["kind"].is_null())
            .map(|dependency| dependency["name"].as_str().unwrap())
            .collect();
        let Some(allowed) = own.get(name) else {
            wrong.push(format!("{name}: a crate that this table does not know"));
            continue;
        };
        for other in normal.iter().filter(|other| own.contains_key(**other) && !allowed.contains(*other)) {
            wrong.push(format!("{name} must not depend on {other}"));
        }
        let banned = never.iter().filter(|(crate_name, _)| *crate_name == name).flat_map(|(_, banned)| banned.iter());
        wrong.extend(
            banned.filter(|banned| normal.contains(**banned)).map(|banned| format!("{name} must not use {banned}")),
        );
    }
    report("dependencies", &wrong);
}

/// 4. A protocol has all five: what it says, how it is served, a test with the real server, a fuzz target, a page.
#[test]
fn protocols_are_complete() {
    let mut wrong = Vec::new();
    let protocols = std::fs::read_dir(root().join("crates/gateway/src/protocol")).unwrap().flatten();
    for protocol in
        protocols.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().into_string().unwrap())
    {
        // What goes out speaks HTTP: its wire, its fuzz targets and its group of tests are those of `http`.
        if protocol == "egress" {
            continue;
        }
        for path in [
            format!("crates/wire/src/{protocol}"),
            format!("crates/parapet/tests/it/{protocol}"),
            format!("docs/reference/protocols/{protocol}.md"),
        ] {
            if !root().join(&path).exists() {
                wrong.push(format!("{protocol}: {path} is missing"));
            }
        }
        let targets = files("fuzz/fuzz_targets", "rs");
        if !targets.iter().any(|(name, _)| name.starts_with(&format!("fuzz/fuzz_targets/{protocol}"))) {
            wrong.push(format!("{protocol}: no fuzz target"));
        }
    }
    report("protocols", &wrong);
}

/// 5. What users can meet has a page: configuration keys, error codes, commands, exit codes.
#[test]
fn what_users_meet_is_documented() {
    let mut wrong = Vec::new();
    let mut codes = BTreeSet::new();
    for (_, text) in files("crates", "rs").iter().filter(|(name, _)| !name.contains("tests")) {
        for part in text.split("\"PAR").skip(1) {
            let digits: String = part.chars().take(4).collect();
            if digits.len() == 4 && digits.chars().all(|c| c.is_ascii_digit()) {
                codes.insert(format!("PAR{digits}"));
            }
        }
    }
    let page = read("docs/reference/error-codes.md");
    wrong.extend(
        codes.iter().filter(|code| !page.contains(*code)).map(|code| format!("error-codes.md: {code} is missing")),
    );

    let keys = read("crates/parapet/src/config/keys/table.rs");
    let page = read("docs/reference/configuration.md");
    for part in keys.split_once("pub(crate) const ALL").unwrap().1.split('"') {
        let is_path = part.contains('.') && part.chars().all(|c| c.is_ascii_lowercase() || "._*[]".contains(c));
        if is_path && !page.contains(&format!("`{}`", part.replace(".[]", "[]"))) {
            wrong.push(format!("configuration.md: `{part}` is missing"));
        }
    }

    let page = read("docs/reference/cli.md");
    let help = Command::new(crate::bed::gateway::BINARY).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    for command in commands.filter_map(|line| line.split_whitespace().next()) {
        if command != "help" && !page.contains(&format!("parapet {command}")) {
            wrong.push(format!("cli.md: `parapet {command}` is missing"));
        }
    }

    let page = read("docs/reference/exit-codes.md");
    wrong.extend(
        (0..=9)
            .filter(|code| !page.contains(&format!("| {code} ")))
            .map(|code| format!("exit-codes.md: {code} is missing")),
    );
    report("documents", &wrong);
}

/// 6. ARCHITECTURE.md names every crate and every folder at the top.
#[test]
fn the_architecture_names_everything() {
    let text = read("ARCHITECTURE.md");
    assert!(text.lines().count() <= 300, "ARCHITECTURE.md has more than 300 lines");
    let mut wrong = Vec::new();
    let folders = |below: PathBuf| {
        let entries = std::fs::read_dir(below).unwrap().flatten();
        entries
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect::<Vec<_>>()
    };
    let hidden = |name: &String| name.starts_with('.') || name == "target" || name == "bench-results";
    for name in folders(root()).into_iter().filter(|name| !hidden(name)).chain(folders(root().join("crates"))) {
        if !text.contains(&format!("`{name}/`")) && !text.contains(&format!("`{name}`")) {
            wrong.push(format!("`{name}/` is not named"));
        }
    }
    report("ARCHITECTURE.md", &wrong);
    assert!(read("README.md").lines().count() < 200, "README.md has 200 lines or more");
}

/// 7. No test is switched off or sleeps, no file is named after nothing, no fixed word has a synonym.
#[test]
fn names_and_tests() {
    let forbidden_files = ["utils", "util", "common", "helpers", "helper", "misc", "manager", "handler", "types"];
    // `Principal` is Cedar's word, and stands where Cedar is spoken to.
    let synonyms = ["Backend", "Target", "User", "Tenant", "Rule"];
    // Two are PostgreSQL's own names of messages; the last is what holds for a response, and no policy.
    let allowed = ["TrustRule", "BackendMessage", "BackendKeyData", "ResponseRules"];
    let mut wrong = Vec::new();
    for (name, text) in files("crates", "rs") {
        let stem = Path::new(&name).file_stem().unwrap().to_str().unwrap();
        if forbidden_files.contains(&stem) {
            wrong.push(format!("{name}: named after nothing"));
        }
        let test = is_test(&name);
        let sleeper = name.ends_with("tests/it/bed/wait.rs");
        for (number, line) in text.lines().enumerate() {
            let line = code(line);
            for attribute in [concat!("#[ig", "nore"), concat!("#[should_", "panic")] {
                if line.contains(attribute) {
                    wrong.push(format!("{name}:{}: {attribute}]", number + 1));
                }
            }
            if test && !sleeper && ["thread::sle", "time::sle"].iter().any(|call| line.contains(&format!("{call}ep(")))
            {
                wrong.push(format!("{name}:{}: a test that sleeps", number + 1));
            }
            for synonym in synonyms {
                let declares = ["struct ", "enum ", "trait ", "type "].iter().any(|kind| {
                    line.split_once(&format!("pub {kind}")).is_some_and(|(_, rest)| {
                        let name: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
                        name.contains(synonym) && !allowed.contains(&name.as_str())
                    })
                });
                if declares {
                    wrong.push(format!("{name}:{}: `{synonym}` is not one of our words", number + 1));
                }
            }
        }
    }
    report("names and tests", &wrong);
}

/// 8. The places that may do what clippy.toml bans are listed here.
#[test]
fn exceptions_are_listed() {
    let carrying: BTreeSet<String> = files("crates", "rs")
        .into_iter()
        .filter(|(name, text)| !is_test(name) && text.contains("clippy::disallowed_methods"))
        .map(|(name, _)| name)
        .collect();
    let listed: BTreeSet<String> = EXCEPTIONS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut wrong: Vec<String> = carrying.difference(&listed).map(|name| format!("{name}: not listed")).collect();
    wrong.extend(listed.difference(&carrying).map(|name| format!("{name}: listed without need")));
    report("exceptions to clippy.toml", &wrong);
    let mut loose = Vec::new();
    for (name, text) in files("crates", "rs") {
        for (number, _) in text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("#[allow(")) {
            loose.push(format!("{name}:{}: use #[expect] with a reason", number + 1));
        }
    }
    report("allowed lints", &loose);
}

/// 9. Each shipped policy has an id and a test; every crate inherits the lints.
#[test]
fn policies_are_tested_and_lints_inherited() {
    let mut wrong = Vec::new();
    for (name, text) in files("policies", "cedar") {
        let tests = Path::new(&name).parent().unwrap().join("tests.yaml");
        let tests = std::fs::read_to_string(root().join(&tests)).unwrap_or_default();
        // A permit without effect shows in every other test. A forbid is named by one, a mask by what it leaves.
        for policy in text.split("@id(\"").skip(1) {
            let id = policy.split('"').next().unwrap_or_default();
            let mask = policy.split_once("@mask(\"").and_then(|(_, rest)| rest.split('"').next());
            let expected = mask.unwrap_or(id);
            if policy.lines().any(|line| code(line).contains("forbid")) && !tests.contains(expected) {
                wrong.push(format!("{name}: `{id}` has no test"));
            }
        }
        let starts =
            |line: &&str| ["permit", "forbid"].iter().any(|effect| code(line).contains(&format!("{effect} (")));
        let (policies, ids) = (text.lines().filter(starts).count(), text.matches("@id(").count());
        if ids < policies {
            wrong.push(format!("{name}: {policies} policies, {ids} with @id"));
        }
    }
    for (name, text) in files("crates", "toml") {
        if name == "crates/pages/Cargo.toml" {
            // It may hold unsafe code, each block with its reason, and differs in nothing else.
            let own = |text: &str| -> Vec<String> {
                let lints = text.lines().skip_while(|line| !line.contains("lints.rust]"));
                let lints =
                    lints.take_while(|line| !line.starts_with("[profile") && !line.starts_with("[dependencies"));
                let lints = lints.filter(|line| line.contains('=') && !line.contains("unsafe"));
                lints.map(str::to_owned).collect()
            };
            if own(&text) != own(&read("Cargo.toml")) || !text.contains("undocumented_unsafe_blocks = \"deny\"") {
                wrong.push(format!("{name}: its lints are not the workspace's"));
            }
        } else if name.ends_with("Cargo.toml") && !text.contains("[lints]\nworkspace = true") {
            wrong.push(format!("{name}: does not inherit the workspace's lints"));
        }
    }
    report("policies and lints", &wrong);
}

/// A line of TOML without its comment.
fn code_of_toml(line: &str) -> &str {
    line.split('#').next().unwrap_or_default()
}

/// 10. What the scripts, the documents and the recipes name exists.
#[test]
fn scripts_and_recipes_agree() {
    let tests = read("test.sh");
    let groups = tests.split_once("ALL=(").unwrap().1.split(')').next().unwrap();
    let modules = read("crates/parapet/tests/it/main.rs");
    let mut wrong = Vec::new();
    for module in modules.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';')) {
        if module != "bed" && !groups.split_whitespace().any(|group| group == module) {
            wrong.push(format!("test.sh runs no group `{module}`"));
        }
    }
    assert!(read(".ci/run").contains("./test.sh"));
    // The build that enters nothing is the benchmark's: nothing else may turn it on, by name or by all features.
    for name in ["test.sh", ".ci/run", "scripts/install.sh", "demo.sh", "justfile", "Cargo.toml"] {
        let text = read(name);
        wrong.extend(
            ["unaudited", "--all-features"]
                .into_iter()
                .filter(|word| text.contains(word))
                .map(|word| format!("{name}: {word}")),
        );
    }
    for (name, text) in files("crates", "toml").into_iter().filter(|(name, _)| name.ends_with("Cargo.toml")) {
        let mut lines = text.lines().map(code_of_toml);
        if lines.any(|line| line.contains("unaudited") && !line.starts_with("unaudited = [")) {
            wrong.push(format!("{name}: turns `unaudited` on"));
        }
    }
    report("scripts", &wrong);
}
