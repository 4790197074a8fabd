//! A slice leaves out no policy that would have matched: every form of scope, against Cedar with the whole set.

use std::collections::BTreeSet;

use cedar_policy::{Authorizer, PolicyId, Request};

use crate::circumstances::Circumstances;
use crate::operation::{Action, Operation};
use crate::policy::entities::{Building, context, principal, resource_id};
use crate::policy::evaluate::matches;
use crate::policy::reads::Reads;
use crate::policy::schema::uid;
use crate::policy::{Bundle, Snapshot};
use crate::testing::{around, name, operation, snapshot};

const PRINCIPALS: [&str; 6] = [
    "principal",
    "principal == Workload::\"bot\"",
    "principal == Workload::\"other\"",
    "principal in Group::\"agents\"",
    "principal is Workload in Group::\"others\"",
    "principal is Workload",
];
const ACTIONS: [&str; 6] = [
    "action",
    "action == Action::\"sql:select\"",
    "action in Action::\"read\"",
    "action in [Action::\"sql:drop\", Action::\"write\"]",
    "action in Action::\"destroy\"",
    "action in [Action::\"sql:drop\"]",
];
const RESOURCES: [&str; 12] = [
    "resource",
    "resource is Column",
    "resource is Table",
    "resource in Environment::\"production\"",
    "resource in Environment::\"test\"",
    "resource in Upstream::\"shop-db\"",
    "resource in Upstream::\"other\"",
    "resource == Upstream::\"shop-db\"",
    "resource in Schema::\"shop-db/shop.public\"",
    "resource == Table::\"shop-db/shop.public.orders\"",
    "resource in Table::\"shop-db/shop.public.orders\"",
    "resource is Column in Table::\"shop-db/shop.public.orders\"",
];

/// What Cedar says with every policy in one set.
fn unsliced(snapshot: &Snapshot, operation: &Operation) -> BTreeSet<PolicyId> {
    let bundle: &Bundle = snapshot.bundle();
    let vocabulary = &bundle.vocabulary;
    let workload = snapshot.workload(&name("bot")).unwrap();
    let upstream = snapshot.known_upstream(&name("shop-db")).unwrap();
    let entities = Building::new(vocabulary, upstream)
        .all(principal(vocabulary, workload).unwrap(), std::slice::from_ref(operation))
        .unwrap();
    let request = Request::new(
        uid(&vocabulary.workload, "bot"),
        vocabulary.action(operation.action).unwrap().uid.clone(),
        uid(vocabulary.kind(operation.resource.kind).unwrap(), &resource_id(&operation.resource)),
        context(vocabulary, &operation.facts, 0, &around(), Reads::ALL).unwrap(),
        None,
    )
    .unwrap();
    let set =
        cedar_policy::PolicySet::from_policies(bundle.policies().iter().map(|policy| policy.cedar.clone())).unwrap();
    let response = Authorizer::new().is_authorized(&request, &set, &entities);
    response.diagnostics().reason().cloned().collect()
}

#[test]
fn no_policy_that_matches_is_left_out() {
    let mut policies = String::new();
    for (p, principal) in PRINCIPALS.iter().enumerate() {
        for (a, action) in ACTIONS.iter().enumerate() {
            for (r, resource) in RESOURCES.iter().enumerate() {
                policies += &format!("@id(\"f{p}-{a}-{r}\") forbid({principal}, {action}, {resource});\n");
            }
        }
    }
    let snapshot = snapshot(&policies);
    let workload = snapshot.workload(&name("bot")).unwrap().clone();
    let upstream = snapshot.known_upstream(&name("shop-db")).unwrap();
    let mut matched = 0;
    for action in [Action::SqlSelect, Action::SqlDrop, Action::SqlInsert, Action::Connect] {
        for path in [
            &[][..],
            &["shop"],
            &["shop", "public"],
            &["shop", "public", "orders"],
            &["shop", "public", "orders", "id"],
            &["shop", "other", "orders"],
            &["shop", "public", "products", "id"],
        ] {
            let operation = operation(action, path);
            let (found, _) =
                matches(&snapshot, &workload, upstream, std::slice::from_ref(&operation), &around()).unwrap();
            let sliced: BTreeSet<PolicyId> =
                found[0].forbids.iter().map(|position| snapshot.policies()[*position].cedar.id().clone()).collect();
            assert_eq!(sliced, unsliced(&snapshot, &operation), "{action} {path:?}");
            matched += sliced.len();
        }
    }
    assert!(matched > 100, "{matched}");
}

/// What a slice remembers changes no answer: each question, in any order and under any circumstances, is answered as a
/// snapshot answers it that was asked nothing before.
#[test]
fn what_is_remembered_changes_no_answer() {
    let policies = r#"@id("p") permit (principal, action in Action::"read", resource in Upstream::"shop-db");
        @id("bounded") forbid (principal, action in [Action::"sql:update", Action::"sql:delete"], resource)
        unless { context.bounded };
        @id("tls") forbid (principal, action, resource is Column) unless { context.tls };
        @id("rows") forbid (principal, action in Action::"read", resource) when { context.session.rows_read >= 1000 };
        @id("people") forbid (principal, action, resource is Table) unless { principal in Group::"readers" };
        @id("named") forbid (principal, action in Action::"write", resource)
        when { Table::"shop-db/shop.public.products".name == "products" };"#;
    let shared = snapshot(policies);
    let mut questions = Vec::new();
    for action in [Action::SqlSelect, Action::SqlUpdate, Action::SqlInsert] {
        for path in
            [&["shop", "public", "orders"][..], &["shop", "public", "products"], &["shop", "public", "orders", "id"]]
        {
            for bounded in [Some(true), Some(false)] {
                let mut operation = operation(action, path);
                operation.facts = crate::facts::Facts { bounded, ..(*operation.facts).clone() }.into();
                for (tls, rows_read) in [(true, 0), (false, 0), (true, 5000)] {
                    let mut circumstances = around();
                    circumstances.tls = tls;
                    circumstances.session.rows_read = rows_read;
                    questions.push((operation.clone(), circumstances));
                }
            }
        }
    }
    let ask = |snapshot: &Snapshot, (operation, circumstances): &(Operation, Circumstances)| {
        let workload = snapshot.workload(&name("bot")).unwrap().clone();
        let upstream = snapshot.known_upstream(&name("shop-db")).unwrap();
        let (found, _) =
            matches(snapshot, &workload, upstream, std::slice::from_ref(operation), circumstances).unwrap();
        (found[0].permits.clone(), found[0].forbids.clone())
    };
    let mut forbidden = 0;
    for question in &questions {
        let alone = ask(&snapshot(policies), question);
        forbidden += alone.1.len();
        assert_eq!(ask(&shared, question), alone, "{question:?}");
        assert_eq!(ask(&shared, question), alone, "again: {question:?}");
    }
    for question in questions.iter().rev() {
        assert_eq!(ask(&shared, question), ask(&snapshot(policies), question), "backwards: {question:?}");
    }
    assert!(forbidden > questions.len(), "{forbidden}");
}
