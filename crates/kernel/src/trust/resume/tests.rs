//! What a kept proof is worth later: never more than it was.

#![expect(clippy::disallowed_methods, reason = "a test's proofs")]

use std::time::Duration;

use super::*;
use crate::workload::{WorkloadKind, WorkloadStatus};

const NOW: Timestamp = Timestamp::from_millis(1_795_233_600_000);

fn workload(owner: &str, status: WorkloadStatus, expires: Option<Timestamp>) -> Workload {
    Workload {
        name: "deploy".parse().unwrap(),
        owner: Person(owner.into()),
        kind: WorkloadKind::Ci,
        environment: "production".parse().unwrap(),
        purpose: "tests".to_owned(),
        groups: std::collections::BTreeSet::default(),
        expires,
        status,
        risk: 0,
    }
}

fn proof() -> Authenticated {
    let scope =
        r#"[{"type":"parapet_task","locations":["payments"],"actions":["read"],"goal":"count","limits":{"uses":3}}]"#;
    let details = Details::parse(scope).unwrap();
    let end = NOW.after(Duration::from_secs(600));
    let link = Link { mark: [7; 32], details, expires: end };
    let id = TaskId::new(NOW, 1);
    let task = Task::new(id, vec!["ann@example.com".into(), "deploy".into()], vec![link]).unwrap();
    let provenance = Provenance { run: Some("github:1/1".into()), task: Some(Arc::new(task)), ..Provenance::default() };
    Authenticated {
        workload: "deploy".parse().unwrap(),
        evidence: Evidence::ParapetToken { id: "jti".into(), task: id, bound: true },
        until: Some(end),
        accepted: Arc::new(Claims::from([("sub".to_owned(), "repo:x".to_owned())])),
        once: Vec::new(),
        provenance: Some(Arc::new(provenance)),
        issued: Some(NOW),
        task_life: None,
    }
}

#[test]
fn a_kept_proof_counts_as_long_as_it_would_have() {
    let ann = Person("ann@example.com".into());
    let kept = proof().keep(&ann).unwrap();
    let good = workload("ann@example.com", WorkloadStatus::Active, None);
    let who = Authenticated::resume(&kept, |_| Some(&good), NOW).unwrap();
    let first = proof();
    assert_eq!(
        (who.workload(), who.evidence(), who.until(), who.issued(), who.accepted(), who.provenance()),
        (first.workload(), first.evidence(), first.until(), first.issued(), first.accepted(), first.provenance())
    );
    assert_eq!(who.task(), first.task(), "what narrows it, narrows it still");
    let soon = NOW.after(Duration::from_secs(60));
    let shorter = workload("ann@example.com", WorkloadStatus::Active, Some(soon));
    assert_eq!(Authenticated::resume(&kept, |_| Some(&shorter), NOW).unwrap().until(), Some(soon));
    let refused = |workload: Option<&Workload>, at: Timestamp, kept: &[u8]| {
        Authenticated::resume(kept, |_| workload, at).unwrap_err().to_string()
    };
    let bob = workload("bob@example.com", WorkloadStatus::Active, None);
    let quarantined = workload("ann@example.com", WorkloadStatus::Quarantined, None);
    let later = NOW.after(Duration::from_secs(600));
    for (who, at, kept, expected) in [
        (Some(&good), later, &kept[..], "the proof has ended"),
        (Some(&shorter), soon, &kept, "workload `deploy` is Expired"),
        (Some(&bob), NOW, &kept, "another person answers for the workload"),
        (Some(&quarantined), NOW, &kept, "workload `deploy` is Quarantined"),
        (None, NOW, &kept, "workload `deploy` is not registered"),
        (Some(&good), NOW, b"{}", "the kept proof cannot be read"),
    ] {
        assert_eq!(refused(who, at, kept), expected);
    }
}
