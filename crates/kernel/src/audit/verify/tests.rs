//! The line format has one form, and the verifier finds every departure from it.

use proptest::prelude::*;

use super::*;
use crate::audit::record::{LONGEST_ENTRY, write_record};

fn lines(entries: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut chain = ChainHash::default();
    entries
        .iter()
        .zip(0..)
        .map(|(entry, seq)| {
            chain = next_chain_hash(&chain, &leaf_hash(entry));
            let mut line = Vec::new();
            write_record(LeafIndex(seq), &chain, entry, &mut line);
            assert_eq!(line.pop(), Some(b'\n'));
            line
        })
        .collect()
}

fn three() -> Vec<Vec<u8>> {
    lines(&[b"{\"v\":1}".to_vec(), b"{\"v\":1,\"n\":2}".to_vec(), b"{\"v\":1,\"n\":3}".to_vec()])
}

fn first_fault(lines: &[Vec<u8>]) -> (u64, Option<RecordFault>) {
    let mut verifier = Verifier::default();
    for line in lines {
        if let Err(fault) = verifier.accept(line) {
            return (verifier.size(), Some(fault));
        }
    }
    (verifier.size(), None)
}

#[test]
fn accepts_what_was_written() {
    assert_eq!(first_fault(&three()), (3, None));
}

#[test]
fn names_missing_doubled_and_swapped_records() {
    let [a, b, c] = three().try_into().unwrap();
    for (lines, seq, found) in [
        (vec![a.clone(), c.clone()], 1, 2),
        (vec![a.clone(), a.clone(), b.clone(), c.clone()], 1, 0),
        (vec![a.clone(), c.clone(), b.clone()], 1, 2),
        (vec![b, c], 0, 1),
    ] {
        assert_eq!(first_fault(&lines), (seq, Some(RecordFault::OutOfSequence { expected: seq, found })));
    }
}

/// AU07.
#[test]
fn refuses_other_forms_of_the_same_record() {
    let good = String::from_utf8(three().remove(0)).unwrap();
    for bad in [
        format!("0{good}"),
        format!("+{good}"),
        format!(" {good}"),
        format!("{good}\n"),
        good.replacen(' ', "  ", 1),
        good.to_uppercase(),
        String::new(),
        "0".to_owned(),
        "0 ".to_owned(),
        "99999999999999999999999 ".to_owned(),
    ] {
        assert!(first_fault(&[bad.clone().into_bytes()]).1.is_some(), "{bad:?}");
    }
}

#[test]
fn an_entry_that_says_nothing_is_a_fault() {
    assert_eq!(first_fault(&lines(&[b"{\"v\":1,".to_vec()])), (0, Some(RecordFault::NotJson)));
}

proptest! {
    #[test]
    fn reads_what_it_writes(seq: u64, chain: [u8; 32], entry in prop::collection::vec(any::<u8>(), 1..400)) {
        let mut line = Vec::new();
        write_record(LeafIndex(seq), &ChainHash(chain), &entry, &mut line);
        line.pop();
        let read = Record::parse(&line);
        if entry.contains(&b'\n') {
            prop_assert_eq!(read, None);
        } else {
            prop_assert_eq!(read, Some(Record { seq: LeafIndex(seq), chain: ChainHash(chain), entry: &entry }));
        }
    }

    #[test]
    fn any_byte_changed_is_found(line in 0usize..3, place: prop::sample::Index, flip in 1u8..=255) {
        let mut lines = three();
        let at = place.index(lines[line].len());
        lines[line][at] ^= flip;
        let (seq, fault) = first_fault(&lines);
        prop_assert_eq!(seq, line as u64);
        prop_assert!(fault.is_some());
    }

    #[test]
    fn no_line_panics(line in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Verifier::default().accept(&line).is_err());
    }
}

#[test]
fn an_entry_has_a_longest_length() {
    let mut line = Vec::new();
    write_record(LeafIndex(0), &ChainHash::default(), &vec![b'1'; LONGEST_ENTRY + 1], &mut line);
    line.pop();
    assert_eq!(Record::parse(&line), None);
}
