//! `parapet decide --http` says what the gateway does: a table of requests is asked of both, and they agree on the verdict, on the
//! policy or the code, and on the exit code.

use serde_json::Value;

use crate::bed::api::{Api, ApiBed, HOST};
use crate::bed::tripwire::Tripwire;

const POLICIES: &str = r#"
@id("small-refunds")
forbid (principal, action == Action::"http:POST", resource == Endpoint::"payments/v1/refunds")
unless { context.amounts.hasTag("amount") && context.amounts.getTag("amount") <= 100
  && context.body.hasTag("currency") && context.body.getTag("currency") == "EUR" };

@id("drafts-ask")
@approve("dba")
forbid (principal, action == Action::"http:PUT", resource == Endpoint::"payments/v1/drafts/{id}");

@id("bounded")
forbid (principal, action == Action::"http:PATCH", resource is Endpoint) when { context.http.size > 10 };

@id("no-deep-search")
forbid (principal, action, resource == Endpoint::"payments/v1/search")
when { context.query.hasTag("depth") && context.query.getTag("depth") != "1" };

@id("purge")
permit (principal == Workload::"deploy", action in Action::"destroy", resource in Upstream::"payments");

@id("no-other-customers")
forbid (principal == Workload::"reporting", action, resource == Endpoint::"payments/v1/customers/{id}")
unless { context.parameters.hasTag("id") && context.parameters.getTag("id") == "7" };

@id("auditors-stay-out")
forbid (principal == Workload::"auditor", action == Action::"connect:session", resource in Upstream::"payments");

@id("shallow")
forbid (principal, action in [Action::"graphql:query", Action::"graphql:mutate"], resource) when { context.http has depth && context.http.depth > 2 };
"#;

const ENDPOINTS: &str = r#"
unlisted = "deny"
paths = ["/v1", "/graphql"]
upgrades = ["websocket"]
max_body = "1KiB"
[upstreams.payments.fields]
"GET /v1/customers/{id} $.email" = ["pii"]
[[upstreams.payments.endpoints]]
id = "refund"
method = "POST"
path = "/v1/refunds"
body = { amount = "$.amount", currency = "$.currency" }
[[upstreams.payments.endpoints]]
method = "PUT"
path = "/v1/drafts/{id}"
[[upstreams.payments.endpoints]]
method = "PATCH"
path = "/v1/drafts/{id}"
[[upstreams.payments.endpoints]]
method = "GET"
path = "/v1/customers/{id}"
[[upstreams.payments.endpoints]]
method = "GET"
path = "/v1/search"
[[upstreams.payments.endpoints]]
method = "GET"
path = "/v1/stream"
[[upstreams.payments.endpoints]]
method = "POST"
path = "/v1/purge"
group = "destroy"
[[upstreams.payments.endpoints]]
method = "POST"
path = "/graphql"
graphql = true
"#;

/// A request: whose, its method and path, headers, and its body.
type Row = (&'static str, &'static str, &'static str, &'static [&'static str], Option<&'static str>);

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
const UPGRADE: &[&str] = &[
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
];
const H2C: &[&str] = &["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"];
/// Longer than `max_body`.
const LONG: &str = include_str!("decided.rs");

const TABLE: &[Row] = &[
    ("reporting", "GET", "/v1/customers/7", &[], None),
    ("reporting", "HEAD", "/v1/customers/7", &[], None),
    ("reporting", "GET", "/v1/customers/8", &[], None),
    ("reporting", "GET", "/v1/customers/%37", &[], None),
    ("deploy", "GET", "/v1/customers/8", &[], None),
    ("triage-bot", "GET", "/v1/customers/7", &[], None),
    ("auditor", "GET", "/v1/customers/7", &[], None),
    ("reporting", "GET", "/v1/search?depth=1", &[], None),
    ("reporting", "GET", "/v1/search?depth=2", &[], None),
    ("reporting", "GET", "/v1/search?depth=1&depth=2", &[], None),
    ("reporting", "GET", "/v1/search?q=%zz", &[], None),
    ("deploy", "POST", "/v1/refunds", &[], Some("{\"amount\": 50, \"currency\": \"EUR\"}")),
    ("deploy", "POST", "/v1/refunds", &[], Some("{\"amount\": 500, \"currency\": \"EUR\"}")),
    ("deploy", "POST", "/v1/refunds", &[], Some("{\"amount\": 50, \"currency\": \"USD\"}")),
    ("deploy", "POST", "/v1/refunds", &[], Some("{\"amount\": 50}")),
    ("deploy", "POST", "/v1/refunds", &[], Some("{\"amount\": 5, \"amount\": 500, \"currency\": \"EUR\"}")),
    ("deploy", "POST", "/v1/refunds", &[], Some("{\"amount\": 5.5, \"currency\": \"EUR\"}")),
    ("deploy", "POST", "/v1/refunds", &[], Some("{\"amount\": 5, \"currency\": \"EUR\"")),
    ("deploy", "POST", "/v1/refunds", &[FORM], Some("amount=50&currency=EUR")),
    ("deploy", "POST", "/v1/refunds", &[FORM], Some("amount=50&currency=EUR&_method=DELETE")),
    ("deploy", "POST", "/v1/refunds", &["Content-Type: application/octet-stream"], Some("{\"amount\": 50}")),
    ("deploy", "POST", "/v1/refunds", &["Content-Encoding: gzip"], Some("{\"amount\": 50, \"currency\": \"EUR\"}")),
    ("deploy", "POST", "/v1/refunds", &[], None),
    ("deploy", "POST", "/v1/refunds", &[], Some(LONG)),
    ("reporting", "POST", "/v1/refunds", &[], Some("{\"amount\": 50, \"currency\": \"EUR\"}")),
    ("deploy", "PUT", "/v1/drafts/1", &[], Some("{}")),
    ("reporting", "PUT", "/v1/drafts/1", &[], Some("{}")),
    ("deploy", "PATCH", "/v1/drafts/1", &[], Some("{}")),
    ("deploy", "PATCH", "/v1/drafts/1", &[], Some("{\"much\": \"more than that\"}")),
    ("deploy", "POST", "/v1/purge", &[], Some("{}")),
    ("reporting", "POST", "/v1/purge", &[], Some("{}")),
    ("deploy", "POST", "/graphql", &[], Some("{\"query\": \"{ customer { name } }\"}")),
    ("deploy", "POST", "/graphql", &[], Some("{\"query\": \"{ customer { orders { id } } }\"}")),
    ("deploy", "POST", "/graphql", &[], Some("{\"query\": \"{ customer {\"}")),
    ("reporting", "POST", "/graphql", &[], Some("{\"query\": \"mutation { rename { id } }\"}")),
    ("reporting", "GET", "/v1/stream", UPGRADE, None),
    ("reporting", "GET", "/v1/stream", H2C, None),
    ("reporting", "DELETE", "/v1/customers/7", &[], None),
    ("reporting", "GET", "/v1/elsewhere", &[], None),
    ("reporting", "GET", "/v1/customers/7/", &[], None),
    ("reporting", "GET", "/v1/Customers/7", &[], None),
    ("reporting", "GET", "/v1/customers/../search", &[], None),
    ("reporting", "GET", "/v1/customers/%2e%2e/search", &[], None),
    ("reporting", "GET", "/v1//customers/7", &[], None),
    ("reporting", "GET", "/v1/customers/a%2fb", &[], None),
    ("reporting", "GET", "/v1/customers/7;x=1", &[], None),
    ("reporting", "GET", "/v1/customers/7%00", &[], None),
    ("reporting", "GET", "/v1/customers/%c0%af", &[], None),
    ("reporting", "TRACE", "/v1/customers/7", &[], None),
    ("reporting", "BREW", "/v1/customers/7", &[], None),
    ("reporting", "GET", "/v1/customers/7", &["X-HTTP-Method-Override: DELETE"], None),
    ("reporting", "GET", "/v1/customers/7", &["X-Forwarded-Host: elsewhere.example"], None),
    ("reporting", "GET", "/v1/customers/7", &["Host: elsewhere.internal"], None),
    ("reporting", "GET", "/v1/customers/7", &["Host: shop.internal."], None),
    ("reporting", "GET", "/v1/customers/7", &["Host: a@shop.internal"], None),
    ("reporting", "GET", "/v1/customers/7", &["Expect: something-else"], None),
];

/// What the gateway did: passed, asked or refused, and by what.
fn by_gateway(bed: &ApiBed, tripwire: &Tripwire, row: &Row) -> (&'static str, Option<String>) {
    let (workload, method, path, headers, body) = row;
    let before = bed.decisions().len();
    tripwire.take();
    let mut arguments = vec!["-i", "--http1.1"];
    match *method {
        "HEAD" => arguments.push("-I"),
        method => arguments.extend(["-X", method]),
    }
    for header in *headers {
        arguments.extend(["-H", header]);
    }
    if let Some(body) = body {
        arguments.extend(["--data-binary", body]);
        if !headers.iter().any(|header| header.starts_with("Content-Type")) {
            arguments.extend(["-H", "Content-Type: application/json"]);
        }
    }
    let answer = bed.curl(workload, path, &arguments);
    let reached = !tripwire.take().is_empty();
    let decisions = bed.decisions();
    // The last of them: a session may have begun with one of its own.
    let entry = decisions[before..].last();
    let by = entry.and_then(by);
    let verdict = match (reached, answer.out.contains("/problems/approval-required")) {
        (true, _) => "permit",
        (false, true) => "ask",
        (false, false) => "deny",
    };
    (verdict, by)
}

/// The policy that decided, or why none did.
fn by(entry: &Value) -> Option<String> {
    let policy = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let why = || entry.get("reason").filter(|reason| !reason.is_null()).map(Value::to_string);
    policy("/reason/policy").or_else(|| policy("/by/policy")).or_else(why)
}

#[test]
fn decide_says_what_the_gateway_does() {
    let tripwire = Tripwire::start();
    let url = format!("http://127.0.0.1:{}", tripwire.port());
    let bed = Api::new("http-decided").upstream("payments", &url, ENDPOINTS).policies(POLICIES).start();
    let mut wrong = Vec::new();
    for row in TABLE {
        let (workload, method, path, headers, body) = row;
        let (verdict, decided_by) = by_gateway(&bed, &tripwire, row);
        let line = format!("{method} {path}");
        let file = body.map(|body| bed.folder.write("body", body).display().to_string());
        let mut arguments = vec!["decide", "--as", workload, "--on", "payments", "--http", &line, "--json"];
        headers.iter().for_each(|header| arguments.extend(["--header", header]));
        if let Some(file) = &file {
            arguments.extend(["--body-file", file]);
        }
        let asked = bed.gateway.cli(&arguments);
        let answer: Value = serde_json::from_str(&asked.out).unwrap_or_default();
        let code = match verdict {
            "permit" => 0,
            "ask" => 6,
            _ => 5,
        };
        let said = answer["verdict"].as_str().unwrap_or("nothing");
        // What belongs to no upstream has no verdict.
        let elsewhere = asked.code == 1 && verdict == "deny" && decided_by.is_none();
        if !elsewhere && (said != verdict || asked.code != code) {
            wrong.push(format!("{row:?}: the gateway: {verdict} by {decided_by:?}; decide: {said}, {asked:?}"));
        }
        if !elsewhere && decided_by.is_some() && by(&answer) != decided_by {
            wrong.push(format!("{row:?}: the gateway: by {decided_by:?}; decide: by {:?}", by(&answer)));
        }
        if said == "deny" && answer.get("operations").and_then(Value::as_array).is_some_and(|all| !all.is_empty()) {
            assert!(answer["explanation"]["text"].is_string(), "{row:?}: {answer}");
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), TABLE.len(), wrong.join("\n"));
}

#[test]
fn decide_finds_the_upstream_by_its_host_and_takes_a_body_from_where_it_is() {
    let tripwire = Tripwire::start();
    let url = format!("http://127.0.0.1:{}", tripwire.port());
    let egress = "\n[egress]\nlisten = \"127.0.0.1:0\"\ntls = \"off\"\nenvironment = \"production\"\n";
    let listed = "\n@id(\"listed\") forbid (principal, action == Action::\"http:tunnel\", resource)\n\
                  unless { resource.name == \"api.example.com:443\" };\n";
    let api = Api::new("http-decide-url").upstream("payments", &url, ENDPOINTS).also(egress);
    let bed = api.policies(POLICIES).policies(listed).start();
    let ask =
        |line: &str, more: &[&str]| bed.gateway.cli(&[&["decide", "--as", "deploy", "--http", line], more].concat());
    let refund = format!("POST https://{HOST}/v1/refunds");
    for (line, more, code) in [
        (&*format!("GET https://{HOST}/v1/customers/7"), &[][..], 0),
        (&format!("GET https://{HOST}:443/v1/customers/7"), &[], 0),
        (&format!("GET https://{HOST}/v1/customers/7"), &["--on", "payments"], 0),
        (&format!("GET http://{HOST}/v1/elsewhere"), &[], 5),
        (&format!("GET https://a@{HOST}/v1/customers/7"), &["--on", "payments"], 5),
        (&refund, &["--body", "{\"amount\": 50, \"currency\": \"EUR\"}"], 0),
        (&refund, &["--body", "{\"amount\": 500, \"currency\": \"EUR\"}"], 5),
        (&refund, &["--body", "{\"amount\": 50}", "--body-file", "x"], 2),
        (&refund, &["--body-file", "/nowhere/at/all"], 1),
        // The egress, by its name.
        ("CONNECT api.example.com:443", &["--on", "internet"], 0),
        ("CONNECT evil.example.com:443", &["--on", "internet"], 5),
        ("CONNECT api.example.com", &["--on", "internet"], 5),
        ("GET http://evil.example.com/", &["--on", "internet"], 5),
    ] {
        let ran = ask(line, more);
        assert_eq!(ran.code, code, "{line} {more:?}: {ran:?}");
    }
    for line in ["GET https://elsewhere.example/", "GET /v1/customers/7", "GET https://"] {
        let ran = ask(line, &[]);
        assert!(ran.code == 1 && ran.err.contains("PAR0309"), "{line}: {ran:?}");
    }
    let other = ask(&format!("GET https://{HOST}/v1/customers/7"), &["--on", "internet"]);
    assert_eq!(other.code, 5, "the egress is asked for tunnels: {other:?}");
    // Nothing was sent.
    assert_eq!(tripwire.take(), b"");
}
