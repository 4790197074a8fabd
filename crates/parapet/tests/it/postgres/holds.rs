//! Approvals: held with live notices, answered from another terminal, run once, bound to the exact content.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::bed::Bed;
use crate::bed::clients::{Driver, psql, psql_command, step};
use crate::bed::raw;
use crate::bed::wait;

const INDEX: &str = "create index orders_status on orders (status)";

/// Runs psql as `deploy` with one statement while `meanwhile` does something about the hold.
fn held<T>(bed: &Bed, sql: &str, meanwhile: impl FnOnce(u32) -> T) -> (crate::bed::clients::Ran, T) {
    let mut command = psql_command(bed, "deploy", &["-c", sql]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let done = meanwhile(child.id());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ran = crate::bed::clients::Ran {
        code: output.status.code().unwrap_or(-1),
        out: text(&output.stdout),
        err: text(&output.stderr),
    };
    (ran, done)
}

fn times_executed(bed: &Bed, sql: &str) -> usize {
    bed.postgres.executed().iter().filter(|statement| statement.contains(sql)).count()
}

#[test]
fn approved_from_another_terminal_and_run_once() {
    let Some(bed) = Bed::start("holds-approved") else { return };
    let (ran, approval) = held(&bed, INDEX, |_| bed.answer("dana@example.com", &["approve"]));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.err.contains("NOTICE:") && ran.err.contains("approval required by policy \"schema-needs-dba\""),
        "{ran:?}"
    );
    assert!(ran.err.contains(&approval), "the notice does not name the request: {ran:?}");
    assert_eq!(times_executed(&bed, INDEX), 1);
    // The grant is used up: the same statement is held again.
    bed.postgres.sql("drop index orders_status");
    let (again, second) =
        held(&bed, INDEX, |_| bed.answer("dana@example.com", &["reject", "--reason", "once is enough"]));
    assert_ne!(second, approval);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.err.contains("once is enough"), "the reason does not reach the requester: {again:?}");
    assert_eq!(times_executed(&bed, INDEX), 1);
}

/// Every driver: the hold ends unanswered, the request stays open, and what was approved runs at the next try, once.
#[test]
fn unanswered_then_granted_then_run() {
    let Some(bed) = Bed::start_with("holds-drivers", |setup| setup.hold("1s")) else { return };
    for driver in Driver::ALL {
        let sql = format!("create table made_by_{driver:?} (a int)").to_lowercase();
        let run = |sql: &str| driver.steps(&bed, "deploy", &[step(sql), step("select 1")]);
        let Some(first) = run(&sql) else { continue };
        assert_eq!(first[0].sqlstate(), "PP001", "{driver:?}: {first:?}");
        assert!(first[0].message().contains(" apr_"), "{driver:?}: {first:?}");
        assert_eq!(first[1].sqlstate(), "", "{driver:?}: the connection is not usable");
        bed.answer("dana@example.com", &["approve"]);
        // Another text is not covered by the grant.
        let changed = run(&sql.replace("(a int)", "(a int, b int)")).unwrap();
        assert_eq!(changed[0].sqlstate(), "PP001", "{driver:?}: {changed:?}");
        bed.answer("dana@example.com", &["reject", "--reason", "another statement"]);
        let second = run(&sql).unwrap();
        assert_eq!(second[0].sqlstate(), "", "{driver:?}: {second:?}");
        assert_eq!(times_executed(&bed, &sql), 1, "{driver:?}");
        let third = run(&sql).unwrap();
        assert_eq!(third[0].sqlstate(), "PP001", "{driver:?}: the grant was used twice: {third:?}");
        bed.answer("dana@example.com", &["reject", "--reason", "done"]);
    }
}

/// Values that were bound are part of the content.
#[test]
fn nobody_answers_their_own_request() {
    let Some(bed) = Bed::start_with("holds-own", |setup| setup.hold("1s")) else { return };
    let ran = psql(&bed, "deploy", &["-c", INDEX]);
    assert!(ran.err.contains("PP001"), "{ran:?}");
    let id = bed.waiting_approval();
    // Mara is in the group, and owns the workload. Root administers, and is in no group.
    for person in ["mara@example.com", "root@example.com"] {
        let refused = bed.gateway.cli_as(person, &["approvals", "approve", &id]);
        assert_ne!(refused.code, 0, "{person} approved: {refused:?}");
    }
    assert_eq!(bed.waiting_approval(), id);
    assert_eq!(times_executed(&bed, INDEX), 0);
}

#[test]
fn interrupt_during_a_hold_withdraws_it() {
    let Some(bed) = Bed::start("holds-interrupt") else { return };
    let (ran, ()) = held(&bed, INDEX, |psql| {
        bed.waiting_approval();
        kill_process(Pid::from_raw(i32::try_from(psql).unwrap()).unwrap(), Signal::INT).unwrap();
    });
    assert!(ran.err.contains("57014"), "{ran:?}");
    wait::until("the request to be withdrawn", wait::PATIENCE, || {
        let list = bed.gateway.cli(&["approvals", "list", "--state", "withdrawn", "-o", "id"]);
        list.out.contains("apr_").then_some(())
    });
    assert_eq!(times_executed(&bed, INDEX), 0);
}

/// In a transaction a refused hold aborts it, as an error of PostgreSQL would.
#[test]
fn in_a_transaction() {
    let Some(bed) = Bed::start_with("holds-transaction", |setup| setup.hold("1s")) else { return };
    let mut raw = bed.raw("deploy");
    assert_eq!(raw::status(&raw.query("begin")), 'T');
    assert_eq!(raw::status(&raw.query("insert into notes values (1, 'a')")), 'T');
    let replies = raw.query(INDEX);
    assert_eq!(raw::errors(&replies), ["PP001"]);
    assert_eq!(raw::status(&replies), 'E');
    assert_eq!(raw::status(&raw.query("commit")), 'I');
    assert_eq!(bed.postgres.sql("select count(*) from notes"), "0");
}

/// A client that went away does not get its statement run behind its back; the grant waits for the next try.
#[test]
fn a_lost_client_runs_nothing() {
    let Some(bed) = Bed::start("holds-lost") else { return };
    let (_, ()) = held(&bed, INDEX, |psql| {
        bed.waiting_approval();
        kill_process(Pid::from_raw(i32::try_from(psql).unwrap()).unwrap(), Signal::KILL).unwrap();
    });
    // An approval that comes before the gateway can know finds a client that waits.
    wait::until("the gateway to notice", wait::PATIENCE, || {
        bed.gateway.cli(&["sessions", "list", "-o", "id"]).out.trim().is_empty().then_some(())
    });
    bed.answer("dana@example.com", &["approve"]);
    assert_eq!(times_executed(&bed, INDEX), 0);
    let ran = psql(&bed, "deploy", &["-c", INDEX]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(times_executed(&bed, INDEX), 1);
}
