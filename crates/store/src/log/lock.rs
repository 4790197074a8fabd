//! The lock of a log's folder, taken before anything is read that only the one process may change: keys, and the master key over
//! them.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::open::{self, OpenError};

/// A log's folder, taken for this process until it is dropped, or until the log that is opened with it is.
#[derive(Debug)]
pub struct LogLock {
    dir: PathBuf,
    file: File,
}

impl LogLock {
    /// Takes a folder, making it if need be. Blocks for at most half a second.
    ///
    /// # Errors
    /// [`OpenError::Locked`] where another process has it, [`OpenError::Unusable`].
    pub fn take(dir: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let dir = dir.into();
        Ok(Self { file: open::lock(&dir)?, dir })
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn into_parts(self) -> (PathBuf, File) {
        (self.dir, self.file)
    }
}
