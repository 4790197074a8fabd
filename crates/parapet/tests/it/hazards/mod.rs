//! The hazards of PostgreSQL, each attacked on two majors through the real gateway, with a harmless twin beside it.
//!
//! `corpus/` holds the attacks as data, `corpus.rs` reads them, `attack.rs` judges what comes of one, `exchange.rs` sends it in
//! each form that a client has for it, `canaries.rs` looks for planted values in every byte that comes back, and `report.rs`
//! prints a line for each hazard. `generated/` puts random queries over random tables; `promises.rs` measures what masks do not
//! promise.

mod attack;
mod canaries;
mod copies;
mod corpus;
mod drift;
mod exchange;
mod functions;
mod generated;
mod promises;
mod report;
mod world;

use crate::bed::postgres::Server;

/// Hazards PL01 to PL19 and MK01 to MK19 on one server.
fn hold(server: Server) {
    let corpus = corpus::read();
    corpus::assert_complete(&corpus);
    let Some(world) = world::World::start("hazards-corpus", server, &corpus) else { return };
    let results = attack::all(&world, &corpus);
    report::print_and_assert(&world, &corpus, &results);
}

#[test]
fn every_hazard_is_held_on_the_systems_postgres() {
    hold(Server::System);
}

#[test]
fn every_hazard_is_held_on_the_second_major() {
    hold(Server::Second);
}
