//! What may be read, and what leaves masked: in text, in binary, by every driver, through every form of a statement.

use serde_json::json;

use crate::bed::Bed;
use crate::bed::clients::{Driver, step};
use crate::bed::raw::{self, message};

#[test]
fn allowed_reads() {
    let Some(bed) = Bed::start("reads-allowed") else { return };
    for driver in Driver::ALL {
        let steps = [
            step("select id, status from orders where id = 3"),
            step("select count(*) from orders"),
            step("select p.name from products p join orders o on o.id = p.id where o.id = 42"),
        ];
        let Some(came) = driver.steps(&bed, "reporting", &steps) else { continue };
        assert_eq!(came[0].rows(), [["3", "open"]], "{driver:?}");
        assert_eq!(came[1].rows(), [["7900"]], "{driver:?}");
        assert_eq!(came[2].rows(), [["Product 42"]], "{driver:?}");
    }
    for driver in Driver::EXTENDED {
        let steps = [step("select id, status from orders where id = $1").bind(&[json!(3)])];
        let Some(came) = driver.steps(&bed, "reporting", &steps) else { continue };
        assert_eq!(came[0].rows(), [["3", "open"]], "{driver:?}");
    }
}

#[test]
fn masked_columns_in_text_and_binary() {
    let Some(bed) = Bed::start("reads-masked") else { return };
    let statement = "select id, email, card from customers where id = 7";
    for driver in Driver::ALL {
        let mut steps = vec![step(statement)];
        if driver != Driver::Psql {
            steps.push(step(statement).binary());
        }
        let Some(came) = driver.steps(&bed, "reporting", &steps) else { continue };
        for came in &came {
            let row = &came.rows()[0];
            assert_eq!(row[0], "7", "{driver:?}");
            assert_eq!(row[2], "************0007", "{driver:?}");
            assert!(
                row[1].starts_with('c') && row[1].contains('*') && !row[1].contains("ustomer7"),
                "{driver:?}: {row:?}"
            );
            assert_eq!(came, &came.clone(), "{driver:?}");
        }
        assert!(came.iter().all(|other| other == &came[0]), "text and binary differ: {driver:?} {came:?}");
    }
}

#[test]
fn whoever_may_see_a_class_sees_it_in_clear() {
    let Some(bed) = Bed::start("reads-clear") else { return };
    let steps = [step("select email, card from customers where id = 7")];
    let came = Driver::Psql.steps(&bed, "auditor", &steps).unwrap();
    assert_eq!(came[0].rows(), [["customer7@example.com", "************0007"]]);
}

/// A masked column keeps its mask under every form that carries it unchanged.
#[test]
fn masks_follow_provenance() {
    let Some(bed) = Bed::start("reads-provenance") else { return };
    let forms = [
        "select card as innocent from customers where id = 7",
        "select c.card from customers as c where c.id = 7",
        "select x from (select card as x from customers where id = 7) as s",
        "with s as (select card from customers where id = 7) select card from s",
        "with recursive s(a) as (select card from customers where id = 7) select a from s",
        "select card from customers where id = 7 union all select card from customers where id = 7",
        "select o.id, c.card from orders o join customers c on c.id = o.customer_id where o.id = 6",
        "select * from customers where id = 7",
        "select c.* from customers c where c.id = 7",
        "table customers",
        "update customers set name = 'Renamed' where id = 7 returning card",
        "select card from customers as c(id, name, email, card, created_at) where id = 7",
        "select s.card from orders o, lateral (select card from customers where id = 7) s where o.id = 1",
    ];
    let steps: Vec<_> = forms.iter().map(|form| step(form)).collect();
    let came = Driver::Psql.steps(&bed, "reporting", &steps).unwrap();
    for (form, came) in forms.iter().zip(&came) {
        let text = format!("{:?}", came.rows());
        assert!(text.contains("************0007"), "{form}: the mask is missing: {}", &text[..text.len().min(200)]);
        assert!(!text.contains("4111"), "{form}: a card number passed");
    }
}

/// What is made from a masked column is refused or leaves as NULL: no part of the value passes, whatever is done to it.
#[test]
fn nothing_derived_from_a_masked_column_passes() {
    let Some(bed) = Bed::start("reads-derived") else { return };
    let forms = [
        "select upper(email) from customers where id = 7",
        "select email || '' from customers where id = 7",
        "select substr(card, 1, 4) from customers where id = 7",
        "select reverse(card) from customers where id = 7",
        "select (select card from customers where id = 7)",
        "select case when true then card end from customers where id = 7",
        "select coalesce(card, '') from customers where id = 7",
        "select max(card) from customers where id <= 7",
        "select array_agg(card) from customers where id = 7",
        "select row_to_json(c) from customers c where id = 7",
        "select c from customers c where id = 7",
        "select (c).card || '' from customers c where id = 7",
        "select string_agg(card, ',') over () from customers where id = 7",
        "select cast(card as bytea) from customers where id = 7",
        "select card::text::varchar || 'x' from customers where id = 7",
        "select greatest(card, email) from customers where id = 7",
        "select format('%s', card) from customers where id = 7",
        "select xmlelement(name a, card) from customers where id = 7",
        "insert into notes select id, card from customers where id = 7 returning body",
    ];
    for driver in [Driver::Psql, Driver::Psycopg] {
        let steps: Vec<_> = forms.iter().map(|form| step(form)).collect();
        let Some(came) = driver.steps(&bed, "reporting", &steps) else { continue };
        for (form, came) in forms.iter().zip(&came) {
            let text = format!("{came:?}");
            let leaks = ["41111", "0007", "7000", "customer7", "CUSTOMER7"].iter().any(|part| text.contains(part));
            assert!(!leaks, "{driver:?}: {form}: {text}");
        }
    }
}

/// Prepared statements are analysed once; each execution is masked, whatever format it asks for.
#[test]
fn prepared_statements_and_portals_are_masked() {
    let Some(bed) = Bed::start("reads-prepared") else { return };
    let mut raw = bed.raw("reporting");
    raw.send(&message(b'P', &[b"s\0", b"select card from customers where id <= $1 order by id\0", b"\0\0"]));
    for format in [0_u8, 1] {
        // One parameter in text, `2`; one result format for all columns.
        let bind = message(b'B', &[b"p\0s\0", b"\0\0", b"\0\x01", b"\0\0\0\x012", b"\0\x01", &[0, format]]);
        raw.send(&bind);
        // One row, then the rest: the portal is suspended in between.
        raw.send(&message(b'E', &[b"p\0", b"\0\0\0\x01"]));
        raw.send(&message(b'E', &[b"p\0", b"\0\0\0\0"]));
        raw.send(&message(b'C', &[b"Pp\0"]));
        raw.send(&raw::sync());
        let replies = raw.until_ready();
        let expected = if format == 0 { "12DsDC3Z" } else { "2DsDC3Z" };
        assert_eq!(raw::tags(&replies), expected, "format {format}");
        let cards: Vec<String> = replies
            .iter()
            .filter(|reply| reply.tag == b'D')
            .map(|reply| String::from_utf8(reply.body[6..].to_vec()).unwrap())
            .collect();
        assert_eq!(cards, ["************0001", "************0002"], "format {format}");
    }
}

#[test]
fn an_observing_upstream_blocks_nothing_and_still_masks() {
    let Some(bed) = Bed::start_with("reads-observe", |setup| setup.observe()) else { return };
    let steps = [step("select card from customers where id = 7"), step("delete from notes")];
    let came = Driver::Psql.steps(&bed, "reporting", &steps).unwrap();
    assert_eq!(came[0].rows(), [["************0007"]]);
    assert_eq!(came[1].sqlstate(), "");
    let observed = bed.gateway.entries().iter().any(|entry| entry.to_string().contains("writes-are-bounded"));
    assert!(observed, "the log does not say what would have been blocked");
}

#[test]
fn tls_on_both_sides() {
    let Some(bed) = Bed::start_with("reads-tls", |setup| setup.tls()) else { return };
    let mut command =
        crate::bed::clients::psql_command(&bed, "reporting", &["-c", "select status from orders where id = 3"]);
    let ran = crate::bed::clients::run(command.env("PGSSLMODE", "require"));
    assert_eq!((ran.code, ran.out.trim()), (0, "open"), "{ran:?}");
    let ssl = bed
        .postgres
        .sql("select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) where usename = 'parapet'");
    assert!(ssl != "f", "the gateway spoke to its upstream without TLS");
    // A token never travels in clear where TLS is configured.
    let plain = crate::bed::clients::psql(&bed, "reporting", &["-c", "select 1"]);
    assert!(plain.code == 2 && plain.err.contains("FATAL"), "{plain:?}");
}
