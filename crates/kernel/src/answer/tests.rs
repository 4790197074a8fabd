//! Answers: what they say, what their entries hold, and what grants do to them.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::approval::{Approval, Approver, Asked, hex};
use crate::operation::Action;
use crate::testing::{NOW, around, name, operation, snapshot};
use crate::workload::Person;

const PERMIT: &str = "@id(\"all\") permit(principal, action, resource);";

fn question(workload: &str, operations: &[Operation]) -> Question {
    Question {
        decision: DecisionId::new(NOW, 1),
        session: SessionId::new(NOW, 2),
        asker: Asker {
            name: "checkout".into(),
            source: std::net::Ipv4Addr::LOCALHOST.into(),
            subject: SubjectBy::Named,
        },
        workload: name(workload),
        upstream: name("shop-db"),
        operations: operations.into(),
        content: Content { text: "{\"action\":\"sql:select\"}".into(), ..Content::default() },
    }
}

fn entry(answer: &Answer) -> Value {
    let mut batch = Batch::default();
    answer.add_to(&mut batch, None);
    let bytes = batch.entries().next().unwrap().to_vec();
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn answers_are_what_judge_would_say_and_name_who_asked() {
    let read = [operation(Action::SqlSelect, &["shop", "public", "customers", "email"])];
    let ask = format!("{PERMIT} @id(\"held\") @approve(\"dba\") forbid(principal, action, resource);");
    let masked = format!(
        "{PERMIT} @id(\"m\") @mask(\"hash\") forbid(principal, action in Action::\"read\", resource is Column);"
    );
    for (policies, workload, operations, verdict, pointer, expected) in [
        ("", "bot", &read[..], "deny", "/reason/why", json!("no_permit")),
        (PERMIT, "bot", &read, "permit", "/terms/permits/0", json!("all")),
        (&ask, "bot", &read, "ask", "/by/policy", json!("held")),
        (&masked, "bot", &read, "permit", "/terms/masks/0/1", json!("hash")),
        (PERMIT, "stranger", &read, "deny", "/reason/why", json!("cannot_decide")),
        (PERMIT, "bot", &[], "deny", "/reason/why", json!("cannot_decide")),
    ] {
        let answer = answer(&snapshot(policies), question(workload, operations), &around());
        assert_eq!(answer.evaluation().verdict, verdict, "{policies}");
        let entry = entry(&answer);
        assert_eq!(entry["kind"], "decision");
        assert_eq!(entry["verdict"], verdict, "{entry}");
        assert_eq!(entry["workload"], workload);
        assert_eq!(entry["asked_by"], json!({ "name": "checkout", "source": "127.0.0.1", "subject": "named" }));
        assert_eq!(entry.pointer(pointer).cloned().unwrap_or_default(), expected, "{entry}");
        assert!(entry["around"].is_object(), "{entry}");
        // What was asked in the caller's words is bound by a grant and stands nowhere.
        assert!(!entry.to_string().contains("\\\"action\\\":\\\""), "{entry}");
    }
}

#[test]
fn what_is_not_understood_is_denied_with_its_code() {
    let answer = unanswerable(&snapshot(PERMIT), question("bot", &[]), &around(), Undecidable::TooLarge);
    assert_eq!(entry(&answer)["reason"]["why"], "cannot_decide");
    assert_eq!(answer.evaluation().reason, Some(DenyReason::CannotDecide(Undecidable::TooLarge)));
}

fn granted(workload: &str, digest: &str, policies: &[&str]) -> Grant {
    let asked = Asked {
        decision: DecisionId::new(NOW, 1),
        session: None,
        workload: name(workload),
        owner: Person("mara@example.com".into()),
        started_by: None,
        upstream: name("shop-db"),
        digest: digest.to_owned(),
        summary: String::new(),
        text: String::new(),
        template: String::new(),
        terms: crate::approval::ApprovalTerms {
            groups: [name("dba")].into(),
            quorum: 1,
            open_for: Duration::from_secs(60),
            valid_for: Duration::from_secs(60),
            uses: 1,
            policies: policies.iter().map(|policy| (*policy).into()).collect(),
        },
        reason: None,
        at: NOW,
    };
    let mut approval = Approval::ask(ApprovalId::new(NOW, 3), asked);
    let by = Approver { person: Person("noor@example.com".into()), groups: [name("dba")].into() };
    approval.approve(&by, GrantId::new(NOW, 4), NOW).unwrap();
    approval.take_use(NOW).unwrap()
}

#[test]
fn a_grant_lifts_exactly_what_it_was_given_for() {
    let read = [operation(Action::SqlSelect, &["shop", "public", "orders"])];
    let policies = format!("{PERMIT} @id(\"held\") @approve(\"dba\") forbid(principal, action, resource);");
    let digest = hex(&question("bot", &read).digest());
    for (workload, digest, lifted, expected) in [
        ("bot", &*digest, "held", Ok("permit")),
        ("other", &digest, "held", Err(GrantMismatch::Workload)),
        ("bot", "00", "held", Err(GrantMismatch::Content)),
        ("bot", &digest, "another", Err(GrantMismatch::Policy)),
    ] {
        let answer = answer(&snapshot(&policies), question("bot", &read), &around());
        let after = answer.granted(granted(workload, digest, &[lifted]));
        let said = after.as_ref().map(|answer| answer.evaluation().verdict).map_err(|(_, mismatch)| *mismatch);
        assert_eq!(said, expected);
        let entry = entry(match &after {
            Ok(answer) => answer,
            Err((answer, _)) => answer,
        });
        assert_eq!(entry["grant"].is_string(), expected.is_ok(), "{entry}");
    }
    // Where nobody was asked, there is nothing to lift.
    let permitted = answer(&snapshot(PERMIT), question("bot", &read), &around());
    assert!(permitted.granted(granted("bot", &digest, &["held"])).is_err());
}
