//! Limits: `@limit` leaves rows out and says so, whatever way the rows are asked for; `max_sessions` turns a login away with
//! words.

use std::fs;
use std::time::Duration;

use crate::bed::raw::{self, Message, Raw};
use crate::bed::{Bed, wait};

const RULE: &str = r#"@id("few-products") @limit("rows=10")
forbid (principal, action in Action::"read", resource in Table::"shop-db/shop.public.products");
"#;

fn limited(name: &str) -> Option<Bed> {
    Bed::start_with(name, |setup| {
        let folder = setup.own_policies();
        fs::write(folder.join("limits.cedar"), RULE).unwrap();
        setup.policies(&folder)
    })
}

/// How many rows came, the tag of the command, and the SQLSTATE of the notice.
fn came(replies: &[Message]) -> (usize, String, String) {
    let rows = replies.iter().filter(|reply| matches!(reply.tag, b'D' | b'd')).count();
    let last = |tag: u8| replies.iter().rev().find(|reply| reply.tag == tag);
    let tag = last(b'C').map(|reply| String::from_utf8_lossy(&reply.body).trim_end_matches('\0').to_owned());
    (rows, tag.unwrap_or_default(), last(b'N').map(|notice| notice.field(b'C')).unwrap_or_default())
}

#[test]
fn a_limit_leaves_rows_out_and_says_so() {
    let Some(bed) = limited("limits-rows") else { return };
    let mut session = bed.raw("reporting");
    // What is asked, how many rows come, and whether the client is told that there were more.
    let cases = [
        ("select id from products", "SELECT 10", 10, "PP003"),
        ("select id from products where id <= 10", "SELECT 10", 10, ""),
        ("select id from products where id <= 3", "SELECT 3", 3, ""),
        ("select p.id from products p join orders o on o.id = p.id", "SELECT 10", 10, "PP003"),
        ("select id from orders where id <= 50", "SELECT 50", 50, ""),
    ];
    for (sql, tag, rows, notice) in cases {
        let expected = (rows, tag.to_owned(), notice.to_owned());
        let simple = session.query(sql);
        assert_eq!(came(&simple), expected, "simple: {sql}: {}", raw::tags(&simple));
        session.send(&[raw::extended(sql), raw::sync()].concat());
        let extended = session.until_ready();
        assert_eq!(came(&extended), expected, "extended: {sql}: {}", raw::tags(&extended));
    }
    // The session goes on, outside of a transaction.
    assert_eq!(raw::status(&session.query("select 1")), 'I');
}

#[test]
fn a_session_too_many_is_turned_away_with_words() {
    let Some(bed) = Bed::start_with("limits-sessions", |setup| setup.max_sessions(2)) else { return };
    let log_in = || Raw::try_log_in(bed.gateway.postgres(), "reporting", &bed.token("reporting"));
    let (first, mut second) = (log_in().unwrap(), log_in().unwrap());
    let error = log_in().unwrap_err();
    assert_eq!((error.field(b'S').as_str(), error.field(b'C').as_str()), ("FATAL", "53300"));
    assert!(error.field(b'M').contains("as many sessions as it may [ses_"), "{}", error.field(b'M'));
    assert!(error.field(b'H').contains("max_sessions"), "{}", error.field(b'H'));
    // The others are not disturbed, and a place that becomes free can be taken.
    assert_eq!(raw::tags(&second.query("select 1")), "TDCZ");
    drop(first);
    wait::until("the place to become free", Duration::from_secs(10), || log_in().ok());
}
