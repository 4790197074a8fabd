//! What the verbs do, noun by noun, and the server itself.

use super::*;
use crate::app::approvals::visible;

#[tokio::test]
async fn workloads_are_quarantined_and_released() {
    let house = house().await;
    let reason = json!({ "reason": "odd hours" });
    assert_eq!(house.call("ann", "POST", "/v1/workloads/triage/quarantine", reason.clone()).await.0, 200);
    let (_, shown) = house.get("eve", "/v1/workloads/triage").await;
    assert_eq!((&shown["status"], &shown["standing"]["by"]), (&json!("quarantined"), &json!("ann@example.com")));
    assert_eq!((&shown["expires"], &shown["sessions"]), (&json!("2026-11-22T04:00:00.000Z"), &json!(2)));
    let (status, answer) = house.call("ann", "POST", "/v1/workloads/triage/quarantine", reason.clone()).await;
    assert_eq!((status, &answer["code"]), (409, &json!("PAR0310")));
    assert_eq!(house.call("ann", "POST", "/v1/workloads/triage/release", reason.clone()).await.0, 200);
    assert_eq!(house.get("eve", "/v1/workloads/triage").await.1["status"], "active");
    assert_eq!(house.call("ann", "POST", "/v1/workloads/nobody/quarantine", reason).await.0, 404);
    assert_eq!(house.get("eve", "/v1/workloads").await.1["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn sessions_are_cut_after_it_is_entered() {
    let house = house().await;
    let reason = json!({ "reason": "strange" });
    assert_eq!(house.get("ann", "/v1/sessions").await.1["items"][0]["began"], "2026-11-21T04:00:00.000Z");
    assert_eq!(house.call("ann", "POST", "/v1/sessions/ses_/kill", reason.clone()).await.0, 404);
    assert_eq!(house.call("ann", "POST", "/v1/sessions/ses_D/kill", reason.clone()).await.0, 409);
    let (status, killed) = house.call("ann", "POST", "/v1/sessions/last/kill", reason.clone()).await;
    assert_eq!((status, &killed["id"]), (200, &json!(session(2).id.to_string())));
    assert_eq!(house.call("ann", "POST", "/v1/sessions/ses_D/kill", reason.clone()).await.0, 200);
    assert_eq!(house.call("ann", "POST", "/v1/sessions/last/kill", reason.clone()).await.0, 404);
    assert_eq!(house.entered().await.len(), 2);
    // If the log takes nothing, nothing is done.
    house.log.close().await;
    let (status, answer) = house.call("ann", "POST", "/v1/workloads/triage/quarantine", reason).await;
    assert_eq!((status, &answer["code"]), (503, &json!("PAR0301")));
    assert_eq!(house.get("ann", "/v1/audit").await.1["code"], "PAR0210");
    assert_eq!(house.call("ann", "POST", "/v1/reload", json!({})).await.1["code"], "PAR0210");
}

#[tokio::test]
async fn nobody_approves_their_own_request_and_a_quorum_counts_people() {
    let house = house().await;
    let id = house.ask("a", 2).await;
    let act = |verb: &str| format!("/v1/approvals/{id}/{verb}");
    let (status, answer) = house.call("mara", "POST", &act("approve"), json!({})).await;
    assert_eq!((status, &answer["code"]), (403, &json!("PAR0320")));
    let (status, answer) = house.call("bob", "POST", &act("approve"), json!({ "comment": "fine" })).await;
    assert_eq!((status, &answer["state"], &answer["missing"]["people"]), (200, &json!("asked"), &json!(1)));
    let (status, answer) = house.call("bob", "POST", &act("approve"), json!({})).await;
    assert_eq!((status, &answer["code"]), (409, &json!("PAR0322")));
    assert_eq!(house.call("eve", "POST", &act("approve"), json!({})).await.0, 404);
    assert_eq!(house.call("kim", "POST", &act("withdraw"), json!({})).await.0, 403);
    let (status, answer) = house.call("kim", "POST", &act("approve"), json!({})).await;
    assert_eq!((status, &answer["state"]), (200, &json!("granted")));
    let (status, answer) = house.call("kim", "POST", &act("reject"), json!({ "reason": "too late" })).await;
    assert_eq!((status, &answer["code"]), (409, &json!("PAR0323")));
    let (status, answer) = house.call("kim", "POST", &act("revoke"), json!({ "reason": "wrong table" })).await;
    assert_eq!((status, &answer["state"]), (200, &json!("revoked")));
    // An administrator who is in none of the groups is no approver either: there, Ann is one.
    let other = house.ask("b", 1).await;
    let (status, answer) = house.call("mara", "POST", &format!("/v1/approvals/{other}/withdraw"), json!({})).await;
    assert_eq!((status, &answer["state"]), (200, &json!("withdrawn")));
}

#[tokio::test]
async fn approvals_show_what_the_person_may_see() {
    let house = house().await;
    let id = house.ask("a", 1).await;
    let (status, shown) = house.get("bob", &format!("/v1/approvals/{}", id.get(..12).unwrap())).await;
    assert_eq!(status, 200);
    // A mark that reverses the text is written out.
    assert_eq!(shown["asked"]["text"], "drop table \\u{202e}orders -- '4711'");
    assert_eq!(
        (&shown["asked"]["at"], &shown["expires"]),
        (&json!("2026-11-21T04:00:00.000Z"), &json!("2026-11-21T04:30:00.000Z"))
    );
    assert_eq!(house.get("eve", &format!("/v1/approvals/{id}")).await.0, 404);
    assert_eq!(house.get("eve", "/v1/approvals").await.1["items"], json!([]));
    let (_, listed) = house.get("bob", "/v1/approvals?state=asked&limit=5").await;
    assert_eq!((&listed["items"][0]["id"], &listed["items"][0]["asked"]["text"]), (&json!(id), &Value::Null));
}

#[tokio::test]
async fn a_watcher_hears_of_changes() {
    let house = house().await;
    let (_, now) = house.get("bob", "/v1/approvals/watch").await;
    assert_eq!((&now["items"], &now["next"]), (&json!([]), &json!(0)));
    let ((_, heard), id) = tokio::join!(house.get("bob", "/v1/approvals/watch?since=0"), house.ask("a", 1));
    assert_eq!((&heard["items"][0]["id"], &heard["next"]), (&json!(id), &json!(1)));
    let path = format!("/v1/approvals/{id}/reject");
    let body = json!({ "reason": "no" });
    let ((_, heard), _) =
        tokio::join!(house.get("bob", "/v1/approvals/watch?since=1"), house.call("kim", "POST", &path, body));
    assert_eq!((&heard["items"][0]["state"], &heard["next"]), (&json!("rejected"), &json!(2)));
}

#[tokio::test]
async fn decisions_are_explained_to_those_who_answer_for_them() {
    let house = house().await;
    assert_eq!(house.get("ann", "/v1/decisions/last").await.0, 404);
    let id = DecisionId::new(START, 5).to_string();
    // The kernel makes decisions' entries only from verdicts; this log is written by hand.
    house.log.close().await;
    let entry = format!(
        "{{\"v\":1,\"at\":\"2026-11-21T04:00:00.000Z\",\"kind\":\"decision\",\"decision\":\"{id}\",\
         \"session\":\"ses_1\",\"workload\":\"triage\",\"upstream\":\"shop-db\",\"verdict\":\"deny\"}}"
    );
    let chain = kernel::audit::next_chain_hash(&Default::default(), &kernel::audit::leaf_hash(entry.as_bytes()));
    let mut line = Vec::new();
    kernel::audit::write_record(kernel::audit::LeafIndex(0), &chain, entry.as_bytes(), &mut line);
    std::fs::write(house.dir.join("00000000000000000000.log"), line).unwrap();
    for (who, named, expected) in [
        ("ann", "last", 200),
        ("mara", "last", 200),
        ("mara", id.as_str(), 200),
        ("ann", id.get(..9).unwrap(), 200),
        ("bob", id.as_str(), 404),
        ("ann", "dec_ZZ", 404),
        ("ann", "first", 400),
    ] {
        let (status, answer) = house.get(who, &format!("/v1/decisions/{named}")).await;
        assert_eq!(status, expected, "{who} {named}: {answer}");
        if status == 200 {
            assert_eq!((&answer["verdict"], &answer["seq"]), (&json!("deny"), &json!(0)));
            assert_eq!(
                (&answer["chain"], &answer["explanation"]["passes_if"]),
                (&json!(chain.to_string()), &json!("never"))
            );
        }
    }
    let body = |who: &str| json!({ "as": who, "on": "shop-db", "sql": "drop table orders" });
    let (status, answer) = house.call("eve", "POST", "/v1/decide", body("triage")).await;
    assert_eq!((status, &answer["verdict"], &answer["dry_run"]), (200, &json!("deny"), &json!(true)));
    assert_eq!(house.call("eve", "POST", "/v1/decide", body("nobody")).await.0, 404);
}

#[tokio::test]
async fn reading_the_log_is_entered_in_it() {
    let house = house().await;
    let (_, head) = house.get("ann", "/v1/audit/head").await;
    assert_eq!((&head["size"], &head["writable"]), (&json!(1), &json!(true)));
    house.clock.advance(Duration::from_secs(1));
    let (_, found) = house.get("ann", "/v1/audit?kind=admin&order=oldest&text=4711&since=1795233600000&limit=10").await;
    assert_eq!(found["items"], json!([]));
    let (_, found) = house.get("ann", "/v1/audit?until=2026-11-21T04:00:01Z").await;
    assert_eq!((found["items"].as_array().unwrap().len(), &found["items"][0]["action"]), (1, &json!("audit head")));
    assert_eq!(found["items"][0]["chain"].as_str().unwrap().len(), 64);
    // What was searched for is there, but not the text, which may be data.
    assert_eq!(
        house.entered().await,
        [
            "ann@example.com audit head audit -",
            "ann@example.com audit search kind=admin since=2026-11-21T04:00:00.000Z text -",
            "ann@example.com audit search until=2026-11-21T04:00:01.000Z -",
        ]
    );
}

#[tokio::test]
async fn a_reload_that_fails_says_every_mistake() {
    let house = house().await;
    let (status, answer) = house.call("ann", "POST", "/v1/reload", json!({})).await;
    assert_eq!(
        (status, &answer["code"], &answer["errors"]),
        (422, &json!("PAR0327"), &json!([{ "message": "unknown key" }]))
    );
    let (_, status) = house.get("eve", "/v1/status").await;
    assert_eq!((&status["epoch"], &status["person"]["name"]), (&json!(7), &json!("eve@example.com")));
    assert_eq!(status["listeners"][0]["address"], "127.0.0.1:5433");
    let (_, tested) = house.call("ann", "POST", "/v1/upstreams/shop-db/test", json!({})).await;
    assert_eq!((&tested["passed"], &tested["checks"][0]["check"]), (&json!(true), &json!("tcp")));
}

#[test]
fn nothing_hides_in_shown_text() {
    for (text, expected) in [
        ("select 1\n\tfrom t -- ä", "select 1\n\tfrom t -- ä"),
        ("a\u{1b}[2Kb", "a\\u{1b}[2Kb"),
        ("a\u{200b}b\u{2066}c", "a\\u{200b}b\\u{2066}c"),
        ("a\rb\u{9b}c", "a\\u{d}b\\u{9b}c"),
    ] {
        assert_eq!(visible(text), expected);
    }
}

#[tokio::test]
async fn serves_on_loopback_until_it_is_stopped() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    let (parts, dir, tokens, _) = parts().await;
    let everywhere = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let client = async {
        #[expect(clippy::disallowed_methods, reason = "the test's client")]
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head =
            format!("GET /v1/status HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n\r\n", tokens[0].1);
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 15];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, b"HTTP/1.1 200 OK");
        stop.send(()).unwrap();
        // An idle connection is closed, not waited for.
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
    };
    let (served, ()) = tokio::join!(serve(listener, parts, async { drop(stopped.await) }), client);
    assert_eq!(served, Ok(()));
    let (parts, other, ..) = self::parts().await;
    assert_eq!(serve(everywhere, parts, std::future::pending()).await, Err(ServeError::NotLoopback));
    for dir in [dir, other] {
        std::fs::remove_dir_all(dir).unwrap();
    }
}

/// Links in refusals are opened without a token, by browsers, on ids that may not exist: nothing is told but the command.
#[tokio::test]
async fn links_lead_to_a_command_and_tell_nothing() {
    let house = house().await;
    for (path, host, expected, said) in [
        ("/d/dec_01JX8ZQ3", "127.0.0.1:1", 200, "parapet explain dec_01JX8ZQ3"),
        ("/a/apr_01JX8ZQ3", "127.0.0.1:1", 200, "parapet approvals approve apr_01JX8ZQ3"),
        ("/d/dec_01JX8ZQ3", "evil.example", 421, ""),
        ("/d/apr_01JX8ZQ3", "127.0.0.1:1", 404, ""),
        ("/d/dec_", "127.0.0.1:1", 404, ""),
        ("/d/dec_1%0A", "127.0.0.1:1", 404, ""),
        ("/d/dec_%3Cb%3E", "127.0.0.1:1", 404, ""),
    ] {
        let request = Request::get(path).header(header::HOST, host).body(Body::empty()).unwrap();
        let response = house.service.call(request).await.unwrap();
        assert_eq!(response.status(), expected, "{path} {host}");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        let bytes = to_bytes(response.into_body(), 1 << 16).await.unwrap();
        assert!(String::from_utf8_lossy(&bytes).contains(said), "{path}");
    }
}

#[tokio::test]
async fn who_asks_ahead_cannot_approve_it_and_the_workload_takes_the_grant() {
    let house = house().await;
    let ask = |sql: &str| json!({ "as": "triage", "on": "shop-db", "sql": sql, "reason": "the release of Friday" });
    // Ann administers and is a dba; Mara owns the workload. Bob is a dba and neither.
    assert_eq!(house.call("bob", "POST", "/v1/approvals", ask("drop table orders")).await.0, 403);
    for (who, sql) in [("ann", "drop table orders"), ("mara", "drop table items")] {
        let (status, asked) = house.call(who, "POST", "/v1/approvals", ask(sql)).await;
        assert_eq!((status, &asked["state"], &asked["asked"]["text"]), (200, &json!("asked"), &json!(sql)), "{asked}");
        assert_eq!(
            (&asked["asked"]["reason"], &asked["asked"]["session"], &asked["asked"]["decision"]),
            (&json!("the release of Friday"), &Value::Null, &Value::Null)
        );
        // Asked twice, it is one request.
        assert_eq!(house.call(who, "POST", "/v1/approvals", ask(sql)).await.1["id"], asked["id"]);
        let approve = format!("/v1/approvals/{}/approve", asked["id"].as_str().unwrap());
        let (status, answer) = house.call(who, "POST", &approve, json!({})).await;
        assert_eq!((status, &answer["code"]), (403, &json!("PAR0320")));
        let (status, answer) = house.call("kim", "POST", &approve, json!({})).await;
        assert_eq!((status, &answer["state"]), (200, &json!("granted")));
        // The run of an unknown starter, with this very content, finds the grant.
        assert_eq!(house.ask(sql, 1).await, asked["id"].as_str().unwrap());
    }
    assert!(house.entered().await.iter().any(|line| line
        == "mara@example.com approvals request triage on shop-db, content drop table items the release of Friday"));
    for (body, expected, code) in [
        (json!({ "as": "triage", "on": "shop-db", "sql": "select 1" }), 409, "PAR0329"),
        (json!({ "as": "triage", "on": "shop-db", "sql": "drop database shop" }), 409, "PAR0329"),
        (json!({ "as": "triage", "on": "nothing", "sql": "drop table orders" }), 404, "PAR0309"),
        (json!({ "as": "nobody", "on": "shop-db", "sql": "drop table orders" }), 404, "PAR0309"),
        (json!({ "as": "triage", "on": "shop-db" }), 400, "PAR0300"),
        (json!({ "as": "triage", "on": "shop-db", "sql": "x", "reason": " " }), 400, "PAR0300"),
    ] {
        let (status, answer) = house.call("ann", "POST", "/v1/approvals", body).await;
        assert_eq!((status, &answer["code"]), (expected, &json!(code)), "{answer}");
    }
}

#[tokio::test]
async fn native_tokens_are_shown_once_and_flagged_while_in_force() {
    let house = house().await;
    let wanted = |life: u64| json!({ "reason": "no issuer", "life_ms": life });
    let issue = "/v1/workloads/triage/tokens";
    for (life, expected) in [(91 * 86_400_000, 400), (0, 400), (86_400_000, 200)] {
        assert_eq!(house.call("ann", "POST", issue, wanted(life)).await.0, expected, "{life}");
    }
    let (_, given) = house.call("ann", "POST", issue, wanted(3_600_000)).await;
    let (token, id) = (given["token"].as_str().unwrap(), given["id"].as_str().unwrap());
    assert!(Token::parse(token).is_ok() && !id.contains(token), "{given}");
    let (_, listed) = house.get("ann", "/v1/tokens?workload=triage").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains("ppt_"), "{listed}");
    assert_eq!(house.get("ann", "/v1/tokens?workload=deploy").await.1["items"], json!([]));
    let (_, shown) = house.get("eve", "/v1/workloads/triage").await;
    assert_eq!((&shown["native_tokens"], &shown["flags"]), (&json!(2), &json!(["NHI7"])));
    assert_eq!(house.get("eve", "/v1/workloads/deploy").await.1["flags"], json!([]));
    // One expires, the other is revoked, once.
    house.clock.advance(Duration::from_secs(3600));
    let first = listed["items"][0]["id"].as_str().unwrap().to_owned();
    let revoke = |id: &str| format!("/v1/tokens/{id}/revoke");
    let why = || json!({ "reason": "leaked" });
    assert_eq!(house.call("ann", "POST", &revoke(id), why()).await.0, 404);
    assert_eq!(house.call("ann", "POST", &revoke(&first), why()).await.1["state"], "revoked");
    assert_eq!(house.call("ann", "POST", &revoke(&first), why()).await.0, 404);
    assert_eq!(house.get("eve", "/v1/workloads/triage").await.1["flags"], json!([]));
    assert_eq!(house.call("ann", "POST", "/v1/workloads/nobody/tokens", wanted(86_400_000)).await.0, 404);
    let entered = house.entered().await;
    assert!(
        entered.len() == 3 && entered[2] == format!("ann@example.com workloads token revoke {first} leaked"),
        "{entered:?}"
    );
}

#[tokio::test]
async fn classes_are_listed_sampled_and_decided() {
    let house = house().await;
    let path = |verb: &str| format!("/v1/upstreams/shop-db/classes{verb}");
    assert_eq!(house.get("ann", &path("")).await.1["items"][0]["all"], false);
    assert_eq!(house.get("ann", &path("?all=true")).await.1["items"][0]["all"], true);
    assert_eq!(house.get("ann", &path("?every=true")).await.0, 400);
    assert_eq!(house.get("bob", &path("")).await.0, 403);
    assert_eq!(house.get("ann", "/v1/upstreams/other/classes").await.0, 404);
    assert_eq!(house.call("ann", "POST", &path("/scan"), json!({})).await.1["tables"], 3);
    let decide = |column: &str, class: &str, reason: Value| json!({ "column": ["public", "customers", column], "class": class, "reason": reason });
    for (verb, body, status) in [
        ("/confirm", decide("email", "pii", Value::Null), 200),
        ("/reject", decide("email", "pii", json!("test data")), 200),
        ("/confirm", decide("emial", "pii", Value::Null), 404),
        ("/confirm", decide("email", "personal data", Value::Null), 400),
        ("/reject", decide("email", "pii", json!(" ")), 400),
        ("/confirm", json!({ "column": ["customers", "email"], "class": "pii" }), 400),
    ] {
        assert_eq!(house.call("ann", "POST", &path(verb), body.clone()).await.0, status, "{verb} {body}");
    }
    assert_eq!(house.call("bob", "POST", &path("/confirm"), decide("email", "pii", Value::Null)).await.0, 403);
    let entered = house.entered().await;
    for line in [
        "ann@example.com upstreams classes scan shop-db -",
        "ann@example.com upstreams classes confirm shop-db public.customers.email pii -",
        "ann@example.com upstreams classes reject shop-db public.customers.email pii test data",
        "bob@example.com refused upstreams classes -",
        "bob@example.com refused upstreams classes confirm -",
    ] {
        assert!(entered.iter().any(|entry| entry == line), "{line}: {entered:?}");
    }
}

#[tokio::test]
async fn a_change_of_the_master_key_is_entered_and_waits_for_a_start() {
    let house = house().await;
    let change = |who: &'static str, reason: &'static str| {
        let body = json!({ "reason": reason });
        house.call(who, "POST", "/v1/audit/rekey", body)
    };
    assert_eq!(change("bob", "mine").await.0, 403);
    assert_eq!(change("ann", " ").await.0, 400);
    let (status, answer) = change("ann", "it is a year old").await;
    assert_eq!((status, &answer["waits_for"]), (200, &json!("the next start")), "{answer}");
    let (status, answer) = change("ann", "again").await;
    assert_eq!((status, &answer["code"]), (409, &json!("PAR0333")), "{answer}");
    let expected = ["bob@example.com refused audit rekey -", "ann@example.com audit rekey master key it is a year old"];
    assert_eq!(house.entered().await, expected);
}
