//! The end of the last segment, where records are written: through the file's pages in memory, where its system allows
//! that, and otherwise by one `write(2)` a batch. What readers see is the same, but for zeros behind the last record.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use pages::Pages;

/// The last segment. Dropping it leaves reserved space behind its records, which the next opening cuts off.
#[derive(Debug)]
pub(super) struct Tail {
    file: Arc<File>,
    length: u64,
    pages: Option<Pages>,
}

impl Tail {
    /// Continues a file after `length` bytes, at which it ends. `most` bytes of it may be reached through memory.
    pub(super) fn new(file: File, length: u64, most: u64) -> Self {
        let pages = usize::try_from(most).ok().and_then(|most| Pages::map(&file, most).ok());
        Self { file: Arc::new(file), length, pages }
    }

    /// The file, to be forced to the disk.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// How many bytes its records have.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Writes records behind the others. After an error some of their bytes may stand there: nobody was told of them.
    pub(super) fn write(&mut self, records: &[u8]) -> io::Result<()> {
        if let (Some(pages), Ok(offset)) = (&mut self.pages, usize::try_from(self.length)) {
            match pages.put(offset, records) {
                Ok(()) => {
                    self.length += records.len() as u64;
                    return Ok(());
                }
                // No space for a whole step, perhaps; there may be some for these.
                Err(error) => tracing::debug!(kind = ?error.kind(), "no space is reserved for the audit log"),
            }
        }
        self.finish()?;
        // One `write(2)`, and more only where the system takes less than all or is interrupted.
        if let Err(error) = self.file.write_all_at(records, self.length) {
            if let Err(error) = self.file.set_len(self.length) {
                tracing::error!(kind = ?error.kind(), "a partly written audit record could not be cut off");
            }
            return Err(error);
        }
        self.length += records.len() as u64;
        Ok(())
    }

    /// Cuts off what was reserved and not used. Records are written by `write(2)` from here on.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if self.pages.take().is_some() {
            self.file.set_len(self.length)?;
        }
        Ok(())
    }
}
