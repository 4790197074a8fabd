//! Appends to the log: a hash, one copy, no await and no formatting. When the future of an append resolves, the
//! records are in the kernel's page cache, so that no death of the process loses them.
//!
//! After a failed write nothing is appended until the log was recovered as on opening: fail closed. After a failed fdatasync
//! nothing is appended any more, because the system may have dropped records and would not say so twice. While one does not
//! return, nothing is appended either: a disk that hangs denies, without a timer here.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kernel::audit::{
    AppendError, Batch, ChainHash, Checkpoint, Entry, Event, LONGEST_ENTRY, LeafIndex, TreeHash, commit, leaf_hash,
    next_chain_hash, write_record,
};
use kernel::ports::{Appending, AuditLog, Clock};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::contents::{ContentReader, Contents, Shred, shred_pieces};
use super::head::Head;
use super::keys::SigningKeys;
use super::lock::LogLock;
use super::open::{self, OpenError, Opened};
use super::seal::Sealer;
use super::sync::{self, Unforced};
use super::tail::Tail;
use super::unsealed::{Fresh, Unsealed};

/// When an append is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When no death of the process can lose the records; a machine that loses its power may lose those of the last second.
    #[default]
    Process,
    /// When they are forced to the disk, together with those that wait for the same.
    Disk,
}

/// How a log is kept.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// A segment that has grown to so many bytes is the last of its kind.
    pub segment_bytes: u64,
    /// How long records may wait to be forced to the disk, and at least how often a head is signed while records come.
    pub sync_every: Duration,
    /// How long forcing may take until nothing is appended any more.
    pub sync_within: Duration,
    /// When an append is done.
    pub durability: Durability,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            sync_every: Duration::from_secs(1),
            sync_within: Duration::from_secs(10),
            durability: Durability::Process,
        }
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
    pub(super) shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    keeper: tokio::sync::Mutex<JoinSet<()>>,
}

/// What the writer and the task that makes its records durable share.
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) options: LogOptions,
    pub(super) clock: Arc<dyn Clock>,
    writer: Mutex<Writer>,
    /// The disk does not answer: looked at before the writer is waited for, which may hang there as well.
    stalled: AtomicBool,
    pub(super) durable: watch::Sender<Durable>,
    /// Somebody waits for the disk.
    pub(super) wanted: Notify,
    pub(super) sealer: Option<Mutex<Sealer>>,
    pub(super) sealed: watch::Sender<Option<Checkpoint>>,
    /// What witnesses have answered since the start, by their names.
    pub(super) witnessed: Mutex<std::collections::BTreeMap<String, super::witness::WitnessedBy>>,
    /// Held open: its names are made durable even where no more files can be opened.
    pub(super) folder: File,
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
    /// A segment is new: its name is to be made durable.
    renewed: bool,
    /// Forcing a full segment failed: records may be lost, and the system would not say so again.
    dropped: bool,
    size: u64,
    chain: ChainHash,
    /// What is forced to the disk.
    durable: u64,
    /// What is in `head.json`.
    head: u64,
    state: State,
    /// Where content is kept that does not stand in the leaves.
    contents: Option<Contents>,
    lines: Vec<u8>,
    /// A leaf whose content stands elsewhere.
    leaf: Vec<u8>,
    /// The hashes of the batch's leaves.
    hashes: Vec<TreeHash>,
    /// None where no tree is kept.
    unsealed: Option<Unsealed>,
}

/// How far records are forced to the disk, for those who wait for that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Durable {
    pub(super) size: u64,
    pub(super) chain: ChainHash,
    /// Why waiting is in vain.
    failing: Option<AppendError>,
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
    /// The folder has a new name.
    pub(super) renewed: bool,
    /// It is too late.
    pub(super) dropped: bool,
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
        Self::open_with(move || LogLock::take(dir), options, clock, None).await
    }

    /// As `open`, and signs its heads.
    ///
    /// Errors: those of `open`; the signed head in the folder is not this log's, or not by these keys.
    pub async fn open_signed(
        dir: impl Into<PathBuf>,
        options: LogOptions,
        clock: Arc<dyn Clock>,
        keys: SigningKeys,
    ) -> Result<(Self, Opened), OpenError> {
        let dir = dir.into();
        Self::open_with(move || LogLock::take(dir), options, clock, Some(keys)).await
    }

    /// As `open_signed`, where the folder's lock is held since before the keys were read.
    ///
    /// Errors: those of `open_signed`.
    pub async fn open_locked(
        lock: LogLock,
        options: LogOptions,
        clock: Arc<dyn Clock>,
        keys: SigningKeys,
    ) -> Result<(Self, Opened), OpenError> {
        Self::open_with(move || Ok(lock), options, clock, Some(keys)).await
    }

    async fn open_with(
        lock: impl FnOnce() -> Result<LogLock, OpenError> + Send + 'static,
        options: LogOptions,
        clock: Arc<dyn Clock>,
        keys: Option<SigningKeys>,
    ) -> Result<(Self, Opened), OpenError> {
        let now = clock.now();
        let blocking = tokio::task::spawn_blocking(move || {
            let (dir, lock) = lock()?.into_parts();
            let ready = open::recover(&dir, now)?;
            let contents = keys.as_ref().map(|keys| Contents::open(&dir, keys.master())).transpose()?;
            let sealer = keys.map(|keys| Sealer::open(&dir, keys, ready.size)).transpose()?;
            let folder = File::open(&dir)?;
            Ok::<_, OpenError>((dir, folder, lock, ready, sealer, contents))
        });
        let (dir, folder, lock, ready, sealer, contents) =
            blocking.await.map_err(|_| OpenError::Unusable(io::ErrorKind::Other))??;
        let opened = ready.opened;
        let writer = Writer {
            tail: options.tail(ready.file, ready.length),
            renewed: false,
            dropped: false,
            size: ready.size,
            chain: ready.chain,
            durable: ready.size,
            head: ready.size,
            state: State::Open,
            contents,
            lines: Vec::with_capacity(4096),
            leaf: Vec::new(),
            hashes: Vec::new(),
            unsealed: sealer.as_ref().map(|_| Unsealed::after(ready.size)),
        };
        let durable = Durable { size: ready.size, chain: ready.chain, failing: None };
        let sealed = sealer.as_ref().and_then(|sealer| sealer.signed.clone());
        let shared = Arc::new(Shared {
            dir,
            options,
            clock,
            writer: Mutex::new(writer),
            stalled: AtomicBool::new(false),
            durable: watch::Sender::new(durable),
            wanted: Notify::new(),
            sealer: sealer.map(Mutex::new),
            sealed: watch::Sender::new(sealed),
            witnessed: Mutex::default(),
            folder,
            _lock: lock,
        });
        if let Some(last_head) = ready.last_head {
            sync::watch_opening(&shared, last_head);
        }
        let (stop, stopped) = watch::channel(false);
        let mut keeper = JoinSet::new();
        let keeping = sync::keep(Arc::clone(&shared), stopped.clone());
        keeper.spawn(sync::needed(Arc::clone(&shared), stopped.clone(), keeping));
        if shared.sealer.is_some() {
            let sealing = sync::keep_sealed(Arc::clone(&shared), stopped.clone());
            keeper.spawn(sync::needed(Arc::clone(&shared), stopped, sealing));
        }
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

    /// Does it take entries? False after a failed write, while the disk does not answer, and after `close`.
    pub fn writable(&self) -> bool {
        !self.shared.stalled.load(Ordering::Relaxed)
            && self.shared.writer.lock().is_ok_and(|writer| writer.state == State::Open)
    }

    /// Appends encoded entries, in order and without others between.
    pub fn append_now(&self, batch: &Batch) -> Result<LeafIndex, AppendError> {
        if self.shared.stalled.load(Ordering::Relaxed) {
            return Err(AppendError::TimedOut);
        }
        let mut writer = self.shared.writer.lock().map_err(|_| AppendError::Unwritable)?;
        writer.append(batch, &self.shared)
    }

    /// Resolves when the first `size` records are forced to the disk. The disk's own deadline ends the wait.
    async fn on_disk(&self, size: u64) -> Result<(), AppendError> {
        let mut durable = self.shared.durable.subscribe();
        self.shared.wanted.notify_one();
        let there = durable.wait_for(|durable| durable.size >= size || durable.failing.is_some()).await;
        let there = *there.map_err(|_| AppendError::Unwritable)?;
        if there.size >= size { Ok(()) } else { Err(there.failing.unwrap_or(AppendError::Unwritable)) }
    }

    /// Reads the content that stands beside the log; none for a log that keeps none there.
    pub fn contents(&self) -> Option<ContentReader> {
        let writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.contents.as_ref().map(Contents::reader)
    }

    /// Erases content for good, its keys first; leaves stay as they are. How many pieces. Blocks.
    pub fn shred(&self, what: &Shred) -> io::Result<u64> {
        let keys = {
            let mut writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.contents.as_mut().map_or(Ok(Vec::new()), |contents| contents.shred_keys(what))?
        };
        shred_pieces(&self.shared.dir, &keys)
    }

    /// The head that was signed last; none for a log that signs none.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        self.shared.sealed.borrow().clone()
    }

    /// Tells when another head is signed.
    pub fn watch_checkpoint(&self) -> watch::Receiver<Option<Checkpoint>> {
        self.shared.sealed.subscribe()
    }

    /// Takes no more entries, and returns when all that there are is on the disk.
    pub async fn close(&self) {
        if let Ok(mut writer) = self.shared.writer.lock() {
            writer.state = State::Over;
            let contents = writer.contents.as_mut().map_or(Ok(()), Contents::finish);
            if let Err(error) = contents.and_then(|()| writer.tail.finish()) {
                tracing::warn!(kind = ?error.kind(), "space that was reserved for the audit log is not given back");
            }
        }
        self.stop.send_replace(true);
        let mut keeper = self.keeper.lock().await;
        while keeper.join_next().await.is_some() {}
    }
}

impl AuditLog for DiskLog {
    fn append<'a>(&'a self, batch: &'a Batch) -> Appending<'a> {
        // A build of the benchmark alone.
        if cfg!(feature = "unaudited") {
            return Appending::Done(Ok(LeafIndex(0)));
        }
        // Appended before the future is polled: there is nothing to wait for, and a future that is dropped has appended.
        let appended = self.append_now(batch);
        match (appended, self.shared.options.durability) {
            (Ok(first), durability) if durability == Durability::Disk || batch.is_durable() => {
                let size = first.0.saturating_add(batch.len() as u64);
                Appending::Waiting(Box::pin(async move { self.on_disk(size).await.map(|()| first) }))
            }
            (appended, _) => Appending::Done(appended),
        }
    }
}

impl Shared {
    /// What must be forced to the disk; `None` if all of it is there.
    pub(super) fn unsynced(&self, with_head: bool) -> Option<Unsynced> {
        let mut writer = self.writer.lock().ok()?;
        let there = writer.size == writer.durable && !writer.renewed;
        if there && (!with_head || writer.head == writer.size) {
            return None;
        }
        let mut files: Vec<Arc<File>> = writer.contents.iter().flat_map(Contents::files).collect();
        files.push(writer.tail.file());
        let renewed = std::mem::take(&mut writer.renewed);
        Some(Unsynced { files, renewed, dropped: writer.dropped, size: writer.size, chain: writer.chain })
    }

    /// The disk did not answer in time, or does again.
    pub(super) fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::Relaxed);
        let failing = stalled.then_some(AppendError::TimedOut);
        self.durable.send_modify(|durable| durable.failing = failing);
    }

    /// Records whether forcing succeeded. Where records could not be forced, the kernel may have dropped them, so nothing more is
    /// taken; where the head alone could not be written, as on a full disk, nothing until it can.
    pub(super) fn synced(&self, upto: &Unsynced, with_head: bool, result: &Result<(), Unforced>) {
        let failing = matches!(result, Err(Unforced::Records(_))).then_some(AppendError::Unwritable);
        if let Ok(mut writer) = self.writer.lock() {
            match result {
                Ok(()) => {
                    writer.durable = upto.size;
                    if with_head {
                        writer.head = upto.size;
                    }
                }
                Err(Unforced::Records(_)) => writer.state = State::Over,
                Err(Unforced::Head(error)) => {
                    writer.durable = upto.size;
                    if writer.state == State::Open {
                        tracing::error!(kind = ?error.kind(), "the audit log's head cannot be written; no requests are let through");
                        writer.state = State::Failed;
                    }
                }
            }
        }
        self.durable.send_modify(|durable| match failing {
            None => *durable = Durable { size: upto.size, chain: upto.chain, failing: None },
            failing => durable.failing = failing,
        });
    }

    /// The leaves `from..to`, if they are still remembered. They are forgotten then.
    pub(super) fn take_unsealed(&self, from: u64, to: u64) -> Option<Fresh> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.unsealed.as_mut()?.take(from, to)
    }

    /// Forgets them, as where there are too many.
    #[cfg(test)]
    pub(super) fn forget_unsealed(&self) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let size = writer.size;
        writer.unsealed = Some(Unsealed::after(size));
    }

    /// Nothing more is taken: the files are not what was written.
    pub(super) fn give_up(&self) {
        if let Ok(mut writer) = self.writer.lock() {
            writer.state = State::Over;
        }
        self.durable.send_modify(|durable| durable.failing = Some(AppendError::Unwritable));
    }

    /// Enters what the log itself has to say.
    pub(super) fn note(&self, action: &str, object: &str, reason: Option<&str>) -> Result<(), AppendError> {
        let mut note = Batch::default();
        note.push(&Entry { at: self.clock.now(), event: Event::Admin { by: None, action, object, reason } });
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.append(&note, self).map(drop)
    }

    /// After a failed write: recovers the log from the disk, as on opening, if that is possible now. Blocks.
    pub(super) fn heal(&self) {
        let Some(acknowledged) = self.failed_at() else { return };
        // It stores the head as well, which is what could not be written, perhaps.
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
        (writer.size, writer.chain) = (ready.size, ready.chain);
        (writer.durable, writer.head) = (ready.size, ready.size);
        if let Some(unsealed) = &mut writer.unsealed {
            *unsealed = Unsealed::after(ready.size);
        }
        self.durable.send_replace(Durable { size: ready.size, chain: ready.chain, failing: None });
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
        if cfg!(feature = "unaudited") {
            return Ok(LeafIndex(0));
        }
        if self.state != State::Open {
            return Err(AppendError::Unwritable);
        }
        let first = LeafIndex(self.size);
        let mut chain = self.chain;
        let mut size = self.size;
        self.lines.clear();
        self.hashes.clear();
        for part in batch.parts() {
            let entry = match (&mut self.contents, &part.content) {
                (Some(contents), Some(content)) => {
                    // Before the leaf that commits to it: what is left over after a failure is never referred to.
                    let Ok((number, commitment)) = contents.put(content) else { return Err(self.break_off()) };
                    self.leaf.clear();
                    commit(content.before, number, &commitment, &mut self.leaf);
                    &self.leaf
                }
                _ => part.entry,
            };
            if entry.len() > LONGEST_ENTRY {
                return Err(AppendError::TooLong);
            }
            // A newline in an entry would make two lines of it. The encoder writes none; nothing rests on that here.
            if entry.is_empty() || memchr::memchr(b'\n', entry).is_some() {
                return Err(AppendError::Unwritable);
            }
            let leaf = leaf_hash(entry);
            chain = next_chain_hash(&chain, &leaf);
            self.hashes.push(TreeHash(leaf));
            write_record(LeafIndex(size), &chain, entry, &mut self.lines);
            size += 1;
        }
        if self.tail.length() >= shared.options.segment_bytes && size > self.size {
            self.begin_segment(shared)?;
        }
        self.tail.write(&self.lines).map_err(|_| self.break_off())?;
        if let Some(unsealed) = &mut self.unsealed {
            unsealed.add(&self.hashes, size);
        }
        self.size = size;
        self.chain = chain;
        // One huge batch must not hold its memory for ever.
        if self.lines.capacity() > 1 << 20 {
            self.lines = Vec::with_capacity(4096);
            self.hashes = Vec::new();
        }
        Ok(first)
    }

    fn begin_segment(&mut self, shared: &Shared) -> Result<(), AppendError> {
        self.tail.finish().map_err(|_| self.break_off())?;
        // Before there is a next one. Opening looks at the last segment alone: were its name on the disk and the end of this one not
        // when the power fails, the gap between them would pass for tampering. At most a period's records wait here for the disk.
        if let Err(error) = self.tail.file().sync_data() {
            tracing::error!(kind = ?error.kind(), "the audit log cannot be forced to the disk; no more requests are let through");
            self.dropped = true;
            self.state = State::Over;
            return Err(AppendError::Unwritable);
        }
        let next = open::create_segment(&shared.dir, self.size).map_err(|_| self.break_off())?;
        self.tail = shared.options.tail(next, 0);
        self.renewed = true;
        Ok(())
    }

    fn break_off(&mut self) -> AppendError {
        self.state = State::Failed;
        AppendError::Unwritable
    }
}

#[cfg(test)]
mod tests;
