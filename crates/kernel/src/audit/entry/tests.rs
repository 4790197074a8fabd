//! The bytes of decisions' entries, in full and in short. A change here changes what logs hold.

use super::*;
use crate::audit::Pending;
use crate::facts::Facts;
use crate::id::DecisionId;
use crate::judge::{Memo, judge, judge_preparation};
use crate::operation::{Action, Operation};
use crate::policy::Snapshot;
use crate::testing::{Log, NOW, around, authenticated, finish, operation, operation_with, request, snapshot};
use crate::verdict::{Request, Verdict};

const EMAIL: [&str; 4] = ["shop", "public", "customers", "email"];
const BUNDLE: &str = "<bundle>";

/// A session that enters what it judges.
struct Asking {
    snapshot: Snapshot,
    memo: Memo,
    pending: Pending,
    log: Log,
    next: u64,
}

impl Asking {
    fn under(policies: &str) -> Self {
        let snapshot = snapshot(policies);
        Self { snapshot, memo: Memo::new(), pending: Pending::default(), log: Log::default(), next: 1 }
    }

    fn request(&mut self, operations: &[Operation]) -> Request<'static> {
        let decision = DecisionId::new(NOW, self.next);
        self.next += 1;
        Request { decision, ..request(1, operations) }
    }

    fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Permit(permit) => self.pending.permit(permit, NOW),
            Verdict::Deny(deny) => self.pending.deny(deny, NOW),
            Verdict::Ask(ask) => self.pending.ask(&ask, ApprovalId::new(NOW, 9), NOW),
        }
    }

    fn ask(&mut self, operations: &[Operation]) {
        let request = self.request(operations);
        let verdict = judge(&self.snapshot, &mut self.memo, &authenticated("bot"), request, &around());
        self.add(verdict);
    }

    fn prepare(&mut self, operations: &[Operation]) {
        let request = self.request(operations);
        let verdict = judge_preparation(&self.snapshot, &mut self.memo, &authenticated("bot"), request, &around());
        self.add(verdict);
    }

    fn enter(&mut self) -> bool {
        finish(self.pending.enter(&self.log)).is_ok()
    }

    /// The entries of the log, with the bundle's digest by a word.
    fn entries(&self) -> Vec<String> {
        let bundle = &**self.snapshot.bundle().digest();
        self.log.entries().into_iter().map(|entry| String::from_utf8(entry).unwrap().replace(bundle, BUNDLE)).collect()
    }
}

const PERMIT: &str = "@id(\"all\") permit(principal, action, resource);";
const FIRST: &str =
    r#"{"v":1,"at":"2026-11-21T04:00:00.000Z","kind":"decision","decision":"dec_<1>","session":"ses_<2>""#;
const SECOND: &str =
    r#"{"v":1,"at":"2026-11-21T04:00:00.000Z","kind":"decision","decision":"dec_<2>","session":"ses_<2>""#;
const SHORT: &str = r#""workload":"bot","upstream":"shop-db","verdict":"permit","like":"dec_<1>"}"#;

/// A text with the letters of ids.
fn written(parts: &[&str]) -> String {
    parts.concat().replace("<1>", "D1ZH1D4000000001").replace("<2>", "D1ZH1D4000000002")
}

#[test]
fn a_permit_is_short_once_its_body_is_entered() {
    let mut asking = Asking::under(PERMIT);
    let read = [operation(Action::SqlSelect, &EMAIL)];
    asking.prepare(&read);
    assert!(asking.enter());
    asking.ask(&read);
    assert!(asking.enter());
    let body = concat!(
        r#","workload":"bot","upstream":"shop-db","verdict":"permit","bundle":"<bundle>","terms":{"permits":["all"]},"#,
        r#""operations":[{"action":"sql:select","verb":"TEST","kind":"column","resource":"shop-db/shop.public.customers.email","#,
        r#""facts":{"bounded":true,"object":"table","statements":1}}],"statement":"select $1"}"#
    );
    assert_eq!(asking.entries(), [written(&[FIRST, r#","prepares":true"#, body]), written(&[SECOND, ",", SHORT])]);
}

#[test]
fn a_pipeline_refers_to_itself() {
    let mut asking = Asking::under(PERMIT);
    let read = [operation(Action::SqlSelect, &EMAIL)];
    asking.ask(&read);
    asking.prepare(&read);
    assert!(asking.enter());
    assert_eq!(asking.entries()[1], written(&[SECOND, r#","prepares":true,"#, SHORT]));
}

#[test]
fn nothing_refers_to_what_was_not_written() {
    let mut asking = Asking::under(PERMIT);
    let read = [operation(Action::SqlSelect, &EMAIL)];
    asking.log.fail(true);
    asking.ask(&read);
    assert!(!asking.enter());
    asking.log.fail(false);
    asking.ask(&read);
    // Judged, and never entered.
    let request = asking.request(&read);
    drop(judge(&asking.snapshot, &mut asking.memo, &authenticated("bot"), request, &around()));
    asking.ask(&read);
    assert!(asking.enter());
    let entries = asking.entries();
    assert_eq!(entries.len(), 2);
    assert!(entries[0].contains("\"statement\"") && !entries[0].contains("\"like\""), "{}", entries[0]);
    assert!(entries[1].ends_with(r#""like":"dec_D1ZH1D4000000002"}"#), "{}", entries[1]);
}

#[test]
fn what_did_not_simply_pass_is_in_full() {
    let read = [operation(Action::SqlSelect, &EMAIL)];
    for policies in [
        "",
        &format!("{PERMIT} @id(\"no\") forbid(principal, action, resource);"),
        &format!("{PERMIT} @id(\"held\") @approve(\"dba\") forbid(principal, action, resource);"),
        &format!("{PERMIT} @id(\"rolled-out\") @observe forbid(principal, action, resource);"),
    ] {
        let mut asking = Asking::under(policies);
        for _ in 0..3 {
            asking.ask(&read);
            asking.prepare(&read);
            assert!(asking.enter());
        }
        for entry in asking.entries() {
            assert!(entry.contains("\"around\":{") && entry.contains("\"statement\":\"select $1\""), "{entry}");
            assert!(!entry.contains("\"like\""), "{entry}");
        }
    }
}

#[test]
fn another_answer_is_another_body() {
    let mut asking = Asking::under(PERMIT);
    let read = [operation(Action::SqlSelect, &EMAIL)];
    asking.ask(&read);
    assert!(asking.enter());
    asking.snapshot =
        snapshot(&format!("{PERMIT} @id(\"capped\") @limit(\"rows=10\") forbid(principal, action, resource);"));
    for _ in 0..2 {
        asking.ask(&read);
        assert!(asking.enter());
    }
    let entries = asking.entries();
    assert!(entries[1].contains(r#""terms":{"limits":{"rows":10},"permits":["all"]}"#), "{}", entries[1]);
    assert!(entries[2].ends_with(r#""like":"dec_D1ZH1D4000000002"}"#), "{}", entries[2]);
}

#[test]
fn facts_are_written_where_they_change() {
    let plain = || operation_with(Action::SqlSelect, &EMAIL, Facts::default());
    let bounded = operation(Action::SqlSelect, &EMAIL);
    let mut asking = Asking::under(PERMIT);
    asking.ask(&[plain(), bounded.clone(), bounded, plain()]);
    assert!(asking.enter());
    let entry: serde_json::Value = serde_json::from_str(&asking.entries()[0]).unwrap();
    let facts: Vec<_> = entry["operations"].as_array().unwrap().iter().map(|one| one.get("facts").cloned()).collect();
    let known = serde_json::json!({ "bounded": true, "object": "table", "statements": 1 });
    assert_eq!(facts, [None, Some(known), None, Some(serde_json::json!({}))]);
}

#[test]
fn a_short_entry_is_short() {
    let mut asking = Asking::under(PERMIT);
    let read = [operation(Action::SqlSelect, &EMAIL)];
    asking.ask(&read);
    asking.ask(&read);
    assert!(asking.enter());
    let short = &asking.log.entries()[1];
    assert!(short.len() <= 230, "{}", short.len());
}

/// Connecting has no statement, and so no content: its entry is whole without.
#[test]
fn a_decision_without_a_statement_is_a_whole_entry() {
    let mut asking = Asking::under("@id(\"all\") permit (principal, action, resource);");
    let request = Request {
        content: crate::verdict::Content::default(),
        ..asking.request(&[operation(Action::SqlSelect, &EMAIL)])
    };
    let verdict = judge(&asking.snapshot, &mut asking.memo, &authenticated("bot"), request, &around());
    asking.add(verdict);
    let part = asking.pending.batch.parts().next().unwrap();
    assert!(part.content.is_none());
    serde_json::from_slice::<serde_json::Value>(part.entry).unwrap();
}

/// `@durable` on whatever matches asks for the disk, for that batch alone.
#[test]
fn a_durable_policy_asks_for_the_disk() {
    for (annotation, durable) in [("@durable ", true), ("", false)] {
        let mut asking = Asking::under(&format!("@id(\"all\") {annotation}permit (principal, action, resource);"));
        asking.ask(&[operation(Action::SqlSelect, &EMAIL)]);
        assert_eq!(asking.pending.batch.is_durable(), durable);
        assert!(asking.enter());
        assert!(!asking.pending.batch.is_durable());
    }
}
