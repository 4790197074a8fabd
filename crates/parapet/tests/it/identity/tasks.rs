//! Tasks from end to end: exchanged, issued, narrowed, bound, used up and ended, with stock psql on a real server.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bed::Bed;
use crate::bed::clients::{Ran, environment_with, psql_command, run};
use crate::bed::issuer::{self, header};
use crate::bed::raw::{self, Raw};
use crate::bed::wait;

pub(super) const LISTENER: &str = "\n[tokens]\nlisten = \"127.0.0.1:0\"\ntls = \"off\"\n";

fn start(name: &str) -> Option<Bed> {
    Bed::start_with(name, |setup| setup.also(LISTENER.to_owned()))
}

/// The one table that most tasks here are for.
pub(super) fn orders() -> Value {
    json!([{"type": "parapet_task", "locations": ["shop-db"], "actions": ["read", "sql:update"],
        "identifier": "shop.public.orders", "goal": "backfill order status"}])
}

fn with(mut details: Value, member: &str, to: Value) -> Value {
    details[0][member] = to;
    details
}

/// An answer of the token endpoint.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    body: Value,
}

fn port(bed: &Bed) -> u16 {
    let ports = std::fs::read_to_string(bed.folder.join("state/ports.json")).unwrap();
    let ports: Value = serde_json::from_str(&ports).unwrap();
    ports["tokens"].as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap()
}

fn url(bed: &Bed, path: &str) -> String {
    format!("http://127.0.0.1:{}{path}", port(bed))
}

fn ask(bed: &Bed, method: &str, path: &str, headers: &[(&str, &str)], form: &[(&str, &str)]) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port(bed))).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let encoded = |text: &str| -> String {
        text.bytes().fold(String::new(), |out, byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => format!("{out}{}", char::from(byte)),
            byte => format!("{out}%{byte:02X}"),
        })
    };
    let body: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let body = body.join("&");
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n",
        body.len()
    );
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: serde_json::from_str(body).unwrap_or_default() }
}

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

pub(super) fn exchange(
    bed: &Bed,
    subject: &str,
    details: &Value,
    more: &[(&str, &str)],
    headers: &[(&str, &str)],
) -> Answer {
    let details = details.to_string();
    let mut form = vec![("grant_type", GRANT), ("subject_token", subject), ("subject_token_type", JWT)];
    if details != "null" {
        form.push(("authorization_details", &details));
    }
    form.extend(more);
    ask(bed, "POST", "/token", headers, &form)
}

fn token(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["access_token"].as_str().unwrap().to_owned()
}

fn psql(bed: &Bed, workload: &str, token: &str, sql: &str) -> Ran {
    let mut command = psql_command(bed, workload, &["-c", sql]);
    run(environment_with(bed.gateway.postgres(), workload, token, &mut command))
}

fn cli(bed: &Bed, arguments: &[&str]) -> String {
    let ran = bed.gateway.cli(arguments);
    assert_eq!(ran.code, 0, "{arguments:?} {ran:?}");
    ran.out.trim().to_owned()
}

fn decisions(bed: &Bed, verdict: &str) -> Vec<Value> {
    let entries = bed.gateway.entries();
    entries.into_iter().filter(|entry| entry["kind"] == "decision" && entry["verdict"] == verdict).collect()
}

/// Must show 3 of the issue: an agent with a task for one table tries another.
#[test]
fn an_agent_stays_inside_its_task_and_the_chain_is_seen() {
    let Some(bed) = start("identity-task") else { return };
    let user = {
        let mut claims = issuer::claims("nobody", Duration::from_secs(600));
        claims["sub"] = json!("user-77");
        claims["email"] = json!("ann@example.com");
        bed.issuer.sign(&header(), &claims)
    };
    let agent = bed.token("triage-bot");
    let actor = [("actor_token", agent.as_str()), ("actor_token_type", JWT)];
    let answer = exchange(&bed, &user, &orders(), &actor, &[]);
    let own = token(&answer);
    assert_eq!(answer.body["token_type"], "Bearer");
    assert_eq!(answer.body["authorization_details"], orders());
    assert!((1..=900).contains(&answer.body["expires_in"].as_u64().unwrap()), "{answer:?}");

    let inside = psql(&bed, "triage-bot", &own, "update orders set status = 'open' where id = 1 returning id");
    assert!(inside.out.starts_with("1"), "{inside:?}");
    assert_eq!(psql(&bed, "triage-bot", &own, "select 1").out.trim(), "1");
    let before = bed.postgres.executed().len();
    let outside = psql(&bed, "triage-bot", &own, "select count(*) from products");
    assert!(
        outside.err.contains("42501") && outside.err.contains("blocked, outside the task: SELECT on "),
        "{outside:?}"
    );
    let seen = bed.postgres.executed();
    assert!(!seen[before..].iter().any(|sql| sql.contains("products")), "{seen:?}");
    // The same workload by its own token may: the task narrows, and nothing else did.
    assert_eq!(psql(&bed, "triage-bot", &agent, "select count(*) from products").out.trim(), "100");
    for (sql, line) in [
        ("insert into orders values (99999, 1, 'open', 1, now())", "outside the task: INSERT"),
        ("delete from orders where id = 1", "outside the task: DELETE"),
        ("select o.id from orders o join customers c on c.id = o.customer_id", "outside the task: SELECT"),
        ("update orders set status = 'x'", "blocked by policy \"writes-are-bounded\""),
    ] {
        let ran = psql(&bed, "triage-bot", &own, sql);
        assert!(ran.err.contains(line), "{sql}: {ran:?}");
    }
    // It is this workload's alone.
    Raw::try_log_in(bed.gateway.postgres(), "reporting", &own).map(drop).unwrap_err();

    let denied = decisions(&bed, "deny").into_iter().find(|entry| entry["reason"]["why"] == "outside_task").unwrap();
    assert_eq!(denied["task"]["chain"], json!(["ann@example.com", "triage-bot"]), "{denied}");
    assert_eq!(denied["task"]["goal"], "backfill order status");
    let (task, decision) = (denied["task"]["id"].as_str().unwrap(), denied["decision"].as_str().unwrap());
    let page = cli(&bed, &["explain", decision]);
    for part in ["outside the task tsk_", "ann@example.com → triage-bot", "backfill order status", "products"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let found = cli(&bed, &["audit", "search", "--task", task, "--kind", "decision", "-o", "json"]);
    assert!(found.contains("\"permit\"") && found.contains("\"deny\""), "{found}");
    let others = cli(&bed, &["audit", "search", "--task", "tsk_0000000000000000", "-o", "jsonl"]);
    assert_eq!(others, "", "{others}");
    let exchanged = bed.gateway.entries().into_iter().find(|entry| entry["kind"] == "exchange").unwrap();
    assert_eq!(
        (&exchanged["verdict"], &exchanged["workload"]),
        (&json!("permit"), &json!("triage-bot")),
        "{exchanged}"
    );
    // It is a signal too: the workload is a little riskier, however often it tried.
    let risk = wait::until("the risk to rise", wait::PATIENCE, || {
        let shown: Value = serde_json::from_str(&cli(&bed, &["workloads", "show", "triage-bot", "--json"])).unwrap();
        (shown["risk_reasons"]["score"] == 20).then(|| shown["risk_why"].clone())
    });
    let [why] = risk.as_array().unwrap().as_slice() else { panic!("{risk}") };
    assert!(why.as_str().unwrap().starts_with(&format!("task {task}: tried what lies outside its task")), "{risk}");
    // AU05: no token stands in either log.
    let audit: String = bed.gateway.segments().iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    for (place, text) in [("the log", bed.gateway.log()), ("the audit log", audit)] {
        assert!(!text.contains(&own) && !text.contains(&agent), "a token stands in {place}");
    }
}

/// Policies read the task: what agents may do is bound to having one.
#[test]
fn a_narrowed_token_cannot_widen() {
    let Some(bed) = start("identity-narrow") else { return };
    let file = |name: &str| bed.folder.join(name).to_str().unwrap().to_owned();
    let (key, sub_key, parent) = (file("agent.pem"), file("sub.pem"), file("parent.jwt"));
    let issue = [
        "tasks",
        "issue",
        "triage-bot",
        "--reason",
        "a test",
        "--key",
        &key,
        "--allow",
        "read",
        "--resource",
        "shop.public.orders",
        "--upstream",
        "shop-db",
        "--uses",
        "5",
        "--goal",
        "look at orders",
    ];
    std::fs::write(&parent, cli(&bed, &issue)).unwrap();
    let bound = std::fs::read_to_string(&parent).unwrap();
    // Without its key it opens nothing.
    let bare = Raw::try_log_in(bed.gateway.postgres(), "triage-bot", &bound).map(drop).unwrap_err();
    assert_eq!(bare.field(b'C'), "28000");
    let narrow = |more: &[&str]| {
        let mut arguments = vec!["tasks", "narrow", "--token-file", &parent, "--key", &key];
        arguments.extend(more);
        bed.gateway.cli(&arguments)
    };
    let made = |more: &[&str]| {
        let ran = narrow(more);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.out.trim().to_owned()
    };
    let child =
        made(&["--resource", "shop.public.orders.id", "--goal", "count ids", "--name", "counter", "--uses", "2"]);
    assert_eq!(psql(&bed, "triage-bot", &child, "select max(id) from orders").out.trim(), "7900");
    let wider = psql(&bed, "triage-bot", &child, "select status from orders limit 1");
    assert!(wider.err.contains("outside the task"), "{wider:?}");
    let entry = decisions(&bed, "deny").pop().unwrap();
    assert_eq!(entry["task"]["chain"], json!(["root@example.com", "triage-bot", "sub-agent counter"]), "{entry}");
    // Its own uses end, and every use counted for its parent too.
    psql(&bed, "triage-bot", &child, "select max(id) from orders");
    let over = psql(&bed, "triage-bot", &child, "select max(id) from orders");
    assert!(over.err.contains("PP003") && over.err.contains("outside the task"), "{over:?}");
    let siblings: Vec<bool> = (0..4)
        .map(|_| psql(&bed, "triage-bot", &made(&["--uses", "5"]), "select max(id) from orders").code == 0)
        .collect();
    assert_eq!(siblings, [true, true, true, false], "ten children share one budget");

    // What would be wider is not signed here, and refused where somebody signs it all the same.
    for wider in
        [&["--resource", "shop.public"][..], &["--allow", "write"], &["--uses", "6"], &["--upstream", "other-db"]]
    {
        assert_eq!(narrow(wider).code, 5, "{wider:?}");
    }
    let thumbprint = cli(&bed, &["tasks", "key", &sub_key]);
    let grandparent = file("bound-child.jwt");
    std::fs::write(&grandparent, made(&["--for-key", &thumbprint])).unwrap();
    let stolen = bed.gateway.cli(&["tasks", "narrow", "--token-file", &grandparent, "--key", &key]);
    assert_eq!(stolen.code, 2, "{stolen:?}");
    let refused = |what: &str, token: &str, why: &str| {
        let told = Raw::try_log_in(bed.gateway.postgres(), "triage-bot", token).map(drop).unwrap_err();
        assert_eq!(told.field(b'C'), "28000", "{what}");
        let entries = bed.gateway.entries();
        let logged = entries.iter().rev().find(|entry| entry["kind"] == "login_refused").unwrap();
        assert!(logged["why"].as_str().unwrap().contains(why), "{what}: {logged}");
    };
    refused("a child that is bound to another key", &std::fs::read_to_string(&grandparent).unwrap(), "bound to a key");
    let (front, signature) = child.rsplit_once('.').unwrap();
    let flipped = format!("{front}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]);
    refused("a changed signature", &flipped, "not signed by the key");
    // The end of the parent is the end of all.
    cli(&bed, &["tasks", "revoke", "last", "--reason", "over"]);
    refused("a child of an ended task", &made(&["--uses", "1"]), "revoked");
}

/// Hazard ID01, RFC 9449: without its key a token is worth nothing, and a proof counts once.
#[test]
fn bound_tokens_need_their_key_and_proofs_count_once() {
    let Some(bed) = start("identity-dpop") else { return };
    let key = bed.folder.join("key.pem").to_str().unwrap().to_owned();
    let other = bed.folder.join("other.pem").to_str().unwrap().to_owned();
    let (_, _) = (cli(&bed, &["tasks", "key", &key]), cli(&bed, &["tasks", "key", &other]));
    let place = url(&bed, "/token");
    let proof = |key: &str, url: &str, nonce: Option<&str>| {
        let mut arguments = vec!["tasks", "proof", "--key", key, "--url", url];
        arguments.extend(nonce.iter().flat_map(|nonce| ["--nonce", nonce]));
        cli(&bed, &arguments)
    };
    let agent = bed.token("triage-bot");
    // First without a nonce: the server says which.
    let answer = exchange(&bed, &agent, &orders(), &[], &[("DPoP", &proof(&key, &place, None))]);
    assert_eq!((answer.status, &answer.body["error"]), (400, &json!("use_dpop_nonce")), "{answer:?}");
    let nonce = answer.head.lines().find_map(|line| line.strip_prefix("dpop-nonce: ")).unwrap().to_owned();
    let good = proof(&key, &place, Some(&nonce));
    let answer = exchange(&bed, &agent, &orders(), &[], &[("DPoP", &good)]);
    let bound = token(&answer);
    assert_eq!(answer.body["token_type"], "DPoP");
    let replayed = exchange(&bed, &agent, &orders(), &[], &[("DPoP", &good)]);
    assert_eq!((replayed.status, &replayed.body["error"]), (400, &json!("invalid_dpop_proof")), "{replayed:?}");
    // The token without its key, or with another's: not as a password, not for another token, not to look at others.
    Raw::try_log_in(bed.gateway.postgres(), "triage-bot", &bound).map(drop).unwrap_err();
    for headers in [vec![], vec![("DPoP", proof(&other, &place, Some(&nonce)))]] {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = exchange(&bed, &bound, &Value::Null, &[], &headers);
        assert_eq!((answer.status, &answer.body["error"]), (400, &json!("invalid_request")), "{answer:?}");
    }
    // With the key it buys a narrower one, which stays bound to the key.
    let narrower = with(orders(), "actions", json!(["read"]));
    let answer = exchange(&bed, &bound, &narrower, &[], &[("DPoP", &proof(&key, &place, Some(&nonce)))]);
    assert_eq!(answer.body["token_type"], "DPoP", "{answer:?}");
    Raw::try_log_in(bed.gateway.postgres(), "triage-bot", &token(&answer)).map(drop).unwrap_err();

    let look = |credential: &str, proof: Option<&str>| {
        let mut headers = vec![("Authorization", credential)];
        headers.extend(proof.map(|proof| ("DPoP", proof)));
        ask(&bed, "POST", "/introspect", &headers, &[("token", &bound)])
    };
    assert_eq!(look(&format!("Bearer {bound}"), None).status, 401, "a bound token as a bearer");
    let file = bed.folder.write("bound.jwt", &bound);
    let for_token = cli(
        &bed,
        &[
            "tasks",
            "proof",
            "--key",
            &key,
            "--url",
            &url(&bed, "/introspect"),
            "--nonce",
            &nonce,
            "--token-file",
            file.to_str().unwrap(),
        ],
    );
    let seen = look(&format!("DPoP {bound}"), Some(&for_token));
    assert_eq!(
        (seen.status, &seen.body["active"], &seen.body["client_id"]),
        (200, &json!(true), &json!("triage-bot")),
        "{seen:?}"
    );
    let replayed = look(&format!("DPoP {bound}"), Some(&for_token));
    assert_eq!((replayed.status, &replayed.body["error"]), (400, &json!("invalid_dpop_proof")), "{replayed:?}");
    assert!(bed.postgres.executed().is_empty(), "a bound token reached the upstream");
}

/// Hazard ID20: nothing that is bought with a token is wider, longer or freer than it.
#[test]
fn exchanges_never_widen() {
    let Some(bed) = start("identity-exchange") else { return };
    let agent = bed.token("triage-bot");
    let first = token(&exchange(&bed, &agent, &with(orders(), "limits", json!({"uses": 2})), &[], &[]));
    let with_limit = |uses: u64| with(orders(), "limits", json!({ "uses": uses }));
    for (what, details, code) in [
        (
            "another table",
            with(with_limit(2), "identifier", json!("shop.public.products")),
            "invalid_authorization_details",
        ),
        ("the schema", with(with_limit(2), "identifier", json!("shop.public")), "invalid_authorization_details"),
        (
            "another action",
            with(with_limit(2), "actions", json!(["read", "sql:update", "sql:delete"])),
            "invalid_authorization_details",
        ),
        ("more uses", with_limit(3), "invalid_authorization_details"),
        ("no limit", orders(), "invalid_authorization_details"),
        (
            "another upstream",
            with(with_limit(2), "locations", json!(["shop-db", "other-db"])),
            "invalid_authorization_details",
        ),
        ("another type", with(with_limit(2), "type", json!("payment")), "invalid_authorization_details"),
        ("an unknown member", with(with_limit(2), "privileges", json!(["all"])), "invalid_authorization_details"),
    ] {
        let answer = exchange(&bed, &first, &details, &[], &[]);
        assert_eq!((answer.status, answer.body["error"].as_str()), (400, Some(code)), "{what}: {answer:?}");
    }
    for (what, subject, details, more, code) in [
        (
            "an upstream that there is not",
            &agent,
            with(orders(), "locations", json!(["other-db"])),
            vec![],
            "invalid_target",
        ),
        (
            "an action that no policy permits",
            &agent,
            with(orders(), "actions", json!(["grant"])),
            vec![],
            "invalid_authorization_details",
        ),
        (
            "an audience that there is not",
            &agent,
            orders(),
            vec![("audience", "https://elsewhere.example")],
            "invalid_target",
        ),
        ("an upstream outside the task", &agent, orders(), vec![("audience", "other-db")], "invalid_target"),
        ("a native token", &"ppt_x".to_owned(), orders(), vec![], "invalid_request"),
        ("an expired workload", &bed.token("left-over"), orders(), vec![], "invalid_request"),
        (
            "a stranger",
            &bed.issuer.sign(&header(), &with_claim("sub", json!("nobody"))),
            orders(),
            vec![],
            "invalid_request",
        ),
        (
            "another's run",
            &bed.issuer.sign(&header(), &with_claim("run_id", json!("1"))),
            with(orders(), "run", json!("github:2/1")),
            vec![],
            "invalid_authorization_details",
        ),
    ] {
        let answer = exchange(&bed, subject, &details, &more, &[]);
        assert_eq!((answer.status, answer.body["error"].as_str()), (400, Some(code)), "{what}: {answer:?}");
        assert!(answer.body["instance"].as_str().is_none_or(|id| id.starts_with("dec_")), "{what}: {answer:?}");
    }
    loops_end(&bed, &first);
    // Who may act for whom is obeyed.
    let may = |sub: &str| bed.issuer.sign(&header(), &with_claim("may_act", json!({ "sub": sub })));
    let actor = [("actor_token", agent.as_str()), ("actor_token_type", JWT)];
    assert_eq!(exchange(&bed, &may("workload:reporting"), &orders(), &actor, &[]).status, 400);
    assert_eq!(exchange(&bed, &may("workload:triage-bot"), &orders(), &actor, &[]).status, 200);
    let refused =
        bed.gateway.entries().into_iter().filter(|entry| entry["kind"] == "exchange" && entry["verdict"] == "deny");
    assert!(refused.count() >= 8, "not every refusal stands in the log");
}

/// Exchanged in a loop, a token keeps its task, its end and its budget, and the chain ends.
fn loops_end(bed: &Bed, first: &str) {
    let ends = |token: &str| {
        let seen =
            ask(bed, "POST", "/introspect", &[("Authorization", &format!("Bearer {token}"))], &[("token", token)]);
        (seen.body["exp"].as_u64().unwrap(), seen.body["tsk"].as_str().unwrap().to_owned())
    };
    let (mut token_now, (until, task)) = (first.to_owned(), ends(first));
    let mut links = 1;
    loop {
        let answer = exchange(bed, &token_now, &Value::Null, &[("audience", "shop-db")], &[]);
        if answer.status != 200 {
            assert_eq!(answer.body["error"], "invalid_authorization_details", "{answer:?}");
            break;
        }
        token_now = token(&answer);
        let (later, same) = ends(&token_now);
        assert!(later <= until && same == task, "{later} > {until}");
        links += 1;
        assert!(links <= 5, "the chain does not end");
    }
    assert_eq!(links, 5);
    for (which, expected) in [(first, 0), (&token_now, 0), (&token_now, 1), (first, 1)] {
        let ran = psql(bed, "triage-bot", which, "select max(id) from orders");
        assert_eq!(ran.code, expected, "two uses in all: {ran:?}");
    }
}

fn with_claim(name: &str, value: Value) -> Value {
    let mut claims = issuer::claims("triage-bot", Duration::from_secs(600));
    claims[name] = value;
    claims
}

/// What people are asked about uses its task once: when it runs.
#[test]
fn what_is_approved_uses_its_task_once() {
    let Some(bed) = start("identity-task-approved") else { return };
    let issue = ["tasks", "issue", "deploy", "--reason", "a test", "--goal", "add an index", "--allow", "define"];
    let bounds = ["--resource", "shop.public.orders", "--upstream", "shop-db", "--uses", "1"];
    let token = cli(&bed, &[&issue[..], &bounds[..]].concat());
    let index = "create index orders_status on orders (status)";
    let ran = std::thread::scope(|scope| {
        let held = scope.spawn(|| psql(&bed, "deploy", &token, index));
        bed.answer("dana@example.com", &["approve"]);
        held.join().unwrap()
    });
    assert_eq!(ran.code, 0, "{ran:?}");
    let over = psql(&bed, "deploy", &token, index);
    assert!(over.err.contains("PP003") && over.err.contains("outside the task"), "{over:?}");
}

/// A task's end, in time or by hand, cuts what it opened within a second.
#[test]
fn the_end_of_a_task_cuts_its_sessions() {
    let Some(mut bed) = start("identity-task-end") else { return };
    let issue = |life: &str| {
        let given = cli(
            &bed,
            &["tasks", "issue", "triage-bot", "--reason", "a test", "--life", life, "--allow", "read", "--json"],
        );
        let given: Value = serde_json::from_str(&given).unwrap();
        (given["token"].as_str().unwrap().to_owned(), given["id"].as_str().unwrap().to_owned())
    };
    let (short, _) = issue("6s");
    let mut live = Raw::log_in(bed.gateway.postgres(), "triage-bot", &short);
    assert_eq!(raw::tags(&live.query("select 1")), "TDCZ");
    let began = Instant::now();
    assert_eq!(raw::errors(&live.until_closed()), ["57P01"]);
    assert!(began.elapsed() < Duration::from_secs(6) + wait::PUSHED, "it took {:?}", began.elapsed());
    Raw::try_log_in(bed.gateway.postgres(), "triage-bot", &short).map(drop).unwrap_err();

    let ((token, id), (kept, _)) = (issue("15m"), issue("15m"));
    let mut live = Raw::log_in(bed.gateway.postgres(), "triage-bot", &token);
    let mut other = Raw::log_in(bed.gateway.postgres(), "triage-bot", &kept);
    assert_eq!(raw::tags(&live.query("select 1")), "TDCZ");
    cli(&bed, &["tasks", "revoke", &id, "--reason", "over"]);
    let asked = Instant::now();
    assert_eq!(raw::errors(&live.until_closed()), ["57P01"]);
    assert!(asked.elapsed() < wait::PUSHED, "it took {:?}", asked.elapsed());
    assert_eq!(raw::tags(&other.query("select 1")), "TDCZ", "a session of another task was cut");
    Raw::try_log_in(bed.gateway.postgres(), "triage-bot", &token).map(drop).unwrap_err();
    // Its holder may end it too (RFC 7009), and what is no token is no error.
    assert_eq!(ask(&bed, "POST", "/revoke", &[], &[("token", &kept), ("token_type_hint", ACCESS)]).status, 200);
    assert_eq!(raw::errors(&other.until_closed()), ["57P01"]);
    assert_eq!(ask(&bed, "POST", "/revoke", &[], &[("token", "nonsense")]).status, 200);
    // What ended stays so, and what goes on does, when the gateway dies.
    let (after, _) = issue("15m");
    bed.gateway.kill();
    bed.gateway.restart();
    Raw::log_in(bed.gateway.postgres(), "triage-bot", &after);
    Raw::try_log_in(bed.gateway.postgres(), "triage-bot", &token).map(drop).unwrap_err();
    let listed = cli(&bed, &["tasks", "list", "--json"]);
    assert!(!listed.contains(&after) && listed.contains("revoked"), "{listed}");
}

/// Rows are counted over all sessions of a task, and a response never has more than are left.
#[test]
fn rows_of_a_task_run_out() {
    let Some(bed) = start("identity-task-rows") else { return };
    let token =
        token(&exchange(&bed, &bed.token("reporting"), &with(orders(), "limits", json!({"rows": 10})), &[], &[]));
    let rows = |sql: &str| psql(&bed, "reporting", &token, sql);
    let some = rows("select id from orders order by id limit 7");
    assert_eq!(some.out.lines().count(), 7, "{some:?}");
    let capped = rows("select id from orders order by id limit 7");
    assert_eq!(capped.out.lines().count(), 3, "{capped:?}");
    let none = rows("select id from orders order by id limit 1");
    assert!(none.err.contains("PP003") && none.err.contains("outside the task"), "{none:?}");
    // Transactions still end.
    assert_eq!(rows("begin; commit").code, 0);
}

/// `run` hands the child a token for the task and nothing else; keys and metadata are told to everybody.
#[test]
fn run_hands_over_a_task() {
    let Some(bed) = start("identity-task-run") else { return };
    let file = bed.folder.write("reporting.jwt", &bed.token("reporting"));
    let file = file.to_str().unwrap();
    let run_with = |sql: &str| {
        let arguments = [
            "run",
            "--as",
            "reporting",
            "--token-file",
            file,
            "--task",
            "count orders",
            "--allow",
            "read",
            "--resource",
            "shop.public.orders",
            "--",
            "psql",
            "-XAt",
            "-c",
            sql,
        ];
        bed.gateway.cli(&arguments)
    };
    let counted = run_with("select count(*) from orders");
    assert_eq!((counted.code, counted.out.trim()), (0, "7900"), "{counted:?}");
    let refused = run_with("select count(*) from products");
    assert!(refused.err.contains("outside the task"), "{refused:?}");
    let login = bed.gateway.entries().into_iter().rev().find(|entry| entry["kind"] == "login").unwrap();
    assert_eq!(
        (&login["evidence"]["kind"], &login["task"]["goal"]),
        (&json!("parapet_token"), &json!("count orders")),
        "{login}"
    );
    let exported = cli(&bed, &["env", "reporting", "--token-file", file, "--task", "count orders", "--allow", "read"]);
    assert!(exported.contains("export PGPASSWORD='eyJ"), "{exported}");

    let keys = ask(&bed, "GET", "/jwks", &[], &[]);
    assert_eq!((&keys.body["keys"][0]["kty"], &keys.body["keys"][0]["d"]), (&json!("EC"), &Value::Null), "{keys:?}");
    let metadata = ask(&bed, "GET", "/.well-known/oauth-authorization-server", &[], &[]);
    assert_eq!(metadata.body["token_endpoint"], json!(url(&bed, "/token")), "{metadata:?}");
    let key = bed.folder.join("state/token-keys/current");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(key).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}
