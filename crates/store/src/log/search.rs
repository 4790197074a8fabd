//! Reads entries, newest or oldest first, in bounded memory. Short ones come in full. Does not verify: `verify.rs` does.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kernel::audit::{ChainHash, Committed, Record, like};
use kernel::id::DecisionId;
use serde_json::Value;

use super::contents::ContentReader;
use super::filter::{Filter, Order};
use super::lines::{Backwards, Forwards, Line};
use super::referred::Referred;
use super::segment::{self, Segment};

/// An entry that was looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its position in the log.
    pub seq: u64,
    /// The chain after it.
    pub chain: ChainHash,
    /// What it says. An entry that is short in the log has the members of the one that it refers to, and keeps its `like`;
    /// if that one is not there, `like_missing` is true. Content that stands beside the log is put back in place of the
    /// commitment to it; if it is gone, the commitment stays, and `shredded` is true.
    pub entry: Value,
}

/// The log cannot be searched any further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// A file cannot be read.
    #[error("the audit log cannot be read: {0}")]
    Unreadable(io::ErrorKind),
    /// A line is no record; `verify` says more.
    #[error("`{file}` holds a line that is not a record; verify the log")]
    NotARecord {
        /// The file's name.
        file: String,
    },
}

/// Why one decision was not found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// The log cannot be searched.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// There is none.
    #[error("the log holds no such decision")]
    None,
    /// The prefix fits several.
    #[error("the prefix fits several decisions")]
    Ambiguous,
    /// It is neither `last` nor the beginning of a decision's id.
    #[error("a decision is named by `last`, its id, or the id's beginning")]
    NotAnId,
}

/// The entries of the log in `dir` that fit `filter`. Entries appended after the call may be missing.
pub fn search(dir: &Path, filter: Filter, order: Order) -> Result<Search, SearchError> {
    let segments = segment::list(dir).map_err(|error| SearchError::Unreadable(error.kind()))?;
    let referred = Some(Referred::new(segments.as_slice().into()));
    Ok(Search {
        segments: segments.into(),
        lines: None,
        filter,
        order,
        over: false,
        stop: None,
        referred,
        contents: None,
    })
}

/// An iterator over entries. It ends after the first error.
#[derive(Debug)]
pub struct Search {
    segments: VecDeque<Segment>,
    lines: Option<(String, Lines)>,
    filter: Filter,
    order: Order,
    over: bool,
    stop: Option<Arc<AtomicBool>>,
    /// None for a search that leaves short entries as they are.
    referred: Option<Referred>,
    contents: Option<ContentReader>,
}

#[derive(Debug)]
enum Lines {
    Forwards(Forwards),
    Backwards(Backwards),
}

impl Iterator for Search {
    type Item = Result<Found, SearchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let found = self.advance().transpose();
        self.over = !matches!(found, Some(Ok(_)));
        found
    }
}

impl Search {
    /// Ends as soon as `stop` is true, also amid a stretch in which nothing fits.
    pub fn stopping(self, stop: Arc<AtomicBool>) -> Self {
        Self { stop: Some(stop), ..self }
    }

    /// With the content that stands beside the log, where it was not shredded.
    pub fn with_contents(self, contents: Option<ContentReader>) -> Self {
        Self { contents, ..self }
    }

    fn advance(&mut self) -> Result<Option<Found>, SearchError> {
        loop {
            if self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                return Ok(None);
            }
            let Some((file, lines)) = &mut self.lines else {
                let next = match self.order {
                    Order::NewestFirst => self.segments.pop_back(),
                    Order::OldestFirst => self.segments.pop_front(),
                };
                let Some(segment) = next else { return Ok(None) };
                self.lines = Some((segment.name(), Lines::open(&segment, self.order)?));
                continue;
            };
            let not_a_record = || SearchError::NotARecord { file: file.clone() };
            let line = match lines {
                Lines::Forwards(lines) => match lines.next().map_err(unreadable)? {
                    Some(Line::Whole(line)) => Some(std::borrow::Cow::Borrowed(line)),
                    Some(Line::TooLong) => return Err(not_a_record()),
                    Some(Line::Unfinished(_) | Line::Reserved) | None => None,
                },
                Lines::Backwards(lines) => match lines.next() {
                    Ok(line) => line.map(std::borrow::Cow::Owned),
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(not_a_record()),
                    Err(error) => return Err(unreadable(error)),
                },
            };
            let Some(line) = line else {
                self.lines = None;
                continue;
            };
            let record = Record::parse(&line).ok_or_else(not_a_record)?;
            if let (Some(referred), Order::OldestFirst) = (&mut self.referred, self.order) {
                referred.note(record.entry);
            }
            if !self.filter.may_match(record.entry) {
                continue;
            }
            let mut entry: Value = serde_json::from_slice(record.entry).map_err(|_| not_a_record())?;
            if !self.filter.matches_own(&entry) {
                continue;
            }
            let mut text = std::borrow::Cow::Borrowed(record.entry);
            if let (Some(referred), Some(first)) = (&mut self.referred, like(record.entry)) {
                text = referred.expanded(record.entry, first, self.stop.as_deref()).map_err(unreadable)?.into();
                entry = serde_json::from_slice(&text).map_err(|_| not_a_record())?;
            }
            if let (Some(contents), Some(committed)) = (&mut self.contents, Committed::read(&text)) {
                match contents.restore(&committed).map_err(unreadable)? {
                    Some(restored) => {
                        entry = serde_json::from_slice(&restored).map_err(|_| not_a_record())?;
                        text = restored.into();
                    }
                    None => {
                        if let Some(members) = entry.as_object_mut() {
                            members.insert("shredded".to_owned(), Value::Bool(true));
                        }
                    }
                }
            }
            if self.filter.matches_body(&entry, &text) {
                return Ok(Some(Found { seq: record.seq.0, chain: record.chain, entry }));
            }
        }
    }
}

impl Lines {
    fn open(segment: &Segment, order: Order) -> Result<Self, SearchError> {
        match order {
            Order::NewestFirst => Backwards::open(&segment.path).map(Self::Backwards),
            Order::OldestFirst => Forwards::open(&segment.path, 0).map(Self::Forwards),
        }
        .map_err(unreadable)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unreadable(error: io::Error) -> SearchError {
    SearchError::Unreadable(error.kind())
}

/// The newest entry of the decision that `named` names: `last`, an id, or the beginning of exactly one id.
pub fn find_decision(dir: &Path, named: &str, contents: Option<ContentReader>) -> Result<Found, FindError> {
    if named == "last" {
        return newest(dir, None, contents);
    }
    if named.parse::<DecisionId>().is_ok() {
        return newest(dir, Some(named.to_owned()), contents);
    }
    if named.len() <= DecisionId::PREFIX.len() || !named.starts_with(DecisionId::PREFIX) {
        return Err(FindError::NotAnId);
    }
    // A decision that was held stands there twice: when it was asked, and when it was granted or not.
    let mut one: Option<String> = None;
    let all = search(dir, decisions(None), Order::NewestFirst)?;
    for found in (Search { referred: None, ..all }) {
        let found = found?;
        let id = found.entry.get("decision").and_then(Value::as_str);
        if let Some(id) = id.filter(|id| id.starts_with(named)) {
            match &one {
                Some(first) if first != id => return Err(FindError::Ambiguous),
                Some(_) => {}
                None => one = Some(id.to_owned()),
            }
        }
    }
    newest(dir, Some(one.ok_or(FindError::None)?), contents)
}

fn decisions(decision: Option<String>) -> Filter {
    Filter { kind: Some("decision".to_owned()), decision, ..Filter::default() }
}

fn newest(dir: &Path, decision: Option<String>, contents: Option<ContentReader>) -> Result<Found, FindError> {
    let all = search(dir, decisions(decision), Order::NewestFirst)?;
    Ok(all.with_contents(contents).next().ok_or(FindError::None)??)
}

#[cfg(test)]
mod tests;
