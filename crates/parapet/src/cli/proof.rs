//! Proves one entry of the audit log on the reader's own machine: the whole log is verified as `audit verify` does, and the
//! entry is found in it with the chain that the gateway named. Nothing is taken from the gateway but the claim.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use kernel::audit::{LONGEST_RECORD, LeafIndex, Record, leaf_hash};
use serde_json::{Value, json};

/// Larger logs take too long to be proved in passing.
const MOST_BYTES: u64 = 1 << 30;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The entry stands in a log in which nothing is wrong.
    Verified { leaf: String, entries: u64 },
    /// The log is wrong, or holds something else in that place.
    Failed(String),
    /// It was not tried.
    NotTried(&'static str),
}

impl Proof {
    /// For programs.
    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Verified { leaf, entries } => json!({ "verified": true, "leaf": leaf, "entries": entries }),
            Self::Failed(why) => json!({ "verified": false, "why": why }),
            Self::NotTried(why) => json!({ "verified": null, "why": why }),
        }
    }
}

/// Proves that the log in `folder` has an entry at `seq` whose chain is `chain`, in hexadecimal.
pub(crate) fn prove(folder: &Path, seq: u64, chain: &str) -> Proof {
    let Ok(segments) = segments(folder) else {
        return Proof::NotTried("the log's folder cannot be read from here");
    };
    let size: u64 = segments.iter().filter_map(|path| path.metadata().ok()).map(|metadata| metadata.len()).sum();
    if size > MOST_BYTES {
        return Proof::NotTried("the log is large: parapet audit verify");
    }
    let verified = match store::log::verify(folder) {
        Ok(verified) => verified,
        Err(store::log::VerifyError::Tampered(tampered)) => return Proof::Failed(tampered.to_string()),
        Err(_) => return Proof::NotTried("the log's folder cannot be read from here"),
    };
    match leaf(&segments, seq, chain) {
        Ok(Some(leaf)) => Proof::Verified { leaf, entries: verified.entries },
        Ok(None) => Proof::Failed(format!("the log has no such entry at {seq}")),
        Err(_) => Proof::NotTried("the log's folder cannot be read from here"),
    }
}

fn segments(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            segments.push(path);
        }
    }
    segments.sort();
    Ok(segments)
}

/// The leaf of the record at `seq`, if its chain is `chain`. The files were verified, so that only the place matters.
fn leaf(segments: &[PathBuf], seq: u64, chain: &str) -> std::io::Result<Option<String>> {
    let most = u64::try_from(LONGEST_RECORD).unwrap_or(u64::MAX).saturating_add(1);
    for segment in segments {
        let mut lines = BufReader::new(File::open(segment)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            if lines.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let Some(record) = line.strip_suffix(b"\n").and_then(Record::parse) else { break };
            if record.seq == LeafIndex(seq) {
                let same = record.chain.to_string() == chain;
                return Ok(same.then(|| kernel::approval::hex(&leaf_hash(record.entry))));
            }
        }
    }
    Ok(None)
}
