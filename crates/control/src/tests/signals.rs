//! Risk, signals, streams and threat lists, as people see them.

use super::*;

#[tokio::test]
async fn risk_is_set_shown_and_taken_back() {
    let house = house().await;
    let path = "/v1/workloads/triage/risk";
    for wrong in [json!({ "score": 101, "reason": "x" }), json!({ "score": 5 }), json!({ "score": -1, "reason": "x" })]
    {
        assert_eq!(house.call("ann", "POST", path, wrong.clone()).await.0, 400, "{wrong}");
    }
    let (status, set) = house.call("ann", "POST", path, json!({ "score": 70, "reason": "seen" })).await;
    assert_eq!((status, &set["risk"]["score"]), (200, &json!(70)), "{set}");
    let (_, shown) = house.get("eve", "/v1/workloads/triage").await;
    assert_eq!(shown["risk_why"], json!(["a person: ann@example.com: seen (70)"]));
    let reason = json!({ "reason": "looked into" });
    let (status, cleared) = house.call("ann", "POST", "/v1/workloads/triage/risk/clear", reason.clone()).await;
    assert_eq!((status, &cleared["risk"]["score"]), (200, &json!(0)));
    assert_eq!(house.call("ann", "POST", "/v1/workloads/triage/risk/clear", reason).await.0, 404);
    assert_eq!(
        house.entered().await,
        [
            "ann@example.com workloads risk set triage 70 seen",
            "ann@example.com workloads risk clear triage looked into"
        ]
    );
}

#[tokio::test]
async fn what_never_came_is_an_empty_list() {
    let house = house().await;
    for path in ["/v1/signals", "/v1/streams", "/v1/threats"] {
        let (status, listed) = house.get("ann", path).await;
        assert_eq!((status, &listed["items"]), (200, &json!([])), "{path}");
    }
    let (status, checked) = house.get("eve", "/v1/threats/::ffff:192.0.2.1").await;
    assert_eq!((status, &checked["address"], &checked["threats"]), (200, &json!("192.0.2.1"), &json!([])));
    for path in ["/v1/threats/nowhere", "/v1/threats/192.0.2.0%2F24", "/v1/signals?limit=x"] {
        assert_eq!(house.get("ann", path).await.0, 400, "{path}");
    }
    assert_eq!(house.call("ann", "POST", "/v1/signals/7/ack", json!({})).await.0, 404);
    assert_eq!(house.call("ann", "POST", "/v1/workloads/triage/retire", json!({ "reason": "gone" })).await.0, 200);
    assert_eq!(house.get("eve", "/v1/workloads/triage").await.1["status"], "retired");
}
