//! Transaction state after a denial is what PostgreSQL's own error would have left: in transactions, with savepoints, in
//! pipelines.

use crate::bed::Bed;
use crate::bed::clients::{Driver, environment, run, skip_without_driver, step};
use crate::bed::raw::{self, extended, query, sync};

/// A script of simple queries: for each, the SQLSTATE (empty for none) and the status afterwards.
type Script = &'static [(&'static str, &'static str, char)];

const SCRIPTS: [(&str, Script, &str); 6] = [
    (
        "out of a transaction",
        &[("delete from notes", "42501", 'I'), ("insert into notes values (1, 'a')", "", 'I')],
        "1",
    ),
    (
        "in a transaction",
        &[
            ("begin", "", 'T'),
            ("insert into notes values (1, 'a')", "", 'T'),
            ("delete from notes", "42501", 'E'),
            ("insert into notes values (2, 'b')", "25P02", 'E'),
            ("commit", "", 'I'),
        ],
        "0",
    ),
    (
        "back to a savepoint",
        &[
            ("begin", "", 'T'),
            ("insert into notes values (1, 'a')", "", 'T'),
            ("savepoint s", "", 'T'),
            ("insert into notes values (2, 'b')", "", 'T'),
            ("delete from notes", "42501", 'E'),
            ("rollback to savepoint s", "", 'T'),
            ("insert into notes values (3, 'c')", "", 'T'),
            ("commit", "", 'I'),
        ],
        "2",
    ),
    (
        "twice, and already aborted",
        &[
            ("begin", "", 'T'),
            ("delete from notes", "42501", 'E'),
            ("delete from notes", "42501", 'E'),
            ("rollback", "", 'I'),
            ("insert into notes values (1, 'a')", "", 'I'),
        ],
        "1",
    ),
    (
        "several statements in one query",
        &[("insert into notes values (1, 'a'); delete from notes", "42501", 'I'), ("select 1", "", 'I')],
        "0",
    ),
    (
        "an aborted transaction may always end",
        &[("begin", "", 'T'), ("drop table notes", "42501", 'E'), ("abort", "", 'I'), ("select 1", "", 'I')],
        "0",
    ),
];

#[test]
fn simple_queries() {
    let Some(bed) = Bed::start("transactions-simple") else { return };
    for (name, script, left) in SCRIPTS {
        bed.postgres.sql("delete from notes");
        let mut raw = bed.raw("reporting");
        for (sql, sqlstate, status) in script {
            let replies = raw.query(sql);
            let codes = raw::errors(&replies);
            assert_eq!(codes.first().map_or("", String::as_str), *sqlstate, "{name}: {sql}");
            assert_eq!(raw::status(&replies), *status, "{name}: {sql}");
        }
        assert_eq!(bed.postgres.sql("select count(*) from notes"), *left, "{name}");
    }
}

/// The same through each driver's own transactions.
#[test]
fn every_driver() {
    let Some(bed) = Bed::start("transactions-drivers") else { return };
    for driver in Driver::ALL {
        bed.postgres.sql("delete from notes");
        let steps = [
            step("begin"),
            step("insert into notes values (1, 'a')"),
            step("delete from notes"),
            step("select 1"),
            step("rollback"),
            step("select count(*) from notes"),
        ];
        let Some(came) = driver.steps(&bed, "reporting", &steps) else { continue };
        let codes: Vec<&str> = came.iter().map(|came| came.sqlstate()).collect();
        assert_eq!(codes, ["", "", "42501", "25P02", "", ""], "{driver:?}");
        assert_eq!(came[5].rows(), [["0"]], "{driver:?}");
    }
}

/// A name, what is sent, the tags of the replies, the last status, and the rows that are left.
type Pipeline = (&'static str, Vec<Vec<u8>>, &'static str, char, &'static str);

/// A pipeline is a transaction too: a denial in it rolls back what stands before it, and skips what follows.
#[test]
fn pipelines() {
    let Some(bed) = Bed::start("transactions-pipelines") else { return };
    let insert = |id: u32| extended(&format!("insert into notes values ({id}, 'a')"));
    let denied = || extended("delete from notes");
    let cases: [Pipeline; 6] = [
        ("denied last", vec![insert(1), denied(), sync()], "12CEZ", 'I', "0"),
        ("denied first", vec![denied(), insert(1), sync()], "EZ", 'I', "0"),
        ("denied between", vec![insert(1), denied(), insert(2), sync()], "12CEZ", 'I', "0"),
        ("twice", vec![insert(1), denied(), denied(), sync()], "12CEZ", 'I', "0"),
        ("in its own unit", vec![insert(1), sync(), denied(), sync(), insert(2), sync()], "12CZEZ12CZ", 'I', "2"),
        ("behind a begin", vec![extended("begin"), insert(1), denied(), sync()], "12C12CEZ", 'E', "0"),
    ];
    for (name, parts, tags, status, left) in cases {
        for at_once in [true, false] {
            bed.postgres.sql("delete from notes");
            let mut raw = bed.raw("reporting");
            if at_once {
                raw.send(&parts.concat());
            } else {
                parts.iter().for_each(|part| raw.send(part));
            }
            let units = tags.matches('Z').count();
            let replies: Vec<_> = (0..units).flat_map(|_| raw.until_ready()).collect();
            assert_eq!(raw::tags(&replies), tags, "{name}, at once: {at_once}");
            assert_eq!(raw::status(&replies), status, "{name}, at once: {at_once}");
            // The session goes on as PostgreSQL's would.
            raw.query("rollback");
            assert_eq!(raw::tags(&raw.query("select 1")), "TDCZ", "{name}");
            assert_eq!(bed.postgres.sql("select count(*) from notes"), left, "{name}, at once: {at_once}");
        }
    }
}

/// Replies keep their order when simple queries are sent ahead of their answers.
#[test]
fn queries_sent_ahead() {
    let Some(bed) = Bed::start("transactions-ahead") else { return };
    let mut raw = bed.raw("reporting");
    let batch = [
        query("select 1"),
        query("delete from notes"),
        query("select 2"),
        query("begin"),
        query("delete from notes"),
        query("rollback"),
    ];
    raw.send(&batch.concat());
    let replies: Vec<_> = batch.iter().flat_map(|_| raw.until_ready()).collect();
    assert_eq!(raw::tags(&replies), "TDCZEZTDCZCZEZCZ");
}

/// The drivers' own pipelines.
#[test]
fn psycopg_pipeline() {
    let Some(bed) = Bed::start("transactions-psycopg") else { return };
    let Some(mut command) = skip_without_driver(Driver::Psycopg, "psycopg_pipeline.py") else { return };
    let ran = run(environment(&bed, "reporting", &mut command));
    assert_eq!((ran.code, ran.out.trim()), (0, "42501 aborted=True rows=0 after=1"), "{ran:?}");
}

/// A statement name that was refused does not exist afterwards, and one that was there stays.
#[test]
fn names_after_a_refused_parse() {
    let Some(bed) = Bed::start("transactions-names") else { return };
    let mut raw = bed.raw("reporting");
    let parse = |sql: &str| raw::message(b'P', &[b"s\0", sql.as_bytes(), b"\0\0\0"]);
    let run = || [raw::message(b'B', &[b"\0s\0\0\0\0\0\0\0"]), raw::message(b'E', &[b"\0\0\0\0\0"])].concat();
    raw.send(&[parse("delete from notes"), sync()].concat());
    assert_eq!(raw::errors(&raw.until_ready()), ["42501"]);
    raw.send(&[run(), sync()].concat());
    assert_eq!(raw::errors(&raw.until_ready()), ["26000"], "a refused Parse left a statement");
    raw.send(&[parse("select 1"), run(), sync()].concat());
    assert_eq!(raw::tags(&raw.until_ready()), "12DCZ");
}
