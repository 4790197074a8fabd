//! Seals what was appended: adds its leaves to the tree, and signs the tree's head. Off the path of requests, at most once a
//! second, and only over records that are forced to the disk: a signed head is never taken back.
//!
//! The leaves are those that were appended, so that what is signed is what happened, whatever becomes of the files. After a
//! start, or where they are too many to be remembered, they are read back from the disk and must lead to the same chain.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kernel::audit::{ChainHash, Checkpoint, Note, NoteError, TILE_WIDTH, TreeHash, Verifier, VerifierKey, leaf_hash};
use kernel::time::Timestamp;

use super::hashes::Tree;
use super::keys::{SigningKeys, replace};
use super::locate::{From, chain_after};
use super::segment;
use super::unsealed::Fresh;
use super::verify::{Tampered, Why};

/// The signed head of this log, as it was signed last.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// The last one that witnesses have signed as well.
pub(super) const COSIGNED: &str = "checkpoint.cosigned";
/// The log's public keys, a line each.
pub(super) const KEYS: &str = "keys";

/// How many leaves are added at a time: others have the processor in between.
const STRETCH: usize = TILE_WIDTH as usize;

/// Why nothing is sealed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SealError {
    /// The disk.
    #[error("the tree or the checkpoint cannot be written: {0}")]
    Unusable(#[from] io::Error),
    /// The files are not what was written.
    #[error(transparent)]
    Tampered(#[from] Tampered),
}

/// The tree of a log, and who signs it.
#[derive(Debug)]
pub(super) struct Sealer {
    dir: PathBuf,
    pub(super) keys: SigningKeys,
    tree: Tree,
    verifier: Verifier,
    /// What was signed last.
    pub(super) signed: Option<Checkpoint>,
}

/// Reads a signed checkpoint of the folder; none if there is none.
pub(super) fn read_checkpoint(
    dir: &Path,
    name: &str,
    keys: &[VerifierKey],
) -> Result<Option<(Checkpoint, Note)>, SealError> {
    let text = match fs::read_to_string(dir.join(name)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(bad_checkpoint(name, NoteError::Malformed).into());
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Some(Checkpoint::open(&text, keys).map_err(|why| bad_checkpoint(name, why))?))
}

pub(super) fn bad_checkpoint(name: &str, why: NoteError) -> Tampered {
    Tampered { seq: 0, file: name.to_owned(), offset: 0, why: Why::Checkpoint(why) }
}

/// The public keys that the folder itself names.
pub(super) fn read_keys(dir: &Path) -> io::Result<Vec<VerifierKey>> {
    match fs::read_to_string(dir.join(KEYS)) {
        Ok(text) => Ok(text.lines().filter_map(|line| line.parse().ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

impl Sealer {
    /// Takes up the tree where it was signed last, and computes it anew if it is not that tree. `size` is how many records the
    /// recovered log has: a signed head beyond it was of records that are gone.
    pub(super) fn open(dir: &Path, keys: SigningKeys, size: u64) -> Result<Self, SealError> {
        let public: Vec<VerifierKey> = keys.views().into_iter().map(|view| view.key).collect();
        let lines: String = public.iter().map(|key| format!("{key}\n")).collect();
        if fs::read_to_string(dir.join(KEYS)).ok().as_deref() != Some(&lines) {
            replace(&dir.join(KEYS), lines.as_bytes())?;
        }
        let signed = read_checkpoint(dir, CHECKPOINT, &public)?.map(|(checkpoint, _)| checkpoint);
        let (sealed, root) = signed.as_ref().map_or((0, None), |signed| (signed.size, Some(signed.root)));
        if sealed > size {
            let why = Why::ShorterThanCheckpoint { size: sealed };
            return Err(Tampered { seq: size, file: CHECKPOINT.to_owned(), offset: 0, why }.into());
        }
        let kept = Tree::open(dir, sealed).and_then(|tree| Ok((tree.root()?, tree)));
        let tree = match kept {
            Ok((found, tree)) if root.is_none_or(|root| root == found) => tree,
            _ => Tree::open(dir, 0)?,
        };
        let segments = segment::list(dir)?;
        let chain = chain_after(&segments, tree.size())?.unwrap_or_default();
        let mut sealer =
            Self { dir: dir.to_owned(), keys, verifier: Verifier::after(tree.size(), chain), tree, signed };
        if sealer.tree.size() < sealed {
            tracing::warn!("the audit log's tree is computed anew");
            sealer.add(sealed)?;
            if Some(sealer.tree.root()?) != root {
                let why = Why::OtherTree { size: sealed };
                return Err(Tampered { seq: 0, file: CHECKPOINT.to_owned(), offset: 0, why }.into());
            }
        }
        Ok(sealer)
    }

    /// Adds the leaves of the records up to `size`.
    fn add(&mut self, size: u64) -> Result<(), SealError> {
        if self.tree.size() >= size {
            return Ok(());
        }
        let segments = segment::list(&self.dir)?;
        let gone = |seq: u64, why: Why| Tampered { seq, file: String::new(), offset: 0, why };
        let seq = self.tree.size();
        let mut lines = From::record(&segments, seq)?.ok_or_else(|| gone(seq, Why::CutOff))?;
        let mut leaves: Vec<TreeHash> = Vec::with_capacity(STRETCH);
        while self.verifier.size() < size {
            let seq = self.verifier.size();
            let line = lines.next()?.ok_or_else(|| gone(seq, Why::CutOff))?;
            let (_, leaf) = self.verifier.accept_leaf(line).map_err(|fault| gone(seq, Why::Record(fault)))?;
            leaves.push(TreeHash(leaf));
            if leaves.len() == STRETCH {
                self.tree.append(&leaves, &[])?;
                leaves.clear();
                std::thread::yield_now();
            }
        }
        self.tree.append(&leaves, &[])?;
        Ok(())
    }

    /// How many records are in the tree.
    pub(super) fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Seals the first `size` records, whose chain is `chain`. They are on the disk. `fresh` is what the tree lacks, as it
    /// was appended; without it, it is read.
    pub(super) fn seal(
        &mut self,
        size: u64,
        chain: ChainHash,
        fresh: Option<Fresh>,
        now: Timestamp,
    ) -> Result<(), SealError> {
        if self.signed.as_ref().is_some_and(|signed| signed.size >= size) {
            return Ok(());
        }
        match fresh {
            Some(fresh) => {
                for stretch in fresh.leaves.chunks(STRETCH) {
                    self.tree.append(stretch, &fresh.roots)?;
                    std::thread::yield_now();
                }
                self.verifier = Verifier::after(size, chain);
            }
            None => self.read_back(size, chain)?,
        }
        self.tree.sync()?;
        let checkpoint = Checkpoint { origin: self.keys.origin().into(), size, root: self.tree.root()? };
        let note = self.keys.sign(checkpoint.text(), now);
        replace(&self.dir.join(CHECKPOINT), note.to_string().as_bytes())?;
        self.signed = Some(checkpoint);
        Ok(())
    }

    /// Adds the leaves that the tree lacks from the disk. They must lead to the chain that was appended: if they do not,
    /// somebody changes the files under the gateway.
    fn read_back(&mut self, size: u64, chain: ChainHash) -> Result<(), SealError> {
        if self.verifier.size() != self.tree.size() {
            // A stretch was read and not written: the disk was full, perhaps.
            let segments = segment::list(&self.dir)?;
            let chain = chain_after(&segments, self.tree.size())?.unwrap_or_default();
            self.verifier = Verifier::after(self.tree.size(), chain);
        }
        self.add(size)?;
        if self.verifier.chain() != chain {
            let why = Why::OtherChain;
            return Err(Tampered { seq: size.saturating_sub(1), file: String::new(), offset: 0, why }.into());
        }
        Ok(())
    }

    /// Writes the public keys down again, after a rotation.
    pub(super) fn publish_keys(&self) -> io::Result<()> {
        let lines: String = self.keys.views().iter().map(|view| format!("{}\n", view.key)).collect();
        replace(&self.dir.join(KEYS), lines.as_bytes())
    }
}

/// The leaf's hash of an entry.
pub(super) fn leaf(entry: &[u8]) -> TreeHash {
    TreeHash(leaf_hash(entry))
}
