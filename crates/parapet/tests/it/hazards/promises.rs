//! What masks do not promise, measured: what each mask shows, how fast a permitted comparison gives a value of a small domain
//! away, and how long a change past the gateway goes unseen. The figures stand in docs/understand/what-masks-do-not-promise.md.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::bed::postgres::Server;
use crate::bed::raw::{self, Raw};
use crate::bed::wait;

use super::corpus::Form;
use super::exchange::{Came, send_sql};
use super::world::World;

/// A thousand people; a pin has three digits.
const SETUP: &str = "drop table orders, customers, products, notes cascade;
    set role parapet;
    create table people (id int primary key, pin text, secret text, memo text, email text, card text, code text, tok text);
    insert into people select n, lpad((n * 617 % 1000)::text, 3, '0'), md5('s' || n), md5('m' || n),
        substr(md5('e' || n), 1, 4 + n % 5) || '@' || (array['north', 'south', 'east', 'west'])[1 + n % 4] || '.example',
        lpad((n * 7919::bigint * 104729 % 10000000000000000)::text, 16, '4'), md5('c' || n % 500), md5('t' || n)
        from generate_series(1, 1000) as n;
    create view drifting as select id, 'clear' as shown from people";
const CLASSES: &str = r#"sought = ["public.people.pin"]
secret = ["public.people.secret"]
private = ["public.people.memo"]
pii = ["public.people.email"]
pci = ["public.people.card"]
joined = ["public.people.code"]
named = ["public.people.tok"]"#;
/// The column of each mask.
const MASKS: [(&str, &str); 6] = [
    ("null", "secret"),
    ("redact", "memo"),
    ("partial", "email"),
    ("last4", "card"),
    ("hash", "code"),
    ("token", "tok"),
];

fn world(name: &str) -> Option<World> {
    World::with(name, Server::System, CLASSES, &[], |_major| vec![SETUP.to_owned()])
}

fn ask(raw: &mut Raw, sql: &str) -> Came {
    let mut came = Came::default();
    send_sql(raw, Form::Simple, sql, &mut came);
    came
}

fn column(came: &Came) -> Vec<String> {
    assert!(came.errors().is_empty(), "{:?}", came.errors());
    came.rows.iter().map(|row| row[0].clone()).collect()
}

#[test]
fn what_each_mask_shows() {
    let Some(world) = world("promises-masks") else { return };
    let mut raw = world.bed.raw("reporting");
    for (mask, name) in MASKS {
        let masked = column(&ask(&mut raw, &format!("select {name} from people order by id")));
        let clear = world.bed.postgres.sql(&format!("select {name} from people order by id"));
        let clear: Vec<String> = clear.lines().map(str::to_owned).collect();
        assert_eq!((masked.len(), clear.len()), (1000, 1000));
        let groups = |values: &[String]| values.iter().collect::<BTreeSet<_>>().len();
        let pairs = || masked.iter().zip(&clear);
        let lengths = pairs().filter(|(masked, clear)| masked.chars().count() == clear.chars().count()).count();
        let shown: usize = pairs()
            .map(|(masked, clear)| masked.chars().zip(clear.chars()).filter(|(one, other)| one == other).count())
            .sum();
        let all: usize = clear.iter().map(|value| value.chars().count()).sum();
        eprintln!(
            "{mask}: {} different values show as {}; {} of 1000 keep their length; {} of 100 letters stand where they stood",
            groups(&clear),
            groups(&masked),
            lengths,
            shown * 100 / all
        );
        match mask {
            "null" | "redact" => assert_eq!(groups(&masked), 1, "{mask} shows something"),
            "hash" | "token" => assert_eq!(groups(&masked), groups(&clear), "{mask} does not join"),
            _ => assert!(pairs().all(|(masked, clear)| masked != clear), "{mask} shows all"),
        }
    }
}

#[test]
fn a_permitted_equality_finds_a_value_of_a_small_domain() {
    let Some(world) = world("promises-equality") else { return };
    let mut raw = world.bed.raw("reporting");
    for refused in ["pin like '6%'", "pin > '5'", "pin in ('616', '617')", "pin = any (array['617'])", "pin is null"] {
        assert!(ask(&mut raw, &format!("select id from people where id = 1 and {refused}")).is_refused(), "{refused}");
    }
    let started = Instant::now();
    let found = (0..1000).find(|guess| {
        !column(&ask(&mut raw, &format!("select id from people where id = 1 and pin = '{guess:03}'"))).is_empty()
    });
    let took = started.elapsed();
    eprintln!("equality: a pin of three digits is found by {} questions in {took:.1?}", found.unwrap() + 1);
    assert_eq!(found, Some(617));
    // Each question is an entry of its own in the log: who looks can see it.
    let asked = world.bed.gateway.entries().iter().filter(|entry| entry.to_string().contains("people")).count();
    eprintln!("equality: {asked} entries of the audit log tell of it");
}

#[test]
fn a_change_past_the_gateway_is_seen_within_seconds() {
    let Some(world) = world("promises-drift") else { return };
    let mut raw = world.bed.raw("reporting");
    let sql = "select shown from drifting where id = 1";
    assert_eq!(column(&ask(&mut raw, sql)), ["clear"]);
    world.bed.postgres.sql("create or replace view drifting as select id, secret as shown from people");
    let started = Instant::now();
    let mut clear = 0;
    wait::until("the change to be seen", wait::PATIENCE, || {
        let came = ask(&mut raw, sql);
        let is_seen = came.is_refused() || came.is_nulled();
        clear += usize::from(!is_seen);
        if came.closed || raw::status(&came.messages) != 'I' {
            raw = world.bed.raw("reporting");
        }
        is_seen.then_some(())
    });
    eprintln!(
        "drift: a view replaced past the gateway is seen after {:.1?}; {clear} answers before",
        started.elapsed()
    );
}
