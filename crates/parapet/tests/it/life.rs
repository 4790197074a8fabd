//! What life does to a gateway: upstreams that are down, slow or gone, clients that do not read, sizes, many sessions,
//! bad policies, stopping.

mod cuts;
mod idle;
mod mock;
mod people;
mod rotation;
mod weir;

use std::fs;
use std::time::{Duration, Instant};

use crate::bed::Bed;
use crate::bed::clients::psql;
use crate::bed::folder::replace;
use crate::bed::raw::{self, Raw, message, query};
use crate::bed::wait::{self, PATIENCE};

#[test]
fn an_upstream_that_is_down() {
    let Some(mut bed) = Bed::start("life-down") else { return };
    let mut live = bed.raw("reporting");
    bed.postgres.crash();
    live.try_send(&query("select 1"));
    let last = live.until_closed();
    assert!(raw::errors(&last).len() == 1 && !raw::tags(&last).contains('C'), "{}", raw::tags(&last));
    let ran = psql(&bed, "reporting", &["-c", "select 1"]);
    assert!(ran.code == 2 && ran.err.contains("FATAL") && ran.err.contains("upstream"), "{ran:?}");
    bed.postgres.restart();
    wait::until("service to come back", PATIENCE, || {
        (psql(&bed, "reporting", &["-c", "select 1"]).code == 0).then_some(())
    });
}

/// An upstream that ends in the middle of an answer never yields success.
#[test]
fn an_upstream_that_drops_mid_query() {
    let Some(bed) = Bed::start("life-drop") else { return };
    let mut raw = bed.raw("reporting");
    raw.send(&query("select n, repeat('x', 1000) from generate_series(1, 10000000) as n"));
    // The server computes all of them before it sends the first.
    wait::until("rows to arrive", Duration::from_secs(120), || (raw.receive()?.tag == b'D').then_some(()));
    bed.postgres.drop_sessions();
    let last = raw.until_closed();
    assert!(!raw::tags(&last).contains('C'), "it ended as if complete");
    // In the middle of a row no error can be told apart from data: then the end of the connection is the answer.
    assert!(raw::errors(&last).len() <= 1, "{:?}", raw::errors(&last));
    // The gateway itself goes on.
    assert_eq!(raw::tags(&bed.raw("reporting").query("select 1")), "TDCZ");
}

/// A result of a gibibyte passes through bounded memory, and a client that does not read stops its own session alone.
#[test]
fn large_results_and_clients_that_do_not_read() {
    let Some(bed) = Bed::start("life-large") else { return };
    let before = bed.gateway.memory();
    let mut stuck = bed.raw("reporting");
    stuck.send(&query("select repeat('x', 1048576) from generate_series(1, 1024)"));
    let mut reader = bed.raw("reporting");
    reader.send(&query("select repeat('x', 1048576) from generate_series(1, 1024)"));
    let mut most = 0;
    let mut bytes = 0;
    while let Some(reply) = reader.receive() {
        bytes += reply.body.len();
        if bytes % (64 << 20) < reply.body.len() {
            most = most.max(bed.gateway.memory());
        }
        if reply.tag == b'Z' {
            break;
        }
    }
    assert!(bytes > 1 << 30, "only {bytes} bytes arrived");
    assert!(most < before + (64 << 10), "the gateway grew from {before} to {most} KiB");
    assert_eq!(raw::tags(&bed.raw("auditor").query("select 1")), "TDCZ");
    drop(stuck);
}

/// Lengths are checked before anything is allocated.
#[test]
fn a_message_of_two_gibibytes() {
    let Some(bed) = Bed::start("life-length") else { return };
    let before = bed.gateway.memory();
    let mut raw = bed.raw("reporting");
    raw.send(&[b'Q', 0x7f, 0xff, 0xff, 0xff]);
    let last = raw.until_closed();
    assert!(raw::tags(&last).chars().all(|tag| tag == 'E'), "{}", raw::tags(&last));
    let mut stranger = Raw::connect(bed.gateway.postgres());
    stranger.send(&[0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0]);
    assert!(stranger.until_closed().len() <= 1);
    assert!(bed.gateway.memory() < before + (16 << 10));
}

/// A message above the limit, but not absurd, is refused in its place, and the session goes on.
#[test]
fn a_message_above_the_limit() {
    let Some(bed) = Bed::start("life-limit") else { return };
    let mut raw = bed.raw("reporting");
    let long = format!("select 1 /*{}*/", "x".repeat(17 << 20));
    assert!(raw.try_send(&query(&long)), "the session was cut before the message was read");
    let replies = raw.until_ready();
    assert_eq!((raw::errors(&replies).len(), raw::status(&replies)), (1, 'I'), "{}", raw::tags(&replies));
    assert_eq!(raw::tags(&raw.query("select 1")), "TDCZ");
}

/// A policy that changes bites in the middle of a connection; one that does not validate replaces nothing.
#[test]
fn policies_change_under_a_session() {
    let Some(bed) = Bed::start_with("life-reload", |setup| {
        let folder = setup.own_policies();
        setup.policies(&folder)
    }) else {
        return;
    };
    let folder = bed.folder.join("policies");
    let mut raw = bed.raw("reporting");
    assert_eq!(raw::tags(&raw.query("select id from products where id = 1")), "TDCZ");
    let rule = "\n@id(\"no-products\") forbid (principal, action in Action::\"read\", resource in Table::\"shop-db/shop.public.products\");\n";
    replace(&folder.join("more.cedar"), rule);
    wait::until("the new policy to bite", PATIENCE, || {
        (raw::errors(&raw.query("select id from products where id = 1")) == ["42501"]).then_some(())
    });
    // Not Cedar: what stood stays.
    replace(&folder.join("more.cedar"), "forbid (");
    wait::until("the bad file to be noticed", PATIENCE, || {
        let refused = bed.gateway.entries().iter().any(|entry| entry["result"] == "refused");
        refused.then_some(())
    });
    assert_eq!(raw::errors(&raw.query("select id from products where id = 1")), ["42501"]);
    fs::remove_file(folder.join("more.cedar")).unwrap();
    wait::until("the old policies to be back", PATIENCE, || {
        raw::errors(&raw.query("select id from products where id = 1")).is_empty().then_some(())
    });
}

/// A configuration with a mistake does not replace the running one.
#[test]
fn a_bad_configuration_replaces_nothing() {
    let Some(bed) = Bed::start("life-config") else { return };
    let file = bed.folder.join("parapet.toml");
    let good = fs::read_to_string(&file).unwrap();
    replace(&file, &format!("{good}\n[nonsense]\nkey = 1\n"));
    wait::until("the bad file to be noticed", PATIENCE, || {
        bed.gateway.entries().iter().any(|entry| entry["result"] == "refused").then_some(())
    });
    assert_eq!(raw::tags(&bed.raw("reporting").query("select 1")), "TDCZ");
    let check = bed.gateway.cli(&["config", "check"]);
    assert!(check.code == 3 && check.err.contains("nonsense"), "{check:?}");
}

/// Stopping ends idle sessions, gives running ones their time, and leaves a log that verifies.
#[test]
fn stopping() {
    let Some(mut bed) = Bed::start("life-stop") else { return };
    let mut idle = bed.raw("reporting");
    let mut busy = bed.raw("reporting");
    busy.send(&query("select count(*) from generate_series(1, 100000000000)"));
    let asked = Instant::now();
    let status = bed.gateway.stop();
    assert!(status.success(), "{status}");
    assert!(asked.elapsed() < Duration::from_secs(10), "it took {:?}", asked.elapsed());
    assert_eq!(raw::errors(&idle.until_closed()), ["57P01"]);
    assert!(!raw::tags(&busy.until_closed()).contains('C'));
    bed.gateway.cli(&["audit", "verify"]).assert_done();
}

/// Strangers that connect and say nothing, or half of something, hold nothing for long and hinder nobody.
#[test]
fn strangers_that_say_nothing() {
    let Some(bed) = Bed::start("life-strangers") else { return };
    let mut silent: Vec<Raw> = (0..200).map(|_| Raw::connect(bed.gateway.postgres())).collect();
    for (number, raw) in silent.iter_mut().enumerate() {
        raw.send(&message(b'Q', &[])[..number % 5]);
    }
    assert_eq!(raw::tags(&bed.raw("reporting").query("select 1")), "TDCZ");
}
