//! Real SVIDs, of a real SPIRE: each reaches PostgreSQL as the right workload with stock psql, and what rotates does so under
//! load, without a failed connection, a cut session or a restart.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::bed::Bed;
use crate::bed::clients::{Ran, environment_with, psql_command, run};
use crate::bed::spire::{DOMAIN, Spire, SvidFiles};
use crate::bed::superuser::Superuser;
use crate::bed::wait;

const GATEWAY: &str = "spiffe://spire.example/parapet";
const REPORTING: &str = "spiffe://spire.example/shop/reporting";
const AUDITOR: &str = "spiffe://spire.example/shop/auditor";

fn configuration(spire: &Spire) -> String {
    let mut text = format!(
        "\n[workload_api]\nsocket = \"{}\"\nid = \"{GATEWAY}\"\n\n[spiffe.\"{DOMAIN}\"]\nbundle = \"workload-api\"\n\
         audience = \"parapet\"\n",
        spire.socket()
    );
    for (workload, id) in [("reporting", REPORTING), ("auditor", AUDITOR)] {
        text.push_str(&format!(
            "\n[[trust]]\nworkload = \"{workload}\"\ntemplate = \"spiffe\"\nissuer = \"spiffe://{DOMAIN}\"\n\
             claims = {{ spiffe_id = \"{id}\" }}\n"
        ));
    }
    text
}

fn start(name: &str, lives: u32) -> Option<(Bed, Spire)> {
    let spire = Spire::start(&format!("{name}-spire"))?;
    for id in [GATEWAY, REPORTING, AUDITOR] {
        spire.register(id, lives);
    }
    let tables = configuration(&spire);
    let bed = Bed::start_with(name, |setup| setup.also(tables).listener_tls("\"spiffe\"".to_owned()))?;
    Some((bed, spire))
}

/// psql, which verifies the gateway's SVID by the trust domain's bundle.
fn command(bed: &Bed, user: &str, authorities: &Path, identity: Option<&SvidFiles>, token: &str) -> Command {
    let mut command = session(bed, user, authorities, identity, token);
    command.args(["-c", "select 7"]);
    command
}

/// The same, to be fed.
fn session(bed: &Bed, user: &str, authorities: &Path, identity: Option<&SvidFiles>, token: &str) -> Command {
    let mut command = psql_command(bed, user, &["-w", "-q"]);
    environment_with(bed.gateway.postgres(), user, token, &mut command)
        .env("PGHOST", "localhost")
        .env("PGSSLMODE", "verify-full")
        .env("PGSSLROOTCERT", authorities);
    if token.is_empty() {
        command.env_remove("PGPASSWORD");
    }
    if let Some(identity) = identity {
        command.env("PGSSLCERT", &identity.certificate).env("PGSSLKEY", &identity.key);
    }
    command
}

fn last(bed: &Bed, kind: &str) -> Value {
    bed.gateway.entries().into_iter().rev().find(|entry| entry["kind"] == kind).unwrap()
}

#[test]
fn svids_reach_postgres_as_the_right_workload() {
    let Some((bed, spire)) = start("identity-spire", 600) else { return };
    let (reporting, auditor) = (spire.x509_svid(REPORTING, "reporting"), spire.x509_svid(AUDITOR, "auditor"));
    let psql = |user: &str, identity: Option<&SvidFiles>, token: &str| -> Ran {
        run(&mut command(&bed, user, &reporting.authorities, identity, token))
    };
    for (user, identity, kind) in [("reporting", &reporting, "x509_svid"), ("auditor", &auditor, "x509_svid")] {
        let ran = psql(user, Some(identity), "");
        assert_eq!((ran.code, ran.out.trim()), (0, "7"), "{ran:?}");
        let login = last(&bed, "login");
        assert_eq!(
            (login["workload"].as_str(), login["evidence"]["kind"].as_str()),
            (Some(user), Some(kind)),
            "{login}"
        );
        assert_eq!(login["evidence"]["trust_domain"], format!("spiffe://{DOMAIN}"));
    }
    for (user, id) in [("reporting", REPORTING), ("auditor", AUDITOR)] {
        let ran = psql(user, None, &spire.jwt_svid(id, "parapet"));
        assert_eq!((ran.code, ran.out.trim()), (0, "7"), "{ran:?}");
        let login = last(&bed, "login");
        assert_eq!((login["workload"].as_str(), login["evidence"]["kind"].as_str()), (Some(user), Some("jwt_svid")));
    }
    // The other's name, another audience, and the gateway's own SVID, which no rule names.
    let own = spire.x509_svid(GATEWAY, "own");
    for (what, user, identity, token) in [
        ("another's certificate", "reporting", Some(&auditor), String::new()),
        ("another's token", "reporting", None, spire.jwt_svid(AUDITOR, "parapet")),
        ("another audience", "reporting", None, spire.jwt_svid(REPORTING, "other")),
        ("an id without a rule", "reporting", Some(&own), String::new()),
    ] {
        let ran = psql(user, identity, &token);
        assert_eq!(ran.code, 2, "{what}: {ran:?}");
    }
    let doctor = bed.gateway.cli(&["doctor"]);
    assert!(doctor.out.contains("own SVID") && doctor.out.contains(GATEWAY), "{doctor:?}");
}

/// SVIDs of some seconds, so that the gateway's own rotates all the time; the authority rotates, too; logins go on, and the
/// session that was there first is there at the end.
#[test]
fn svids_and_authorities_rotate_under_load() {
    let Some((bed, spire)) = start("identity-spire-rotate", 12) else { return };
    let first = spire.x509_svid(REPORTING, "first");
    let token = spire.jwt_svid(REPORTING, "parapet");
    let mut long = Superuser::open(&mut session(&bed, "reporting", &first.authorities, None, &token));
    assert_eq!(long.ask("select 1").trim(), "1");
    // A session that an SVID of some seconds has opened does not outlive it (ID12).
    let mut short = Superuser::open(&mut session(&bed, "reporting", &first.authorities, Some(&first), ""));
    assert_eq!(short.ask("select 3").trim(), "3");
    let serials = || -> usize { bed.gateway.log().matches("the gateway's own SVID is renewed").count() };
    let (over, logins) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for client in 0..2 {
            let (bed, spire, over, logins) = (&bed, &spire, &over, &logins);
            scope.spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    let name = format!("client-{client}");
                    let identity = spire.x509_svid(REPORTING, &name);
                    let token = if client == 0 { String::new() } else { spire.jwt_svid(REPORTING, "parapet") };
                    let shown = (client == 0).then_some(&identity);
                    let ran = run(&mut command(bed, "reporting", &identity.authorities, shown, &token));
                    assert_eq!((ran.code, ran.out.trim()), (0, "7"), "client {client}: {ran:?}");
                    logins.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let scope = std::panic::AssertUnwindSafe(|| {
            let begun = serials();
            wait::until("rotations of the SVID", Duration::from_secs(60), || (serials() >= begun + 2).then_some(()));
            for (kind, prepared) in [("x509", spire.prepare_authority()), ("jwt", spire.prepare_jwt_authority())] {
                // Whoever verifies has the new authority before it signs.
                let (before, begun) = (logins.load(Ordering::SeqCst), serials());
                wait::until("the bundle to spread", Duration::from_secs(60), || {
                    (serials() > begun + 1 && logins.load(Ordering::SeqCst) > before + 4).then_some(())
                });
                spire.activate(kind, &prepared);
                let (before, begun) = (logins.load(Ordering::SeqCst), serials());
                wait::until("logins by the new authority", Duration::from_secs(60), || {
                    (serials() > begun + 1 && logins.load(Ordering::SeqCst) > before + 4).then_some(())
                });
            }
        });
        let done = std::panic::catch_unwind(scope);
        over.store(true, Ordering::SeqCst);
        done.unwrap();
    });
    assert_eq!(long.ask("select 2").trim(), "2");
    short.until_gone();
    let refused = bed.gateway.entries().iter().filter(|entry| entry["kind"] == "login_refused").count();
    assert_eq!(refused, 0);
}

/// The agent goes: what is known serves on, and the doctor says so. It comes again, and is followed again.
#[test]
fn the_agent_may_restart() {
    let Some((bed, mut spire)) = start("identity-spire-agent", 600) else { return };
    let identity = spire.x509_svid(REPORTING, "reporting");
    let works = || {
        let ran = run(&mut command(&bed, "reporting", &identity.authorities, Some(&identity), ""));
        assert_eq!((ran.code, ran.out.trim()), (0, "7"), "{ran:?}");
    };
    works();
    spire.kill_agent();
    let doctor = wait::until("the doctor to notice", wait::PATIENCE, || {
        let ran = bed.gateway.cli(&["doctor"]);
        ran.out.contains("serves until").then_some(ran)
    });
    assert!(doctor.out.contains(GATEWAY) && doctor.out.contains("which serve until"), "{doctor:?}");
    works();
    spire.start_agent(None);
    wait::until("the doctor to be content", Duration::from_secs(30), || {
        let ran = bed.gateway.cli(&["doctor"]);
        (!ran.out.contains("serves until") && !ran.out.contains("which serve until")).then_some(())
    });
    works();
}
