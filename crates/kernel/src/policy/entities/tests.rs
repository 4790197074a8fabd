//! What Cedar is told conforms to the schema, and no two resources share an id.

use std::net::IpAddr;

use cedar_policy::Request;

use super::*;
use crate::circumstances::SessionHistory;
use crate::facts::Inference;
use crate::operation::Action;
use crate::policy::snapshot::{Disclosure, Mode, Upstream};
use crate::workload::{Person, WorkloadKind, WorkloadStatus};

fn upstream() -> KnownUpstream {
    let upstream = Upstream {
        name: "shop-db".parse().unwrap(),
        environment: "production".parse().unwrap(),
        mode: Mode::Enforce,
        disclosure: Disclosure::Full,
        classes: Vec::new(),
    };
    let classes = vec![crate::policy::ClassPattern::new("public.customers.email", "pii").unwrap()];
    KnownUpstream::new(upstream, classes)
}

fn workload() -> Workload {
    Workload {
        name: "triage-bot".parse().unwrap(),
        owner: Person("mara@example.com".into()),
        kind: WorkloadKind::Agent,
        environment: "production".parse().unwrap(),
        purpose: "sorts tickets".to_owned(),
        groups: ["agents".parse().unwrap()].into(),
        expires: None,
        status: WorkloadStatus::Active,
        risk: 10,
    }
}

fn around(source: &str, now: i64) -> Circumstances {
    Circumstances {
        now: Timestamp::from_millis(now),
        source: source.parse::<IpAddr>().unwrap(),
        threats: Arc::new(["anonymizer".into()].into()),
        stale: Arc::default(),
        tls: true,
        in_transaction: false,
        session: SessionHistory { rows_read: u64::MAX, ..SessionHistory::default() },
        provenance: None,
        left: Default::default(),
    }
}

#[test]
fn every_action_and_kind_that_the_schema_joins_conforms() {
    let vocabulary = Vocabulary::new().unwrap();
    let (upstream, workload) = (upstream(), workload());
    let facts = Arc::new(Facts {
        bounded: Some(true),
        object: Some("table".into()),
        inference: Some(Inference::Order),
        limit: Some(u64::MAX),
        tables_read: ["shop.public.customers".into()].into(),
        ..Facts::default()
    });
    let requested = Arc::new(Facts { http: Some(Arc::new(refund())), ..Facts::clone(&facts) });
    let around = around("::ffff:192.0.2.7", i64::MAX);
    let mut checked = 0;
    for (kind, path) in [
        (ResourceKind::Upstream, &[][..]),
        (ResourceKind::Database, &["shop"]),
        (ResourceKind::Schema, &["shop", "public"]),
        (ResourceKind::Table, &["shop", "public", "customers"]),
        (ResourceKind::Column, &["shop", "public", "customers", "email"]),
        (ResourceKind::Function, &["shop", "public", "f"]),
        (ResourceKind::Object, &["shop", "role", "r"]),
        (ResourceKind::Endpoint, &["/v1/refunds/{id}"]),
        (ResourceKind::Field, &["/v1/customers/{id}", "$.email"]),
        (ResourceKind::Host, &["api.example.com:443"]),
        (ResourceKind::Secret, &["kv", "app/db"]),
    ] {
        for action in Action::ALL {
            let resource = Arc::new(Resource::new(kind, &upstream.upstream.name, path));
            let facts = if action.is_http() { &requested } else { &facts };
            let operation =
                Operation { action: *action, resource: resource.clone(), facts: facts.clone(), verb: "X", span: None };
            let entities = Building::new(&vocabulary, &upstream)
                .all(principal(&vocabulary, &workload).unwrap(), &[operation])
                .unwrap();
            Entities::from_entities(
                entities.iter().filter(|entity| entity.uid().type_name().to_string() != "Action").cloned(),
                Some(&vocabulary.schema),
            )
            .unwrap();
            let action = vocabulary.action(*action).unwrap();
            let applies = vocabulary
                .schema
                .resources_for_action(&action.uid)
                .unwrap()
                .any(|resource| Some(resource) == vocabulary.kind(kind));
            if applies {
                Request::new(
                    uid(&vocabulary.workload, workload.name.as_str()),
                    action.uid.clone(),
                    uid(vocabulary.kind(kind).unwrap(), &resource_id(&resource)),
                    context(&vocabulary, facts, 0, &around, Reads::ALL).unwrap(),
                    Some(&vocabulary.schema),
                )
                .unwrap();
                checked += 1;
            }
        }
    }
    assert!(checked > 100, "{checked}");
}

#[test]
fn contexts_are_built_for_any_circumstances() {
    let vocabulary = Vocabulary::new().unwrap();
    for (source, now) in
        [("127.0.0.1", 0), ("::1", i64::MIN), ("fe80::1", i64::MAX), ("::ffff:10.0.0.1", -1), ("::7.8.9.10", 1)]
    {
        assert!(context(&vocabulary, &Facts::default(), 0, &around(source, now), Reads::ALL).is_ok(), "{source} {now}");
    }
}

#[test]
fn no_two_resources_share_an_id() {
    let upstream = upstream().upstream.name.clone();
    let table = |path: [&str; 3]| resource_id(&Resource::new(ResourceKind::Table, &upstream, path));
    assert_eq!(table(["shop", "public", "orders"]), "shop-db/shop.public.orders");
    assert_eq!(table(["shop", "a.b", "c"]), "shop-db/shop.\"a.b\".c");
    let ids = [
        table(["shop", "a.b", "c"]),
        table(["shop", "a", "b.c"]),
        table(["shop", "\"a", "b\".c"]),
        table(["shop", "", "a.b.c"]),
        table(["shop.a", "b", "c"]),
        table(["shop", "\"a.b\"", "c"]),
    ];
    let unique: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len());
}

fn refund() -> HttpFacts {
    let texts = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    HttpFacts {
        method: "POST".into(),
        host: "payments.internal".into(),
        path: "/v1/refunds/7".into(),
        template: "/v1/refunds/{id}".into(),
        operation: Some("refund".into()),
        parameters: texts(&[("id", "7")]),
        query: texts(&[("dry", "1")]),
        texts: texts(&[("currency", "EUR")]),
        numbers: [("amount".into(), i64::MIN)].into(),
        size: Some(u64::MAX),
        content_type: Some("application/json".into()),
        upgrade: Some("websocket".into()),
        depth: Some(3),
        cost: Some(u64::MAX),
    }
}
