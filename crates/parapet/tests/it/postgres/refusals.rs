//! Denials: native, in place, with the decision's id, and nothing of what was denied at the upstream.

use crate::bed::Bed;
use crate::bed::clients::{Driver, psql, step};
use crate::bed::raw::{self, message};

#[test]
fn delete_without_where() {
    let Some(bed) = Bed::start("refusals-delete") else { return };
    for driver in Driver::ALL {
        let steps = [step("delete from products"), step("select count(*) from products")];
        let Some(came) = driver.steps(&bed, "reporting", &steps) else { continue };
        assert_eq!(came[0].sqlstate(), "42501", "{driver:?}: {:?}", came[0]);
        assert!(
            came[0].message().starts_with("blocked by policy \"writes-are-bounded\": DELETE on "),
            "{driver:?}: {:?}",
            came[0]
        );
        assert_eq!(came[1].rows(), [["100"]], "{driver:?}: the connection is not usable");
    }
    let executed = bed.postgres.executed().join("\n");
    assert!(!executed.contains("delete"), "the upstream saw it: {executed}");
}

/// Statement, SQLSTATE, and what the message begins with.
const DENIED: [(&str, &str, &str); 22] = [
    (
        "drop table orders",
        "42501",
        "blocked by policy \"agents-never-destroy\": DROP TABLE on shop-db/shop.public.orders [",
    ),
    (
        "truncate orders",
        "42501",
        "blocked by policy \"agents-never-destroy\": TRUNCATE on shop-db/shop.public.orders [",
    ),
    ("create table t (a int)", "42501", "blocked, no policy permits "),
    ("create role r", "42501", "blocked, no policy permits "),
    ("grant select on orders to public", "42501", "blocked, no policy permits "),
    ("alter system set fsync = off", "42501", "blocked, no policy permits "),
    ("do $$ begin end $$", "42501", "blocked"),
    ("select pg_read_file('/etc/passwd')", "42501", "blocked"),
    ("select query_to_xml('delete from orders', true, true, '')", "42501", "blocked"),
    ("copy orders to program 'true'", "42501", "blocked"),
    ("copy orders to '/tmp/parapet-never'", "42501", "blocked"),
    ("update orders set total = 0 where true", "42501", "blocked by policy \"writes-are-bounded\": UPDATE on "),
    ("update orders set total = 0 where 1 = 1", "42501", "blocked by policy \"writes-are-bounded\": UPDATE on "),
    ("delete from orders where id = id", "42501", "blocked by policy \"writes-are-bounded\": DELETE on "),
    (
        "with d as (delete from orders returning id) select count(*) from d",
        "42501",
        "blocked by policy \"writes-are-bounded\"",
    ),
    ("explain analyze delete from orders", "42501", "blocked by policy \"writes-are-bounded\""),
    ("select 1; drop table orders", "42501", "blocked by policy \"agents-never-destroy\""),
    ("set standard_conforming_strings = off", "PP004", "blocked, cannot decide (PAR0207): "),
    ("set client_encoding = 'SJIS'", "PP004", "blocked, cannot decide (PAR0207): "),
    ("set role postgres", "PP004", "blocked, cannot decide (PAR0207): "),
    ("selec 1", "PP004", "blocked, cannot decide (PAR0201): "),
    ("select * from no_such_table", "PP004", "blocked, cannot decide (PAR0203): "),
];

#[test]
fn what_is_denied_and_how_it_is_said() {
    let Some(bed) = Bed::start("refusals-table") else { return };
    let mut raw = bed.raw("triage-bot");
    let mut wrong = Vec::new();
    for (statement, sqlstate, begins) in DENIED {
        for extended in [false, true] {
            if extended && statement.contains(';') {
                // Several statements in one Parse are PostgreSQL's own error.
                continue;
            }
            raw.send(&if extended { [raw::extended(statement), raw::sync()].concat() } else { raw::query(statement) });
            let replies = raw.until_ready();
            let Some(error) = replies.iter().find(|reply| reply.tag == b'E') else {
                wrong.push(format!("{statement} (extended: {extended}): passed: {}", raw::tags(&replies)));
                continue;
            };
            let (code, line) = (error.field(b'C'), error.field(b'M'));
            let named = line.ends_with(']') && line.contains("[dec_") && line.is_ascii() && line.len() <= 120;
            if code != sqlstate || !line.starts_with(begins) || !named || raw::status(&replies) != 'I' {
                wrong.push(format!("{statement} (extended: {extended}): {code} {line} {}", raw::status(&replies)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let executed = bed.postgres.executed();
    assert!(
        executed.iter().all(|statement| DENIED.iter().all(|(denied, ..)| !statement.contains(denied))),
        "{executed:?}"
    );
}

#[test]
fn a_refusal_says_who_why_and_what_next_but_no_data() {
    let Some(bed) = Bed::start("refusals-fields") else { return };
    let mut raw = bed.raw("triage-bot");
    let error =
        raw.query("update orders set status = 'canary-literal'").into_iter().find(|reply| reply.tag == b'E').unwrap();
    assert_eq!(error.field(b'S'), "ERROR");
    assert_eq!(error.field(b'V'), "ERROR");
    assert!(error.field(b'D').contains("UPDATE and DELETE need a WHERE that is not constant"), "{}", error.field(b'D'));
    assert!(error.field(b'D').contains("mara@example.com"), "{}", error.field(b'D'));
    assert!(error.field(b'H').contains("parapet explain dec_"), "{}", error.field(b'H'));
    assert_eq!(error.field(b'R'), "parapet");
    assert!(!String::from_utf8_lossy(&error.body).contains("canary-literal"));
    assert!(!bed.gateway.log().contains("canary-literal"));
}

#[test]
fn a_discreet_upstream_tells_the_id_alone() {
    let Some(bed) = Bed::start_with("refusals-discreet", |setup| setup.discreet()) else { return };
    let mut raw = bed.raw("triage-bot");
    let error = raw.query("drop table orders").into_iter().find(|reply| reply.tag == b'E').unwrap();
    let text = String::from_utf8_lossy(&error.body).into_owned();
    assert!(text.contains("dec_") && !text.contains("agents-never-destroy") && !text.contains("mara"), "{text}");
}

/// Messages that are refused in place, and the session goes on.
#[test]
fn messages_that_are_not_understood() {
    let Some(bed) = Bed::start("refusals-messages") else { return };
    let function_call = message(b'F', &[&89_u32.to_be_bytes(), b"\0\0\0\0\0\0"]);
    let mut raw = bed.raw("triage-bot");
    raw.send(&function_call);
    let replies = raw.until_ready();
    assert_eq!(raw::errors(&replies).len(), 1, "{}", raw::tags(&replies));
    raw.send(&message(b'Q', &[b"select '\xff'\0"]));
    assert_eq!(raw::tags(&raw.until_ready()), "EZ");
    assert_eq!(raw::tags(&raw.query("select 1")), "TDCZ");
}

/// Broken framing ends the session, with no byte of it at the upstream.
#[test]
fn broken_framing_closes() {
    let Some(bed) = Bed::start("refusals-framing") else { return };
    let broken: [(&str, Vec<u8>); 6] = [
        ("a length below four", vec![b'Q', 0, 0, 0, 3]),
        ("a negative length", vec![b'Q', 0xff, 0xff, 0xff, 0xff]),
        ("an unknown message", message(b'!', &[])),
        ("a query without its end", message(b'Q', &[b"select 41"])),
        ("bytes behind the end of a query", message(b'Q', &[b"select 41\0drop table orders\0"])),
        ("a second startup", raw::startup(&[("user", "root")])),
    ];
    for (what, bytes) in broken {
        let mut raw = bed.raw("triage-bot");
        raw.send(&bytes);
        let replies = raw.until_closed();
        assert!(replies.iter().all(|reply| matches!(reply.tag, b'E' | b'N')), "{what}: {}", raw::tags(&replies));
    }
    assert!(bed.postgres.executed().iter().all(|statement| !statement.contains("41")));
}

/// Any split of the same bytes gives the same decisions.
#[test]
fn any_split_gives_the_same_decisions() {
    let Some(bed) = Bed::start("refusals-splits") else { return };
    let bytes =
        [raw::query("select 1"), raw::query("drop table orders"), raw::extended("select 2"), raw::sync()].concat();
    for size in [1, 2, 3, 5, 7, 64, bytes.len()] {
        let mut raw = bed.raw("triage-bot");
        for part in bytes.chunks(size) {
            raw.send(part);
        }
        let replies = [raw.until_ready(), raw.until_ready(), raw.until_ready()].concat();
        assert_eq!(raw::tags(&replies), "TDCZEZ12DCZ", "in parts of {size}");
    }
}

/// psql shows the message, the detail and the hint, and exits as it does after any error.
#[test]
fn psql_shows_it_all() {
    let Some(bed) = Bed::start("refusals-psql") else { return };
    let ran = psql(&bed, "triage-bot", &["-c", "drop table orders"]);
    assert_eq!(ran.code, 1);
    for part in ["ERROR:  42501: blocked by policy \"agents-never-destroy\"", "DETAIL:", "HINT:", "[dec_"] {
        assert!(ran.err.contains(part), "{part} is missing: {}", ran.err);
    }
}

/// The field W names the policy and which version of the policies it was, where the client may know.
#[test]
fn the_context_names_the_policy_and_its_version() {
    let Some(bed) = Bed::start("refusals-context") else { return };
    let mut writes = bed.raw("deploy");
    // In a transaction that wrote nothing is held: the refusal comes at once.
    for sql in ["begin", "update orders set status = 'paid' where id = 1"] {
        assert!(raw::errors(&writes.query(sql)).is_empty(), "{sql}");
    }
    let held = writes.query("create index orders_status on orders (status)");
    let blocked = bed.raw("triage-bot").query("drop table orders");
    let bundle = bed.gateway.entries().iter().rev().find_map(|entry| entry["bundle"].as_str().map(str::to_owned));
    for (refused, policy) in [(blocked, "agents-never-destroy"), (held, "schema-needs-dba")] {
        let context = refused.iter().find(|reply| reply.tag == b'E').unwrap().field(b'W').to_owned();
        let version = context.strip_prefix(&format!("policy \"{policy}\" at version ")).unwrap_or_default();
        assert!(version.len() == 12 && bundle.as_ref().unwrap().starts_with(version), "{context}");
    }
}
