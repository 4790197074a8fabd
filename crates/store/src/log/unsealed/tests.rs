//! Tests of leaves that wait for the tree: their order, the roots of the tiles that they fill, and what is not given.

use kernel::audit::complete_root;

use super::*;

fn leaves(from: u64, to: u64) -> Vec<TreeHash> {
    (from..to).map(|number| TreeHash([number.to_le_bytes(); 4].concat().try_into().unwrap())).collect()
}

/// Whatever is added and taken at a time, leaves come in order, and a root is the tile's.
#[test]
fn roots_of_full_tiles_come_with_their_last_leaf() {
    for (start, added, taken) in [(0, 1, 1), (0, 100, 300), (0, 700, 700), (256, 5, 256), (3, 50, 77), (250, 3, 512)] {
        let mut unsealed = Unsealed::after(start);
        let (mut size, mut from, mut roots) = (start, start, Vec::new());
        while size < 1500 {
            unsealed.add(&leaves(size, size + added), size + added);
            size += added;
            if size - from >= taken {
                // Not all that is there is on the disk yet.
                let to = size - added / 2;
                let fresh = unsealed.take(from, to).unwrap();
                assert_eq!(fresh.leaves, leaves(from, to));
                assert!(fresh.roots.iter().all(|(tile, _)| (tile + 1) * TILE_WIDTH <= to));
                roots.extend(fresh.roots);
                from = to;
            }
        }
        let expected: Vec<_> = (start.div_ceil(TILE_WIDTH)..from / TILE_WIDTH)
            .map(|tile| (tile, complete_root(&leaves(tile * TILE_WIDTH, (tile + 1) * TILE_WIDTH)).unwrap()))
            .collect();
        assert_eq!(roots, expected, "after {start}, {added} at a time");
    }
}

#[test]
fn what_was_forgotten_is_not_given() {
    let mut unsealed = Unsealed::after(10);
    unsealed.add(&leaves(10, 20), 20);
    assert!(unsealed.take(9, 20).is_none(), "a leaf before the first");
    assert!(unsealed.take(10, 21).is_none(), "a leaf that did not come");
    assert_eq!(unsealed.take(12, 15).unwrap().leaves, leaves(12, 15));
    assert!(unsealed.take(10, 20).is_none(), "leaves that were taken");
    assert_eq!(unsealed.take(15, 20).unwrap().leaves, leaves(15, 20));
    let many = Unsealed::MOST as u64;
    unsealed.add(&leaves(20, 20 + many), 20 + many);
    unsealed.add(&leaves(20 + many, 21 + many), 21 + many);
    assert!(unsealed.take(20, 21 + many).is_none(), "more than are remembered");
    assert_eq!(unsealed.take(21 + many, 21 + many).unwrap().leaves, []);
}
