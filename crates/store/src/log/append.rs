//! Appends to the log: a hash, one copy, no await and no formatting. When the future of an append resolves, the
//! records are in the kernel's page cache, so that no death of the process loses them.
//!
//! After a failed write nothing is appended until the log was recovered as on opening: fail closed. After a failed fdatasync
//! nothing is appended any more, because the system may have dropped records and would not say so twice.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kernel::audit::{
    AppendError, Batch, ChainHash, Entry, Event, LONGEST_ENTRY, LeafIndex, leaf_hash, next_chain_hash, write_record,
};
use kernel::ports::{AuditLog, Clock, PortFuture};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::head::Head;
use super::open::{self, OpenError, Opened};
use super::sync;
use super::tail::Tail;

/// How a log is kept.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// A segment that has grown to so many bytes is the last of its kind.
    pub segment_bytes: u64,
    /// How long records may wait to be forced to the disk.
    pub sync_every: Duration,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, sync_every: Duration::from_secs(1) }
    }
}

impl LogOptions {
    fn tail(&self, file: File, length: u64) -> Tail {
        // The last batch of a segment may reach beyond its end.
        const LAST_BATCH: u64 = 1 << 20;
        Tail::new(file, length, self.segment_bytes.saturating_add(LAST_BATCH))
    }
}

/// The audit log of this process. Dropping it leaves nothing unwritten; `close` also makes all of it durable.
#[derive(Debug)]
pub struct DiskLog {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    keeper: tokio::sync::Mutex<JoinSet<()>>,
}

/// What the writer and the task that makes its records durable share.
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) options: LogOptions,
    pub(super) clock: Arc<dyn Clock>,
    writer: Mutex<Writer>,
    /// Held until the last use of the folder is over, a late fdatasync included.
    _lock: File,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("dir", &self.dir).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Writer {
    tail: Tail,
    /// Full segments that are not forced to the disk yet.
    full: Vec<Arc<File>>,
    size: u64,
    chain: ChainHash,
    /// What is in `head.json`.
    durable: u64,
    state: State,
    lines: Vec<u8>,
}

/// Does the log take entries?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It does.
    Open,
    /// A write failed, as on a full disk: it is recovered once that is possible.
    Failed,
    /// Records may be lost, or it is closed: not in this process.
    Over,
}

/// What must be forced to the disk, and the head that is true then.
#[derive(Debug)]
pub(super) struct Unsynced {
    pub(super) files: Vec<Arc<File>>,
    pub(super) size: u64,
    pub(super) chain: ChainHash,
}

impl DiskLog {
    /// Opens the log in `dir`, making it if there is none, and starts the task that forces it to the disk.
    ///
    /// Errors: another process has it, it was tampered with, or the folder cannot be used.
    pub async fn open(
        dir: impl Into<PathBuf>,
        options: LogOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Opened), OpenError> {
        let dir = dir.into();
        let now = clock.now();
        let blocking = tokio::task::spawn_blocking(move || {
            let lock = open::lock(&dir)?;
            let ready = open::recover(&dir, now)?;
            Ok::<_, OpenError>((dir, lock, ready))
        });
        let (dir, lock, ready) = blocking.await.map_err(|_| OpenError::Unusable(io::ErrorKind::Other))??;
        let opened = ready.opened;
        let writer = Writer {
            tail: options.tail(ready.file, ready.length),
            full: Vec::new(),
            size: ready.size,
            chain: ready.chain,
            durable: ready.size,
            state: State::Open,
            lines: Vec::with_capacity(4096),
        };
        let shared = Arc::new(Shared { dir, options, clock, writer: Mutex::new(writer), _lock: lock });
        let (stop, stopped) = watch::channel(false);
        let mut keeper = JoinSet::new();
        keeper.spawn(sync::keep(Arc::clone(&shared), stopped));
        Ok((Self { shared, stop, keeper: tokio::sync::Mutex::new(keeper) }, opened))
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// How far the log reaches at this moment. What is beyond `head.json` is not forced to the disk yet.
    pub fn head(&self) -> Head {
        let at = self.shared.clock.now();
        match self.shared.writer.lock() {
            Ok(writer) => Head { size: writer.size, chain: writer.chain, at },
            Err(poisoned) => {
                let writer = poisoned.into_inner();
                Head { size: writer.size, chain: writer.chain, at }
            }
        }
    }

    /// Does it take entries? False after a failed write, and after `close`.
    pub fn writable(&self) -> bool {
        self.shared.writer.lock().is_ok_and(|writer| writer.state == State::Open)
    }

    /// Appends encoded entries, in order and without others between.
    pub fn append_now(&self, batch: &Batch) -> Result<LeafIndex, AppendError> {
        let mut writer = self.shared.writer.lock().map_err(|_| AppendError::Unwritable)?;
        writer.append(batch, &self.shared)
    }

    /// Takes no more entries, and returns when all that there are is on the disk.
    pub async fn close(&self) {
        if let Ok(mut writer) = self.shared.writer.lock() {
            writer.state = State::Over;
            if let Err(error) = writer.tail.finish() {
                tracing::warn!(kind = ?error.kind(), "space that was reserved for the audit log is not given back");
            }
        }
        self.stop.send_replace(true);
        let mut keeper = self.keeper.lock().await;
        while keeper.join_next().await.is_some() {}
    }
}

impl AuditLog for DiskLog {
    fn append<'a>(&'a self, batch: &'a Batch) -> PortFuture<'a, Result<LeafIndex, AppendError>> {
        // Done before the future is polled: there is nothing to wait for, and a future that is dropped has appended.
        Box::pin(std::future::ready(self.append_now(batch)))
    }
}

impl Shared {
    /// What must be forced to the disk; `None` if all of it is there.
    pub(super) fn unsynced(&self) -> Option<Unsynced> {
        let mut writer = self.writer.lock().ok()?;
        if writer.size == writer.durable && writer.full.is_empty() {
            return None;
        }
        let mut files = std::mem::take(&mut writer.full);
        files.push(writer.tail.file());
        Some(Unsynced { files, size: writer.size, chain: writer.chain })
    }

    /// Records whether forcing succeeded. After a failure the kernel may have dropped the records, so nothing more is taken.
    pub(super) fn synced(&self, size: u64, result: &io::Result<()>) {
        if let Ok(mut writer) = self.writer.lock() {
            match result {
                Ok(()) => writer.durable = size,
                Err(_) => writer.state = State::Over,
            }
        }
    }

    /// After a failed write: recovers the log from the disk, as on opening, if that is possible now. Blocks.
    pub(super) fn heal(&self) {
        let Some(acknowledged) = self.failed_at() else { return };
        let ready = match open::recover(&self.dir, self.clock.now()) {
            Ok(ready) => ready,
            Err(error) => {
                tracing::warn!(%error, "the audit log cannot be written yet; no requests are let through");
                return;
            }
        };
        let Ok(mut writer) = self.writer.lock() else { return };
        if writer.state != State::Failed {
            return;
        }
        if ready.size < acknowledged {
            tracing::error!("the audit log has lost records that were acknowledged; it takes no more");
            writer.state = State::Over;
            return;
        }
        writer.tail = self.options.tail(ready.file, ready.length);
        (writer.size, writer.chain, writer.durable) = (ready.size, ready.chain, ready.size);
        writer.state = State::Open;
        let mut note = Batch::default();
        let reason = if ready.opened.torn.is_some() {
            "after a failed write; a torn record was put aside"
        } else {
            "after a failed write"
        };
        let event = Event::Admin { by: None, action: "audit reopen", object: "audit", reason: Some(reason) };
        note.push(&Entry { at: self.clock.now(), event });
        if writer.append(&note, self).is_ok() {
            tracing::warn!("the audit log takes entries again");
        }
    }

    /// How many records were acknowledged, if a write has failed since.
    fn failed_at(&self) -> Option<u64> {
        self.writer.lock().ok().filter(|writer| writer.state == State::Failed).map(|writer| writer.size)
    }
}

impl Writer {
    fn append(&mut self, batch: &Batch, shared: &Shared) -> Result<LeafIndex, AppendError> {
        if self.state != State::Open {
            return Err(AppendError::Unwritable);
        }
        let first = LeafIndex(self.size);
        let mut chain = self.chain;
        let mut size = self.size;
        self.lines.clear();
        for entry in batch.entries() {
            if entry.len() > LONGEST_ENTRY {
                return Err(AppendError::TooLong);
            }
            // A newline in an entry would make two lines of it. The encoder writes none; nothing rests on that here.
            if entry.is_empty() || memchr::memchr(b'\n', entry).is_some() {
                return Err(AppendError::Unwritable);
            }
            chain = next_chain_hash(&chain, &leaf_hash(entry));
            write_record(LeafIndex(size), &chain, entry, &mut self.lines);
            size += 1;
        }
        if self.tail.length() >= shared.options.segment_bytes && size > self.size {
            self.begin_segment(shared).map_err(|_| self.break_off())?;
        }
        self.tail.write(&self.lines).map_err(|_| self.break_off())?;
        self.size = size;
        self.chain = chain;
        // One huge batch must not hold its memory for ever.
        if self.lines.capacity() > 1 << 20 {
            self.lines = Vec::with_capacity(4096);
        }
        Ok(first)
    }

    fn begin_segment(&mut self, shared: &Shared) -> io::Result<()> {
        self.tail.finish()?;
        let next = open::create_segment(&shared.dir, self.size)?;
        let full = std::mem::replace(&mut self.tail, shared.options.tail(next, 0));
        self.full.push(full.file());
        Ok(())
    }

    fn break_off(&mut self) -> AppendError {
        self.state = State::Failed;
        AppendError::Unwritable
    }
}

#[cfg(test)]
mod tests;
