//! One verdict, three ways: `policy test`, `decide` and the wire agree on every example request.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::bed::Bed;
use crate::bed::raw;

/// A test of a pack's `tests.yaml`, as far as this test reads it.
#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    #[serde(rename = "as")]
    workload: String,
    on: String,
    sql: String,
    given: Option<Value>,
    expect: Expect,
}

#[derive(Debug, Deserialize)]
struct Expect {
    verdict: String,
}

fn cases(pack: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(pack.join("tests.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// The verdict that the reply on the wire shows.
fn on_the_wire(replies: &[raw::Message]) -> &'static str {
    match raw::errors(replies).first().map(String::as_str) {
        Some("PP001") => "ask",
        Some("42501" | "PP002" | "PP004") => "deny",
        // An error of the server itself: the request passed.
        Some(_) | None => "permit",
    }
}

/// Puts every case of a pack that needs no circumstances of its own to `policy test`, to `decide` and to the wire.
fn check(bed: &Bed, pack: &Path, at_least: usize) {
    let tested = bed.gateway.cli(&["policy", "test", pack.to_str().unwrap()]);
    assert_eq!(tested.code, 0, "{tested:?}");
    let mut different = Vec::new();
    let cases: Vec<Case> = cases(pack).into_iter().filter(|case| case.given.is_none()).collect();
    assert!(cases.len() >= at_least, "only {} cases", cases.len());
    for Case { name, workload, on, sql, expect, .. } in &cases {
        let decided = bed.gateway.cli(&["decide", "--as", workload, "--on", on, "--sql", sql, "--json"]);
        let decided: Value = serde_json::from_str(&decided.out).unwrap_or_else(|_| panic!("{decided:?}"));
        let word = decided["verdict"].as_str().or(decided.pointer("/decision/verdict").and_then(Value::as_str));
        let mut raw = bed.raw(workload);
        raw.query("begin");
        let wire = on_the_wire(&raw.query(sql));
        if word != Some(expect.verdict.as_str()) || wire != expect.verdict {
            different.push(format!("{name}: expected {}, decide {word:?}, wire {wire}", expect.verdict));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn the_tests_own_policies() {
    let pack = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/policies/base");
    let Some(bed) = Bed::start_with("parity-base", |setup| setup.hold("0s")) else { return };
    check(&bed, &pack, 10);
}

#[test]
fn the_starter_pack() {
    let pack = crate::tidy::root().join("policies/starter");
    let workloads = &[
        ("triage-bot", "agent", "", None),
        ("deploy", "ci", "", None),
        ("reporting", "service", "", None),
        ("dump-job", "ci", "", None),
    ];
    let Some(bed) = Bed::start_with("parity-starter", |setup| setup.hold("0s").policies(&pack).workloads(workloads))
    else {
        return;
    };
    check(&bed, &pack, 10);
}
