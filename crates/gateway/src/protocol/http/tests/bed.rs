//! A gateway in front of a tripwire: an upstream on loopback that records every byte and answers what the test scripts. The
//! client speaks over a pipe. Clock, log and desk are the test's own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use kernel::approval::{Approval, Approver, Asked};
use kernel::audit::{AppendError, Batch, LeafIndex};
use kernel::id::{ApprovalId, GrantId};
use kernel::policy::{Disclosure, Mode, PolicyFile, Snapshot, SnapshotParts, Upstream};
use kernel::ports::{
    Answer, Appending, ApprovalDesk, AuditLog, Clock, Containment, ContainmentError, DeskError, NativeToken,
    NativeTokens, PortFuture, Snapshots, SpendError, Spent, SpentTokens,
};
use kernel::time::Timestamp;
use kernel::trust::{OnceToken, Trust};
use kernel::verdict::Deciding;
use kernel::workload::{Name, Person, Workload, WorkloadKind, WorkloadStatus};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use wire::http::endpoint::{Endpoint, Endpoints, Field, Template, Unlisted};
use wire::http::json_path::JsonPath;
use wire::mask::MaskKey;

use crate::budget::Budgets;
use crate::listen::{Host, accept_loop};
use crate::login::logins::Logins;
use crate::login::native::NativeLogins;
use crate::login::oidc::Issuers;
use crate::protocol::http::{Given, HttpGateway, HttpLimits, HttpUpstream, Upgrades};
use crate::session::Parts;
use crate::sessions::Sessions;
use crate::tasks::Tasks;
use crate::tls::UpstreamTls;
use crate::upstream::dial::Dialler;
use crate::upstream::fetch::Fetcher;

/// 2026-11-21 (a Saturday) 04:00 UTC.
pub(super) const NOW: i64 = 1_795_233_600_000;

/// What the tests judge by.
const POLICIES: &str = r#"
    @id("bot-payments") permit (principal == Workload::"bot",
      action in [Action::"connect", Action::"read", Action::"write", Action::"delete"], resource in Upstream::"payments");
    @id("no-large-refunds") @reason("refunds above 100 are for people") forbid (principal, action == Action::"http:POST",
      resource == Endpoint::"payments/v1/refunds")
      when { context.amounts.hasTag("amount") && context.amounts.getTag("amount") > 100 };
    @id("no-secrets") forbid (principal, action, resource == Endpoint::"payments/v1/secrets");
    @id("payouts") @approve("ops") forbid (principal, action, resource == Endpoint::"payments/v1/payouts");
    @id("pii-is-masked") @mask("redact") forbid (principal, action == Action::"http:field", resource)
      when { resource.classes.contains("pii") };
    @id("short") @limit("bytes=100") forbid (principal, action, resource == Endpoint::"payments/v1/capped");
    @id("twice") @limit("per=2/1h") forbid (principal, action, resource == Endpoint::"payments/v1/rare");
"#;

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A native token as they are written, the same for the same seed.
pub(super) fn token(seed: &str) -> String {
    let letters = |bytes: &[u8]| -> String {
        let bit = |place: usize| bytes.get(place / 8).map_or(0, |byte| (byte >> (7 - place % 8)) & 1);
        (0..bytes.len() * 8 / 5)
            .map(|letter| {
                let value = (0..5).fold(0, |value, place| value * 2 + bit(letter * 5 + place));
                char::from(if value < 26 { b'a' + value } else { b'2' + (value - 26) })
            })
            .collect()
    };
    let random = format!("{}a", letters(digest(&SHA256, seed.as_bytes()).as_ref()));
    let check = letters(digest(&SHA256, format!("parapet token\n{random}").as_bytes()).as_ref());
    format!("ppt_{random}{}", check.get(..6).unwrap_or_default())
}

/// Everything that the gateway meets the rest by.
pub(super) struct House {
    now: AtomicI64,
    drawn: AtomicU64,
    entries: Mutex<Vec<String>>,
    fails: Mutex<bool>,
    snapshot: Mutex<Arc<Snapshot>>,
    /// Becomes the snapshot once the current one has been asked for.
    next: Mutex<Option<Arc<Snapshot>>>,
    changed: Notify,
    approvals: Mutex<BTreeMap<ApprovalId, Approval>>,
    answered: Notify,
    revoked: Mutex<BTreeSet<String>>,
}

impl House {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            now: AtomicI64::new(NOW),
            drawn: AtomicU64::new(1),
            entries: Mutex::default(),
            fails: Mutex::default(),
            snapshot: Mutex::new(Arc::new(snapshot(1, WorkloadStatus::Active, ""))),
            next: Mutex::default(),
            changed: Notify::new(),
            approvals: Mutex::default(),
            answered: Notify::new(),
            revoked: Mutex::default(),
        })
    }

    /// Every entry of the log, as text.
    pub(super) fn entries(&self) -> Vec<String> {
        self.entries.lock().unwrap().clone()
    }

    /// From now on the log takes no entries.
    pub(super) fn break_log(&self) {
        *self.fails.lock().unwrap() = true;
    }

    pub(super) fn approvals(&self) -> Vec<Approval> {
        self.approvals.lock().unwrap().values().cloned().collect()
    }

    /// Somebody of the right group approves everything that is open.
    pub(super) fn approve_all(&self) {
        let by = Approver { person: Person("ann@example.com".into()), groups: [name("ops")].into() };
        for approval in self.approvals.lock().unwrap().values_mut() {
            let grant = GrantId::new(self.now(), self.random());
            drop(approval.approve(&by, grant, self.now()));
        }
        self.answered.notify_waiters();
    }

    pub(super) fn quarantine_bot(&self) {
        *self.snapshot.lock().unwrap() = Arc::new(snapshot(2, WorkloadStatus::Quarantined, ""));
        self.changed.notify_waiters();
    }

    /// The policies change, with these besides, between the next look at them and the one after.
    pub(super) fn reload_after_next_look(&self, more: &str) {
        *self.next.lock().unwrap() = Some(Arc::new(snapshot(2, WorkloadStatus::Active, more)));
    }

    /// The policies change, with these besides.
    pub(super) fn reload(&self, more: &str) {
        *self.snapshot.lock().unwrap() = Arc::new(snapshot(2, WorkloadStatus::Active, more));
    }

    pub(super) fn pass(&self, time: Duration) {
        self.now.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub(super) fn revoke(&self, id: &str) {
        self.revoked.lock().unwrap().insert(id.to_owned());
    }
}

fn snapshot(epoch: u64, status: WorkloadStatus, more: &str) -> Snapshot {
    let classes = [("$.customers.email".to_owned(), "pii".to_owned()), ("$.email".to_owned(), "pii".to_owned())];
    let workload = |text: &str, status| Workload {
        name: name(text),
        owner: Person("mara@example.com".into()),
        kind: WorkloadKind::Agent,
        environment: name("production"),
        purpose: "tests".to_owned(),
        groups: BTreeSet::new(),
        expires: None,
        status,
        risk: 0,
    };
    let parts = SnapshotParts {
        epoch,
        policies: vec![PolicyFile { name: "test.cedar".into(), text: format!("{POLICIES}{more}").into() }],
        workloads: vec![workload("bot", status), workload("other", WorkloadStatus::Active)],
        upstreams: vec![Upstream {
            name: name("payments"),
            environment: name("production"),
            mode: Mode::Enforce,
            disclosure: Disclosure::Full,
            classes: classes.into(),
        }],
        trust: Trust::new(Vec::new()),
    };
    Snapshot::build(parts).unwrap_or_else(|problems| panic!("{problems:?}"))
}

impl Clock for House {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    fn random(&self) -> u64 {
        self.drawn.fetch_add(1, Ordering::SeqCst)
    }
}

impl AuditLog for House {
    fn append<'a>(&'a self, batch: &'a Batch) -> Appending<'a> {
        if *self.fails.lock().unwrap() {
            return Appending::Done(Err(AppendError::Unwritable));
        }
        let mut entries = self.entries.lock().unwrap();
        let first = LeafIndex(entries.len() as u64);
        entries.extend(batch.entries().map(|entry| String::from_utf8_lossy(entry).into_owned()));
        Appending::Done(Ok(first))
    }
}

impl ApprovalDesk for House {
    fn ask<'a>(&'a self, asked: Asked) -> PortFuture<'a, Result<ApprovalId, DeskError>> {
        Box::pin(async move {
            let mut approvals = self.approvals.lock().unwrap();
            let open = |approval: &&Approval| {
                approval.asked.digest == asked.digest && matches!(approval.state.as_str(), "asked" | "granted")
            };
            if let Some(known) = approvals.values().find(open) {
                return Ok(known.id);
            }
            let id = ApprovalId::new(self.now(), self.random());
            approvals.insert(id, Approval::ask(id, asked));
            Ok(id)
        })
    }

    fn wait(&self, id: ApprovalId, patience: Duration) -> PortFuture<'_, Result<Answer, DeskError>> {
        Box::pin(async move {
            let granted = async {
                loop {
                    let answered = self.answered.notified();
                    if let Some(approval) = self.approvals.lock().unwrap().get_mut(&id)
                        && let Ok(grant) = approval.take_use(self.now())
                    {
                        return Answer::Granted(grant);
                    }
                    answered.await;
                }
            };
            Ok(tokio::time::timeout(patience, granted).await.unwrap_or(Answer::StillWaiting))
        })
    }

    fn withdraw(&self, _id: ApprovalId) -> PortFuture<'_, Result<(), DeskError>> {
        Box::pin(async { Ok(()) })
    }
}

impl Containment for House {
    fn quarantine(&self, _workload: &Name, _because: &Deciding) -> PortFuture<'_, Result<(), ContainmentError>> {
        Box::pin(async { Ok(()) })
    }
}

impl Snapshots for House {
    fn current(&self) -> Arc<Snapshot> {
        let mut current = self.snapshot.lock().unwrap();
        let seen = Arc::clone(&current);
        if let Some(next) = self.next.lock().unwrap().take() {
            *current = next;
        }
        seen
    }

    fn changed(&self, seen: u64) -> PortFuture<'_, ()> {
        Box::pin(async move {
            loop {
                let changed = self.changed.notified();
                if self.current().epoch() != seen {
                    return;
                }
                changed.await;
            }
        })
    }
}

impl SpentTokens for House {
    fn spend<'a>(&'a self, _token: &'a OnceToken) -> PortFuture<'a, Result<Spent, SpendError>> {
        Box::pin(async { Ok(Spent::Consumed) })
    }
}

impl NativeTokens for House {
    fn find(&self, hash: &[u8; 32]) -> Option<NativeToken> {
        let is = |seed: &str| digest(&SHA256, token(seed).as_bytes()).as_ref() == hash && self.in_force(seed);
        let found = ["bot", "other"].into_iter().find(|seed| is(seed))?;
        let expires = Timestamp::from_millis(NOW + 3_600_000);
        if expires <= self.now() {
            return None;
        }
        Some(NativeToken { id: found.into(), workload: name(found), expires })
    }

    fn in_force(&self, id: &str) -> bool {
        !self.revoked.lock().unwrap().contains(id)
    }
}

/// An upstream that records what reaches it.
#[derive(Debug, Default)]
pub(super) struct Tripwire {
    heard: Mutex<Vec<Vec<u8>>>,
    connections: AtomicU64,
    answer: Mutex<Vec<u8>>,
    /// Answers only when told.
    pub(super) hold: Mutex<Option<Arc<Notify>>>,
}

impl Tripwire {
    /// Every connection's bytes so far.
    pub(super) fn heard(&self) -> String {
        self.heard.lock().unwrap().iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    pub(super) fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    pub(super) fn answer(&self, bytes: impl Into<Vec<u8>>) {
        *self.answer.lock().unwrap() = bytes.into();
    }

    async fn serve(self: Arc<Self>, mut stream: tokio::net::TcpStream) {
        let place = {
            self.connections.fetch_add(1, Ordering::SeqCst);
            let mut heard = self.heard.lock().unwrap();
            heard.push(Vec::new());
            heard.len() - 1
        };
        let mut done = 0;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let Ok(many @ 1..) = stream.read(&mut buffer).await else { return };
            let whole = {
                let mut heard = self.heard.lock().unwrap();
                heard[place].extend_from_slice(&buffer[..many]);
                end_of_request(&heard[place][done..]).map(|length| done + length)
            };
            let Some(end) = whole else { continue };
            done = end;
            let hold = self.hold.lock().unwrap().clone();
            let answer = self.answer.lock().unwrap().clone();
            if stream.write_all(&answer).await.is_err() {
                return;
            }
            if let Some(hold) = hold {
                hold.notified().await;
            }
            if answer.windows(17).any(|window| window == b"connection: close") {
                return;
            }
        }
    }
}

/// How long the first request is, if it is all there.
fn end_of_request(bytes: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let (head, body) = text.split_at(text.find("\r\n\r\n")? + 4);
    if head.contains("transfer-encoding: chunked") {
        return Some(head.len() + body.find("0\r\n\r\n")? + 5);
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    let end = head.len() + length.unwrap_or(0);
    (bytes.len() >= end).then_some(end)
}

pub(super) fn ok(body: &str) -> String {
    typed("application/json", body)
}

pub(super) fn typed(kind: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// The gateway, its house and its upstream.
pub(super) struct Bed {
    pub(super) house: Arc<House>,
    pub(super) gateway: Arc<HttpGateway>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) tripwire: Arc<Tripwire>,
    pub(super) native: Arc<NativeLogins>,
    pub(super) tasks: Tasks,
}

fn endpoint(method: &str, path: &str, body: &[(&str, &str)], fields: &[&str]) -> Endpoint {
    let mut endpoint = Endpoint::new(method, Template::parse(path).unwrap());
    endpoint.body = body.iter().map(|(name, path)| wire::http::body::BodyField::parse(name, path).unwrap()).collect();
    let field = |path: &&str| Field { path: JsonPath::parse(path).unwrap(), classes: Vec::new() };
    endpoint.fields = fields.iter().map(field).collect();
    endpoint
}

impl Bed {
    pub(super) async fn new() -> Self {
        Self::with(|_upstream| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut HttpUpstream)) -> Self {
        let house = House::new();
        let tasks = Tasks::new();
        let tripwire = Arc::new(Tripwire::default());
        tripwire.answer(ok("{}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = Arc::clone(&tripwire);
        let accept = accept_loop(listener, 100, Host::small(&tasks), "tripwire", move |stream, _peer| {
            Arc::clone(&serving).serve(stream)
        });
        tasks.spawn("tripwire", accept);
        let endpoints = vec![
            endpoint("POST", "/v1/refunds", &[("amount", "$.amount")], &[]),
            endpoint("GET", "/v1/customers/{id}", &[], &["$.email", "$.customers.email"]),
            endpoint("PUT", "/v1/customers/{id}", &[], &[]),
            endpoint("PATCH", "/v1/customers/{id}", &[], &[]),
            endpoint("GET", "/v1/secrets", &[], &[]),
            endpoint("POST", "/v1/payouts", &[], &[]),
            endpoint("GET", "/v1/capped", &[], &[]),
            endpoint("GET", "/v1/rare", &[], &[]),
            endpoint("POST", "/v1/upload", &[("total", "$.total")], &[]),
            endpoint("*", "/v1/open/{path...}", &[], &[]),
        ];
        let mut upstream = HttpUpstream {
            name: name("payments"),
            origin: format!("http://127.0.0.1:{port}").parse().unwrap(),
            hosts: vec!["payments.internal".to_owned()],
            prefixes: Vec::new(),
            endpoints: Arc::new(Endpoints::new(&name("payments"), endpoints, Unlisted::Deny).unwrap()),
            store: None,
            upgrades: Upgrades::new(["websocket"]),
            tls: None::<UpstreamTls>,
            credential: None,
            cookies: false,
            mask_keys: Arc::new(MaskKey::new(b"0123456789abcdef0123456789abcdef")),
            detect: None,
            keeps: None,
            limits: HttpLimits { body: 4096, ..HttpLimits::default() },
        };
        change(&mut upstream);
        let sessions = Arc::new(Sessions::default());
        let parts = Parts {
            clock: house.clone(),
            log: house.clone(),
            desk: house.clone(),
            containment: house.clone(),
            snapshots: house.clone(),
            spent: house.clone(),
            sessions: Arc::clone(&sessions),
            budgets: Arc::new(Budgets::default()),
            public_url: "http://127.0.0.1:18000".into(),
        };
        let issuers = Issuers::new(Vec::new(), &Fetcher::new(Dialler::new(), None), house.clone()).unwrap();
        let native = Arc::new(NativeLogins::new(house.clone(), house.clone()));
        let logins = Logins::new(Arc::new(issuers)).with_native_tokens(native.clone());
        let upstreams = [Arc::new(upstream)];
        let gateway = HttpGateway::new(parts, logins, Dialler::new(), None, &upstreams, tasks.clone()).unwrap();
        Self { house, gateway: Arc::new(gateway), sessions, tripwire, native, tasks }
    }

    /// Opens a connection.
    pub(super) fn connect(&self, h2: bool) -> DuplexStream {
        let (client, server) = tokio::io::duplex(256 * 1024);
        let gateway = Arc::clone(&self.gateway);
        let given = Given {
            peer: "192.0.2.7:4711".parse().unwrap(),
            tls: false,
            sni: None,
            h2,
            ahead: Vec::new(),
            certificates: Vec::new(),
            proofs: None,
            claimed: None,
        };
        self.tasks.spawn("client", async move { gateway.serve_stream(server, given).await });
        client
    }

    /// Sends bytes, closes the sending side, and gives everything that comes back.
    pub(super) async fn talk(&self, bytes: &str) -> String {
        let mut client = self.connect(false);
        client.write_all(bytes.as_bytes()).await.unwrap();
        // The gateway may have ended the connection already.
        drop(client.shutdown().await);
        let mut said = Vec::new();
        drop(client.read_to_end(&mut said).await);
        String::from_utf8_lossy(&said).into_owned()
    }
}

/// An answer without the marks of its chunks.
pub(super) fn unchunked(said: &str) -> String {
    let Some((head, mut rest)) = said.split_once("\r\n\r\n") else { return said.to_owned() };
    if !head.contains("transfer-encoding: chunked") {
        return said.to_owned();
    }
    let mut whole = format!("{head}\r\n\r\n");
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0).min(behind.len());
        let (chunk, behind) = behind.split_at(size);
        whole.push_str(chunk);
        rest = behind.strip_prefix("\r\n").unwrap_or_default();
    }
    whole
}

/// A request of the bot's, or whatever `more` says.
pub(super) fn request(line: &str, more: &str, body: &str) -> String {
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let bearer = token("bot");
    format!("{line} HTTP/1.1\r\nhost: payments.internal\r\nauthorization: Bearer {bearer}\r\n{length}{more}\r\n{body}")
}

/// Reads until the text stands in what came.
pub(super) async fn until(client: &mut DuplexStream, text: &str) -> String {
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&said).contains(text) {
        match client.read(&mut buffer).await {
            Ok(many @ 1..) => said.extend_from_slice(&buffer[..many]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}
