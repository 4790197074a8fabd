//! Asking people for what was denied, and asking again once they have said yes.

use serde_json::json;

use super::*;

const REQUESTS: &str = "/access/v1/requests";

fn drop_table(table: &str) -> Value {
    json!({
        "subject": { "type": "workload", "id": "triage" },
        "action": { "name": "sql:drop" },
        "resource": { "type": "Table", "id": format!("shop-db/shop.public.{table}") },
        "context": { "object": "table", "ticket": "OPS-7" },
    })
}

/// A question that is denied, as it is submitted to people.
async fn denied(house: &House, caller: &str, asked: &Value) -> Value {
    let answer = house.post(caller, "/access/v1/evaluation", asked).await.json();
    assert_eq!((&answer["decision"], &answer["context"]["reason"]), (&json!(false), &json!("approval_required")));
    let hint = &answer["context"]["access_request"];
    assert_eq!(
        (&hint["requestable"], &hint["endpoint"]),
        (&json!(true), &json!("https://pdp.example/access/v1/requests"))
    );
    let mut submission = asked.clone();
    submission["denial"] = json!({
        "evaluation_id": answer["context"]["evaluation_id"],
        "expires_at": hint["expires_at"],
        "binding_token": hint["binding_token"],
    });
    submission
}

fn path(task: &Value) -> String {
    task["task"]["status_endpoint"].as_str().unwrap().strip_prefix("https://pdp.example").unwrap().to_owned()
}

async fn status(house: &House, caller: &str, task: &Value) -> Value {
    let token = format!("Bearer {caller}-token");
    house.pass("GET", &path(task), &[("authorization", &token)]).await.json()
}

#[tokio::test]
async fn an_approval_is_used_by_asking_again() {
    let house = house().await;
    let asked = drop_table("orders");
    let mut submission = denied(&house, "app", &asked).await;
    submission["requested_access"] = json!({ "justification": "the migration of OPS-7" });
    let reply = house.post("app", REQUESTS, &submission).await;
    let task = reply.json();
    assert_eq!((reply.status, &task["task"]["status"]), (202, &json!("pending")), "{task}");
    assert_eq!(reply.header("location"), task["task"]["status_endpoint"].as_str());
    let approval = task["task"]["id"].as_str().unwrap().split('.').next().unwrap().to_owned();
    let again = |asked: &Value| {
        let mut again = asked.clone();
        again["context"]["approval"] = json!({ "id": approval });
        again
    };
    let decision =
        async |asked: &Value| house.post("app", "/access/v1/evaluation", asked).await.json()["decision"].clone();
    assert_eq!(decision(&again(&asked)).await, false, "nobody has said yes");
    house.approve(&approval).await;
    let approved = status(&house, "app", &task).await;
    assert_eq!(
        (&approved["task"]["status"], &approved["result"]["approval"]["id"]),
        (&json!("approved"), &json!(approval))
    );
    // Approved is not allowed: not without its name, not for anything else, and not twice.
    assert_eq!(decision(&asked).await, false);
    let mut other = again(&asked);
    other["context"]["ticket"] = json!("OPS-8");
    assert_eq!(decision(&other).await, false);
    assert_eq!(decision(&again(&drop_table("customers"))).await, false);
    assert_eq!(decision(&again(&asked)).await, true);
    let entry = house.entered("decision").pop().unwrap();
    assert_eq!((&entry["verdict"], &entry["approval"]), (&json!("permit"), &json!(approval)));
    assert_eq!(decision(&again(&asked)).await, false, "one use");
}

#[tokio::test]
async fn people_are_asked_only_for_what_was_denied_to_whoever_asks() {
    let house = house().await;
    let submission = denied(&house, "app", &drop_table("orders")).await;
    let with = |pointer: &str, value: Value| {
        let mut changed = submission.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        changed
    };
    let permitted = json!({ "subject": { "type": "user", "id": "alice" }, "action": { "name": "read" },
        "resource": { "type": "record", "id": "record-1" }, "denial": submission["denial"] });
    let error =
        |reply: &Reply| reply.json()["type"].as_str().unwrap_or_default().rsplit(':').next().unwrap().to_owned();
    for (caller, body, expected) in [
        ("other", submission.clone(), "invalid_denial_binding"),
        ("app", with("/resource/id", json!("shop-db/shop.public.customers")), "invalid_denial_binding"),
        ("app", with("/context/ticket", json!("OPS-8")), "invalid_denial_binding"),
        ("app", with("/denial/evaluation_id", json!("dec_01JX8ZQ301JX8ZQ3")), "invalid_denial_binding"),
        ("app", with("/denial/expires_at", json!("2027-01-01T00:00:00.000Z")), "invalid_denial_binding"),
        ("app", with("/denial/binding_token", json!("1795237200000.00")), "invalid_denial_binding"),
        ("app", with("/denial", json!({})), "invalid_denial_binding"),
        ("app", permitted, "invalid_denial_binding"),
    ] {
        let reply = house.post(caller, REQUESTS, &body).await;
        assert_eq!((reply.status, error(&reply)), (400, expected.to_owned()), "{body}");
    }
    let task = house.post("app", REQUESTS, &submission).await.json();
    assert_eq!(
        house.post("app", REQUESTS, &submission).await.json()["task"]["id"],
        task["task"]["id"],
        "the same again"
    );
    // Another caller does not find it, even by its name.
    assert_eq!(status(&house, "other", &task).await["type"], "urn:openid:authzen:access-request:error:unknown_task");
    let cancelled = house.post("app", &format!("{}/cancel", path(&task)), &json!({})).await.json();
    assert_eq!((&cancelled["task"]["status"], &cancelled["next_action"]), (&json!("cancelled"), &json!("request")));
    house.clock.advance(Duration::from_secs(601));
    assert_eq!(error(&house.post("app", REQUESTS, &submission).await), "expired_denial");
}

#[tokio::test]
async fn an_idempotency_key_stands_for_one_request() {
    let house = house().await;
    let (one, other) = (drop_table("orders"), drop_table("customers"));
    let (one, other) = (denied(&house, "app", &one).await, denied(&house, "app", &other).await);
    let send = async |body: &Value| {
        let request = Request::post(REQUESTS)
            .header("authorization", "Bearer app-token")
            .header("content-type", "application/json")
            .header("idempotency-key", "k-1");
        house.send(request.body(Body::from(body.to_string())).unwrap()).await
    };
    assert_eq!(send(&one).await.status, 202);
    assert_eq!(send(&one).await.status, 202);
    let reply = send(&other).await;
    assert_eq!((reply.status, &reply.json()["title"]), (409, &json!("duplicate request")));
}
