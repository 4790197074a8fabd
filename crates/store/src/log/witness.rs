//! Witnessing (C2SP `tlog-witness`), both ways: this node cosigns the heads of others' logs, each only where it goes on from the
//! head cosigned before; and asks witnesses to cosign its own. The exchange itself is HTTP and stands elsewhere.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use kernel::audit::tree::verify_consistency;
use kernel::audit::{
    Checkpoint, KeyUse, Note, Signature, TreeHash, VerifierKey, decimal, hash_text, leaf_hash, parse_hash,
    parse_signatures,
};
use kernel::time::Timestamp;

use super::append::DiskLog;
use super::keys::replace;
use super::prove::{ProveError, Prover};
use super::seal::COSIGNED;

/// Why a head is not cosigned, with the status that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 400: not in the form of the protocol, or the old size is above the new.
    #[error("the request is malformed")]
    Malformed,
    /// 404: this node does not witness that log.
    #[error("the log is not witnessed here")]
    UnknownLog,
    /// 403: not signed by the log's key.
    #[error("the checkpoint is not signed by the log's key")]
    BadSignature,
    /// 409: the last size cosigned here is another, or the same size has another root.
    #[error("the checkpoint of size {size} was cosigned last")]
    Conflict {
        /// The size that was cosigned last.
        size: u64,
    },
    /// 422: the proof does not prove that the log goes on.
    #[error("the log does not go on from the checkpoint that was cosigned last")]
    NotConsistent,
    /// 500: the witness cannot remember, and so does not sign.
    #[error("the witness cannot write down what it signs")]
    Unavailable,
}

impl Refusal {
    /// The HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::BadSignature => 403,
            Self::UnknownLog => 404,
            Self::Conflict { .. } => 409,
            Self::NotConsistent => 422,
            Self::Unavailable => 500,
        }
    }
}

/// Cosigns the heads of the logs of others.
#[derive(Debug)]
pub struct Witness {
    dir: PathBuf,
    log: Arc<DiskLog>,
    logs: Vec<VerifierKey>,
    /// Checking and remembering are one step.
    turn: Mutex<()>,
}

impl Witness {
    /// Witnesses the logs of these keys; what it cosigned last stands in `dir`. It signs by the cosigning key of `log`.
    pub fn open(dir: &Path, log: Arc<DiskLog>, logs: Vec<VerifierKey>) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        Ok(Self { dir: dir.to_owned(), log, logs, turn: Mutex::new(()) })
    }

    /// Answers a request's body: lines of cosignatures. Blocks.
    pub fn add_checkpoint(&self, body: &str, now: Timestamp) -> Result<String, Refusal> {
        let request = Submitted::parse(body).ok_or(Refusal::Malformed)?;
        let origin = Checkpoint::parse(request.note.text()).ok_or(Refusal::Malformed)?.origin;
        let keys: Vec<VerifierKey> = self.logs.iter().filter(|key| key.name() == &*origin).cloned().collect();
        if keys.is_empty() {
            return Err(Refusal::UnknownLog);
        }
        let opened = Checkpoint::open(&request.note.to_string(), &keys);
        let (checkpoint, note) = opened.map_err(|_| Refusal::BadSignature)?;
        if request.old > checkpoint.size {
            return Err(Refusal::Malformed);
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.dir.join(kernel::approval::hex(&leaf_hash(origin.as_bytes())));
        let last = self.last(&path, &keys)?;
        let (size, root) = last.as_ref().map_or((0, None), |last| (last.size, Some(last.root)));
        if request.old != size || (size == checkpoint.size && root.is_some_and(|root| root != checkpoint.root)) {
            return Err(Refusal::Conflict { size });
        }
        let before = root.unwrap_or_else(kernel::audit::tree::empty_root);
        verify_consistency((size, &before), (checkpoint.size, &checkpoint.root), &request.proof)
            .map_err(|_| Refusal::NotConsistent)?;
        let signature = self.log.cosign(note.text(), now).ok_or(Refusal::Unavailable)?;
        replace(&path, note.to_string().as_bytes()).map_err(|_| Refusal::Unavailable)?;
        Ok(signature.to_string())
    }

    fn last(&self, path: &Path, keys: &[VerifierKey]) -> Result<Option<Checkpoint>, Refusal> {
        match fs::read_to_string(path) {
            Ok(text) => match Checkpoint::open(&text, keys) {
                Ok((checkpoint, _)) => Ok(Some(checkpoint)),
                // A record that cannot be read must not become a fresh start.
                Err(_) => Err(Refusal::Unavailable),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(_) => Err(Refusal::Unavailable),
        }
    }
}

/// The body of a request.
struct Submitted {
    old: u64,
    proof: Vec<TreeHash>,
    note: Note,
}

impl Submitted {
    fn parse(body: &str) -> Option<Self> {
        let (head, note) = body.split_once("\n\n")?;
        let mut lines = head.split('\n');
        let old = decimal(lines.next()?.strip_prefix("old ")?)?;
        let proof: Option<Vec<TreeHash>> = lines.map(parse_hash).collect();
        Some(Self { old, proof: proof.filter(|proof| proof.len() <= 63)?, note: Note::parse(note).ok()? })
    }
}

/// What to send to a witness that has cosigned the first `old` entries of the log in `dir`: the body, and the head in it.
pub fn submission(dir: &Path, old: u64) -> Result<(String, Checkpoint), ProveError> {
    let prover = Prover::open(dir, 0)?;
    let proof: String = prover.consistency(old)?.iter().map(|hash| hash_text(hash) + "\n").collect();
    Ok((format!("old {old}\n{proof}\n{}", prover.note()), prover.checkpoint().clone()))
}

/// Where a witness stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessedBy {
    /// The witness.
    pub witness: String,
    /// When it saw the head.
    pub at: Timestamp,
    /// How many entries it has cosigned.
    pub size: u64,
    /// It has cosigned what this log does not have.
    pub rolled_back: bool,
}

impl DiskLog {
    fn cosign(&self, text: &str, now: Timestamp) -> Option<Signature> {
        let sealer = self.shared.sealer.as_ref()?;
        sealer.lock().unwrap_or_else(PoisonError::into_inner).keys.cosign(text, now)
    }

    /// Takes over the cosignatures of a witness's answer to the submission of `body`. None if none of its own holds. Blocks.
    pub fn take_cosignatures(
        &self,
        body: &str,
        answer: &str,
        witness: &VerifierKey,
    ) -> io::Result<Option<WitnessedBy>> {
        let Some(mut note) = Submitted::parse(body).map(|submitted| submitted.note) else { return Ok(None) };
        let Some(checkpoint) = Checkpoint::parse(note.text()) else { return Ok(None) };
        let signatures = parse_signatures(answer).unwrap_or_default();
        let own =
            Note::new(note.text().to_owned(), signatures.into_iter().filter(|line| line.is_of(witness)).collect());
        let keys = [witness.clone()];
        let held = own.verify(&keys).ok().and_then(|signed| signed.first().and_then(|signed| signed.at));
        let Some(at) = held.filter(|_| witness.key_use() == KeyUse::Cosign) else { return Ok(None) };
        let path = self.shared.dir.join(COSIGNED);
        // Other witnesses' lines of the same head stay.
        if let Some(kept) = fs::read_to_string(&path).ok().and_then(|text| Note::parse(&text).ok())
            && kept.text() == note.text()
        {
            note.add(kept.signatures().iter().cloned());
        }
        note.add(own.signatures().iter().cloned());
        replace(&path, note.to_string().as_bytes())?;
        let seen = WitnessedBy { witness: witness.name().to_owned(), at, size: checkpoint.size, rolled_back: false };
        self.remember(seen.clone());
        Ok(Some(seen))
    }

    fn remember(&self, seen: WitnessedBy) {
        let mut witnessed = self.shared.witnessed.lock().unwrap_or_else(PoisonError::into_inner);
        witnessed.insert(seen.witness.clone(), seen);
    }

    /// What witnesses have answered since the start.
    pub fn witnessed(&self) -> Vec<WitnessedBy> {
        self.shared.witnessed.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// A witness has cosigned more of this log than there is: it was rolled back. Entered, and said on each start.
    pub fn rolled_back(&self, witness: &str, size: u64) {
        let at = self.shared.clock.now();
        self.remember(WitnessedBy { witness: witness.to_owned(), at, size, rolled_back: true });
        tracing::error!(
            witness,
            size,
            "the audit log was rolled back: a witness has cosigned more entries than it has"
        );
        let reason = format!("the witness `{witness}` has cosigned {size} entries of this log, which has fewer");
        if self.shared.note("audit rolled back", "audit", Some(&reason)).is_err() {
            tracing::error!("that the audit log was rolled back could not be entered in it");
        }
    }
}

#[cfg(test)]
mod tests;
