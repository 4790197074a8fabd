//! Requests and destinations: what is proposed of them, that its tests pass, and that nothing that a client chose gets out of its quotes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;
use crate::config::{Configuration, Sources, load};
use crate::suggest::files;

fn configuration() -> Configuration {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/testdata"));
    load(Sources::text("parapet.toml", folder, include_str!("../../config/testdata/whole.toml"))).unwrap()
}

fn learnable() -> BTreeSet<Name> {
    ["payments", "internet", "vault"].map(name).into()
}

/// The snapshot that knows the classes of the fields below.
fn labels() -> Snapshot {
    let upstream = |text: &str| Upstream {
        name: name(text),
        environment: name("production"),
        mode: Mode::Enforce,
        disclosure: Disclosure::Full,
        classes: vec![("$.email".to_owned(), "pii".to_owned()), ("Query.*.card".to_owned(), "pci".to_owned())],
    };
    let upstreams = ["payments", "internet", "vault", "cluster", "aws"].map(upstream).into();
    let parts =
        SnapshotParts { epoch: 1, policies: Vec::new(), workloads: Vec::new(), upstreams, trust: Trust::default() };
    Snapshot::build(parts).unwrap()
}

/// An entry of the log.
fn entry(upstream: &str, how: Value, operations: Value) -> Value {
    let mut entry = json!({
        "at": "2026-11-21T10:00:00.000Z",
        "workload": "deploy",
        "upstream": upstream,
        "verdict": "permit",
        "operations": operations,
    });
    for (member, value) in how.as_object().unwrap() {
        entry[member] = value.clone();
    }
    entry
}

fn operation(upstream: &str, (action, kind): (&str, &str), path: &[&str], http: Value) -> Value {
    let resource = format!("{upstream}/{}", path.join(" "));
    let mut operation = json!({ "action": action, "kind": kind, "resource": resource, "path": path });
    if http != Value::Null {
        operation["facts"] = json!({ "http": http });
    }
    operation
}

fn connect(upstream: &str, how: Value) -> Value {
    entry(upstream, how, json!([{ "action": "connect:session", "kind": "upstream", "resource": upstream }]))
}

fn request(how: Value, action: &str, method: &str, template: &str) -> Value {
    let http = json!({ "method": method, "host": "payments.internal", "template": template });
    entry("payments", how, json!([operation("payments", (action, "endpoint"), &[template], http)]))
}

fn destination(how: Value, verb: &str, to: &str) -> Value {
    let http = json!({ "method": verb, "host": to.split(':').next().unwrap(), "template": "" });
    entry("internet", how, json!([operation("internet", ("http:tunnel", "host"), &[to], http)]))
}

fn secret(upstream: &str, action: &str, method: &str, template: &str, all: &[[&str; 2]]) -> Value {
    let http = json!({ "method": method, "host": upstream, "template": template });
    let one = |(place, path): (usize, &[&str; 2])| {
        let http = if place == 0 { http.clone() } else { Value::Null };
        operation(upstream, (action, "secret"), path, http)
    };
    entry(upstream, json!({}), all.iter().enumerate().map(one).collect())
}

/// A request that a proxy passed on: connecting stands before it.
fn passed_on(template: &str) -> Value {
    let proved = json!({ "asked_by": { "name": "envoy", "source": "10.0.0.1", "subject": "token" } });
    let http = json!({ "method": "GET", "host": "payments.internal", "template": template });
    let connect = json!({ "action": "connect:session", "kind": "upstream", "resource": "payments" });
    entry("payments", proved, json!([connect, operation("payments", ("http:GET", "endpoint"), &[template], http)]))
}

/// Everything that can pass.
fn traffic() -> Vec<Value> {
    let refund =
        json!({ "method": "POST", "host": "payments.internal", "template": "/v1/refunds", "operation": "refund" });
    let graphql =
        json!({ "method": "POST", "host": "payments.internal", "template": "/graphql", "depth": 2, "cost": 3 });
    let stream =
        json!({ "method": "GET", "host": "payments.internal", "template": "/v1/stream", "upgrade": "websocket" });
    let customer = json!({ "method": "GET", "host": "payments.internal", "template": "/v1/customers/{id}" });
    vec![
        connect("payments", json!({})),
        entry(
            "payments",
            json!({}),
            json!([operation("payments", ("http:POST", "endpoint"), &["/v1/refunds"], refund)]),
        ),
        entry(
            "payments",
            json!({}),
            json!([
                operation("payments", ("http:GET", "endpoint"), &["/v1/customers/{id}"], customer),
                operation("payments", ("http:field", "field"), &["/v1/customers/{id}", "$.email"], Value::Null),
            ]),
        ),
        entry(
            "payments",
            json!({}),
            json!([
                operation("payments", ("graphql:query", "endpoint"), &["/graphql"], graphql),
                operation("payments", ("graphql:query", "field"), &["/graphql", "Query.customer"], Value::Null),
                operation("payments", ("graphql:query", "field"), &["/graphql", "Query.customer.card"], Value::Null),
            ]),
        ),
        entry("payments", json!({}), json!([operation("payments", ("http:GET", "endpoint"), &["/v1/stream"], stream)])),
        request(json!({}), "http:destroy", "POST", "/v1/{job}:purge"),
        connect("internet", json!({})),
        destination(json!({}), "CONNECT", "api.example.com:443"),
        destination(json!({}), "POST", "hooks.example.com:80"),
        connect("vault", json!({})),
        secret("vault", "http:reveal", "GET", "/v1/{mount}/data/{path...}", &[["kv", "jobs/deploy"]]),
        connect("cluster", json!({})),
        secret("cluster", "http:reveal", "GET", "/api/v1/namespaces/{namespace}/secrets", &[["shop", "*"]]),
        secret("cluster", "http:reveal", "GET", "/api/v1/namespaces/{namespace}/secrets/{name}", &[["shop", "db"]]),
        connect("aws", json!({})),
        // Passed on by a proxy, which asked the decision point.
        passed_on("/v1/orders"),
        secret("aws", "http:reveal", "POST", "/", &[["secretsmanager", "app/db"]]),
        secret("aws", "http:reveal", "POST", "/", &[["secretsmanager", "app/db"], ["secretsmanager", "app/queue"]]),
    ]
}

/// What is written for this traffic, in a folder; and the permits.
fn written(name: &str, usage: &Usage) -> (PathBuf, String) {
    let folder = std::env::temp_dir().join(format!("parapet-suggest-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let text = cedar::file(&rules(usage, &labels(), Options::default()), usage, Options::default(), "a test");
    for (file, text) in files::all(usage, &configuration(), &labels()) {
        std::fs::write(folder.join(file), text).unwrap();
    }
    std::fs::write(folder.join("suggested.cedar"), &text).unwrap();
    (folder, text)
}

#[test]
fn what_passed_passes_again_and_nothing_else() {
    let usage = Usage::of(&traffic(), &learnable());
    let (folder, text) = written("traffic", &usage);
    for part in [
        "action == Action::\"http:POST\",\n  resource in Endpoint::\"payments/v1/refunds\"",
        // What has a label stands by name.
        "resource == Endpoint::\"payments/v1/customers/{id}\"",
        "[Field::\"payments/v1/customers/{id} $.email\"].contains(resource)",
        "Field::\"payments/graphql Query.customer.card\"",
        // A destination never stands for all of them.
        "resource == Host::\"internet/api.example.com:443\"",
        "resource == Host::\"internet/hooks.example.com:80\"",
        "action == Action::\"connect:session\",\n  resource in Upstream::\"internet\"",
        "resource == Secret::\"vault/kv/jobs/deploy\"",
        "resource == Secret::\"cluster/shop/*\"",
        "// such as: POST /v1/{job}:purge",
        "// such as: CONNECT api.example.com:443",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let report = crate::policy_test::run(std::slice::from_ref(&folder), None).unwrap();
    assert_eq!(report.failed(), 0, "{}\n{text}", report.text(true));
    // Each kind of request has its test, and what was never done has one, too.
    let tests = std::fs::read_to_string(folder.join("tests.yaml")).unwrap();
    for line in [
        "\"POST /v1/refunds\"",
        "\"POST /v1/x:purge\"",
        "\"GET /v1/orders\"",
        "\"CONNECT api.example.com:443\"",
        "\"POST http://hooks.example.com:80/\"",
        "\"GET /v1/kv/data/jobs/deploy\"",
        "\"GET /api/v1/namespaces/shop/secrets\"",
        "secretsmanager.BatchGetSecretValue",
        "query { customer { card } }",
        "does not reach another host",
        "does not ask for other paths",
    ] {
        assert!(tests.contains(line), "{line}\n{tests}");
    }
    assert!(!folder.join("schema.sql").exists());
    std::fs::remove_dir_all(&folder).unwrap();
}

/// What no policy permitted is drafted, whether it passed or not; what a policy denied is not.
#[test]
fn what_was_observed_or_denied_is_for_a_person() {
    let observed = json!({ "terms": { "observed": [{ "policy": "(no permit)" }] } });
    let denied = json!({ "verdict": "deny", "reason": { "why": "no_permit" } });
    let forbidden = json!({ "verdict": "deny", "reason": { "why": "policy", "policy": "no-way-out" } });
    let usage = Usage::of(
        &[
            destination(observed, "CONNECT", "learnt.example:443"),
            destination(denied.clone(), "CONNECT", "wanted.example:443"),
            connect("payments", denied.clone()),
            destination(forbidden, "CONNECT", "forbidden.example:443"),
            // A database's denials are attacks more often than needs.
            entry("shop-db", denied, json!([{ "action": "sql:drop", "kind": "table", "resource": "shop-db/a.b.c" }])),
        ],
        &learnable(),
    );
    let (folder, text) = written("observed", &usage);
    let report = crate::policy_test::run(std::slice::from_ref(&folder), None).unwrap();
    assert!(report.outcomes.is_empty(), "nothing is proposed, so nothing is tested");
    std::fs::remove_dir_all(folder).unwrap();
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with("//")), "{text}");
    for part in [
        "//   resource == Host::\"internet/learnt.example:443\"",
        "//   resource == Host::\"internet/wanted.example:443\"",
        "//   resource in Upstream::\"payments\"",
        "1 × deploy at internet, by no-way-out, such as: CONNECT forbidden.example:443",
        "1 × deploy at shop-db, by no_permit",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("Host::\"internet/forbidden") && !text.contains("sql:drop"), "{text}");
}

/// Who asked the decision point about somebody is believed only by whoever reads the answer.
#[test]
fn the_word_of_a_caller_is_no_use() {
    let said = json!({ "asked_by": { "name": "x", "source": "10.0.0.1", "subject": "named" } });
    let proved = json!({ "asked_by": { "name": "x", "source": "10.0.0.1", "subject": "token" } });
    let usage = Usage::of(
        &[request(said, "http:GET", "GET", "/v1/said"), request(proved, "http:GET", "GET", "/v1/proved")],
        &learnable(),
    );
    let seen: Vec<&str> = usage.permitted.keys().map(|deed| deed.resource.name()).collect();
    assert_eq!(seen, ["/v1/proved"]);
}

/// Paths, hosts and names of secrets come from clients and configurations. None ends a string, a comment or a line, in Cedar or in YAML; and
/// where no test can be made up, there is none.
#[test]
fn hostile_names_stay_in_their_quotes() {
    for hostile in [
        "/x\"); permit (principal, action, resource); //",
        "/x\n permit (principal, action, resource);",
        "/x\\\"); permit (principal, action, resource); //",
        "/x\u{2028}permit (principal, action, resource);",
        "/x\u{0}\u{1b}[2J\u{85}permit (principal, action, resource);",
        "/x\u{202e}*/ permit (principal, action, resource);",
        "/{x",
        "/*/ @id(\"x\") permit (principal, action, resource);",
        "/x: [1]\n- name: planted\n  as: deploy\n  on: payments\n  http: GET /\n  expect: {verdict: permit}",
        "/x - ${HOME} {{x}} %s 'x' `x` #",
    ] {
        let usage = Usage::of(
            &[
                request(json!({}), "http:GET", "GET", hostile),
                request(json!({ "verdict": "deny", "reason": { "why": "no_permit" } }), "http:POST", "POST", hostile),
                request(json!({ "verdict": "deny", "reason": { "why": hostile } }), "http:PUT", "PUT", hostile),
                destination(json!({}), "CONNECT", hostile),
                destination(json!({ "verdict": "deny", "reason": { "why": "no_permit" } }), "GET", hostile),
                secret("vault", "http:reveal", "GET", hostile, &[[hostile, hostile]]),
                secret("aws", "http:reveal", "POST", "/", &[["secretsmanager", hostile]]),
                entry(
                    "payments",
                    json!({}),
                    json!([
                        operation(
                            "payments",
                            ("graphql:query", "endpoint"),
                            &["/graphql"],
                            json!({ "method": "POST", "template": "/graphql", "operation": hostile, "upgrade": hostile })
                        ),
                        operation("payments", ("graphql:query", "field"), &["/graphql", hostile], Value::Null),
                    ]),
                ),
            ],
            &learnable(),
        );
        let proposed = rules(&usage, &labels(), Options::default());
        let (folder, text) = written("hostile", &usage);
        // As many policies as were proposed, or fewer where Cedar takes no such name; never one more.
        let most = proposed.iter().filter(|rule| rule.ground == Ground::Permitted).count();
        let bundle = Bundle::load(&[PolicyFile { name: "x".into(), text: text.as_str().into() }]);
        let bundle = bundle.unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
        let ids: BTreeSet<&str> = proposed.iter().map(|rule| rule.id.as_str()).collect();
        assert!(bundle.policies().len() <= most, "{hostile:?}\n{text}");
        assert!(bundle.policies().iter().all(|policy| ids.contains(&*policy.deciding().policy)), "{hostile:?}\n{text}");
        // The files can be read, hold no test that was planted, and each that there is passes.
        match crate::policy_test::run(std::slice::from_ref(&folder), None) {
            Ok(report) => {
                assert!(report.outcomes.iter().all(|outcome| outcome.name != "planted"), "{hostile:?}");
                assert_eq!(report.failed(), 0, "{hostile:?}: {}", report.text(true));
            }
            // An endpoint that no configuration could have had.
            Err(error) => assert!(error.to_string().contains("upstream `payments`"), "{hostile:?}: {error}"),
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
