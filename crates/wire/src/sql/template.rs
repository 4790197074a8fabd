//! The memory of analyses: a statement that differs from an earlier one in its constants alone is not analysed again.
//!
//! A key is the catalogue's epoch, the upstream and the statement's tokens (see `lexer.rs`), compared in full. Where a
//! constant could change the analysis, or the lexer gives up, the exact text is the key instead. Nothing outlives its
//! epoch, because the epoch is in the key.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError, RwLock};

use kernel::operation::Operation;
use kernel::workload::Name;

use super::analyse::analyse;
use super::analysis::{Analysis, Refused};
use super::catalogue::Catalogue;
use super::lexer;

/// How many analyses are kept in a generation; there are two generations.
const CAPACITY: usize = 4_096;
/// Longer texts are analysed each time.
const MAX_TEXT: usize = 16 * 1024;
/// How many bytes of keys a generation holds.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// What a key stands for.
#[derive(Clone, Debug)]
enum Entry {
    /// Every text of this key has this analysis.
    Analysis(Arc<Analysis>),
    /// Constants decide: look under the exact text.
    Exact,
}

/// An entry, and the whole key that it stands under.
#[derive(Debug)]
struct Known {
    key: Box<[u8]>,
    entry: Entry,
}

/// By the hash of the key, which also chose the shard: so a look-up reads the key twice, to hash it and to compare it. Of
/// two keys with one hash the later is known.
type Generation = HashMap<u64, Known, foldhash::fast::RandomState>;

#[derive(Debug, Default)]
struct Generations {
    young: Generation,
    old: Generation,
    /// Bytes of the young keys.
    bytes: usize,
}

impl Generations {
    fn insert(&mut self, hash: u64, known: Known) {
        let length = known.key.len();
        if self.young.len() >= CAPACITY || self.bytes + length > MAX_BYTES {
            // What was not used since the last change of generations is forgotten.
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes += length;
        if let Some(before) = self.young.insert(hash, known) {
            self.bytes -= before.key.len();
        }
    }
}

/// A bounded memory of analyses, shared by the sessions of a gateway.
#[derive(Debug, Default)]
pub struct Templates {
    shards: [RwLock<Generations>; 8],
    hasher: foldhash::fast::RandomState,
}

thread_local! {
    /// Where keys are written, so that a look-up allocates nothing.
    static KEY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The kinds of key: one byte each, so that a text can never stand for tokens.
const TOKENS: u8 = 1;
const TEXT: u8 = 2;

impl Templates {
    /// An empty memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// The analysis of `text`, from memory or anew. In an analysis that is shared by texts of one template
    /// ([`Analysis::shareable`]) operations carry no spans and statements no ranges (both are empty), because they would
    /// be those of another text; call [`analyse`] where a place is needed for a message.
    ///
    /// # Errors
    /// As [`analyse`]. Refusals are not remembered.
    pub fn analyse(&self, text: &str, catalogue: &Catalogue, upstream: &Name) -> Result<Arc<Analysis>, Refused> {
        if text.len() > MAX_TEXT {
            return analyse(text, catalogue, upstream).map(Arc::new);
        }
        KEY.with_borrow_mut(|key| {
            begin(key, TOKENS, catalogue, upstream);
            let understood = lexer::key(text.as_bytes(), key);
            if understood {
                match self.find(key) {
                    Some(Entry::Analysis(known)) => return Ok(known),
                    Some(Entry::Exact) => {}
                    None => {
                        let found = analyse(text, catalogue, upstream)?;
                        if found.shareable {
                            let shared = Arc::new(without_places(found));
                            self.insert(key, Entry::Analysis(shared.clone()));
                            return Ok(shared);
                        }
                        self.insert(key, Entry::Exact);
                        let exact = Arc::new(found);
                        begin(key, TEXT, catalogue, upstream);
                        key.extend_from_slice(text.as_bytes());
                        self.insert(key, Entry::Analysis(exact.clone()));
                        return Ok(exact);
                    }
                }
            }
            begin(key, TEXT, catalogue, upstream);
            key.extend_from_slice(text.as_bytes());
            if let Some(Entry::Analysis(known)) = self.find(key) {
                return Ok(known);
            }
            let exact = Arc::new(analyse(text, catalogue, upstream)?);
            self.insert(key, Entry::Analysis(exact.clone()));
            Ok(exact)
        })
    }

    fn shard(&self, hash: u64) -> Option<&RwLock<Generations>> {
        self.shards.get(usize::try_from(hash >> 61).ok()?)
    }

    fn find(&self, key: &[u8]) -> Option<Entry> {
        let hash = self.hasher.hash_one(key);
        let shard = self.shard(hash)?;
        {
            let generations = shard.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = generations.young.get(&hash).filter(|known| *known.key == *key) {
                return Some(known.entry.clone());
            }
            generations.old.get(&hash).filter(|known| *known.key == *key)?;
        }
        // Used again: it moves to the young generation.
        let mut generations = shard.write().unwrap_or_else(PoisonError::into_inner);
        let known = generations.old.remove(&hash).filter(|known| *known.key == *key)?;
        let entry = known.entry.clone();
        generations.insert(hash, known);
        Some(entry)
    }

    fn insert(&self, key: &[u8], entry: Entry) {
        let hash = self.hasher.hash_one(key);
        if let Some(shard) = self.shard(hash) {
            let known = Known { key: key.into(), entry };
            shard.write().unwrap_or_else(PoisonError::into_inner).insert(hash, known);
        }
    }
}

/// Starts a key. Each part ends where its length or a NUL says, so that no two contexts share a key.
fn begin(key: &mut Vec<u8>, kind: u8, catalogue: &Catalogue, upstream: &Name) {
    key.clear();
    key.push(kind);
    key.extend_from_slice(&catalogue.common.epoch.to_le_bytes());
    key.extend_from_slice(&catalogue.common.server_major.to_le_bytes());
    key.extend_from_slice(upstream.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(catalogue.common.database.as_bytes());
    key.push(0);
}

fn without_places(mut analysis: Analysis) -> Analysis {
    let bare = analysis.operations.iter().map(|operation| Operation { span: None, ..operation.clone() });
    analysis.operations = bare.collect();
    for statement in &mut analysis.statements {
        statement.range = 0..0;
    }
    analysis
}
