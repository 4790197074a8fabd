//! Kubernetes and AWS Secrets Manager as choke points: stock clients (kubectl, boto3) through the gateway, against a stand-in that speaks
//! their APIs' shapes, because neither runs here. What it answers to is the gateway's own credential alone.

use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::bed::api::{Api, ApiBed, said};
use crate::bed::authority;
use crate::bed::clients::{Ran, run};
use crate::bed::folder::Folder;
use crate::bed::peer::{self, Peer};
use crate::bed::skip;
use crate::bed::tripwire::find;

/// The stores' own credentials, which the gateway adds.
const CLUSTER_TOKEN: &str = "cluster-canary-2c90d1";
const ACCESS_KEY: &str = "AKIACANARY0000000001";
const SECRET_KEY: &str = "aws-canary-secret-key-90ab31";
/// The values of secrets.
const OWN: &str = "canary-own-value-41d7";
const OTHER: &str = "canary-other-value-9e02";
/// The host that boto3 asks for.
const AWS: &str = "secretsmanager.eu-west-1.amazonaws.com";

fn stand_in(name: &str) -> Option<(Peer, Folder)> {
    let folder = Folder::new(&format!("{name}-stores"));
    let values = json!({ "shop/own": OWN, "shop/other": OTHER, "app-own": OWN, "app-other": OTHER });
    let given = json!({ "token": CLUSTER_TOKEN, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "values": values });
    folder.write("stores.json", &given.to_string());
    Some((Peer::start("secret_stores.py", &folder)?, folder))
}

/// No value and no credential stands in what the gateway has written, in no form that a client could read it from.
fn assert_nothing_kept(bed: &ApiBed, shown: &[&str]) {
    for (path, bytes) in bed.everything_written() {
        for canary in [OWN, OTHER, CLUSTER_TOKEN, SECRET_KEY] {
            for form in [canary.to_owned(), STANDARD.encode(canary)] {
                assert!(find(&bytes, form.as_bytes()).is_none(), "{form} stands in {}", path.display());
            }
        }
    }
    for text in shown {
        for credential in [CLUSTER_TOKEN, SECRET_KEY, ACCESS_KEY] {
            assert!(!text.contains(credential), "{text}");
        }
    }
}

const CLUSTER: &str = r#"
@id("connect") permit (principal, action == Action::"connect:session", resource);
@id("discovery") permit (principal, action in Action::"read", resource is Endpoint);
@id("own-secret") permit (principal == Workload::"deploy", action in Action::"reveal", resource == Secret::"cluster/shop/own");
@id("keeper") permit (principal == Workload::"auditor", action in [Action::"reveal", Action::"write", Action::"grant"], resource in Upstream::"cluster");
@id("tokens-are-approved") @approve("ops") @reason("A token outlives its job")
forbid (principal, action in Action::"grant", resource in Upstream::"cluster");
@id("reaper") permit (principal == Workload::"reporting", action in [Action::"delete", Action::"destroy", Action::"write"], resource in Upstream::"cluster");
"#;

struct Cluster {
    bed: ApiBed,
    server: Peer,
    program: PathBuf,
    ca: PathBuf,
    _stores: Folder,
}

impl Cluster {
    fn start(name: &str) -> Option<Self> {
        let program = peer::installed("venv/bin/kubectl");
        if !program.exists() {
            skip("kubectl is not installed (scripts/install.sh http)");
            return None;
        }
        let (server, stores) = stand_in(name)?;
        let api = Api::new(name);
        api.folder.write("cluster-token", CLUSTER_TOKEN);
        let also = format!(
            "hosts = [\"127.0.0.1\"]\nstore = \"kubernetes\"\nunlisted = \"deny\"\n[upstreams.cluster.credential]\nkind = \"bearer\"\n\
             secret = \"file://{}\"\n",
            api.folder.join("cluster-token").display()
        );
        let url = format!("http://127.0.0.1:{}", server.port("kubernetes"));
        // kubectl shows a token over TLS alone.
        let ca = authority::issue(&api.folder, &["127.0.0.1"]);
        let [certificate, key] = ["server.crt", "server.key"].map(|name| api.folder.join(name).display().to_string());
        let listener = format!("tls = {{ certificate = {certificate:?}, key = \"file://{key}\" }}");
        let api = api.listener(&listener).upstream("cluster", &url, &also).only_policies(CLUSTER);
        Some(Self { bed: api.start(), server, program, ca, _stores: stores })
    }

    /// kubectl as a workload, in the namespace `shop`.
    fn kubectl(&self, workload: &str, arguments: &[&str]) -> Ran {
        let at = format!("https://127.0.0.1:{}", self.bed.port());
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{ "name": "x", "cluster": { "server": at, "certificate-authority": self.ca } }],
            "users": [{ "name": "x", "user": { "token": self.bed.token(workload) } }],
            "contexts": [{ "name": "x", "context": { "cluster": "x", "user": "x", "namespace": "shop" } }],
        });
        let file = self.bed.folder.write(&format!("{workload}.kubeconfig"), &config.to_string());
        let mut command = Command::new(&self.program);
        command.arg("--kubeconfig").arg(file).arg("--request-timeout=20s").args(arguments);
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
            command.env_remove(name);
        }
        run(command.env("HOME", self.bed.folder.join("")))
    }
}

#[test]
fn kubectl_reads_its_own_secret_and_no_other() {
    let Some(cluster) = Cluster::start("http-kubernetes") else { return };
    let mut shown = Vec::new();
    let password = "jsonpath={.data.password}";
    let own = cluster.kubectl("deploy", &["get", "secret", "own", "-o", password]);
    own.assert_done();
    assert_eq!(own.out, STANDARD.encode(OWN), "{own:?}");
    for (workload, arguments) in [
        ("deploy", &["get", "secret", "other", "-o", "json"][..]),
        // A list holds what it lists, and so does a watch.
        ("deploy", &["get", "secrets"]),
        ("deploy", &["get", "secrets", "-o", "json"]),
        ("deploy", &["get", "secrets", "-A", "-o", "json"]),
        ("deploy", &["get", "secrets", "--watch"]),
        ("deploy", &["get", "--raw", "/api/v1/namespaces/shop/secrets?watch=1"]),
        ("deploy", &["get", "--raw", "/api/v1/watch/namespaces/shop/secrets/other"]),
        ("deploy", &["get", "--raw", "/api/v1/namespaces/shop/secrets/own/../other"]),
        ("deploy", &["get", "--raw", "/api/v1/namespaces/shop/configmaps"]),
        ("deploy", &["get", "--raw", "/api/v1/namespaces/shop/pods/x/proxy/secrets"]),
        // Whoever reads may not write, nor mint a token of somebody else.
        ("deploy", &["patch", "secret", "own", "--type=merge", "-p", "{}"]),
        ("deploy", &["delete", "secret", "own", "--wait=false"]),
        ("deploy", &["create", "token", "default"]),
        // Whoever may write or delete does not read by that.
        ("reporting", &["patch", "secret", "own", "--type=merge", "-p", "{}", "-o", "json"]),
        ("reporting", &["delete", "secret", "own", "--cascade=foreground", "--wait=false"]),
        ("reporting", &["delete", "secrets", "--all", "--dry-run=server", "-o", "yaml"]),
        ("reporting", &["get", "secret", "own", "-o", "json"]),
        ("triage-bot", &["get", "secret", "own", "-o", "json"]),
    ] {
        let ran = cluster.kubectl(workload, arguments);
        assert_ne!(ran.code, 0, "{workload} {arguments:?}: {ran:?}");
        for canary in [OWN, OTHER] {
            for form in [canary.to_owned(), STANDARD.encode(canary)] {
                assert!(!ran.out.contains(&form) && !ran.err.contains(&form), "{workload} {arguments:?}: {ran:?}");
            }
        }
        shown.push(ran.out + &ran.err);
    }
    // kubectl shows why, and what to do next.
    for (workload, arguments, parts) in [
        (
            "deploy",
            &["get", "secret", "other"][..],
            &[
                "Error from server (Forbidden): blocked, no policy permits ",
                "\n  why:  ",
                "\n  next: parapet explain dec_",
            ][..],
        ),
        (
            "auditor",
            &["create", "token", "default"],
            &[
                "approval required by policy \"tokens-are-approved\": ",
                " apr_",
                "A token outlives its job",
                "\n  next: approve at ",
            ],
        ),
        ("deploy", &["get", "--raw", "/api/v1/namespaces/shop/configmaps"], &["(Forbidden): blocked, ", "PAR0224"]),
    ] {
        let ran = cluster.kubectl(workload, arguments);
        assert_eq!(ran.code, 1, "{ran:?}");
        for part in parts {
            assert!(ran.err.contains(part), "{arguments:?}: {part}: {ran:?}");
        }
    }
    for (workload, arguments, count) in [
        ("auditor", &["get", "secrets", "-o", "json"][..], 2),
        ("auditor", &["get", "--raw", "/api/v1/namespaces/shop/secrets?watch=1"], 2),
        ("auditor", &["patch", "secret", "own", "--type=merge", "-p", "{}", "-o", "json"], 1),
    ] {
        let ran = cluster.kubectl(workload, arguments);
        ran.assert_done();
        assert_eq!(ran.out.matches("\"password\"").count(), count, "{arguments:?}: {ran:?}");
    }
    // The stand-in saw the cluster's token and never the callers'; what was refused it did not see at all.
    let seen = cluster.server.seen();
    assert!(seen.iter().all(|request| request["authentic"] == true), "{seen:?}");
    let paths: Vec<&str> = seen.iter().filter_map(|request| request["path"].as_str()).collect();
    assert!(!paths.iter().any(|path| path.contains("other") || path.contains("configmaps") || path.contains("token")));
    assert!(!seen.iter().any(|request| request["method"] == "DELETE"), "{paths:?}");
    // What was asked for stands in the log, as secrets with their names.
    let log = serde_json::to_string(&cluster.bed.decisions()).unwrap();
    for part in
        ["\"action\":\"http:reveal\"", "cluster/shop/own", "cluster/shop/other", "cluster/shop/*", "cluster/*/*"]
    {
        assert!(log.contains(part), "{part}: {log}");
    }
    assert_nothing_kept(&cluster.bed, &shown.iter().map(String::as_str).collect::<Vec<_>>());
}

const ACCOUNT: &str = r#"
@id("connect") permit (principal, action == Action::"connect:session", resource);
@id("own-secret") permit (principal == Workload::"deploy", action in Action::"reveal", resource == Secret::"aws/secretsmanager/app-own");
@id("lists") permit (principal == Workload::"reporting", action in Action::"read", resource in Upstream::"aws");
@id("keeper") permit (principal == Workload::"auditor", action in Action::"reveal", resource in Upstream::"aws");
"#;

#[test]
fn boto3_reads_its_own_secret_and_no_other() {
    let Some((server, _stores)) = stand_in("http-aws") else { return };
    let api = Api::new("http-aws");
    api.folder.write("secret-key", SECRET_KEY);
    let also = format!(
        "hosts = [\"{AWS}\"]\nstore = \"aws\"\nunlisted = \"deny\"\n[upstreams.aws.credential]\nkind = \"sigv4\"\n\
         access_key_id = \"{ACCESS_KEY}\"\nregion = \"eu-west-1\"\nservice = \"secretsmanager\"\nsecret = \"file://{}\"\n",
        api.folder.join("secret-key").display()
    );
    let egress = "\n[egress]\nlisten = \"127.0.0.1:0\"\ntls = \"off\"\nenvironment = \"production\"\n";
    let url = format!("http://127.0.0.1:{}", server.port("aws"));
    let bed = api.upstream("aws", &url, &also).also(egress).only_policies(ACCOUNT).start();
    let mut shown = Vec::new();
    let mut ask = |workload: &str, steps: Value| -> Option<Vec<Value>> {
        let proxy =
            format!("http://{workload}:{}@127.0.0.1:{}", bed.token(workload), bed.gateway.listener("egress").port());
        let ca = bed.folder.join("state/egress/ca.pem").display().to_string();
        let given = json!({ "proxy": proxy, "ca": ca, "steps": steps });
        let answers: Vec<Value> = said(peer::command("boto3_steps.py")?, &given)?;
        shown.push(serde_json::to_string(&answers).unwrap());
        Some(answers)
    };
    let get = |name: &str| json!({ "call": "get_secret_value", "with": { "SecretId": name } });
    let batch = |with: Value| json!({ "call": "batch_get_secret_value", "with": with });
    let steps = json!([
        get("app-own"),
        get("app-other"),
        get("arn:aws:secretsmanager:eu-west-1:123456789012:secret:app-own-AbCdEf"),
        batch(json!({ "SecretIdList": ["app-own"] })),
        batch(json!({ "SecretIdList": ["app-own", "app-other"] })),
        batch(json!({ "Filters": [{ "Key": "all", "Values": ["app"] }] })),
        { "call": "list_secrets", "with": {} },
        { "call": "put_secret_value", "with": { "SecretId": "app-own", "SecretString": "x" } },
        { "call": "delete_secret", "with": { "SecretId": "app-own" } },
        { "call": "rotate_secret", "with": { "SecretId": "app-own" } },
    ]);
    let Some(answers) = ask("deploy", steps.clone()) else { return };
    assert_eq!(answers[0]["answer"]["SecretString"], OWN, "{answers:?}");
    assert_eq!(answers[3]["answer"]["SecretValues"][0]["SecretString"], OWN, "{answers:?}");
    for place in [1, 2, 4, 5, 6, 7, 8, 9] {
        let status = if place == 2 { 400 } else { 403 };
        assert_eq!(answers[place]["error"], status, "step {place}: {answers:?}");
    }
    // boto3 shows why, and what to do next.
    for (place, parts) in [
        (
            1,
            &[
                "(AccessDeniedException) when calling the GetSecretValue operation: blocked, no policy permits ",
                " [dec_",
                "\n  why:  what no policy permits is denied. Owner of deploy: ",
                "\n  next: parapet explain dec_",
            ][..],
        ),
        (2, &["(ValidationException) when calling the GetSecretValue operation: blocked, ", " [dec_"]),
    ] {
        let text = answers[place]["text"].as_str().unwrap();
        for part in parts {
            assert!(text.contains(part), "step {place}: {part}: {text}");
        }
    }
    assert!(!serde_json::to_string(&answers).unwrap().contains(OTHER), "{answers:?}");
    // Names are no values.
    let answers = ask("reporting", json!([steps[6], steps[0]])).unwrap();
    assert_eq!(
        (&answers[0]["answer"]["SecretList"][1]["Name"], &answers[1]["error"]),
        (&json!("app-other"), &json!(403))
    );
    let answers = ask("auditor", json!([steps[4], steps[5]])).unwrap();
    for answer in &answers {
        assert_eq!(answer["answer"]["SecretValues"].as_array().map(Vec::len), Some(2), "{answer}");
    }
    // Each was signed by the gateway's key, whatever the client had signed; what was refused was not seen.
    let seen = server.seen();
    assert_eq!(seen.len(), 5, "{seen:?}");
    assert!(seen.iter().all(|request| request["authentic"] == true), "{seen:?}");
    let log = serde_json::to_string(&bed.decisions()).unwrap();
    for part in ["aws/secretsmanager/app-own", "aws/secretsmanager/app-other", "\"aws/secretsmanager/*\""] {
        assert!(log.contains(part), "{part}: {log}");
    }
    assert_nothing_kept(&bed, &shown.iter().map(String::as_str).collect::<Vec<_>>());
    // Neither does the key of the authority by which the egress looked inside.
    for (path, bytes) in bed.everything_written() {
        assert!(find(&bytes, b"PRIVATE KEY").is_none(), "a private key stands in {}", path.display());
    }
    assert!(bed.folder.join("state/egress/authorities.json").is_file());
}
