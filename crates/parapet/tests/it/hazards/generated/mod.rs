//! Random queries over random tables, whose labelled columns hold canaries.
//!
//! Two things must hold. No byte that reaches the client holds a canary, or one in upper or lower case, backwards, in
//! hexadecimal, in base64, in part, or hashed. And where masks show nothing of a value (`null`, `redact`), the answers
//! over two sets of tables that differ in their labelled values alone are the same: so neither a length, nor a count, nor
//! an order, nor an error tells anything.
//!
//! CI tries the same few queries every time. `PARAPET_CANARY_SECONDS=1200` goes on for as long with other seeds, and
//! `PARAPET_CANARY_SEED=…` begins with that one, as a find prints it.

mod query;
mod random;
mod tables;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::bed::postgres::Server;
use crate::bed::raw::{self, Raw};

use super::corpus::Form;
use super::exchange::{Came, send_sql};
use super::world::World;
use query::Query;
use random::Random;
use tables::Tables;

/// How many queries each seed makes in CI.
const QUERIES: u64 = 300;
/// The seed of the tables in CI.
const SEED: u64 = 1;

/// What came of the queries.
#[derive(Debug, Default)]
struct Tally {
    queries: usize,
    answered: usize,
    refused: usize,
    failed: usize,
    /// How many, of those that were asked directly, the server answers with a canary.
    dangerous: usize,
    asked_directly: usize,
    forms: BTreeMap<Form, usize>,
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

#[test]
fn no_generated_query_brings_a_canary_on_the_systems_postgres() {
    try_all(Server::System);
}

#[test]
fn no_generated_query_brings_a_canary_on_the_second_major() {
    try_all(Server::Second);
}

fn try_all(server: Server) {
    let first = setting("PARAPET_CANARY_SEED").unwrap_or(SEED);
    let until = setting("PARAPET_CANARY_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut tally = Tally::default();
    let mut seed = first;
    let mut finds = Vec::new();
    loop {
        let Some(found) = try_tables(server, seed, until, &mut tally) else { return };
        finds.extend(found);
        seed += 1;
        if until.is_none_or(|until| Instant::now() >= until) {
            break;
        }
    }
    eprintln!(
        "{server:?}: {} generated queries of {} seeds: {} answered, {} refused, {} failed in the upstream; {} of {} that were asked \
         past the gateway showed a canary; {} finds; by form {:?}",
        tally.queries,
        seed - first,
        tally.answered,
        tally.refused,
        tally.failed,
        tally.dangerous,
        tally.asked_directly,
        finds.len(),
        tally.forms,
    );
    assert!(finds.is_empty(), "{}", finds.join("\n"));
    // Queries that are all refused, or that would show nothing anyway, would prove nothing.
    assert!(tally.answered * 5 > tally.queries, "too few are answered");
    assert!(tally.dangerous * 10 > tally.asked_directly, "too few would show a canary");
}

/// Tries one set of tables; none if the machine lacks the server.
fn try_tables(server: Server, seed: u64, until: Option<Instant>, tally: &mut Tally) -> Option<Vec<String>> {
    let tables = Tables::random(&mut Random::new(seed));
    let name = format!("hazards-generated-{seed}");
    let world = World::with(&name, server, &tables.classes(), &tables.canaries(), |_major| tables.setup())?;
    let mut raw = world.bed.raw("reporting");
    let mut finds = Vec::new();
    let count = if until.is_some() { QUERIES * 10 } else { QUERIES };
    for number in 0..count {
        if until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
        let mut random = Random::new(seed << 32 | number);
        let query = Query::random(&mut random, &tables);
        let form = *random.of(&Form::QUERY);
        let here = format!("seed {seed}, query {number}, {form:?} on {}", world.major);
        let one = ask(&world, &mut raw, form, &query.over("a"));
        tally.queries += 1;
        *tally.forms.entry(form).or_default() += 1;
        if one.is_refused() {
            tally.refused += 1;
        } else if one.errors().is_empty() {
            tally.answered += 1;
        } else {
            tally.failed += 1;
        }
        if let Some(found) = world.canaries.find(&bytes(&one)) {
            finds.push(format!("LEAK of {found} ({here}): {}", query.over("a")));
            eprintln!("{}", finds.last().unwrap());
        }
        if query.is_silent {
            let other = ask(&world, &mut raw, form, &query.over("b"));
            if told(&one) != told(&other) {
                finds.push(format!("DIFFERS ({here}): {}\n  {}\n  {}", query.over("a"), one.start(), other.start()));
                eprintln!("{}", finds.last().unwrap());
            }
        }
        if number < 60 {
            tally.asked_directly += 1;
            let sql = format!("set role parapet; set statement_timeout = '2s'; {}", query.over("a"));
            let answer = world.bed.postgres.try_sql(&sql).unwrap_or_default();
            tally.dangerous += usize::from(world.canaries.find(answer.as_bytes()).is_some());
        }
    }
    world.assert_logs_are_clean();
    Some(finds)
}

fn ask(world: &World, raw: &mut Raw, form: Form, sql: &str) -> Came {
    let mut came = Came::default();
    send_sql(raw, form, sql, &mut came);
    // What a failed form left behind ends with its session.
    if came.closed || raw::status(&came.messages) != 'I' {
        *raw = world.bed.raw("reporting");
    }
    came
}

fn bytes(came: &Came) -> Vec<u8> {
    came.messages.iter().flat_map(|message| message.body.clone()).collect()
}

/// What must not depend on a masked value: the rows, what is copied, how many there are, and the code of the first error.
/// What follows an error is told by the state of the session.
fn told(came: &Came) -> Vec<(u8, Vec<u8>)> {
    let mut told = Vec::new();
    for message in &came.messages {
        match message.tag {
            b'D' | b'd' | b'C' => told.push((message.tag, message.body.clone())),
            b'E' => {
                told.push((message.tag, message.field(b'C').into_bytes()));
                break;
            }
            _ => {}
        }
    }
    told
}
