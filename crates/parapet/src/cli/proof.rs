//! Proves one entry of the audit log on the reader's own machine: that it stands under a head that the log's key has signed, by
//! the hashes on the way there. Nothing is taken from the gateway but the claim. What else stands in the log is not looked
//! at: that is `parapet audit verify`.

use std::path::Path;
use std::time::Duration;

use kernel::approval::hex;
use kernel::audit::{ProofFile, TreeHash, VerifierKey, hash_text, leaf_hash};
use serde_json::{Value, json};
use store::log::{ProveError, Prover};

/// Heads are signed once a second: so long is waited for one over an entry that was just made.
const PATIENCE: Duration = Duration::from_millis(3000);
const PAUSE: Duration = Duration::from_millis(100);

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The entry stands under a signed head.
    Verified(Box<Proved>),
    /// It does not, or something else stands in its place.
    Failed(String),
    /// It was not tried.
    NotTried(&'static str),
}

/// A proof that held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proved {
    /// The hash of the entry, in hexadecimal.
    pub(crate) leaf: String,
    /// The root of the tree under the head, in hexadecimal.
    pub(crate) root: String,
    /// How many entries stand under the head.
    pub(crate) entries: u64,
    /// The log's name.
    origin: Box<str>,
    /// Who signed it, by the names of their keys.
    by: Vec<String>,
    /// The proof, as others verify it.
    file: ProofFile,
}

impl Proof {
    /// For programs.
    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Verified(proved) => {
                let Proved { leaf, root, entries, origin, by, file } = &**proved;
                json!({
                    "verified": true, "leaf": leaf, "entries": entries, "origin": origin, "root": root, "signed_by": by,
                    "path": file.path.iter().map(hash_text).collect::<Vec<_>>(), "checkpoint": file.checkpoint.to_string(),
                })
            }
            Self::Failed(why) => json!({ "verified": false, "why": why }),
            Self::NotTried(why) => json!({ "verified": null, "why": why }),
        }
    }
}

/// What the gateway says of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a> {
    /// Where it stands.
    pub(crate) seq: u64,
    /// The chain after it, in hexadecimal.
    pub(crate) chain: &'a str,
    /// The decision that it is about, if it is about one.
    pub(crate) decision: Option<&'a str>,
}

/// Proves the claim by the log in `folder`, whose head one of `keys` must have signed; without keys of ours, one of those that
/// the folder names. Waits a moment for a head over an entry that was just made.
pub(crate) async fn prove(folder: &Path, claim: Claim<'_>, keys: &[VerifierKey]) -> Proof {
    let mut left = PATIENCE;
    loop {
        match attempt(folder, claim, keys) {
            Err(ProveError::Beyond { .. } | ProveError::NotSigned) if !left.is_zero() => {
                left = left.saturating_sub(PAUSE);
                tokio::time::sleep(PAUSE).await;
            }
            Ok(proof) => return proof,
            Err(ProveError::Beyond { .. } | ProveError::NotSigned) => {
                return Proof::NotTried("no head of the log is signed over it yet");
            }
            Err(error @ (ProveError::Damaged | ProveError::Checkpoint(_))) => return Proof::Failed(error.to_string()),
            Err(ProveError::Unreadable(_)) => return Proof::NotTried("the log's folder cannot be read from here"),
        }
    }
}

fn attempt(folder: &Path, claim: Claim<'_>, keys: &[VerifierKey]) -> Result<Proof, ProveError> {
    let prover = Prover::open(folder, claim.seq.saturating_add(1))?;
    let (entry, chain) = prover.record(claim.seq)?;
    let found: Value = serde_json::from_slice(&entry).unwrap_or_default();
    if chain.to_string() != claim.chain || found.get("decision").and_then(Value::as_str) != claim.decision {
        return Ok(Proof::Failed(format!("the log has no such entry at {}", claim.seq)));
    }
    let file = prover.inclusion(claim.seq)?;
    let own;
    let keys = if keys.is_empty() {
        own = prover.keys()?;
        &own
    } else {
        keys
    };
    let leaf = TreeHash(leaf_hash(&entry));
    let head = match file.verify(&leaf, keys) {
        Ok(head) => head,
        Err(error) => return Ok(Proof::Failed(error.to_string())),
    };
    let signed = file.checkpoint.verify(keys).unwrap_or_default();
    let by = signed.iter().map(|signed| signed.key.name().to_owned()).collect();
    let (leaf, root) = (hex(&leaf.0), hex(&head.root.0));
    Ok(Proof::Verified(Box::new(Proved { leaf, root, entries: head.size, origin: head.origin, by, file })))
}

#[cfg(test)]
mod tests;
