//! The certification scenario of the Authorization API 1.0: every request of its levels Basic, Batch, Search and Discovery, over
//! HTTPS, with the fixture that it prescribes as policies and configuration.

use serde_json::{Value, json};

use super::bed::{Came, TOKEN, curl, pdp, send};
use crate::bed::api::{Api, ApiBed};

/// Its rules, in our words: reading and writing records is asking `GET` and `PUT` of an API.
const POLICIES: &str = r#"
@id("alice-writes") permit (principal == Workload::"alice", action == Action::"http:PUT", resource in Upstream::"records")
unless { context.body.hasTag("status") && context.body.getTag("status") == "archived" };
@id("admins-write-what-is-archived") permit (principal, action == Action::"http:PUT", resource in Upstream::"records")
when {
  ((context.body.hasTag("status") && context.body.getTag("status") == "archived")
    || (context.parameters.hasTag("id") && context.parameters.getTag("id") == "record-2"))
  && (principal in Group::"admins" || (context.body.hasTag("subject.role") && context.body.getTag("subject.role") == "admin"))
};
@id("soft-deletes") permit (principal == Workload::"alice", action == Action::"http:DELETE", resource in Upstream::"records")
when { context.body.hasTag("action.soft") && context.body.getTag("action.soft") == "true" };
"#;

const FIXTURE: &str = r#"
[workloads.alice]
owner = "mara@example.com"
kind = "service"
environment = "production"
purpose = "a subject of the scenario"

[workloads.bob]
owner = "mara@example.com"
kind = "service"
environment = "production"
purpose = "a subject of the scenario"
groups = ["admins"]

[pdp.resources.record]
upstream = "records"
actions = { read = "GET /records/{id}", write = "PUT /records/{id}", delete = "DELETE /records/{id}" }
ids = ["record-1", "record-2"]
"#;

fn start(name: &str, tls: bool) -> ApiBed {
    let table = pdp(FIXTURE);
    let table = if tls { table.replace("tls = \"off\"", "tls = \"self-signed\"") } else { table };
    Api::new(name).upstream("records", "http://127.0.0.1:9", "").policies(POLICIES).also(&table).start()
}

/// Checks the status and what stands at some places of the answer.
fn expect(came: &Came, status: u16, places: &[(&str, Value)], what: &str) {
    assert_eq!(came.status, status, "{what}: {came:?}");
    let body = came.json();
    for (pointer, value) in places {
        assert_eq!(body.pointer(pointer), Some(value), "{what} at {pointer}: {body}");
    }
    let kind = came.header("content-type").unwrap();
    assert_eq!(kind, if status == 200 { "application/json" } else { "application/problem+json" }, "{what}");
}

fn subject(id: &str) -> Value {
    json!({ "type": "user", "id": id })
}

fn action(name: &str) -> Value {
    json!({ "name": name })
}

fn record(id: &str) -> Value {
    json!({ "type": "record", "id": id })
}

fn with(mut entity: Value, properties: Value) -> Value {
    entity["properties"] = properties;
    entity
}

fn question(subject: Value, action: Value, resource: Value) -> Value {
    json!({ "subject": subject, "action": action, "resource": resource })
}

#[test]
fn basic() {
    let bed = start("pdp-basic", false);
    let archived = || with(record("record-2"), json!({ "status": "archived" }));
    let bob_as_admin = with(subject("bob"), json!({ "role": "admin" }));
    let delete = |soft: bool| with(action("delete"), json!({ "soft": soft }));
    let first = question(subject("alice"), action("read"), record("record-1"));
    let mut in_context = first.clone();
    in_context["context"] = json!({ "time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1" });
    let mut unknown = first.clone();
    (unknown["foo"], unknown["futureField"]) = (json!("bar"), json!({ "nested": true }));
    let adorned = question(
        with(subject("alice"), json!({ "department": "Sales", "role": "manager" })),
        with(action("read"), json!({ "method": "GET" })),
        with(record("record-1"), json!({ "status": "active", "owner": "bob" })),
    );
    for (asked, decision) in [
        (first.clone(), true),
        (question(subject("alice"), action("write"), record("record-1")), true),
        (question(subject("bob"), action("read"), record("record-1")), true),
        (question(subject("bob"), action("write"), record("record-1")), false),
        (question(subject("alice"), action("write"), archived()), false),
        (question(bob_as_admin, action("write"), archived()), true),
        (question(subject("alice"), delete(true), record("record-1")), true),
        (question(subject("alice"), delete(false), record("record-1")), false),
        (in_context, true),
        (unknown, true),
        (adorned, true),
        // The same again: the same answer.
        (first.clone(), true),
    ] {
        let came = send(&bed, "/access/v1/evaluation", &asked.to_string(), &["-H", "X-Request-ID: r-1"]);
        expect(&came, 200, &[("/decision", json!(decision))], &asked.to_string());
        assert_eq!(came.header("x-request-id"), Some("r-1"));
    }
    for (pointer, value) in [
        ("subject", None),
        ("action", None),
        ("resource", None),
        ("subject", Some(json!({ "id": "alice" }))),
        ("subject", Some(json!({ "type": "user" }))),
        ("action", Some(json!({}))),
        ("resource", Some(json!({ "id": "record-1" }))),
        ("resource", Some(json!({ "type": "record" }))),
        ("subject", Some(json!("alice"))),
        ("action", Some(json!({ "name": 123 }))),
    ] {
        let mut asked = first.clone();
        match value {
            None => drop(asked.as_object_mut().unwrap().remove(pointer)),
            Some(value) => asked[pointer] = value,
        }
        expect(&send(&bed, "/access/v1/evaluation", &asked.to_string(), &[]), 400, &[], &asked.to_string());
    }
    expect(&send(&bed, "/access/v1/evaluation", "{", &[]), 400, &[], "malformed");
    expect(&send(&bed, "/access/v1/evaluation", "", &[]), 400, &[], "empty");
    let text = send(&bed, "/access/v1/evaluation", &first.to_string(), &["-H", "Content-Type: text/plain"]);
    expect(&text, 400, &[], "another content type");
    let nobody = send(&bed, "/access/v1/evaluation", &first.to_string(), &["-H", "Parapet-Caller: another"]);
    expect(&nobody, 401, &[], "nobody");
    // Every answer stands in the log, with who asked.
    let entries = super::bed::answered(&bed);
    assert_eq!(entries.len(), 12);
    assert!(entries.iter().all(|entry| entry["asked_by"]["name"] == "tests"), "{entries:?}");
    let id = entries[3]["decision"].as_str().unwrap();
    let explained = bed.gateway.cli(&["explain", id]);
    assert!(explained.code == 0 && explained.out.contains("no policy permits"), "{explained:?}");
}

#[test]
fn batch() {
    let bed = start("pdp-batch", false);
    let (alice, bob) = (subject("alice"), subject("bob"));
    let status = |id: &str, status: &str| with(record(id), json!({ "status": status }));
    for (asked, decisions) in [
        (
            json!({ "subject": bob, "resource": record("record-1"),
            "evaluations": [{ "action": action("read") }, { "action": action("write") }] }),
            &[true, false][..],
        ),
        (
            json!({ "subject": alice, "action": action("write"), "evaluations": [
            { "resource": status("record-1", "active") }, { "resource": status("record-2", "archived") }] }),
            &[true, false],
        ),
        (
            json!({ "action": action("write"), "resource": status("record-2", "archived"), "evaluations": [
            { "subject": alice }, { "subject": with(bob.clone(), json!({ "role": "admin" })) }] }),
            &[false, true],
        ),
        (
            json!({ "evaluations": [question(alice.clone(), action("read"), record("record-1")),
            question(bob.clone(), action("write"), record("record-1"))] }),
            &[true, false],
        ),
        (
            json!({ "subject": alice, "action": action("read"), "context": { "time": "2025-06-27T18:03-07:00" }, "evaluations": [
            { "resource": record("record-1") },
            { "resource": record("record-2"), "context": { "time": "2025-06-27T19:00-07:00", "source": "batch-override" } }] }),
            &[true, true],
        ),
        (
            json!({ "subject": alice, "action": action("write"), "resource": { "type": "record" }, "evaluations": [
            { "resource": { "id": "record-1", "properties": { "status": "active" } } },
            { "resource": status("record-2", "archived") }] }),
            &[true, false],
        ),
        (
            json!({ "subject": alice, "action": action("read"), "evaluations": [{ "resource": record("record-1") }, {}] }),
            &[true, false],
        ),
    ] {
        let came = send(&bed, "/access/v1/evaluations", &asked.to_string(), &[]);
        expect(&came, 200, &[], &asked.to_string());
        let said: Vec<_> =
            came.json()["evaluations"].as_array().unwrap().iter().map(|one| one["decision"].clone()).collect();
        assert_eq!(json!(said), json!(decisions), "{asked}");
    }
    // yes, no, yes, no: how far each semantic goes.
    let four = ["record-1", "record-2"].map(|id| {
        [
            json!({ "action": action("read"), "resource": record(id) }),
            json!({ "action": action("write"), "resource": record(id) }),
        ]
    });
    let four: Vec<Value> = four.into_iter().flatten().collect();
    for (semantic, decisions, status) in [
        ("execute_all", &[true, false, true, true][..], 200),
        ("deny_on_first_deny", &[true, false], 200),
        ("permit_on_first_permit", &[true], 200),
        ("whatever", &[], 400),
    ] {
        let asked = json!({ "subject": bob, "evaluations": four, "options": { "evaluations_semantic": semantic } });
        let came = send(&bed, "/access/v1/evaluations", &asked.to_string(), &["-H", "X-Request-ID: b-1"]);
        expect(&came, status, &[], semantic);
        assert_eq!(came.header("x-request-id"), Some("b-1"));
        let answers = came.json()["evaluations"].as_array().cloned().unwrap_or_default();
        let said: Vec<_> = answers.iter().map(|one| one["decision"].clone()).collect();
        assert_eq!(json!(said), json!(decisions), "{semantic}");
    }
    let mut alone = question(alice, action("read"), record("record-1"));
    expect(
        &send(&bed, "/access/v1/evaluations", &alone.to_string(), &[]),
        200,
        &[("/decision", json!(true))],
        "no list",
    );
    alone["evaluations"] = json!([]);
    expect(
        &send(&bed, "/access/v1/evaluations", &alone.to_string(), &[]),
        200,
        &[("/decision", json!(true))],
        "an empty list",
    );
}

#[test]
fn search() {
    let bed = start("pdp-search", false);
    let user = json!({ "type": "user" });
    let archived = with(record("record-2"), json!({ "status": "archived" }));
    let bob = with(subject("bob"), json!({ "role": "admin" }));
    let in_context = |mut asked: Value| {
        asked["context"] = json!({ "time": "2025-06-27T18:03-07:00" });
        asked
    };
    let readers = question(user.clone(), action("read"), record("record-1"));
    let what_alice_may = json!({ "subject": subject("alice"), "resource": record("record-1") });
    for (what, asked, expected) in [
        ("subject", readers.clone(), &["alice", "bob"][..]),
        ("subject", in_context(readers.clone()), &["alice", "bob"]),
        ("subject", question(user, action("write"), archived.clone()), &["bob"]),
        ("resource", question(subject("alice"), action("read"), json!({ "type": "record" })), &["record-1"]),
        ("resource", question(bob.clone(), action("write"), json!({ "type": "record" })), &["record-2"]),
        ("action", what_alice_may.clone(), &["read", "write"]),
        ("action", in_context(what_alice_may), &["read", "write"]),
        ("action", json!({ "subject": bob, "resource": archived }), &["write"]),
    ] {
        let came = send(&bed, &format!("/access/v1/search/{what}"), &asked.to_string(), &[]);
        expect(&came, 200, &[], &asked.to_string());
        let found = came.json()["results"].as_array().unwrap().clone();
        let names: Vec<&str> =
            found.iter().map(|one| one.get("id").or(one.get("name")).unwrap().as_str().unwrap()).collect();
        assert!(expected.iter().all(|name| names.contains(name)), "{asked}: {names:?}");
        let kind = asked.pointer(&format!("/{what}/type"));
        assert!(what == "action" || found.iter().all(|one| Some(&one["type"]) == kind), "{found:?}");
    }
    for (what, asked) in [
        ("action", json!({ "subject": subject("nonexistent-user"), "resource": record("record-1") })),
        ("subject", question(json!({ "type": "spaceship" }), action("read"), record("record-1"))),
    ] {
        let came = send(&bed, &format!("/access/v1/search/{what}"), &asked.to_string(), &[]);
        expect(&came, 200, &[("/results", json!([]))], &asked.to_string());
    }
    let mut page = readers.clone();
    page["page"] = json!({ "limit": 1 });
    let first = send(&bed, "/access/v1/search/subject", &page.to_string(), &[]).json();
    assert_eq!(first["results"].as_array().unwrap().len(), 1);
    page["page"] = json!({ "token": first["page"]["next_token"] });
    let second = send(&bed, "/access/v1/search/subject", &page.to_string(), &[]);
    expect(&second, 200, &[("/page/next_token", json!(""))], "the last page");
    for (what, missing) in [
        ("subject", json!({ "subject": { "type": "user" }, "resource": record("record-1") })),
        ("resource", json!({ "action": action("read"), "resource": { "type": "record" } })),
        ("action", json!({ "subject": subject("alice") })),
        ("subject", question(json!({ "type": "user" }), action("read"), json!({ "type": "record" }))),
        ("resource", question(json!({ "type": "user" }), action("read"), json!({ "type": "record" }))),
    ] {
        let came = send(&bed, &format!("/access/v1/search/{what}"), &missing.to_string(), &[]);
        expect(&came, 400, &[], &missing.to_string());
    }
}

#[test]
fn discovery_over_https() {
    let bed = start("pdp-discovery", true);
    let at = bed.gateway.listener("pdp");
    let base = format!("https://{at}");
    let metadata = curl(&["-k", &format!("{base}/.well-known/authzen-configuration")], "").json();
    assert_eq!(metadata["policy_decision_point"], base);
    assert!(metadata["capabilities"].as_array().unwrap().iter().all(Value::is_string));
    let token = format!("Authorization: Bearer {TOKEN}");
    let asked = question(subject("alice"), action("read"), record("record-1"));
    for (member, expected) in [
        ("access_evaluation_endpoint", "/decision"),
        ("access_evaluations_endpoint", "/decision"),
        ("search_subject_endpoint", "/results"),
        ("search_resource_endpoint", "/results"),
        ("search_action_endpoint", "/results"),
    ] {
        let url = metadata[member].as_str().unwrap();
        assert!(url.starts_with(&base), "{url}");
        let json = "Content-Type: application/json";
        let came = curl(&["-k", "-X", "POST", "-H", &token, "-H", json, url], &asked.to_string());
        assert!(came.status == 200 && came.json().pointer(expected).is_some(), "{member}: {came:?}");
    }
    // Without TLS there is nobody there.
    let plain = std::process::Command::new("curl").args(["-sS", "--max-time", "5", &format!("http://{at}/")]).output();
    assert!(!plain.unwrap().status.success());
}
