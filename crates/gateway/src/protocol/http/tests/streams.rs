//! What takes its time: HTTP/2, uploads, server-sent events, changes of protocol, and what becomes of them when a session is
//! cut.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kernel::ports::LiveSessions as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use wire::detect::Detector;
use wire::http::json_mask::Detect;

use super::bed::{Bed, ok, request, token, until};
use super::check;
use crate::protocol::http::connection::Caller;
use crate::protocol::http::exchange::exchange;

fn by_http2(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://payments.internal{path}"))
        .header("authorization", format!("Bearer {}", token("bot")))
        .body(Full::default())
        .unwrap()
}

/// Each request allocates it and moves it; what is seldom needed is boxed instead.
#[test]
fn the_future_of_an_exchange_is_small() {
    fn size<C, R, B, F>(_exchange: impl Fn(C, R, B) -> F) -> usize {
        size_of::<F>()
    }
    let size = size(|caller: Arc<Caller>, request, busy| async move { exchange(&caller, request, busy).await });
    assert!(size < 6000, "{size} bytes");
}

#[tokio::test]
async fn http2_streams_share_a_session() {
    let bed = Bed::new().await;
    bed.tripwire.answer(ok(r#"{"a":1}"#));
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(bed.connect(true))).await.unwrap();
    bed.tasks.spawn("client's connection", async move { drop(connection.await) });
    let all = (0..20).map(|number| sender.send_request(by_http2(&format!("/v1/open/{number}"))));
    for answer in futures_util::future::join_all(all).await {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.headers().contains_key("parapet-decision"));
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), r#"{"a":1}"#);
    }
    let denied = sender.send_request(by_http2("/v1/secrets")).await.unwrap();
    assert_eq!(denied.status(), StatusCode::FORBIDDEN);
    assert_eq!(bed.sessions.list().len(), 1);
}

#[tokio::test]
async fn a_cut_ends_what_streams() {
    let bed = Bed::new().await;
    let never = Arc::new(Notify::new());
    *bed.tripwire.hold.lock().unwrap() = Some(Arc::clone(&never));
    bed.tripwire.answer(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\n",
    );
    let mut client = bed.connect(false);
    client.write_all(request("GET /v1/open/events", "", "").as_bytes()).await.unwrap();
    check(&until(&mut client, "data: a").await, &["200 OK"]);
    let open = bed.sessions.list();
    assert_eq!(open.len(), 1);
    assert!(bed.sessions.kill(open[0].id));
    let mut rest = Vec::new();
    drop(client.read_to_end(&mut rest).await);
    assert!(!String::from_utf8_lossy(&rest).contains("0\r\n\r\n"), "a cut answer must not look whole");
    while !bed.sessions.list().is_empty() {
        tokio::task::yield_now().await;
    }
    check(&bed.house.entries().join("\n"), &["killed"]);
}

#[tokio::test]
async fn a_quarantined_workload_is_refused_in_the_middle_of_its_connection() {
    let bed = Bed::new().await;
    let mut client = bed.connect(false);
    client.write_all(request("GET /v1/open/a", "", "").as_bytes()).await.unwrap();
    check(&until(&mut client, "{}").await, &["200 OK"]);
    bed.house.quarantine_bot();
    client.write_all(request("GET /v1/open/b", "", "").as_bytes()).await.unwrap();
    check(&until(&mut client, "}").await, &["HTTP/1.1 403", "quarantined"]);
    assert!(!bed.tripwire.heard().contains("/v1/open/b"));
}

#[tokio::test]
async fn uploads_stream_and_wait_for_the_permit() {
    let bed = Bed::new().await;
    let mut client = bed.connect(false);
    let more = "transfer-encoding: chunked\r\nexpect: 100-continue\r\n";
    client.write_all(request("POST /v1/upload", more, "").as_bytes()).await.unwrap();
    check(&until(&mut client, "\r\n\r\n").await, &["HTTP/1.1 100 Continue"]);
    let part = "x".repeat(4096);
    for _ in 0..100 {
        client.write_all(format!("1000\r\n{part}\r\n").as_bytes()).await.unwrap();
    }
    client.write_all(b"0\r\n\r\n").await.unwrap();
    check(&until(&mut client, "{}").await, &["HTTP/1.1 200"]);
    let heard = bed.tripwire.heard();
    assert_eq!(heard.matches('x').count(), 409_600, "every byte arrives, and no `expect`");
    // A denial needs no body.
    let mut client = bed.connect(false);
    client.write_all(request("POST /v1/secrets", more, "").as_bytes()).await.unwrap();
    let said = until(&mut client, "}").await;
    assert!(said.starts_with("HTTP/1.1 403"), "{said}");
}

/// What comes behind a request for another protocol, before the answer, are no frames yet.
#[tokio::test]
async fn nothing_comes_before_a_change_of_protocol() {
    let bed = Bed::new().await;
    let more = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\nsec-websocket-version: 13\r\n";
    let early = format!("{}GET /v1/secrets HTTP/1.1\r\n\r\n", request("GET /v1/open/socket", more, ""));
    let said = bed.talk(&early).await;
    assert!(!said.contains("101"), "{said}");
    assert!(!bed.tripwire.heard().contains("/v1/secrets"));
}

#[tokio::test]
async fn policies_that_change_under_a_request_see_all_that_they_read() {
    let bed = Bed::new().await;
    let mut client = bed.connect(false);
    let body = r#"{"total":500}"#;
    let upload = request("POST /v1/upload", "content-type: application/json\r\n", body);
    client.write_all(upload.as_bytes()).await.unwrap();
    check(&until(&mut client, "{}").await, &["HTTP/1.1 200"]);
    // No policy has read the body so far. One that does comes between the look at what is read and the judgement.
    bed.house.reload_after_next_look(
        "@id(\"new\") forbid(principal, action, resource == Endpoint::\"payments/v1/upload\")
         when { context.amounts.hasTag(\"total\") && context.amounts.getTag(\"total\") > 100 };",
    );
    client.write_all(upload.as_bytes()).await.unwrap();
    check(&until(&mut client, "}").await, &["HTTP/1.1 403", "new"]);
    assert_eq!(bed.tripwire.heard().matches("POST /v1/upload").count(), 1);
}

#[tokio::test]
async fn a_token_that_is_revoked_or_has_ended_ends_its_session() {
    let bed = Bed::new().await;
    let mut client = bed.connect(false);
    let open = request("GET /v1/open/a", "", "");
    client.write_all(open.as_bytes()).await.unwrap();
    check(&until(&mut client, "{}").await, &["HTTP/1.1 200"]);
    bed.house.revoke("bot");
    bed.native.cut("bot");
    client.write_all(open.as_bytes()).await.unwrap();
    check(&until(&mut client, "}").await, &["HTTP/1.1 401"]);

    let bed = Bed::new().await;
    let mut client = bed.connect(false);
    client.write_all(open.as_bytes()).await.unwrap();
    check(&until(&mut client, "{}").await, &["HTTP/1.1 200"]);
    bed.house.pass(std::time::Duration::from_secs(3601));
    client.write_all(open.as_bytes()).await.unwrap();
    check(&until(&mut client, "}").await, &["HTTP/1.1 401"]);
    assert_eq!(bed.tripwire.heard().matches("GET /v1/open/a").count(), 1);
}

/// Who knows the length of an answer does not ask for what follows its last byte.
#[tokio::test]
async fn what_detectors_look_at_ends_and_its_connection_is_used_again() {
    let detector = Arc::new(Detector::new().unwrap());
    let bed = Bed::with(|upstream| upstream.detect = Some((Detect::Signal, detector))).await;
    bed.tripwire.answer(ok(r#"{"note":"ann@example.com"}"#));
    let said = bed.talk(&request("GET /v1/open/7", "", "").repeat(3)).await;
    assert_eq!(said.matches("HTTP/1.1 200").count(), 3, "{said}");
    assert_eq!(bed.tripwire.connections(), 1);
    check(&bed.house.entries().join("\n"), &[r#""detector":"email""#]);
}
