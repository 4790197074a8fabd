//! Who may push, and what they are told.

use std::sync::Mutex;

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use axum::http::Request;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

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
    let parts = SsfParts { streams: [("idp".parse().unwrap(), hash)].into(), receive, transmitting: None };
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
