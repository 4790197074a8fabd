//! The leaves that were appended and are not in the tree yet, with the roots of the tiles that they fill.
//!
//! They are hashed one by one as they come: so sealing has little to do in one go, and holds up nobody.

use kernel::audit::tree::Frontier;
use kernel::audit::{TILE_WIDTH, TreeHash};

/// Bounded: what is forgotten is read from the disk.
#[derive(Debug)]
pub(super) struct Unsealed {
    first: u64,
    leaves: Vec<TreeHash>,
    /// Of the tile that the next leaf belongs to, since its beginning or since something was forgotten.
    tile: Frontier,
    roots: Vec<(u64, TreeHash)>,
}

/// What the tree lacks.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) leaves: Vec<TreeHash>,
    /// Roots of tiles of leaves that are full, by the tile's number, in order. Some may not be known.
    pub(super) roots: Vec<(u64, TreeHash)>,
}

impl Unsealed {
    const MOST: usize = 1 << 18;

    /// None yet, after so many leaves.
    pub(super) fn after(size: u64) -> Self {
        Self { first: size, leaves: Vec::new(), tile: Frontier::default(), roots: Vec::new() }
    }

    /// Adds leaves; `size` is how many there are then.
    pub(super) fn add(&mut self, leaves: &[TreeHash], size: u64) {
        if self.leaves.len() + leaves.len() > Self::MOST {
            *self = Self::after(size);
            return;
        }
        for leaf in leaves {
            self.leaves.push(*leaf);
            self.tile.push(*leaf);
            let end = self.first + self.leaves.len() as u64;
            if end.is_multiple_of(TILE_WIDTH) {
                let tile = std::mem::take(&mut self.tile);
                if tile.size() == TILE_WIDTH {
                    self.roots.push((end / TILE_WIDTH - 1, tile.root()));
                }
            }
        }
    }

    /// Gives up the leaves `from..to`, and forgets those before. None if they are not all here.
    pub(super) fn take(&mut self, from: u64, to: u64) -> Option<Fresh> {
        let known = usize::try_from(from.checked_sub(self.first)?).ok()?;
        let upto = usize::try_from(to.checked_sub(self.first)?).ok()?;
        if known > upto || upto > self.leaves.len() {
            return None;
        }
        self.first = to;
        // Moved, not copied: appends wait meanwhile.
        let mut rest = Vec::with_capacity(self.leaves.capacity());
        rest.extend(self.leaves.drain(upto..));
        let mut leaves = std::mem::replace(&mut self.leaves, rest);
        leaves.drain(..known);
        let full = self.roots.partition_point(|(tile, _)| (tile + 1) * TILE_WIDTH <= to);
        Some(Fresh { leaves, roots: self.roots.drain(..full).collect() })
    }
}

#[cfg(test)]
mod tests;
