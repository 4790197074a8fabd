//! Raw bytes that two parsers could read in two ways: refused, the connection closed, and nothing at the tripwire.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::bed::{Bed, request, token, until};

/// A head with the credential, and whatever stands in it.
fn raw(head: &str) -> String {
    head.replace("AUTH", &format!("authorization: Bearer {}\r\n", token("bot")))
}

#[tokio::test]
async fn what_has_two_readings_reaches_no_upstream() {
    let bed = Bed::new().await;
    let twin = request("GET /v1/open/twin", "", "");
    for (id, head, status) in [
        (
            "HT01",
            "POST /v1/upload HTTP/1.1\r\nhost: payments.internal\r\nAUTHcontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
        (
            "HT01",
            "POST /v1/upload HTTP/1.1\r\nhost: payments.internal\r\nAUTHcontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
            "400",
        ),
        (
            "HT01",
            "POST /v1/upload HTTP/1.1\r\nhost: payments.internal\r\nAUTHtransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
        ("HT01", "GET /v1/open/x HTTP/1.1\nhost: payments.internal\n\n", "400"),
        ("HT01", "GET /v1/open/x HTTP/1.1\r\nhost: payments.internal\r\nAUTHx: a\r\n b\r\n\r\n", "400"),
        ("HT01", "GET /v1/open/x HTTP/1.1\r\nhost : payments.internal\r\nAUTH\r\n", "400"),
        (
            "HT01",
            "POST /v1/upload HTTP/1.1\r\nhost: payments.internal\r\nAUTHtransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
            "400",
        ),
        ("HT04", "GET /v1/open/%2e%2e/secrets HTTP/1.1\r\nhost: payments.internal\r\nAUTH\r\n", "400"),
        ("HT04", "GET /v1/open/..%2fsecrets HTTP/1.1\r\nhost: payments.internal\r\nAUTH\r\n", "400"),
        ("HT04", "GET /v1/open//secrets HTTP/1.1\r\nhost: payments.internal\r\nAUTH\r\n", "400"),
        ("HT05", "GET http://elsewhere.internal/v1/open/x HTTP/1.1\r\nhost: payments.internal\r\nAUTH\r\n", "400"),
        ("HT05", "GET /v1/open/x HTTP/1.1\r\nhost: payments.internal\r\nhost: elsewhere.internal\r\nAUTH\r\n", "400"),
        ("HT06", "GET /v1/open/x?_method=DELETE HTTP/1.1\r\nhost: payments.internal\r\nAUTH\r\n", "400"),
        ("HT07", "GET /v1/open/x HTTP/1.1\r\nhost: payments.internal\r\nAUTHconnection: authorization\r\n\r\n", "400"),
        (
            "HT08",
            "POST /v1/refunds HTTP/1.1\r\nhost: payments.internal\r\nAUTHcontent-type: application/json\r\ncontent-length: 25\r\n\r\n{\"amount\":1,\"amount\":999}",
            "400",
        ),
        (
            "HT09",
            "POST /v1/refunds HTTP/1.1\r\nhost: payments.internal\r\nAUTHcontent-type: text/plain\r\ncontent-length: 14\r\n\r\n{\"amount\":999}",
            "415",
        ),
        (
            "HT10",
            "POST /v1/refunds HTTP/1.1\r\nhost: payments.internal\r\nAUTHcontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}",
            "415",
        ),
        ("HT11", "TRACE /v1/open/x HTTP/1.1\r\nhost: payments.internal\r\nAUTH\r\n", "405"),
        (
            "HT11",
            "GET /v1/open/x HTTP/1.1\r\nhost: payments.internal\r\nAUTHconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n",
            "400",
        ),
        (
            "HT11",
            "GET /v1/open/x HTTP/1.1\r\nhost: payments.internal\r\nAUTHconnection: upgrade\r\nupgrade: irc/6.9\r\n\r\n",
            "400",
        ),
        ("HT11", "CONNECT payments.internal:443 HTTP/1.1\r\nhost: payments.internal:443\r\nAUTH\r\n", "40"),
    ] {
        // A request behind it is what a smuggler would want to be read by another.
        let said = bed.talk(&format!("{}{twin}", raw(head))).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{id} {head:?}: {said}");
        let heard = bed.tripwire.heard();
        assert!(!heard.contains("secrets") && !heard.contains("999") && !heard.contains("upload"), "{id}: {heard}");
    }
    assert!(bed.talk(&twin).await.starts_with("HTTP/1.1 200 "));
    let entries = bed.house.entries().join("\n");
    for id in ["HT01", "HT04", "HT05", "HT06", "HT07"] {
        assert!(entries.contains(&format!("malformed ({id})")), "{id} is not in the log");
    }
}

#[tokio::test]
async fn the_answers_before_a_broken_request_are_given() {
    let bed = Bed::new().await;
    let good = request("GET /v1/open/good", "", "");
    let said = bed.talk(&format!("{good}GET /v1/open/x HTTP/1.1\nhost: payments.internal\n\n")).await;
    let answers: Vec<&str> = said.split("HTTP/1.1 ").skip(1).collect();
    assert_eq!(answers.len(), 2, "{said}");
    assert!(answers[0].starts_with("200 ") && answers[1].starts_with("400 "), "{said}");
    assert_eq!(bed.tripwire.heard().matches("HTTP/1.1").count(), 1);
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_no_whole_request_upstream() {
    let bed = Bed::new().await;
    let head = request("POST /v1/upload", "transfer-encoding: chunked\r\n", "");
    let said = bed.talk(&format!("{head}5\r\nhello\r\nzz\r\n")).await;
    assert!(!said.contains(" 200 "), "{said}");
    let heard = bed.tripwire.heard();
    assert!(!heard.contains("0\r\n\r\n"), "the upstream got an end that the client never sent: {heard}");
}

#[tokio::test]
async fn a_body_that_breaks_while_it_is_read_is_entered_once() {
    let bed = Bed::new().await;
    let more = "content-type: application/json\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n";
    let mut client = bed.connect(false);
    client.write_all(request("POST /v1/refunds", more, "").as_bytes()).await.unwrap();
    until(&mut client, "100 Continue").await;
    client.write_all(b"zz\r\n").await.unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    assert!(said.contains("HTTP/1.1 400 ") && said.contains("PAR0220"), "{said}");
    let entries = bed.house.entries();
    let about = |entry: &&String| entry.contains("ambiguous_framing") || entry.contains("malformed");
    assert_eq!(entries.iter().filter(about).count(), 1, "{entries:#?}");
    assert_eq!(bed.tripwire.heard(), "");
}

/// HT06: a short body is looked through before anything of it goes on, a long one as it passes.
#[tokio::test]
async fn no_body_overrides_the_method() {
    let bed = Bed::new().await;
    let parts = "--b\r\nContent-Disposition: form-data; name=\"_method\"\r\n\r\nDELETE\r\n--b--\r\n";
    for (kind, body, twin) in [
        ("application/x-www-form-urlencoded", "a=1&_method=DELETE", "a=1&method=DELETE"),
        ("application/json", r#"{"a":1,"_method":"DELETE"}"#, r#"{"a":1,"method":"DELETE"}"#),
        ("multipart/form-data; boundary=b", parts, &parts.replace("_method", "method")),
    ] {
        let more = format!("content-type: {kind}\r\n");
        let before = bed.tripwire.heard();
        let said = bed.talk(&request("POST /v1/upload", &more, body)).await;
        assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("PAR0225"), "{kind}: {said}");
        assert_eq!(bed.tripwire.heard(), before, "{kind}");
        let said = bed.talk(&request("POST /v1/upload", &more, twin)).await;
        assert!(said.starts_with("HTTP/1.1 200 "), "{kind}: {said}");
    }
    // Of a body whose length nobody knows, the upstream gets no end.
    let more = "content-type: application/x-www-form-urlencoded\r\ntransfer-encoding: chunked\r\n";
    let before = bed.tripwire.heard();
    let said =
        bed.talk(&format!("{}12\r\na=1&_method=DELETE\r\n0\r\n\r\n", request("POST /v1/upload", more, ""))).await;
    assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("PAR0225"), "{said}");
    let heard = bed.tripwire.heard().replacen(&before, "", 1);
    assert!(!heard.contains("_method") && !heard.contains("0\r\n\r\n"), "{heard}");
}
