//! What is done to workloads as one thing and taken back as one thing, owners who change, and one proof in several places
//! (hazards ID18, ID21, ID22).

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::signals::{assert_cut, bed, port};
use crate::bed::folder::replace;
use crate::bed::issuer;
use crate::bed::raw::{self, Raw};
use crate::bed::transmitter::{TOKEN, header, opaque, push};
use crate::bed::wait;

/// Another person answers for it: what the one before let in ends, and begins anew in the new one's name.
#[test]
fn another_owner_cuts_within_a_second() {
    let Some((bed, _transmitter)) = bed("signals-handover", "", |setup| setup) else { return };
    let file = bed.folder.join("parapet.toml");
    let good = fs::read_to_string(&file).unwrap();
    let table = good.split("[workloads.reporting]").nth(1).unwrap().split("\n[").next().unwrap().to_owned();
    assert!(table.contains("owner = \"mara@example.com\""), "{table}");
    let theirs = table.replace("owner = \"mara@example.com\"", "owner = \"noor@example.com\"");
    let (mut live, mut other) = (bed.raw("reporting"), bed.raw("auditor"));
    // What changes besides cuts nothing.
    let loads = || bed.gateway.entries().iter().filter(|entry| entry["result"] == "loaded").count();
    let began = loads();
    replace(&file, &good.replace(&table, &table.replace("purpose = \"", "purpose = \"more ")));
    wait::until("the file to be read", wait::PATIENCE, || (loads() > began).then_some(()));
    assert_eq!(raw::tags(&live.query("select 1")), "TDCZ");
    replace(&file, &good.replace(&table, &theirs));
    wait::until("the new owner to be read", wait::PATIENCE, || (loads() > began + 1).then_some(()));
    assert_cut(live, Instant::now());
    assert_eq!(raw::tags(&other.query("select 1")), "TDCZ", "somebody else was cut");
    let mut again = bed.raw("reporting");
    assert_eq!(raw::tags(&again.query("select 1")), "TDCZ");
}

/// ID18: one token in two networks at once makes its workload riskier, once; two tokens of one workload do not.
#[test]
fn a_proof_in_two_networks_is_a_signal() {
    let Some((bed, _transmitter)) = bed("signals-places", "", |setup| setup) else { return };
    let score = || {
        let shown = bed.gateway.cli(&["workloads", "show", "reporting", "--json"]);
        let shown: Value = serde_json::from_str(&shown.out).unwrap();
        (shown["risk_reasons"]["score"].clone(), shown["risk_why"][0].clone())
    };
    let from = |source: &str, token: &str| Raw::log_in_from(source, bed.gateway.postgres(), "reporting", token);
    let mut claims = issuer::claims("reporting", Duration::from_secs(600));
    let mut token = |id: &str| {
        claims["jti"] = json!(id);
        bed.issuer.sign(&issuer::header(), &claims)
    };
    let (first, second) = (token("first"), token("second"));
    // The twins: two proofs in two networks, one proof in one network, and one that moved.
    let (one, two) = (from("127.0.8.1", &first), from("127.0.9.1", &second));
    let beside = from("127.0.8.2", &first);
    drop((one, beside));
    wait::until("the first to be gone", wait::PATIENCE, || {
        let sessions: Value = serde_json::from_str(&bed.gateway.cli(&["sessions", "list", "--json"]).out).unwrap();
        (sessions["items"].as_array().unwrap().len() == 1).then_some(())
    });
    let moved = from("127.0.9.9", &first);
    assert_eq!(score().0, 0);
    let copied = from("127.0.8.1", &first);
    wait::until("the risk to rise", wait::PATIENCE, || (score().0 == 20).then_some(()));
    assert_eq!(score().1, "places: one proof is in use from 2 networks at once (20)");
    let noted = bed.gateway.entries().iter().filter(|entry| entry["action"] == "workloads risk shared proof").count();
    assert_eq!(noted, 1);
    drop((two, moved, copied));
}

/// ID22: a genuine stream that says wrong things of everybody acts at once, and one undo takes all of it back. What others did
/// stays.
#[test]
fn a_burst_is_one_incident_with_one_undo() {
    let hot = "@id(\"hot\") @quarantine forbid (principal, action, resource) when { principal.risk >= 80 };";
    let Some((bed, transmitter)) = bed("signals-incident", "", |setup| {
        let folder = setup.own_policies();
        fs::write(folder.join("hot.cedar"), hot).unwrap();
        setup.policies(&folder)
    }) else {
        return;
    };
    let cli = |arguments: &[&str]| {
        let ran = bed.gateway.cli(arguments);
        serde_json::from_str::<Value>(&ran.out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {ran:?}"))
    };
    let status = |name: &str| cli(&["workloads", "show", name, "--json"])["status"].clone();
    let send = |set: &str| assert_eq!(push(port(&bed), "idp", Some(TOKEN), set).0, 202);
    let token = bed.token("auditor");
    let live = Raw::log_in(bed.gateway.postgres(), "auditor", &token);
    assert!(cli(&["incidents", "list", "--json"])["items"].as_array().unwrap().is_empty());
    // A person has quarantined one of them before.
    bed.gateway.cli(&["workloads", "quarantine", "deploy", "--reason", "by hand", "--yes"]).assert_done();
    let disabled = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
    for _ in 0..2 {
        let owner = json!({"format": "email", "email": "mara@example.com"});
        send(&transmitter.sign(&header(), &transmitter.claims(disabled, &json!({}), &owner)));
    }
    let since = Instant::now();
    assert_cut(live, since);
    for name in ["reporting", "auditor", "triage-bot", "deploy"] {
        assert_eq!(status(name), "quarantined", "{name}");
    }
    let listed = cli(&["incidents", "list", "--json"]);
    let [incident] = listed["items"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!((&incident["source"], &incident["state"]), (&json!("stream idp"), &json!("open")));
    let id = incident["id"].as_str().unwrap();
    let shown = bed.gateway.cli(&["incidents", "show", id]);
    assert!(shown.out.contains("reporting quarantined: account-disabled by stream idp, 2 times"), "{shown:?}");
    let undone = cli(&["incidents", "undo", id, "--reason", "the stream was wrong", "--yes", "--json"]);
    assert_eq!(undone["state"], "undone");
    assert!(undone["released"].as_array().unwrap().contains(&json!("auditor")), "{undone}");
    assert_eq!(undone["left"], json!([{"workload": "deploy", "why": "somebody else has quarantined it"}]));
    // The very token that was revoked opens a session again.
    let mut live = wait::until("the auditor to be let in", wait::PATIENCE, || {
        Raw::try_log_in(bed.gateway.postgres(), "auditor", &token).ok()
    });
    assert_eq!(raw::tags(&live.query("select 1")), "TDCZ");
    assert_eq!((status("deploy"), status("reporting")), (json!("quarantined"), json!("active")));
    let again = bed.gateway.cli(&["incidents", "undo", id, "--reason", "again", "--yes"]);
    assert_eq!(again.code, 7, "{again:?}");
    let entries = bed.gateway.entries();
    let of = |action: &str| entries.iter().filter(|entry| entry["action"] == action).count();
    assert_eq!((of("incidents open"), of("incidents undo"), of("incidents undone")), (1, 1, 1));

    // A policy that its risk trips belongs to the same incident, and goes with it.
    let payload = json!({"principal": "WORKLOAD", "current_level": "HIGH"});
    let idle = bed.raw("reporting");
    let since = Instant::now();
    send(&transmitter.caep("risk-level-change", &payload, &opaque("reporting-7")));
    assert_cut(idle, since);
    let second = wait::until("the policy's part", wait::PATIENCE, || {
        let listed = cli(&["incidents", "list", "--json"]);
        let newest = listed["items"][0].clone();
        (newest["id"] != id && newest["quarantined"] == 1).then_some(newest)
    });
    assert_eq!((&second["source"], &second["state"]), (&json!("stream idp"), &json!("open")));
    bed.gateway.cli(&["incidents", "undo", second["id"].as_str().unwrap(), "--reason", "wrong", "--yes"]).assert_done();
    let mut live = wait::until("reporting to be let in", wait::PATIENCE, || {
        Raw::try_log_in(bed.gateway.postgres(), "reporting", &bed.token("reporting")).ok()
    });
    assert_eq!(raw::tags(&live.query("select 1")), "TDCZ");
}
