//! Checkpoints (C2SP `tlog-checkpoint`): the origin, size and root of a log as a text that is signed. And proof files
//! (`tlog-proof`): an audit path with the checkpoint that it leads to, verified without the log.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::audit::note::{Note, NoteError, VerifierKey};
use crate::audit::tree::{NotProved, TreeHash, verify_inclusion};

/// A tree head: what a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name, without a scheme.
    pub origin: Box<str>,
    /// How many leaves.
    pub size: u64,
    /// The tree's root.
    pub root: TreeHash,
}

impl Checkpoint {
    /// The text that is signed. Without extension lines.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, hash_text(&self.root))
    }

    /// Reads a note's text. Extension lines of others' logs are passed over.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let well_formed = !origin.is_empty() && lines.all(|line| !line.is_empty());
        well_formed.then_some(Self { origin: origin.into(), size: decimal(size)?, root: parse_hash(root)? })
    }

    /// Reads a signed checkpoint, of which a known key of the log's own name holds.
    pub fn open(note: &str, keys: &[VerifierKey]) -> Result<(Self, Note), NoteError> {
        let note = Note::parse(note)?;
        let checkpoint = Self::parse(note.text()).ok_or(NoteError::Malformed)?;
        let signed = note.verify(keys)?;
        if !signed.iter().any(|signed| signed.key.name() == &*checkpoint.origin) {
            return Err(NoteError::UnknownKeys);
        }
        Ok((checkpoint, note))
    }
}

/// A number as checkpoints and proofs have it: without leading zeros.
pub fn decimal(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| canonical)
}

/// A hash as checkpoints and proofs have it: base64.
pub fn hash_text(hash: &TreeHash) -> String {
    STANDARD.encode(hash.0)
}

/// Reads a hash in base64.
pub fn parse_hash(text: &str) -> Option<TreeHash> {
    Some(TreeHash(STANDARD.decode(text).ok()?.try_into().ok()?))
}

/// A `c2sp.org/tlog-proof@v1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofFile {
    /// What else the file carries, not proved by itself: here the entry, whose hash the path leads from.
    pub extra: Option<Vec<u8>>,
    /// The entry's position.
    pub index: u64,
    /// From its sibling up to the root's child.
    pub path: Vec<TreeHash>,
    /// The signed checkpoint.
    pub checkpoint: Note,
}

const PROOF_HEADER: &str = "c2sp.org/tlog-proof@v1\n";

impl ProofFile {
    /// The file's text.
    pub fn text(&self) -> String {
        let path: String = self.path.iter().map(|hash| hash_text(hash) + "\n").collect();
        let extra = self.extra.as_ref().map(|extra| format!("extra {}\n", STANDARD.encode(extra))).unwrap_or_default();
        format!("{PROOF_HEADER}{extra}index {}\n{path}\n{}", self.index, self.checkpoint)
    }

    /// Reads a file.
    pub fn parse(text: &str) -> Option<Self> {
        let (head, checkpoint) = text.strip_prefix(PROOF_HEADER)?.split_once("\n\n")?;
        let mut lines = head.split('\n').peekable();
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            Some(text) => {
                lines.next();
                Some(STANDARD.decode(text).ok()?)
            }
            None => None,
        };
        let index = decimal(lines.next()?.strip_prefix("index ")?)?;
        let path: Option<Vec<TreeHash>> = lines.map(parse_hash).collect();
        let path = path.filter(|path| path.len() <= 64)?;
        Some(Self { extra, index, path, checkpoint: Note::parse(checkpoint).ok()? })
    }

    /// Does it prove that the leaf stands in a log that one of `keys` signed? The checkpoint, if so.
    pub fn verify(&self, leaf: &TreeHash, keys: &[VerifierKey]) -> Result<Checkpoint, ProofError> {
        let (checkpoint, _) = Checkpoint::open(&self.checkpoint.to_string(), keys)?;
        verify_inclusion(leaf, self.index, checkpoint.size, &self.path, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

/// Why a proof file proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Its checkpoint.
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] NoteError),
    /// Its path.
    #[error(transparent)]
    Path(#[from] NotProved),
}

#[cfg(test)]
mod tests;
