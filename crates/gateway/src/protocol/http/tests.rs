//! The reverse gateway between a client on a pipe and a tripwire on loopback: what passes, what is refused, and that nothing
//! reaches the upstream without an entry.

mod bed;
mod echo;
mod hostile;
mod masked;
mod streams;
mod websocket;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use self::bed::{Bed, ok, request, token, typed, unchunked, until};

/// What must stand in an answer, or begin it.
fn check(said: &str, expected: &[&str]) {
    for wanted in expected {
        assert!(said.contains(wanted), "`{wanted}` is not in:\n{said}");
    }
}

#[tokio::test]
async fn a_request_is_logged_in_judged_entered_forwarded_and_answered() {
    let bed = Bed::new().await;
    bed.tripwire.answer(ok(r#"{"id":7}"#));
    let more =
        "accept: */*\r\ncookie: a=b\r\nx-forwarded-for: 1.2.3.4\r\nx-http-method-override: DELETE\r\nx-mine: 1\r\n";
    let said = bed.talk(&request("GET /v1/open/a%62c?x=1", more, "")).await;
    check(&said, &["HTTP/1.1 200 OK\r\n", "parapet-decision: dec_", "content-type: application/json", r#"{"id":7}"#]);
    let heard = bed.tripwire.heard();
    assert!(heard.starts_with("GET /v1/open/abc?x=1 HTTP/1.1\r\nhost: 127.0.0.1:"), "{heard}");
    check(&heard, &["accept: */*\r\n", "x-mine: 1\r\n"]);
    for secret in ["authorization", "cookie", "forwarded", "override", &token("bot")] {
        assert!(!heard.contains(secret), "`{secret}` reached the upstream:\n{heard}");
    }
    let entries = bed.house.entries();
    check(&entries.join("\n"), &["\"workload\":\"bot\"", "/v1/open/{path...}", "session_ended"]);
    // The login, connecting, the request, the end.
    assert_eq!(entries.len(), 4, "{entries:#?}");
    assert!(!entries.join("\n").contains(&token("bot")));
}

#[tokio::test]
async fn denials_keep_the_connection_and_reach_no_upstream() {
    let bed = Bed::new().await;
    let first = request("GET /v1/secrets", "", "");
    let large = request("POST /v1/refunds", "content-type: application/json\r\n", r#"{"amount":500}"#);
    let small = request("POST /v1/refunds", "content-type: application/json\r\n", r#"{"amount":50}"#);
    let unknown = request("GET /v1/nowhere", "", "");
    let said = bed.talk(&[first, large, unknown, small].concat()).await;
    let answers: Vec<&str> = said.split("HTTP/1.1 ").skip(1).collect();
    assert_eq!(answers.len(), 4, "{said}");
    check(answers[0], &["403 Forbidden", "application/problem+json", "cache-control: no-store", "no-secrets"]);
    check(
        answers[1],
        &["403 Forbidden", "no-large-refunds", "refunds above 100 are for people", "\"retryable\":false"],
    );
    check(answers[2], &["403 Forbidden", "PAR0224"]);
    check(answers[3], &["200 OK"]);
    let heard = bed.tripwire.heard();
    assert_eq!(heard.matches("HTTP/1.1").count(), 1, "{heard}");
    check(&heard, &["POST /v1/refunds", r#"{"amount":50}"#]);
    assert!(!bed.house.entries().join("\n").contains("500"), "a literal stands in the log");
}

#[tokio::test]
async fn strangers_learn_nothing() {
    let bed = Bed::new().await;
    let line = "GET /v1/open/x HTTP/1.1\r\nhost: payments.internal\r\n";
    for (authorization, expected) in [
        (String::new(), "401"),
        ("authorization: Bearer nonsense\r\n".to_owned(), "401"),
        (format!("authorization: Bearer {}\r\n", token("unknown")), "401"),
        ("authorization: Digest username=\"x\"\r\n".to_owned(), "401"),
        (format!("authorization: DPoP {}\r\n", token("bot")), "401"),
        ("authorization: Basic bm8tY29sb24=\r\n".to_owned(), "401"),
        // Known, and permitted nothing here.
        (format!("authorization: Bearer {}\r\n", token("other")), "403"),
    ] {
        let said = bed.talk(&format!("{line}{authorization}\r\n")).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {expected} ")), "{authorization}: {said}");
        if expected == "401" {
            check(&said, &["www-authenticate: Bearer", "\"detail\":\"not authenticated"]);
        }
        assert!(!said.contains("ppt_") && !said.contains("payments"), "{said}");
    }
    // What there is not and what is not permitted look the same.
    let bearer = token("other");
    let elsewhere = format!("GET / HTTP/1.1\r\nhost: nowhere.internal\r\nauthorization: Bearer {bearer}\r\n\r\n");
    let said = bed.talk(&elsewhere).await;
    check(&said, &["HTTP/1.1 403", "blocked [ses_"]);
    assert_eq!(bed.tripwire.connections(), 0);
}

#[tokio::test]
async fn basic_credentials_carry_a_token_and_a_name() {
    use base64::Engine as _;
    let bed = Bed::new().await;
    for (name, expected) in [("bot", "200"), ("", "200"), ("other", "401")] {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{}", token("bot")));
        let head = format!("GET /v1/open/x HTTP/1.1\r\nhost: payments.internal\r\nauthorization: Basic {pair}\r\n\r\n");
        let said = bed.talk(&head).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {expected} ")), "{name}: {said}");
    }
}

#[tokio::test]
async fn one_connection_has_one_session_for_each_credential() {
    let bed = Bed::new().await;
    let mine = request("GET /v1/open/x", "", "");
    let said = bed.talk(&[mine.clone(), mine.clone(), mine].concat()).await;
    assert_eq!(said.matches("HTTP/1.1 200").count(), 3, "{said}");
    assert_eq!(bed.tripwire.connections(), 1, "one connection upstream serves them all");
    let entries = bed.house.entries();
    assert_eq!(entries.len(), 1 + 1 + 3 + 1, "{entries:#?}");
    // The next connection finds the one that the first has left.
    let said = bed.talk(&request("GET /v1/open/x", "", "")).await;
    check(&said, &["HTTP/1.1 200"]);
    assert_eq!(bed.tripwire.connections(), 1);
}

#[tokio::test]
async fn requests_that_are_alike_are_told_apart_by_what_policy_sees() {
    let bed = Bed::new().await;
    let open = |method: &str| request(&format!("{method} /v1/open/same"), "", "");
    // The same path by other methods, and another path to the same endpoint: each is judged as what it is.
    let said = bed.talk(&[open("GET"), open("GET"), open("DELETE"), open("GET")].concat()).await;
    assert_eq!(said.matches("HTTP/1.1 200").count(), 4, "{said}");
    let entries = bed.house.entries().join("\n");
    check(&entries, &["http:GET", "http:DELETE"]);
    // Two amounts to one endpoint are never alike.
    let refund = |amount: u32| {
        let body = format!("{{\"amount\":{amount}}}");
        request("POST /v1/refunds", "content-type: application/json\r\n", &body)
    };
    let said = bed.talk(&[refund(50), refund(500), refund(50)].concat()).await;
    let answers: Vec<&str> = said.split("HTTP/1.1 ").skip(1).map(|answer| answer.get(..3).unwrap()).collect();
    assert_eq!(answers, ["200", "403", "200"], "{said}");
}

#[tokio::test]
async fn nothing_is_sent_that_does_not_stand_in_the_log() {
    let bed = Bed::new().await;
    let mut client = bed.connect(false);
    client.write_all(request("GET /v1/open/x", "", "").as_bytes()).await.unwrap();
    check(&until(&mut client, "{}").await, &["200 OK"]);
    bed.house.break_log();
    client.write_all(request("GET /v1/open/y", "", "").as_bytes()).await.unwrap();
    let said = until(&mut client, "PAR0210").await;
    check(&said, &["HTTP/1.1 503", "PAR0210"]);
    assert!(!said.to_ascii_lowercase().contains("retry-after"), "{said}");
    let said = bed.talk(&request("GET /v1/open/z", "", "")).await;
    check(&said, &["HTTP/1.1 503"]);
    let heard = bed.tripwire.heard();
    assert!(!heard.contains("/y") && !heard.contains("/z"), "{heard}");
}

#[tokio::test]
async fn people_approve_exact_content() {
    let bed = Bed::new().await;
    let kind = "content-type: application/json\r\n";
    let payout = |more: &str, body: &str| request("POST /v1/payouts", &format!("{kind}{more}"), body);
    let said = bed.talk(&payout("", r#"{"to":"a"}"#)).await;
    check(&said, &["HTTP/1.1 403", "approval-required", "apr_", "\"poll\"", "payouts"]);
    assert_eq!(bed.tripwire.connections(), 0);
    let asked = bed.house.approvals();
    assert_eq!(asked.len(), 1);
    check(&asked[0].asked.text, &["POST /v1/payouts\n", "content-type: application/json", r#"{"to":"a"}"#]);
    let first = asked[0].id.to_string();
    // The same content joins it; another is another request, and the approval that is named is not for it.
    check(&bed.talk(&payout("", r#"{"to":"a"}"#)).await, &["403", &first]);
    let named = format!("parapet-approval: {first}\r\n");
    check(&bed.talk(&payout(&named, r#"{"to":"b"}"#)).await, &["HTTP/1.1 412", "grant-mismatch"]);
    assert_eq!(bed.house.approvals().len(), 2);
    bed.house.approve_all();
    check(&bed.talk(&payout(&named, r#"{"to":"a"}"#)).await, &["HTTP/1.1 200"]);
    check(&bed.tripwire.heard(), &[r#"{"to":"a"}"#]);
    assert!(!bed.tripwire.heard().contains(r#"{"to":"b"}"#));
    // Once.
    check(&bed.talk(&payout("", r#"{"to":"a"}"#)).await, &["403", "approval-required"]);
}

#[tokio::test]
async fn who_prefers_to_wait_gets_the_answer() {
    let bed = Bed::new().await;
    let mut client = bed.connect(false);
    let payout = request("POST /v1/payouts", "prefer: wait=20\r\n", "x");
    client.write_all(payout.as_bytes()).await.unwrap();
    while bed.house.approvals().is_empty() {
        tokio::task::yield_now().await;
    }
    bed.house.approve_all();
    check(&until(&mut client, "{}").await, &["HTTP/1.1 200"]);
    // A client that leaves takes nothing with it: the grant waits for the next one.
    let mut gone = bed.connect(false);
    let payout = request("POST /v1/payouts", "prefer: wait=20\r\n", "y");
    gone.write_all(payout.as_bytes()).await.unwrap();
    while bed.house.approvals().len() < 2 {
        tokio::task::yield_now().await;
    }
    gone.shutdown().await.unwrap();
    check(&until(&mut gone, "approval-required").await, &["403"]);
    bed.house.approve_all();
    let payout = request("POST /v1/payouts", "", "y");
    check(&bed.talk(&payout).await, &["HTTP/1.1 200"]);
}

#[tokio::test]
async fn a_grant_outlives_a_change_of_policies() {
    // These read what no policy read when the request's facts were found; the last one asks for more than was granted.
    for (more, expected) in [
        (
            "@id(\"never\") forbid (principal, action == Action::\"http:POST\", resource) when { context.http.path == \"/never\" };",
            "200",
        ),
        (
            "@id(\"now\") forbid (principal, action == Action::\"http:POST\", resource) when { context.http.path == \"/v1/payouts\" };",
            "403",
        ),
        (
            "@id(\"more\") @approve(\"ops\") forbid (principal, action == Action::\"http:POST\", resource) when { context.http.path == \"/v1/payouts\" };",
            "412",
        ),
    ] {
        let bed = Bed::new().await;
        let mut client = bed.connect(false);
        let payout = request("POST /v1/payouts", "prefer: wait=20\r\n", "x");
        client.write_all(payout.as_bytes()).await.unwrap();
        // Once it stands in the log that people are asked, the request waits for them.
        while !bed.house.entries().iter().any(|entry| entry.contains("apr_")) {
            tokio::task::yield_now().await;
        }
        bed.house.reload(more);
        bed.house.approve_all();
        check(&until(&mut client, "}").await, &[&format!("HTTP/1.1 {expected}")]);
        // Nobody is asked twice for what was granted.
        assert_eq!(bed.house.approvals().len(), 1, "{more}");
        assert_eq!(bed.tripwire.connections(), u64::from(expected == "200"), "{more}");
    }
}

#[tokio::test]
async fn what_is_approved_draws_on_budgets() {
    let bed = Bed::new().await;
    let once =
        "@id(\"once\") @limit(\"per=1/1h\") forbid (principal, action, resource == Endpoint::\"payments/v1/payouts\");";
    bed.house.reload(once);
    for (body, expected) in [("x", "HTTP/1.1 200"), ("y", "HTTP/1.1 429")] {
        let payout = request("POST /v1/payouts", "", body);
        check(&bed.talk(&payout).await, &["403", "approval-required"]);
        bed.house.approve_all();
        check(&bed.talk(&payout).await, &[expected]);
    }
}

#[tokio::test]
async fn limits_say_what_they_are() {
    let bed = Bed::new().await;
    let rare = request("GET /v1/rare", "", "");
    let said = bed.talk(&[rare.clone(), rare.clone(), rare].concat()).await;
    let answers: Vec<&str> = said.split("HTTP/1.1 ").skip(1).collect();
    check(answers[1], &["200 OK"]);
    check(answers[2], &["429 ", "retry-after: 3600\r\n", "over-budget"]);
    bed.tripwire.answer(ok(&"x".repeat(101)));
    let said = bed.talk(&request("GET /v1/capped", "", "")).await;
    check(&said, &["HTTP/1.1 403", "parapet-limited: bytes=100"]);
    assert!(!said.contains("xxxx"), "{said}");
    // Where the length is not said, the answer breaks off.
    bed.tripwire
        .answer(format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n{}", "y".repeat(300)));
    let said = bed.talk(&request("GET /v1/capped", "", "")).await;
    assert!(said.matches('y').count() <= 100 && !said.ends_with("0\r\n\r\n"), "{said}");
}

#[tokio::test]
async fn values_of_classed_fields_are_replaced() {
    let bed = Bed::new().await;
    let canary = "ada@canary.example";
    let body = format!(r#"{{"id":1,"email":"{canary}","customers":[{{"email":"{canary}","n":"Ada"}}]}}"#);
    let gzip = {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let compressed = |coding: &str| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\netag: \"e\"\r\ncontent-encoding: ";
        let mut answer = format!("{head}{coding}\r\ncontent-length: {}\r\n\r\n", gzip.len()).into_bytes();
        answer.extend_from_slice(&gzip);
        answer
    };
    let events = format!("event: a\ndata: {{\"email\":\"{canary}\"}}\n\n");
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\ntrailer: x-t\r\n\r\n{}0\r\nx-t: {canary}\r\n\r\n",
        body.as_bytes()
            .chunks(5)
            .map(|part| format!("{:x}\r\n{}\r\n", part.len(), String::from_utf8_lossy(part)))
            .collect::<String>()
    );
    let passes: &[&str] = &["HTTP/1.1 200", "cache-control: no-store", "parapet-masked: ", "\"n\":\"Ada\""];
    let withheld: &[&str] = &["HTTP/1.1 503", "PAR0212"];
    for (answer, expected) in [
        (ok(&body).into_bytes(), passes),
        (chunked.into_bytes(), passes),
        (compressed("gzip"), passes),
        (typed("text/event-stream", &events).into_bytes(), &["HTTP/1.1 200", "event: a", "parapet-masked"]),
        (compressed("gzip, gzip"), withheld),
        (compressed("pack"), withheld),
        (typed("text/html", &body).into_bytes(), withheld),
        (typed("application/json; charset=utf-16", &body).into_bytes(), withheld),
    ] {
        bed.tripwire.answer(answer.clone());
        let more = "accept-encoding: gzip, br\r\nrange: bytes=0-3\r\nif-none-match: \"e\"\r\n";
        let said = unchunked(&bed.talk(&request("GET /v1/customers/7", more, "")).await);
        check(&said, expected);
        assert!(!said.contains("canary"), "{}: {said}", String::from_utf8_lossy(&answer));
        assert!(!said.contains("etag") && !said.contains("content-length: 1234"), "{said}");
    }
    let heard = bed.tripwire.heard();
    check(&heard, &["accept-encoding: identity\r\n"]);
    assert!(!heard.contains("range") && !heard.contains("if-none-match") && !heard.contains("gzip"), "{heard}");
    // What looks like JSON and is none stops before the rest of it leaves.
    bed.tripwire.answer(ok(&format!("{{'email':'{canary}'}}")));
    let said = bed.talk(&request("GET /v1/customers/7", "", "")).await;
    assert!(!said.contains("canary"), "{said}");
}

#[tokio::test]
async fn a_failing_upstream_is_said_to_fail() {
    let bed = Bed::new().await;
    for (answer, expected) in [
        ("SSH-2.0-OpenSSH_10.0\r\n", "502"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\nconnection: close\r\n\r\nab", "502"),
        ("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", "302"),
        (
            "HTTP/1.1 200 OK\r\nset-cookie: a=b\r\nparapet-decision: forged\r\nalt-svc: h3\r\ncontent-length: 0\r\n\r\n",
            "200",
        ),
    ] {
        bed.tripwire.answer(answer);
        let said = bed.talk(&request("GET /v1/open/x", "", "")).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {expected} ")), "{answer}: {said}");
        assert!(!said.contains("forged") && !said.contains("set-cookie") && !said.contains("alt-svc"), "{said}");
    }
    let mut client = bed.connect(false);
    let mut rest = Vec::new();
    drop(client.shutdown().await);
    client.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "who says nothing hears nothing");
}
