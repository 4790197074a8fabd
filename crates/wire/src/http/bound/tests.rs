//! Which change makes another request of one, to people.

use http::Request;
use http::header::HOST;

use super::*;
use crate::http::head::Arrived;

fn bound(line: &str, headers: &[(&str, &str)], body: &[u8]) -> Bound {
    let (method, target) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(target).header(HOST, "payments.internal");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    Bound::of(&Head::read(&parts, Arrived { h2: false, sni: None, tls: true }).unwrap(), body)
}

const LINE: &str = "POST /v1/payouts?dry=1";
const HEADERS: [(&str, &str); 2] = [("content-type", "application/json"), ("stripe-account", "acct_1")];
const BODY: &[u8] = br#"{"to":"a"}"#;

#[test]
fn whatever_may_mean_something_is_bound() {
    let first = bound(LINE, &HEADERS, BODY);
    assert_eq!(
        first.text,
        "POST /v1/payouts?dry=1\ncontent-type: application/json\nstripe-account: (6 bytes)\n\n{\"to\":\"a\"}"
    );
    assert!(!first.text.contains("acct_1"), "a header may hold a secret");
    let kind = HEADERS[0];
    for (line, headers, body) in [
        ("PUT /v1/payouts?dry=1", &HEADERS[..], BODY),
        ("POST /v1/payout?dry=1", &HEADERS, BODY),
        ("POST /v1/payouts?dry=2", &HEADERS, BODY),
        ("POST /v1/payouts", &HEADERS, BODY),
        (LINE, &HEADERS, br#"{"to":"b"}"#),
        (LINE, &HEADERS, b""),
        (LINE, &[("content-type", "text/json"), HEADERS[1]], BODY),
        (LINE, &[kind, ("stripe-account", "acct_2")], BODY),
        (LINE, &[kind], BODY),
        (LINE, &[kind, HEADERS[1], ("content-encoding", "gzip")], BODY),
        (LINE, &[kind, HEADERS[1], HEADERS[1]], BODY),
        (LINE, &[kind, HEADERS[1], ("x-amz-target", "secretsmanager.GetSecretValue")], BODY),
        (LINE, &[kind, HEADERS[1], ("if-match", "\"1\"")], BODY),
        (LINE, &[kind, HEADERS[1], ("x-new", "")], BODY),
    ] {
        assert_ne!(bound(line, headers, body), first, "{line} {headers:?} {body:?}");
    }
}

#[test]
fn what_says_nothing_of_the_request_is_not() {
    let first = bound(LINE, &HEADERS, BODY);
    for more in [
        ("user-agent", "curl/8"),
        ("accept", "*/*"),
        ("idempotency-key", "k"),
        ("traceparent", "00-1-2-01"),
        ("content-length", "10"),
        ("sec-fetch-mode", "cors"),
        ("amz-sdk-invocation-id", "1"),
        ("prefer", "respond-async, wait=5"),
        ("authorization", "Bearer x"),
        ("parapet-approval", "apr_1"),
    ] {
        assert_eq!(bound(LINE, &[HEADERS[1], HEADERS[0], more], BODY), first, "{more:?}");
    }
}

#[test]
fn long_and_binary_bodies_are_bound_unseen() {
    let long = vec![b'a'; SHOWN + 1];
    let mut other = long.clone();
    other[SHOWN] = b'b';
    let (one, two) = (bound(LINE, &[], &long), bound(LINE, &[], &other));
    assert_eq!((one.text.as_str(), &two.text), ("POST /v1/payouts?dry=1\n\n(16385 bytes)", &one.text));
    assert_ne!(one.values, two.values);
    assert_eq!(bound(LINE, &[], b"\xff").text, "POST /v1/payouts?dry=1\n\n(1 bytes)");
}
