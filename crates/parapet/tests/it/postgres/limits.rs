//! Limits: `@limit` leaves rows out and says so, whatever way the rows are asked for; a task's uses are what ran; `max_sessions`
//! turns a login away with words.

use std::fs;

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

/// Small Executes of one portal, and FETCHes of one cursor, share one limit (PW18).
#[test]
fn a_limit_counts_over_what_is_taken_in_parts() {
    let Some(bed) = limited("limits-parts") else { return };
    let mut session = bed.raw("reporting");
    let rows = |replies: &[Message]| came(replies).0;
    session.query("begin");
    let execute = || raw::message(b'E', &[b"p\0", &4u32.to_be_bytes()]);
    let parse = raw::message(b'P', &[b"\0select id from products\0\0\0"]);
    let bind = raw::message(b'B', &[b"p\0\0\0\0\0\0\0\0"]);
    // Some ahead of their answers, the others behind them.
    session.send(&[parse, bind, execute(), execute(), raw::sync()].concat());
    let mut taken = vec![rows(&session.until_ready())];
    for _ in 0..3 {
        session.send(&[execute(), raw::sync()].concat());
        taken.push(rows(&session.until_ready()));
    }
    assert_eq!(taken, [8, 2, 0, 0]);
    session.query("declare c cursor for select id from products");
    let taken: Vec<usize> = (0..5).map(|_| rows(&session.query("fetch 4 from c"))).collect();
    assert_eq!(taken, [4, 4, 2, 0, 0]);
    // Several at once.
    session.query("declare d cursor for select id from products");
    assert_eq!(rows(&session.query("fetch 7 from d; fetch 7 from d")), 10);
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
    wait::until("the place to become free", wait::PATIENCE, || log_in().ok());
}

/// What a mask made is not written, and uses nothing of a task.
#[test]
fn what_a_mask_made_uses_no_task() {
    let tokens = "\n[tokens]\nlisten = \"127.0.0.1:0\"\ntls = \"off\"\n";
    let Some(bed) = Bed::start_with("limits-task", |setup| setup.also(tokens.to_owned())) else { return };
    let issue = "tasks issue deploy --reason test --goal mending --upstream shop-db --resource shop.public.customers \
                 --allow read --allow write --uses 1";
    let issued = bed.gateway.cli(&issue.split_whitespace().collect::<Vec<_>>());
    let mut session = Raw::log_in(bed.gateway.postgres(), "deploy", issued.out.trim());
    for (email, states) in [
        ("c***@e***.com", &["PP004"][..]),
        ("c***@e***.com", &["PP004"]),
        ("ann@example.com", &[]),
        ("bob@example.com", &["PP003"]),
    ] {
        let replies = session.query(&format!("update customers set email = '{email}' where id = 7"));
        assert_eq!(raw::errors(&replies), states, "{email}: {replies:?}");
    }
}
