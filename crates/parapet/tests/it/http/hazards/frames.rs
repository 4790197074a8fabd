//! HT02, HT03: HTTP/2 as raw frames. What HTTP/1.1 could not carry is refused before it is carried; floods end the connection.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::start;
use crate::bed::api::{HOST, said};
use crate::bed::peer;

/// Pseudo-headers and credential of a good request, changed and added to.
fn fields(token: &str, change: &[(&str, Option<&str>)], also: &[(&str, &str)]) -> Vec<Value> {
    let bearer = format!("Bearer {token}");
    let base =
        [(":method", "POST"), (":scheme", "http"), (":authority", HOST), (":path", "/a"), ("authorization", &bearer)];
    let changed: BTreeMap<&str, Option<&str>> = change.iter().copied().collect();
    let mut fields = Vec::new();
    for (name, value) in base {
        match changed.get(name) {
            Some(None) => {}
            Some(Some(value)) => fields.push(json!([name, value])),
            None => fields.push(json!([name, value])),
        }
    }
    fields.extend(also.iter().map(|(name, value)| json!([name, value])));
    fields
}

#[test]
fn what_http_1_could_not_carry_is_refused() {
    let Some(command) = peer::command("h2_raw.py") else { return };
    let (bed, tripwire) = start("http-frames", "unlisted = \"allow\"", "");
    let token = bed.token("deploy");
    let with = |also: &[(&str, &str)]| json!({"fields": fields(&token, &[], also), "body": "abcd"});
    let but = |change: &[(&str, Option<&str>)]| json!({"fields": fields(&token, change, &[]), "body": "abcd"});
    let mut twice = fields(&token, &[], &[]);
    twice.insert(4, json!([":path", "/smuggled"]));
    let mut late = fields(&token, &[(":path", None)], &[]);
    late.push(json!([":path", "/smuggled"]));
    let cases: Vec<(&str, Value)> = vec![
        ("a line end in a value", with(&[("x-a", "b\r\nsmuggled: c")])),
        ("a line feed in a value", with(&[("x-a", "b\nsmuggled: c")])),
        ("a carriage return in a value", with(&[("x-a", "b\rsmuggled")])),
        ("NUL in a value", with(&[("x-a", "b\0c")])),
        ("a colon in a name", with(&[("x-a: b", "smuggled")])),
        ("a line end in a name", with(&[("x-a\r\nsmuggled", "b")])),
        ("a space in a name", with(&[("x a", "smuggled")])),
        ("a capital in a name", with(&[("X-Smuggled", "b")])),
        ("an empty name", with(&[("", "smuggled")])),
        ("a transfer coding", with(&[("transfer-encoding", "chunked")])),
        ("a connection header", with(&[("connection", "x-a")])),
        ("keep-alive", with(&[("keep-alive", "timeout=5")])),
        ("a proxy connection", with(&[("proxy-connection", "keep-alive")])),
        ("an upgrade", with(&[("upgrade", "websocket")])),
        ("TE other than trailers", with(&[("te", "gzip")])),
        ("a length that is too short", with(&[("content-length", "2")])),
        ("a length that is too long", with(&[("content-length", "40")])),
        ("two lengths", with(&[("content-length", "4"), ("content-length", "5")])),
        ("another host", with(&[("host", "evil.example")])),
        ("no path", but(&[(":path", None)])),
        ("an empty path", but(&[(":path", Some(""))])),
        ("a path with a space", but(&[(":path", Some("/a HTTP/1.1\r\nx: y"))])),
        ("a path that is none", but(&[(":path", Some("smuggled"))])),
        ("dots in the path", but(&[(":path", Some("/a/../smuggled"))])),
        ("no method", but(&[(":method", None)])),
        ("a method with a line end", but(&[(":method", Some("GET /smuggled HTTP/1.1\r\n\r\nPOST"))])),
        ("no scheme", but(&[(":scheme", None)])),
        ("another scheme", but(&[(":scheme", Some("gopher"))])),
        ("no authority", but(&[(":authority", None)])),
        ("user information", but(&[(":authority", Some("evil@shop.internal"))])),
        ("CONNECT", but(&[(":method", Some("CONNECT")), (":scheme", None), (":path", None)])),
        (
            "an extended CONNECT",
            json!({"fields": fields(&token, &[(":method", Some("CONNECT"))], &[(":protocol", "websocket")]), "body": ""}),
        ),
        ("an unknown pseudo-header", json!({"fields": fields(&token, &[], &[(":smuggled", "b")]), "body": ""})),
        ("a pseudo-header twice", json!({"fields": twice, "body": ""})),
        ("a pseudo-header behind others", json!({"fields": late, "body": ""})),
        (
            "a pseudo-header in the trailers",
            json!({"fields": fields(&token, &[], &[]), "body": "ab", "trailers": [[":path", "/smuggled"]]}),
        ),
        (
            "a length in the trailers",
            json!({"fields": fields(&token, &[], &[]), "body": "ab", "trailers": [["transfer-encoding", "chunked"]]}),
        ),
    ];
    let twin = json!({"fields": fields(&token, &[], &[("content-length", "4")]), "body": "abcd"});
    let mut sent: Vec<Value> = Vec::new();
    for (_, case) in &cases {
        sent.extend([case.clone(), twin.clone()]);
    }
    let came: Vec<Value> = said(command, &json!({"port": bed.port(), "cases": sent})).unwrap();
    let mut wrong = Vec::new();
    for ((name, _), pair) in cases.iter().zip(came.chunks(2)) {
        let status = pair[0]["status"].as_u64().unwrap_or(0);
        // A pseudo-header behind the body is dropped by h2, as by every server that stands on it: it must go no further.
        let dropped = *name == "a pseudo-header in the trailers";
        if (200..300).contains(&status) && !dropped {
            wrong.push(format!("HT02 {name}: answered {status}"));
        }
        if pair[1]["status"] != 200 {
            wrong.push(format!("HT02 {name}: its twin was answered {}", pair[1]));
        }
    }
    let got = tripwire.take();
    let text = String::from_utf8_lossy(&got);
    if text.contains("smuggled") || super::requests(&got) != cases.len() + 1 {
        wrong.push(format!(
            "HT02: {} requests instead of the {} twins reached the upstream: {text}",
            super::requests(&got),
            cases.len()
        ));
    }
    eprintln!("HT02: {} attacks", cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// HT03: each flood ends its own connection, and the gateway goes on serving others without having grown.
#[test]
fn floods_end_their_connection() {
    let Some(_) = peer::command("h2_raw.py") else { return };
    let (bed, tripwire) = start("http-floods", "unlisted = \"allow\"", "");
    let token = bed.token("deploy");
    let good = fields(&token, &[], &[]);
    let before = bed.gateway.memory();
    for flood in [
        "rapid-reset",
        "continuation",
        "empty-continuation",
        "hpack-bomb",
        "settings",
        "ping",
        "empty-data",
        "priority",
        "header-list",
    ] {
        let given = json!({"port": bed.port(), "flood": flood, "fields": good});
        let came: Value = said(peer::command("h2_raw.py").unwrap(), &given).unwrap();
        // Either the connection ended, or what was asked stayed within its bounds.
        assert!(came["ended"] == json!(true) || came["bounded"] == json!(true), "{flood}: {came}");
        let twin: Vec<Value> = said(
            peer::command("h2_raw.py").unwrap(),
            &json!({"port": bed.port(), "cases": [{"fields": good, "body": ""}]}),
        )
        .unwrap();
        assert_eq!(twin[0]["status"], 200, "after {flood}: {twin:?}");
        eprintln!("HT03: {flood}: {came}");
    }
    let grown = bed.gateway.memory().saturating_sub(before);
    assert!(grown < 64 * 1024, "the gateway grew by {grown} KiB");
    drop(tripwire);
}
