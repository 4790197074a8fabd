//! The golden matrix of the starter pack: workload × action × resource × circumstances → verdict, policy, remedy. What it
//! says is reviewed as a diff of `policies/starter/decisions.golden`.

mod http;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::circumstances::{Circumstances, SessionHistory};
use crate::facts::{Facts, Inference};
use crate::operation::{Action, ActionGroup, Operation};
use crate::policy::{Evaluation, PolicyFile, Snapshot, SnapshotParts, evaluate};
use crate::resource::{Resource, ResourceKind};
use crate::testing::{around, name, trust, upstream, workload};
use crate::workload::{Workload, WorkloadKind};

const GOLDEN: &str = include_str!("../../../../policies/starter/decisions.golden");

const FILES: [(&str, &str); 7] = [
    ("mask-pii.cedar", include_str!("../../../../policies/starter/mask-pii.cedar")),
    ("bounded-writes.cedar", include_str!("../../../../policies/starter/bounded-writes.cedar")),
    ("agents-never-destroy.cedar", include_str!("../../../../policies/starter/agents-never-destroy.cedar")),
    ("schema-needs-dba.cedar", include_str!("../../../../policies/starter/schema-needs-dba.cedar")),
    ("no-exfiltration.cedar", include_str!("../../../../policies/starter/no-exfiltration.cedar")),
    ("hot.cedar", include_str!("../../../../policies/starter/hot.cedar")),
    ("demo.cedar", include_str!("../../../../policies/starter/demo.cedar")),
];

const RESOURCES: [(ResourceKind, &[&str]); 13] = [
    (ResourceKind::Upstream, &[]),
    (ResourceKind::Database, &["shop"]),
    (ResourceKind::Schema, &["shop", "public"]),
    (ResourceKind::Table, &["shop", "public", "orders"]),
    (ResourceKind::Column, &["shop", "public", "orders", "total"]),
    (ResourceKind::Column, &["shop", "public", "customers", "email"]),
    (ResourceKind::Column, &["shop", "public", "customers", "card"]),
    (ResourceKind::Function, &["shop", "public", "refund"]),
    (ResourceKind::Object, &["shop", "role", "admin"]),
    (ResourceKind::Endpoint, &["/v1/refunds"]),
    (ResourceKind::Field, &["/v1/customers/{id}", "$.email"]),
    (ResourceKind::Host, &["api.example.com:443"]),
    (ResourceKind::Secret, &["kv", "app/db"]),
];

fn workloads() -> Vec<Workload> {
    vec![
        workload("triage-bot", WorkloadKind::Agent, &["agents"]),
        workload("deploy", WorkloadKind::Ci, &["ci"]),
        workload("reporting", WorkloadKind::Service, &[]),
        workload("dump-job", WorkloadKind::Ci, &["ci"]),
        workload("other-bot", WorkloadKind::Bot, &[]),
        workload("other-device", WorkloadKind::Device, &[]),
    ]
}

fn snapshot(workloads: Vec<Workload>) -> Snapshot {
    let classes = [
        ("public.customers.email", "pii"),
        ("public.customers.name", "pii"),
        ("public.customers.card", "pci"),
        ("$.email", "pii"),
    ];
    Snapshot::build(SnapshotParts {
        epoch: 1,
        policies: FILES.map(|(name, text)| PolicyFile { name: name.into(), text: text.into() }).into(),
        workloads,
        upstreams: vec![upstream("shop-db", &classes)],
        trust: trust(&[]),
    })
    .expect("the pack validates")
}

/// What varies beside workload, action and resource.
struct Variant {
    name: &'static str,
    bounded: bool,
    inference: Inference,
    rows_read: u64,
    risk: u8,
}

const PLAIN: Variant = Variant { name: "", bounded: true, inference: Inference::Order, rows_read: 0, risk: 0 };
const VARIANTS: [Variant; 4] = [
    Variant { name: "unbounded", bounded: false, ..PLAIN },
    Variant { name: "equality", inference: Inference::Equality, ..PLAIN },
    Variant { name: "rows_read=50000", rows_read: 50_000, ..PLAIN },
    Variant { name: "risk=80", risk: 80, ..PLAIN },
];

fn said(evaluation: &Evaluation) -> String {
    let mut text = match &evaluation.reason {
        Some(crate::verdict::DenyReason::Quarantine(_)) => "quarantine".to_owned(),
        _ => evaluation.verdict.to_owned(),
    };
    if let Some(deciding) = &evaluation.deciding {
        write!(text, " {}", deciding.policy).unwrap();
    }
    if let Some(approval) = &evaluation.approval {
        let groups: Vec<&str> = approval.groups.iter().map(|group| group.as_str()).collect();
        write!(text, " by {}", groups.join("+")).unwrap();
    }
    for (_, mask, policy) in &evaluation.terms.masks {
        write!(text, " {} {policy}", mask.as_str()).unwrap();
    }
    if evaluation.verdict == "permit" {
        write!(text, " ({})", evaluation.terms.permits.join(", ")).unwrap();
    }
    text
}

/// Are operations of the action ever of such a resource? HTTP's are not of tables.
fn meet(action: Action, kind: ResourceKind) -> bool {
    match action {
        Action::HttpField => kind == ResourceKind::Field,
        Action::HttpTunnel => kind == ResourceKind::Host,
        Action::GraphqlQuery | Action::GraphqlSubscribe | Action::GraphqlMutate => {
            matches!(kind, ResourceKind::Endpoint | ResourceKind::Field)
        }
        _ if action.is_http() => matches!(kind, ResourceKind::Endpoint | ResourceKind::Secret),
        _ => !kind.is_http(),
    }
}

fn decision(
    workload: &Workload,
    action: Action,
    resource: &Arc<Resource>,
    variant: &Variant,
    pack: &Snapshot,
) -> String {
    let facts = Facts {
        bounded: Some(variant.bounded),
        inference: (action == Action::SqlInfer).then_some(variant.inference),
        object: Some("table".into()),
        statements: 1,
        http: action.is_http().then(Arc::default),
        ..Facts::default()
    };
    let operation = Operation { action, resource: resource.clone(), facts: Arc::new(facts), verb: "TEST", span: None };
    let around = Circumstances {
        session: SessionHistory { rows_read: variant.rows_read, ..SessionHistory::default() },
        ..around()
    };
    said(&evaluate(pack, &workload.name, &name("shop-db"), &[operation], &around))
}

#[test]
fn the_starter_pack_decides_as_written() {
    let plain = snapshot(workloads());
    let hot =
        plain.with_workloads(2, workloads().into_iter().map(|workload| Workload { risk: 80, ..workload }).collect());
    let mut matrix = String::from(
        "# workload (kind) | action | resource | circumstances, where they change the decision -> verdict, policy, remedy\n",
    );
    let (mut kinds, mut groups, mut types) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for workload in workloads() {
        for action in Action::ALL {
            for (kind, path) in RESOURCES {
                if !meet(*action, kind) {
                    continue;
                }
                kinds.insert(workload.kind.as_str());
                groups.insert(action.group().as_str());
                types.insert(kind.as_str());
                let resource = Arc::new(Resource::new(kind, &name("shop-db"), path));
                let subject = format!("{} ({}) | {action} | {resource}", workload.name, workload.kind.as_str());
                let usual = decision(&workload, *action, &resource, &PLAIN, &plain);
                writeln!(matrix, "{subject} | -> {usual}").unwrap();
                for variant in &VARIANTS {
                    let pack = if variant.risk > 0 { &hot } else { &plain };
                    let unusual = decision(&workload, *action, &resource, variant, pack);
                    // The rule on risk is the same for all: one row for each workload and action says it.
                    let shown = variant.risk == 0 || kind == ResourceKind::Table;
                    if unusual != usual && shown {
                        writeln!(matrix, "{subject} | {} -> {unusual}", variant.name).unwrap();
                    }
                }
            }
        }
    }
    // Nothing that exists is without a row.
    assert_eq!(kinds.len(), 5);
    assert_eq!(groups.len(), ActionGroup::ALL.len());
    assert_eq!(types.len(), ResourceKind::ALL.len());
    assert!(matrix == GOLDEN, "policies/starter/decisions.golden is not up to date. It would be:\n{matrix}<end>");
}

#[test]
fn every_policy_of_the_pack_is_told_and_tested() {
    let tests = include_str!("../../../../policies/starter/tests.yaml");
    for policy in snapshot(Vec::new()).policies().iter().filter(|policy| policy.forbids()) {
        let deciding = policy.deciding();
        assert!(deciding.reason.is_some() && deciding.hint.is_some(), "{}", deciding.policy);
        let masks = matches!(policy.remedy(), crate::policy::Remedy::Mask(_));
        assert!(
            masks
                || tests.contains(&format!("by: {},", deciding.policy))
                || tests.contains(&format!("by: {}}}", deciding.policy)),
            "{}",
            deciding.policy
        );
    }
}
