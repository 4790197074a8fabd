//! Each route × no token, a wrong token, too little right, the right one; and what the verbs do. Without sockets, but for one
//! test of the server.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use kernel::approval::{ApprovalTerms, Asked};
use kernel::id::{DecisionId, SessionId};
use kernel::policy::{Mode, Snapshot, SnapshotParts};
use kernel::ports::{ApprovalDesk, Check, LiveSessions, PortFuture, SessionView, Snapshots, UpstreamProbe};
use kernel::time::Timestamp;
use kernel::workload::{Name, Person, Workload, WorkloadKind, WorkloadStatus};
use serde_json::{Value, json};
use std::sync::Arc;
use store::approvals::{Desk, DeskOptions};
use store::classes::ClassDecisions;
use store::database::Database;
use store::kept::KeptStore;
use store::log::{DiskLog, LogOptions, MasterKey, verify};
use store::memory::StoppedClock;
use store::risk::Risks;
use store::signals::Signals;
use store::tasks::Tasks;
use store::tokens::Tokens;
use store::workloads::Workloads;
use tokio::sync::watch;

use crate::problem::Problem;
use crate::routes::router;
use crate::*;

const START: Timestamp = Timestamp::from_millis(1_795_233_600_000);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn person(text: &str) -> Person {
    Person(text.into())
}

fn session(n: u64) -> SessionView {
    SessionView {
        id: SessionId::new(Timestamp::from_millis(START.millis() + i64::try_from(n).unwrap() * 100_000), n),
        workload: name("triage"),
        upstream: name("shop-db"),
        protocol: "postgres",
        source: std::net::IpAddr::from([127, 0, 0, 1]),
        began: START,
        decisions: 1,
        denials: 0,
        rows: 3,
        last: None,
    }
}

struct Fakes {
    snapshot: Arc<Snapshot>,
    sessions: Mutex<Vec<SessionView>>,
}

impl Snapshots for Fakes {
    fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot)
    }

    fn changed(&self, _seen: u64) -> PortFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

impl LiveSessions for Fakes {
    fn list(&self) -> Vec<SessionView> {
        self.sessions.lock().unwrap().clone()
    }

    fn kill(&self, id: SessionId) -> bool {
        let mut sessions = self.sessions.lock().unwrap();
        let before = sessions.len();
        sessions.retain(|session| session.id != id);
        sessions.len() < before
    }
}

impl UpstreamProbe for Fakes {
    fn test(&self, _upstream: &Name) -> PortFuture<'_, Option<Vec<Check>>> {
        let check = Check { check: "tcp", passed: true, detail: "connected".to_owned(), fix: None };
        Box::pin(std::future::ready(Some(vec![check])))
    }
}

struct House {
    service: TowerToHyperService<axum::Router>,
    desk: Arc<Desk>,
    log: Arc<DiskLog>,
    clock: Arc<StoppedClock>,
    dir: std::path::PathBuf,
    /// Ann administers and is a dba, Bob and Kim are dbas, Mara owns `triage` and is a dba, Eve is nobody.
    tokens: [(&'static str, String); 5],
}

impl Drop for House {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.dir);
    }
}

fn workload(text: &str, owner: &str) -> Workload {
    Workload {
        name: name(text),
        owner: person(owner),
        kind: WorkloadKind::Agent,
        environment: name("production"),
        purpose: "sorts tickets".to_owned(),
        groups: BTreeSet::new(),
        expires: Some(Timestamp::from_millis(START.millis() + 86_400_000)),
        status: WorkloadStatus::Active,
        risk: 0,
    }
}

fn terms(quorum: u32) -> ApprovalTerms {
    ApprovalTerms {
        groups: BTreeSet::from([name("dba")]),
        quorum,
        open_for: Duration::from_secs(1800),
        valid_for: Duration::from_secs(600),
        uses: 1,
        policies: BTreeSet::from(["schema-needs-dba".into()]),
    }
}

#[expect(clippy::too_many_lines, reason = "every part of the API stands here once")]
async fn parts() -> (ControlParts, std::path::PathBuf, [(&'static str, String); 5], Arc<StoppedClock>) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let dir = std::env::temp_dir().join(format!(
        "parapet-control-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::SeqCst)
    ));
    let clock = Arc::new(StoppedClock::at(START));
    let (log, _) = DiskLog::open(&dir, LogOptions::default(), Arc::<StoppedClock>::clone(&clock)).await.unwrap();
    let log = Arc::new(log);
    let database = Database::in_memory().await.unwrap();
    let options = DeskOptions { sweep_every: Duration::from_secs(3600), ..DeskOptions::default() };
    let desk =
        Desk::open(database.clone(), Arc::<DiskLog>::clone(&log), Arc::<StoppedClock>::clone(&clock), options).await;
    let workloads = Workloads::open(database.clone(), Arc::<DiskLog>::clone(&log), Arc::<StoppedClock>::clone(&clock))
        .await
        .unwrap();
    let decisions = ClassDecisions::open(
        database.clone(),
        Arc::<DiskLog>::clone(&log),
        Arc::<StoppedClock>::clone(&clock),
        Box::new(|_, _| {}),
    );
    let decisions = decisions.await.unwrap();
    let as_clock = Arc::<StoppedClock>::clone(&clock);
    let tasks = Arc::new(
        Tasks::open(database.clone(), Arc::<DiskLog>::clone(&log), Arc::<StoppedClock>::clone(&clock)).await.unwrap(),
    );
    let given = Tokens::open(database.clone(), Arc::<DiskLog>::clone(&log), as_clock.clone()).await.unwrap();
    let given = Arc::new(given);
    let risks = Risks::open(database.clone(), Arc::<DiskLog>::clone(&log), as_clock.clone()).await.unwrap();
    let risks = Arc::new(risks);
    let kept = KeptStore::new(
        database.clone(),
        Arc::<DiskLog>::clone(&log),
        Arc::<StoppedClock>::clone(&clock),
        MasterKey::from_text(&"07".repeat(32)).unwrap(),
    );
    let signals = Signals::new(database, Arc::<DiskLog>::clone(&log), as_clock, Arc::clone(&risks), Arc::clone(&given));
    let snapshot = Snapshot::build(SnapshotParts {
        epoch: 7,
        workloads: vec![workload("triage", "mara@example.com"), workload("deploy", "bob@example.com")],
        ..SnapshotParts::default()
    });
    let fakes =
        Arc::new(Fakes { snapshot: Arc::new(snapshot.unwrap()), sessions: Mutex::new(vec![session(1), session(2)]) });
    let mut entries = Vec::new();
    let tokens =
        [("ann", true, true), ("bob", false, true), ("kim", false, true), ("mara", false, true), ("eve", false, false)]
            .map(|(who, admin, dba)| {
                let token = Token::generate().unwrap();
                let groups = if dba { BTreeSet::from([name("dba")]) } else { BTreeSet::new() };
                let person = person(&format!("{who}@example.com"));
                entries.push(PersonEntry { person, groups, admin, token: token.hash() });
                (who, token.expose().to_owned())
            });
    let parts = ControlParts {
        version: "0.1.0",
        began: START,
        listeners: vec![ListenerView {
            protocol: "postgres",
            address: std::net::SocketAddr::from(([127, 0, 0, 1], 5433)),
            tls: false,
            certificate: None,
        }],
        hosts: vec!["parapet.test".to_owned()],
        people: watch::Sender::new(Arc::new(People::new(entries))).subscribe(),
        clock: Arc::<StoppedClock>::clone(&clock),
        snapshots: Arc::<Fakes>::clone(&fakes),
        sessions: Arc::<Fakes>::clone(&fakes),
        probe: fakes,
        log,
        desk: Arc::new(desk),
        kept: Arc::new(kept),
        workloads: Arc::new(workloads),
        tokens: given,
        tasks: TaskParts {
            tasks: Arc::clone(&tasks),
            issue: Arc::new(move |asked| {
                let tasks = Arc::clone(&tasks);
                Box::pin(async move { tasks::issue(&tasks, asked).await })
            }),
            exchange: Arc::new(|_, _| Box::pin(std::future::ready(Err("not accepted".to_owned())))),
            end: Arc::new(|_| {}),
        },
        signals: SignalParts { risks, signals: Arc::new(signals), streams: Arc::new(Vec::new) },
        end_token: Arc::new(|_| {}),
        issuers: Arc::new(|| vec![json!({ "issuer": "https://issuer.example", "keys": 1 })]),
        upstreams: Arc::new(|| {
            vec![UpstreamView {
                name: name("shop-db"),
                protocol: "postgres",
                address: "127.0.0.1:5432".to_owned(),
                environment: name("production"),
                mode: Mode::Enforce,
                would_be_denied: 0,
            }]
        }),
        class_decisions: Arc::new(decisions),
        classes: Arc::new(|upstream, view| {
            let all = view == ClassView::All;
            (upstream.as_str() == "shop-db").then(|| vec![json!({ "column": "public.customers.email", "all": all })])
        }),
        scan: Arc::new(|_| Box::pin(std::future::ready(Ok(json!({ "tables": 3, "suggestions": 1 }))))),
        knows_column: Arc::new(|_, column| *column[2] == *"email"),
        explain: Arc::new(|entry| entry.get("decision").map(|_| json!({ "passes_if": "never" }))),
        decide: Arc::new(|request| {
            let known = request.workload == name("triage");
            let answer = if known { Ok(json!({ "verdict": "deny" })) } else { Err(DecideRefusal::NoWorkload) };
            Box::pin(std::future::ready(answer))
        }),
        foresee: Arc::new(|request| {
            let foreseen = match request.sql.as_str() {
                "select 1" => Err(ForeseeRefusal::Permitted),
                "drop database shop" => Err(ForeseeRefusal::Denied),
                _ if request.upstream != Some(name("shop-db")) => {
                    Err(ForeseeRefusal::NotJudged(DecideRefusal::NoUpstream))
                }
                sql => Ok(Foreseen {
                    digest: sql.to_owned(),
                    upstream: name("shop-db"),
                    text: sql.to_owned(),
                    summary: "DROP TABLE on shop-db/shop.public.orders".to_owned(),
                    template: "drop table orders".to_owned(),
                    terms: terms(1),
                }),
            };
            Box::pin(std::future::ready(foreseen))
        }),
        renew_master_key: {
            let waits = Arc::new(AtomicBool::new(false));
            Arc::new(move || {
                if waits.load(Ordering::SeqCst) {
                    return Err(MasterKeyRefusal::Waiting);
                }
                let waits = Arc::clone(&waits);
                Ok(Box::new(move || {
                    waits.store(true, Ordering::SeqCst);
                    Ok(())
                }))
            })
        },
        reload: Arc::new(|| Box::pin(std::future::ready(Err(vec![json!({ "message": "unknown key" })])))),
    };
    (parts, dir, tokens, clock)
}

async fn house() -> House {
    let (parts, dir, tokens, clock) = parts().await;
    let (desk, log) = (Arc::clone(&parts.desk), Arc::clone(&parts.log));
    House { service: TowerToHyperService::new(router(&Arc::new(parts))), desk, log, clock, dir, tokens }
}

impl House {
    fn token(&self, who: &str) -> &str {
        &self.tokens.iter().find(|(name, _)| *name == who).unwrap().1
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.service.call(request).await.unwrap();
        let status = response.status();
        let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        if status.is_success() {
            assert_eq!(kind, "application/json");
            assert!(body["schema"].as_str().unwrap().starts_with("parapet."), "{body}");
        } else {
            assert_eq!(kind, "application/problem+json");
            assert_eq!(body["status"], status.as_u16());
            assert_eq!(body["type"], format!("urn:parapet:{}", body["code"].as_str().unwrap()));
        }
        (status, body)
    }

    async fn call(&self, who: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = request(method, path).header(header::AUTHORIZATION, format!("Bearer {}", self.token(who)));
        let request = match &body {
            Value::Null => request.body(Body::empty()),
            body => request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string())),
        };
        let (status, answer) = self.send(request.unwrap()).await;
        (status.as_u16(), answer)
    }

    async fn get(&self, who: &str, path: &str) -> (u16, Value) {
        self.call(who, "GET", path, Value::Null).await
    }

    async fn ask(&self, content: &str, quorum: u32) -> String {
        let asked = Asked {
            decision: DecisionId::new(START, 2),
            session: Some(SessionId::new(START, 3)),
            workload: name("triage"),
            owner: person("mara@example.com"),
            started_by: None,
            upstream: name("shop-db"),
            digest: content.to_owned(),
            summary: "DROP TABLE on shop-db/shop.public.orders".to_owned(),
            text: "drop table \u{202e}orders -- '4711'".to_owned(),
            template: "drop table orders".to_owned(),
            terms: terms(quorum),
            reason: None,
            at: START,
        };
        self.desk.ask(asked).await.unwrap().to_string()
    }

    /// The administrative entries of the log: who and what.
    async fn entered(&self) -> Vec<String> {
        let found = store::log::search(
            self.log.dir(),
            store::log::Filter { kind: Some("admin".to_owned()), ..Default::default() },
            store::log::Order::OldestFirst,
        );
        found
            .unwrap()
            .map(|found| {
                let entry = found.unwrap().entry;
                let part = |member: &str| entry[member].as_str().unwrap_or("-").to_owned();
                format!("{} {} {} {}", part("by"), part("action"), part("object"), part("reason"))
            })
            .collect()
    }
}

fn request(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder()
        .method(Method::from_bytes(method.as_bytes()).unwrap())
        .uri(path)
        .header(header::HOST, "127.0.0.1:7000")
}

/// A call of the route that would succeed with the right token: its path and body.
fn sample(route: &RouteView, approval: &str) -> (String, Value) {
    let id = match route.action.split(' ').next() {
        Some("approvals") => approval.to_owned(),
        Some("sessions") | Some("explain") | Some("tasks") => "last".to_owned(),
        Some("incidents") => "inc_01JX8ZQ301JX8ZQ3".to_owned(),
        _ => String::new(),
    };
    let named = if route.action.starts_with("upstreams") { "shop-db" } else { "triage" };
    let path = route.path.replace("{id}", &id).replace("{name}", named);
    let path = path.replace("{number}", "7").replace("{address}", "192.0.2.1");
    let body = match route.action {
        "decide" => json!({ "as": "triage", "on": "shop-db", "sql": "select 1" }),
        "approvals request" => json!({ "as": "triage", "on": "shop-db", "sql": "drop table orders" }),
        "approvals approve"
        | "approvals withdraw"
        | "upstreams test"
        | "upstreams classes scan"
        | "reload"
        | "signals ack" => json!({}),
        "workloads risk set" => json!({ "score": 50, "reason": "a test" }),
        "upstreams classes confirm" | "upstreams classes reject" => {
            json!({ "column": ["public", "customers", "email"], "class": "pii", "reason": "a test" })
        }
        "audit rotate" => json!({ "overlap_ms": 60_000, "reason": "a test" }),
        "audit shred" => json!({ "person": "mara@example.com", "reason": "a test" }),
        "tasks exchange" => json!({
            "subject_token": "none", "authorization_details": [{ "type": "parapet_task" }],
        }),
        "tasks issue" => json!({
            "reason": "a test", "life_ms": 60_000, "authorization_details": [{ "type": "parapet_task" }],
        }),
        "workloads token issue" => json!({ "reason": "a test", "life_ms": 86_400_000 }),
        _ if route.method == "POST" => json!({ "reason": "a test" }),
        _ => Value::Null,
    };
    (path, body)
}

/// What an answer may be once the caller has the right: what is not there, in another state, or broken on purpose.
const BEYOND_RIGHTS: [u16; 4] = [200, 404, 409, 422];

#[tokio::test]
async fn every_route_asks_for_a_token_and_its_right() {
    let house = house().await;
    let mut handled = 0;
    for route in &ROUTES {
        // The desk holds no more requests of one workload than it must here.
        let asked = route.action.starts_with("approvals");
        let approval = if asked { house.ask(route.path, 1).await } else { String::new() };
        let (path, body) = sample(route, &approval);
        let bytes = if body.is_null() { String::new() } else { body.to_string() };
        let stranger = Token::generate().unwrap();
        for credential in [
            None,
            Some("Bearer ".to_owned()),
            Some("Bearer nonsense".to_owned()),
            Some(format!("Bearer {}", stranger.expose())),
            Some(format!("Basic {}", house.token("ann"))),
            Some(house.token("ann").to_owned()),
            Some(format!("Bearer {}x", house.token("ann"))),
        ] {
            let mut request = request(route.method, &path).header(header::CONTENT_TYPE, "application/json");
            if let Some(credential) = &credential {
                request = request.header(header::AUTHORIZATION, credential);
            }
            let (status, answer) = house.send(request.body(Body::from(bytes.clone())).unwrap()).await;
            assert_eq!((status.as_u16(), &answer["code"]), (401, &json!("PAR0307")), "{route:?} {credential:?}");
        }
        // Eve has no right but to be here, and is no party to any approval.
        let (status, answer) = house.call("eve", route.method, &path, body.clone()).await;
        match (route.right, route.action.split(' ').nth(1)) {
            (Right::Administrator, _) => {
                assert_eq!((status, &answer["code"]), (403, &json!("PAR0308")), "{route:?}");
                assert_eq!(
                    house.entered().await.last().unwrap(),
                    &format!("eve@example.com refused {} -", route.action)
                );
            }
            (Right::Anyone, Some("request" | "issue")) => assert_eq!(status, 403, "{route:?}"),
            (Right::Anyone, Some("approve" | "reject" | "withdraw" | "revoke")) => assert_eq!(status, 404, "{route:?}"),
            (Right::Anyone, _) => assert!(BEYOND_RIGHTS.contains(&status), "{route:?}: {status}"),
        }
        let (status, answer) = house.call("ann", route.method, &path, body).await;
        assert!(BEYOND_RIGHTS.contains(&status), "{route:?}: {answer}");
        assert_ne!(answer["detail"], Problem::NoRoute.to_string(), "{route:?} has no handler");
        handled += 1;
    }
    assert_eq!(handled, ROUTES.len());
    let distinct: BTreeSet<_> = ROUTES.iter().map(|route| (route.method, route.path)).collect();
    let actions: BTreeSet<_> = ROUTES.iter().map(|route| route.action).collect();
    assert_eq!((distinct.len(), actions.len()), (ROUTES.len(), ROUTES.len()));
    house.log.close().await;
    assert!(verify(house.log.dir()).unwrap().entries > 0);
}

#[tokio::test]
async fn what_is_no_route_is_told_to_nobody_without_a_token() {
    let house = house().await;
    let (status, _) = house.send(request("GET", "/v1/nothing").body(Body::empty()).unwrap()).await;
    assert_eq!(status, 401);
    for (method, path, expected) in [
        ("GET", "/v1/nothing", 404),
        ("GET", "/", 404),
        ("DELETE", "/v1/status", 405),
        ("POST", "/v1/status", 405),
        ("GET", "/v1/reload", 405),
        ("GET", "/v1/approvals/last/approve", 405),
        ("GET", "/v1/workloads/%FF", 400),
        ("GET", "/v1/status?x=1", 400),
        ("GET", "/v1/audit?limit=many", 400),
        ("GET", "/v1/audit?since=yesterday", 400),
        ("GET", "/v1/approvals?state=none", 400),
    ] {
        let (status, answer) = house.call("ann", method, path, Value::Null).await;
        assert_eq!(status, expected, "{method} {path}: {answer}");
    }
}

#[tokio::test]
async fn web_pages_and_foreign_hosts_are_refused_with_the_best_token() {
    let house = house().await;
    let bearer = format!("Bearer {}", house.token("ann"));
    for (headers, expected) in [
        (vec![("host", "127.0.0.1:7000")], 200),
        (vec![("host", "LOCALHOST")], 200),
        (vec![("host", "[::1]:80")], 200),
        (vec![("host", "parapet.test:1")], 200),
        (vec![], 421),
        (vec![("host", "evil.example")], 421),
        (vec![("host", "127.0.0.1.evil.example")], 421),
        (vec![("host", "localhost:80:80")], 421),
        (vec![("host", "127.0.0.1"), ("host", "evil.example")], 421),
        (vec![("host", "127.0.0.1"), ("origin", "http://127.0.0.1")], 403),
        (vec![("host", "127.0.0.1"), ("origin", "null")], 403),
        (vec![("host", "127.0.0.1"), ("authorization", "Bearer second")], 401),
    ] {
        let mut request = Request::builder().uri("/v1/status").header(header::AUTHORIZATION, &bearer);
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let (status, answer) = house.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(status, expected, "{headers:?}: {answer}");
    }
}

#[tokio::test]
async fn bodies_are_small_strict_json() {
    let house = house().await;
    let bearer = format!("Bearer {}", house.token("ann"));
    let long = format!("{{\"reason\":\"{}\"}}", "x".repeat(70_000));
    for (kind, body, expected) in [
        ("application/json", "{\"reason\":\"\"}", 400),
        ("application/json", "{\"reason\":\"x\",\"force\":true}", 400),
        ("application/json", "{\"reason\":1}", 400),
        ("application/json", "", 400),
        ("text/plain", "{\"reason\":\"x\"}", 400),
        ("application/x-www-form-urlencoded", "reason=x", 400),
        ("application/json", &long, 413),
        ("application/json; charset=utf-8", "{\"reason\":\"odd hours\"}", 200),
    ] {
        let request = request("POST", "/v1/workloads/triage/quarantine")
            .header(header::AUTHORIZATION, &bearer)
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(body.to_owned()));
        let (status, answer) = house.send(request.unwrap()).await;
        assert_eq!(status, expected, "{kind}: {answer}");
    }
    assert_eq!(house.entered().await, ["ann@example.com workloads quarantine triage odd hours"]);
}

mod signals;
mod tasks;
mod verbs;
