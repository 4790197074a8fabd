//! Content beside the log: what entries commit to and do not hold. Each piece stands encrypted under the key of its session or
//! person, and the keys, closed under the master key, in a file of their own. To shred is to overwrite the keys, and the
//! content with them: the log's leaves stay as they are, and go on to verify.
//!
//! `content/content` has a line a piece, `<number> <key> <ciphertext>`; `content/keys` a line a key, `<key> <owner> <scope>
//! <wrapped key>`. Lines are found by their first number, as records are.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, RandomizedNonceKey, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kernel::audit::{Committed, ContentOf, PartContent, commitment, restore};
use kernel::id::SessionId;
use kernel::workload::{Name, Person};
use zeroize::Zeroizing;

use super::envelope::{MasterKey, open, random_key};
use super::lines::{Backwards, Forwards, Line};
use super::locate::From;
use super::segment::{Segment, sync_dir};
use super::tail::Tail;

/// What stands in place of what was shredded.
pub(super) const SHREDDED: u8 = b'-';
/// How many keys are held ready. More sessions at a time get another key each time they come back.
const MOST_KEYS: usize = 4096;

fn other(_: impl std::error::Error) -> io::Error {
    io::ErrorKind::Other.into()
}

/// Whose content is shredded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shred {
    /// All of a workload's sessions.
    Workload(Name),
    /// One session's.
    Session(SessionId),
    /// What a person wrote.
    Person(Person),
}

/// The owner and the scope of content, as they stand in the file of keys: without spaces.
fn owner(of: &ContentOf) -> (String, String) {
    match of {
        ContentOf::Session(session, workload) => (format!("workload:{workload}"), session.to_string()),
        ContentOf::Person(person) => (person_scope(person), person_scope(person)),
    }
}

fn person_scope(person: &Person) -> String {
    // A person's name is not ours to choose.
    format!("person:{}", person.0.split_whitespace().collect::<Vec<_>>().join("\u{a0}"))
}

impl Shred {
    fn takes(&self, owner: &str, scope: &str) -> bool {
        match self {
            Self::Workload(workload) => owner.strip_prefix("workload:") == Some(workload.as_str()),
            Self::Session(session) => scope == session.to_string(),
            Self::Person(person) => owner == person_scope(person),
        }
    }
}

/// The part of a log that writes content. Belongs to the writer of the log.
#[derive(Debug)]
pub(super) struct Contents {
    dir: PathBuf,
    master: Arc<MasterKey>,
    content: Tail,
    next: u64,
    keys_file: Tail,
    next_key: u64,
    keys: HashMap<Scope, (u64, LessSafeKey)>,
    chance: Chance,
    /// Kept, so that a piece allocates nothing.
    sealed: Zeroizing<Vec<u8>>,
    line: Vec<u8>,
}

/// What one key is for. As cheap to look up as it is looked up often.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Scope {
    Session(SessionId),
    Person(Person),
}

impl Scope {
    fn of(of: &ContentOf) -> Self {
        match of {
            ContentOf::Session(session, _) => Self::Session(*session),
            ContentOf::Person(person) => Self::Person(person.clone()),
        }
    }
}

/// Random bytes, many at a time: to ask for a few costs more than all else that a piece needs. Those that were given are
/// erased here.
struct Chance {
    bytes: Zeroizing<[u8; Self::AT_A_TIME]>,
    left: usize,
}

impl std::fmt::Debug for Chance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chance").field("left", &self.left).finish_non_exhaustive()
    }
}

impl Chance {
    const AT_A_TIME: usize = 1024;

    fn new() -> Self {
        Self { bytes: Zeroizing::new([0; Self::AT_A_TIME]), left: 0 }
    }

    /// `N` is far below `AT_A_TIME`.
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        if self.left < N {
            aws_lc_rs::rand::fill(&mut *self.bytes).map_err(other)?;
            self.left = Self::AT_A_TIME;
        }
        let there = self.bytes.get_mut(self.left.saturating_sub(N)..self.left).ok_or(io::ErrorKind::Other)?;
        let mut taken = [0; N];
        taken.copy_from_slice(there);
        there.fill(0);
        self.left -= N;
        Ok(taken)
    }
}

fn content_path(dir: &Path) -> PathBuf {
    dir.join("content/content")
}

pub(super) fn keys_path(dir: &Path) -> PathBuf {
    dir.join("content/keys")
}

/// A file of numbered lines, ready to be appended to. Its last line, if torn, is put aside, and so is all that stands behind a hole
/// that a power loss has left. Content is forced to the disk before the entries that refer to it are said to be there: none of these
/// loses any. One that outlived the power loss by chance is shown without it, as its commitment fits no other piece of that number.
fn numbered(path: &Path) -> io::Result<(Tail, u64)> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let length = file.metadata()?.len();
    let mut end = [b'\n'];
    if let Some(last) = length.checked_sub(1) {
        file.read_exact_at(&mut end, last)?;
    }
    // A file that was closed has neither holes nor reserved space behind its last line.
    let last = if end == *b"\n" { start_of_last(path)? } else { None };
    let (lines, next) = match last {
        Some(last) => good_lines(path, last)?,
        None => match length.checked_sub(UNFORCED) {
            Some(some) => good_lines(path, line_behind(path, some)?)?,
            None => good_lines(path, 0)?,
        },
    };
    let good = lines.offset();
    let bad = lines.begun()?;
    if bad > 0 {
        put_aside(path, good, bad)?;
    }
    file.set_len(good)?;
    const MAPPED: u64 = 64 << 20;
    Ok((Tail::new(file, good, good.saturating_add(MAPPED)), next))
}

/// Far more than is written until it is forced to the disk.
const UNFORCED: u64 = 256 << 20;

/// Reads lines from one on, or from the first where that one is bad, up to the first that is not as it was written. The number of the
/// next.
fn good_lines(path: &Path, from: u64) -> io::Result<(Forwards, u64)> {
    let (mut good, mut next) = (from, 0);
    let mut lines = Forwards::open(path, from)?;
    while let Some(Line::Whole(line)) = lines.next()? {
        let Some(number) = number(line).filter(|_| !line.contains(&0)) else { break };
        (good, next) = (lines.offset(), number.saturating_add(1));
    }
    if good == from && from > 0 {
        return good_lines(path, 0);
    }
    Ok((Forwards::open(path, good)?, next))
}

/// A line that begins behind this place; the first of all where there is a hole.
fn line_behind(path: &Path, place: u64) -> io::Result<u64> {
    let mut lines = Forwards::open(path, place)?;
    let behind = matches!(lines.next()?, Some(Line::Whole(part)) if !part.contains(&0));
    Ok(if behind && lines.at_record()? { lines.offset() } else { 0 })
}

/// Keeps the bad end of a file in one of its own, beside it. Shredding does not reach that.
fn put_aside(path: &Path, good: u64, bad: u64) -> io::Result<()> {
    let aside = (0..1000u32).map(|attempt| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("-{good}-{attempt}.torn"));
        PathBuf::from(name)
    });
    let aside = aside.into_iter().find(|aside| !aside.exists()).ok_or(io::ErrorKind::AlreadyExists)?;
    let mut from = File::open(path)?;
    from.seek(SeekFrom::Start(good))?;
    let mut into = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    io::copy(&mut from.take(bad), &mut into)?;
    into.sync_all()?;
    path.parent().map_or(Ok(()), sync_dir)?;
    tracing::warn!(bytes = bad, kept_in = %aside.display(), "cut off content of the audit log that a crash has torn");
    Ok(())
}

/// Where the last whole line begins; none if it is not found, as behind a hole.
fn start_of_last(path: &Path) -> io::Result<Option<u64>> {
    let last = match Backwards::open(path)?.next() {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
        last => last?,
    };
    let Some(last) = last else { return Ok(Some(0)) };
    let Some(wanted) = number(&last) else { return Ok(None) };
    let place = super::locate::locate(&[Segment { first: 0, path: path.to_owned() }], wanted)?;
    Ok(place.map(|place| place.offset))
}

fn number(line: &[u8]) -> Option<u64> {
    std::str::from_utf8(line.split(|byte| *byte == b' ').next()?).ok()?.parse().ok()
}

impl Contents {
    /// Opens the content of the log in `dir`.
    pub(super) fn open(dir: &Path, master: Arc<MasterKey>) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir.join("content"))?;
        let (content, next) = numbered(&content_path(dir))?;
        let (keys_file, next_key) = numbered(&keys_path(dir))?;
        Ok(Self {
            dir: dir.to_owned(),
            master,
            content,
            next,
            keys_file,
            next_key,
            keys: HashMap::new(),
            chance: Chance::new(),
            sealed: Zeroizing::default(),
            line: Vec::new(),
        })
    }

    /// The files, to be forced to the disk.
    pub(super) fn files(&self) -> [Arc<File>; 2] {
        [self.content.file(), self.keys_file.file()]
    }

    /// Gives back space that was reserved.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.content.finish()?;
        self.keys_file.finish()
    }

    /// Keeps a piece: its number, and the commitment to it.
    pub(super) fn put(&mut self, content: &PartContent<'_>) -> io::Result<(u64, [u8; 32])> {
        let scope = Scope::of(content.of);
        if !self.keys.contains_key(&scope) {
            self.add_key(content.of, &scope)?;
        }
        let (key_number, key) = self.keys.get(&scope).ok_or(io::ErrorKind::Other)?;
        let nonce = Zeroizing::new(self.chance.take::<32>()?);
        let number = self.next;
        self.line.clear();
        write!(self.line, "{number}")?;
        seal_piece(key, self.chance.take()?, &self.line, [&*nonce, content.words], &mut self.sealed)?;
        write!(self.line, " {key_number} ")?;
        let begins = self.line.len();
        let length = base64::encoded_len(self.sealed.len(), true).ok_or(io::ErrorKind::InvalidInput)?;
        self.line.resize(begins + length, 0);
        let place = self.line.get_mut(begins..).unwrap_or_default();
        STANDARD.encode_slice(&*self.sealed, place).map_err(other)?;
        self.line.push(b'\n');
        self.content.write(&self.line)?;
        self.next += 1;
        Ok((number, commitment(&nonce, content.words)))
    }

    fn add_key(&mut self, of: &ContentOf, place: &Scope) -> io::Result<()> {
        if self.keys.len() >= MOST_KEYS {
            self.keys.clear();
        }
        let (owner, scope) = owner(of);
        let (number, secret) = (self.next_key, random_key().map_err(other)?);
        let wrapped = self.master.wrap(&purpose(number, &scope), &*secret).map_err(other)?;
        let line = format!("{number} {owner} {scope} {}\n", STANDARD.encode(wrapped));
        self.keys_file.write(line.as_bytes())?;
        self.next_key += 1;
        let key = UnboundKey::new(&AES_256_GCM, &*secret).map_err(|_| io::ErrorKind::Other)?;
        self.keys.insert(place.clone(), (number, LessSafeKey::new(key)));
        Ok(())
    }

    /// Reads what was kept.
    pub(super) fn reader(&self) -> ContentReader {
        ContentReader::sharing(&self.dir, Arc::clone(&self.master))
    }

    /// Overwrites the keys of what is shredded, on the disk. Which they were: their pieces are next.
    pub(super) fn shred_keys(&mut self, what: &Shred) -> io::Result<Vec<String>> {
        // Whoever comes back gets another key.
        self.keys.clear();
        let mut keys = Vec::new();
        overwrite(&keys_path(&self.dir), |fields, torn| match fields {
            // Nobody can say whose it was, and nothing finds it by its number.
            _ if torn => true,
            [key, owner, scope, _] if what.takes(owner, scope) => {
                keys.push((*key).to_owned());
                true
            }
            _ => false,
        })?;
        Ok(keys)
    }
}

/// As `envelope::seal`, in memory that is there: the nonce, the ciphertext of both parts together, and its tag.
fn seal_piece(
    key: &LessSafeKey,
    nonce: [u8; NONCE_LEN],
    about: &[u8],
    [first, second]: [&[u8]; 2],
    out: &mut Vec<u8>,
) -> io::Result<()> {
    out.clear();
    for part in [&nonce[..], first, second] {
        out.extend_from_slice(part);
    }
    let clear = out.get_mut(NONCE_LEN..).unwrap_or_default();
    // The nonce is random; one key seals the pieces of one session, far fewer than 2³² of them.
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(about), clear).map_err(other)?;
    out.extend_from_slice(tag.as_ref());
    Ok(())
}

/// Overwrites the pieces under these keys, on the disk. How many.
pub(super) fn shred_pieces(dir: &Path, keys: &[String]) -> io::Result<u64> {
    if keys.is_empty() {
        return Ok(0);
    }
    // A torn line may be one that is being written, under a new key.
    overwrite(&content_path(dir), |fields, torn| {
        !torn && matches!(fields, [_, key, _] if keys.iter().any(|one| one == key))
    })
}

pub(super) fn purpose(number: u64, scope: &str) -> String {
    format!("content {number} {scope}")
}

/// Overwrites the last field of the lines that `which` takes, where they stand, and forces that to the disk. How many. A line is torn
/// that has zeros in it or in front of it.
fn overwrite(path: &Path, mut which: impl FnMut(&[&str], bool) -> bool) -> io::Result<u64> {
    let file = OpenOptions::new().write(true).open(path)?;
    let mut lines = Forwards::open(path, 0)?;
    let (mut overwritten, mut behind_zeros) = (0, false);
    loop {
        let offset = lines.offset();
        let line = match lines.next()? {
            Some(Line::Whole(line)) => line,
            Some(Line::Reserved) => {
                behind_zeros = lines.pass_zeros()?;
                continue;
            }
            // What stands behind it cannot be said to be erased.
            Some(Line::TooLong) => return Err(io::ErrorKind::InvalidData.into()),
            Some(Line::Unfinished(_)) | None => break,
        };
        let torn = std::mem::take(&mut behind_zeros) || line.contains(&0);
        let text = String::from_utf8_lossy(line);
        let fields: Vec<&str> = text.split(' ').collect();
        let secret = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        if secret.first() != Some(&SHREDDED) && which(&fields, torn) {
            let at = offset + (line.len() - secret.len()) as u64;
            file.write_all_at(&vec![SHREDDED; secret.len()], at)?;
            overwritten += 1;
        }
    }
    file.sync_all()?;
    Ok(overwritten)
}

/// Reads the content of a log, and remembers some of it: a search meets the same statements again and again.
pub struct ContentReader {
    dir: PathBuf,
    master: Arc<MasterKey>,
    pieces: HashMap<u64, Option<Zeroizing<Vec<u8>>>>,
}

impl std::fmt::Debug for ContentReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContentReader").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// How many pieces a reader remembers.
const MOST_PIECES: usize = 1024;

impl ContentReader {
    /// Of the log in `dir`, whose keys are under this master key.
    pub fn new(dir: &Path, master: MasterKey) -> Self {
        Self::sharing(dir, Arc::new(master))
    }

    fn sharing(dir: &Path, master: Arc<MasterKey>) -> Self {
        Self { dir: dir.to_owned(), master, pieces: HashMap::new() }
    }

    fn line(path: PathBuf, number: u64) -> io::Result<Option<String>> {
        if !path.exists() {
            return Ok(None);
        }
        let segments = [Segment { first: 0, path }];
        let Some(mut lines) = From::record(&segments, number)? else { return Ok(None) };
        Ok(lines.next()?.and_then(|line| Some(std::str::from_utf8(line).ok()?.to_owned())))
    }

    /// A piece with its nonce; none if it was shredded, or is not there.
    fn piece(&self, number: u64) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let Some(line) = Self::line(content_path(&self.dir), number)? else { return Ok(None) };
        let fields: Vec<&str> = line.split(' ').collect();
        let [_, key, sealed] = *fields else { return Ok(None) };
        let Ok(key) = key.parse() else { return Ok(None) };
        let Some(key_line) = Self::line(keys_path(&self.dir), key)? else { return Ok(None) };
        let fields: Vec<&str> = key_line.split(' ').collect();
        let [_, _, scope, wrapped] = *fields else { return Ok(None) };
        let opened = || {
            let wrapped = STANDARD.decode(wrapped).ok()?;
            let secret = self.master.unwrap(&purpose(key, scope), &wrapped).ok()?;
            let key = RandomizedNonceKey::new(&AES_256_GCM, &secret).ok()?;
            open(&key, number.to_string().as_bytes(), &STANDARD.decode(sealed).ok()?).ok()
        };
        Ok(opened())
    }

    /// An entry's bytes with its content in them; none if it has none beside it, or that is gone.
    pub fn entry(&mut self, entry: &[u8]) -> io::Result<Option<Vec<u8>>> {
        Committed::read(entry).map_or(Ok(None), |committed| self.restore(&committed))
    }

    /// The entry with its content in it; none if that was shredded, or is not what the entry commits to.
    pub(super) fn restore(&mut self, committed: &Committed<'_>) -> io::Result<Option<Vec<u8>>> {
        if !self.pieces.contains_key(&committed.number) {
            if self.pieces.len() >= MOST_PIECES {
                self.pieces.clear();
            }
            let piece = self.piece(committed.number)?;
            self.pieces.insert(committed.number, piece);
        }
        let piece = self.pieces.get(&committed.number).and_then(Option::as_ref);
        let parts = piece.and_then(|piece| piece.split_first_chunk::<32>());
        Ok(parts.and_then(|(nonce, words)| {
            (commitment(nonce, words) == committed.commitment).then(|| restore(committed, words))
        }))
    }
}

#[cfg(test)]
mod tests;
