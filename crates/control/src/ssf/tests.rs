//! Who may push, and what they are told.

use std::sync::Mutex;

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use axum::http::Request;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use store::database::Database;
use store::outgoing::Outbox;

use super::transmit::{Listening, Transmitting};
use super::*;

type Seen = Arc<Mutex<Vec<(String, String)>>>;

fn endpoints(outcome: Result<(), PushRefusal>) -> (TowerToHyperService<Router>, Seen) {
    let seen = Seen::default();
    let noting = Arc::clone(&seen);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, b"a token of the stream").as_ref());
    let receive: Receive = Arc::new(move |stream, set| {
        noting.lock().unwrap().push((stream.to_string(), set));
        Box::pin(std::future::ready(outcome))
    });
    let streams = Arc::new(move || [("idp".parse().unwrap(), hash)].into());
    let parts = SsfParts { streams, receive, transmitting: None };
    (TowerToHyperService::new(router(&Arc::new(parts))), seen)
}

#[tokio::test]
async fn only_who_shows_the_streams_token_is_heard() {
    const SET: &str = "application/secevent+jwt";
    let good = "Bearer a token of the stream";
    for (path, token, kind, status, heard) in [
        ("/ssf/push/idp", Some(good), SET, 202, 1),
        ("/ssf/push/idp", Some(good), "application/secevent+jwt; charset=utf-8", 202, 1),
        ("/ssf/push/idp", Some(good), "application/json", 400, 0),
        ("/ssf/push/idp", Some("Bearer another"), SET, 401, 0),
        ("/ssf/push/idp", Some("a token of the stream"), SET, 401, 0),
        ("/ssf/push/idp", None, SET, 401, 0),
        ("/ssf/push/other", Some(good), SET, 401, 0),
        ("/ssf/push/%20", Some(good), SET, 401, 0),
        ("/ssf/push", Some(good), SET, 404, 0),
    ] {
        let (service, seen) = endpoints(Ok(()));
        let mut request = Request::post(path).header("content-type", kind);
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        let answer = service.call(request.body(Body::from("a.b.c")).unwrap()).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path} {token:?} {kind}");
        assert_eq!(seen.lock().unwrap().len(), heard, "{path} {token:?} {kind}");
    }
}

#[tokio::test]
async fn the_transmitter_learns_whose_fault_it_is() {
    for (outcome, status) in
        [(Ok(()), 202), (Err(PushRefusal::Refused("invalid_key")), 400), (Err(PushRefusal::Later), 503)]
    {
        let (service, _) = endpoints(outcome);
        let request = Request::post("/ssf/push/idp")
            .header("content-type", "application/secevent+jwt")
            .header("authorization", "Bearer a token of the stream");
        let answer = service.call(request.body(Body::from("a.b.c")).unwrap()).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{outcome:?}");
        let body = axum::body::to_bytes(axum::body::Body::new(answer.into_body()), 4096).await.unwrap();
        let said = String::from_utf8(body.to_vec()).unwrap();
        match outcome {
            Err(PushRefusal::Refused(code)) => assert!(said.contains(&format!("\"err\":\"{code}\"")), "{said}"),
            Ok(()) | Err(PushRefusal::Later) => assert!(said.is_empty(), "{said}"),
        }
    }
}

const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

/// What is done, by whom, how, where and with what; then the status, and a member of the answer with its value.
type Step = (&'static str, &'static str, &'static str, &'static str, Value, u16, &'static str, Value);

fn changes() -> Vec<Step> {
    let (push, poll) = ("urn:ietf:rfc:8935", "urn:ietf:rfc:8936");
    let only = json!({"events_requested": [REVOKED], "description": "ours"});
    vec![
        ("a stranger", "none", "GET", "/ssf/stream", json!({}), 401, "", json!(null)),
        ("it is there", "polled", "GET", "/ssf/stream", json!({}), 200, "/aud", json!("aud-polled")),
        ("made", "polled", "POST", "/ssf/stream", only.clone(), 201, "/events_delivered", json!([REVOKED])),
        ("made twice", "polled", "POST", "/ssf/stream", only.clone(), 409, "", json!(null)),
        (
            "PATCH keeps what it does not name",
            "polled",
            "PATCH",
            "/ssf/stream",
            json!({"description": "theirs"}),
            200,
            "/events_delivered",
            json!([REVOKED]),
        ),
        ("and changes what it names", "polled", "GET", "/ssf/stream", json!({}), 200, "/description", json!("theirs")),
        (
            "PATCH of another's",
            "polled",
            "PATCH",
            "/ssf/stream",
            json!({"stream_id": "pushed", "description": "x"}),
            404,
            "",
            json!(null),
        ),
        (
            "an unknown event is not delivered",
            "polled",
            "PATCH",
            "/ssf/stream",
            json!({"events_requested": ["urn:x"]}),
            200,
            "/events_delivered",
            json!([]),
        ),
        ("no JSON", "polled", "PATCH", "/ssf/stream", json!("x"), 400, "", json!(null)),
        (
            "another place",
            "polled",
            "PATCH",
            "/ssf/stream",
            json!({"delivery": {"method": push, "endpoint_url": "http://169.254.169.254/"}}),
            400,
            "",
            json!(null),
        ),
        (
            "another place where it is pushed",
            "pushed",
            "PUT",
            "/ssf/stream",
            json!({"delivery": {"method": push, "endpoint_url": "https://else.example"}}),
            400,
            "",
            json!(null),
        ),
        (
            "its own place",
            "pushed",
            "PUT",
            "/ssf/stream",
            json!({"delivery": {"method": push, "endpoint_url": "https://soc.example/ssf"}}),
            200,
            "/delivery/endpoint_url",
            json!("https://soc.example/ssf"),
        ),
        (
            "PUT replaces everything",
            "polled",
            "PUT",
            "/ssf/stream",
            json!({"delivery": {"method": poll}}),
            200,
            "/description",
            json!(null),
        ),
        (
            "and wants everything again",
            "polled",
            "GET",
            "/ssf/stream",
            json!({}),
            200,
            "/events_delivered/0",
            json!(REVOKED),
        ),
    ]
}

fn pauses_and_ends() -> Vec<Step> {
    let only = json!({"events_requested": [REVOKED], "description": "ours"});
    vec![
        ("paused", "polled", "POST", "/ssf/status", json!({"status": "paused"}), 200, "/status", json!("paused")),
        ("no such status", "polled", "POST", "/ssf/status", json!({"status": "asleep"}), 400, "", json!(null)),
        ("it stays so", "polled", "GET", "/ssf/status", json!({}), 200, "/status", json!("paused")),
        ("another's is not", "pushed", "GET", "/ssf/status", json!({}), 200, "/status", json!("enabled")),
        ("verified", "polled", "POST", "/ssf/verify", json!({"state": "s"}), 204, "", json!(null)),
        ("deleted", "polled", "DELETE", "/ssf/stream", json!({}), 204, "", json!(null)),
        ("deleted twice", "polled", "DELETE", "/ssf/stream", json!({}), 404, "", json!(null)),
        ("gone", "polled", "GET", "/ssf/stream", json!({}), 404, "", json!(null)),
        ("gone for changes", "polled", "PATCH", "/ssf/stream", only.clone(), 404, "", json!(null)),
        ("gone for PUT", "polled", "PUT", "/ssf/stream", only.clone(), 404, "", json!(null)),
        ("gone for its status", "polled", "POST", "/ssf/status", json!({"status": "enabled"}), 404, "", json!(null)),
        (
            "gone for polls",
            "polled",
            "POST",
            "/ssf/poll/polled",
            json!({"returnImmediately": true}),
            404,
            "",
            json!(null),
        ),
        ("another's is there", "pushed", "GET", "/ssf/stream", json!({}), 200, "/aud", json!("aud-pushed")),
        ("made anew", "polled", "POST", "/ssf/stream", json!({}), 201, "/description", json!(null)),
        ("enabled again", "polled", "GET", "/ssf/status", json!({}), 200, "/status", json!("enabled")),
    ]
}

async fn managed() -> TowerToHyperService<axum::Router> {
    let hash = |token: &str| {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        hash
    };
    let listening = |name: &str, endpoint: Option<&str>| {
        let endpoint = endpoint.map(str::to_owned);
        let listening = Listening { audience: format!("aud-{name}"), token: Some(hash(name)), endpoint };
        (name.parse::<Name>().unwrap(), listening)
    };
    let receivers = [listening("polled", None), listening("pushed", Some("https://soc.example/ssf"))];
    let transmitting = Transmitting {
        issuer: "https://parapet.example".to_owned(),
        jwks: json!({"keys": []}),
        receivers: receivers.into(),
        outbox: Arc::new(Outbox::new(Database::in_memory().await.unwrap())),
        verify: Arc::new(|_, _| Box::pin(std::future::ready(true))),
    };
    let receive: Receive = Arc::new(|_, _| Box::pin(std::future::ready(Ok(()))));
    let streams = Arc::new(std::collections::BTreeMap::new);
    let parts = SsfParts { streams, receive, transmitting: Some(transmitting) };
    TowerToHyperService::new(router(&Arc::new(parts)))
}

/// A receiver makes, reads, changes, pauses and deletes its own stream, and nobody else's (SSF 1.0, section 8.1).
#[tokio::test]
async fn a_receiver_manages_its_own_stream() {
    let service = managed().await;
    for (step, token, method, path, body, status, member, expected) in changes().into_iter().chain(pauses_and_ends()) {
        let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
        let answer = service.call(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{step}");
        let body = axum::body::to_bytes(axum::body::Body::new(answer.into_body()), 65_536).await.unwrap();
        if !member.is_empty() {
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body.pointer(member), Some(&expected), "{step}: {body}");
        }
    }
}
