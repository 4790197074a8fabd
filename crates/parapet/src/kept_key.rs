//! A key that the gateway has made for itself, in a file of the state folder: closed in the envelope of the master key, as the audit
//! log's keys are.
//!
//! Gateways of before kept such keys in clear. What is found so is closed at the first start, and then overwritten and removed.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use store::log::{EnvelopeError, MasterKey, Rekeyed, erase, exchange, replace};
use zeroize::Zeroizing;

/// Why a key cannot be used. No secret is in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeptKeyError {
    /// A file.
    #[error("{} cannot be used: {kind}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        kind: ErrorKind,
    },
    /// It does not open, or cannot be closed.
    #[error("{}: {why}", .path.display())]
    Envelope {
        /// Where it stands.
        path: PathBuf,
        /// Why.
        why: EnvelopeError,
    },
    /// There is no such key.
    #[error("there is no {}", .0.display())]
    Absent(PathBuf),
    /// A key in clear stands beside it, and is not what is kept.
    #[error("{} is another key than {}; remove the one that is not to be used", .clear.display(), .closed.display())]
    Two {
        /// The one in clear.
        clear: PathBuf,
        /// The one that is kept.
        closed: PathBuf,
    },
}

/// Where one key stands, and what it is for.
#[derive(Debug)]
pub(crate) struct KeptKey {
    closed: PathBuf,
    clear: PathBuf,
    purpose: &'static str,
}

impl KeptKey {
    /// The key that stood in clear in this file. `purpose` is authenticated with it, so that no other key passes for it.
    pub(crate) fn new(clear: PathBuf, purpose: &'static str) -> Self {
        Self { closed: clear.with_extension("wrapped"), clear, purpose }
    }

    /// The file that it stands in, closed.
    pub(crate) fn path(&self) -> &Path {
        &self.closed
    }

    /// Opens it.
    pub(crate) fn read(&self, master: &MasterKey) -> Result<Zeroizing<Vec<u8>>, KeptKeyError> {
        self.find(master)?.ok_or_else(|| KeptKeyError::Absent(self.closed.clone()))
    }

    /// Opens it, if there is one. One in clear is closed.
    pub(crate) fn find(&self, master: &MasterKey) -> Result<Option<Zeroizing<Vec<u8>>>, KeptKeyError> {
        let clear = contents(&self.clear)?;
        let Some(closed) = contents(&self.closed)? else {
            let Some(clear) = clear else { return Ok(None) };
            self.keep(master, &clear)?;
            return Ok(Some(clear));
        };
        let closed = std::str::from_utf8(&closed).map_err(|_| self.envelope(EnvelopeError::DoesNotOpen))?;
        let key = master.unwrap_text(self.purpose, closed).map_err(|why| self.envelope(why))?;
        match clear {
            None => {}
            // The last start ended between closing it and overwriting it, or while it was overwritten: not always from its front.
            Some(left) if left.iter().enumerate().all(|(at, byte)| *byte == 0 || key.get(at) == Some(byte)) => {
                erase(&self.clear).map_err(unusable(&self.clear))?;
            }
            Some(_another) => {
                return Err(KeptKeyError::Two { clear: self.clear.clone(), closed: self.closed.clone() });
            }
        }
        Ok(Some(key))
    }

    /// Opens it, or makes one of random bytes.
    pub(crate) fn random(&self, master: &MasterKey) -> anyhow::Result<Zeroizing<Vec<u8>>> {
        const BYTES: usize = 32;
        let key = match self.find(master)? {
            Some(key) => key,
            None => {
                let mut fresh = Zeroizing::new(vec![0; BYTES]);
                aws_lc_rs::rand::fill(&mut fresh).map_err(|_| anyhow!("the system gave no random bytes"))?;
                self.keep(master, &fresh)?;
                fresh
            }
        };
        if key.len() < BYTES {
            return Err(anyhow!("{} is too short to be a key; delete it to make a new one", self.closed.display()));
        }
        Ok(key)
    }

    /// Keeps it, in the place of any other.
    pub(crate) fn keep(&self, master: &MasterKey, key: &[u8]) -> Result<(), KeptKeyError> {
        let wrapped = master.wrap_text(self.purpose, key).map_err(|why| self.envelope(why))?;
        replace(&self.closed, wrapped.as_bytes()).map_err(unusable(&self.closed))?;
        erase(&self.clear).map_err(unusable(&self.clear))
    }

    /// Closes it anew, if there is one, where the master key changes. One in clear is left for the next `find`.
    pub(crate) fn rekey(&self, master: &MasterKey) -> Result<Rekeyed, KeptKeyError> {
        let Some(closed) = contents(&self.closed)? else { return Ok(Rekeyed::default()) };
        let closed = std::str::from_utf8(&closed).map_err(|_| EnvelopeError::DoesNotOpen);
        let anew = closed.and_then(|closed| master.rewrap_text(self.purpose, closed));
        let mut done = Rekeyed::default();
        if let Some(anew) = done.count(anew).map_err(|why| self.envelope(why))? {
            exchange(&self.closed, anew.as_bytes()).map_err(unusable(&self.closed))?;
        }
        Ok(done)
    }

    fn envelope(&self, why: EnvelopeError) -> KeptKeyError {
        KeptKeyError::Envelope { path: self.closed.clone(), why }
    }
}

fn contents(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, KeptKeyError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(path)(error)),
    }
}

fn unusable(path: &Path) -> impl FnOnce(io::Error) -> KeptKeyError {
    let path = path.to_owned();
    move |error| KeptKeyError::File { path, kind: error.kind() }
}

#[cfg(test)]
mod tests;
