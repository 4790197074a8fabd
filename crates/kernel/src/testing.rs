//! Requests, workloads and snapshots for the kernel's own tests.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::audit::{AppendError, Batch, LeafIndex};
use crate::circumstances::{Circumstances, SessionHistory};
use crate::facts::Facts;
use crate::id::{DecisionId, SessionId};
use crate::operation::{Action, Operation};
use crate::policy::{Disclosure, Mode, PolicyFile, Snapshot, SnapshotParts, Upstream};
use crate::ports::{Appending, AuditLog};
use crate::resource::{Resource, ResourceKind};
use crate::time::Timestamp;
use crate::trust::{Authenticated, Trust, TrustRule, VerifiedAttestation};
use crate::verdict::{Content, Request};
use crate::workload::{Name, Person, Workload, WorkloadKind, WorkloadStatus};

/// 2026-11-21 (a Saturday) 04:00 UTC.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_233_600_000);

pub(crate) fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

pub(crate) fn workload(text: &str, kind: WorkloadKind, groups: &[&str]) -> Workload {
    Workload {
        name: name(text),
        owner: Person("mara@example.com".into()),
        kind,
        environment: name("production"),
        purpose: "tests".to_owned(),
        groups: groups.iter().map(|group| name(group)).collect(),
        expires: None,
        status: WorkloadStatus::Active,
        risk: 0,
    }
}

pub(crate) fn upstream(text: &str, classes: &[(&str, &str)]) -> Upstream {
    Upstream {
        name: name(text),
        environment: name("production"),
        mode: Mode::Enforce,
        disclosure: Disclosure::Full,
        classes: classes.iter().map(|(pattern, class)| ((*pattern).to_owned(), (*class).to_owned())).collect(),
    }
}

/// The workload `bot` (an agent in the group `agents`) and the upstream `shop-db`, under the given policies.
pub(crate) fn parts(policies: &str) -> SnapshotParts {
    SnapshotParts {
        epoch: 1,
        policies: vec![PolicyFile { name: "test.cedar".into(), text: policies.into() }],
        workloads: vec![workload("bot", WorkloadKind::Agent, &["agents"])],
        upstreams: vec![upstream("shop-db", &[("public.customers.email", "pii"), ("public.*.card", "pci")])],
        trust: trust(&["bot"]),
    }
}

pub(crate) fn snapshot(policies: &str) -> Snapshot {
    Snapshot::build(parts(policies)).expect("policies that validate")
}

/// Trusts `https://issuer` to name these workloads in `sub`.
pub(crate) fn trust(names: &[&str]) -> Trust {
    Trust::new(
        names
            .iter()
            .map(|text| {
                let claims = BTreeMap::from([("sub".to_owned(), (*text).to_owned())]);
                TrustRule::new("https://issuer", claims, name(text))
            })
            .collect(),
    )
}

/// A workload with a token for a task; without a task, by its trust rule.
#[expect(clippy::disallowed_methods, reason = "a test's attestation")]
pub(crate) fn authenticated_for(text: &str, task: Option<crate::task::Task>) -> Authenticated {
    let Some(task) = task else { return authenticated(text) };
    let known = workload(text, WorkloadKind::Agent, &[]);
    let expires = task.expires().expect("a task ends");
    let provenance = crate::provenance::Provenance::default();
    let (name, sender) = (known.name.clone(), crate::trust::Sender::Bearer);
    let attestation = VerifiedAttestation::by_parapet_token("jti", name, task, provenance, expires, sender);
    trust(&[])
        .authenticate(&attestation, None, |wanted| (*wanted == known.name).then_some(&known), NOW)
        .expect("a proof")
}

#[expect(clippy::disallowed_methods, reason = "a test's attestation")]
pub(crate) fn authenticated(text: &str) -> Authenticated {
    let claims = BTreeMap::from([("sub".to_owned(), text.to_owned())]);
    let attestation = VerifiedAttestation::by_signature("https://issuer", claims, NOW);
    let known = workload(text, WorkloadKind::Agent, &[]);
    trust(&[text])
        .authenticate(&attestation, None, |wanted| (*wanted == known.name).then_some(&known), Timestamp::from_millis(0))
        .expect("a proof")
}

pub(crate) fn around() -> Circumstances {
    Circumstances {
        now: NOW,
        source: std::net::Ipv4Addr::LOCALHOST.into(),
        threats: Arc::default(),
        stale: Arc::default(),
        tls: true,
        in_transaction: false,
        session: SessionHistory::default(),
        provenance: None,
        left: Default::default(),
    }
}

/// An operation on `shop-db`; the kind of resource follows from how deep the path is.
pub(crate) fn operation(action: Action, path: &[&str]) -> Operation {
    operation_with(
        action,
        path,
        Facts { bounded: Some(true), object: Some("table".into()), statements: 1, ..Facts::default() },
    )
}

pub(crate) fn operation_with(action: Action, path: &[&str], facts: Facts) -> Operation {
    let kind = match path.len() {
        0 => ResourceKind::Upstream,
        1 => ResourceKind::Database,
        2 => ResourceKind::Schema,
        3 => ResourceKind::Table,
        _ => ResourceKind::Column,
    };
    let resource = Arc::new(Resource::new(kind, &name("shop-db"), path));
    Operation { action, resource, facts: Arc::new(facts), verb: "TEST", span: None }
}

pub(crate) fn request(shape: u128, operations: &[Operation]) -> Request<'static> {
    static SHOP: LazyLock<Name> = LazyLock::new(|| name("shop-db"));
    Request {
        decision: DecisionId::new(NOW, 1),
        session: SessionId::new(NOW, 2),
        upstream: &SHOP,
        operations: operations.into(),
        shape,
        content: Content {
            wire: b"Q".to_vec(),
            text: "select 1".into(),
            template: "select $1".into(),
            values: Vec::new(),
        },
    }
}

/// A log in memory, which fails when it is told to.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: std::sync::Mutex<Vec<Vec<u8>>>,
    fails: std::sync::atomic::AtomicBool,
}

impl Log {
    pub(crate) fn fail(&self, fails: bool) {
        self.fails.store(fails, std::sync::atomic::Ordering::Relaxed);
    }

    pub(crate) fn entries(&self) -> Vec<Vec<u8>> {
        self.entries.lock().expect("no panic").clone()
    }
}

impl AuditLog for Log {
    fn append<'a>(&'a self, batch: &'a Batch) -> Appending<'a> {
        let mut entries = self.entries.lock().expect("no panic");
        let first = LeafIndex(entries.len() as u64);
        let fails = self.fails.load(std::sync::atomic::Ordering::Relaxed);
        if !fails {
            entries.extend(batch.entries().map(<[u8]>::to_vec));
        }
        Appending::Done(if fails { Err(AppendError::Unwritable) } else { Ok(first) })
    }
}

/// What a future yields that has nothing to wait for.
pub(crate) fn finish<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it waits"),
    }
}
