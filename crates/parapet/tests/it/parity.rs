//! One verdict, three ways: `policy test`, `decide` and the wire agree on every example request.

use std::path::Path;

use serde::Deserialize;

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

#[test]
fn the_same_verdict_three_ways() {
    let pack = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/policies/base");
    let Some(bed) = Bed::start_with("parity-base", |setup| setup.hold("0s")) else { return };
    let tested = bed.gateway.cli(&["policy", "test", pack.to_str().unwrap()]);
    assert_eq!(tested.code, 0, "{tested:?}");
    let mut different = Vec::new();
    for case in cases(&pack) {
        let decided =
            bed.gateway.cli(&["decide", "--as", &case.workload, "--on", &case.on, "--sql", &case.sql, "--json"]);
        let decided: serde_json::Value = serde_json::from_str(&decided.out).unwrap_or_else(|_| panic!("{decided:?}"));
        let word = decided["verdict"].as_str().or(decided.pointer("/decision/verdict").and_then(|word| word.as_str()));
        let mut raw = bed.raw(&case.workload);
        raw.query("begin");
        let wire = on_the_wire(&raw.query(&case.sql));
        if word != Some(case.expect.verdict.as_str()) || wire != case.expect.verdict {
            different.push(format!("{}: expected {}, decide {word:?}, wire {wire}", case.name, case.expect.verdict));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
