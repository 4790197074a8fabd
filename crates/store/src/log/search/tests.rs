//! Searches find what they are asked for, in the order asked for.

use std::sync::Arc;

use kernel::audit::{Batch, Entry, Event};
use kernel::time::Timestamp;

use super::*;
use crate::log::{DiskLog, LogOptions, parse_time};
use crate::memory::StoppedClock;
use crate::scratch::Scratch;

const START: i64 = 1_795_233_600_000;

/// Entries in the form of decisions, written as records: the kernel makes real ones only from verdicts.
fn write(dir: &Path, entries: &[String]) {
    use kernel::audit::{ChainHash, LeafIndex, leaf_hash, next_chain_hash, write_record};
    let (mut chain, mut text) = (ChainHash::default(), Vec::new());
    for (entry, seq) in entries.iter().zip(0..) {
        chain = next_chain_hash(&chain, &leaf_hash(entry.as_bytes()));
        write_record(LeafIndex(seq), &chain, entry.as_bytes(), &mut text);
    }
    std::fs::write(dir.join("00000000000000000000.log"), text).unwrap();
}

fn decision(n: i64, id: &str, workload: &str, rest: &str) -> String {
    let at = Timestamp::from_millis(START + n * 1000);
    format!(
        "{{\"v\":1,\"at\":\"{at}\",\"kind\":\"decision\",\"decision\":\"{id}\",\"session\":\"ses_1\",\
         \"workload\":\"{workload}\",\"upstream\":\"shop-db\",{rest}}}"
    )
}

const IDS: [&str; 3] = ["dec_01JX8ZQ301JX8ZQ3", "dec_01JX8ZQ302JX8ZQ3", "dec_01JX9ZQ303JX8ZQ3"];

fn sample() -> Scratch {
    let scratch = Scratch::new();
    let permit = "\"verdict\":\"permit\",\"terms\":{\"masks\":[[0,\"null\",\"pii-is-masked\"]],\"limits\":{},\
                  \"observed\":[{\"policy\":\"new-rule\"}],\"permits\":[\"reads\"]},\"statement\":\"select Email from t\"";
    let deny =
        "\"verdict\":\"deny\",\"reason\":{\"why\":\"policy\",\"policy\":\"no-drop\"},\"statement\":\"drop table t\"";
    let ask = "\"verdict\":\"ask\",\"by\":{\"policy\":\"needs-dba\"},\"statement\":\"alter table t\"";
    write(
        scratch.path(),
        &[
            decision(0, IDS[0], "triage", permit),
            decision(1, IDS[1], "deploy", deny),
            decision(2, IDS[2], "deploy", ask),
            decision(3, IDS[2], "deploy", permit),
            format!(
                "{{\"v\":1,\"at\":\"{}\",\"kind\":\"outcome\",\"decision\":\"{}\"}}",
                Timestamp::from_millis(START + 4000),
                IDS[2]
            ),
        ],
    );
    scratch
}

fn seqs(scratch: &Scratch, filter: Filter, order: Order) -> Vec<u64> {
    search(scratch.path(), filter, order).unwrap().map(|found| found.unwrap().seq).collect()
}

#[test]
fn filters() {
    let scratch = sample();
    let text = |text: &str| Some(text.to_owned());
    for (filter, expected) in [
        (Filter::default(), vec![4, 3, 2, 1, 0]),
        (Filter { kind: text("decision"), ..Filter::default() }, vec![3, 2, 1, 0]),
        (Filter { kind: text("outcome"), ..Filter::default() }, vec![4]),
        (Filter { decision: text(IDS[2]), ..Filter::default() }, vec![4, 3, 2]),
        (Filter { session: text("ses_1"), verdict: text("permit"), ..Filter::default() }, vec![3, 0]),
        (Filter { workload: text("deploy"), verdict: text("deny"), ..Filter::default() }, vec![1]),
        (Filter { upstream: text("other"), ..Filter::default() }, vec![]),
        (Filter { policy: text("pii-is-masked"), ..Filter::default() }, vec![3, 0]),
        (Filter { policy: text("new-rule"), ..Filter::default() }, vec![3, 0]),
        (Filter { policy: text("reads"), ..Filter::default() }, vec![3, 0]),
        (Filter { policy: text("no-drop"), ..Filter::default() }, vec![1]),
        (Filter { policy: text("needs-dba"), ..Filter::default() }, vec![2]),
        (Filter { text: text("select EMAIL"), ..Filter::default() }, vec![3, 0]),
        (Filter { since: parse_time("2026-11-21T04:00:01Z"), ..Filter::default() }, vec![4, 3, 2, 1]),
        (Filter { until: parse_time("2026-11-21T04:00:01.000Z"), ..Filter::default() }, vec![0]),
    ] {
        assert_eq!(seqs(&scratch, filter.clone(), Order::NewestFirst), expected, "{filter:?}");
        let reversed: Vec<u64> = expected.into_iter().rev().collect();
        assert_eq!(seqs(&scratch, filter, Order::OldestFirst), reversed);
    }
}

#[test]
fn finds_one_decision() {
    let scratch = sample();
    let find = |named: &str| find_decision(scratch.path(), named, None).map(|found| found.seq);
    assert_eq!(find("last"), Ok(3));
    assert_eq!(find(IDS[0]), Ok(0));
    assert_eq!(find(IDS[2]), Ok(3));
    assert_eq!(find("dec_01JX9"), Ok(3));
    assert_eq!(find("dec_01JX8"), Err(FindError::Ambiguous));
    assert_eq!(find("dec_7"), Err(FindError::None));
    assert_eq!(find("dec_01JX8ZQ309JX8ZQ3"), Err(FindError::None));
    for named in ["dec_", "", "ses_01", "first"] {
        assert_eq!(find(named), Err(FindError::NotAnId), "{named}");
    }
}

#[test]
fn a_line_that_is_no_record_ends_the_search() {
    let scratch = sample();
    let path = scratch.path().join("00000000000000000000.log");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\n2 ", "\nx ", 1)).unwrap();
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let found: Vec<_> = search(scratch.path(), Filter::default(), order).unwrap().collect();
        assert_eq!(found.iter().filter(|found| found.is_ok()).count(), 2);
        assert!(matches!(found.last(), Some(Err(SearchError::NotARecord { .. }))));
    }
}

#[tokio::test]
async fn reads_long_logs_backwards_over_segments() {
    let scratch = Scratch::new();
    let options = LogOptions { segment_bytes: 200_000, ..LogOptions::default() };
    let clock = Arc::new(StoppedClock::at(Timestamp::from_millis(START)));
    let (log, _) = DiskLog::open(scratch.path(), options, clock).await.unwrap();
    for n in 0..400usize {
        // Every fifth is longer than the reader's chunk is wide beside its neighbours.
        let object = "o".repeat(if n % 5 == 0 { 60_000 } else { n });
        let mut batch = Batch::default();
        let event = Event::Admin { by: None, action: "test", object: &object, reason: None };
        batch.push(&Entry { at: Timestamp::from_millis(START), event });
        log.append_now(&batch).unwrap();
    }
    log.close().await;
    assert_eq!(seqs(&scratch, Filter::default(), Order::NewestFirst), (0..400).rev().collect::<Vec<u64>>());
    assert_eq!(seqs(&scratch, Filter::default(), Order::OldestFirst), (0..400).collect::<Vec<u64>>());
}

#[test]
fn reads_times() {
    for text in ["2026-11-21T04:00:00.123Z", "2000-02-29T23:59:59.000Z", "1970-01-01T00:00:00.000Z"] {
        assert_eq!(parse_time(text).unwrap().to_string(), text);
    }
    assert_eq!(parse_time("2026-11-21T04:00:00.5Z").unwrap().millis(), START + 500);
    for text in [
        "",
        "2026-11-21",
        "2026-02-30T00:00:00Z",
        "2026-11-21T24:00:00Z",
        "2026-11-21T04:00:00+01:00",
        "2026-11-21T04:00:00.Z",
    ] {
        assert_eq!(parse_time(text), None, "{text}");
    }
}
