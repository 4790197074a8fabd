//! Issuers that write what real ones write: GitHub Actions, GitLab, Kubernetes, and two trust domains of SPIFFE; each with
//! its own key under the same key id. The trust rules for them, by their templates.

use std::time::Duration;

use serde_json::{Value, json};

use super::folder::Folder;
use super::issuer::{self, AUDIENCE, Issuer};

/// GitHub's issuer.
pub(crate) const GITHUB: &str = "https://token.actions.githubusercontent.com";
/// GitLab's.
pub(crate) const GITLAB: &str = "https://gitlab.com";
/// A cluster's.
pub(crate) const KUBERNETES: &str = "https://kubernetes.default.svc.cluster.local";
/// A trust domain.
pub(crate) const DOMAIN: &str = "one.example";
/// Another.
pub(crate) const OTHER_DOMAIN: &str = "two.example";

/// The issuers.
#[derive(Debug)]
pub(crate) struct Shapes {
    pub(crate) github: Issuer,
    pub(crate) gitlab: Issuer,
    pub(crate) kubernetes: Issuer,
    pub(crate) domain: Issuer,
    pub(crate) other_domain: Issuer,
    folders: Vec<Folder>,
}

impl Shapes {
    /// Makes their keys.
    pub(crate) fn new(name: &str) -> Self {
        let mut folders = Vec::new();
        let mut make = |shape: &str| {
            let folder = Folder::new(&format!("{name}-{shape}"));
            let issuer = Issuer::new(&folder);
            folders.push(folder);
            issuer
        };
        let [github, gitlab, kubernetes, domain, other_domain] =
            ["github", "gitlab", "kubernetes", "one", "two"].map(&mut make);
        let shapes = Self { github, gitlab, kubernetes, domain, other_domain, folders };
        for (issuer, folder) in [(&shapes.domain, &shapes.folders[3]), (&shapes.other_domain, &shapes.folders[4])] {
            let keys = std::fs::read_to_string(issuer.jwks()).unwrap();
            folder.write("bundle.json", &keys.replace("\"use\":\"sig\"", "\"use\":\"jwt-svid\""));
        }
        shapes
    }

    /// Their tables of the configuration, and the rules.
    pub(crate) fn configuration(&self) -> String {
        let mut text = String::new();
        for (name, issuer) in [(GITHUB, &self.github), (GITLAB, &self.gitlab), (KUBERNETES, &self.kubernetes)] {
            let jwks = issuer.jwks().display();
            text.push_str(&format!("\n[issuers.\"{name}\"]\naudience = \"{AUDIENCE}\"\njwks = \"file://{jwks}\"\n"));
        }
        for (name, folder) in [(DOMAIN, &self.folders[3]), (OTHER_DOMAIN, &self.folders[4])] {
            let bundle = folder.join("bundle.json");
            let bundle = bundle.display();
            text.push_str(&format!("\n[spiffe.\"{name}\"]\nbundle = \"file://{bundle}\"\naudience = \"{AUDIENCE}\"\n"));
        }
        for (workload, template, issuer, claims, more) in [
            (
                "deploy",
                "github-actions",
                GITHUB,
                "repository_id = \"1001\", repository_owner_id = \"11\", ref = \"refs/heads/main\", \
                 environment = \"production\", runner_environment = \"github-hosted\"",
                "",
            ),
            ("auditor", "gitlab", GITLAB, "project_id = \"2002\", ref = \"main\", ref_protected = \"true\"", ""),
            (
                "reporting",
                "kubernetes",
                KUBERNETES,
                "service_account_uid = \"0b3b1c1a-0000-4000-8000-000000000001\", namespace = \"shop\"",
                "",
            ),
            // A token with this pod is both: of this workload, and of the one before.
            (
                "auditor",
                "kubernetes",
                KUBERNETES,
                "service_account_uid = \"0b3b1c1a-0000-4000-8000-000000000001\", namespace = \"shop\", pod_uid = \"0b3b1c1a-0000-4000-9000-000000000002\"",
                "",
            ),
            (
                "triage-bot",
                "kubernetes",
                KUBERNETES,
                "service_account_uid = \"0b3b1c1a-0000-4000-8000-000000000003\"",
                "once = true\n",
            ),
            ("reporting", "spiffe-jwt", "spiffe://one.example", "spiffe_id = \"spiffe://one.example/reporting\"", ""),
            ("auditor", "spiffe-jwt", "spiffe://two.example", "spiffe_id = \"spiffe://two.example/auditor\"", ""),
        ] {
            text.push_str(&format!(
                "\n[[trust]]\nworkload = \"{workload}\"\ntemplate = \"{template}\"\nissuer = \"{issuer}\"\n\
                 claims = {{ {claims} }}\n{more}"
            ));
        }
        text
    }
}

fn timed(mut claims: Value, issuer: &str) -> Value {
    let now = issuer::now();
    claims["iss"] = json!(issuer);
    claims["aud"] = json!(AUDIENCE);
    claims["iat"] = json!(now);
    claims["nbf"] = json!(now);
    claims["exp"] = json!(now + Duration::from_secs(600).as_secs());
    claims
}

/// What GitHub writes for a run on `main` that deploys to production.
pub(crate) fn github() -> Value {
    timed(
        json!({
            "jti": "6b1c7a2e", "sub": "repo:shop/api:environment:production", "ref": "refs/heads/main", "ref_type": "branch",
            "ref_protected": "true", "sha": "c0ffee", "repository": "shop/api", "repository_id": "1001",
            "repository_owner": "shop", "repository_owner_id": "11", "repository_visibility": "private",
            "environment": "production", "event_name": "push", "workflow": "deploy", "run_id": "77", "run_attempt": "1",
            "run_number": "5", "actor": "mara", "actor_id": "9", "head_ref": "", "base_ref": "",
            "workflow_ref": "shop/api/.github/workflows/deploy.yml@refs/heads/main",
            "job_workflow_ref": "shop/api/.github/workflows/deploy.yml@refs/heads/main",
            "runner_environment": "github-hosted"
        }),
        GITHUB,
    )
}

/// What GitLab writes for a job on the protected branch `main`.
pub(crate) fn gitlab() -> Value {
    timed(
        json!({
            "jti": "235b3a54", "sub": "project_path:shop/api:ref_type:branch:ref:main", "namespace_id": "20",
            "namespace_path": "shop", "project_id": "2002", "project_path": "shop/api", "job_project_id": "2002",
            "job_project_path": "shop/api", "job_namespace_id": "20", "job_namespace_path": "shop", "user_id": "5",
            "user_login": "mara", "user_email": "mara@example.com", "pipeline_id": "574", "pipeline_source": "push",
            "job_id": "302", "ref": "main", "ref_type": "branch", "ref_protected": "true", "runner_id": 1,
            "runner_environment": "gitlab-hosted", "sha": "c0ffee", "ci_config_sha": "c0ffee",
            "ci_config_ref_uri": "gitlab.com/shop/api//.gitlab-ci.yml@refs/heads/main"
        }),
        GITLAB,
    )
}

/// What a cluster writes into a projected token.
pub(crate) fn kubernetes(uid: &str, pod: &str) -> Value {
    timed(
        json!({
            "jti": "aed34954", "sub": "system:serviceaccount:shop:reporting",
            "kubernetes.io": {
                "namespace": "shop", "node": {"name": "node-1", "uid": "node-uid"}, "pod": {"name": "pod", "uid": pod},
                "serviceaccount": {"name": "reporting", "uid": uid}
            }
        }),
        KUBERNETES,
    )
}

/// A JWT-SVID's claims: no issuer.
pub(crate) fn svid(id: &str) -> Value {
    let mut claims = timed(json!({"sub": id}), "");
    claims.as_object_mut().unwrap().remove("iss");
    claims
}
