//! What a judgement costs: a memo hit, and a miss with 50 and with 1,000 policies. Prints nanoseconds for each.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a bench prints, and stops where it cannot be set up")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parapet_kernel::circumstances::{Circumstances, SessionHistory};
use parapet_kernel::facts::Facts;
use parapet_kernel::id::{DecisionId, SessionId};
use parapet_kernel::judge::{Memo, judge};
use parapet_kernel::operation::{Action, Operation};
use parapet_kernel::policy::{Disclosure, Mode, PolicyFile, Snapshot, SnapshotParts, Upstream};
use parapet_kernel::resource::{Resource, ResourceKind};
use parapet_kernel::time::Timestamp;
use parapet_kernel::trust::{Authenticated, Trust, TrustRule, VerifiedAttestation};
use parapet_kernel::verdict::{Content, Request};
use parapet_kernel::workload::{Name, Person, Workload, WorkloadKind, WorkloadStatus};

const NOW: Timestamp = Timestamp::from_millis(1_795_233_600_000);

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn bot() -> Workload {
    Workload {
        name: name("bot"),
        owner: Person("mara@example.com".into()),
        kind: WorkloadKind::Agent,
        environment: name("production"),
        purpose: "benches".to_owned(),
        groups: [name("agents")].into(),
        expires: None,
        status: WorkloadStatus::Active,
        risk: 0,
    }
}

/// One permit for the workload, six rules for everybody, and rules for other workloads, as in a bundle of a company.
fn snapshot(policies: usize) -> Snapshot {
    let mut text = String::from(
        r#"@id("p") permit(principal == Workload::"bot", action in [Action::"read", Action::"connect"], resource in Upstream::"shop-db");
        @id("bounded") forbid(principal, action in [Action::"sql:update", Action::"sql:delete"], resource) unless { context.bounded };
        @id("dba") @approve("dba") forbid(principal, action in Action::"destroy", resource);
        @id("pii") @mask("partial") forbid(principal, action in Action::"read", resource is Column) when { resource.classes.contains("pii") };
        @id("hot") @quarantine forbid(principal, action, resource) when { principal.risk >= 80 };
        @id("tor") forbid(principal, action, resource) when { context.source.threats.contains("anonymizer") };
        @id("rows") @quarantine forbid(principal, action in Action::"read", resource) when { context.session.rows_read >= 50000 };"#,
    );
    for i in 7..policies {
        text += &format!(
            "@id(\"w{i}\") permit(principal == Workload::\"w{i}\", action in Action::\"read\", resource in Upstream::\"shop-db\");\n"
        );
    }
    Snapshot::build(SnapshotParts {
        epoch: 1,
        policies: vec![PolicyFile { name: "bench.cedar".into(), text: text.into() }],
        workloads: vec![bot()],
        upstreams: vec![Upstream {
            name: name("shop-db"),
            environment: name("production"),
            mode: Mode::Enforce,
            disclosure: Disclosure::Full,
            classes: vec![("public.customers.email".to_owned(), "pii".to_owned())],
        }],
        trust: Trust::default(),
    })
    .expect("policies that validate")
}

#[expect(clippy::disallowed_methods, reason = "a bench's attestation")]
fn who() -> Authenticated {
    let claims = BTreeMap::from([("sub".to_owned(), "bot".to_owned())]);
    let attestation = VerifiedAttestation::by_signature("https://issuer", claims.clone(), NOW);
    let rule = TrustRule::new("https://issuer", claims, name("bot"));
    let bot = bot();
    Trust::new(vec![rule]).authenticate(&attestation, None, |_| Some(&bot), Timestamp::from_millis(0)).expect("a proof")
}

/// `select id, email from customers`: a table and two columns.
fn operations() -> Arc<[Operation]> {
    let facts = Arc::new(Facts { bounded: Some(false), statements: 1, ..Facts::default() });
    let one = |kind, path: &[&str]| Operation {
        action: Action::SqlSelect,
        resource: Arc::new(Resource::new(kind, &name("shop-db"), path)),
        facts: facts.clone(),
        verb: "SELECT",
        span: None,
    };
    [
        one(ResourceKind::Table, &["shop", "public", "customers"]),
        one(ResourceKind::Column, &["shop", "public", "customers", "id"]),
        one(ResourceKind::Column, &["shop", "public", "customers", "email"]),
    ]
    .into()
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn measure(mut step: impl FnMut(u128)) -> Duration {
    const LONG_ENOUGH: Duration = Duration::from_millis(300);
    let mut rounds = 1u128;
    loop {
        let begin = Instant::now();
        (0..rounds).for_each(&mut step);
        let taken = begin.elapsed();
        if taken >= LONG_ENOUGH {
            return taken / u32::try_from(rounds).unwrap_or(u32::MAX);
        }
        rounds *= 2;
    }
}

fn main() {
    let (who, operations) = (who(), operations());
    let (upstream, text, template): (Name, Arc<str>, Arc<str>) = (name("shop-db"), "select".into(), "select".into());
    let around = Circumstances {
        now: NOW,
        source: std::net::Ipv4Addr::LOCALHOST.into(),
        threats: Arc::default(),
        stale: Arc::default(),
        tls: true,
        in_transaction: false,
        session: SessionHistory::default(),
        provenance: None,
        left: Default::default(),
    };
    let request = |shape| Request {
        decision: DecisionId::new(NOW, 1),
        session: SessionId::new(NOW, 2),
        upstream: &upstream,
        operations: operations.clone(),
        shape,
        content: Content { wire: Vec::new(), text: text.clone(), template: template.clone(), values: Vec::new() },
    };
    for policies in [50, 1000] {
        let snapshot = snapshot(policies);
        let mut memo = Memo::new();
        let hit = measure(|_| {
            black_box(judge(&snapshot, &mut memo, &who, request(1), &around));
        });
        let mut memo = Memo::new();
        let miss = measure(|shape| {
            black_box(judge(&snapshot, &mut memo, &who, request(shape), &around));
        });
        println!(
            "judge, {policies:>4} policies: memo hit {:>6} ns, miss (3 operations) {:>8} ns",
            hit.as_nanos(),
            miss.as_nanos()
        );
    }
}
