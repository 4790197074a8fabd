//! The command line against a running gateway: explanations, lists, exit codes, JSON.

use serde_json::Value;

use crate::bed::Bed;
use crate::bed::raw;

/// The id of the last decision, from the error that the client saw.
fn denied(bed: &Bed) -> String {
    let error = bed.raw("triage-bot").query("drop table orders").into_iter().find(|reply| reply.tag == b'E').unwrap();
    let line = error.field(b'M');
    let start = line.find("dec_").unwrap();
    line[start..].trim_end_matches(']').to_owned()
}

#[test]
fn explain_shows_source_truth_and_the_way_out() {
    let Some(bed) = Bed::start("cli-explain") else { return };
    let decision = denied(&bed);
    for id in [decision.as_str(), "last"] {
        let ran = bed.gateway.cli(&["explain", id]);
        assert_eq!(ran.code, 0, "{ran:?}");
        for part in [
            "DENY",
            "agents-never-destroy",
            "triage-bot",
            "mara@example.com",
            "base.cedar:",
            "Group::\"agents\"",
            "true",
            "sql:drop",
            "passes if",
            "near miss",
        ] {
            assert!(ran.out.contains(part), "{part} is missing:\n{}", ran.out);
        }
    }
    let json: Value = serde_json::from_str(&bed.gateway.cli(&["explain", &decision, "--json"]).out).unwrap();
    assert!(json["schema"].as_str().is_some_and(|schema| schema.starts_with("parapet.")), "{json}");
}

#[test]
fn exit_codes() {
    let Some(bed) = Bed::start("cli-exit") else { return };
    let cases: [(&[&str], i32); 10] = [
        (&["decide", "--as", "reporting", "--on", "shop-db", "--sql", "select 1"], 0),
        (&["decide", "--as", "triage-bot", "--on", "shop-db", "--sql", "drop table orders"], 5),
        (&["decide", "--as", "deploy", "--on", "shop-db", "--sql", "drop table orders"], 6),
        (&["decide", "--as"], 2),
        (&["masks", "preview", "--as", "reporting", "--on", "shop-db", "--sql", "select card from customers"], 0),
        (&["masks", "preview", "--as", "triage-bot", "--on", "shop-db", "--sql", "drop table orders"], 5),
        (&["workloads", "show", "nobody"], 1),
        (&["audit", "verify"], 0),
        (&["config", "check"], 0),
        (&["upstreams", "test", "shop-db"], 0),
    ];
    for (arguments, code) in cases {
        let ran = bed.gateway.cli(arguments);
        assert_eq!(ran.code, code, "parapet {arguments:?}: {ran:?}");
    }
    let stranger = bed.gateway.cli_as("nobody@example.com", &["workloads", "list"]);
    assert_eq!(stranger.code, 4, "{stranger:?}");
    // Nothing was sent by `decide`.
    assert!(bed.postgres.executed().iter().all(|sql| !sql.contains("drop table")));
}

#[test]
fn masks_are_previewed() {
    let Some(bed) = Bed::start("cli-masks") else { return };
    let sql = "select id, email, upper(card), c.card as innocent, count(*) over () from customers c";
    let preview = |more: &[&str]| {
        let arguments = ["masks", "preview", "--as", "reporting", "--on", "shop-db", "--sql", sql];
        let ran = bed.gateway.cli(&[&arguments[..], more].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.out
    };
    let table = preview(&[]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 6, "{table}");
    for (line, parts) in lines.iter().zip([
        &["COLUMN", "VALUE", "FROM", "CLASSES", "MASK", "POLICY", "EXAMPLE"][..],
        &["1", "bare", "shop.public.customers.id"],
        &["2", "bare", "shop.public.customers.email", "pii", "partial", "pii-is-masked", "→ m***@e***.com"],
        &["3", "derived", "shop.public.customers.card", "pci", "null", "cards-are-masked"],
        &["4", "bare", "shop.public.customers.card", "pci", "last4", "cards-are-masked", "→ *************.com"],
        &["5"],
    ]) {
        assert!(parts.iter().all(|part| line.contains(part)), "{parts:?} in {line}");
    }
    let json: Value = serde_json::from_str(&preview(&["--json"])).unwrap();
    assert_eq!(json["schema"], "parapet.masks/v1");
    assert_eq!((&json["items"][1]["mask"], &json["items"][0]["mask"]), (&"partial".into(), &Value::Null));
    // Nothing was asked of the upstream.
    assert!(bed.postgres.executed().iter().all(|sql| !sql.contains("innocent")));
}

#[test]
fn lists_are_json_too() {
    let Some(bed) = Bed::start("cli-lists") else { return };
    let mut raw = bed.raw("reporting");
    assert_eq!(raw::tags(&raw.query("select 1")), "TDCZ");
    for noun in ["workloads", "upstreams", "sessions", "approvals"] {
        let ran = bed.gateway.cli(&[noun, "list", "--json"]);
        let json: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{noun}: {ran:?}"));
        assert!(json["schema"].is_string(), "{noun}: {json}");
        let yaml = bed.gateway.cli(&[noun, "list", "-o", "yaml"]);
        let schema = json["schema"].as_str().unwrap_or_default();
        assert!(yaml.out.starts_with(&format!("---\nschema: {schema}\nitems:")), "{noun}: {yaml:?}");
    }
    let sessions = bed.gateway.cli(&["sessions", "list", "-o", "id"]);
    let id = sessions.out.trim();
    assert!(id.starts_with("ses_"), "{sessions:?}");
    bed.gateway.cli_as("root@example.com", &["sessions", "kill", id, "--reason", "a test"]).assert_done();
    assert_eq!(raw::errors(&raw.until_closed()), ["57P01"]);
}

/// The admin API answers nobody without a credential, and no browser page of another origin.
#[test]
fn the_admin_api_asks_who() {
    use std::io::{Read as _, Write as _};
    let Some(bed) = Bed::start("cli-admin") else { return };
    let mut stream = std::net::TcpStream::connect(bed.gateway.admin()).unwrap();
    stream.write_all(b"GET /v1/workloads HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(!answer.contains("reporting"));
}
