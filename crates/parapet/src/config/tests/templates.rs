//! Trust templates as users meet them: what each takes, and every rule that it refuses.

use super::*;

const TENANT: &str = "https://login.microsoftonline.com/0a1b2c3d-0000-4000-8000-0123456789ab/v2.0";
const COMMON: &str = "https://login.microsoftonline.com/common/v2.0";
const AWS: &str = "https://abc-1.tokens.sts.global.api.aws";
const CLUSTER: &str = "https://kubernetes.example";
const SPIFFE: &str = "spiffe://example.org";
const UID: &str = "11111111-2222-4333-8444-555555555555";

/// The whole example with one more rule.
fn with_rule(template: &str, issuer: &str, claims: &str) -> String {
    let issuer = if issuer.is_empty() { String::new() } else { format!("issuer = \"{issuer}\"\n") };
    let issuers = ["https://gitlab.com", "https://accounts.google.com", CLUSTER, TENANT, AWS, COMMON]
        .map(|issuer| format!("\n[issuers.\"{issuer}\"]\naudience = \"parapet\"\n"));
    format!(
        "{WHOLE}\n[[trust]]\nworkload = \"deploy\"\ntemplate = \"{template}\"\n{issuer}claims = {{ {claims} }}\n{}",
        issuers.concat()
    )
}

/// The names of the claims that the rule binds, or the codes of its mistakes.
fn check(template: &str, issuer: &str, claims: &str, expected: &str) {
    let text = with_rule(template, issuer, claims);
    let found = match load(Sources::text("parapet.toml", folder(), &text)) {
        Ok(configuration) => {
            let rule = configuration.trust.last().unwrap();
            rule.claims.keys().map(String::as_str).collect::<Vec<_>>().join(" ")
        }
        Err(_) => codes(&text).join(" "),
    };
    assert_eq!(found, expected, "{template} {issuer} {claims}");
}

#[test]
fn pipelines() {
    let github = |claims: &str, expected: &str| check("github-actions", "", claims, expected);
    github(r#"repository_id = "1", environment = "production""#, "environment repository_id");
    github(r#"repository_id = 1, ref = "refs/heads/main""#, "ref repository_id");
    github(
        r#"repository_owner_id = "1", job_workflow_ref = "a/b/.github/workflows/d.yml@refs/heads/main""#,
        "job_workflow_ref repository_owner_id",
    );
    github(r#"repository_owner_id = "1", ref = "refs/heads/main""#, "PAR0422");
    github(r#"repository_id = "1""#, "PAR0423");
    // Neither form of GitHub's subject binds anything: both are built from names (hazard ID04).
    for sub in ["repo:acme/shop:ref:refs/heads/main", "repo:acme@9/shop@74:ref:refs/heads/main", "repo:acme%3A:x"] {
        github(&format!(r#"repository_id = "1", ref = "refs/heads/main", sub = "{sub}""#), "PAR0427");
    }
    github(r#"repository_id = "*", ref = "refs/heads/main""#, "PAR0405");
    let elsewhere = r#"repository_id = "1", ref = "refs/heads/main""#;
    check("github-actions", "https://gitlab.com", elsewhere, "PAR0428");
    let gitlab = |claims: &str, expected: &str| check("gitlab", "", claims, expected);
    gitlab(r#"project_id = "1", ref = "main", ref_protected = "true""#, "project_id ref ref_protected");
    gitlab(r#"project_path = "a/b", ref = "main""#, "PAR0422");
    gitlab(r#"project_id = "1""#, "PAR0423");
}

#[test]
fn platforms() {
    check(
        "kubernetes",
        CLUSTER,
        &format!(r#"service_account_uid = "{UID}", namespace = "shop""#),
        "/kubernetes.io/namespace /kubernetes.io/serviceaccount/uid",
    );
    check("kubernetes", CLUSTER, r#"namespace = "shop", service_account = "deploy""#, "PAR0422");
    check("kubernetes", CLUSTER, r#"service_account_uid = "deploy""#, "PAR0405 PAR0422".split(' ').next().unwrap());
    check("kubernetes", "", &format!(r#"service_account_uid = "{UID}""#), "PAR0403");
    check("gcp", "", r#"sub = "112233445566""#, "sub");
    check("gcp", "", r#"sub = "a@b.iam.gserviceaccount.com""#, "PAR0405");
    check("gcp", "", r#"email = "a@b.iam.gserviceaccount.com""#, "PAR0422");
    check("azure", TENANT, &format!(r#"oid = "{UID}""#), "oid tid");
    check("azure", TENANT, r#"sub = "x""#, "PAR0422");
    check("azure", COMMON, &format!(r#"oid = "{UID}""#), "PAR0428");
    let role = "arn:aws:iam::123456789012:role/x";
    check(
        "aws",
        AWS,
        &format!(r#"account = "123456789012", sub = "{role}""#),
        "/https:~1~1sts.amazonaws.com~1/aws_account sub",
    );
    check("aws", AWS, r#"account = "123456789012""#, "PAR0422");
    check("aws", AWS, &format!(r#"account = "12345678901x", sub = "{role}""#), "PAR0405");
    check("spiffe-jwt", SPIFFE, r#"spiffe_id = "spiffe://example.org/ns/a""#, "sub");
    check("spiffe-jwt", SPIFFE, r#"spiffe_id = "spiffe://example.org/""#, "PAR0405");
    check("spiffe-jwt", "", r#"spiffe_id = "spiffe://example.org/a""#, "PAR0403");
}

/// Runs for a stranger's pull request are trusted only by a rule that says so (hazard ID05), and forks by none (ID06).
#[test]
fn strangers_runs_are_barred() {
    let terms = |claims: &str| {
        let text = with_rule("gitlab", "", claims);
        load(Sources::text("parapet.toml", folder(), &text)).unwrap().trust.last().unwrap().terms.clone()
    };
    let usual = terms(r#"project_id = "1", ref = "main""#);
    assert!(usual.barred["pipeline_source"].contains(&"merge_request_event".to_owned()));
    assert!(usual.equal.contains(&("project_id".to_owned(), "job_project_id".to_owned())));
    let named = terms(r#"project_id = "1", ref = "main", pipeline_source = "merge_request_event""#);
    assert!(named.barred.is_empty());
    // A rule for GitHub needs no template to be kept from pull requests.
    let text = with("template = \"github-actions\"\n", "issuer = \"https://token.actions.githubusercontent.com\"\n");
    let whole = load(Sources::text("parapet.toml", folder(), &text)).unwrap();
    let github = whole.trust.iter().find(|rule| rule.issuer.contains("github")).unwrap();
    assert!(github.terms.barred["event_name"].contains(&"pull_request".to_owned()));
}

#[test]
fn spiffe_binds_both_forms_of_svid() {
    let good = r#"spiffe_id = "spiffe://example.org/ns/shop""#;
    check("spiffe", SPIFFE, good, "sub");
    check("spiffe", "https://gitlab.com", good, "PAR0428");
    check("spiffe", SPIFFE, r#"spiffe_id = "spiffe://example.org/a/../b""#, "PAR0405");
    check("spiffe", SPIFFE, r#"sub = "spiffe://example.org/a""#, "PAR0422 PAR0427");
}

/// Where a trust domain's bundle comes from, and who needs the agent.
#[test]
fn bundles_and_the_agent() {
    let text = |bundle: &str, tls: &str, more: &str| {
        WHOLE
            .replace("bundle = \"file://bundle.json\"", &format!("bundle = \"{bundle}\""))
            .replace("tls = \"self-signed\"", &format!("tls = \"{tls}\""))
            .split("[workload_api]")
            .next()
            .unwrap()
            .to_owned()
            + more
    };
    let agent = "[workload_api]\nsocket = \"unix:///run/agent.sock\"\n";
    for (bundle, tls, more, expected) in [
        ("file://bundle.json", "self-signed", "", ""),
        ("https://spire.example/bundle", "self-signed", "", ""),
        ("http://127.0.0.1:8443/bundle", "self-signed", "", ""),
        ("http://spire.example/bundle", "self-signed", "", "PAR0426"),
        ("spire.example", "self-signed", "", "PAR0426"),
        ("workload-api", "self-signed", agent, ""),
        ("workload-api", "spiffe", agent, ""),
        ("workload-api", "self-signed", "", "PAR0403"),
        ("file://bundle.json", "spiffe", "", "PAR0403"),
        ("file://bundle.json", "self-signed", "[workload_api]\nid = \"spiffe://example.org/parapet\"\n", "PAR0403"),
        ("workload-api", "spiffe", "[workload_api]\nsocket = \"/run/agent.sock\"\n", "PAR0405"),
        ("workload-api", "spiffe", "[workload_api]\nsocket = \"unix://agent.sock\"\n", "PAR0405"),
        ("workload-api", "spiffe", &format!("{agent}id = \"example.org/parapet\"\n"), "PAR0405"),
    ] {
        assert_eq!(codes(&text(bundle, tls, more)).join(" "), expected, "{bundle} {tls} {more}");
    }
    // A bearer token must not travel in clear, also on loopback.
    assert_eq!(codes(&text("file://bundle.json", "off", "")).join(" "), "PAR0410");
}
