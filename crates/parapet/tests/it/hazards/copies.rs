//! Labels follow values that are copied by a workload that may see them (MK08): into tables that are there, into new ones, through
//! temporary tables, under other names; for everybody else from the next statement on, and when the gateway starts anew.

use crate::bed::postgres::Server;
use crate::bed::raw;

use super::corpus::Form;
use super::exchange::{Came, send_sql};
use super::world::World;

const SETUP: &str = "drop table orders, customers, products, notes cascade;
    set role parapet;
    create table people (id int primary key, name text, email text, ssn text, city text);
    insert into people values (1, 'Marie', 'marie@example.test', 'S-1', 'Bern'), (2, 'Pierre', 'pierre@example.test', 'S-2', 'Basel');
    create table inserted (id int, mail text); create table updated (id int, note text); create table merged (id int, note text);
    create table through (id int, mail text); create table clear (id int, city text); create view window_on as select id, mail from inserted;
    create table viewed (id int, mail text); create view door as select id, mail from viewed;
    insert into updated values (1, ''), (2, ''); insert into merged values (1, ''), (2, '')";
const CLASSES: &str = "pii = [\"public.people.name\", \"public.people.email\"]\nsecret = [\"public.people.ssn\"]";

fn ask(world: &World, workload: &str, statements: &[&str]) -> Came {
    let mut raw = world.bed.raw(workload);
    let mut came = Came::default();
    for sql in statements {
        came.rows.clear();
        send_sql(&mut raw, Form::Simple, sql, &mut came);
    }
    came
}

fn column(world: &World, workload: &str, sql: &str) -> Vec<String> {
    let came = ask(world, workload, &[sql]);
    assert!(came.errors().is_empty(), "{sql}: {:?}", came.errors());
    came.rows.iter().map(|row| row[0].clone()).collect()
}

/// What the auditor, who may see people's names, does; then what a workload that may not reads of it.
const COPIES: [(&[&str], &str); 8] = [
    (&["insert into inserted select id, email from people"], "select mail from inserted order by id"),
    (&["select 1"], "select mail from window_on order by id"),
    (
        &["update updated set note = p.email from people p where p.id = updated.id"],
        "select note from updated order by id",
    ),
    (
        &["merge into merged m using people p on p.id = m.id when matched then update set note = p.email"],
        "select note from merged order by id",
    ),
    (
        &[
            "create temp table mine as select id, email from people",
            "insert into through select id, email from mine where id > 0",
        ],
        "select mail from through order by id",
    ),
    (&["insert into door select id, email from people"], "select mail from viewed order by id"),
    (&["create table made as select id, email as m from people"], "select m from made order by id"),
    (&["alter table people rename column email to harmless"], "select harmless from people order by id"),
];

fn follow(server: Server) {
    let Some(mut world) = World::with("hazards-copies", server, CLASSES, &[], |_major| vec![SETUP.to_owned()]) else {
        return;
    };
    let masked = ["m***@e***.test", "p***@e***.test"];
    let clear = ["marie@example.test", "pierre@example.test"];
    for (copies, read) in COPIES {
        let came = ask(&world, "auditor", copies);
        assert!(came.errors().is_empty(), "{copies:?}: {:?}", came.errors());
        assert_eq!(column(&world, "reporting", read), masked, "{copies:?}");
        assert_eq!(column(&world, "auditor", read), clear, "{copies:?}");
    }
    // What carries no label gets none.
    let copied = ask(
        &world,
        "reporting",
        &["insert into clear select id, city from people", "select city from clear order by id"],
    );
    assert_eq!(copied.rows, [["Bern"], ["Basel"]]);
    // Who sees it masked cannot copy it, in one step or in two.
    for refused in ["insert into clear select id, name from people", "insert into clear select id, note from updated"] {
        assert!(ask(&world, "reporting", &[refused]).is_refused(), "{refused}");
    }
    assert!(world.bed.gateway.stop().success());
    world.bed.gateway.restart();
    for (_, read) in COPIES {
        assert_eq!(column(&world, "reporting", read), masked, "{read} after a new start");
    }
}

#[test]
fn labels_follow_copies_on_the_systems_postgres() {
    follow(Server::System);
}

#[test]
fn labels_follow_copies_on_the_second_major() {
    follow(Server::Second);
}

/// Once a definition is answered it counts in every session, for what is asked at once.
#[test]
fn definitions_count_in_other_sessions_once_they_are_answered() {
    let Some(world) = World::with("hazards-definitions", Server::System, CLASSES, &[], |_major| vec![SETUP.to_owned()])
    else {
        return;
    };
    let (mut defines, mut reads) = (world.bed.raw("auditor"), world.bed.raw("reporting"));
    for (before, after) in [("city", "town"), ("town", "city")].repeat(5) {
        let renamed = defines.query(&format!("alter table clear rename column {before} to {after}"));
        let read = reads.query(&format!("select {after} from clear"));
        assert_eq!(
            (raw::tags(&renamed), raw::tags(&read)),
            ("CZ".to_owned(), "TCZ".to_owned()),
            "{renamed:?} {read:?}"
        );
    }
}

/// A session's temporary tables: what it puts there it reads as masked as before, whoever else has one of that name.
#[test]
fn temporary_tables_are_the_sessions_own() {
    let Some(world) = World::with("hazards-temporary", Server::System, CLASSES, &[], |_major| vec![SETUP.to_owned()])
    else {
        return;
    };
    let mut raw = world.bed.raw("auditor");
    let mut say = |sql: &str| {
        let mut came = Came::default();
        send_sql(&mut raw, Form::Simple, sql, &mut came);
        came
    };
    for sql in [
        "create temporary table t (id int, mail text)",
        "insert into t values (1, 'x')",
        "update t set mail = 'y' where id = 1",
        "create index on t (id)",
        "analyze t",
        "begin",
        "insert into t select id, email from people",
        "rollback",
        "truncate t",
        "copy (select * from t) to stdout",
        "drop table t",
        "create temporary table t (mail text)",
        "select mail from pg_temp.t",
        "prepare p as select mail from t",
        "execute p",
        "discard temp",
    ] {
        let came = say(sql);
        assert!(came.errors().is_empty(), "{sql}: {:?}", came.errors());
    }
    for sql in ["select mail from t", "create temp table people (id int)", "create temp view v as select 1"] {
        assert!(say(sql).is_refused(), "{sql}");
    }
    // In one write, before any answer is read.
    let mut other = world.bed.raw("auditor");
    let pipeline = ["create temp table u as select id, ssn, city from people", "select city from u order by id"];
    let mut bytes: Vec<u8> = pipeline.iter().flat_map(|sql| raw::extended(sql)).collect();
    bytes.extend(raw::sync());
    other.send(&bytes);
    // The auditor sees no `ssn`.
    let errors = raw::errors(&other.until_ready());
    assert!(!errors.is_empty(), "{errors:?}");
}
