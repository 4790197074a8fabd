//! Where the hashes of a tree stand in tiles, as C2SP `tlog-tiles` has it: 256 hashes a tile, paths such as
//! `tile/0/x001/x234/067.p/12`, and bundles of entries. Knows no files.

use crate::audit::tree::{TreeHash, node_hash};

/// How many hashes a full tile has, and entries a full bundle.
pub const TILE_WIDTH: u64 = 256;

/// The highest level that a tree of 2^64 leaves could have.
const HIGHEST_LEVEL: u8 = 7;

/// What a path below the log's prefix names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TilePath {
    /// Hashes: those of height `8 * level`, from `256 * index` on.
    Hashes {
        /// 0 for leaves; each level is 8 heights up.
        level: u8,
        /// Which of the level, from the left.
        index: u64,
        /// How many hashes, 1 to 256.
        width: u16,
    },
    /// Entries, from `256 * index` on.
    Entries {
        /// Which, from the left.
        index: u64,
        /// How many, 1 to 256.
        width: u16,
    },
}

impl TilePath {
    /// Reads a path such as `tile/0/x001/067` or `tile/entries/000.p/7`. Only the one form of each is taken.
    pub fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("tile/")?;
        let (what, rest) = rest.split_once('/')?;
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, width.parse::<u16>().ok().filter(|width| (1..256).contains(width))?),
            None => (rest, 256),
        };
        let index = read_number(number)?;
        let parsed = if what == "entries" {
            Self::Entries { index, width }
        } else {
            Self::Hashes { level: what.parse().ok().filter(|level| *level <= HIGHEST_LEVEL)?, index, width }
        };
        (parsed.text() == path).then_some(parsed)
    }

    /// The path.
    pub fn text(&self) -> String {
        let (what, index, width) = match self {
            Self::Hashes { level, index, width } => (level.to_string(), *index, *width),
            Self::Entries { index, width } => ("entries".to_owned(), *index, *width),
        };
        let mut number = format!("{:03}", index % 1000);
        let mut rest = index / 1000;
        while rest > 0 {
            number = format!("x{:03}/{number}", rest % 1000);
            rest /= 1000;
        }
        let part = if u64::from(width) == TILE_WIDTH { String::new() } else { format!(".p/{width}") };
        format!("tile/{what}/{number}{part}")
    }

    /// Does a log of `size` entries have it?
    pub fn exists(&self, size: u64) -> bool {
        let (height, index, width) = match self {
            Self::Hashes { level, index, width } => (u32::from(*level) * 8, *index, *width),
            Self::Entries { index, width } => (0, *index, *width),
        };
        let hashes = size.checked_shr(height).unwrap_or(0);
        index
            .checked_mul(TILE_WIDTH)
            .and_then(|first| first.checked_add(u64::from(width)))
            .is_some_and(|end| end <= hashes)
    }
}

/// `x001/x234/067` is 1,234,067.
fn read_number(text: &str) -> Option<u64> {
    let mut number = 0u64;
    let mut parts = text.split('/').peekable();
    while let Some(part) = parts.next() {
        let digits = if parts.peek().is_some() { part.strip_prefix('x')? } else { part };
        let three = digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
        number = number.checked_mul(1000)?.checked_add(digits.parse().ok().filter(|_: &u64| three)?)?;
    }
    Some(number)
}

/// The root of a complete subtree from its leaves' hashes, whose number is a power of two. None if it is not.
pub fn complete_root(hashes: &[TreeHash]) -> Option<TreeHash> {
    if !hashes.len().is_power_of_two() {
        return None;
    }
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        level = level
            .chunks_exact(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(node_hash(left, right)),
                _ => None,
            })
            .collect();
    }
    level.first().copied()
}

/// Appends an entry to a bundle: its length in 16 bits, big-endian, and its bytes. False, and nothing appended, for an entry
/// that is longer than a leaf may be.
pub fn push_to_bundle(entry: &[u8], bundle: &mut Vec<u8>) -> bool {
    let Ok(length) = u16::try_from(entry.len()) else { return false };
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    true
}

#[cfg(test)]
mod tests;
