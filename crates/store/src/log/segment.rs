//! Segment files: their names, and which of them a folder holds.

use std::io;
use std::path::{Path, PathBuf};

/// One segment file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    /// The sequence of its first record.
    pub(super) first: u64,
    /// Where it is.
    pub(super) path: PathBuf,
}

impl Segment {
    /// The segment of `dir` that begins with record `first`.
    pub(super) fn new(dir: &Path, first: u64) -> Self {
        Self { first, path: dir.join(format!("{first:020}.log")) }
    }

    /// The file's name, for messages.
    pub(super) fn name(&self) -> String {
        format!("{:020}.log", self.first)
    }
}

/// The segments of a folder, by their first record. Files with other names are no part of the log.
pub(super) fn list(dir: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for file in std::fs::read_dir(dir)? {
        let name = file?.file_name();
        let first = name
            .to_str()
            .and_then(|name| name.strip_suffix(".log"))
            .filter(|digits| digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit()));
        if let Some(first) = first.and_then(|digits| digits.parse().ok()) {
            segments.push(Segment::new(dir, first));
        }
    }
    segments.sort();
    Ok(segments)
}

/// Makes the names in a folder durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}
