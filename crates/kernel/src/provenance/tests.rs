//! What the claims of each issuer say of a run.

use super::*;

#[test]
fn claims_of_each_issuer() {
    let claims = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let github = Provenance::of_claims(&claims(&[
        ("run_id", "9912"),
        ("run_attempt", "2"),
        ("sha", "4be1"),
        ("workflow_ref", "o/r/.github/workflows/ci.yml@refs/heads/main"),
        ("actor_id", "77"),
    ]));
    assert_eq!(github.run.as_deref(), Some("github:9912/2"));
    assert_eq!((github.commit.as_deref(), github.actor.as_deref()), (Some("4be1"), Some("77")));
    assert!(github.workflow.is_some() && github.pod.is_none());
    let gitlab = Provenance::of_claims(&claims(&[("pipeline_id", "5"), ("job_id", "6"), ("user_id", "3")]));
    assert_eq!((gitlab.run.as_deref(), gitlab.actor.as_deref()), (Some("gitlab:5/6"), Some("3")));
    let pod = Provenance::of_claims(&claims(&[
        ("/kubernetes.io/namespace", "shop"),
        ("/kubernetes.io/pod/name", "reporting-1"),
        ("/kubernetes.io/pod/uid", "0b3b"),
    ]));
    assert_eq!(pod.pod.as_deref(), Some("shop/reporting-1/0b3b"));
    let plain = Provenance::of_claims(&claims(&[("sub", "workload:reporting")]));
    assert!(plain.is_empty() && plain.names_no_run());
    let hostile = Provenance::of_claims(&claims(&[("sha", &format!("a\n{}", "b".repeat(1000)))]));
    assert_eq!(hostile.commit.map(|commit| commit.len()), Some(256));
}
