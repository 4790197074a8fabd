//! Searches show short entries in full, wherever the entry stands that they refer to.

use std::path::Path;

use kernel::audit::{ChainHash, LeafIndex, leaf_hash, next_chain_hash, write_record};
use kernel::id::SessionId;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::log::head::Head;
use crate::log::segment;
use crate::log::{Filter, Order, find_decision, search, verify};
use crate::scratch::Scratch;

const START: i64 = 1_795_233_600_000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(START + millis)
}

/// One permit of a session: in full, or in short if `like` says what it repeats.
#[derive(Clone, Copy, Debug)]
struct Permitted {
    decision: DecisionId,
    session: u64,
    at: Timestamp,
    shape: u64,
    like: Option<DecisionId>,
}

impl Permitted {
    fn new(number: u64, session: u64, millis: i64, shape: u64) -> Self {
        Self { decision: DecisionId::new(at(millis), number), session, at: at(millis), shape, like: None }
    }

    fn like(self, first: &Self) -> Self {
        Self { like: Some(first.decision), ..self }
    }

    fn begin(&self) -> String {
        let (at, decision, session) = (self.at, self.decision, SessionId::new(at(0), self.session));
        format!(
            "{{\"v\":1,\"at\":\"{at}\",\"kind\":\"decision\",\"decision\":\"{decision}\",\"session\":\"{session}\",\
             \"workload\":\"bot\",\"upstream\":\"shop-db\",\"verdict\":\"permit\""
        )
    }

    fn body(&self) -> String {
        let shape = self.shape;
        format!(
            ",\"bundle\":\"b\",\"terms\":{{\"permits\":[\"p{shape}\"]}},\"operations\":[],\"statement\":\"select s{shape}\""
        )
    }

    fn written(&self) -> String {
        match self.like {
            Some(like) => format!("{},\"like\":\"{like}\"}}", self.begin()),
            None => format!("{}{}}}", self.begin(), self.body()),
        }
    }

    /// What a search shows of it.
    fn shown(&self) -> Value {
        let mut whole: Value = serde_json::from_str(&format!("{}{}}}", self.begin(), self.body())).unwrap();
        if let Some(like) = self.like {
            whole["like"] = json!(like);
        }
        whole
    }
}

/// Writes a log of several segments, each of so many entries.
fn write(dir: &Path, entries: &[String], each: usize) {
    let (mut chain, mut seq) = (ChainHash::default(), 0);
    for part in entries.chunks(each) {
        let (first, mut text) = (seq, Vec::new());
        for entry in part {
            chain = next_chain_hash(&chain, &leaf_hash(entry.as_bytes()));
            write_record(LeafIndex(seq), &chain, entry.as_bytes(), &mut text);
            seq += 1;
        }
        std::fs::write(dir.join(format!("{first:020}.log")), text).unwrap();
    }
    Head { size: seq, chain, at: at(0) }.store(dir).unwrap();
}

fn found(dir: &Path, filter: Filter, order: Order) -> Vec<Value> {
    search(dir, filter, order).unwrap().map(|found| found.unwrap().entry).collect()
}

/// Checks that a search in each direction shows exactly these.
fn shows(dir: &Path, filter: Filter, mut expected: Vec<Value>) {
    assert_eq!(found(dir, filter.clone(), Order::OldestFirst), expected, "{filter:?}");
    expected.reverse();
    assert_eq!(found(dir, filter.clone(), Order::NewestFirst), expected, "{filter:?}");
}

fn of(permits: &[Permitted]) -> Vec<String> {
    permits.iter().map(Permitted::written).collect()
}

/// Two sessions, each with two statements that it repeats.
fn sample() -> Vec<Permitted> {
    let first = [
        Permitted::new(1, 1, 0, 1),
        Permitted::new(2, 2, 10, 1),
        Permitted::new(3, 1, 20, 2),
        Permitted::new(4, 2, 30, 2),
    ];
    let again = [
        Permitted::new(5, 1, 5_000, 1).like(&first[0]),
        Permitted::new(6, 2, 5_000, 2).like(&first[3]),
        Permitted::new(7, 1, 90_000, 2).like(&first[2]),
        Permitted::new(8, 2, 900_000, 1).like(&first[1]),
    ];
    [first, again].concat()
}

#[test]
fn short_entries_are_shown_in_full_in_both_directions_and_across_segments() {
    let permits = sample();
    for each in [100, 3, 1] {
        let scratch = Scratch::new();
        write(scratch.path(), &of(&permits), each);
        assert_eq!(verify(scratch.path()).unwrap().entries, 8);
        let shown = |wanted: &[usize]| wanted.iter().map(|index| permits[*index].shown()).collect::<Vec<_>>();
        let some = |text: &str| Some(text.to_owned());
        let session = SessionId::new(at(0), 2).to_string();
        for (filter, wanted) in [
            (Filter::default(), &[0, 1, 2, 3, 4, 5, 6, 7][..]),
            (Filter { policy: some("p1"), ..Filter::default() }, &[0, 1, 4, 7]),
            (Filter { text: some("SELECT s2"), ..Filter::default() }, &[2, 3, 5, 6]),
            (Filter { session: Some(session), policy: some("p1"), ..Filter::default() }, &[1, 7]),
            (Filter { decision: Some(permits[0].decision.to_string()), ..Filter::default() }, &[0]),
            (Filter { since: Some(at(5_000)), text: some("s1"), ..Filter::default() }, &[4, 7]),
            (Filter { verdict: some("deny"), ..Filter::default() }, &[]),
        ] {
            shows(scratch.path(), filter, shown(wanted));
        }
        for permit in &permits {
            let id = permit.decision.to_string();
            assert_eq!(find_decision(scratch.path(), &id, None).unwrap().entry, permit.shown());
        }
        assert_eq!(find_decision(scratch.path(), "last", None).unwrap().entry, permits[7].shown());
        let beginning: String = permits[7].decision.to_string().chars().take(12).collect();
        assert_eq!(find_decision(scratch.path(), &beginning, None).unwrap().entry, permits[7].shown());
    }
}

#[test]
fn what_is_not_there_is_marked() {
    let scratch = Scratch::new();
    let (lost, other) = (Permitted::new(1, 1, 0, 1), Permitted::new(1, 2, 0, 1));
    let short = Permitted::new(2, 1, 10, 1).like(&lost);
    // What it refers to is missing, or of another session.
    for entries in [of(&[short]), of(&[other, short])] {
        write(scratch.path(), &entries, 100);
        let mut expected: Value = serde_json::from_str(&short.written()).unwrap();
        expected["like_missing"] = json!(true);
        for order in [Order::OldestFirst, Order::NewestFirst] {
            let filter = Filter { decision: Some(short.decision.to_string()), ..Filter::default() };
            assert_eq!(found(scratch.path(), filter, order), [expected.clone()]);
        }
        assert_eq!(find_decision(scratch.path(), "last", None).unwrap().entry, expected);
        // It says nothing of a policy, so a search for one does not find it.
        let filter = Filter {
            policy: Some("p1".to_owned()),
            session: Some(SessionId::new(at(0), 1).to_string()),
            ..Filter::default()
        };
        shows(scratch.path(), filter, Vec::new());
    }
}

#[test]
fn a_clock_that_was_set_back_hides_nothing() {
    let scratch = Scratch::new();
    let hour = 3_600_000;
    let mut permits: Vec<Permitted> =
        (0..40u32).map(|n| Permitted::new(n.into(), 9, i64::from(n) * 60_000, n.into())).collect();
    // Its id is of a time that the log has at another place.
    permits.insert(30, Permitted::new(100, 1, -5 * hour, 7));
    permits.push(Permitted::new(101, 1, 41 * 60_000, 7).like(&permits[30]));
    write(scratch.path(), &of(&permits), 7);
    shows(scratch.path(), Filter::default(), permits.iter().map(Permitted::shown).collect());
}

#[test]
fn an_entry_far_back_in_a_large_segment_is_found() {
    let scratch = Scratch::new();
    let mut permits: Vec<Permitted> =
        (0..8_000u32).map(|n| Permitted::new(n.into(), 9, i64::from(n) * 1000, n.into())).collect();
    let short: Vec<Permitted> = permits
        .iter()
        .step_by(997)
        .zip(0..)
        .map(|(first, n)| Permitted::new(90_000 + n, 9, 8_000_000, first.shape).like(first))
        .collect();
    permits.extend(&short);
    write(scratch.path(), &of(&permits), 100_000);
    let filter = Filter { since: Some(at(8_000_000)), ..Filter::default() };
    shows(scratch.path(), filter, short.iter().map(Permitted::shown).collect());
    // By halving: of two megabytes, a part is read.
    let segments: Arc<[Segment]> = segment::list(scratch.path()).unwrap().into();
    let (_, offset) = place(&segments, &at(5_000_000).text()).unwrap();
    let length = std::fs::metadata(&segments[0].path).unwrap().len();
    let expected = length * 5 / 8;
    assert!(offset < expected && offset + 2 * NEAR > expected, "{offset} of {length}");
}

#[test]
fn memory_stays_bounded() {
    let scratch = Scratch::new();
    let firsts: Vec<Permitted> = (0..500u64).map(|n| Permitted::new(n, n, 0, n)).collect();
    write(scratch.path(), &of(&firsts), 100);
    let segments: Arc<[Segment]> = segment::list(scratch.path()).unwrap().into();
    let mut referred = Referred { most: 10_000, ..Referred::new(segments) };
    for first in firsts.iter().rev().chain(&firsts) {
        let short = Permitted::new(10_000 + first.shape, first.session, 5, first.shape).like(first);
        let text = referred.expanded(short.written().as_bytes(), first.decision, None).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), short.shown());
        assert!(referred.young.bytes <= 5_000 && referred.old.bytes <= 5_000);
    }
    assert!(referred.young.entries.len() + referred.old.entries.len() < 50);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_log_is_shown_in_full(
        steps in prop::collection::vec((0..3u64, 0..3u64, 0..40_000i64), 1..60),
        each in 1..20usize,
    ) {
        let scratch = Scratch::new();
        let mut first: HashMap<(u64, u64), Permitted> = HashMap::new();
        let mut now = 0;
        let permits: Vec<Permitted> = steps
            .into_iter()
            .zip(1..)
            .map(|((session, shape, passed), number)| {
                now += passed;
                let permit = Permitted::new(number, session, now, shape);
                match first.get(&(session, shape)) {
                    Some(first) => permit.like(first),
                    None => *first.entry((session, shape)).or_insert(permit),
                }
            })
            .collect();
        write(scratch.path(), &of(&permits), each);
        shows(scratch.path(), Filter::default(), permits.iter().map(Permitted::shown).collect());
    }
}
