//! The rules of DESIGN §3 and §5, as verdicts.

use proptest::prelude::*;

use super::*;
use crate::facts::Facts;
use crate::operation::{Action, Operation};
use crate::policy::{Mode, evaluate};
use crate::testing::{around, authenticated, name, operation, operation_with, parts, request, snapshot, workload};
use crate::verdict::Mask;
use crate::workload::{WorkloadKind, WorkloadStatus};

const EMAIL: [&str; 4] = ["shop", "public", "customers", "email"];
const ORDERS: [&str; 3] = ["shop", "public", "orders"];
const PERMIT: &str = "@id(\"all\") permit(principal, action, resource);";

pub(super) fn said(verdict: &Verdict) -> String {
    let terms = |terms: &crate::verdict::Terms| {
        let mut text = String::new();
        for (index, mask, policy) in &terms.masks {
            text += &format!(" {}[{index}]:{policy}", mask.as_str());
        }
        text += &terms.limits.rows.map(|rows| format!(" rows={rows}")).unwrap_or_default();
        text += &terms.limits.bytes.map(|bytes| format!(" bytes={bytes}")).unwrap_or_default();
        for deciding in &terms.observed {
            text += &format!(" observed:{}", deciding.policy);
        }
        text
    };
    match verdict {
        Verdict::Permit(permit) => format!("permit{}", terms(&permit.terms)),
        Verdict::Ask(ask) => format!(
            "ask {} of {}{}",
            ask.deciding.policy,
            ask.approval.groups.iter().map(|group| group.as_str()).collect::<Vec<_>>().join("+"),
            terms(&ask.terms)
        ),
        Verdict::Deny(deny) => match &deny.reason {
            DenyReason::Policy(deciding) => format!("deny {}", deciding.policy),
            DenyReason::Quarantine(deciding) => format!("quarantine {}", deciding.policy),
            DenyReason::NoPermit => "deny no permit".to_owned(),
            DenyReason::Standing => "deny standing".to_owned(),
            DenyReason::CannotDecide(why) => format!("deny {}", why.code()),
            DenyReason::NotApproved(_) => "deny not approved".to_owned(),
            DenyReason::OverBudget(_) => "deny over budget".to_owned(),
            DenyReason::OutsideTask { bound, .. } => format!("deny outside the task: {}", bound.as_str()),
        },
    }
}

fn judged(snapshot: &Snapshot, operations: &[Operation]) -> String {
    said(&judge(snapshot, &mut Memo::new(), &authenticated("bot"), request(1, operations), &around()))
}

/// Each remedy as a forbid on everything (a mask: on columns that are read), with a name of its own.
fn forbid(remedy: &str, id: &str) -> String {
    let scope = if remedy.contains("@mask") {
        "principal, action in Action::\"read\", resource is Column"
    } else {
        "principal, action, resource"
    };
    format!("@id(\"{id}\") {remedy} forbid({scope});")
}

#[test]
fn the_rules_of_evaluation() {
    let read = [operation(Action::SqlSelect, &EMAIL)];
    let unbounded = [operation_with(Action::SqlUpdate, &ORDERS, Facts::default())];
    for (policies, operations, expected) in [
        ("", &read[..], "deny no permit"),
        (PERMIT, &read, "permit"),
        (PERMIT, &[], "deny PAR0206"),
        ("@id(\"a\") permit(principal == Workload::\"other\", action, resource);", &read, "deny no permit"),
        (
            "@id(\"a\") permit(principal in Group::\"agents\", action, resource in Environment::\"production\");",
            &read,
            "permit",
        ),
        ("@id(\"a\") permit(principal in Group::\"others\", action, resource);", &read, "deny no permit"),
        (
            "@id(\"a\") permit(principal, action in Action::\"read\", resource in Table::\"shop-db/shop.public.customers\");",
            &read,
            "permit",
        ),
        (
            "@id(\"a\") permit(principal, action in Action::\"read\", resource in Table::\"shop-db/shop.public.orders\");",
            &read,
            "deny no permit",
        ),
        ("@id(\"a\") permit(principal, action in Action::\"write\", resource);", &read, "deny no permit"),
        ("@id(\"a\") permit(principal, action, resource is Table);", &read, "deny no permit"),
        // A fact that is absent: a forbid that reads it matches, a permit that reads it does not.
        (
            &*format!(
                "{PERMIT} @id(\"b\") forbid(principal, action == Action::\"sql:update\", resource) when {{ context.bounded }};"
            ),
            &unbounded,
            "deny b",
        ),
        (
            "@id(\"a\") permit(principal, action == Action::\"sql:update\", resource) when { context.bounded };",
            &unbounded,
            "deny no permit",
        ),
        (
            "@id(\"a\") permit(principal, action == Action::\"sql:update\", resource) unless { context.bounded };",
            &unbounded,
            "deny no permit",
        ),
        (
            &format!(
                "{PERMIT} @id(\"b\") @observe forbid(principal, action == Action::\"sql:update\", resource) when {{ context.bounded }};"
            ),
            &unbounded,
            "permit observed:b",
        ),
        // Overflow is an error too.
        (
            &format!(
                "{PERMIT} @id(\"b\") forbid(principal, action, resource) when {{ principal.risk + 9223372036854775807 < 0 && principal.risk * 9223372036854775807 + 9223372036854775807 < 1 }};"
            ),
            &read,
            "permit",
        ),
        // A forbid beats a permit, and is named rather than the missing permit.
        (&format!("{PERMIT} {}", forbid("", "b")), &read, "deny b"),
        (&forbid("", "b"), &read, "deny b"),
        (&forbid("@approve(\"dba\")", "b"), &read, "deny no permit"),
        (&forbid("@mask(\"null\")", "b"), &read, "deny no permit"),
    ] {
        assert_eq!(judged(&snapshot(policies), operations), expected, "{policies}");
    }
}

#[test]
fn the_strictest_remedy_wins() {
    let ladder = [
        ("@observe @quarantine", "observed"),
        ("@mask(\"partial\")", "mask"),
        ("@limit(\"rows=10\")", "limit"),
        ("@approve(\"dba\")", "approve"),
        ("", "block"),
        ("@quarantine", "quarantine"),
    ];
    let expected = [
        "permit observed:observed",
        "permit partial[0]:mask observed:observed",
        "permit partial[0]:mask rows=10 observed:observed",
        "ask approve of dba partial[0]:mask rows=10 observed:observed",
        "deny block",
        "quarantine quarantine",
    ];
    // From every order of the file the same follows.
    for reversed in [false, true] {
        for (step, expected) in expected.iter().enumerate() {
            let mut policies: Vec<String> = ladder[..=step].iter().map(|(remedy, id)| forbid(remedy, id)).collect();
            if reversed {
                policies.reverse();
            }
            let policies = format!("{PERMIT} {}", policies.join(" "));
            assert_eq!(judged(&snapshot(&policies), &[operation(Action::SqlSelect, &EMAIL)]), *expected, "{policies}");
        }
    }
}

#[test]
fn masks_limits_and_approvals_add_up() {
    let policies = format!(
        "{PERMIT} {} {} {} {} {} {}",
        forbid("@mask(\"partial\")", "weak"),
        forbid("@mask(\"hash\")", "strong"),
        forbid("@limit(\"rows=10, bytes=99\")", "few"),
        forbid("@limit(\"rows=5\")", "fewer"),
        forbid("@approve(\"dba, quorum=2, window=10m, uses=3\")", "one"),
        forbid("@approve(\"security, valid=5m\")", "two"),
    );
    let snapshot = snapshot(&policies);
    let operations = [operation(Action::SqlSelect, &ORDERS), operation(Action::SqlInfer, &EMAIL)];
    let verdict = judge(&snapshot, &mut Memo::new(), &authenticated("bot"), request(1, &operations), &around());
    assert_eq!(said(&verdict), "ask one of dba+security hash[1]:strong rows=5 bytes=99");
    let Verdict::Ask(ask) = verdict else { panic!("no ask") };
    assert_eq!((ask.approval.quorum, ask.approval.uses), (2, 1));
    assert_eq!((ask.approval.open_for.as_secs(), ask.approval.valid_for.as_secs()), (600, 300));
    assert_eq!(ask.approval.policies, ["one".into(), "two".into()].into());
}

#[test]
fn the_strictest_operation_decides() {
    let snapshot = snapshot(
        "@id(\"r\") permit(principal, action in [Action::\"read\", Action::\"destroy\"], resource);
         @id(\"ask\") @approve(\"dba\") forbid(principal, action == Action::\"sql:drop\", resource);",
    );
    let read = operation(Action::SqlSelect, &EMAIL);
    let drop = operation(Action::SqlDrop, &ORDERS);
    let write = operation(Action::SqlInsert, &ORDERS);
    for (operations, expected, index) in [
        (vec![read.clone()], "permit", 0),
        (vec![read.clone(), drop.clone()], "ask ask of dba", 1),
        (vec![read.clone(), drop.clone(), write.clone()], "deny no permit", 2),
    ] {
        let verdict = judge(&snapshot, &mut Memo::new(), &authenticated("bot"), request(1, &operations), &around());
        assert_eq!(said(&verdict), expected);
        let (Verdict::Permit(Permit { subject, .. })
        | Verdict::Ask(Ask { subject, .. })
        | Verdict::Deny(Deny { subject, .. })) = &verdict;
        assert_eq!(subject.deciding_operation, index);
        assert_eq!(subject.deciding_operation(), operations.get(index));
    }
}

#[test]
fn standing_and_unknown_names_come_first() {
    let snapshot = snapshot(PERMIT);
    let read = [operation(Action::SqlSelect, &EMAIL)];
    for (status, expected) in [
        (WorkloadStatus::Active, "permit"),
        (WorkloadStatus::Observed, "permit"),
        (WorkloadStatus::Quarantined, "deny standing"),
        (WorkloadStatus::Retired, "deny standing"),
    ] {
        let changed = snapshot.with_workload_status(2, &name("bot"), status).unwrap();
        assert_eq!(judged(&changed, &read), expected);
    }
    let expired = crate::workload::Workload { expires: Some(around().now), ..workload("bot", WorkloadKind::Ci, &[]) };
    assert_eq!(judged(&snapshot.with_workloads(2, vec![expired]), &read), "deny standing");
    assert_eq!(judged(&snapshot.with_workloads(2, vec![]), &read), "deny PAR0209");
    let mut elsewhere = request(1, &read);
    let other = name("other");
    elsewhere.upstream = &other;
    let verdict = judge(&snapshot, &mut Memo::new(), &authenticated("bot"), elsewhere, &around());
    assert_eq!(said(&verdict), "deny PAR0209");
    assert!(snapshot.with_workload_status(2, &name("nobody"), WorkloadStatus::Active).is_none());
}

#[test]
fn an_observing_upstream_records_what_would_have_been() {
    let read = [operation(Action::SqlSelect, &EMAIL)];
    for (policies, expected) in [
        (String::new(), "permit observed:(no permit)"),
        (PERMIT.to_owned(), "permit"),
        (format!("{PERMIT} {}", forbid("", "b")), "permit observed:b"),
        (format!("{PERMIT} {}", forbid("@approve(\"dba\")", "b")), "permit observed:b"),
        (format!("{PERMIT} {}", forbid("@limit(\"rows=1\")", "b")), "permit observed:b"),
        (format!("{PERMIT} {}", forbid("@mask(\"null\")", "b")), "permit null[0]:b"),
        (format!("{PERMIT} {}", forbid("@quarantine", "b")), "quarantine b"),
    ] {
        let mut parts = parts(&policies);
        parts.upstreams[0].mode = Mode::Observe;
        let snapshot = Snapshot::build(parts).unwrap();
        assert_eq!(judged(&snapshot, &read), expected, "{policies}");
        // What cannot be read is never observed.
        assert_eq!(judged(&snapshot, &[]), "deny PAR0206");
    }
}

#[test]
fn a_change_bites_on_the_next_request() {
    let before = snapshot(PERMIT);
    let after = before.with_workload_status(1, &name("bot"), WorkloadStatus::Quarantined).unwrap();
    let (mut memo, who) = (Memo::new(), authenticated("bot"));
    let read = [operation(Action::SqlSelect, &EMAIL)];
    let mut ask = |snapshot: &Snapshot| said(&judge(snapshot, &mut memo, &who, request(1, &read), &around()));
    assert_eq!([ask(&before), ask(&before)], ["permit", "permit"]);
    // Even under the same epoch.
    assert_eq!(ask(&after), "deny standing");
    assert_eq!(ask(&snapshot(&forbid("", "b"))), "deny b");
    assert_eq!(ask(&before), "permit");
}

#[test]
fn a_dry_run_for_another_workload_leaves_no_trace() {
    let snapshot = snapshot("@id(\"a\") permit(principal in Group::\"admins\", action, resource);");
    let read = [operation(Action::SqlSelect, &EMAIL)];
    let admin = workload("bot", WorkloadKind::Agent, &["admins"]);
    let explained = crate::policy::explain(&snapshot, &admin, &read, &around());
    assert_eq!(explained.evaluation.verdict, "permit");
    assert_eq!(judged(&snapshot, &read), "deny no permit");
    let explained = crate::policy::explain(&snapshot, &admin, &read, &around());
    assert_eq!(explained.evaluation.verdict, "permit");
}

#[test]
fn a_memo_keeps_statements_that_are_written_otherwise_apart() {
    let snapshot = snapshot(PERMIT);
    let (mut memo, who) = (Memo::new(), authenticated("bot"));
    let operations = [operation(Action::SqlSelect, &EMAIL)];
    for template in ["select a", "select b", "select a"] {
        let mut request = request(1, &operations);
        request.content.template = template.into();
        let Verdict::Permit(permit) = judge(&snapshot, &mut memo, &who, request, &around()) else {
            panic!("no permit")
        };
        let body = permit.subject.audit_body.text();
        assert!(body.contains(template), "{body}");
    }
}

#[test]
fn refusals_of_what_cannot_be_read_bind() {
    let snapshot = snapshot(PERMIT);
    let deny = refuse(&snapshot, &authenticated("bot"), request(1, &[]), Undecidable::Unparseable);
    assert_eq!(deny.reason, DenyReason::CannotDecide(Undecidable::Unparseable));
    let body = deny.subject.audit_body.text();
    assert!(body.contains("\"why\":\"cannot_decide\""), "{body}");
}

/// Conditions that read circumstances, facts and entities in all forms.
const CONDITIONS: [&str; 14] = [
    "",
    "when { context.tls }",
    "unless { context.in_transaction }",
    "when { context.source.threats.contains(\"anonymizer\") }",
    "when { context.source.address.isInRange(ip(\"10.0.0.0/8\")) }",
    "when { context.source.address.isLoopback() }",
    "when { context.time.hour < 12 }",
    "unless { context.time.weekday > 5 }",
    "when { context.time.now < datetime(\"2026-11-21T12:00:00Z\") }",
    "when { context.session.rows_read >= 50000 }",
    "when { context.session.denials >= 2 || context.session.decisions >= 10 }",
    "when { context.session == {rows_read: 0, bytes_read: 0, decisions: 0, denials: 0} }",
    "when { context.session.bytes_read + 9223372036854775807 > 0 }",
    "when { resource.classes.contains(\"pii\") }",
];

const REMEDIES: [&str; 10] = [
    "",
    "@quarantine",
    "@approve(\"dba\")",
    "@approve(\"ops, quorum=2\")",
    "@limit(\"rows=10\")",
    "@limit(\"bytes=1000\")",
    "@limit(\"per=20/1h\")",
    "@mask(\"partial\")",
    "@mask(\"null\")",
    "@observe",
];

prop_compose! {
    fn any_forbid(id: usize)(remedy in 0..REMEDIES.len(), condition in 0..CONDITIONS.len()) -> String {
        let mut text = forbid(REMEDIES[remedy], &format!("f{id}"));
        text.pop();
        format!("{text} {};", CONDITIONS[condition])
    }
}

prop_compose! {
    fn any_policies()(
        permit in 0..CONDITIONS.len(),
        forbids in (any_forbid(0), any_forbid(1), any_forbid(2)),
        count in 0..4usize,
    ) -> String {
        let forbids = [forbids.0, forbids.1, forbids.2];
        format!("@id(\"p\") permit(principal, action, resource) {}; {}", CONDITIONS[permit], forbids[..count].join("\n"))
    }
}

prop_compose! {
    fn any_around()(
        tls: bool, in_transaction: bool, threat: bool, hours in 0..48i64,
        address in prop::sample::select(vec!["127.0.0.1", "10.1.2.3", "::1", "::ffff:10.0.0.1", "2001:db8::1"]),
        counters in prop::array::uniform4(prop::sample::select(vec![0u64, 1, 4, 9, 10, 49_999, 50_000, 70_000, u64::MAX])),
    ) -> Circumstances {
        let mut around = around();
        around.tls = tls;
        around.in_transaction = in_transaction;
        around.source = address.parse().unwrap();
        around.now = around.now.after(std::time::Duration::from_secs(u64::try_from(hours).unwrap() * 3600));
        if threat {
            around.threats = Arc::new(["anonymizer".into()].into());
        }
        let [rows_read, bytes_read, decisions, denials] = counters;
        around.session = crate::circumstances::SessionHistory { rows_read, bytes_read, decisions, denials };
        around
    }
}

fn any_operations() -> impl Strategy<Value = Vec<Operation>> {
    let one = prop::sample::select(vec![
        operation(Action::SqlSelect, &EMAIL),
        operation(Action::SqlInfer, &EMAIL),
        operation(Action::SqlSelect, &ORDERS),
        operation(Action::SqlDrop, &ORDERS),
        operation_with(Action::SqlUpdate, &ORDERS, Facts::default()),
    ]);
    prop::collection::vec(one, 1..4)
}

/// How strict a verdict is; a larger number lets less through.
fn strictness(verdict: &str) -> u8 {
    match verdict.split(' ').next() {
        Some("permit") => 0,
        Some("ask") => 1,
        Some("deny") => 2,
        _ => 3,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// The memo changes how fast, never what.
    #[test]
    fn a_memo_never_changes_a_verdict(
        policies in any_policies(),
        shapes in prop::collection::vec(any_operations(), 1..3),
        steps in prop::collection::vec((0..3usize, any_around()), 1..40),
    ) {
        let snapshot = snapshot(&policies);
        let (mut memo, who) = (Memo::new(), authenticated("bot"));
        for (shape, around) in steps {
            let shape = shape % shapes.len();
            let operations = &shapes[shape];
            let asked = |memo: &mut Memo| judge(&snapshot, memo, &who, request(shape as u128, operations), &around);
            let (remembered, fresh) = (asked(&mut memo), asked(&mut Memo::new()));
            prop_assert_eq!(said(&remembered), said(&fresh));
            let (Verdict::Permit(Permit { subject: one, .. }) | Verdict::Ask(Ask { subject: one, .. }) | Verdict::Deny(Deny { subject: one, .. })) = &remembered;
            let (Verdict::Permit(Permit { subject: two, .. }) | Verdict::Ask(Ask { subject: two, .. }) | Verdict::Deny(Deny { subject: two, .. })) = &fresh;
            prop_assert_eq!(one.audit_body.text(), two.audit_body.text());
            prop_assert_eq!(one.deciding_operation, two.deciding_operation);
        }
    }

    /// One more forbid never lets more through: not the verdict, not a mask, not a limit.
    #[test]
    fn a_forbid_never_widens(
        policies in any_policies(),
        more in any_forbid(9),
        operations in any_operations(),
        around in any_around(),
        observe: bool,
    ) {
        let build = |policies: &str| {
            let mut parts = parts(policies);
            if observe {
                parts.upstreams[0].mode = Mode::Observe;
            }
            Snapshot::build(parts).unwrap()
        };
        let (before, after) = (build(&policies), build(&format!("{policies} {more}")));
        let (bot, db) = (name("bot"), name("shop-db"));
        let one = evaluate(&before, &bot, &db, &operations, &around);
        let two = evaluate(&after, &bot, &db, &operations, &around);
        let ask = |snapshot: &Snapshot| said(&judge(snapshot, &mut Memo::new(), &authenticated("bot"), request(1, &operations), &around));
        prop_assert!(strictness(&ask(&before)) <= strictness(&ask(&after)), "{} {}", ask(&before), ask(&after));
        let least = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
        prop_assert!(least(two.terms.limits.rows) <= least(one.terms.limits.rows));
        prop_assert!(least(two.terms.limits.bytes) <= least(one.terms.limits.bytes));
        let mask = |terms: &crate::verdict::Terms, index: usize| -> Option<Mask> {
            terms.masks.iter().find(|(other, ..)| *other == index).map(|(_, mask, _)| *mask)
        };
        for index in 0..operations.len() {
            if let Some(weaker) = mask(&one.terms, index) {
                prop_assert!(mask(&two.terms, index).is_some_and(|stronger| stronger <= weaker));
            }
        }
    }

    /// What a dry run says is what the wire would be told.
    #[test]
    fn a_dry_run_says_what_judge_says(policies in any_policies(), operations in any_operations(), around in any_around()) {
        let snapshot = snapshot(&policies);
        let dry = evaluate(&snapshot, &name("bot"), &name("shop-db"), &operations, &around);
        match judge(&snapshot, &mut Memo::new(), &authenticated("bot"), request(1, &operations), &around) {
            Verdict::Permit(permit) => {
                prop_assert_eq!(dry.verdict, "permit");
                prop_assert_eq!(&dry.terms, &*permit.terms);
            }
            Verdict::Ask(ask) => {
                prop_assert_eq!(dry.verdict, "ask");
                prop_assert_eq!(dry.approval.as_deref(), Some(&*ask.approval));
            }
            Verdict::Deny(deny) => {
                prop_assert_eq!(dry.verdict, "deny");
                prop_assert_eq!(dry.reason.as_ref(), Some(&deny.reason));
            }
        }
    }
}
