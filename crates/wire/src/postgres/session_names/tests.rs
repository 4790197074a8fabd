//! Tests of the statement and portal tables (PW12).

use super::*;

type Names = SessionNames<&'static str, &'static str>;

fn names() -> Names {
    Names::new(4)
}

#[test]
fn protocol_and_sql_share_one_table() {
    let mut names = names();
    let prepared = names.insert_statement("z", "PREPARE z").unwrap();
    let declared = names.insert_portal("k", "DECLARE k", Life::Transaction).unwrap();
    names.confirm(prepared);
    names.confirm(declared);
    names.end_unit();
    assert_eq!(names.statement("z"), Lookup::Found(&"PREPARE z"));
    assert_eq!(names.portal("k"), Lookup::Found(&"DECLARE k"));
    assert_eq!(names.statement("k"), Lookup::Missing);
    assert_eq!(names.portal("z"), Lookup::Missing);
}

#[test]
fn a_unit_sees_its_own_changes_and_a_later_one_waits() {
    let mut names = names();
    let parse = names.insert_statement("", "first").unwrap();
    assert_eq!(names.statement(""), Lookup::Found(&"first"));
    names.end_unit();
    assert_eq!(names.statement(""), Lookup::Pending);
    // Its own Parse makes the name certain again: Bind runs only if that Parse succeeded.
    let again = names.insert_statement("", "second").unwrap();
    assert_eq!(names.statement(""), Lookup::Found(&"second"));
    names.confirm(parse);
    names.end_unit();
    assert_eq!(names.statement(""), Lookup::Pending);
    names.confirm(again);
    assert_eq!(names.statement(""), Lookup::Found(&"second"));
}

#[test]
fn a_close_that_was_skipped_does_not_hide_the_old_statement() {
    let mut names = names();
    let old = names.insert_statement("s", "old").unwrap();
    names.confirm(old);
    // One unit: [something fails], Close s, Parse s. All of it is skipped upstream, where `s` is still the old statement.
    let close = names.remove_statement("s").unwrap();
    assert_eq!(names.statement("s"), Lookup::Missing);
    let parse = names.insert_statement("s", "new").unwrap();
    names.end_unit();
    assert_eq!(names.statement("s"), Lookup::Pending);
    names.cancel(close);
    names.cancel(parse);
    assert_eq!(names.statement("s"), Lookup::Found(&"old"));
}

#[test]
fn a_failed_unnamed_parse_leaves_nothing() {
    let mut names = names();
    let old = names.insert_statement("", "old").unwrap();
    names.confirm(old);
    names.end_unit();
    let bad = names.insert_statement("", "bad").unwrap();
    names.cancel(bad);
    names.end_unit();
    assert_eq!(names.statement(""), Lookup::Missing);
}

#[test]
fn a_simple_query_drops_the_unnamed_ones() {
    let mut names = names();
    let parse = names.insert_statement("", "unnamed").unwrap();
    let bind = names.insert_portal("", "unnamed", Life::Transaction).unwrap();
    let kept = names.insert_statement("s", "named").unwrap();
    names.simple_query();
    // Late answers do not bring them back.
    names.confirm(parse);
    names.confirm(bind);
    names.confirm(kept);
    assert_eq!((names.statement(""), names.portal("")), (Lookup::Missing, Lookup::Missing));
    assert_eq!(names.statement("s"), Lookup::Found(&"named"));
}

#[test]
fn portals_end_with_the_transaction_and_outlive_their_statement() {
    let mut names = names();
    let parse = names.insert_statement("s", "text").unwrap();
    let bind = names.insert_portal("p", "text with values", Life::Transaction).unwrap();
    let hold = names.insert_portal("h", "held", Life::Session).unwrap();
    let close = names.remove_statement("s").unwrap();
    for change in [parse, bind, hold, close] {
        names.confirm(change);
    }
    assert_eq!(names.statement("s"), Lookup::Missing);
    assert_eq!(names.portal("p"), Lookup::Found(&"text with values"));
    names.transaction_ended();
    assert_eq!(names.portal("p"), Lookup::Missing);
    assert_eq!(names.portal("h"), Lookup::Found(&"held"));
    assert_eq!(names.len(), 1);
}

#[test]
fn clearing_waits_for_its_answer_too() {
    let mut names = names();
    let parse = names.insert_statement("s", "text").unwrap();
    names.confirm(parse);
    let discard = names.clear().unwrap();
    assert_eq!(names.statement("s"), Lookup::Missing);
    names.end_unit();
    assert_eq!(names.statement("s"), Lookup::Pending);
    names.cancel(discard);
    assert_eq!(names.statement("s"), Lookup::Found(&"text"));
    let discard = names.clear_statements().unwrap();
    let portals = names.clear_portals().unwrap();
    names.confirm(discard);
    names.confirm(portals);
    assert!(names.is_empty());
}

#[test]
fn both_tables_and_the_pipeline_are_bounded() {
    let mut names = names();
    for name in ["a", "b", "c", "d"] {
        names.insert_statement(name, "x").unwrap();
        names.insert_portal(name, "x", Life::Transaction).unwrap();
    }
    assert_eq!(names.insert_statement("e", "x"), Err(TooMany));
    assert_eq!(names.insert_portal("e", "x", Life::Transaction), Err(TooMany));
    assert!(names.remove_statement("unknown").is_ok());
    let replaced = (0..=MAX_WAITING).map(|_| names.insert_statement("a", "x")).find(Result::is_err);
    assert_eq!(replaced, Some(Err(TooMany)));
}
