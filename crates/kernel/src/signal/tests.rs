//! Security events: of whom a stream may speak, and what follows.

use super::*;
use crate::policy::SnapshotParts;
use crate::testing::{name, workload};
use crate::trust::{Trust, TrustRule};
use crate::workload::{Person, Workload, WorkloadKind};

const IDP: &str = "https://idp.example";

fn snapshot() -> Snapshot {
    let owned = |text: &str, owner: &str| Workload {
        owner: Person(owner.into()),
        ..workload(text, WorkloadKind::Service, &[])
    };
    let rule = |issuer: &str, sub: &str, text: &str| TrustRule {
        issuer: issuer.into(),
        claims: [("sub".to_owned(), sub.to_owned())].into(),
        workload: name(text),
        terms: Default::default(),
    };
    Snapshot::build(SnapshotParts {
        epoch: 1,
        workloads: vec![
            owned("bot", "Mara@example.com"),
            owned("job", "mara@example.com"),
            owned("other", "dana@example.com"),
        ],
        trust: Trust::new(vec![rule(IDP, "bot-1", "bot"), rule("https://else.example", "bot-1", "other")]),
        ..SnapshotParts::default()
    })
    .unwrap()
}

fn event(subject: Option<Subject>, kind: Kind) -> SecurityEvent {
    SecurityEvent {
        stream: name("idp"),
        issuer: IDP.into(),
        id: "1".into(),
        issued: Timestamp::from_millis(0),
        subject,
        kind,
    }
}

#[test]
fn a_stream_speaks_of_whom_it_may_and_nobody_else() {
    let mapping = Mapping {
        subjects: [("opaque-7".to_owned(), name("job")), ("gone".to_owned(), name("nobody"))].into(),
        owner_domains: vec!["example.com".to_owned()],
    };
    let iss_sub =
        |issuer: &str, subject: &str| Subject::IssuerSubject { issuer: issuer.into(), subject: subject.into() };
    let snapshot = snapshot();
    for (subject, expected) in [
        (iss_sub(IDP, "bot-1"), vec!["bot"]),
        (iss_sub(IDP, "opaque-7"), vec!["job"]),
        (iss_sub(IDP, "stranger"), vec![]),
        (iss_sub("https://else.example", "bot-1"), vec![]),
        (iss_sub("https://idp.example/", "bot-1"), vec![]),
        (Subject::Opaque("opaque-7".into()), vec!["job"]),
        (Subject::Opaque("gone".into()), vec![]),
        (Subject::Opaque("bot".into()), vec![]),
        (Subject::Email("mara@Example.com".into()), vec!["bot", "job"]),
        (Subject::Email("mara@example.org".into()), vec![]),
        (Subject::Email("mara".into()), vec![]),
        (Subject::Other("phone_number".into()), vec![]),
    ] {
        let found = mapping.workloads(&snapshot, &event(Some(subject.clone()), Kind::SessionRevoked));
        assert_eq!(found.iter().map(Name::as_str).collect::<Vec<_>>(), expected, "{subject:?}");
    }
    let nobody = event(Some(Subject::Email("mara@example.com".into())), Kind::SessionRevoked);
    assert!(Mapping::default().workloads(&snapshot, &nobody).is_empty());
    assert!(mapping.workloads(&snapshot, &event(None, Kind::SessionRevoked)).is_empty());
}

#[test]
fn what_follows_from_an_event() {
    for (kind, revoke, weight) in [
        (Kind::SessionRevoked, true, None),
        (Kind::AccountDisabled, true, None),
        (Kind::CredentialChange { ends: true }, true, None),
        (Kind::CredentialChange { ends: false }, false, None),
        (Kind::RiskLevelChange { level: Level::Low }, false, Some((20, Fading::Halves))),
        (Kind::RiskLevelChange { level: Level::Medium }, false, Some((50, Fading::Halves))),
        (Kind::RiskLevelChange { level: Level::High }, false, Some((90, Fading::Stays))),
        (Kind::AssuranceLevelChange { decreased: true }, false, Some((20, Fading::Halves))),
        (Kind::AssuranceLevelChange { decreased: false }, false, None),
        (Kind::DeviceComplianceChange { compliant: false }, false, Some((20, Fading::Halves))),
        (Kind::TokenClaimsChange, false, None),
        (Kind::Verification { state: None }, false, None),
        (Kind::Other("new".into()), false, None),
    ] {
        let effects = Effects::of(&event(None, kind.clone()), Timestamp::from_millis(7));
        assert_eq!(effects.revoke, revoke, "{kind:?}");
        assert_eq!(effects.risk.map(|risk| (risk.weight, risk.fading)), weight, "{kind:?}");
    }
}
