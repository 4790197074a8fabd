//! A short entry in full is what would have been written, and nothing else is taken for one.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::audit::Pending;
use crate::id::SessionId;
use crate::judge::{Memo, judge, judge_preparation};
use crate::operation::Action;
use crate::testing::{Log, NOW, around, authenticated, finish, operation, request, snapshot};
use crate::verdict::{Content, Request, Verdict};

const POLICIES: [&str; 3] = [
    "@id(\"all\") permit(principal, action, resource);",
    "@id(\"all\") permit(principal, action, resource); @id(\"held\") @approve(\"dba\") forbid(principal, action, resource) \
     when { context.session.decisions >= 5 };",
    "@id(\"all\") permit(principal, action, resource); @id(\"m\") @mask(\"null\") forbid(principal, action in \
     Action::\"read\", resource is Column) when { context.in_transaction };",
];

/// One step of a session: a statement, how it is written, whether it only prepares, and what is true around it.
#[derive(Clone, Debug)]
struct Step {
    policies: usize,
    column: usize,
    template: usize,
    prepares: bool,
    in_transaction: bool,
    decisions: u64,
    /// It is entered with what waits, and the log takes it or does not.
    entered: Option<bool>,
}

prop_compose! {
    fn any_step()(
        policies in 0..POLICIES.len(), column in 0..2usize, template in 0..2usize, prepares: bool, in_transaction: bool,
        decisions in 3..7u64, entered in prop::option::of(prop::bool::weighted(0.8)),
    ) -> Step {
        Step { policies, column, template, prepares, in_transaction, decisions, entered }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn expanding_gives_what_the_full_form_would_have_been(steps in prop::collection::vec(any_step(), 1..60)) {
        let snapshots = POLICIES.map(snapshot);
        let who = authenticated("bot");
        let (mut memo, mut pending, log) = (Memo::new(), Pending::default(), Log::default());
        // What a session without a past would have written, for each decision.
        let mut full: HashMap<DecisionId, Vec<u8>> = HashMap::new();
        for (step, number) in steps.iter().zip(1..) {
            let snapshot = &snapshots[step.policies];
            let operations = [operation(Action::SqlSelect, &["shop", "public", "customers", ["email", "id"][step.column]])];
            let mut around = around();
            around.in_transaction = step.in_transaction;
            around.session.decisions = step.decisions;
            let add = |memo: &mut Memo, pending: &mut Pending| {
                let template = ["select $1", "select  $1 /* \",\"like\":\"dec_\"} */"][step.template].into();
                let decision = DecisionId::new(NOW, number);
                let content = Content { template, ..Content::default() };
                let request = Request { decision, content, ..request(step.column as u128, &operations) };
                let judging = if step.prepares { judge_preparation } else { judge };
                match judging(snapshot, memo, &who, request, &around) {
                    Verdict::Permit(permit) => pending.permit(permit, NOW),
                    Verdict::Deny(deny) => pending.deny(deny, NOW),
                    Verdict::Ask(ask) => pending.ask(&ask, crate::id::ApprovalId::new(NOW, number), NOW),
                }
                decision
            };
            let mut alone = Pending::default();
            let decision = add(&mut Memo::new(), &mut alone);
            full.insert(decision, alone.batch.entries().next().unwrap().to_vec());
            add(&mut memo, &mut pending);
            if let Some(taken) = step.entered {
                log.fail(!taken);
                prop_assert_eq!(finish(pending.enter(&log)).is_ok(), taken);
            }
        }
        let mut before: HashMap<DecisionId, Vec<u8>> = HashMap::new();
        for entry in log.entries() {
            let text = String::from_utf8(entry.clone()).unwrap();
            let at = text.find("\"decision\":\"dec_").unwrap() + 12;
            let decision: DecisionId = text.get(at..at + 20).unwrap().parse().unwrap();
            match like(&entry) {
                None => prop_assert_eq!(&entry, &full[&decision]),
                Some(first) => {
                    // The one that it refers to stands before it, in full.
                    let whole = expand(&entry, &before[&first]).unwrap();
                    let expected = format!("{},\"like\":\"{first}\"}}", std::str::from_utf8(&full[&decision]).unwrap().strip_suffix('}').unwrap());
                    prop_assert_eq!(String::from_utf8(whole).unwrap(), expected);
                    prop_assert!(entry.len() < 230);
                }
            }
            if let Some(id) = full_permit(&entry) {
                prop_assert_eq!(id, decision);
                before.insert(id, entry);
            }
        }
    }
}

fn entry(decision: u64, session: u64, rest: &str) -> Vec<u8> {
    let (decision, session) = (DecisionId::new(NOW, decision), SessionId::new(NOW, session));
    format!("{{\"v\":1,\"at\":\"{NOW}\",\"kind\":\"decision\",\"decision\":\"{decision}\",\"session\":\"{session}\",{rest}}}")
        .into_bytes()
}

fn short(decision: u64, session: u64, first: u64) -> Vec<u8> {
    let first = DecisionId::new(NOW, first);
    entry(
        decision,
        session,
        &format!("\"workload\":\"a\",\"upstream\":\"b\",\"verdict\":\"permit\",\"like\":\"{first}\""),
    )
}

const FULL: &str = "\"workload\":\"a\",\"upstream\":\"b\",\"verdict\":\"permit\",\"bundle\":\"c\",\"statement\":\"d\"";

#[test]
fn only_the_very_entry_expands_it() {
    let first = entry(1, 1, FULL);
    assert!(expand(&short(2, 1, 1), &first).is_some());
    for (why, entry, first) in [
        ("another decision", short(2, 1, 3), first.clone()),
        ("another session", short(2, 2, 1), first.clone()),
        ("another workload", short(2, 1, 1), entry(1, 1, &FULL.replace("\"a\"", "\"x\""))),
        ("another upstream", short(2, 1, 1), entry(1, 1, &FULL.replace("\"b\"", "\"x\""))),
        ("a denial", short(2, 1, 1), entry(1, 1, &FULL.replace("permit", "deny"))),
        ("a grant", short(2, 1, 1), entry(1, 1, &format!("\"grant\":\"grt_1\",{FULL}"))),
        ("a short one", short(2, 1, 1), short(1, 1, 1)),
        ("a full one is not short", first.clone(), first.clone()),
    ] {
        assert_eq!(expand(&entry, &first), None, "{why}");
    }
}

#[test]
fn other_entries_are_not_taken_for_short_ones() {
    assert_eq!(like(&short(2, 1, 1)), Some(DecisionId::new(NOW, 1)));
    for other in [
        entry(1, 1, FULL),
        entry(1, 1, &FULL.replace("\"d\"", "\"\\\",\\\"like\\\":\\\"dec_D1ZH1D4000000001\"")),
        b"{\"v\":1,\"kind\":\"admin\",\"like\":\"dec_D1ZH1D4000000001\"}".to_vec(),
        b"\"}".to_vec(),
        Vec::new(),
    ] {
        assert_eq!(like(&other), None, "{}", String::from_utf8_lossy(&other));
    }
}

#[test]
fn what_cannot_be_expanded_says_so() {
    let text = String::from_utf8(unexpanded(&short(2, 1, 1))).unwrap();
    assert!(text.ends_with(",\"like\":\"dec_D1ZH1D4000000001\",\"like_missing\":true}"), "{text}");
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
}
