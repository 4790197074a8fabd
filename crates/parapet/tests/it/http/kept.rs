//! Approvals over HTTP: grants that bind exactly what was asked, requests that are asked for ahead, and requests that the
//! gateway keeps and carries out itself (`Prefer: respond-async`), whatever becomes of it meanwhile.

use std::time::Duration;

use serde_json::Value;

use crate::bed::api::{Api, ApiBed, HOST};
use crate::bed::authority;
use crate::bed::folder::Folder;
use crate::bed::peer::Peer;
use crate::bed::raw_http::{self, Answer};
use crate::bed::tripwire::{Tripwire, find};
use crate::bed::wait;

/// Stands in a value that is masked, and nowhere else.
const CANARY: &str = "-7@canary.example";
const SOON: Duration = Duration::from_secs(20);

/// What people are asked: every POST, and, for a moment, every PATCH.
const ASKED: &str = r#"
@id("patches-need-a-quick-one") @approve("dba, window=2s, valid=30m, uses=1")
forbid (principal, action == Action::"http:PATCH", resource in Upstream::"shop-api");
@id("posts-need-a-person") @approve("dba, window=30m, valid=30m, uses=1")
forbid (principal, action == Action::"http:POST", resource in Upstream::"shop-api");
"#;

const KEEPS: &str = "unlisted = \"allow\"\nrespond_async = true\n[upstreams.shop-api.kept]\nrequests = 3\nbody = \"1KiB\"\n\
                     answer = \"4KiB\"\n[upstreams.shop-api.fields]\n\"$.email\" = [\"pii\"]\n";

/// The gateway in front of Node's server, which keeps what waits.
fn shop(name: &str) -> Option<(ApiBed, Peer, Folder)> {
    let certificates = Folder::new(&format!("{name}-origin"));
    authority::issue(&certificates, &["localhost"]);
    let origin = Peer::start("origin.mjs", &certificates)?;
    let url = format!("http://localhost:{}", origin.port("http"));
    // What runs when it is stopped is let go by the tests, long before.
    let api = Api::new(name).drain("30s").upstream("shop-api", &url, KEEPS).policies(ASKED);
    Some((api.start(), origin, certificates))
}

/// In front of a tripwire, with these keys of the upstream.
fn tripwire(name: &str, also: &str) -> (ApiBed, Tripwire) {
    let tripwire = Tripwire::start();
    let url = format!("http://127.0.0.1:{}", tripwire.port());
    (Api::new(name).upstream("shop-api", &url, also).policies(ASKED).start(), tripwire)
}

/// Sends a request with this line as a workload.
fn ask(bed: &ApiBed, workload: &str, line: &str, more: &str, body: &str) -> Answer {
    let lines = bed.lines(workload);
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    raw_http::send(
        bed.port(),
        format!("{line} HTTP/1.1\r\n{lines}Connection: close\r\n{length}{more}\r\n{body}").as_bytes(),
    )
}

/// Asks for it to be carried out later: where it is looked after.
fn later(bed: &ApiBed, line: &str, body: &str) -> String {
    let answer = ask(bed, "deploy", line, "Content-Type: text/plain\r\nPrefer: respond-async\r\n", body);
    assert_eq!(answer.status, 202, "{}{}", answer.head, answer.text());
    assert_eq!(answer.field("preference-applied"), Some("respond-async"));
    assert!(answer.field("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{}", answer.head);
    answer.field("location").unwrap_or_else(|| panic!("{}", answer.head)).to_owned()
}

fn approval(place: &str) -> &str {
    place.strip_prefix("/.parapet/requests/shop-api/").unwrap_or_else(|| panic!("{place}"))
}

fn look(bed: &ApiBed, place: &str) -> Answer {
    ask(bed, "deploy", &format!("GET {place}"), "", "")
}

/// Looks until it no longer waits.
fn over(bed: &ApiBed, place: &str) -> Answer {
    wait::until("the kept request to be over", SOON, || Some(look(bed, place)).filter(|answer| answer.status != 202))
}

fn answer(bed: &ApiBed, verb: &[&str], place: &str) {
    let (first, rest) = verb.split_first().unwrap();
    bed.gateway.cli_as("dana@example.com", &[&["approvals", first, approval(place)][..], rest].concat()).assert_done();
}

/// The steps of kept requests that the log holds.
fn steps(bed: &ApiBed) -> Vec<String> {
    let entries = bed.gateway.entries().into_iter().filter(|entry| entry["kind"] == "kept_request");
    entries.map(|entry| entry["state"].as_str().unwrap().to_owned()).collect()
}

fn posts(origin: &Peer) -> usize {
    origin.seen().iter().filter(|seen| seen["method"] == "POST").count()
}

fn problem(answer: &Answer) -> Value {
    serde_json::from_str(&answer.text()).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

#[test]
fn what_is_approved_is_carried_out_once_and_fetched_by_its_workload_alone() {
    let Some((bed, origin, _certificates)) = shop("kept-fetched") else { return };
    let line = "POST /v1/customers/7?secret=shown";
    let place = later(&bed, line, "{}");
    // Asked again, it is the same request.
    assert_eq!(later(&bed, line, "{}"), place);
    let shown = bed.gateway.cli_as("dana@example.com", &["approvals", "show", approval(&place), "--json"]);
    let shown: Value = serde_json::from_str(&shown.out).unwrap_or_else(|error| panic!("{error}: {shown:?}"));
    assert_eq!(shown["kept"]["state"], "waiting", "whoever answers is to know that a yes sends it: {shown}");
    assert!(shown["asked"]["text"].as_str().unwrap().starts_with(line), "{shown}");
    let said = bed.gateway.cli_as("dana@example.com", &["approvals", "show", approval(&place)]);
    assert!(said.out.contains("the gateway sends it as soon as it is approved"), "{said:?}");
    let waiting = look(&bed, &place);
    assert_eq!((waiting.status, waiting.field("retry-after")), (202, Some("10")), "{}", waiting.text());
    let preference = ["--http2-prior-knowledge", "-X", "POST", "-H", "Prefer: respond-async, wait=1", "-i"];
    let ran = bed.curl("deploy", "/echo", &preference);
    assert!(
        ran.out.starts_with("HTTP/2 202") && ran.out.contains("\nlocation: /.parapet/requests/shop-api/apr_"),
        "{ran:?}"
    );
    // Nobody else finds it, and it is no path of the upstream's.
    assert_eq!(ask(&bed, "reporting", &format!("GET {place}"), "", "").status, 404);
    assert_eq!(ask(&bed, "reporting", &format!("DELETE {place}"), "", "").status, 404);
    assert_eq!(
        raw_http::send(bed.port(), format!("GET {place} HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).status,
        401
    );
    assert_eq!(ask(&bed, "deploy", "GET /.parapet/else", "", "").status, 403);
    assert_eq!(ask(&bed, "deploy", &format!("PUT {place}"), "", "").status, 405);
    assert_eq!(posts(&origin), 0);
    answer(&bed, &["approve"], &place);
    let done = over(&bed, &place);
    assert_eq!((done.status, done.field("location")), (303, Some(format!("{place}/answer").as_str())));
    let ran = bed.curl("deploy", &place, &["-L", "-i"]);
    assert!(ran.out.contains("HTTP/1.1 200") && ran.out.contains("\"Customer 7\""), "{ran:?}");
    for header in
        ["parapet-approval: apr_", "parapet-decision: dec_", "parapet-masked: email", "cache-control: no-store"]
    {
        assert!(ran.out.contains(header), "{header}: {ran:?}");
    }
    assert!(!ran.out.contains(CANARY), "{ran:?}");
    assert_eq!(ask(&bed, "reporting", &format!("GET {place}/answer"), "", "").status, 404);
    assert_eq!(posts(&origin), 1);
    for (path, bytes) in bed.everything_written() {
        assert!(find(&bytes, CANARY.as_bytes()).is_none(), "a masked value stands in {}", path.display());
    }
    assert_eq!(ask(&bed, "deploy", &format!("DELETE {place}"), "", "").status, 204);
    assert_eq!(look(&bed, &place).status, 404);
    assert_eq!(steps(&bed), ["waiting", "waiting", "sending", "answered", "fetched", "forgotten"]);
    let granted =
        bed.decisions().into_iter().find(|entry| entry["approval"] == approval(&place) && entry["grant"].is_string());
    assert_eq!(granted.unwrap()["verdict"], "ask", "it passed by its grant");
}

#[test]
fn what_is_not_approved_is_never_sent() {
    let (bed, tripwire) = tripwire("kept-refused", KEEPS);
    let [rejected, withdrawn, waiting] = ["a", "b", "c"].map(|body| later(&bed, "POST /payouts", body));
    // As many as may be, and too long: refused as ever, and nobody carries them out.
    for body in ["d".to_owned(), "e".repeat(1025)] {
        let more = "Content-Type: text/plain\r\nPrefer: respond-async\r\n";
        let refused = ask(&bed, "deploy", "POST /payouts", more, &body);
        assert_eq!((refused.status, refused.field("location")), (403, None), "{}", refused.head);
        let problem = problem(&refused);
        assert!(problem["type"].as_str().unwrap().ends_with("approval-required"), "{problem}");
        assert!(problem["hint"].as_str().unwrap().contains("parapet approvals approve apr_"), "{problem}");
    }
    answer(&bed, &["reject", "--reason", "not on a Friday"], &rejected);
    let told = over(&bed, &rejected);
    assert_eq!((told.status, problem(&told)["reason"].as_str()), (403, Some("not on a Friday")));
    assert_eq!(ask(&bed, "deploy", &format!("DELETE {withdrawn}"), "", "").status, 204);
    let told = over(&bed, &withdrawn);
    assert_eq!((told.status, problem(&told)["retryable"].as_bool()), (410, Some(false)), "{}", told.text());
    // Policy denies it by the time it is approved.
    bed.folder
        .write("policies/freeze.cedar", "@id(\"freeze\") forbid (principal, action in Action::\"write\", resource);");
    bed.gateway.hang_up();
    wait::until("the policy to be loaded", SOON, || {
        (ask(&bed, "deploy", "PUT /frozen", "", "").status == 403).then_some(())
    });
    tripwire.take();
    answer(&bed, &["approve"], &waiting);
    let told = over(&bed, &waiting);
    assert_eq!(told.status, 403, "{}", told.text());
    assert!(problem(&told)["decision"].as_str().is_some_and(|id| id.starts_with("dec_")), "{}", told.text());
    assert_eq!(find(&tripwire.take(), b"POST"), None);
    assert_eq!(steps(&bed)[3..], ["rejected", "withdrawn", "denied"]);
}

#[test]
fn it_waits_no_longer_than_its_proof_or_its_approval() {
    let (bed, tripwire) = tripwire("kept-ended", KEEPS);
    let token = bed.issuer.token("deploy", Duration::from_secs(6));
    let head =
        format!("Host: {HOST}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\nPrefer: respond-async\r\n");
    let asked = format!("POST /payouts HTTP/1.1\r\n{head}Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx");
    let kept = raw_http::send(bed.port(), asked.as_bytes());
    assert_eq!(kept.status, 202, "{}", kept.text());
    let place = kept.field("location").unwrap().to_owned();
    let told = over(&bed, &place);
    assert_eq!(told.status, 410, "{}", told.text());
    assert!(problem(&told)["reason"].as_str().unwrap().contains("proof"), "{}", told.text());
    let patch = later(&bed, "PATCH /payouts", "x");
    let told = over(&bed, &patch);
    assert_eq!(told.status, 410, "{}", told.text());
    assert!(problem(&told)["reason"].as_str().unwrap().contains("nobody answered in time"), "{}", told.text());
    // Asked anew with another proof it waits again; the quarantine of its workload ends that.
    assert_eq!(later(&bed, "POST /payouts", "x").as_str(), place.as_str(), "the same content joins the approval");
    bed.gateway.cli(&["workloads", "quarantine", "deploy", "--reason", "a test"]).assert_done();
    answer(&bed, &["approve"], &place);
    wait::until("the end of the kept request", SOON, || {
        (steps(&bed).iter().filter(|state| *state == "proof_ended").count() == 2).then_some(())
    });
    assert!(tripwire.take().is_empty());
}

#[test]
fn a_crash_leaves_it_waiting_or_unknown_and_never_sends_it_twice() {
    let Some((mut bed, origin, _certificates)) = shop("kept-crash") else { return };
    let waiting = later(&bed, "POST /echo", "first");
    let sent = later(&bed, "POST /hold/answer", "second");
    answer(&bed, &["approve"], &sent);
    wait::until("the upstream to be asked", SOON, || (posts(&origin) == 1).then_some(()));
    assert_eq!(look(&bed, &sent).status, 202);
    bed.gateway.kill();
    bed.gateway.restart();
    let told = over(&bed, &sent);
    assert_eq!(told.status, 410, "{}", told.text());
    assert!(problem(&told)["type"].as_str().unwrap().ends_with("outcome-unknown"), "{}", told.text());
    assert_eq!(look(&bed, &waiting).status, 202);
    answer(&bed, &["approve"], &waiting);
    assert_eq!(over(&bed, &waiting).status, 303);
    let ran = bed.curl("deploy", &waiting, &["-L"]);
    let echoed: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    assert_eq!((&echoed["method"], &echoed["body"]), (&"POST".into(), &"first".into()), "{echoed}");
    assert_eq!(posts(&origin), 2, "{:?}", origin.seen());
    assert!(steps(&bed).contains(&"unknown".to_owned()));
    // A stop lets what is being sent come to its end.
    let last = later(&bed, "POST /hold/last", "third");
    answer(&bed, &["approve"], &last);
    wait::until("the upstream to be asked", SOON, || (posts(&origin) == 3).then_some(()));
    let address = bed.folder.join("state/admin.addr");
    std::thread::scope(|scope| {
        let stopped = scope.spawn(|| bed.gateway.stop());
        wait::until("the stop to begin", SOON, || (!address.exists()).then_some(()));
        raw_http::send(origin.port("http"), b"GET /release/last HTTP/1.1\r\nHost: origin\r\nConnection: close\r\n\r\n");
        assert!(stopped.join().unwrap().success());
    });
    bed.gateway.restart();
    assert_eq!(look(&bed, &last).status, 303, "{}", look(&bed, &last).text());
    assert_eq!(posts(&origin), 3);
}

#[test]
fn an_upstream_that_cannot_be_reached_was_not_sent_it() {
    // A port that is taken, so that nobody else gets it, and at which nobody listens.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let url = format!("http://{}", taken.local_addr().unwrap());
    let bed = Api::new("kept-closed").upstream("shop-api", &url, KEEPS).policies(ASKED).start();
    let place = later(&bed, "POST /payouts", "x");
    answer(&bed, &["approve"], &place);
    let told = over(&bed, &place);
    assert_eq!(told.status, 410, "{}", told.text());
    assert!(problem(&told)["reason"].as_str().unwrap().contains("could not be reached"), "{}", told.text());
}

#[test]
fn an_answer_that_is_too_long_or_cannot_be_masked_is_not_kept() {
    let Some((bed, origin, _certificates)) = shop("kept-lost") else { return };
    let places = ["POST /big?bytes=100000", "POST /customers?type=text/html"].map(|line| later(&bed, line, ""));
    for place in &places {
        answer(&bed, &["approve"], place);
        let told = over(&bed, place);
        assert_eq!(told.status, 410, "{}", told.text());
        assert!(problem(&told)["type"].as_str().unwrap().ends_with("answer-lost"), "{}", told.text());
    }
    assert_eq!(posts(&origin), 2);
}

#[test]
fn the_preference_is_ignored_unless_it_is_configured() {
    let (bed, tripwire) = tripwire("kept-off", "unlisted = \"allow\"\n");
    let more = "Prefer: respond-async\r\n";
    let refused = ask(&bed, "deploy", "POST /payouts", more, "x");
    assert_eq!((refused.status, refused.field("location")), (403, None), "{}", refused.head);
    assert_eq!(refused.field("preference-applied"), None);
    let id = problem(&refused)["approval"]["id"].as_str().unwrap().to_owned();
    bed.gateway.cli_as("dana@example.com", &["approvals", "approve", &id]).assert_done();
    assert!(tripwire.take().is_empty(), "nobody carries it out");
    assert_eq!(ask(&bed, "deploy", "POST /payouts", more, "x").status, 200);
    assert_eq!(ask(&bed, "deploy", &format!("GET /.parapet/requests/shop-api/{id}"), "", "").status, 404);
}

#[test]
fn nothing_is_kept_for_clients_that_take_a_202_for_done() {
    let (bed, tripwire) = tripwire("kept-aws", "unlisted = \"allow\"\nrespond_async = true\nstore = \"aws\"\n");
    let refused = ask(&bed, "deploy", "POST /payouts", "Prefer: respond-async\r\n", "x");
    assert_eq!((refused.status, refused.field("preference-applied")), (403, None), "{}", refused.head);
    assert_eq!(refused.field("x-amzn-errortype"), Some("AccessDeniedException"), "{}", refused.text());
    assert!(tripwire.take().is_empty());
}

#[test]
fn a_grant_is_for_exactly_what_was_asked() {
    let (bed, tripwire) = tripwire("grants-exact", "unlisted = \"allow\"\n");
    let (line, more, body) = ("POST /payouts?to=a", "Content-Type: text/plain\r\nX-Account: 1\r\n", "amount=1");
    let first = ask(&bed, "deploy", line, more, body);
    let id = problem(&first)["approval"]["id"].as_str().unwrap().to_owned();
    bed.gateway.cli_as("dana@example.com", &["approvals", "approve", &id]).assert_done();
    for (line, more, body) in [
        ("POST /payouts?to=b", more, body),
        ("POST /payouts", more, body),
        ("POST /payout?to=a", more, body),
        (line, "Content-Type: text/plain\r\nX-Account: 2\r\n", body),
        (line, "Content-Type: text/plain\r\n", body),
        (line, "Content-Type: text/html\r\nX-Account: 1\r\n", body),
        (line, "Content-Type: text/plain\r\nX-Account: 1\r\nContent-Encoding: gzip\r\n", body),
        (line, more, "amount=2"),
        (line, more, ""),
    ] {
        let other = ask(&bed, "deploy", line, more, body);
        assert_eq!(other.status, 403, "{line} {more} {body}: {}", other.head);
        assert_ne!(problem(&other)["approval"]["id"].as_str(), Some(id.as_str()), "{line} {more} {body}");
        let named = format!("{more}Parapet-Approval: {id}\r\n");
        assert_eq!(ask(&bed, "deploy", line, &named, body).status, 412, "{line} {more} {body}");
    }
    assert!(tripwire.take().is_empty());
    // What says nothing of the request may differ; and it counts once.
    let again = format!("{more}User-Agent: other/1\r\nIdempotency-Key: k2\r\n");
    assert_eq!(ask(&bed, "deploy", line, &again, body).status, 200);
    assert_eq!(ask(&bed, "deploy", line, &again, body).status, 403);
}

#[test]
fn a_request_is_asked_for_ahead() {
    let (bed, tripwire) = tripwire("grants-ahead", "unlisted = \"allow\"\n");
    let header = ["--header", "Content-Type: application/json", "--header", "X-Account: 1"];
    let request = ["approvals", "request", "--as", "deploy", "--on", "shop-api", "--http", "POST /payouts?to=a"];
    let request = [&request[..], &header, &["--body", "{\"amount\": 1}", "--reason", "Friday"]].concat();
    let decided =
        [&["decide", "--as", "deploy", "--on", "shop-api", "--http", "POST /payouts?to=a"][..], &header].concat();
    let decided = bed.gateway.cli(&[&decided[..], &["--body", "{\"amount\": 1}"]].concat());
    assert!(
        decided.out.contains("approvals request --as deploy --on shop-api --http 'POST /payouts?to=a'"),
        "{decided:?}"
    );
    let asked = bed.gateway.cli_as("mara@example.com", &[&request[..], &["-o", "id"]].concat());
    assert_eq!(asked.code, 0, "{asked:?}");
    let listed = bed.gateway.cli(&["approvals", "list", "-o", "id"]);
    let id = listed.out.trim();
    let own = bed.gateway.cli_as("mara@example.com", &["approvals", "approve", id]);
    assert!(own.code != 0 && own.err.contains("PAR0320"), "{own:?}");
    let shown = bed.gateway.cli_as("dana@example.com", &["approvals", "show", id]);
    assert!(shown.out.contains("POST /payouts?to=a") && shown.out.contains("{\"amount\": 1}"), "{shown:?}");
    bed.gateway.cli_as("dana@example.com", &["approvals", "approve", id]).assert_done();
    let more = "Content-Type: application/json\r\nX-Account: 1\r\n";
    assert_eq!(ask(&bed, "deploy", "POST /payouts?to=a", more, "{\"amount\": 2}").status, 403);
    assert!(tripwire.take().is_empty());
    assert_eq!(ask(&bed, "deploy", "POST /payouts?to=a", more, "{\"amount\": 1}").status, 200);
    // What passes needs nobody.
    let ran =
        bed.gateway.cli(&["approvals", "request", "--as", "deploy", "--on", "shop-api", "--http", "PUT /payouts"]);
    assert!(ran.code == 7 && ran.err.contains("PAR0329"), "{ran:?}");
}
