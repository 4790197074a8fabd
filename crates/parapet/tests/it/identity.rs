//! Who may connect: tokens that prove nothing, workloads that may not act, and quarantine in the middle of a session.

mod bearer;
mod bound;
mod hostile;
mod incidents;
mod issuers;
mod native;
mod provider;
mod rotation;
mod signals;
mod spire;
mod tasks;

use std::time::{Duration, Instant};

use serde_json::json;

use crate::bed::Bed;
use crate::bed::issuer::{self, Issuer};
use crate::bed::postgres::UPSTREAM_PASSWORD;
use crate::bed::raw::{self, Raw};
use crate::bed::wait;

#[test]
fn attestations_that_prove_nothing() {
    let Some(bed) = Bed::start("identity-tokens") else { return };
    let good = || issuer::claims("reporting", Duration::from_secs(600));
    let with = |change: &[(&str, serde_json::Value)]| {
        let mut claims = good();
        for (claim, value) in change {
            claims[*claim] = value.clone();
        }
        bed.issuer.sign(&issuer::header(), &claims)
    };
    let header = |change: &[(&str, serde_json::Value)]| {
        let mut header = issuer::header();
        for (field, value) in change {
            header[*field] = value.clone();
        }
        bed.issuer.sign(&header, &good())
    };
    let now = issuer::now();
    let stranger = Issuer::new(&crate::bed::folder::Folder::new("identity-stranger"));
    let sound = bed.token("reporting");
    let (signed, signature) = sound.rsplit_once('.').unwrap();
    let flipped = format!("{signed}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]);
    let none = |alg: &str| format!("{}.", issuer::unsigned(&json!({"alg": alg, "typ": "JWT"}), &good()));
    let tokens = [
        ("empty", String::new()),
        ("no token", "hunter2".to_owned()),
        ("expired", with(&[("iat", json!(now - 7200)), ("exp", json!(now - 3600))])),
        ("without an expiry", with(&[("exp", json!(null))])),
        ("not yet valid", with(&[("nbf", json!(now + 3600))])),
        ("longer lived than the issuer may give", with(&[("exp", json!(now + 30 * 86_400))])),
        ("another audience", with(&[("aud", json!("somebody-else"))])),
        ("no audience", with(&[("aud", json!(null))])),
        ("an unknown issuer", with(&[("iss", json!("https://stranger.example"))])),
        ("a subject without a rule", with(&[("sub", json!("workload:nobody"))])),
        ("another workload's", with(&[("sub", json!("workload:triage-bot"))])),
        ("signed by another key", stranger.token("reporting", Duration::from_secs(600))),
        ("with a changed signature", flipped),
        ("with no signature", format!("{signed}.")),
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("alg HS256", header(&[("alg", json!("HS256"))])),
        ("alg RS256", header(&[("alg", json!("RS256"))])),
        ("an unknown critical header", header(&[("crit", json!(["b64"])), ("b64", json!(false))])),
        ("an unknown key", header(&[("kid", json!("another-key"))])),
        ("a workload that has expired", bed.token("left-over")),
    ];
    let mut told = Vec::new();
    for (what, token) in &tokens {
        let user = if what.contains("has expired") { "left-over" } else { "reporting" };
        match Raw::try_log_in(bed.gateway.postgres(), user, token) {
            Ok(_) => panic!("a token was accepted: {what}"),
            Err(error) => {
                assert_eq!(error.field(b'S'), "FATAL", "{what}");
                assert!(matches!(error.field(b'C').as_str(), "28000" | "28P01"), "{what}: {}", error.field(b'C'));
                // Whatever is wrong, a stranger reads the same, but for the id.
                let line = error.field(b'M');
                told.push(line.split('[').next().unwrap_or_default().to_owned());
                assert!(!String::from_utf8_lossy(&error.body).contains("exp"), "{what}: {line}");
            }
        }
    }
    told.dedup();
    assert_eq!(told.len(), 1, "refusals differ: {told:?}");
    let refused = bed.gateway.entries().iter().filter(|entry| entry["kind"] == "login_refused").count();
    assert_eq!(refused, tokens.len(), "not every refused login stands in the log");
    assert!(bed.postgres.executed().is_empty(), "a refused login reached the upstream");
    Raw::log_in(bed.gateway.postgres(), "reporting", &bed.token("reporting"));
}

/// Who has no name here learns nothing about which upstreams exist.
#[test]
fn unknown_upstreams_and_workloads_look_the_same() {
    let Some(bed) = Bed::start("identity-unknown") else { return };
    let told = |user: &str, database: &str| {
        let mut raw = Raw::connect(bed.gateway.postgres());
        raw.send(&raw::startup(&[("user", user), ("database", database)]));
        raw.receive().unwrap();
        raw.send(&raw::message(b'p', &[bed.token("reporting").as_bytes(), b"\0"]));
        let error = raw.until_closed().into_iter().find(|reply| reply.tag == b'E').unwrap();
        error.field(b'M').split('[').next().unwrap_or_default().to_owned()
    };
    assert_eq!(told("reporting", "no-such-database"), told("nobody", "shop"));
}

#[test]
fn quarantine_cuts_within_a_second_and_refuses_the_next_login() {
    let Some(bed) = Bed::start("identity-quarantine") else { return };
    let mut live = bed.raw("reporting");
    let mut other = bed.raw("auditor");
    assert_eq!(raw::tags(&live.query("select 1")), "TDCZ");
    let ran = bed.gateway.cli_as("root@example.com", &["workloads", "quarantine", "reporting", "--reason", "a test"]);
    let asked = Instant::now();
    ran.assert_done();
    let last = live.until_closed();
    assert!(asked.elapsed() < wait::PUSHED, "it took {:?}", asked.elapsed());
    assert_eq!(
        last.first().map(|error| (error.field(b'S'), error.field(b'C'))),
        Some(("FATAL".into(), "57P01".into()))
    );
    let refused = Raw::try_log_in(bed.gateway.postgres(), "reporting", &bed.token("reporting")).unwrap_err();
    assert_eq!(refused.field(b'C'), "28000");
    // Others are not touched, and a release ends it.
    assert_eq!(raw::tags(&other.query("select 1")), "TDCZ");
    bed.gateway.cli_as("root@example.com", &["workloads", "release", "reporting", "--reason", "over"]).assert_done();
    assert_eq!(raw::tags(&bed.raw("reporting").query("select 1")), "TDCZ");
}

/// A quarantine outlives the gateway, and cuts a statement that runs.
#[test]
fn quarantine_cuts_a_running_statement_and_survives_a_crash() {
    let Some(mut bed) = Bed::start("identity-quarantine-crash") else { return };
    let mut live = bed.raw("reporting");
    let long = "select count(*) from generate_series(1, 100000000000)";
    live.send(&raw::query(long));
    let running = |bed: &Bed| {
        let sql = format!("select count(*) from pg_stat_activity where state = 'active' and query = '{long}'");
        bed.postgres.sql(&sql) != "0"
    };
    wait::until("the statement to run", wait::PATIENCE, || running(&bed).then_some(()));
    bed.gateway
        .cli_as("root@example.com", &["workloads", "quarantine", "reporting", "--reason", "a test"])
        .assert_done();
    assert_eq!(raw::errors(&live.until_closed()), ["57P01"]);
    wait::until("the statement to end at the upstream", wait::PATIENCE, || (!running(&bed)).then_some(()));
    bed.gateway.kill();
    bed.gateway.restart();
    let refused = Raw::try_log_in(bed.gateway.postgres(), "reporting", &bed.token("reporting")).unwrap_err();
    assert_eq!(refused.field(b'C'), "28000");
}

/// A session does not outlive the proof that opened it.
#[test]
fn a_session_ends_with_its_token() {
    let Some(bed) = Bed::start("identity-expiry") else { return };
    let token = bed.issuer.token("reporting", Duration::from_secs(6));
    let mut live = Raw::log_in(bed.gateway.postgres(), "reporting", &token);
    assert_eq!(raw::tags(&live.query("select 1")), "TDCZ");
    let last = live.until_closed();
    assert_eq!(last.first().map(|error| error.field(b'S')), Some("FATAL".to_owned()));
}

/// The upstream's credential and the workload's token stay on their own sides, and out of every log.
#[test]
fn credentials_do_not_cross() {
    let Some(bed) = Bed::start("identity-canary") else { return };
    let token = bed.token("reporting");
    let mut raw = Raw::log_in(bed.gateway.postgres(), "reporting", &token);
    raw.query("select 1");
    raw.query("drop table orders");
    let audit: String = bed.gateway.segments().iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let upstream = std::fs::read_to_string(bed.folder.join("postgres.log")).unwrap();
    for (place, text) in
        [("the gateway's log", bed.gateway.log()), ("the audit log", audit.clone()), ("the upstream's log", upstream)]
    {
        assert!(!text.contains(UPSTREAM_PASSWORD), "the upstream's password stands in {place}");
        assert!(!text.contains(&token), "the token stands in {place}");
    }
    let dump = bed.gateway.cli(&["config", "explain"]);
    assert!(!dump.out.contains(UPSTREAM_PASSWORD), "{dump:?}");
}

/// The owner of a job learns which claim is at fault, from the log and from `trust test`; the caller learns nothing.
#[test]
fn a_token_from_the_wrong_branch_tells_its_owner_alone() {
    let Some(bed) = Bed::start("identity-branch") else { return };
    let mut claims = issuer::claims("deploy", Duration::from_secs(600));
    claims["ref"] = json!("refs/heads/feature");
    let token = bed.issuer.sign(&issuer::header(), &claims);
    let told = Raw::try_log_in(bed.gateway.postgres(), "deploy", &token).map(drop).unwrap_err();
    assert!(!String::from_utf8_lossy(&told.body).contains("refs/"), "the caller was told: {}", told.field(b'M'));
    let difference = "`ref` is `refs/heads/feature`, not `refs/heads/main`";
    let entries = bed.gateway.entries();
    let refused = entries.iter().find(|entry| entry["kind"] == "login_refused").unwrap();
    let why = refused["why"].as_str().unwrap();
    assert!(why.contains("the rule for `deploy` does not: ") && why.contains(difference), "{why}");

    let file = bed.folder.write("token.jwt", &token);
    let test = |arguments: &[&str]| {
        let mut all = vec!["trust", "test", "--token-file", file.to_str().unwrap()];
        all.extend(arguments);
        bed.gateway.cli(&all)
    };
    let ran = test(&["--workload", "deploy"]);
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.out.contains("no rule matches") && ran.out.contains(difference), "{ran:?}");
    // The right branch, and what the log then holds of it.
    let good = bed.token("deploy");
    std::fs::write(&file, &good).unwrap();
    let ran = test(&[]);
    assert!(ran.code == 0 && ran.out.contains("the token is of deploy"), "{ran:?}");
    Raw::log_in(bed.gateway.postgres(), "deploy", &good);
    let entries = bed.gateway.entries();
    let login = entries.iter().find(|entry| entry["kind"] == "login").unwrap();
    assert_eq!(login["claims"], json!({"ref": "refs/heads/main", "sub": "workload:deploy"}));
    // What nobody signed is told nothing of.
    let forged = format!("{}x", &good[..good.len() - 1]);
    std::fs::write(&file, forged).unwrap();
    let ran = test(&[]);
    assert!(ran.code == 5 && ran.out.contains("refused") && !ran.out.contains("refs/"), "{ran:?}");
}
