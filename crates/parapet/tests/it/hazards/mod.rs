//! The hazards of PostgreSQL, each attacked on two majors through the real gateway, with a harmless twin beside it.
//!
//! `corpus/` holds the attacks as data, `corpus.rs` reads them, `attack.rs` carries one out in each form that a client has
//! for it, `canaries.rs` looks for planted values in every byte that comes back, and `report.rs` prints a line for each
//! hazard. What no table can say has a test of its own in `scripted.rs`; `inference.rs` measures what masks do not promise;
//! `generated/` puts random queries over random schemas.

mod attack;
mod canaries;
mod corpus;
mod report;
mod world;

use crate::bed::postgres::Server;

/// Hazards PL01 to PL19 and MK01 to MK19, each on both majors.
#[test]
fn every_hazard_of_the_corpus_is_held() {
    let corpus = corpus::read();
    corpus::assert_complete(&corpus);
    for server in Server::ALL {
        let Some(world) = world::World::start("hazards-corpus", server, &corpus) else { continue };
        let results = attack::all(&world, &corpus);
        report::print_and_assert(&world, &corpus, &results);
    }
}
