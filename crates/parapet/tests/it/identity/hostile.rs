//! Hazards of identity, by the ids of the catalogue of hazards: each hostile variant is refused before the upstream sees
//! anything, and the audit log says why; beside each stands the shape that it imitates, which is let in.

use serde_json::{Value, json};

use crate::bed::Bed;
use crate::bed::clients::{environment_with, psql_command, run};
use crate::bed::issuer::{self, Issuer, header};
use crate::bed::raw::{self, Raw};
use crate::bed::shapes::{self, Shapes};

fn start(name: &str) -> Option<(Bed, Shapes)> {
    let shapes = Shapes::new(name);
    let configuration = shapes.configuration();
    Bed::start_with(name, |setup| setup.also(configuration)).map(|bed| (bed, shapes))
}

fn with(mut claims: Value, changes: &[(&str, Value)]) -> Value {
    for (name, value) in changes {
        claims[*name] = value.clone();
    }
    claims
}

fn without(mut claims: Value, names: &[&str]) -> Value {
    for name in names {
        claims.as_object_mut().unwrap().remove(*name);
    }
    claims
}

/// Each shape, with stock psql, is the workload that its rule names.
#[test]
fn tokens_of_real_shapes_reach_postgres_as_the_right_workload() {
    let Some((bed, shapes)) = start("identity-shapes") else { return };
    let sign = |issuer: &Issuer, claims: Value| issuer.sign(&header(), &claims);
    let immutable = with(shapes::github(), &[("sub", json!("repo:shop@11/api@1001:environment:production"))]);
    let cases = [
        ("deploy", shapes::GITHUB, sign(&shapes.github, shapes::github())),
        // Both forms of the subject, and one that a customer made, mean the same: nothing reads it (ID04).
        ("deploy", shapes::GITHUB, sign(&shapes.github, immutable)),
        ("deploy", shapes::GITHUB, sign(&shapes.github, with(shapes::github(), &[("sub", json!("team%3Ablue"))]))),
        ("auditor", shapes::GITLAB, sign(&shapes.gitlab, shapes::gitlab())),
        (
            "reporting",
            shapes::KUBERNETES,
            sign(
                &shapes.kubernetes,
                shapes::kubernetes("0b3b1c1a-0000-4000-8000-000000000001", "0b3b1c1a-0000-4000-9000-000000000001"),
            ),
        ),
        ("reporting", "spiffe://one.example", sign(&shapes.domain, shapes::svid("spiffe://one.example/reporting"))),
        ("auditor", "spiffe://two.example", sign(&shapes.other_domain, shapes::svid("spiffe://two.example/auditor"))),
    ];
    for (workload, issuer, token) in &cases {
        let mut command = psql_command(&bed, workload, &["-c", "select 7"]);
        let ran = run(environment_with(bed.gateway.postgres(), workload, token, &mut command));
        assert_eq!((ran.code, ran.out.trim()), (0, "7"), "{issuer}: {ran:?}");
        let entries = bed.gateway.entries();
        let login = entries.iter().rev().find(|entry| entry["kind"] == "login").unwrap();
        assert_eq!(login["workload"].as_str(), Some(*workload), "{login}");
        assert!(login["evidence"].to_string().contains(issuer), "{login}");
        // None of the others' names.
        for other in ["deploy", "auditor", "reporting", "triage-bot"].iter().filter(|other| *other != workload) {
            Raw::try_log_in(bed.gateway.postgres(), other, token).map(drop).unwrap_err();
        }
    }
}

/// A hostile variant: its hazard, what it is, as whom, the token, and what the log says of it.
type Hostile = (&'static str, &'static str, &'static str, String, &'static str);

#[test]
fn hostile_variants_are_refused_and_the_log_says_why() {
    let Some((bed, shapes)) = start("identity-hostile") else { return };
    let once = shapes.kubernetes.sign(
        &header(),
        &shapes::kubernetes("0b3b1c1a-0000-4000-8000-000000000003", "0b3b1c1a-0000-4000-9000-000000000003"),
    );
    Raw::try_log_in(bed.gateway.postgres(), "triage-bot", &once).unwrap();
    let mut cases = vec![("ID01", "a token that counts once, again", "triage-bot", once, "shown before")];
    cases.extend(claims_of_github(&shapes));
    cases.extend(claims_of_others(&shapes));
    cases.extend(signatures(&shapes));
    cases.extend(times_and_payloads(&shapes));
    cases.push(("ID21", "a workload that has expired", "left-over", bed.token("left-over"), "Expired"));
    let executed = bed.postgres.executed();
    let refused = || -> Vec<Value> {
        bed.gateway.entries().into_iter().filter(|entry| entry["kind"] == "login_refused").collect()
    };
    for (id, what, user, token, why) in &cases {
        let told = match Raw::try_log_in(bed.gateway.postgres(), user, token) {
            Ok(_) => panic!("{id}, {what}: was let in"),
            Err(told) => told,
        };
        assert_eq!(told.field(b'C'), "28000", "{id}, {what}");
        assert!(told.field(b'M').starts_with("login refused ["), "{id}, {what}: {}", told.field(b'M'));
        let entries = refused();
        let logged = entries.last().unwrap();
        assert!(logged["why"].as_str().unwrap().contains(why), "{id}, {what}: {logged}");
        assert!(!logged.to_string().contains(token.as_str()), "{id}, {what}: the token stands in the log");
    }
    assert_eq!(refused().len(), cases.len());
    assert_eq!(bed.postgres.executed(), executed, "a refused login reached the upstream");
}

fn claims_of_github(shapes: &Shapes) -> Vec<Hostile> {
    let changed = |changes: &[(&str, Value)]| shapes.github.sign(&header(), &with(shapes::github(), changes));
    let typed = |kind: &str| shapes.github.sign(&with(header(), &[("typ", json!(kind))]), &shapes::github());
    let not = |id, what, name: &str, value: &str, why| (id, what, "deploy", changed(&[(name, json!(value))]), why);
    vec![
        not("ID02", "GitHub's default audience", "aud", "https://github.com/shop", "its audience is"),
        ("ID02", "an access token", "deploy", typed("at+jwt"), "not signed by a key of this Parapet"),
        not("ID03", "a repository made anew under its old name", "repository_id", "1002", "`repository_id` is `1002`"),
        not("ID03", "an owner made anew", "repository_owner_id", "12", "`repository_owner_id` is `12`"),
        not("ID04", "another branch, with the right subject", "ref", "refs/heads/x", "`ref` is `refs/heads/x`"),
        not("ID04", "another environment", "environment", "staging", "`environment` is `staging`"),
        not("ID05", "a pull request", "event_name", "pull_request", "event_name"),
        not("ID05", "a pull request's target", "event_name", "pull_request_target", "event_name"),
        not("ID05", "a stranger's runner", "runner_environment", "self-hosted", "`runner_environment`"),
        not("ID09", "a trailing slash", "iss", "https://token.actions.githubusercontent.com/", "is not configured"),
        not("ID09", "capitals", "iss", "https://TOKEN.actions.githubusercontent.com", "is not configured"),
        not(
            "ID09",
            "a look-alike",
            "iss",
            "https://token.actions.githubusercontent.com.evil.example",
            "not configured",
        ),
        not("ID09", "another configured issuer's name", "iss", shapes::GITLAB, "signature is wrong"),
        ("ID11", "several audiences", "deploy", changed(&[("aud", json!(["parapet", "other"]))]), "its audience is"),
        ("ID11", "an audience twice", "deploy", changed(&[("aud", json!(["parapet", "parapet"]))]), "its audience is"),
        ("ID11", "a number for a text", "deploy", changed(&[("ref", json!(["refs/heads/main"]))]), "`ref`"),
        ("ID14", "another workload's token", "auditor", changed(&[]), "is of `deploy`"),
        ("ID11", "a confusable name", "d\u{435}ploy", changed(&[]), "is of `deploy`"),
    ]
}

fn claims_of_others(shapes: &Shapes) -> Vec<Hostile> {
    let gitlab = |changes: &[(&str, Value)]| shapes.gitlab.sign(&header(), &with(shapes::gitlab(), changes));
    let kubernetes = |claims: Value| shapes.kubernetes.sign(&header(), &claims);
    let account = || shapes::kubernetes("0b3b1c1a-0000-4000-8000-000000000001", "0b3b1c1a-0000-4000-9000-000000000001");
    let svid = |issuer: &Issuer, id: &str| issuer.sign(&header(), &shapes::svid(id));
    let merge = [("pipeline_source", json!("merge_request_event"))];
    vec![
        ("ID06", "a merge request's pipeline", "auditor", gitlab(&merge), "pipeline_source"),
        ("ID06", "a fork's project", "auditor", gitlab(&[("project_id", json!("9"))]), "`project_id` is `9`"),
        ("ID06", "a fork's runner", "auditor", gitlab(&[("job_project_id", json!("9"))]), "job_project_id"),
        ("ID06", "an unprotected branch", "auditor", gitlab(&[("ref_protected", json!("false"))]), "`ref_protected`"),
        (
            "ID03",
            "an account made anew",
            "reporting",
            kubernetes(shapes::kubernetes(
                "0b3b1c1a-0000-4000-8000-000000000009",
                "0b3b1c1a-0000-4000-9000-000000000001",
            )),
            "0b3b1c1a-0000-4000-8000-000000000009",
        ),
        (
            "ID14",
            "two rules",
            "reporting",
            kubernetes(shapes::kubernetes(
                "0b3b1c1a-0000-4000-8000-000000000001",
                "0b3b1c1a-0000-4000-9000-000000000002",
            )),
            "both match",
        ),
        ("ID17", "no audience", "reporting", kubernetes(without(account(), &["aud"])), "its audience is"),
        ("ID17", "no end", "reporting", kubernetes(without(account(), &["exp"])), "its `exp`"),
        (
            "ID17",
            "the issuer of legacy tokens",
            "reporting",
            kubernetes(with(account(), &[("iss", json!("kubernetes/serviceaccount"))])),
            "is not configured",
        ),
        (
            "ID17",
            "extended to a year",
            "reporting",
            kubernetes(with(account(), &[("exp", json!(issuer::now() + 365 * 86_400))])),
            "longer than issuer",
        ),
        (
            "ID13",
            "one domain's key, another's id",
            "auditor",
            svid(&shapes.domain, "spiffe://two.example/auditor"),
            "signature",
        ),
        (
            "ID13",
            "a domain in capitals",
            "reporting",
            svid(&shapes.domain, "spiffe://ONE.example/reporting"),
            "not configured",
        ),
        (
            "ID13",
            "a user in the id",
            "reporting",
            svid(&shapes.domain, "spiffe://x@one.example/reporting"),
            "not configured",
        ),
        (
            "ID13",
            "a path with dots",
            "reporting",
            svid(&shapes.domain, "spiffe://one.example/a/../reporting"),
            "not configured",
        ),
        (
            "ID13",
            "an unknown domain",
            "reporting",
            svid(&shapes.domain, "spiffe://three.example/reporting"),
            "not configured",
        ),
        (
            "ID13",
            "another id of the domain",
            "reporting",
            svid(&shapes.domain, "spiffe://one.example/other"),
            "`sub` is",
        ),
    ]
}

fn signatures(shapes: &Shapes) -> Vec<Hostile> {
    let headed = |changes: &[(&str, Value)]| shapes.github.sign(&with(header(), changes), &shapes::github());
    let good = headed(&[]);
    let (signed, _) = good.rsplit_once('.').unwrap();
    let unsigned =
        |alg: &str| format!("{}.", issuer::unsigned(&with(header(), &[("alg", json!(alg))]), &shapes::github()));
    let jwk: Value = serde_json::from_str(&std::fs::read_to_string(shapes.gitlab.jwks()).unwrap()).unwrap();
    let (url, own) = (json!("https://evil.example/keys"), [("jwk", jwk["keys"][0].clone())]);
    // 64 zero bytes: r and s of nothing.
    let zero = format!("{signed}.{}", "A".repeat(86));
    let foreign = shapes.gitlab.sign(&header(), &shapes::github());
    let cases = [
        ("ID07", "no algorithm", unsigned("none"), "its `alg` is `none`"),
        ("ID07", "no algorithm, in capitals", unsigned("NONE"), "its `alg` is `NONE`"),
        ("ID07", "a shared secret", headed(&[("alg", json!("HS256"))]), "its `alg` is `HS256`"),
        ("ID07", "another algorithm than the issuer's", headed(&[("alg", json!("RS256"))]), "may not use"),
        ("ID07", "a signature of zeros", zero, "signature is wrong"),
        ("ID07", "no signature", format!("{signed}."), "signature"),
        ("ID07", "an unknown extension", headed(&[("crit", json!(["exp"]))]), "its header has `crit`"),
        ("ID07", "an unencoded payload", headed(&[("b64", json!(false))]), "its header has `b64`"),
        ("ID07", "encrypted", format!("{good}.e30.e30"), "three parts"),
        ("ID08", "a place of keys", headed(&[("jku", url.clone())]), "its header has `jku`"),
        ("ID08", "a place of certificates", headed(&[("x5u", url)]), "its header has `x5u`"),
        ("ID08", "its own key", headed(&own), "its header has `jwk`"),
        ("ID08", "another issuer's key with the same id", foreign, "signature is wrong"),
        ("ID08", "an unknown key", headed(&[("kid", json!("another"))]), "has no key `another`"),
        ("ID08", "no key id", shapes.github.sign(&without(header(), &["kid"]), &shapes::github()), "no `kid`"),
    ];
    cases.map(|(id, what, token, why)| (id, what, "deploy", token, why)).into()
}

fn times_and_payloads(shapes: &Shapes) -> Vec<Hostile> {
    let now = issuer::now();
    let timed = |name: &str, value: Value| shapes.github.sign(&header(), &with(shapes::github(), &[(name, value)]));
    let twice = |text: String, member: &str| text.replacen('{', &format!("{{{member},"), 1);
    let claims = || shapes::github().to_string();
    let texts = |header: String, claims: String| shapes.github.sign_text(&header, &claims);
    let cases = [
        ("ID10", "a fraction", timed("exp", serde_json::from_str(&format!("{}.5", now + 600)).unwrap()), "its `exp`"),
        ("ID10", "a text", timed("exp", json!((now + 600).to_string())), "its `exp`"),
        ("ID10", "a time before 1970", timed("exp", json!(-1)), "exp"),
        (
            "ID10",
            "a huge number",
            texts(header().to_string(), claims().replace("\"exp\":", "\"exp\":9e99,\"x\":")),
            "its `exp`",
        ),
        ("ID10", "a time past all clocks", timed("exp", json!(u64::MAX)), "its `exp`"),
        ("ID10", "issued in the future", timed("iat", json!(now + 300)), "not valid before"),
        ("ID10", "valid in the future", timed("nbf", json!(now + 300)), "not valid before"),
        ("ID10", "expired a second ago", timed("exp", json!(now - 1)), "it expired at"),
        ("ID11", "a claim twice", texts(header().to_string(), twice(claims(), "\"ref\":\"x\"")), "a member twice"),
        (
            "ID11",
            "a claim twice, escaped",
            texts(header().to_string(), twice(claims(), "\"r\\u0065f\":\"x\"")),
            "a member twice",
        ),
        (
            "ID11",
            "a header member twice",
            texts(twice(header().to_string(), "\"alg\":\"none\""), claims()),
            "a member twice",
        ),
        ("ID11", "something after the claims", texts(header().to_string(), claims() + "{}"), "not JSON"),
        ("ID11", "a list of claims", texts(header().to_string(), format!("[{}]", claims())), "not JSON"),
    ];
    cases.map(|(id, what, token, why)| (id, what, "deploy", token, why)).into()
}

/// ID15: where a client comes from is what the connection says, and who it is what it proves: nothing that it writes before.
#[test]
fn headers_of_proxies_are_not_believed() {
    let Some(bed) = Bed::start("identity-proxy") else { return };
    let startup = raw::startup(&[("user", "reporting"), ("database", crate::bed::shop::NAME)]);
    // PROXY protocol 1 and 2, and an HTTP request as a proxy would pass it on.
    let version_2 =
        [b"\r\n\r\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(), &[10, 0, 0, 1, 127, 0, 0, 1, 0, 80, 21, 56]].concat();
    for header in [
        b"PROXY TCP4 10.0.0.1 127.0.0.1 80 5432\r\n".to_vec(),
        version_2,
        b"GET / HTTP/1.1\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Client-Cert: URI=spiffe://one.example/a\r\n\r\n"
            .to_vec(),
    ] {
        let mut client = Raw::connect(bed.gateway.postgres());
        client.send(&header);
        let _closed = client.try_send(&startup);
        let asked = client.until_closed().into_iter().any(|reply| reply.tag == b'R');
        assert!(!asked, "a login began behind {header:?}");
    }
    bed.raw("reporting");
    let logins: Vec<Value> = bed.gateway.entries().into_iter().filter(|entry| entry["kind"] == "login").collect();
    assert_eq!(logins.len(), 1);
    assert_eq!(logins[0]["source"], "127.0.0.1", "{}", logins[0]);
}

/// ID16: the credential at the upstream follows from workload and upstream alone. Whatever a client asks for in its startup, it
/// gets no other role, host or secret.
#[test]
fn a_client_cannot_choose_the_gateways_credential() {
    let Some(bed) = Bed::start("identity-deputy") else { return };
    let (port, token) = (bed.gateway.postgres(), bed.token("reporting"));
    let session = |more: &[(&str, &str)]| {
        let mut parameters = vec![("user", "reporting"), ("database", crate::bed::shop::NAME)];
        parameters.extend(more);
        Raw::try_log_in_with(port, &parameters, &token)
    };
    for more in [
        [("role", "postgres")],
        [("session_authorization", "postgres")],
        [("options", "-c role=postgres")],
        [("options", "-csession_authorization=postgres")],
        [("host", "10.0.0.1")],
        [("password", "x")],
        [("replication", "database")],
    ] {
        // Refused, or without effect: never another role.
        if let Ok(mut session) = session(&more) {
            let replies = session.query("select current_user");
            let row = replies.iter().find(|reply| reply.tag == b'D').map(|row| row.body.clone()).unwrap_or_default();
            assert!(!row.ends_with(b"postgres"), "{more:?}");
        }
    }
    // Another's name, another's upstream.
    for (user, database) in
        [("postgres", crate::bed::shop::NAME), ("parapet", crate::bed::shop::NAME), ("reporting", "postgres")]
    {
        let refused = Raw::try_log_in_with(port, &[("user", user), ("database", database)], &token).map(drop);
        assert_eq!(refused.unwrap_err().field(b'C'), "28000", "{user} {database}");
    }
    // One that is there while it is looked.
    let _open = session(&[]).unwrap();
    let roles = bed.postgres.sql("select string_agg(distinct usename, ',') from pg_stat_activity where application_name like '%parapet%' or usename = 'parapet'");
    assert_eq!(roles, "parapet");
}

/// ID19: who can reach the upstream without the gateway is told so.
#[test]
fn the_doctor_tells_of_a_way_past_the_gateway() {
    let Some(bed) = Bed::start("identity-bypass") else { return };
    let doctor = bed.gateway.cli(&["doctor"]);
    let told = format!("localhost:{} can be reached from here without the gateway", bed.postgres.port());
    assert!(doctor.out.contains("shop-db bypass") && doctor.out.contains(&told), "{doctor:?}");
}
