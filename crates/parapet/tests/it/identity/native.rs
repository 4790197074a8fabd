//! Native tokens from end to end: issued by the command line, shown once, accepted as a password, limited, revoked.

use std::time::Instant;

use serde_json::Value;

use crate::bed::Bed;
use crate::bed::clients::{environment_with, psql_command, run};
use crate::bed::gateway::token_of;
use crate::bed::raw::{self, Raw};
use crate::bed::wait;

fn issue(bed: &Bed, workload: &str, life: &str) -> Value {
    let ran = bed.gateway.cli(&[
        "workloads",
        "token",
        "issue",
        workload,
        "--life",
        life,
        "--reason",
        "it has no issuer",
        "--json",
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

fn text<'v>(given: &'v Value, member: &str) -> &'v str {
    given[member].as_str().unwrap()
}

#[test]
fn a_token_opens_psql_and_revoking_it_cuts_within_a_second() {
    let Some(mut bed) = Bed::start("identity-native") else { return };
    let given = issue(&bed, "reporting", "30d");
    let (token, id) = (text(&given, "token"), text(&given, "id"));
    let mut command = psql_command(&bed, "reporting", &["-c", "select 7"]);
    let ran = run(environment_with(bed.gateway.postgres(), "reporting", token, &mut command));
    assert_eq!((ran.code, ran.out.trim()), (0, "7"), "{ran:?}");
    // It is this workload's alone, and nobody else's credential for anything.
    for user in ["auditor", "nobody"] {
        Raw::try_log_in(bed.gateway.postgres(), user, token).map(drop).unwrap_err();
    }
    let shown = bed.gateway.cli(&["workloads", "show", "reporting", "--json"]);
    let shown: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!((&shown["native_tokens"], shown["flags"][0].as_str()), (&1.into(), Some("NHI7")), "{shown}");
    let doctor = bed.gateway.cli(&["doctor"]);
    assert!(doctor.out.contains("NHI7: 1 native token in force"), "{doctor:?}");

    // It outlives the gateway; what is stored is its hash.
    bed.gateway.kill();
    bed.gateway.restart();
    let mut live = Raw::log_in(bed.gateway.postgres(), "reporting", token);
    let mut other = bed.raw("reporting");
    assert_eq!(raw::tags(&live.query("select 1")), "TDCZ");
    bed.gateway.cli(&["workloads", "token", "revoke", id, "--reason", "a test"]).assert_done();
    let asked = Instant::now();
    assert_eq!(raw::errors(&live.until_closed()), ["57P01"]);
    assert!(asked.elapsed() < wait::PUSHED, "it took {:?}", asked.elapsed());
    assert_eq!(raw::tags(&other.query("select 1")), "TDCZ", "a session by another proof was cut");
    let refused = Raw::try_log_in(bed.gateway.postgres(), "reporting", token).map(drop).unwrap_err();
    assert_eq!(refused.field(b'C'), "28000");

    let entries = bed.gateway.entries();
    let actions: Vec<&str> = entries.iter().filter_map(|entry| entry["action"].as_str()).collect();
    for action in ["workloads token issue", "workloads token revoke"] {
        assert!(actions.contains(&action), "{action}: {actions:?}");
    }
    let login = entries.iter().find(|entry| entry["kind"] == "login").unwrap();
    assert_eq!(login["evidence"]["id"].as_str(), Some(id), "{login}");
    let database = std::fs::read(bed.folder.join("state/parapet.db")).unwrap();
    let listed = bed.gateway.cli(&["workloads", "token", "list", "--json"]).out;
    let audit: String = bed.gateway.segments().iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    for (place, text) in [
        ("the log", bed.gateway.log()),
        ("the audit log", audit),
        ("the list", listed),
        ("the store", String::from_utf8_lossy(&database).into_owned()),
    ] {
        assert!(!text.contains(token), "the token stands in {place}");
    }
}

#[test]
fn lives_are_short_and_guesses_are_counted() {
    let Some(bed) = Bed::start("identity-native-limits") else { return };
    for life in ["91d", "1s", "forever"] {
        let arguments = ["workloads", "token", "issue", "reporting", "--life", life, "--reason", "a test"];
        assert_eq!(bed.gateway.cli(&arguments).code, 2, "{life}");
    }
    let given = issue(&bed, "reporting", "1h");
    for guess in 0..10 {
        // The first is a person's: whole, and no native token. The others are mistyped.
        let wrong = if guess == 0 { token_of("mara@example.com") } else { format!("ppt_{guess}") };
        Raw::try_log_in(bed.gateway.postgres(), "reporting", &wrong).map(drop).unwrap_err();
    }
    // Now the right one is not looked at either, while tokens of issuers are not touched.
    Raw::try_log_in(bed.gateway.postgres(), "reporting", text(&given, "token")).map(drop).unwrap_err();
    bed.raw("reporting");
    let entries = bed.gateway.entries();
    let whys: Vec<&str> = entries.iter().filter_map(|entry| entry["why"].as_str()).collect();
    assert!(whys[0].contains("no native token in force") && whys[1].contains("its checksum is wrong"), "{whys:?}");
    assert!(whys[10].contains("too many wrong native tokens"), "{whys:?}");
}
