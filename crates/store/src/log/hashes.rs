//! The tree's hashes on disk: for each level of tiles one file, in which hash follows hash. A tile is a stretch of such a file.
//!
//! All of it follows from the records: what is missing or wrong after a crash is computed anew (`seal.rs`).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use kernel::audit::tree::{self, Nodes};
use kernel::audit::{TILE_WIDTH, TreeHash, complete_root};

const HASH: u64 = 32;

/// Reads hashes.
#[derive(Clone, Debug)]
pub(super) struct Hashes {
    dir: PathBuf,
}

impl Hashes {
    /// Those of the log in `dir`.
    pub(super) fn of(dir: &Path) -> Self {
        Self { dir: dir.join("tree") }
    }

    fn path(&self, level: u32) -> PathBuf {
        self.dir.join(level.to_string())
    }

    /// `count` hashes of a level. An error if they are not all there.
    pub(super) fn read(&self, level: u32, first: u64, count: u64) -> io::Result<Vec<TreeHash>> {
        let mut file = File::open(self.path(level))?;
        file.seek(SeekFrom::Start(first.saturating_mul(HASH)))?;
        let mut bytes = Vec::new();
        file.take(count.saturating_mul(HASH)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != count.saturating_mul(HASH) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes.as_chunks::<32>().0.iter().map(|hash| TreeHash(*hash)).collect())
    }
}

impl Nodes for Hashes {
    type Error = io::Error;

    fn node(&self, height: u32, index: u64) -> io::Result<TreeHash> {
        let (level, within) = (height / 8, height % 8);
        let hashes = self.read(level, index << within, 1 << within)?;
        complete_root(&hashes).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// Appends to the hashes. One process at a time: the holder of the folder's lock.
#[derive(Debug)]
pub(super) struct Tree {
    hashes: Hashes,
    size: u64,
    files: Vec<File>,
}

impl Tree {
    /// The tree of the first `size` leaves; what stands there beyond them is cut off. An error if there are fewer.
    pub(super) fn open(dir: &Path, size: u64) -> io::Result<Self> {
        let hashes = Hashes::of(dir);
        DirBuilder::new().recursive(true).mode(0o700).create(&hashes.dir)?;
        let mut tree = Self { hashes, size, files: Vec::new() };
        for level in 0..8u32 {
            if level > 0 && size >> (8 * level) == 0 && !tree.hashes.path(level).exists() {
                break;
            }
            let file = tree.file(level)?;
            let length = (size >> (8 * level)) * HASH;
            if file.metadata()?.len() < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            file.set_len(length)?;
        }
        Ok(tree)
    }

    /// How many leaves.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The root.
    pub(super) fn root(&self) -> io::Result<TreeHash> {
        tree::root(&self.hashes, self.size)
    }

    fn file(&mut self, level: u32) -> io::Result<&File> {
        while self.files.len() <= level as usize {
            let path = self.hashes.path(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
            self.files
                .push(OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?);
        }
        self.files.get(level as usize).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    /// Appends leaves, and the hashes of the tiles that they complete: `roots` are those that are known, by the number of the
    /// tile. After an error the tree is as before.
    pub(super) fn append(&mut self, leaves: &[TreeHash], roots: &[(u64, TreeHash)]) -> io::Result<()> {
        let mut fresh = leaves.to_vec();
        let mut level = 0;
        while !fresh.is_empty() {
            let before = self.size >> (8 * level);
            let bytes: Vec<u8> = fresh.iter().flat_map(|hash| hash.0).collect();
            self.file(level)?.write_all_at(&bytes, before * HASH)?;
            let after = before + fresh.len() as u64;
            fresh = ((before / TILE_WIDTH)..(after / TILE_WIDTH))
                .map(|tile| match roots.iter().find(|(known, _)| level == 0 && *known == tile) {
                    Some((_, root)) => Ok(*root),
                    None => self.full(level, tile),
                })
                .collect::<io::Result<Vec<TreeHash>>>()?;
            level += 1;
        }
        self.size += leaves.len() as u64;
        Ok(())
    }

    /// The root of a full tile, from its own hashes.
    fn full(&self, level: u32, tile: u64) -> io::Result<TreeHash> {
        let hashes = self.hashes.read(level, tile * TILE_WIDTH, TILE_WIDTH)?;
        complete_root(&hashes).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Forces the hashes to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.files.iter().try_for_each(File::sync_data)
    }
}
