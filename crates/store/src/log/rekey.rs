//! The change of the master key: what was closed under one of before is closed under the newest, and its old form is overwritten.
//! Which keys there are is for others to know; of the log's own, the signing keys are in `keys.rs`, and those of content here.
//!
//! Both master keys open until all of it is done, so a crash between any two steps loses nothing, and whoever begins again
//! completes it. A file is never overwritten where it stands: a key of which half is written is lost.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::contents::{SHREDDED, keys_path, purpose};
use super::envelope::{EnvelopeError, MasterKey};
use super::lines::{Backwards, Forwards, Line};
use super::lock::LogLock;
use super::segment::sync_dir;

/// What became of keys when the master key changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rekeyed {
    /// So many are closed under the newest now, and were not.
    pub closed: u64,
    /// So many open under none of the keys, and are as they were.
    pub left: u64,
}

impl std::ops::AddAssign for Rekeyed {
    fn add_assign(&mut self, other: Self) {
        self.closed += other.closed;
        self.left += other.left;
    }
}

impl Rekeyed {
    /// Counts one key: its new form, if it has one. What does not open is left as it is.
    ///
    /// # Errors
    /// [`EnvelopeError::NoRandomness`].
    pub fn count<T>(&mut self, anew: Result<Option<T>, EnvelopeError>) -> Result<Option<T>, EnvelopeError> {
        match anew {
            Ok(anew) => {
                self.closed += u64::from(anew.is_some());
                Ok(anew)
            }
            Err(EnvelopeError::DoesNotOpen) => {
                self.left += 1;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Replaces a file as `replace` does, and overwrites what stood there. What an earlier try has left is overwritten, too.
///
/// # Errors
/// There is no such file, or it or another beside it, with `.new` or `.old` behind its name, cannot be written. The old one stands
/// then, or the new one.
pub fn exchange(path: &Path, bytes: &[u8]) -> io::Result<()> {
    exchange_by(path, |file| file.write_all(bytes))
}

fn exchange_by(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    settle(path)?;
    let (fresh, old) = (beside(path, ".new"), beside(path, ".old"));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    let mut file = BufWriter::new(file);
    write(&mut file)?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    let mut before = OpenOptions::new().write(true).open(path)?;
    // The old one keeps a name until it is overwritten, so that a crash does not hide it from `settle`; where the file system has
    // no second names, it does.
    match fs::hard_link(path, &old) {
        Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) => {}
        linked => linked?,
    }
    sync_beside(path)?;
    fs::rename(&fresh, path)?;
    sync_beside(path)?;
    // A name beyond that is somebody's backup.
    if before.metadata()?.nlink() <= 1 {
        overwrite(&mut before)?;
    }
    remove(&old)
}

fn sync_beside(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync_dir)
}

/// Overwrites and removes what a replacement of this file has left that ended half-way.
///
/// # Errors
/// A file beside it cannot be written.
pub fn settle(path: &Path) -> io::Result<()> {
    erase(&beside(path, ".new"))?;
    let old = beside(path, ".old");
    // With two names it is still the one that counts.
    let counts = fs::symlink_metadata(&old).is_ok_and(|metadata| metadata.nlink() > 1);
    if counts { remove(&old) } else { erase(&old) }
}

/// Overwrites a file and removes it, if it is there. What stood in it is then no longer on the disk, if the file system writes in
/// place.
///
/// # Errors
/// It cannot be written or removed.
pub fn erase(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    overwrite(&mut file)?;
    remove(path)
}

fn overwrite(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    io::copy(&mut io::repeat(0).take(length), file)?;
    file.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The file that the keys of a log's content stand in.
pub fn content_keys_path(lock: &LogLock) -> PathBuf {
    keys_path(lock.dir())
}

/// Closes the keys of a log's content anew. What is shredded stays so. The log must not be open.
///
/// # Errors
/// The file of keys cannot be read, is not what the log writes, or cannot be replaced.
pub fn rekey_contents(lock: &LogLock, master: &MasterKey) -> io::Result<Rekeyed> {
    let path = content_keys_path(lock);
    if !path.exists() {
        return Ok(Rekeyed::default());
    }
    // Most starts find nothing to do, and write nothing.
    let found = copy_closed_anew(&path, master, &mut io::sink())?;
    if found.closed == 0 {
        return Ok(found);
    }
    let mut done = Rekeyed::default();
    exchange_by(&path, |file| {
        done = copy_closed_anew(&path, master, file)?;
        Ok(())
    })?;
    Ok(done)
}

/// Copies the lines of a file of content's keys. A last line that was not finished is left out: the log cuts it off as well. Where whole
/// lines stand behind reserved space, as a damaged disk may leave them, nothing is: they may be keys.
fn copy_closed_anew(path: &Path, master: &MasterKey, out: &mut impl Write) -> io::Result<Rekeyed> {
    let mut lines = Forwards::open(path, 0)?;
    let (mut done, mut last) = (Rekeyed::default(), None);
    while let Some(line) = lines.next()? {
        match line {
            Line::Whole(line) => {
                copy_line(line, master, &mut done, out)?;
                last = Some(line.to_vec());
            }
            Line::Unfinished(_) => break,
            Line::Reserved if Backwards::open(path)?.next()? == last => break,
            Line::Reserved => return Err(io::Error::new(io::ErrorKind::InvalidData, "keys stand behind a hole")),
            Line::TooLong => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    Ok(done)
}

fn copy_line(line: &[u8], master: &MasterKey, done: &mut Rekeyed, out: &mut impl Write) -> io::Result<()> {
    let fields: Vec<&str> = std::str::from_utf8(line).unwrap_or_default().split(' ').collect();
    let closed = match *fields {
        [.., wrapped] if wrapped.starts_with(char::from(SHREDDED)) => Ok(None),
        [number, _, scope, wrapped] => {
            let about = number.parse().map(|number| purpose(number, scope));
            about.map_or(Err(EnvelopeError::DoesNotOpen), |about| master.rewrap_text(&about, wrapped))
        }
        _ => Err(EnvelopeError::DoesNotOpen),
    };
    let anew = done.count(closed).map_err(|_| io::ErrorKind::Other)?;
    match (&*fields, anew) {
        ([number, owner, scope, _], Some(anew)) => writeln!(out, "{number} {owner} {scope} {anew}"),
        _ => {
            out.write_all(line)?;
            out.write_all(b"\n")
        }
    }
}

#[cfg(test)]
mod tests;
