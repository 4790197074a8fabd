//! The approval machine, event by event.

use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp::from_millis(1_795_233_600_000);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn approver(person: &str, groups: &[&str]) -> Approver {
    Approver { person: Person(person.into()), groups: groups.iter().map(|group| name(group)).collect() }
}

fn grant_id() -> GrantId {
    GrantId::new(START, 9)
}

fn waiting(quorum: u32, groups: &[&str], uses: u32) -> Approval {
    Approval::ask(
        ApprovalId::new(START, 1),
        Asked {
            decision: DecisionId::new(START, 2),
            session: Some(SessionId::new(START, 3)),
            workload: name("deploy"),
            owner: Person("mara@example.com".into()),
            started_by: Some(Person("sam@example.com".into())),
            upstream: name("shop-db"),
            digest: hex(&[7; 32]),
            summary: "DROP TABLE on shop-db/shop.public.orders".into(),
            text: "drop table orders".into(),
            template: "drop table orders".into(),
            terms: ApprovalTerms {
                groups: groups.iter().map(|group| name(group)).collect(),
                quorum,
                open_for: Duration::from_secs(1800),
                valid_for: Duration::from_secs(600),
                uses,
                policies: ["schema-needs-dba".into()].into(),
            },
            reason: None,
            at: START,
        },
    )
}

#[test]
fn grants_with_the_last_voice() {
    let mut approval = waiting(2, &["dba"], 1);
    approval.approve(&approver("ann@example.com", &["dba"]), grant_id(), START).unwrap();
    assert_eq!(approval.state, ApprovalState::Asked);
    assert_eq!(approval.missing(), Some((1, BTreeSet::new())));
    approval.approve(&approver("bob@example.com", &["dba", "ops"]), grant_id(), START).unwrap();
    assert_eq!(approval.state.as_str(), "granted");
}

#[test]
fn refuses_own_requests_strangers_and_second_voices() {
    for (person, groups) in [("mara@example.com", ["dba"]), ("sam@example.com", ["dba"])] {
        let refused = waiting(1, &["dba"], 1).approve(&approver(person, &groups), grant_id(), START);
        assert_eq!(refused, Err(ApprovalRefusal::OwnRequest(Person(person.into()))));
    }
    let stranger = waiting(1, &["dba"], 1).approve(&approver("eve@example.com", &["ops"]), grant_id(), START);
    assert_eq!(stranger, Err(ApprovalRefusal::NotInGroup(Person("eve@example.com".into()))));
    let mut approval = waiting(2, &["dba"], 1);
    approval.approve(&approver("ann@example.com", &["dba"]), grant_id(), START).unwrap();
    let twice = approval.approve(&approver("ann@example.com", &["dba"]), grant_id(), START);
    assert_eq!(twice, Err(ApprovalRefusal::Twice(Person("ann@example.com".into()))));
}

#[test]
fn one_person_in_two_groups_is_one_voice() {
    let mut approval = waiting(2, &["dba", "security"], 1);
    approval.approve(&approver("ann@example.com", &["dba", "security"]), grant_id(), START).unwrap();
    assert_eq!(approval.missing(), Some((1, BTreeSet::new())));
    approval.approve(&approver("bob@example.com", &["dba"]), grant_id(), START).unwrap();
    assert_eq!(approval.state.as_str(), "granted");
}

#[test]
fn a_quorum_within_one_group_still_misses_the_other() {
    let mut approval = waiting(1, &["dba", "security"], 1);
    approval.approve(&approver("ann@example.com", &["dba"]), grant_id(), START).unwrap();
    assert_eq!(approval.missing(), Some((0, [name("security")].into())));
}

#[test]
fn ends_by_itself() {
    let mut approval = waiting(1, &["dba"], 1);
    let end = START.after(Duration::from_secs(1800));
    let late = approval.approve(&approver("ann@example.com", &["dba"]), grant_id(), end);
    assert_eq!(late, Err(ApprovalRefusal::NotOpen("expired")));
    // The grant's time counts from the approval, not from the request.
    let mut approval = waiting(1, &["dba"], 1);
    let last_second = START.after(Duration::from_secs(1799));
    approval.approve(&approver("ann@example.com", &["dba"]), grant_id(), last_second).unwrap();
    assert!(approval.clone().take_use(last_second.after(Duration::from_secs(599))).is_ok());
    assert!(approval.take_use(last_second.after(Duration::from_secs(600))).is_err());
}

#[test]
fn uses_are_counted() {
    let mut approval = waiting(1, &["dba"], 2);
    approval.approve(&approver("ann@example.com", &["dba"]), grant_id(), START).unwrap();
    assert!(approval.take_use(START).is_ok());
    assert!(approval.take_use(START).is_ok());
    assert_eq!(approval.take_use(START).unwrap_err(), ApprovalRefusal::NotOpen("used"));
}

#[test]
fn revoked_and_withdrawn_are_final() {
    let mut approval = waiting(1, &["dba"], 1);
    approval.approve(&approver("ann@example.com", &["dba"]), grant_id(), START).unwrap();
    approval.revoke(&Person("ann@example.com".into())).unwrap();
    assert!(approval.take_use(START).is_err());
    let mut approval = waiting(1, &["dba"], 1);
    approval.withdraw(START).unwrap();
    assert!(approval.approve(&approver("ann@example.com", &["dba"]), grant_id(), START).is_err());
    // The owner cannot approve, but can refuse.
    let mut approval = waiting(1, &["dba"], 1);
    approval.reject(&approver("mara@example.com", &[]), "not today", START).unwrap();
    assert_eq!(approval.state.as_str(), "rejected");
}

#[test]
fn a_grant_binds_workload_upstream_content_and_policy() {
    let take = || {
        let mut approval = waiting(1, &["dba"], 1);
        approval.approve(&approver("ann@example.com", &["dba"]), grant_id(), START).unwrap();
        approval.take_use(START).unwrap()
    };
    let terms = waiting(1, &["dba"], 1).asked.terms;
    let wider = ApprovalTerms { policies: ["schema-needs-dba".into(), "other".into()].into(), ..terms.clone() };
    let (deploy, shop, same) = (name("deploy"), name("shop-db"), [7; 32]);
    assert_eq!(take().covers(&deploy, &shop, &same, &terms), Ok(()));
    assert_eq!(take().covers(&name("other"), &shop, &same, &terms), Err(GrantMismatch::Workload));
    assert_eq!(take().covers(&deploy, &name("other"), &same, &terms), Err(GrantMismatch::Upstream));
    assert_eq!(take().covers(&deploy, &shop, &[8; 32], &terms), Err(GrantMismatch::Content));
    assert_eq!(take().covers(&deploy, &shop, &same, &wider), Err(GrantMismatch::Policy));
}

proptest! {
    /// Whatever people do, in whatever order: a granted approval has the quorum of distinct people, none of whom is the
    /// owner or the person who started the run.
    #[test]
    fn never_grants_the_requester(quorum in 1u32..4, acts in prop::collection::vec((0usize..6, 0u8..3), 0..20)) {
        let people = ["mara@example.com", "sam@example.com", "ann@example.com", "bob@example.com", "eve@example.com", "kim@example.com"];
        let mut approval = waiting(quorum, &["dba"], 1);
        for (who, act) in acts {
            let by = approver(people[who], if who == 4 { &[] } else { &["dba"] });
            let _ignored = match act {
                0 | 1 => approval.approve(&by, grant_id(), START),
                _ if who == 5 => approval.withdraw(START),
                _ => Ok(()),
            };
        }
        if approval.take_use(START).is_ok() {
            prop_assert!(approval.votes.len() >= quorum as usize);
            for person in approval.votes.keys() {
                prop_assert!(!["mara@example.com", "sam@example.com", "eve@example.com"].contains(&&*person.0));
            }
        }
    }
}
