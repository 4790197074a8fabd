//! `head.json`: what was certainly on disk at some time. A log that is shorter, or has another chain there, was tampered with.
//!
//! Whoever can write the folder can write this file too: it finds accidents and careless hands, not a thief of the machine.

use std::fs;
use std::io;
use std::path::Path;

use kernel::audit::{ChainHash, parse_chain};
use kernel::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::keys::replace;

/// The file's name.
pub(super) const NAME: &str = "head.json";

/// How far a log reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many records.
    pub size: u64,
    /// The chain after them.
    pub chain: ChainHash,
    /// When.
    pub at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    size: u64,
    chain: String,
    at: String,
    at_ms: i64,
}

impl Head {
    /// The one text of it.
    fn encode(&self) -> String {
        let Self { size, chain, at } = self;
        format!("{{\"size\":{size},\"chain\":\"{chain}\",\"at\":\"{at}\",\"at_ms\":{}}}\n", at.millis())
    }

    /// Reads exactly what `encode` writes. The time stands there twice, so that each changed byte shows.
    fn decode(text: &str) -> Option<Self> {
        let form: Form = serde_json::from_str(text).ok()?;
        let chain = parse_chain(form.chain.as_bytes())?;
        let head = Self { size: form.size, chain, at: Timestamp::from_millis(form.at_ms) };
        (head.encode() == text).then_some(head)
    }

    /// Replaces the file: readers see the old one or the new one, and so does a machine that lost its power.
    pub(super) fn store(&self, dir: &Path) -> io::Result<()> {
        replace(&dir.join(NAME), self.encode().as_bytes())
    }

    /// Reads the file: `None` if there is none, `Some(None)` if it is not what this module writes.
    pub(super) fn load(dir: &Path) -> io::Result<Option<Option<Self>>> {
        match fs::read(dir.join(NAME)) {
            Ok(bytes) => Ok(Some(std::str::from_utf8(&bytes).ok().and_then(Self::decode))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
