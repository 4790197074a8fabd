//! A cut ends a session whatever that waits for: the catalogue, an upstream that does not answer, a client that does not read.
//! And it ends what the session has running at the upstream, with all that waits behind it there.

use std::sync::OnceLock;
use std::thread;

use super::weir::{Held, Weir};
use crate::bed::Bed;
use crate::bed::folder::replace;
use crate::bed::gateway::Setup;
use crate::bed::raw::{self, Raw, query};
use crate::bed::wait::{self, PATIENCE, PUSHED};

const LONG: &str = "select count(*) from generate_series(1, 100000000000)";
/// How many statements run at the server.
const ACTIVE: &str = "select count(*) from pg_stat_activity where usename = 'parapet' and state = 'active'";

/// A bed with a weir before its server.
fn behind_a_weir(name: &str, change: impl FnOnce(Setup) -> Setup) -> Option<(Bed, Weir)> {
    let weir = OnceLock::new();
    let bed = Bed::start_with(name, |setup| {
        change(setup.upstream_behind(|server| {
            let (started, port) = Weir::start(server);
            weir.set(started).unwrap();
            port
        }))
    })?;
    Some((bed, weir.into_inner().unwrap()))
}

/// The ids of the sessions that are listed.
fn sessions(bed: &Bed) -> Vec<String> {
    let ran = bed.gateway.cli(&["sessions", "list", "-o", "id"]);
    ran.out.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// The last words that come within the time of a push.
fn ends(raw: Raw) -> Vec<String> {
    let ending = thread::spawn(move || {
        let mut raw = raw;
        raw::errors(&raw.until_closed())
    });
    wait::until("the session to end", PUSHED, || ending.is_finished().then_some(()));
    ending.join().unwrap()
}

#[test]
fn while_the_catalogue_is_read() {
    let Some((bed, weir)) = behind_a_weir("cut-catalogue", |setup| setup) else { return };
    let mut killed = bed.raw("auditor");
    let [id] = sessions(&bed).try_into().unwrap();
    let mut quarantined = bed.raw("reporting");
    weir.hold(Held::Catalogue);
    for raw in [&mut killed, &mut quarantined] {
        // A name that is not known: the catalogue is read again before it is refused.
        raw.send(&query("select id from made_meanwhile"));
    }
    wait::until("the catalogue to be asked", PATIENCE, || (weir.waiting() > 0).then_some(()));
    bed.gateway.cli(&["sessions", "kill", &id, "--reason", "the tests"]).assert_done();
    assert_eq!(ends(killed), ["57P01"]);
    bed.gateway.cli(&["workloads", "quarantine", "reporting", "--reason", "the tests"]).assert_done();
    assert_eq!(ends(quarantined), ["57P01"]);
    // Whoever was cut in the middle of it has left nothing to the next.
    bed.postgres.sql("set role parapet; create table made_meanwhile (id int)");
    weir.hold(Held::Nothing);
    wait::until("the catalogue to be read", PATIENCE, || {
        raw::errors(&bed.raw("auditor").query("select id from made_meanwhile")).is_empty().then_some(())
    });
}

/// A definition is answered when the catalogue has been read again; where the session is cut before, others find it all the same.
#[test]
fn while_a_definition_waits_for_the_catalogue() {
    let Some((bed, weir)) = behind_a_weir("cut-definition", |setup| {
        let folder = setup.own_policies();
        replace(
            &folder.join("base.cedar"),
            "@id(\"all\") permit (principal, action, resource in Upstream::\"shop-db\");",
        );
        setup.policies(&folder)
    }) else {
        return;
    };
    let mut raw = bed.raw("reporting");
    let [id] = sessions(&bed).try_into().unwrap();
    weir.hold(Held::Catalogue);
    raw.send(&query("create table made_by_it (id int)"));
    wait::until("the definition to run", PATIENCE, || {
        (bed.postgres.sql("select count(*) from pg_class where relname = 'made_by_it'") == "1").then_some(())
    });
    wait::until("the catalogue to be asked", PATIENCE, || (weir.waiting() > 0).then_some(()));
    bed.gateway.cli(&["sessions", "kill", &id, "--reason", "the tests"]).assert_done();
    assert_eq!(ends(raw), ["57P01"]);
    weir.hold(Held::Nothing);
    assert_eq!(raw::tags(&bed.raw("auditor").query("select id from made_by_it")), "TCZ");
}

#[test]
fn while_an_upstream_is_asked_to_cancel() {
    let Some((bed, weir)) = behind_a_weir("cut-cancel", |setup| setup.upstream_tls()) else { return };
    let mut raw = bed.raw("reporting");
    let [id] = sessions(&bed).try_into().unwrap();
    raw.send(&query(LONG));
    // A session in which nothing runs has nothing to cancel.
    wait::until("it to run", PATIENCE, || (bed.postgres.sql(ACTIVE) == "1").then_some(()));
    weir.hold(Held::Connections);
    raw.cancel(bed.gateway.postgres());
    wait::until("the upstream to be asked", PATIENCE, || (weir.waiting() > 0).then_some(()));
    bed.gateway.cli(&["sessions", "kill", &id, "--reason", "the tests"]).assert_done();
    assert_eq!(ends(raw), ["57P01"]);
    wait::until("the session to be gone", PUSHED, || sessions(&bed).is_empty().then_some(()));
}

#[test]
fn while_the_upstream_is_opened() {
    let Some((bed, weir)) = behind_a_weir("cut-open", |setup| setup) else { return };
    weir.hold(Held::Connections);
    let (port, token) = (bed.gateway.postgres(), bed.token("reporting"));
    let opening = thread::spawn(move || Raw::try_log_in(port, "reporting", &token).unwrap_err().field(b'C'));
    let id = wait::until("the session to begin", PATIENCE, || sessions(&bed).pop());
    bed.gateway.cli(&["sessions", "kill", &id, "--reason", "the tests"]).assert_done();
    wait::until("the session to end", PUSHED, || opening.is_finished().then_some(()));
    assert_eq!(opening.join().unwrap(), "57P01");
}

/// What the client sent in one go and the upstream has not begun yet does not run after a cut.
#[test]
fn what_waits_at_the_upstream_does_not_run() {
    let Some(bed) = Bed::start("cut-pipeline") else { return };
    let mut raw = bed.raw("reporting");
    let [id] = sessions(&bed).try_into().unwrap();
    let insert = |id: u32| query(&format!("insert into products (id, name, price) values ({id}, 'late', 1)"));
    raw.send(&[query(LONG), insert(9001), insert(9002)].concat());
    wait::until("the first to run", PATIENCE, || (bed.postgres.sql(ACTIVE) == "1").then_some(()));
    bed.gateway.cli(&["sessions", "kill", &id, "--reason", "the tests"]).assert_done();
    assert_eq!(ends(raw), ["57P01"]);
    let backends = "select count(*) from pg_stat_activity where usename = 'parapet'";
    wait::until("its server process to end", PATIENCE, || (bed.postgres.sql(backends) == "1").then_some(()));
    assert_eq!(bed.postgres.sql("select count(*) from products where name = 'late'"), "0");
    // It would have, for one that is not cut.
    assert_eq!(
        raw::tags(&bed.raw("auditor").query("insert into products (id, name, price) values (9001, 'late', 1)")),
        "CZ"
    );
}

/// A client that does not read keeps neither its session nor what that has running.
#[test]
fn while_the_client_does_not_read() {
    let Some(bed) = Bed::start("cut-unread") else { return };
    let mut raw = bed.raw("reporting");
    let [id] = sessions(&bed).try_into().unwrap();
    raw.send(&query("select repeat('x', 1048576) from generate_series(1, 1024)"));
    let blocked = "select count(*) from pg_stat_activity where usename = 'parapet' and wait_event = 'ClientWrite'";
    wait::until("the upstream to wait", PATIENCE, || (bed.postgres.sql(blocked) == "1").then_some(()));
    bed.gateway.cli(&["sessions", "kill", &id, "--reason", "the tests"]).assert_done();
    let backends = "select count(*) from pg_stat_activity where usename = 'parapet'";
    wait::until("its server process to end", PUSHED, || (bed.postgres.sql(backends) == "1").then_some(()));
    wait::until("the session to be gone", PUSHED, || sessions(&bed).is_empty().then_some(()));
    drop(raw);
}
