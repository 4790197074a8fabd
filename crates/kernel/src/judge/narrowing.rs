//! Tasks in verdicts: policy and task must both allow; memos never carry an answer from one task to another.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::id::TaskId;
use crate::operation::{Action, Operation};
use crate::policy::{Mode, Snapshot};
use crate::provenance::Provenance;
use crate::task::{Bound, Details, Left, Link, Task};
use crate::testing::{NOW, around, authenticated_for, operation, parts, request, snapshot, upstream};

const ORDERS: [&str; 3] = ["shop", "public", "orders"];
const CUSTOMERS: [&str; 3] = ["shop", "public", "customers"];
const PERMIT: &str = "@id(\"all\") permit(principal, action, resource);";

fn task(details: &Value) -> Task {
    let expires = NOW.after(std::time::Duration::from_secs(600));
    let link = Link { mark: [1; 32], details: Details::read(details).unwrap(), expires };
    Task::new(TaskId::new(NOW, 7), vec!["ann@example.com".into(), "bot".into()], vec![link]).unwrap()
}

fn backfill() -> Value {
    json!([{"type": "parapet_task", "locations": ["shop-db"], "actions": ["read", "sql:update"],
        "identifier": "shop.public.orders", "goal": "backfill", "run": "github:1/1", "limits": {"rows": 50, "uses": 2}}])
}

/// A session of the workload `bot` for a task.
struct Asking {
    who: Authenticated,
    memo: Memo,
    around: Circumstances,
}

impl Asking {
    fn new(details: &Value) -> Self {
        let who = authenticated_for("bot", Some(task(details)));
        let around = Circumstances { provenance: who.provenance().cloned(), ..around() };
        Self { who, memo: Memo::new(), around }
    }

    fn judge(&mut self, snapshot: &Snapshot, operations: &[Operation]) -> Verdict {
        let shape = operations.iter().fold(0, |shape: u128, one| shape * 31 + one.resource.path.concat().len() as u128);
        judge(snapshot, &mut self.memo, &self.who, request(shape, operations), &self.around)
    }
}

fn said(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Permit(permit) => format!("permit rows={:?}", permit.terms.limits.rows),
        Verdict::Ask(_) => "ask".to_owned(),
        Verdict::Deny(deny) => match &deny.reason {
            DenyReason::OutsideTask { bound, .. } => format!("outside: {bound:?}"),
            DenyReason::Policy(by) => format!("policy {}", by.policy),
            DenyReason::Quarantine(by) => format!("quarantine {}", by.policy),
            other => format!("{other:?}"),
        },
    }
}

#[test]
fn policy_and_task_must_both_allow() {
    let select = [operation(Action::SqlSelect, &ORDERS)];
    let other = [operation(Action::SqlSelect, &CUSTOMERS)];
    let mixed = [operation(Action::SqlSelect, &ORDERS), operation(Action::SqlSelect, &CUSTOMERS)];
    let delete = [operation(Action::SqlDelete, &ORDERS)];
    let connect = [operation(Action::Connect, &[])];
    let forbid = |annotation: &str| format!("{PERMIT} {annotation} @id(\"no\") forbid(principal, action, resource);");
    for (policies, operations, expected) in [
        (PERMIT.to_owned(), &select[..], "permit rows=None"),
        (PERMIT.to_owned(), &connect, "permit rows=None"),
        (PERMIT.to_owned(), &other, "outside: Resource"),
        (PERMIT.to_owned(), &mixed, "outside: Resource"),
        (PERMIT.to_owned(), &delete, "outside: Action"),
        // The task grants nothing.
        (String::new(), &select, "NoPermit"),
        (String::new(), &other, "outside: Resource"),
        (forbid(""), &select, "policy no"),
        (forbid(""), &other, "outside: Resource"),
        (forbid("@quarantine"), &other, "quarantine no"),
        (forbid("@approve(\"dba\")"), &other, "outside: Resource"),
        (forbid("@approve(\"dba\")"), &select, "ask"),
    ] {
        let mut asking = Asking::new(&backfill());
        let snapshot = snapshot(&policies);
        for time in 0..2 {
            assert_eq!(said(&asking.judge(&snapshot, operations)), expected, "{policies} {operations:?} {time}");
        }
    }
    // What is observed lets policy's denials pass, and not what the token was never given for.
    let mut observing = parts("");
    observing.upstreams = vec![crate::policy::Upstream { mode: Mode::Observe, ..upstream("shop-db", &[]) }];
    let observing = Snapshot::build(observing).unwrap();
    assert_eq!(said(&Asking::new(&backfill()).judge(&observing, &select)), "permit rows=None");
    assert_eq!(said(&Asking::new(&backfill()).judge(&observing, &other)), "outside: Resource");
}

#[test]
fn limits_and_time_bind_at_once_although_the_answer_is_remembered() {
    let snapshot = snapshot(PERMIT);
    let (select, end) = ([operation(Action::SqlSelect, &ORDERS)], [operation(Action::SqlEnd, &["shop"])]);
    let mut asking = Asking::new(&backfill());
    for (left, expected) in [
        (Left { rows: Some(50), uses: Some(2) }, "permit rows=Some(50)"),
        (Left { rows: Some(7), uses: Some(1) }, "permit rows=Some(7)"),
        (Left { rows: Some(7), uses: Some(0) }, "outside: Uses"),
        (Left { rows: Some(0), uses: Some(1) }, "outside: Rows"),
        (Left { rows: None, uses: None }, "permit rows=None"),
    ] {
        asking.around.left = left;
        assert_eq!(said(&asking.judge(&snapshot, &select)), expected, "{left:?}");
    }
    asking.around.left = Left { rows: Some(0), uses: Some(0) };
    assert!(said(&asking.judge(&snapshot, &end)).starts_with("permit"));
    asking.around.left = Left::default();
    asking.around.now = NOW.after(std::time::Duration::from_secs(600));
    assert_eq!(said(&asking.judge(&snapshot, &select)), "outside: Expired");
}

#[test]
fn policies_read_the_task_and_the_run() {
    let only =
        |condition: &str| snapshot(&format!("@id(\"a\") permit(principal, action, resource) when {{ {condition} }};"));
    let select = [operation(Action::SqlSelect, &ORDERS)];
    for (condition, with, without) in [
        ("context has task", true, false),
        ("!(context has task)", false, true),
        ("context has task.goal && context.task.goal == \"backfill\"", true, false),
        ("context has task.goal && context.task.goal == \"something else\"", false, false),
        ("context has task.run && context.task.run like \"github:*\"", true, false),
        ("context has task && context.task.chain.contains(\"ann@example.com\")", true, false),
        ("context has task && context.task.chain.contains(\"eve@example.com\")", false, false),
        ("context has task && context.task.links < 2", true, false),
        ("context has provenance", false, false),
    ] {
        let snapshot = only(condition);
        let permitted = |verdict: &Verdict| matches!(verdict, Verdict::Permit(_));
        assert_eq!(permitted(&Asking::new(&backfill()).judge(&snapshot, &select)), with, "{condition}");
        let who = authenticated_for("bot", None);
        let verdict = judge(&snapshot, &mut Memo::new(), &who, request(1, &select), &around());
        assert_eq!(permitted(&verdict), without, "{condition}");
    }
}

/// One memo, asked by two tasks of one workload: neither gets the other's answer. It cannot happen in a session; should it
/// happen, it must not matter.
#[test]
fn a_memo_is_of_one_task() {
    let snapshot = snapshot(PERMIT);
    let customers = json!([{"type": "parapet_task", "identifier": "shop.public.customers"}]);
    let select = [operation(Action::SqlSelect, &CUSTOMERS)];
    let (mut one, two) = (Asking::new(&customers), Asking::new(&backfill()));
    assert!(said(&one.judge(&snapshot, &select)).starts_with("permit"));
    let mut mixed = Asking { memo: one.memo, ..two };
    assert_eq!(said(&mixed.judge(&snapshot, &select)), "outside: Resource");
    // Who and circumstances that do not belong together decide nothing.
    mixed.around.provenance = None;
    assert!(said(&mixed.judge(&snapshot, &select)).contains("NoSnapshot"));
    mixed.around.provenance = Some(Arc::new(Provenance::default()));
    assert!(said(&mixed.judge(&snapshot, &select)).contains("NoSnapshot"));
}

#[test]
fn the_entry_says_task_and_chain_in_full_and_in_short() {
    let snapshot = snapshot(PERMIT);
    let mut asking = Asking::new(&backfill());
    let log = crate::testing::Log::default();
    let mut pending = crate::audit::Pending::default();
    for path in [&ORDERS, &ORDERS, &CUSTOMERS] {
        match asking.judge(&snapshot, &[operation(Action::SqlSelect, path)]) {
            Verdict::Permit(permit) => pending.permit(permit, NOW),
            Verdict::Deny(deny) => pending.deny(deny, NOW),
            Verdict::Ask(_) => panic!("nobody is asked"),
        }
    }
    crate::testing::finish(pending.enter(&log)).unwrap();
    let entries: Vec<Value> = log.entries().iter().map(|entry| serde_json::from_slice(entry).unwrap()).collect();
    let (first, second, denied) = (&entries[0], &entries[1], &entries[2]);
    assert_eq!(first["task"]["goal"], "backfill");
    assert_eq!(first["task"]["chain"], json!(["ann@example.com", "bot"]));
    assert!(second["like"].is_string() && second["task"].is_null(), "{second}");
    assert_eq!(denied["reason"]["why"], "outside_task");
    assert_eq!(denied["reason"]["bound"], json!(Bound::Resource));
    assert_eq!(denied["reason"]["task"], first["task"]["id"]);
}
