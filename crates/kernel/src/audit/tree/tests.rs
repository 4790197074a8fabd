//! Known vectors of RFC 6962's reference implementation, and all proofs of all small trees.

use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::audit::leaf_hash;

/// A tree in memory, by the definition of RFC 6962 section 2.1 and nothing else.
struct Leaves(Vec<TreeHash>);

fn by_definition(leaves: &[TreeHash]) -> TreeHash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        leaves => {
            let mut middle = 1;
            while middle * 2 < leaves.len() {
                middle *= 2;
            }
            let (left, right) = leaves.split_at(middle);
            node_hash(&by_definition(left), &by_definition(right))
        }
    }
}

impl Nodes for Leaves {
    type Error = Infallible;

    fn node(&self, height: u32, index: u64) -> Result<TreeHash, Infallible> {
        let begin = usize::try_from(index << height).unwrap();
        Ok(by_definition(&self.0[begin..begin + (1 << height)]))
    }
}

fn tree(size: u64) -> Leaves {
    Leaves((0..size).map(|number| TreeHash(leaf_hash(number.to_string().as_bytes()))).collect())
}

/// The tree of certificate-transparency's own tests: eight leaves, and their roots.
#[test]
fn known_vectors() {
    let leaves: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut frontier = Frontier::default();
    assert_eq!(frontier.root().to_string(), roots[0]);
    for (leaf, root) in leaves.iter().zip(&roots[1..]) {
        frontier.push(TreeHash(leaf_hash(leaf)));
        assert_eq!(frontier.root().to_string(), *root);
    }
}

#[test]
fn every_proof_of_every_small_tree_holds_and_no_other() {
    for size in 0..34 {
        let tree = tree(size);
        let whole = root(&tree, size).unwrap();
        assert_eq!(whole, by_definition(&tree.0));
        assert_eq!(frontier(&tree, size).unwrap().root(), whole);
        for index in 0..size {
            let path = inclusion_proof(&tree, index, size).unwrap();
            let leaf = &tree.0[usize::try_from(index).unwrap()];
            assert_eq!(verify_inclusion(leaf, index, size, &path, &whole), Ok(()), "{index} of {size}");
            for other in (0..size + 2).filter(|other| *other != index) {
                assert_eq!(verify_inclusion(leaf, other, size, &path, &whole), Err(NotProved), "{index} as {other}");
            }
            assert_eq!(verify_inclusion(leaf, index, size, &[path, vec![*leaf]].concat(), &whole), Err(NotProved));
        }
        for old in 0..=size {
            let before = root(&tree, old).unwrap();
            let proof = consistency_proof(&tree, old, size).unwrap();
            assert_eq!(verify_consistency((old, &before), (size, &whole), &proof), Ok(()), "{old} to {size}");
            for change in 0..proof.len() {
                let mut wrong = proof.clone();
                wrong[change].0[7] ^= 1;
                assert_eq!(verify_consistency((old, &before), (size, &whole), &wrong), Err(NotProved));
            }
            let other = TreeHash([7; 32]);
            assert_eq!(verify_consistency((old, &other), (size, &whole), &proof), Err(NotProved));
            if old > 0 {
                assert_eq!(verify_consistency((old, &before), (size, &other), &proof), Err(NotProved));
            }
        }
    }
}

proptest! {
    /// A range with what stands left and right of it gives the root.
    #[test]
    fn a_range_completes_to_the_root(size in 1u64..600, cuts in (0u64..600, 0u64..600)) {
        let (begin, end) = (cuts.0.min(cuts.1).min(size), cuts.0.max(cuts.1).min(size));
        let tree = tree(size);
        let mut frontier = frontier(&tree, begin).unwrap();
        prop_assert_eq!(frontier.root(), root(&tree, begin).unwrap());
        for leaf in &tree.0[usize::try_from(begin).unwrap()..usize::try_from(end).unwrap()] {
            frontier.push(*leaf);
        }
        for (at, height) in between(end, size) {
            prop_assert!(frontier.push_subtree(height, tree.node(height, at >> height).unwrap()));
        }
        prop_assert_eq!(frontier.size(), size);
        prop_assert_eq!(frontier.root(), root(&tree, size).unwrap());
    }

    /// A subtree stands only where the tree's own subdivision has one.
    #[test]
    fn a_subtree_must_fit(size in 0u64..64, height in 0u32..8) {
        let mut frontier = frontier(&tree(size), size).unwrap();
        prop_assert_eq!(frontier.push_subtree(height, TreeHash::default()), size % (1 << height) == 0);
    }
}
