//! An access request through the real desk: a person approves by the command line, and the question is asked again.

use serde_json::json;

use super::bed::{pdp, post, shop};

#[test]
fn a_person_approves_what_a_caller_asked_for() {
    let bed = shop("pdp-requests").also(&pdp("")).start();
    let asked = json!({
        "subject": { "type": "workload", "id": "deploy" },
        "action": { "name": "http:POST" },
        "resource": { "type": "Endpoint", "id": "shop/v1/things" },
        "context": { "http": { "method": "POST", "template": "/v1/things" } },
    });
    let denied = post(&bed, "/access/v1/evaluation", &asked).json();
    assert_eq!(
        (&denied["decision"], &denied["context"]["reason"]),
        (&json!(false), &json!("approval_required")),
        "{denied}"
    );
    let hint = &denied["context"]["access_request"];
    let mut submission = asked.clone();
    submission["denial"] = json!({
        "evaluation_id": denied["context"]["evaluation_id"],
        "expires_at": hint["expires_at"],
        "binding_token": hint["binding_token"],
    });
    submission["requested_access"] = json!({ "justification": "a new thing" });
    let submitted = post(&bed, "/access/v1/requests", &submission);
    assert_eq!(submitted.status, 202, "{submitted:?}");
    let task = submitted.json()["task"]["id"].as_str().unwrap().to_owned();
    let approval = task.split('.').next().unwrap().to_owned();
    let approved = bed.gateway.cli_as("dana@example.com", &["approvals", "approve", &approval]);
    assert_eq!(approved.code, 0, "{approved:?}");
    let mut again = asked.clone();
    again["context"]["approval"] = json!({ "id": approval });
    for decision in [true, false] {
        let answer = post(&bed, "/access/v1/evaluation", &again).json();
        assert_eq!(answer["decision"], decision, "one use: {answer}");
    }
}
