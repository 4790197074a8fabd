//! The golden matrix of the HTTP pack: workload × request × facts → verdict, policy, remedy, budgets. What it says is reviewed as a diff of
//! `policies/http/decisions.golden`. Whether a request is understood as what it is, the pack's `tests.yaml` says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::said;
use crate::circumstances::Circumstances;
use crate::facts::{Facts, HttpFacts};
use crate::id::TaskId;
use crate::operation::{Action, Operation};
use crate::policy::{Evaluation, PolicyFile, Remedy, Snapshot, SnapshotParts, evaluate};
use crate::provenance::Provenance;
use crate::resource::{Resource, ResourceKind};
use crate::task::{Details, Link, Task};
use crate::testing::{NOW, around, name, trust, upstream, workload};
use crate::workload::{Workload, WorkloadKind};

const GOLDEN: &str = include_str!("../../../../../policies/http/decisions.golden");
const TESTS: &str = include_str!("../../../../../policies/http/tests.yaml");

const FILES: [(&str, &str); 7] = [
    ("agents.cedar", include_str!("../../../../../policies/http/agents.cedar")),
    ("bounded-requests.cedar", include_str!("../../../../../policies/http/bounded-requests.cedar")),
    ("demo.cedar", include_str!("../../../../../policies/http/demo.cedar")),
    ("destroy-needs-approval.cedar", include_str!("../../../../../policies/http/destroy-needs-approval.cedar")),
    ("limits.cedar", include_str!("../../../../../policies/http/limits.cedar")),
    ("mask-fields.cedar", include_str!("../../../../../policies/http/mask-fields.cedar")),
    ("secrets.cedar", include_str!("../../../../../policies/http/secrets.cedar")),
];

/// What is asked: the action, of what, and the endpoint's id.
type Asked = (Action, &'static str, ResourceKind, &'static [&'static str], &'static str);

use Action::*;
use ResourceKind::{Endpoint, Field, Host, Secret};

const CUSTOMER: &[&str] = &["/v1/customers/{id}"];
const GRAPHQL: &[&str] = &["/graphql"];
const PURGE: &[&str] = &["/v1/purge"];
const DB: &[&str] = &["secret", "app/db"];

const REQUESTS: [Asked; 34] = [
    (Connect, "payments", ResourceKind::Upstream, &[], ""),
    (Connect, "vault", ResourceKind::Upstream, &[], ""),
    (HttpGet, "payments", Endpoint, CUSTOMER, "customer"),
    (HttpGet, "payments", Endpoint, &["/v1/search"], "search"),
    (HttpGet, "payments", Endpoint, &["/**"], ""),
    (HttpHead, "payments", Endpoint, CUSTOMER, "customer"),
    (HttpOptions, "payments", Endpoint, CUSTOMER, "customer"),
    (HttpPost, "payments", Endpoint, &["/v1/refunds"], "refund"),
    (HttpPut, "payments", Endpoint, CUSTOMER, "customer"),
    (HttpPatch, "payments", Endpoint, CUSTOMER, "customer"),
    (HttpDelete, "payments", Endpoint, CUSTOMER, "customer"),
    (HttpDefine, "payments", Endpoint, PURGE, ""),
    (HttpDestroy, "payments", Endpoint, PURGE, ""),
    (HttpExecute, "payments", Endpoint, PURGE, ""),
    (HttpReveal, "payments", Endpoint, &["/v1/keys/{id}"], "key"),
    (HttpGrant, "payments", Endpoint, &["/v1/roles/{name}"], "roles"),
    (HttpAdminister, "payments", Endpoint, PURGE, ""),
    (HttpField, "payments", Field, &["/v1/customers/{id}", "$.name"], ""),
    (HttpField, "payments", Field, &["/v1/customers/{id}", "$.email"], ""),
    (HttpField, "payments", Field, &["/v1/customers/{id}", "$.card"], ""),
    (HttpField, "payments", Field, &["/v1/customers/{id}", "$.api_key"], ""),
    (GraphqlQuery, "payments", Endpoint, GRAPHQL, "graphql"),
    (GraphqlSubscribe, "payments", Endpoint, GRAPHQL, "graphql"),
    (GraphqlMutate, "payments", Endpoint, GRAPHQL, "graphql"),
    (GraphqlQuery, "payments", Field, &["/graphql", "Query.customer.email"], ""),
    (HttpReveal, "vault", Secret, DB, ""),
    (HttpGet, "vault", Secret, DB, ""),
    (HttpPost, "vault", Secret, DB, ""),
    (HttpDelete, "vault", Secret, DB, ""),
    (HttpDestroy, "vault", Secret, DB, ""),
    (HttpGrant, "vault", Secret, &["auth", "token/create"], ""),
    (HttpAdminister, "vault", Secret, &["sys", "mounts"], ""),
    (HttpTunnel, "internet", Host, &["api.example.com:443"], ""),
    (Connect, "internet", ResourceKind::Upstream, &[], ""),
];

fn workloads() -> Vec<Workload> {
    vec![
        workload("triage-bot", WorkloadKind::Agent, &[]),
        workload("deploy", WorkloadKind::Ci, &[]),
        workload("refunds", WorkloadKind::Service, &[]),
        workload("clicker", WorkloadKind::Bot, &[]),
        workload("meter", WorkloadKind::Device, &[]),
        workload("auditor", WorkloadKind::Service, &["pii-readers", "pci-readers"]),
        workload("keeper", WorkloadKind::Service, &["secret-readers"]),
        workload("loader", WorkloadKind::Service, &["uploaders", "websocket-users"]),
    ]
}

fn snapshot() -> Snapshot {
    let classes =
        [("$.email", "pii"), ("$.card", "pci"), ("$.card", "pii"), ("$.api_key", "secret"), ("Query.*.email", "pii")];
    Snapshot::build(SnapshotParts {
        epoch: 1,
        policies: FILES.map(|(name, text)| PolicyFile { name: name.into(), text: text.into() }).into(),
        workloads: workloads(),
        upstreams: vec![upstream("payments", &classes), upstream("vault", &[]), upstream("internet", &[])],
        trust: trust(&[]),
    })
    .expect("the pack validates")
}

/// What varies beside workload and request.
#[derive(Clone)]
struct Variant {
    name: &'static str,
    size: Option<u64>,
    amount: Option<i64>,
    upgrade: Option<&'static str>,
    depth: u32,
    cost: u64,
    task: bool,
}

const PLAIN: Variant =
    Variant { name: "", size: Some(100), amount: Some(1500), upgrade: None, depth: 2, cost: 3, task: false };
const VARIANTS: [Variant; 9] = [
    Variant { name: "size=10485761", size: Some(10_485_761), ..PLAIN },
    Variant { name: "size unknown", size: None, ..PLAIN },
    Variant { name: "amount=20001", amount: Some(20_001), ..PLAIN },
    Variant { name: "amount=-5", amount: Some(-5), ..PLAIN },
    Variant { name: "no amount", amount: None, ..PLAIN },
    Variant { name: "upgrade=websocket", upgrade: Some("websocket"), ..PLAIN },
    Variant { name: "depth=9", depth: 9, ..PLAIN },
    Variant { name: "cost=501", cost: 501, ..PLAIN },
    Variant { name: "task", task: true, ..PLAIN },
];

fn facts((action, _, _, path, operation): Asked, variant: &Variant) -> Facts {
    let graphql = matches!(action, GraphqlQuery | GraphqlSubscribe | GraphqlMutate);
    let refund = operation == "refund";
    let http = HttpFacts {
        template: path.first().copied().unwrap_or_default().into(),
        operation: (!operation.is_empty()).then(|| operation.into()),
        numbers: variant
            .amount
            .filter(|_| refund)
            .map(|amount| BTreeMap::from([("amount".into(), amount)]))
            .unwrap_or_default(),
        size: variant.size,
        upgrade: variant.upgrade.map(Arc::from),
        depth: graphql.then_some(variant.depth),
        cost: graphql.then_some(variant.cost),
        ..HttpFacts::default()
    };
    Facts { http: action.is_http().then(|| Arc::new(http)), ..Facts::default() }
}

/// A task that bounds nothing: what it is for is somebody's word.
fn task(workload: &Workload) -> Arc<Provenance> {
    let details = Details::parse("[{\"type\": \"parapet_task\", \"goal\": \"mend it\"}]").expect("a task");
    let link = Link { mark: [0; 32], details, expires: NOW.after(Duration::from_secs(900)) };
    let task = Task::new(TaskId::new(NOW, 0), vec![workload.name.as_str().into()], vec![link]).expect("a task");
    Arc::new(Provenance { task: Some(Arc::new(task)), ..Provenance::default() })
}

fn decided(workload: &Workload, asked: Asked, variant: &Variant, pack: &Snapshot) -> String {
    let (action, on, kind, path, _) = asked;
    let on = name(on);
    let resource = Arc::new(Resource::new(kind, &on, path));
    let facts = Arc::new(facts(asked, variant));
    let operation = Operation { action, resource, facts, verb: "TEST", span: None };
    let around = Circumstances { provenance: variant.task.then(|| task(workload)), ..around() };
    with_terms(&evaluate(pack, &workload.name, &on, &[operation], &around))
}

/// The decision, and what it costs.
fn with_terms(evaluation: &Evaluation) -> String {
    let mut text = said(evaluation);
    if evaluation.verdict == "permit" {
        for budget in &evaluation.terms.budgets {
            let drawn = budget.drawn.as_ref().map_or(1, |drawn| drawn.amount);
            write!(text, " draws {drawn} on {}", budget.by.policy).unwrap();
        }
        if let Some(bytes) = evaluation.terms.limits.bytes {
            write!(text, " bytes={bytes}").unwrap();
        }
    }
    text
}

#[test]
fn the_http_pack_decides_as_written() {
    let pack = snapshot();
    let mut matrix = String::from(
        "# workload (kind) | action | resource | facts, where they change the decision -> verdict, policy, remedy, budgets\n",
    );
    for workload in workloads() {
        for asked in REQUESTS {
            let (action, on, kind, path, _) = asked;
            let resource = Resource::new(kind, &name(on), path);
            let subject = format!("{} ({}) | {action} | {resource}", workload.name, workload.kind.as_str());
            let usual = decided(&workload, asked, &PLAIN, &pack);
            writeln!(matrix, "{subject} | -> {usual}").unwrap();
            for variant in &VARIANTS {
                let unusual = decided(&workload, asked, variant, &pack);
                if unusual != usual {
                    writeln!(matrix, "{subject} | {} -> {unusual}", variant.name).unwrap();
                }
            }
        }
    }
    assert!(matrix == GOLDEN, "policies/http/decisions.golden is not up to date. It would be:\n{matrix}<end>");
}

/// Nothing that exists is without a row.
#[test]
fn every_action_of_http_has_a_row() {
    let rows: BTreeSet<&str> = REQUESTS.iter().map(|(action, ..)| action.as_str()).collect();
    let missing: Vec<&str> =
        Action::ALL.iter().filter(|action| action.is_http()).map(|action| action.as_str()).collect();
    assert!(missing.iter().all(|action| rows.contains(action)), "{rows:?}");
    let kinds: BTreeSet<&str> = REQUESTS.iter().map(|(_, _, kind, ..)| kind.as_str()).collect();
    assert!(ResourceKind::ALL.iter().filter(|kind| kind.is_http()).all(|kind| kinds.contains(kind.as_str())));
    let by_kind: BTreeSet<&str> = workloads().iter().map(|workload| workload.kind.as_str()).collect();
    assert_eq!(by_kind.len(), 5);
}

#[test]
fn every_policy_of_the_http_pack_is_told_and_tested() {
    for policy in snapshot().policies().iter().filter(|policy| policy.forbids()) {
        let deciding = policy.deciding();
        let id = &deciding.policy;
        assert!(deciding.reason.is_some() && deciding.hint.is_some(), "{id}");
        let decides = [",", "}"].iter().any(|end| TESTS.contains(&format!("by: {id}{end}")));
        let draws = TESTS.contains(&format!("{{{id}: "));
        assert!(decides || draws || matches!(policy.remedy(), Remedy::Mask(_)), "{id}");
        assert!(GOLDEN.contains(&**id), "{id}");
    }
}
