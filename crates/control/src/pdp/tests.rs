//! The decision point without sockets: one house with two upstreams, callers of every sort, and a log that can fail. Each area
//! has a table: AuthZEN in `authzen`, access requests in `requests`, what proxies pass on in `checks`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use kernel::approval::Approver;
use kernel::facts::{Facts, HttpFacts};
use kernel::operation::{Action, Operation};
use kernel::policy::{Disclosure, Mode, PolicyFile, Snapshot, SnapshotParts, Upstream};
use kernel::ports::{Containment, ContainmentError, PortFuture, Snapshots};
use kernel::resource::{Resource, ResourceKind};
use kernel::secret::Secret;
use kernel::task::Left;
use kernel::time::Timestamp;
use kernel::verdict::{Deciding, Undecidable};
use kernel::workload::{Name, Person, Workload, WorkloadKind, WorkloadStatus};
use serde_json::Value;
use store::approvals::{Desk, DeskOptions};
use store::database::Database;
use store::memory::{MemoryLog, StoppedClock};

use super::*;
use crate::people::{People, PersonEntry};
use crate::token::Token;

mod authzen;
mod checks;
mod reading;
mod requests;

const START: Timestamp = Timestamp::from_millis(1_795_233_600_000);

/// The fixture of AuthZEN's certification scenario (alice, bob, record-1, record-2), and some of our own.
const POLICIES: &str = r#"
@id("all-read-records") permit(principal in Group::"users", action == Action::"http:GET", resource in Upstream::"records");
@id("all-read-fields") permit(principal in Group::"users", action == Action::"http:field", resource in Upstream::"records");
@id("fields-are-masked") @mask("partial") forbid(principal, action == Action::"http:field", resource);
@id("alice-writes") permit(principal == Workload::"alice", action == Action::"http:PUT", resource in Upstream::"records")
  unless { context.body.hasTag("status") && context.body.getTag("status") == "archived" };
@id("admins-write-archived") permit(principal, action == Action::"http:PUT", resource in Upstream::"records")
  when { ((context.body.hasTag("status") && context.body.getTag("status") == "archived")
      || (context.parameters.hasTag("id") && context.parameters.getTag("id") == "record-2"))
    && (principal in Group::"admins"
      || (context.body.hasTag("subject.role") && context.body.getTag("subject.role") == "admin")) };
@id("soft-deletes") permit(principal == Workload::"alice", action == Action::"http:DELETE", resource in Upstream::"records")
  when { context.body.hasTag("action.soft") && context.body.getTag("action.soft") == "true" };

@id("triage-may") permit(principal == Workload::"triage", action, resource in Upstream::"shop-db");
@id("bounded") @reason("UPDATE needs a WHERE") @hint("add one")
  forbid(principal, action == Action::"sql:update", resource) unless { context.bounded };
@id("drops-ask") @approve("dba") forbid(principal, action == Action::"sql:drop", resource);
@id("mail-is-masked") @mask("partial") forbid(principal, action == Action::"sql:select", resource is Column)
  when { resource.name == "email" };
@id("few") @limit("per=2/1h") forbid(principal, action == Action::"sql:call", resource);
@id("grants-quarantine") @quarantine forbid(principal, action == Action::"sql:grant", resource);
@id("office-only") forbid(principal, action == Action::"sql:truncate", resource)
  unless { context.source.address.isInRange(ip("10.0.0.0/8")) };
@id("api-connects") permit(principal == Workload::"triage", action == Action::"connect:session", resource in Upstream::"api");
@id("api-reads") permit(principal == Workload::"triage", action == Action::"http:GET", resource in Upstream::"api");
@id("api-posts-ask") @approve("dba") forbid(principal, action == Action::"http:POST", resource in Upstream::"api");
@id("api-posts") permit(principal == Workload::"triage", action == Action::"http:POST", resource in Upstream::"api");
@id("api-deletes") @quarantine forbid(principal, action == Action::"http:DELETE", resource in Upstream::"api");
"#;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

struct Fixed {
    snapshot: Arc<Snapshot>,
    quarantined: Mutex<Vec<String>>,
}

impl Snapshots for Fixed {
    fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot)
    }

    fn changed(&self, _seen: u64) -> PortFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

impl Containment for Fixed {
    fn quarantine(&self, workload: &Name, _because: &Deciding) -> PortFuture<'_, Result<(), ContainmentError>> {
        self.quarantined.lock().unwrap().push(workload.to_string());
        Box::pin(std::future::ready(Ok(())))
    }
}

struct House {
    service: TowerToHyperService<Router>,
    log: Arc<MemoryLog>,
    clock: Arc<StoppedClock>,
    desk: Arc<Desk>,
    fixed: Arc<Fixed>,
    /// Ann's.
    person: String,
}

fn workload(text: &str, groups: &[&str]) -> Workload {
    Workload {
        name: name(text),
        owner: Person("mara@example.com".into()),
        kind: WorkloadKind::Service,
        environment: name("production"),
        purpose: "tests".to_owned(),
        groups: groups.iter().map(|group| name(group)).collect(),
        expires: None,
        status: WorkloadStatus::Active,
        risk: 0,
    }
}

fn upstream(text: &str, disclosure: Disclosure) -> Upstream {
    Upstream { name: name(text), environment: name("production"), mode: Mode::Enforce, disclosure, classes: Vec::new() }
}

fn hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes()).as_ref());
    hash
}

/// A caller whose token is its name and `-token`.
fn caller(text: &str, may: &[Use]) -> CallerEntry {
    CallerEntry {
        name: name(text),
        proof: CallerProof::Token(hash(&format!("{text}-token"))),
        may: may.iter().copied().collect(),
        upstreams: BTreeSet::new(),
        disclosure: Disclosure::Full,
        headers: HeaderFamily::Original,
        certificates: false,
    }
}

fn settings() -> Settings {
    let every = [Use::Evaluate, Use::Search, Use::Request, Use::Check];
    let endpoint = |action: Action, method: &str| TypeEndpoint {
        action,
        operation: None,
        fields: Vec::new(),
        method: method.into(),
        template: "/records/{id}".into(),
    };
    let record = TypeEntry {
        upstream: name("records"),
        actions: BTreeMap::from([
            ("read".to_owned(), endpoint(Action::HttpGet, "GET")),
            ("write".to_owned(), endpoint(Action::HttpPut, "PUT")),
            ("delete".to_owned(), endpoint(Action::HttpDelete, "DELETE")),
            ("purge".to_owned(), endpoint(Action::HttpDestroy, "GET")),
            (
                "export".to_owned(),
                TypeEndpoint {
                    operation: Some("export".into()),
                    fields: vec![Arc::new(Resource::new(
                        ResourceKind::Field,
                        &name("records"),
                        ["/records/{id}", "$.email"],
                    ))],
                    ..endpoint(Action::HttpGet, "GET")
                },
            ),
        ]),
        ids: vec!["record-1".into(), "record-2".into()],
    };
    let by_workload =
        CallerEntry { proof: CallerProof::Workload(name("gatekeeper")), ..caller("mesh", &[Use::Evaluate]) };
    Settings {
        callers: vec![
            caller("app", &every),
            caller("other", &every),
            caller("searcher", &[Use::Search]),
            CallerEntry { upstreams: [name("records")].into(), ..caller("narrow", &every) },
            CallerEntry { disclosure: Disclosure::Id, ..caller("terse", &every) },
            CallerEntry { disclosure: Disclosure::Policy, ..caller("brief", &every) },
            CallerEntry { certificates: true, ..caller("envoy", &[Use::Check]) },
            CallerEntry { headers: HeaderFamily::Forwarded, ..caller("traefik", &[Use::Check]) },
            by_workload,
        ],
        subjects: ["user".to_owned()].into(),
        types: [("record".to_owned(), record)].into(),
    }
}

/// Tokens are `NAME's`; certificates are the name's bytes.
fn identify(shown: ShownProof) -> Result<Identified, Unidentified> {
    let known = |name: &str| ["triage", "gatekeeper"].contains(&name);
    let by_token = shown.token.as_ref().and_then(|token| token.expose().strip_suffix("'s").map(str::to_owned));
    let by_certificate = || String::from_utf8(shown.certificates.first()?.clone()).ok();
    match by_token.or_else(by_certificate).filter(|name| known(name)) {
        Some(who) => Ok(Identified { workload: name(&who), provenance: None, left: Left::default() }),
        None => Err(Unidentified("not one of ours".to_owned())),
    }
}

/// `api.example` is the upstream `api`; a path with `..` cannot be read, nor one whose body is read and not told; everything else is
/// one operation.
fn classify(asked: &HttpAsked) -> Result<HttpUnderstood, HttpNotUnderstood> {
    if asked.authority != "api.example" {
        return Err(HttpNotUnderstood::NoUpstream);
    }
    if asked.target.contains("..") {
        return Err(HttpNotUnderstood::Undecidable { upstream: name("api"), why: Undecidable::AmbiguousPath });
    }
    if asked.target.contains("reads-body") && asked.body.is_none() {
        return Err(HttpNotUnderstood::Undecidable { upstream: name("api"), why: Undecidable::AmbiguousBody });
    }
    let action = Action::named(&format!("http:{}", asked.method)).ok_or(HttpNotUnderstood::Malformed)?;
    let resource = Resource::new(ResourceKind::Endpoint, &name("api"), ["/v1/things"]);
    let http =
        HttpFacts { method: asked.method.as_str().into(), template: "/v1/things".into(), ..HttpFacts::default() };
    let facts = Facts { http: Some(Arc::new(http)), ..Facts::default() };
    let (resource, facts) = (Arc::new(resource), Arc::new(facts));
    Ok(HttpUnderstood {
        upstream: name("api"),
        operations: [Operation { action, resource, facts, verb: action.as_str(), span: None }].into(),
        template: format!("{} /v1/things", asked.method).into(),
        text: format!("{} {}{} {:?}", asked.method, asked.authority, asked.target, asked.body).into(),
    })
}

async fn house() -> House {
    let clock = Arc::new(StoppedClock::at(START));
    let log = Arc::new(MemoryLog::default());
    let database = Database::in_memory().await.unwrap();
    let options = DeskOptions { sweep_every: Duration::from_secs(3600), ..DeskOptions::default() };
    let desk = Desk::open(database, Arc::<MemoryLog>::clone(&log), Arc::<StoppedClock>::clone(&clock), options).await;
    let desk = Arc::new(desk);
    let snapshot = Snapshot::build(SnapshotParts {
        epoch: 1,
        policies: vec![PolicyFile { name: "test.cedar".into(), text: POLICIES.into() }],
        workloads: vec![
            workload("alice", &["users"]),
            workload("bob", &["users", "admins"]),
            workload("triage", &[]),
            workload("gatekeeper", &[]),
            Workload { status: WorkloadStatus::Quarantined, ..workload("held", &["users"]) },
        ],
        upstreams: vec![
            upstream("records", Disclosure::Full),
            upstream("shop-db", Disclosure::Full),
            upstream("api", Disclosure::Full),
        ],
        ..SnapshotParts::default()
    });
    let fixed = Arc::new(Fixed { snapshot: Arc::new(snapshot.unwrap()), quarantined: Mutex::default() });
    let token = Token::generate().unwrap();
    let ann = PersonEntry {
        person: Person("ann@example.com".into()),
        groups: BTreeSet::new(),
        admin: false,
        token: token.hash(),
    };
    let settings = Arc::new(settings());
    let taken: Arc<Mutex<u64>> = Arc::default();
    let parts = PdpParts {
        url: "https://pdp.example".to_owned(),
        public_url: "https://parapet.example".to_owned(),
        key: Secret::new(vec![7; 32]),
        settings: Arc::new(move || Arc::clone(&settings)),
        people: tokio::sync::watch::Sender::new(Arc::new(People::new(vec![ann]))).subscribe(),
        clock: Arc::<StoppedClock>::clone(&clock),
        snapshots: Arc::<Fixed>::clone(&fixed),
        log: Arc::<MemoryLog>::clone(&log),
        desk: Arc::clone(&desk),
        containment: Arc::<Fixed>::clone(&fixed),
        identify: Arc::new(|shown| Box::pin(std::future::ready(identify(shown)))),
        classify: Arc::new(|asked, _| classify(asked)),
        take_budgets: Arc::new(move |asked| {
            let mut taken = taken.lock().unwrap();
            asked.budgets.iter().try_for_each(|budget| {
                *taken += 1;
                let left = *taken <= budget.rate.count;
                left.then_some(()).ok_or((budget, Some(Duration::from_millis(41_001))))
            })
        }),
        kin: Arc::new(|resource| match resource.path.iter().any(|name| &**name == "missing") {
            true => Err(Undecidable::UnknownRelation),
            false => Ok(None),
        }),
        known: Arc::new(|kind| match kind {
            ResourceKind::Table => {
                vec![Resource::new(kind, &name("shop-db"), ["shop", "public", "orders"])]
            }
            _ => Vec::new(),
        }),
    };
    let point = DecisionPoint::new(parts);
    let arrived = Arrived {
        connected: Arc::new(Connected { source: [127, 0, 0, 1].into(), tls: true, certificates: Vec::new() }),
        session: SessionId::new(START, 9),
    };
    let service = TowerToHyperService::new(point.router.layer(axum::Extension(arrived)));
    House { service, log, clock, desk, fixed, person: token.expose().to_owned() }
}

struct Reply {
    status: u16,
    headers: axum::http::HeaderMap,
    bytes: Vec<u8>,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl House {
    async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.service.call(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec();
        Reply { status, headers, bytes }
    }

    /// As a caller with a token, with JSON.
    async fn post(&self, caller: &str, path: &str, body: &Value) -> Reply {
        self.post_text(caller, path, &body.to_string()).await
    }

    async fn post_text(&self, caller: &str, path: &str, body: &str) -> Reply {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {caller}-token"))
            .header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// A request with these headers and no body.
    async fn pass(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// The entries of a kind.
    fn entered(&self, kind: &str) -> Vec<Value> {
        self.log.entries().into_iter().filter(|entry| entry["kind"] == kind).collect()
    }

    async fn approve(&self, approval: &str) {
        let id = approval.parse().unwrap();
        let by = Approver { person: Person("kim@example.com".into()), groups: [name("dba")].into() };
        self.desk.approve(id, &by, None).await.unwrap();
    }
}
