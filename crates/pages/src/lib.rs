//! Writes to the end of a file through its pages in memory: what was put is in the kernel's page cache, as after `write(2)`,
//! and survives the death of the process, for the price of a copy.
//!
//! The one crate with unsafe code, and this is all of it. It knows no format: `store` says what the bytes mean, forces them
//! to the disk, and cuts off what was reserved and not used.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU8, Ordering};

use memmap2::{Advice, MmapOptions, MmapRaw};

/// How many bytes of pages are made ready to be written at a time. A request waits meanwhile, some tens of microseconds; in
/// one piece they cost a third of what they cost by 16 KiB.
const STEP: usize = 256 * 1024;
/// By how many bytes the file grows at a time. Many, because it costs the same for any number.
const GROWTH: usize = 4 << 20;
/// What reserved blocks are filled with.
static ZEROS: [u8; STEP] = [0; STEP];

/// The pages of a file that this process alone writes.
#[derive(Debug)]
pub struct Pages {
    file: File,
    map: MmapRaw,
    /// How long it was when it was mapped.
    held: usize,
    /// It reaches up to here, and has its blocks.
    grown: usize,
    /// And its pages can be written up to here: touching one beyond the end of a file kills the process (SIGBUS).
    ready: usize,
}

impl Pages {
    /// Maps the first `most` bytes of a file, which is open for reading and writing, not for appending, and may be shorter.
    ///
    /// # Errors
    /// The file's system cannot map files for writing, or there is no address space.
    pub fn map(file: &File, most: usize) -> io::Result<Self> {
        let file = file.try_clone()?;
        let held = usize::try_from(file.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let map = MmapOptions::new().len(most).map_raw(&file)?;
        Ok(Self { file, map, held, grown: 0, ready: 0 })
    }

    /// Puts `bytes` at an offset at which the file holds zeros or ends. The first byte is put last: whoever finds a zero
    /// there, the process having died, knows that the rest is not whole.
    ///
    /// # Errors
    /// There is no space on the disk, the file may not grow, its system cannot reserve space, or the bytes do not fit into
    /// what is mapped. Nothing was put then, but the file may be longer, by zeros.
    pub fn put(&mut self, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let Some((first, rest)) = bytes.split_first() else { return Ok(()) };
        let end = offset.checked_add(bytes.len()).ok_or(io::ErrorKind::InvalidInput)?;
        if end > self.ready {
            self.make_ready(offset, end)?;
        }
        #[expect(unsafe_code, reason = "the map is shared with the file: no safe way leads there")]
        // SAFETY: `offset..end` lies within the map, because `make_ready` lets `ready` grow to `map.len()` at most, and within
        // the file, because `make_ready` has allocated its blocks up to `ready` and written zeros up to there, and nobody cuts
        // a file that is mapped below what is used (the store holds the folder's lock, and puts nothing more through pages of
        // a file that it cuts). `bytes` is borrowed memory of ours and does not overlap the map, which no reference ever points
        // into. `&mut self` excludes other writers in this process; an `AtomicU8` has the layout of a `u8`.
        unsafe {
            let place = self.map.as_mut_ptr().add(offset);
            std::ptr::copy_nonoverlapping(rest.as_ptr(), place.add(1), rest.len());
            AtomicU8::from_ptr(place).store(*first, Ordering::Release);
        }
        Ok(())
    }

    fn make_ready(&mut self, offset: usize, end: usize) -> io::Result<()> {
        let most = self.map.len();
        if end > most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let ready = end.checked_next_multiple_of(STEP).map_or(most, |ready| ready.min(most));
        if ready > self.grown {
            self.grow(ready.saturating_add(GROWTH).min(most)).or_else(|_full| {
                // What a full disk still had stays with the file otherwise, and others have nothing.
                self.file.set_len(self.grown.max(self.held) as u64)?;
                self.grow(ready)
            })?;
        }
        // Pages of which the file's system knows nothing but their reservation cost five times as much at their first touch.
        let mut blank = self.ready.max(self.held);
        while let Some(zeros) = ready.checked_sub(blank).filter(|zeros| *zeros > 0) {
            let zeros = ZEROS.get(..zeros).unwrap_or(&ZEROS);
            self.file.write_all_at(zeros, blank as u64)?;
            blank += zeros.len();
        }
        // Faults taken together cost a fraction of what they cost one by one. Where the kernel cannot (before 5.14), they
        // come one by one.
        let start = self.ready.max(offset);
        let start = start - start % STEP;
        let _not_known = self.map.advise_range(Advice::PopulateWrite, start, ready - start);
        self.ready = ready;
        Ok(())
    }

    /// Grows the file by blocks that are its own and read as zeros.
    fn grow(&mut self, end: usize) -> io::Result<()> {
        let more = end.saturating_sub(self.grown);
        rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), self.grown as u64, more as u64)?;
        self.grown = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
