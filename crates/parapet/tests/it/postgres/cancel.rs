//! Cancel requests with the gateway's own keys: they reach the session that they were given to, and no other.

use crate::bed::Bed;
use crate::bed::raw::{self, query};
use crate::bed::wait;

const LONG: &str = "select count(*) from generate_series(1, 100000000000)";

/// The gateway's own connection, which reads the catalogue, is not meant.
fn running(bed: &Bed) -> bool {
    let sql = format!("select count(*) from pg_stat_activity where state = 'active' and query = '{LONG}'");
    bed.postgres.sql(&sql) != "0"
}

fn until_running(bed: &Bed) {
    wait::until("the query to run", wait::PATIENCE, || running(bed).then_some(()));
}

#[test]
fn a_running_query() {
    let Some(bed) = Bed::start("cancel-running") else { return };
    let mut raw = bed.raw("reporting");
    for _time in 0..2 {
        raw.send(&query(LONG));
        until_running(&bed);
        raw.cancel(bed.gateway.postgres());
        let replies = raw.until_ready();
        assert_eq!(raw::errors(&replies), ["57014"]);
        assert_eq!(raw::tags(&raw.query("select 1")), "TDCZ");
    }
}

/// The key of one session is worth nothing for another's query; nor is a made-up one.
#[test]
fn another_session_is_not_reached() {
    let Some(bed) = Bed::start("cancel-other") else { return };
    let mut busy = bed.raw("reporting");
    let idle = bed.raw("reporting");
    busy.send(&query(LONG));
    until_running(&bed);
    idle.cancel(bed.gateway.postgres());
    let mut made_up = raw::Raw::connect(bed.gateway.postgres());
    made_up.send(&[&16_u32.to_be_bytes(), &80_877_102_u32.to_be_bytes(), &[0_u8; 8][..]].concat());
    assert_eq!(made_up.receive(), None);
    assert!(running(&bed), "a foreign cancel ended the query");
    busy.cancel(bed.gateway.postgres());
    assert_eq!(raw::errors(&busy.until_ready()), ["57014"]);
}

/// A cancel that comes late finds nothing to cancel, and must not hit the next statement.
#[test]
fn a_late_cancel_hits_nothing() {
    let Some(bed) = Bed::start("cancel-late") else { return };
    let mut raw = bed.raw("reporting");
    for _time in 0..20 {
        assert_eq!(raw::tags(&raw.query("select 1")), "TDCZ");
        raw.cancel(bed.gateway.postgres());
        assert_eq!(raw::tags(&raw.query("select status from orders where id = 3")), "TDCZ");
    }
}

/// Nor when the statement ends while its cancel request is on the way.
#[test]
fn a_cancel_that_races_the_end_hits_nothing_else() {
    let Some(bed) = Bed::start("cancel-race") else { return };
    let mut raw = bed.raw("reporting");
    let mut cancelled = 0;
    for time in 0..60 {
        raw.send(&query(&format!("select count(*) from generate_series(1, {})", time * 2_000)));
        raw.cancel(bed.gateway.postgres());
        let replies = raw.until_ready();
        cancelled += raw::errors(&replies).len();
        assert_eq!(raw::tags(&raw.query("select status from orders where id = 3")), "TDCZ", "round {time}");
    }
    println!("{cancelled} of 60 came in time");
}
