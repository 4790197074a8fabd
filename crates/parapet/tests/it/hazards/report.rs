//! A line for each hazard and major, and what is not held.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::attack::Result;
use super::corpus::Corpus;
use super::world::World;

/// Prints the lines, and fails if an attack succeeds or a twin does not pass.
pub(super) fn print_and_assert(world: &World, corpus: &Corpus, results: &[Result]) {
    let major = world.major;
    let mut out = format!("\nPostgreSQL {major}\n");
    for (id, title) in &corpus.titles {
        let mine: Vec<&Result> = results.iter().filter(|result| result.id == *id).collect();
        let tries: usize = mine.iter().map(|result| result.forms).sum();
        let mut ways: BTreeMap<&str, usize> = BTreeMap::new();
        for (way, count) in mine.iter().flat_map(|result| &result.ways) {
            *ways.entry(way).or_default() += count;
        }
        let ways: Vec<String> = ways.iter().map(|(way, count)| format!("{count} {way}")).collect();
        let failed = |side: &str| {
            mine.iter().filter(|result| result.failures.iter().any(|failure| failure.side == side)).count()
        };
        let (open, refused) = (failed("attack"), failed("twin"));
        writeln!(
            out,
            "{} {id} on {major}  {title:<34} {:>3} attacks in {tries:>3} forms: {} held ({}); {} of {} twins passed",
            if open + refused == 0 { "ok  " } else { "OPEN" },
            mine.len(),
            mine.len() - open,
            ways.join(", "),
            mine.len() - refused,
            mine.len(),
        )
        .unwrap();
    }
    let found: BTreeSet<(String, &str)> = results
        .iter()
        .flat_map(|result| result.failures.iter().map(|failure| (result.key.clone(), failure.side)))
        .collect();
    for result in results.iter().filter(|result| !result.failures.is_empty()) {
        for failure in &result.failures {
            writeln!(out, "  {} on {major}, {}: {}", result.key, failure.side, failure.why).unwrap();
        }
    }
    let mut slowest: Vec<&Result> = results.iter().collect();
    slowest.sort_by_key(|result| std::cmp::Reverse(result.took));
    for result in slowest.iter().take(5) {
        writeln!(out, "slowest: {} in {:.1} s", result.key, result.took.as_secs_f32()).unwrap();
    }
    eprint!("{out}");
    world.assert_logs_are_clean();
    assert!(found.is_empty(), "on {major}, not held: {found:?}");
}
