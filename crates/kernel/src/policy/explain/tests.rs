//! Explanations of the usual cases, as people read them.

use super::*;
use crate::facts::Facts;
use crate::operation::Action;
use crate::policy::explanation_text;
use crate::testing::{around, name, operation, operation_with, snapshot};

const POLICIES: &str = r#"@id("readers")
permit (principal in Group::"agents", action in Action::"read", resource in Upstream::"shop-db");
@id("migrations") permit (principal == Workload::"migrate", action in [Action::"read", Action::"define"], resource)
unless { context.in_transaction };
@id("agents-never-destroy")
@reason("Agents do not drop or truncate")
forbid (principal in Group::"agents", action in Action::"destroy", resource in Upstream::"shop-db")
unless { principal.environment == "sandbox" };
@id("pii") @mask("partial")
forbid (principal, action in Action::"read", resource is Column)
when { resource.classes.contains("pii") && principal.risk < 50 };
@id("bounded") @approve("dba, quorum=2")
forbid (principal, action == Action::"sql:select", resource)
unless { context.bounded };
"#;

const ORDERS: [&str; 3] = ["shop", "public", "orders"];
const EMAIL: [&str; 4] = ["shop", "public", "customers", "email"];

fn told(operations: &[Operation]) -> Explanation {
    let snapshot = snapshot(POLICIES);
    let bot = snapshot.workload(&name("bot")).unwrap().clone();
    explain(&snapshot, &bot, operations, &around())
}

#[test]
fn a_block_shows_its_clauses_and_near_misses() {
    insta::assert_snapshot!("block", explanation_text(&told(&[operation(Action::SqlDrop, &ORDERS)])));
}

#[test]
fn a_missing_permit_shows_near_misses() {
    insta::assert_snapshot!("no_permit", explanation_text(&told(&[operation(Action::SqlAlter, &ORDERS)])));
}

#[test]
fn a_permit_shows_masks_and_permits() {
    insta::assert_snapshot!("masked", explanation_text(&told(&[operation(Action::SqlSelect, &EMAIL)])));
}

#[test]
fn an_ask_shows_who_may_grant_it_and_an_absent_fact() {
    let unknown = operation_with(Action::SqlSelect, &EMAIL, Facts::default());
    insta::assert_snapshot!("ask", explanation_text(&told(&[unknown])));
}

#[test]
fn what_cannot_be_decided_says_why() {
    insta::assert_snapshot!("undecidable", explanation_text(&told(&[])));
}

#[test]
fn clauses_hold_their_place_and_truth() {
    let explanation = told(&[operation(Action::SqlDrop, &ORDERS)]);
    let policy = &explanation.policies[0];
    let found: Vec<(Part, &str, Truth)> = policy
        .clauses
        .iter()
        .map(|clause| (clause.part, policy.source.get(clause.start..clause.end).unwrap(), clause.truth))
        .collect();
    assert_eq!(
        found,
        [
            (Part::Principal, "principal in Group::\"agents\"", Truth::True),
            (Part::Action, "action in Action::\"destroy\"", Truth::True),
            (Part::Resource, "resource in Upstream::\"shop-db\"", Truth::True),
            (Part::Unless, "principal.environment == \"sandbox\"", Truth::False),
        ]
    );
    assert_eq!((policy.line, policy.column, policy.file.as_str()), (7, 1, "test.cedar"));
    assert_eq!(explanation.passes_if, ["principal.environment == \"sandbox\""]);
    assert_eq!(explanation.evaluation.verdict, "deny");
}
