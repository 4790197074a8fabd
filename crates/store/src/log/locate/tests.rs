//! Every record is found where it stands, in segments of every size, and in space that is reserved.

use std::fs;

use kernel::audit::{LeafIndex, leaf_hash, next_chain_hash, write_record};
use proptest::prelude::*;

use super::*;
use crate::log::segment;
use crate::scratch::Scratch;

/// Writes segments of as many records as said, each with an entry of `length` bytes, and zeros behind the last.
fn write(scratch: &Scratch, sizes: &[u64], length: usize, reserved: usize) -> (Vec<Segment>, ChainHash) {
    let (mut seq, mut chain) = (0, ChainHash::default());
    for size in sizes {
        let mut bytes = Vec::new();
        let first = seq;
        for _ in 0..*size {
            let entry = format!("{{\"n\":\"{}\"}}", "x".repeat(length + usize::try_from(seq % 7).unwrap()));
            chain = next_chain_hash(&chain, &leaf_hash(entry.as_bytes()));
            write_record(LeafIndex(seq), &chain, entry.as_bytes(), &mut bytes);
            seq += 1;
        }
        bytes.resize(bytes.len() + reserved, 0);
        fs::write(Segment::new(scratch.path(), first).path, bytes).unwrap();
    }
    (segment::list(scratch.path()).unwrap(), chain)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_record_is_found(sizes in proptest::collection::vec(1u64..40, 1..4), long: bool, reserved: bool) {
        let scratch = Scratch::new();
        let (length, reserved) = (if long { 20_000 } else { 10 }, if reserved { 300_000 } else { 0 });
        // Only the last segment ends in reserved space.
        let (segments, chain) = write(&scratch, &sizes, length, if sizes.len() == 1 { reserved } else { 0 });
        let size: u64 = sizes.iter().sum();
        for seq in 0..size {
            let mut lines = From::record(&segments, seq).unwrap().unwrap();
            for expected in seq..size {
                let record = Record::parse(lines.next().unwrap().unwrap()).unwrap();
                prop_assert_eq!(record.seq, LeafIndex(expected));
            }
            prop_assert!(lines.next().unwrap().is_none());
        }
        prop_assert!(locate(&segments, size).unwrap().is_none());
        prop_assert_eq!(chain_after(&segments, size).unwrap(), Some(chain));
        prop_assert_eq!(chain_after(&segments, 0).unwrap(), Some(ChainHash::default()));
        prop_assert_eq!(chain_after(&segments, size + 1).unwrap(), None);
    }
}
