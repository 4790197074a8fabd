//! Which secret a request asks for, and what it does with it.

use kernel::policy::HttpReads;
use kernel::workload::Name;

use super::Profile;
use crate::http::classify::{Request, classify};
use crate::http::endpoint::{Endpoints, Unlisted};

/// `http:reveal vault/kv/app/db`; `none` for what belongs to no endpoint, `refused` for what names nothing.
fn told(profile: Profile, method: &str, path: &str, target: Option<&str>, body: &str) -> String {
    let upstream: Name = "store".parse().unwrap();
    let endpoints = Endpoints::new(&upstream, profile.endpoints().unwrap(), Unlisted::Deny).unwrap();
    let segments: Vec<&str> = path.split('/').skip(1).filter(|part| !part.is_empty()).collect();
    let Some(matched) = endpoints.find(method, &segments) else { return "none".to_owned() };
    let secrets = matched.endpoint.secret.map(|place| place.secrets(&matched.parameters, target, body.as_bytes()));
    let Ok(secrets) = secrets.transpose() else { return "refused".to_owned() };
    let secrets = secrets.unwrap_or_default();
    let request = Request {
        upstream: &upstream,
        method,
        host: "store",
        path,
        matched: &matched,
        query: Default::default(),
        body: Default::default(),
        graphql: None,
        secrets: &secrets,
        size: None,
        content_type: None,
        upgrade: None,
    };
    match classify(&request, &HttpReads::default()) {
        Ok(classified) => {
            let all = classified.operations.iter().map(|one| format!("{} {}", one.action, one.resource));
            all.collect::<Vec<_>>().join(", ")
        }
        Err(_) => "refused".to_owned(),
    }
}

#[test]
fn vault() {
    let cases = [
        ("GET", "/v1/kv/data/app/db", "http:reveal store/kv/app/db"),
        ("HEAD", "/v1/kv/data/app/db", "http:reveal store/kv/app/db"),
        ("POST", "/v1/kv/data/app/db", "http:POST store/kv/app/db"),
        ("DELETE", "/v1/kv/data/app/db", "http:DELETE store/kv/app/db"),
        ("DELETE", "/v1/kv/metadata/app/db", "http:destroy store/kv/app/db"),
        ("GET", "/v1/kv/metadata/app", "http:GET store/kv/app"),
        ("PUT", "/v1/kv/destroy/app/db", "http:destroy store/kv/app/db"),
        // Other engines: KV version 1, dynamic credentials, keys.
        ("GET", "/v1/secret/app/db", "http:reveal store/secret/app/db"),
        ("GET", "/v1/database/creds/readonly", "http:reveal store/database/creds/readonly"),
        ("POST", "/v1/pki/issue/web", "http:POST store/pki/issue/web, http:reveal store/pki/issue/web"),
        ("PUT", "/v1/transit/decrypt/key", "http:PUT store/transit/decrypt/key, http:reveal store/transit/decrypt/key"),
        (
            "POST",
            "/v1/transit/encrypt/key",
            "http:POST store/transit/encrypt/key, http:reveal store/transit/encrypt/key",
        ),
        // Whoever may read a secret of KV version 1 may not write it for that, nor delete it.
        ("PUT", "/v1/secret/app/db", "http:PUT store/secret/app/db, http:reveal store/secret/app/db"),
        ("DELETE", "/v1/secret/app/db", "http:DELETE store/secret/app/db"),
        ("DELETE", "/v1/secret", "http:destroy store/secret/*"),
        ("POST", "/v1/kv/undelete/app/db", "http:POST store/kv/app/db"),
        // Names alone.
        ("GET", "/v1/kv/metadata", "http:GET store/kv/*"),
        ("GET", "/v1/kv/data", "http:reveal store/kv/data"),
        ("GET", "/v1/kv", "http:reveal store/kv/*"),
        // A namespace before the mount is another mount.
        ("GET", "/v1/team/kv/data/app/db", "http:reveal store/team/kv/data/app/db"),
        ("POST", "/v1/auth/token/create", "http:grant store/auth/token/create"),
        ("GET", "/v1/auth/token/lookup-self", "http:GET store/auth/token/lookup-self"),
        ("POST", "/v1/identity/group", "http:grant store/identity/group"),
        ("POST", "/v1/team/auth/token/create", "http:grant store/team/auth/token/create"),
        ("GET", "/v1/team/sys/mounts", "http:administer store/team/sys/mounts"),
        ("POST", "/v1/sys/wrapping/rewrap", "http:administer store/sys/wrapping/rewrap"),
        ("POST", "/v1/sys/wrapping/unwrap", "http:reveal store/sys/wrapping/unwrap"),
        ("GET", "/v1/sys/health", "http:GET store/sys/health"),
        ("PUT", "/v1/sys/seal", "http:administer store/sys/seal"),
        ("LIST", "/v1/kv/metadata/app", "refused"),
        ("GET", "/ui/vault", "none"),
    ];
    for (method, path, expect) in cases {
        assert_eq!(told(Profile::Vault, method, path, None, ""), expect, "{method} {path}");
    }
}

#[test]
fn kubernetes() {
    let cases = [
        ("GET", "/api/v1/namespaces/prod/secrets/db", "http:reveal store/prod/db"),
        ("GET", "/api/v1/namespaces/prod/secrets", "http:reveal store/prod/*"),
        ("GET", "/api/v1/secrets", "http:reveal store/*/*"),
        ("GET", "/api/v1/watch/namespaces/prod/secrets/db", "http:reveal store/prod/db"),
        ("GET", "/api/v1/watch/secrets", "http:reveal store/*/*"),
        // What changes a secret and answers with it does both.
        ("PATCH", "/api/v1/namespaces/prod/secrets/db", "http:PATCH store/prod/db, http:reveal store/prod/db"),
        ("DELETE", "/api/v1/namespaces/prod/secrets/db", "http:DELETE store/prod/db, http:reveal store/prod/db"),
        ("PUT", "/api/v1/namespaces/prod/secrets/db", "http:PUT store/prod/db"),
        ("DELETE", "/api/v1/namespaces/prod/secrets", "http:destroy store/prod/*, http:reveal store/prod/*"),
        ("DELETE", "/api/v1/secrets", "none"),
        ("POST", "/api/v1/namespaces/prod/secrets/db", "none"),
        ("POST", "/api/v1/namespaces/prod/serviceaccounts/ci/token", "http:grant store/prod/serviceaccounts/ci"),
        ("GET", "/api/v1/namespaces/prod/pods", "none"),
        // Before it asks for anything, kubectl asks what there is.
        ("GET", "/api/v1", "http:GET store/api/v1"),
        ("GET", "/apis/apps/v1", "http:GET store/apis/{group}/{version}"),
        ("POST", "/apis/apps/v1", "none"),
        ("GET", "/apis/apps/v1/deployments", "none"),
    ];
    for (method, path, expect) in cases {
        assert_eq!(told(Profile::Kubernetes, method, path, None, ""), expect, "{method} {path}");
    }
}

#[test]
fn aws_secrets_manager() {
    let arn = r#"{"SecretId":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/db-AbCdEf"}"#;
    let many = format!("{{\"SecretIdList\":[{}]}}", vec!["\"a\""; 21].join(","));
    let cases = [
        ("GetSecretValue", r#"{"SecretId":"app/db"}"#, "http:reveal store/secretsmanager/app/db"),
        (
            "GetSecretValue",
            r#"{"SecretId":"app/db","VersionStage":"AWSCURRENT"}"#,
            "http:reveal store/secretsmanager/app/db",
        ),
        (
            "BatchGetSecretValue",
            r#"{"SecretIdList":["a","b"]}"#,
            "http:reveal store/secretsmanager/a, http:reveal store/secretsmanager/b",
        ),
        ("BatchGetSecretValue", r#"{"Filters":[]}"#, "http:reveal store/secretsmanager/*"),
        ("BatchGetSecretValue", r#"{"SecretIdList":["a"],"Filters":[]}"#, "refused"),
        ("BatchGetSecretValue", &many, "refused"),
        ("CreateSecret", r#"{"Name":"a"}"#, "http:POST store/secretsmanager/a"),
        ("ListSecrets", "{}", "http:GET store/secretsmanager/*"),
        ("DeleteSecret", r#"{"SecretId":"a"}"#, "http:destroy store/secretsmanager/a"),
        ("PutResourcePolicy", r#"{"SecretId":"a"}"#, "http:grant store/secretsmanager/a"),
        ("GetSecretValue", arn, "refused"),
        ("GetSecretValue", r#"{"SecretId":"a","SecretId":"b"}"#, "refused"),
        ("GetSecretValue", r#"{"SecretId":["a"]}"#, "refused"),
        ("GetSecretValue", "{}", "refused"),
        ("GetSecretValue", "", "refused"),
        ("GetSecret", r#"{"SecretId":"a"}"#, "refused"),
    ];
    for (call, body, expect) in cases {
        let target = format!("secretsmanager.{call}");
        assert_eq!(told(Profile::AwsSecretsManager, "POST", "/", Some(&target), body), expect, "{call} {body}");
    }
    assert_eq!(told(Profile::AwsSecretsManager, "POST", "/", None, r#"{"SecretId":"a"}"#), "refused");
    assert_eq!(told(Profile::AwsSecretsManager, "POST", "/", Some("kms.Decrypt"), "{}"), "refused");
}

#[test]
fn profiles_have_names() {
    for profile in Profile::ALL {
        assert_eq!(Profile::named(profile.as_str()), Some(profile));
        assert!(!profile.endpoints().unwrap().is_empty());
    }
    assert_eq!(Profile::named("keychain"), None);
}
