//! The Authorization API: the certification scenario's questions, what is no question, who may ask, and what they are told.

use serde_json::json;

use super::*;

fn question(subject: &str, action: &str, resource: &str) -> Value {
    json!({
        "subject": { "type": "user", "id": subject },
        "action": { "name": action },
        "resource": { "type": "record", "id": resource },
    })
}

/// A question in our own words.
fn sql(action: &str, kind: &str, resource: &str, context: Value) -> Value {
    json!({
        "subject": { "type": "workload", "id": "triage" },
        "action": { "name": action },
        "resource": { "type": kind, "id": resource },
        "context": context,
    })
}

fn with(mut question: Value, pointer: &str, value: Value) -> Value {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    question.pointer_mut(parent).unwrap()[last] = value;
    question
}

const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";

#[tokio::test]
async fn the_decisions_of_the_certification_scenario() {
    let house = house().await;
    let archived = json!({ "status": "archived" });
    let write_archived =
        |subject| with(question(subject, "write", "record-2"), "/resource/properties", archived.clone());
    let delete =
        |soft: bool| with(question("alice", "delete", "record-1"), "/action/properties", json!({ "soft": soft }));
    for (asked, decision) in [
        (question("alice", "read", "record-1"), true),
        (question("alice", "write", "record-1"), true),
        (question("bob", "read", "record-1"), true),
        (question("bob", "write", "record-1"), false),
        (write_archived("alice"), false),
        (with(write_archived("bob"), "/subject/properties", json!({ "role": "admin" })), true),
        (delete(true), true),
        (delete(false), false),
        // What is not known is passed over.
        (with(question("alice", "read", "record-1"), "/futureField", json!({ "nested": true })), true),
        (with(question("alice", "read", "record-1"), "/context", json!({ "time": "x", "ip": "192.168.1.1" })), true),
        (with(question("alice", "read", "record-1"), "/subject/properties", json!({ "department": "Sales" })), true),
        // Nobody, nothing, and no such action.
        (question("nobody", "read", "record-1"), false),
        (question("not a name", "read", "record-1"), false),
        (question("alice", "fly", "record-1"), false),
        (with(question("alice", "read", "record-1"), "/resource/type", json!("spaceship")), false),
        (with(question("alice", "read", "record-1"), "/subject/type", json!("spaceship")), false),
        (question("held", "read", "record-1"), false),
    ] {
        for _ in 0..2 {
            let reply = house.post("app", EVALUATION, &asked).await;
            assert_eq!((reply.status, &reply.json()["decision"]), (200, &json!(decision)), "{asked}: {}", reply.json());
            assert_eq!(reply.header("content-type"), Some("application/json"));
        }
    }
}

#[tokio::test]
async fn what_is_no_question_is_refused() {
    let house = house().await;
    let good = question("alice", "read", "record-1");
    for bad in [
        with(good.clone(), "/subject", json!("alice")),
        with(good.clone(), "/subject", json!({ "id": "alice" })),
        with(good.clone(), "/subject", json!({ "type": "user" })),
        with(good.clone(), "/action", json!({})),
        with(good.clone(), "/action", json!({ "name": 123 })),
        with(good.clone(), "/resource", json!({ "id": "record-1" })),
        with(good.clone(), "/resource", json!({ "type": "record" })),
        with(good.clone(), "/resource/id", json!("")),
        with(good.clone(), "/resource/properties", json!([])),
        with(good.clone(), "/context", json!("now")),
        with(good.clone(), "/context", json!({ "source": { "address": "nowhere" } })),
        sql("sql:update", "Table", "shop-db/shop.public.orders", json!({ "bounded": "yes" })),
        json!({ "action": good["action"], "resource": good["resource"] }),
        json!({ "subject": good["subject"], "resource": good["resource"] }),
        json!({ "subject": good["subject"], "action": good["action"] }),
        json!([]),
    ] {
        let reply = house.post("app", EVALUATION, &bad).await;
        assert_eq!(reply.status, 400, "{bad}");
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    }
    for bad in ["", "{", "null", "{\"subject\":{},\"subject\":{}}"] {
        assert_eq!(house.post_text("app", EVALUATION, bad).await.status, 400, "{bad}");
    }
    // A name that stands twice, however deep, could be read in two ways.
    let twice = good.to_string().replace("\"id\":\"alice\"", "\"id\":\"bob\",\"id\":\"alice\"");
    assert!(twice.contains("bob"));
    assert_eq!(house.post_text("app", EVALUATION, &twice).await.status, 400);
    let plain =
        Request::post(EVALUATION).header("authorization", "Bearer app-token").header("content-type", "text/plain");
    assert_eq!(house.send(plain.body(Body::from(good.to_string())).unwrap()).await.status, 400);
    let long = with(good.clone(), "/context", json!({ "note": "x".repeat(65 * 1024) }));
    assert_eq!(house.post("app", EVALUATION, &long).await.status, 413);
    // None of it was a decision.
    assert_eq!(house.entered("decision"), Vec::<Value>::new());
}

#[tokio::test]
async fn who_may_ask_what() {
    let house = house().await;
    let records = question("alice", "read", "record-1");
    let shop = sql("sql:select", "Table", "shop-db/shop.public.orders", json!({ "bounded": true }));
    for (caller, path, asked, status) in [
        ("nobody", EVALUATION, &records, 401),
        ("searcher", EVALUATION, &records, 403),
        ("envoy", EVALUATION, &records, 403),
        ("app", EVALUATION, &records, 200),
        ("narrow", EVALUATION, &records, 200),
        ("narrow", EVALUATION, &shop, 403),
        ("app", EVALUATION, &shop, 200),
        ("envoy", "/access/v1/search/subject", &records, 403),
        ("searcher", "/access/v1/requests", &records, 403),
        ("nobody", "/v1/data/parapet/allow", &records, 401),
        ("app", "/access/v1/none", &records, 404),
    ] {
        let reply = house.post(caller, path, asked).await;
        assert_eq!(reply.status, status, "{caller} {path}: {}", reply.json());
    }
    let body = records.to_string();
    for (headers, status) in [
        (&[][..], 401),
        (&[("authorization", "Basic app-token")], 401),
        (&[("authorization", "Bearer app-token"), ("authorization", "Bearer app-token")], 401),
        (&[("authorization", "Bearer other's"), ("parapet-caller", "app-token")], 200),
        // A workload that proves itself as one is a caller if it is listed, and nobody if not.
        (&[("authorization", "Bearer gatekeeper's")], 200),
        (&[("authorization", "Bearer triage's")], 401),
        (&[("authorization", "Bearer app-token"), ("origin", "https://page.example")], 403),
    ] {
        let mut request = Request::post(EVALUATION).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let reply = house.send(request.body(Body::from(body.clone())).unwrap()).await;
        assert_eq!(reply.status, status, "{headers:?}: {}", reply.json());
    }
    let person = Request::post(EVALUATION)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {}", house.person));
    assert_eq!(house.send(person.body(Body::from(body)).unwrap()).await.status, 200);
    assert_eq!(house.entered("decision").last().unwrap()["asked_by"]["name"], "ann@example.com");
}

/// What an address costs that proves nobody is bounded; who shows a token that is only compared is not kept out by it.
#[tokio::test]
async fn addresses_that_prove_nobody_wait() {
    let house = house().await;
    let asked = question("alice", "read", "record-1").to_string();
    let as_whom = async |token: &str| {
        let request = Request::post(EVALUATION)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {token}"));
        house.send(request.body(Body::from(asked.clone())).unwrap()).await
    };
    for _ in 0..FAILURES {
        assert_eq!(as_whom("stranger's").await.status, 401);
    }
    let refused = as_whom("stranger's").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("60")), "{}", refused.json());
    assert_eq!(refused.json()["code"], "PAR0332");
    for (token, status) in [("gatekeeper's", 429), ("app-token", 200), (house.person.as_str(), 200)] {
        assert_eq!(as_whom(token).await.status, status);
    }
    house.clock.advance(Duration::from_secs(60));
    for (token, status) in [("gatekeeper's", 200), ("stranger's", 401)] {
        assert_eq!(as_whom(token).await.status, status);
    }
}

/// What the configuration of an upstream says of an endpoint holds for a caller's own words: here the group `destroy`, its id and
/// a field with a class.
#[tokio::test]
async fn own_words_are_asked_as_the_endpoint_is() {
    let house = house().await;
    let mut asked = question("alice", "purge", "record-1");
    assert_eq!(house.post("app", EVALUATION, &asked).await.json()["context"]["reason"], "no_permit");
    asked = question("alice", "export", "record-1");
    let answer = house.post("app", EVALUATION, &asked).await.json();
    let paths = &answer["context"]["obligations"][0]["paths"];
    assert_eq!((&answer["decision"], paths), (&json!(false), &json!(["records/records/{id} $.email"])), "{answer}");
    let entry = house.entered("decision").pop().unwrap();
    assert_eq!(entry["operations"][0]["facts"]["http"]["operation"], "export", "{entry}");
    asked["context"] = json!({ "obligations_supported": ["custom"] });
    assert_eq!(house.post("app", EVALUATION, &asked).await.json()["decision"], true);
}

#[tokio::test]
async fn answers_stand_in_the_log_before_they_are_told() {
    let house = house().await;
    let asked = sql("sql:update", "Table", "shop-db/shop.public.orders", json!({ "bounded": false }));
    let answer = house.post("app", EVALUATION, &asked).await.json();
    let entry = house.entered("decision").pop().unwrap();
    assert_eq!(entry["decision"], answer["context"]["id"]);
    assert_eq!(entry["workload"], "triage");
    assert_eq!(entry["verdict"], "deny");
    assert_eq!(entry["asked_by"], json!({ "name": "app", "source": "127.0.0.1", "subject": "named" }));
    assert_eq!(entry["around"]["source"], "0.0.0.0");
    house.log.fail(Some(kernel::audit::AppendError::Unwritable));
    let reply = house.post("app", EVALUATION, &question("alice", "read", "record-1")).await;
    assert_eq!((reply.status, reply.json().get("decision")), (503, None));
}

#[tokio::test]
async fn a_request_id_comes_back() {
    let house = house().await;
    for (path, body) in
        [(EVALUATION, question("alice", "read", "record-1")), (EVALUATION, json!({})), ("/none", json!({}))]
    {
        let request = Request::post(path)
            .header("authorization", "Bearer app-token")
            .header("content-type", "application/json")
            .header("x-request-id", "req-7");
        let reply = house.send(request.body(Body::from(body.to_string())).unwrap()).await;
        assert_eq!(reply.header("x-request-id"), Some("req-7"), "{path}");
    }
    assert_eq!(house.post("app", EVALUATION, &json!({})).await.header("x-request-id"), None);
}

#[tokio::test]
async fn facts_and_circumstances_are_the_callers() {
    let house = house().await;
    let orders = "shop-db/shop.public.orders";
    let truncate = |context| sql("sql:truncate", "Table", orders, context);
    for (asked, decision) in [
        (sql("sql:update", "Table", orders, json!({ "bounded": true })), true),
        (sql("sql:update", "Table", orders, json!({ "bounded": false })), false),
        // An absent fact makes a forbid match.
        (sql("sql:update", "Table", orders, json!({})), false),
        (truncate(json!({ "source": { "address": "10.1.2.3" } })), true),
        (truncate(json!({ "source": { "address": "11.1.2.3" } })), false),
        // Where nobody says from where, it is from nowhere, and never from where the caller is.
        (truncate(json!({})), false),
        (sql("sql:select", "Table", "elsewhere/shop.public.orders", json!({ "bounded": true })), false),
        (sql("sql:select", "Table", "shop-db/shop.orders", json!({ "bounded": true })), false),
        (sql("sql:select", "Column", orders, json!({ "bounded": true })), false),
        // A table that is not there can be made, and nothing else.
        (sql("sql:select", "Table", "shop-db/shop.public.missing", json!({ "bounded": true })), false),
        (sql("sql:create", "Table", "shop-db/shop.public.missing", json!({ "object": "table" })), true),
    ] {
        assert_eq!(house.post("app", EVALUATION, &asked).await.json()["decision"], decision, "{asked}");
    }
}

#[tokio::test]
async fn callers_are_told_within_their_disclosure() {
    let house = house().await;
    let asked = sql("sql:update", "Table", "shop-db/shop.public.orders", json!({ "bounded": false }));
    for (caller, policy, user, admin) in [
        ("app", json!("bounded"), json!({ "en": "add one" }), json!({ "en": "UPDATE needs a WHERE" })),
        ("brief", json!("bounded"), Value::Null, Value::Null),
        ("terse", Value::Null, Value::Null, Value::Null),
    ] {
        let context = house.post(caller, EVALUATION, &asked).await.json()["context"].clone();
        assert_eq!((&context["policy"], &context["reason_user"], &context["reason_admin"]), (&policy, &user, &admin));
        assert!(context["id"].as_str().unwrap().starts_with("dec_"));
        assert_eq!(context["reason"], "policy");
    }
}

#[tokio::test]
async fn remedies_are_obligations_and_bind() {
    let house = house().await;
    let email = |context| sql("sql:select", "Column", "shop-db/shop.public.customers.email", context);
    let mask = json!({
        "type": "custom", "id": "mask-1", "vendor": "parapet", "action": "mask", "mask": "partial",
        "paths": ["shop-db/shop.public.customers.email"], "policy": "mail-is-masked",
    });
    for (context, decision, reason) in [
        (json!({ "bounded": true }), false, json!("unmet_obligations")),
        (json!({ "bounded": true, "obligations_supported": ["step-up"] }), false, json!("unmet_obligations")),
        (json!({ "bounded": true, "obligations_supported": ["custom"] }), true, Value::Null),
        (json!({ "bounded": true, "supported_obligations": ["custom"] }), true, Value::Null),
    ] {
        let answer = house.post("app", EVALUATION, &email(context)).await.json();
        assert_eq!((&answer["decision"], &answer["context"]["reason"]), (&json!(decision), &reason));
        assert_eq!(answer["context"]["obligations"], json!([mask]), "on yes as on no");
    }
    // Nobody is quarantined on the word of another.
    let answer = house.post("app", EVALUATION, &sql("sql:grant", "Database", "shop-db/shop", json!({}))).await.json();
    let ends = json!([{ "type": "session_termination", "id": "quarantine", "subject": "triage", "policy": "grants-quarantine" }]);
    assert_eq!((&answer["decision"], &answer["context"]["obligations"]), (&json!(false), &ends));
    assert_eq!(*house.fixed.quarantined.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn budgets_are_drawn_on() {
    let house = house().await;
    let call = sql("sql:call", "Function", "shop-db/shop.public.refund", json!({}));
    let mut said = Vec::new();
    for _ in 0..3 {
        let answer = house.post("app", EVALUATION, &call).await.json();
        said.push((answer["decision"].clone(), answer["context"]["reason"].clone()));
    }
    let yes = (json!(true), Value::Null);
    assert_eq!(said, [yes.clone(), yes, (json!(false), json!("over_budget"))]);
    assert_eq!(house.entered("decision").last().unwrap()["verdict"], "deny");
}

#[tokio::test]
async fn batches_end_as_their_semantic_says() {
    let house = house().await;
    let batch = |semantic: Value| {
        let resource = json!({ "type": "record", "id": "record-1" });
        let one = |subject: &str, action: &str| json!({ "subject": { "type": "user", "id": subject }, "action": { "name": action } });
        let evaluations = [one("bob", "read"), one("bob", "write"), one("alice", "write")];
        json!({ "resource": resource, "evaluations": evaluations, "options": semantic })
    };
    let semantic = |word: &str| json!({ "evaluations_semantic": word });
    for (options, expected) in [
        (json!({}), vec![true, false, true]),
        (semantic("execute_all"), vec![true, false, true]),
        (semantic("deny_on_first_deny"), vec![true, false]),
        (semantic("permit_on_first_permit"), vec![true]),
    ] {
        let reply = house.post("app", EVALUATIONS, &batch(options.clone())).await;
        let answers = reply.json()["evaluations"].as_array().unwrap().clone();
        let said: Vec<bool> = answers.iter().map(|answer| answer["decision"].as_bool().unwrap()).collect();
        assert_eq!((reply.status, said), (200, expected), "{options}");
    }
    for bad in [semantic("some"), json!([]), json!({ "evaluations_semantic": 1 })] {
        assert_eq!(house.post("app", EVALUATIONS, &batch(bad)).await.status, 400);
    }
    let many = json!({ "evaluations": vec![json!({}); 257] });
    assert_eq!(house.post("app", EVALUATIONS, &many).await.status, 400);
}

#[tokio::test]
async fn batches_have_defaults_and_errors_of_their_own() {
    let house = house().await;
    let said = async |body: Value| {
        let reply = house.post("app", EVALUATIONS, &body).await;
        assert_eq!(reply.status, 200, "{body}");
        let answers = reply.json()["evaluations"].as_array().cloned().unwrap_or_else(|| vec![reply.json()]);
        answers.iter().map(|answer| answer["decision"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    let (alice, write) = (json!({ "type": "user", "id": "alice" }), json!({ "name": "write" }));
    let record = |id: &str, status: &str| json!({ "type": "record", "id": id, "properties": { "status": status } });
    // An entity of a question replaces the batch's, but for required members that it leaves out.
    let merged = json!({ "subject": alice, "action": write, "resource": { "type": "record", "properties": { "status": "archived" } },
        "evaluations": [{ "resource": { "id": "record-1", "properties": { "status": "active" } } },
            { "resource": { "id": "record-1" } }, { "resource": record("record-2", "archived") }] });
    assert_eq!(said(merged).await, [true, true, false]);
    let subjects = json!({ "action": write, "resource": record("record-2", "archived"), "evaluations": [
        { "subject": alice }, { "subject": { "type": "user", "id": "bob", "properties": { "role": "admin" } } }] });
    assert_eq!(said(subjects).await, [false, true]);
    let read = json!({ "name": "read" });
    let broken = json!({ "subject": alice, "action": read,
        "evaluations": [{ "resource": { "type": "record", "id": "record-1" } }, {}, 7] });
    assert_eq!(said(broken).await, [true, false, false]);
    // Without questions it is the one of the top.
    let alone = json!({ "subject": alice, "action": read, "resource": { "type": "record", "id": "record-1" } });
    assert_eq!(said(alone.clone()).await, [true]);
    assert_eq!(said(with(alone, "/evaluations", json!([]))).await, [true]);
    let narrow = json!({ "subject": { "type": "workload", "id": "triage" }, "action": { "name": "sql:select" },
        "evaluations": [{ "resource": { "type": "Table", "id": "shop-db/a.b.c" } }] });
    let refused = house.post("narrow", EVALUATIONS, &narrow).await.json();
    assert_eq!(refused["evaluations"][0]["context"]["error"]["status"], 403);
}

#[tokio::test]
async fn searches_find_what_is_permitted() {
    let house = house().await;
    let user = json!({ "type": "user" });
    let record = |id: &str| json!({ "type": "record", "id": id });
    let named = |name: &str| json!({ "name": name });
    let archived = json!({ "type": "record", "id": "record-2", "properties": { "status": "archived" } });
    let bob = json!({ "type": "user", "id": "bob", "properties": { "role": "admin" } });
    let alice = json!({ "type": "user", "id": "alice" });
    let triage = json!({ "type": "workload", "id": "triage" });
    let table = json!({ "type": "Table", "id": "shop-db/shop.public.orders" });
    for (what, body, expected) in [
        ("subject", json!({ "subject": user, "action": named("read"), "resource": record("record-1") }), "alice bob"),
        ("subject", json!({ "subject": user, "action": named("write"), "resource": archived }), "bob"),
        (
            "subject",
            json!({ "subject": { "type": "spaceship" }, "action": named("read"), "resource": record("record-1") }),
            "",
        ),
        (
            "resource",
            json!({ "subject": alice, "action": named("read"), "resource": { "type": "record" } }),
            "record-1 record-2",
        ),
        ("resource", json!({ "subject": bob, "action": named("write"), "resource": { "type": "record" } }), "record-2"),
        ("resource", json!({ "subject": alice, "action": named("read"), "resource": { "type": "spaceship" } }), ""),
        (
            "resource",
            json!({ "subject": triage, "action": named("connect:session"), "resource": { "type": "Upstream" } }),
            "api shop-db",
        ),
        (
            "resource",
            json!({ "subject": triage, "action": named("sql:select"), "resource": { "type": "Table" } }),
            "shop-db/shop.public.orders",
        ),
        ("action", json!({ "subject": alice, "resource": record("record-1") }), "read write"),
        ("action", json!({ "subject": bob, "resource": archived }), "read write"),
        ("action", json!({ "subject": { "type": "user", "id": "nobody" }, "resource": record("record-1") }), ""),
        // What asks, blocks or quarantines is not permitted, and neither is what needs a fact that nobody gave.
        (
            "action",
            json!({ "subject": triage, "resource": table }),
            "sql:administer sql:alter sql:call sql:code sql:create sql:delete sql:end sql:infer sql:insert sql:listen sql:lock \
             sql:maintain sql:notify sql:select sql:set sql:transaction",
        ),
    ] {
        let reply = house.post("searcher", &format!("/access/v1/search/{what}"), &body).await;
        assert_eq!(reply.status, 200, "{body}");
        let found = reply.json();
        let names = found["results"].as_array().unwrap().iter().map(|one| {
            assert!(what == "action" || one["type"].is_string(), "{one}");
            one.get("id").or(one.get("name")).unwrap().as_str().unwrap().to_owned()
        });
        assert_eq!(names.collect::<Vec<_>>().join(" "), expected, "{body}");
        assert_eq!(found["page"]["next_token"], "");
    }
    assert_eq!(house.entered("admin").len(), 12);
    assert_eq!(house.entered("decision"), Vec::<Value>::new());
}

#[tokio::test]
async fn searches_have_pages_and_required_members() {
    let house = house().await;
    let path = "/access/v1/search/subject";
    let mut body = json!({ "subject": { "type": "user" }, "action": { "name": "read" },
        "resource": { "type": "record", "id": "record-1" }, "page": { "limit": 1 } });
    let first = house.post("app", path, &body).await.json();
    assert_eq!(first["results"], json!([{ "type": "user", "id": "alice" }]));
    body["page"] = json!({ "token": first["page"]["next_token"], "limit": 10 });
    let second = house.post("app", path, &body).await.json();
    assert_eq!(second["results"], json!([{ "type": "user", "id": "bob" }]));
    assert_eq!(second["page"]["next_token"], "");
    for (what, missing) in [
        ("subject", "action"),
        ("subject", "resource"),
        ("subject", "subject"),
        ("resource", "subject"),
        ("action", "resource"),
    ] {
        let mut body = question("alice", "read", "record-1");
        body.as_object_mut().unwrap().remove(missing);
        assert_eq!(
            house.post("app", &format!("/access/v1/search/{what}"), &body).await.status,
            400,
            "{what} {missing}"
        );
    }
    for page in [json!(1), json!({ "limit": 0 }), json!({ "limit": "1" }), json!({ "token": 1 })] {
        body["page"] = page;
        assert_eq!(house.post("app", path, &body).await.status, 400, "{body}");
    }
}

#[tokio::test]
async fn the_metadata_names_every_endpoint() {
    let house = house().await;
    let reply = house.pass("GET", "/.well-known/authzen-configuration", &[]).await;
    let body = reply.json();
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    assert_eq!(body["policy_decision_point"], "https://pdp.example");
    for (member, path) in [
        ("access_evaluation_endpoint", EVALUATION),
        ("access_evaluations_endpoint", EVALUATIONS),
        ("search_subject_endpoint", "/access/v1/search/subject"),
        ("search_resource_endpoint", "/access/v1/search/resource"),
        ("search_action_endpoint", "/access/v1/search/action"),
        ("access_request_endpoint", "/access/v1/requests"),
    ] {
        assert_eq!(body[member], format!("https://pdp.example{path}"));
        // It is there, and wants a caller.
        assert_eq!(house.post("nobody", path, &json!({})).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn callers_of_opa_find_its_shape() {
    let house = house().await;
    let input = |action: &str| {
        json!({ "input": { "subject": "triage", "action": action,
        "resource": { "type": "Table", "id": "shop-db/shop.public.orders" }, "context": { "bounded": true } } })
    };
    let allowed = house.post("app", "/v1/data/shop/allow", &input("sql:select")).await.json();
    assert_eq!(allowed["result"], true);
    assert_eq!(allowed["decision_id"], house.entered("decision").last().unwrap()["decision"]);
    assert_eq!(house.post("app", "/v1/data/shop/allow", &input("sql:drop")).await.json()["result"], false);
    let whole = house.post("app", "/v1/data/shop", &input("sql:drop")).await.json();
    assert_eq!(
        (&whole["result"]["allow"], &whole["result"]["context"]["reason"]),
        (&json!(false), &json!("approval_required"))
    );
    let bad = house.post("app", "/v1/data/shop/allow", &json!({})).await;
    assert_eq!((bad.status, &bad.json()["code"]), (400, &json!("invalid_parameter")));
}
