//! HTTP requests in verdicts: conditions on what they hold, masks of fields, sums, tasks, explanations.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::tests::said;
use super::*;
use crate::audit::{About, VerdictSummary, decision_body};
use crate::facts::{Facts, HttpFacts};
use crate::operation::{Action, Operation};
use crate::policy::{PolicyFile, Snapshot, evaluate, explain, explanation_text};
use crate::resource::{Resource, ResourceKind};
use crate::task::Details;
use crate::testing::{around, authenticated, name, parts, request, upstream};
use crate::verdict::Terms;

const PERMIT: &str = "@id(\"all\") permit(principal, action, resource);";
const CANARY: &str = "canary-4711";

fn snapshot(policies: &str) -> Snapshot {
    let mut parts = parts("");
    parts.policies = vec![PolicyFile { name: "x.cedar".into(), text: policies.into() }];
    parts.upstreams =
        vec![upstream("payments", &[("GET /v1/customers/{id} $.email", "pii"), ("Query.*.email", "pii")])];
    Snapshot::build(parts).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// A refund, as the protocol module would have read it.
fn refund(amount: Option<i64>) -> HttpFacts {
    HttpFacts {
        method: "POST".into(),
        host: "payments.internal".into(),
        path: format!("/v1/refunds/{CANARY}").into(),
        template: "/v1/refunds/{id}".into(),
        parameters: BTreeMap::from([("id".into(), CANARY.into())]),
        query: BTreeMap::from([("note".into(), CANARY.into())]),
        texts: BTreeMap::from([("currency".into(), "EUR".into()), ("memo".into(), CANARY.into())]),
        numbers: amount.map(|amount| ("amount".into(), amount)).into_iter().collect(),
        size: Some(99),
        ..HttpFacts::default()
    }
}

fn of(action: Action, kind: ResourceKind, path: &[&str], facts: &Arc<Facts>) -> Operation {
    let resource = Arc::new(Resource::new(kind, &name("payments"), path));
    Operation { action, resource, facts: facts.clone(), verb: "TEST", span: None }
}

fn facts(http: HttpFacts) -> Arc<Facts> {
    Arc::new(Facts { http: Some(Arc::new(http)), ..Facts::default() })
}

fn post(http: HttpFacts) -> Operation {
    of(Action::HttpPost, ResourceKind::Endpoint, &["/v1/refunds/{id}"], &facts(http))
}

fn judged(snapshot: &Snapshot, operations: &[Operation]) -> Verdict {
    let request = Request { upstream: &name("payments"), ..request(1, operations) };
    judge(snapshot, &mut Memo::new(), &authenticated("bot"), request, &around())
}

#[test]
fn conditions_see_what_a_request_holds() {
    let unknown_size = HttpFacts { size: None, ..refund(Some(5)) };
    let upgrade = HttpFacts { upgrade: Some("websocket".into()), ..refund(Some(5)) };
    for (condition, http, matches) in [
        ("context.http.host == \"payments.internal\"", refund(None), true),
        ("context.http.template == \"/v1/refunds/{id}\"", refund(None), true),
        (
            "resource.name == \"/v1/refunds/{id}\" && resource == Endpoint::\"payments/v1/refunds/{id}\"",
            refund(None),
            true,
        ),
        ("resource in Upstream::\"payments\" && resource in Environment::\"production\"", refund(None), true),
        ("context.amounts.hasTag(\"amount\") && context.amounts.getTag(\"amount\") > 100", refund(Some(101)), true),
        ("context.amounts.hasTag(\"amount\") && context.amounts.getTag(\"amount\") > 100", refund(Some(100)), false),
        ("context.amounts.hasTag(\"amount\") && context.amounts.getTag(\"amount\") > 100", refund(None), false),
        ("!context.amounts.hasTag(\"amount\")", refund(None), true),
        ("context.body.hasTag(\"currency\") && context.body.getTag(\"currency\") == \"EUR\"", refund(None), true),
        ("context.body.hasTag(\"currency\")", HttpFacts::default(), false),
        ("context.query.hasTag(\"note\") && context.parameters.hasTag(\"id\")", refund(None), true),
        ("context.query.hasTag(\"id\") || context.parameters.hasTag(\"note\")", refund(None), false),
        ("context.http.size > 98", refund(None), true),
        ("context.http.size > 99", refund(None), false),
        // Nobody knows how much it will be, so whatever forbids more than some size forbids it.
        ("context.http.size > 99", unknown_size, true),
        ("context.http has upgrade", refund(None), false),
        ("context.http has upgrade && context.http.upgrade == \"websocket\"", upgrade, true),
    ] {
        let forbid = format!(
            "{PERMIT} @id(\"no\") forbid(principal, action == Action::\"http:POST\", resource) when {{ {condition} }};"
        );
        let expected = if matches { "deny no" } else { "permit" };
        assert_eq!(said(&judged(&snapshot(&forbid), &[post(http)])), expected, "{condition}");
    }
}

#[test]
fn rules_of_one_protocol_leave_the_other_alone() {
    // A rule about a group may read what only one protocol knows, if it asks whether it is there.
    let policies = format!(
        "{PERMIT} @id(\"big\") forbid(principal, action in Action::\"write\", resource) \
         when {{ context has http && context.http.size > 10 }}; \
         @id(\"reads\") forbid(principal, action, resource) when {{ context.tables_read.contains(\"shop.public.x\") }};"
    );
    assert_eq!(said(&judged(&snapshot(&policies), &[post(refund(None))])), "deny big");
    let snapshot = crate::testing::snapshot(&policies);
    let insert = crate::testing::operation(Action::SqlInsert, &["shop", "public", "orders"]);
    let verdict = judge(&snapshot, &mut Memo::new(), &authenticated("bot"), request(1, &[insert]), &around());
    assert_eq!(said(&verdict), "permit");
}

#[test]
fn each_operation_sees_its_own_facts() {
    let policies = format!(
        "{PERMIT} @id(\"no\") forbid(principal, action == Action::\"http:POST\", resource) \
         when {{ context.amounts.hasTag(\"amount\") && context.amounts.getTag(\"amount\") > 100 }};"
    );
    let snapshot = snapshot(&policies);
    for (amounts, expected) in
        [(&[1, 2, 3][..], "permit"), (&[1, 200, 3], "deny no"), (&[1, 2, 200], "deny no"), (&[200, 1], "deny no")]
    {
        let operations: Vec<Operation> = amounts.iter().map(|amount| post(refund(Some(*amount)))).collect();
        assert_eq!(said(&judged(&snapshot, &operations)), expected, "{amounts:?}");
    }
}

#[test]
fn fields_are_masked_by_class_and_requests_are_not() {
    let policies = format!(
        "{PERMIT} @id(\"pii\") @mask(\"partial\") forbid(principal, action in Action::\"read\", resource is Field) \
         when {{ resource.classes.contains(\"pii\") }};"
    );
    let snapshot = snapshot(&policies);
    let shared = facts(HttpFacts { method: "GET".into(), ..HttpFacts::default() });
    let get = of(Action::HttpGet, ResourceKind::Endpoint, &["/v1/customers/{id}"], &shared);
    let field = |template: &str, path: &str| of(Action::HttpField, ResourceKind::Field, &[template, path], &shared);
    let chosen = |path: &str| of(Action::GraphqlQuery, ResourceKind::Field, &["/graphql", path], &shared);
    for (operations, expected) in [
        (vec![get.clone()], "permit"),
        (vec![get.clone(), field("/v1/customers/{id}", "$.email")], "permit partial[1]:pii"),
        (vec![get.clone(), field("/v1/customers/{id}", "$.name")], "permit"),
        (vec![get, field("/v1/orders/{id}", "$.email")], "permit"),
        (vec![chosen("Query.customer.email"), chosen("Query.customer.name")], "permit partial[0]:pii"),
        (vec![chosen("Mutation.customer.email")], "permit"),
    ] {
        assert_eq!(said(&judged(&snapshot, &operations)), expected, "{operations:?}");
    }
    // A mask on what is no single value would do nothing.
    for scope in ["action == Action::\"http:GET\", resource is Endpoint", "action in Action::\"read\", resource"] {
        let text = format!("@id(\"m\") @mask(\"null\") forbid(principal, {scope});");
        let mut parts = parts("");
        parts.policies = vec![PolicyFile { name: "x.cedar".into(), text: text.into() }];
        let problems = Snapshot::build(parts).map(drop).unwrap_err();
        assert_eq!(problems.iter().map(|problem| problem.kind.code()).collect::<Vec<_>>(), ["PAR0111"], "{scope}");
    }
}

#[test]
fn sums_draw_what_the_body_says() {
    let policies = format!(
        "{PERMIT} @id(\"sum\") @limit(\"sum(amount)=10000/1h, per=5/1m\") \
         forbid(principal, action == Action::\"http:POST\", resource);"
    );
    let snapshot = snapshot(&policies);
    let drawn = |terms: &Terms| -> Vec<(u64, u64)> {
        terms.budgets.iter().map(|budget| (budget.draws(), budget.rate.count)).collect()
    };
    for (amount, expected) in [
        (Some(60), Ok(vec![(1, 5), (60, 10_000)])),
        (Some(i64::MAX), Ok(vec![(1, 5), (i64::MAX.unsigned_abs(), 10_000)])),
        (Some(0), Ok(vec![(1, 5), (0, 10_000)])),
        // What is not known cannot be counted, and nothing is given back.
        (Some(-1), Err("deny sum")),
        (None, Err("deny sum")),
    ] {
        let verdict = judged(&snapshot, &[post(refund(amount))]);
        let found = match &verdict {
            Verdict::Permit(permit) => Ok(drawn(permit.terms())),
            other => Err(said(other)),
        };
        assert_eq!(found, expected.map_err(str::to_owned), "{amount:?}");
    }
}

#[test]
fn tasks_narrow_to_endpoints() {
    let details = |value: serde_json::Value| Details::read(&json!([value])).unwrap();
    let shared = facts(refund(Some(5)));
    let at = |action, kind, path: &[&str]| of(action, kind, path, &shared);
    let refunds = at(Action::HttpPost, ResourceKind::Endpoint, &["/v1/refunds/{id}"]);
    let field = at(Action::HttpField, ResourceKind::Field, &["/v1/refunds/{id}", "$.email"]);
    let other = at(Action::HttpPost, ResourceKind::Endpoint, &["/v1/customers/{id}"]);
    let delete = at(Action::HttpDelete, ResourceKind::Endpoint, &["/v1/refunds/{id}"]);
    let tunnel = at(Action::HttpTunnel, ResourceKind::Host, &["api.example.com:443"]);
    let task = details(json!({"type": "parapet_task", "locations": ["payments"], "actions": ["http:POST"],
        "identifier": "/v1/refunds/{id}"}));
    assert_eq!(Details::read(&task.value()).as_ref(), Ok(&task));
    for (operation, expected) in [
        (&refunds, None),
        (&field, None),
        (&other, Some("resource")),
        (&delete, Some("action")),
        (&tunnel, Some("action")),
    ] {
        let bound = task.outside(operation).map(|bound| format!("{bound:?}").to_lowercase());
        assert_eq!(bound.as_deref(), expected, "{}", operation.resource);
    }
    for identifier in ["/v1/\"refunds", "/v1/refunds $.email", "/v1/refunds\n"] {
        let value = json!([{"type": "parapet_task", "identifier": identifier}]);
        assert!(Details::read(&value).is_err(), "{identifier:?}");
    }
}

#[test]
fn explanations_name_the_clause_and_the_nearest_permit() {
    let policies = r#"
        @id("small-refunds") permit(principal, action == Action::"http:POST",
            resource == Endpoint::"payments/v1/refunds/{id}")
          when { context.amounts.hasTag("amount") && context.amounts.getTag("amount") <= 100 };"#;
    let snapshot = snapshot(policies);
    let workload = snapshot.workload(&name("bot")).unwrap();
    let explanation = explain(&snapshot, workload, &[post(refund(Some(101)))], &around());
    assert_eq!(explanation.evaluation.verdict, "deny");
    let missed: Vec<&str> = explanation.near_misses.iter().map(|miss| miss.policy.as_str()).collect();
    assert_eq!(missed, ["small-refunds"]);
    let text = explanation_text(&explanation);
    assert!(text.contains("context.amounts.getTag(\"amount\") <= 100"), "{text}");
    assert!(!text.contains(CANARY), "{text}");
    assert!(!serde_json::to_string(&explanation).unwrap().contains(CANARY));
}

#[test]
fn values_are_in_no_entry() {
    let policies = format!(
        "{PERMIT} @id(\"sum\") @limit(\"sum(amount)=999999999/1h\") \
         forbid(principal, action == Action::\"http:POST\", resource);"
    );
    let snapshot = snapshot(&policies);
    let operation = post(refund(Some(48_151_623)));
    let evaluation = evaluate(&snapshot, &name("bot"), &name("payments"), std::slice::from_ref(&operation), &around());
    assert_eq!(evaluation.terms.budgets.len(), 1);
    let about = About { workload: name("bot"), upstream: name("payments"), bundle: "b".into(), provenance: None };
    let summary = VerdictSummary::Permit { terms: &evaluation.terms };
    let body = decision_body(about, &summary, &[operation], "POST /v1/refunds/{id}");
    let text = body.text();
    assert!(text.contains("\"template\":\"/v1/refunds/{id}\"") && text.contains("\"field\":\"amount\""), "{text}");
    assert!(!text.contains(CANARY) && !text.contains("48151623") && !text.contains("EUR"), "{text}");
}
