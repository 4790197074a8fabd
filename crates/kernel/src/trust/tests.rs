//! Which attestation is which workload: equality of claims, terms, ambiguity, and what the owner is told.

use super::*;
use crate::workload::{Person, WorkloadKind, WorkloadStatus};

const NOW: Timestamp = Timestamp::from_millis(1_795_233_600_000);
const GITHUB: &str = "https://token.actions.githubusercontent.com";

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn claims(pairs: &[(&str, &str)]) -> Claims {
    pairs.iter().map(|(claim, value)| ((*claim).to_owned(), (*value).to_owned())).collect()
}

fn workload(text: &str) -> Workload {
    Workload {
        name: name(text),
        owner: Person("ann@example.com".into()),
        kind: WorkloadKind::Ci,
        environment: name("production"),
        purpose: "tests".to_owned(),
        groups: std::collections::BTreeSet::default(),
        expires: None,
        status: WorkloadStatus::Active,
        risk: 0,
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's attestation")]
fn attestation(pairs: &[(&str, &str)]) -> VerifiedAttestation {
    VerifiedAttestation::by_signature(GITHUB, claims(pairs), NOW)
}

fn deploy() -> TrustRule {
    let bound = [("repository_id", "74"), ("ref", "refs/heads/main")];
    let barred = BTreeMap::from([("event_name".to_owned(), vec!["pull_request".to_owned()])]);
    let equal = vec![("project_id".to_owned(), "job_project_id".to_owned())];
    let terms = Terms { barred, equal, ..Terms::default() };
    TrustRule { terms, ..TrustRule::new(GITHUB, claims(&bound), name("deploy")) }
}

fn check(trust: &Trust, shown: &VerifiedAttestation, claimed: &str, expected: &str) {
    let known = [workload("deploy"), workload("ci-test"), workload("other")];
    let find = |wanted: &Name| known.iter().find(|known| known.name == *wanted);
    let said = match trust.authenticate(shown, Some(claimed), find, NOW) {
        Ok(who) => who.workload().to_string(),
        Err(refusal) => refusal.to_string(),
    };
    assert_eq!(said, expected, "{:?}", shown.claims());
}

#[test]
fn claims_are_compared_by_equality_and_differences_are_told() {
    let trust = Trust::new(vec![deploy()]);
    let no_rule = |what: &str| {
        format!("no trust rule matches the attestation of issuer `{GITHUB}`; the rule for `deploy` does not: {what}")
    };
    let good = [("repository_id", "74"), ("ref", "refs/heads/main")];
    let with = |more: &[(&'static str, &'static str)]| {
        let mut all = claims(&good);
        all.extend(claims(more));
        let pairs: Vec<(&str, &str)> = all.iter().map(|(claim, value)| (claim.as_str(), value.as_str())).collect();
        attestation(&pairs)
    };
    for (shown, expected) in [
        (with(&[]), "deploy".to_owned()),
        (with(&[("event_name", "push")]), "deploy".to_owned()),
        (with(&[("ref", "refs/heads/main2")]), no_rule("`ref` is `refs/heads/main2`, not `refs/heads/main`")),
        (with(&[("ref", "refs/heads/MAIN")]), no_rule("`ref` is `refs/heads/MAIN`, not `refs/heads/main`")),
        (with(&[("ref", "refs/heads/ma\nin")]), no_rule("`ref` is `refs/heads/main`, not `refs/heads/main`")),
        (with(&[("repository_id", "074")]), no_rule("`repository_id` is `074`, not `74`")),
        (
            with(&[("event_name", "pull_request")]),
            no_rule("`event_name` is `pull_request`, which the rule does not take"),
        ),
        (
            with(&[("project_id", "1"), ("job_project_id", "2")]),
            no_rule("`project_id` is `1`, but `job_project_id` is `2`"),
        ),
        (with(&[("job_project_id", "2")]), no_rule("`project_id` is ``, but `job_project_id` is `2`")),
        (with(&[("project_id", "1"), ("job_project_id", "1")]), "deploy".to_owned()),
        (attestation(&[("repository_id", "74")]), no_rule("`ref` is absent, and must be `refs/heads/main`")),
    ] {
        check(&trust, &shown, "deploy", &expected);
    }
    // A rule without claims is no rule.
    let open = Trust::new(vec![TrustRule::new(GITHUB, Claims::new(), name("deploy"))]);
    assert!(open.authenticate(&with(&[]), None, |_| None, NOW).is_err());
}

#[test]
fn the_rule_of_the_claimed_workload_is_the_one_that_is_told() {
    let other = TrustRule::new(GITHUB, claims(&[("repository_id", "75")]), name("other"));
    let test = TrustRule::new(GITHUB, claims(&[("repository_id", "74"), ("ref", "refs/heads/dev")]), name("ci-test"));
    let trust = Trust::new(vec![other, test, deploy()]);
    let dev = attestation(&[("repository_id", "74"), ("ref", "refs/heads/dev")]);
    check(&trust, &dev, "ci-test", "ci-test");
    check(
        &trust,
        &dev,
        "deploy",
        "the attestation is of `ci-test`, but the client claims `deploy`; the rule for `deploy` does not: `ref` is \
         `refs/heads/dev`, not `refs/heads/main`",
    );
    let odd = attestation(&[("repository_id", "76"), ("ref", "refs/heads/dev")]);
    for (claimed, told) in [("deploy", "`deploy`"), ("other", "`other`"), ("nobody", "`other`")] {
        let refused = trust.authenticate(&odd, Some(claimed), |_| None, NOW).unwrap_err().to_string();
        assert!(refused.contains(&format!("the rule for {told} does not")), "{refused}");
    }
    // Two rules for two workloads that both match deny (hazard ID14); for one workload they do not.
    let wide = TrustRule::new(GITHUB, claims(&[("repository_id", "74")]), name("ci-test"));
    let main = attestation(&[("repository_id", "74"), ("ref", "refs/heads/main")]);
    check(
        &Trust::new(vec![deploy(), wide.clone()]),
        &main,
        "deploy",
        "trust rules for `deploy` and `ci-test` both match",
    );
    let twice = Trust::new(vec![deploy(), TrustRule { workload: name("deploy"), ..wide }]);
    check(&twice, &main, "deploy", "deploy");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test's attestation")]
fn terms_bind_the_token_to_its_sender_and_its_use() {
    let mut rule = deploy();
    rule.terms.bound = true;
    rule.terms.once = true;
    let trust = Trust::new(vec![rule]);
    let good = [("repository_id", "74"), ("ref", "refs/heads/main"), ("jti", "j1")];
    let bearer = attestation(&good);
    let told = "the token is not bound to its sender (`cnf`)";
    let refused = trust.authenticate(&bearer, None, |_| None, NOW).unwrap_err().to_string();
    assert!(refused.ends_with(told), "{refused}");
    let nameless = attestation(&good[..2]).bound_to_sender();
    let refused = trust.authenticate(&nameless, None, |_| None, NOW).unwrap_err().to_string();
    assert!(refused.ends_with("the token has no `jti`, and the rule takes each token once"), "{refused}");
    let known = workload("deploy");
    let who = trust.authenticate(&bearer.bound_to_sender(), None, |_| Some(&known), NOW).unwrap();
    let [once] = who.once() else { panic!("a token to spend") };
    assert_eq!((&*once.issuer, once.id.as_str(), once.until), (GITHUB, "j1", NOW));
    let accepted: Vec<&str> = who.accepted().keys().map(String::as_str).collect();
    assert_eq!(accepted, ["jti", "ref", "repository_id"]);
    // No rule can claim a native token: whose it is was said when it was given.
    let native = VerifiedAttestation::by_native_token("tok_1", name("deploy"), NOW);
    let who = trust.authenticate(&native, Some("deploy"), |_| Some(&known), NOW).unwrap();
    assert_eq!((who.workload().as_str(), who.once().len()), ("deploy", 0));
    assert!(trust.authenticate(&native, Some("other"), |_| Some(&known), NOW).is_err());
}

#[test]
fn many_rules_are_found_as_one_is() {
    let rules = (0..5000).map(|number| {
        let bound = [("repository_owner_id", "9"), ("repository_id", &number.to_string()), ("ref", "refs/heads/main")];
        TrustRule::new(GITHUB, claims(&bound), name(&format!("w{number}")))
    });
    let trust = Trust::new(rules.collect());
    for number in [0, 17, 4999] {
        let id = number.to_string();
        let shown = attestation(&[
            ("repository_owner_id", "9"),
            ("repository_id", &id),
            ("ref", "refs/heads/main"),
            ("x", "y"),
        ]);
        let matching: Vec<&str> = trust.matching(&shown).map(|rule| rule.workload.as_str()).collect();
        assert_eq!(matching, [format!("w{number}")]);
    }
    let elsewhere = attestation(&[("repository_owner_id", "9"), ("repository_id", "5000"), ("ref", "refs/heads/main")]);
    assert_eq!(trust.matching(&elsewhere).count(), 0);
}
