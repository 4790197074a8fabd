//! The Merkle tree over the log's leaves: roots, and the two proofs, as RFC 6962 section 2 and RFC 9162 sections 2.1.3 and
//! 2.1.4 have them. Pure: who makes a proof brings the nodes (`Nodes`), who checks one brings nothing.

use std::fmt;

use crate::audit::chain::{sha256, sha256_of_two};

/// A SHA-256 of a leaf, a node or a root.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct TreeHash(pub [u8; 32]);

impl fmt::Display for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::approval::hex(&self.0))
    }
}

impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `SHA-256(0x01 ‖ left ‖ right)`, RFC 6962 section 2.1.
pub fn node_hash(left: &TreeHash, right: &TreeHash) -> TreeHash {
    TreeHash(sha256_of_two(1, &left.0, &right.0))
}

/// The root of a tree without leaves: `SHA-256("")`.
pub fn empty_root() -> TreeHash {
    TreeHash(sha256(&[]))
}

/// The left part of a tree: the roots of its largest complete subtrees, from the left. Enough to go on appending and to know
/// the root; at most 64 hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    subtrees: Vec<TreeHash>,
}

impl Frontier {
    /// Of a tree of `size` leaves, whose complete subtrees have these roots. None if their number does not fit the size.
    pub fn of(size: u64, subtrees: Vec<TreeHash>) -> Option<Self> {
        (subtrees.len() == size.count_ones() as usize).then_some(Self { size, subtrees })
    }

    /// How many leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, from the left: their sizes are the bits of `size`, the highest first.
    pub fn subtrees(&self) -> &[TreeHash] {
        &self.subtrees
    }

    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf: TreeHash) {
        // A log never has 2^64 leaves.
        let _fits = self.push_subtree(0, leaf);
    }

    /// Appends a complete subtree of `2^height` leaves by its root. False, and nothing appended, unless the tree's size is a
    /// multiple of that.
    pub fn push_subtree(&mut self, height: u32, root: TreeHash) -> bool {
        let Some(size) = 1u64.checked_shl(height).and_then(|leaves| self.size.checked_add(leaves)) else {
            return false;
        };
        if self.size.trailing_zeros() < height {
            return false;
        }
        let mut node = root;
        let mut rest = self.size >> height;
        while rest & 1 == 1 {
            let Some(left) = self.subtrees.pop() else { return false };
            node = node_hash(&left, &node);
            rest >>= 1;
        }
        self.subtrees.push(node);
        self.size = size;
        true
    }

    /// The root of the tree.
    pub fn root(&self) -> TreeHash {
        let mut subtrees = self.subtrees.iter().rev();
        let Some(last) = subtrees.next() else { return empty_root() };
        subtrees.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// The heights of the complete subtrees that lead from `begin` leaves to `end` leaves, from the left: what completes a
/// [`Frontier`] without the leaves themselves. Each stands with the position of its first leaf.
pub fn between(begin: u64, end: u64) -> Vec<(u64, u32)> {
    let (mut at, mut subtrees) = (begin, Vec::new());
    while at < end {
        let height = at.trailing_zeros().min((end - at).ilog2());
        subtrees.push((at, height));
        at += 1 << height;
    }
    subtrees
}

/// Where the nodes of a tree are.
pub trait Nodes {
    /// Why a node cannot be had.
    type Error;

    /// The root of the complete subtree of `2^height` leaves that begins at leaf `index << height`.
    fn node(&self, height: u32, index: u64) -> Result<TreeHash, Self::Error>;
}

/// The root of leaves `begin..end`, of a tree's own subdivision: `begin` is a multiple of the power of two that holds them.
fn subtree<N: Nodes>(nodes: &N, begin: u64, end: u64) -> Result<TreeHash, N::Error> {
    let mut complete = Vec::new();
    let mut at = begin;
    while at < end {
        let height = (end - at).ilog2();
        complete.push(nodes.node(height, at >> height)?);
        at += 1 << height;
    }
    let mut from_right = complete.iter().rev();
    let Some(last) = from_right.next() else { return Ok(empty_root()) };
    Ok(from_right.fold(*last, |right, left| node_hash(left, &right)))
}

/// The root of the first `size` leaves.
pub fn root<N: Nodes>(nodes: &N, size: u64) -> Result<TreeHash, N::Error> {
    subtree(nodes, 0, size)
}

/// The frontier of the first `size` leaves.
pub fn frontier<N: Nodes>(nodes: &N, size: u64) -> Result<Frontier, N::Error> {
    let subtrees: Result<Vec<TreeHash>, N::Error> =
        between(0, size).into_iter().map(|(at, height)| nodes.node(height, at >> height)).collect();
    Ok(Frontier { size, subtrees: subtrees? })
}

/// The largest power of two below `size`, which is above 1.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The audit path of a leaf (RFC 9162 section 2.1.3.1), from its sibling upwards. Empty unless `index < size`.
pub fn inclusion_proof<N: Nodes>(nodes: &N, index: u64, size: u64) -> Result<Vec<TreeHash>, N::Error> {
    let mut path = Vec::new();
    let (mut begin, mut end) = (0, size);
    while index < size && end - begin > 1 {
        let middle = begin + split(end - begin);
        if index < middle {
            path.push(subtree(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(subtree(nodes, begin, middle)?);
            begin = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that a tree of `old` leaves is the beginning of one of `size` (RFC 9162 section 2.1.4.1). Empty if `old` is 0
/// or `size`, or above it.
pub fn consistency_proof<N: Nodes>(nodes: &N, old: u64, size: u64) -> Result<Vec<TreeHash>, N::Error> {
    let mut path = Vec::new();
    if old == 0 || old >= size {
        return Ok(path);
    }
    let (mut begin, mut end) = (0, size);
    // Is the old tree's root of the part that is looked at the old root itself?
    let mut whole = true;
    while old != end {
        let middle = begin + split(end - begin);
        if old <= middle {
            path.push(subtree(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(subtree(nodes, begin, middle)?);
            begin = middle;
            whole = false;
        }
    }
    if !whole {
        path.push(subtree(nodes, begin, end)?);
    }
    path.reverse();
    Ok(path)
}

/// A proof does not prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the proof does not lead to the root")]
pub struct NotProved;

/// Checks an audit path (RFC 9162 section 2.1.3.2).
pub fn verify_inclusion(
    leaf: &TreeHash,
    index: u64,
    size: u64,
    path: &[TreeHash],
    root: &TreeHash,
) -> Result<(), NotProved> {
    if index >= size {
        return Err(NotProved);
    }
    let (mut at, mut last) = (index, size - 1);
    let mut node = *leaf;
    for sibling in path {
        if last == 0 {
            return Err(NotProved);
        }
        if at & 1 == 1 || at == last {
            node = node_hash(sibling, &node);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            node = node_hash(&node, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0 && node == *root).then_some(()).ok_or(NotProved)
}

/// Checks a consistency proof (RFC 9162 section 2.1.4.2). An empty old tree is the beginning of each, and proved by nothing.
pub fn verify_consistency(old: (u64, &TreeHash), new: (u64, &TreeHash), proof: &[TreeHash]) -> Result<(), NotProved> {
    let ((old_size, old_root), (size, root)) = (old, new);
    if old_size == size || old_size == 0 {
        let same = if old_size == size { old_root == root } else { *old_root == empty_root() };
        return (same && proof.is_empty()).then_some(()).ok_or(NotProved);
    }
    if old_size > size {
        return Err(NotProved);
    }
    let (mut at, mut last) = (old_size - 1, size - 1);
    let mut rest = proof.iter();
    // Of a complete old tree the root itself is the first node, and known already.
    let first = if old_size.is_power_of_two() { Some(old_root) } else { rest.next() };
    let first = *first.ok_or(NotProved)?;
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut left, mut whole) = (first, first);
    for node in rest {
        if last == 0 {
            return Err(NotProved);
        }
        if at & 1 == 1 || at == last {
            left = node_hash(node, &left);
            whole = node_hash(node, &whole);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            whole = node_hash(&whole, node);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0 && left == *old_root && whole == *root).then_some(()).ok_or(NotProved)
}

#[cfg(test)]
mod tests;
