//! Looks at values in results, in columns that carry no class: what looks sensitive is entered, suggested, and where the
//! configuration says so replaced. Of most results only some rows are looked at, so that it costs next to nothing.
//!
//! It is a signal and not the control: masks follow classes and lineage (`wire::mask`). COPY is not looked at.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kernel::policy::Snapshot;
use kernel::ports::Detection;
use kernel::time::Timestamp;
use wire::detect::{Detector, Kind, Scratch, Strength};
use wire::mask::DescribedField;
use wire::postgres::message::DataRow;
use wire::sql::{Analysis, Flow, Outputs};

use super::catalogue::Guarded;
use super::connect::Detect;
use super::prepared::Running;
use super::serve::End;
use crate::session::Session;

/// Of a result that is looked at: so many rows from its first.
const FIRST: u64 = 8;
/// From then on one row in so many.
const STEP: u64 = 64;
/// A result is looked at from this row on, even if it was not its turn.
const LONG: u64 = 256;
/// One request in so many is looked at from its first row.
const TURN: u64 = 16;
/// So much of a value is looked at where it is not replaced.
const PREFIX: usize = 1024;
/// How long the same finding is not entered again.
const QUIET: Duration = Duration::from_secs(3600);
/// So many findings, and so many shapes of requests, are remembered.
const MOST: usize = 4096;

/// What the sessions of one upstream share.
#[derive(Debug)]
pub(super) struct Watchers {
    mode: Detect,
    detector: Detector,
    turn: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    scratches: Vec<Scratch>,
    /// By shape and statement.
    columns: HashMap<(u128, usize), AsOf>,
    entered: HashMap<Finding, Entered>,
}

/// The columns of a result without a class, as of a catalogue and a snapshot.
#[derive(Clone, Debug)]
struct AsOf {
    epochs: (u64, u64),
    columns: Arc<[Unclassified]>,
}

/// A column, and what its values look like.
type Finding = ([Arc<str>; 3], Kind);

/// When a finding was entered last, and what has been found since.
#[derive(Clone, Copy, Debug)]
struct Entered {
    at: Timestamp,
    hits: u32,
    samples: u32,
}

/// A result column without a class, and whose values it has.
#[derive(Clone, Debug)]
struct Unclassified {
    place: usize,
    column: [Arc<str>; 3],
    type_oid: Option<u32>,
}

/// How the rows of one request are looked at.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// From the first row.
    due: bool,
    /// What is found is replaced.
    masks: bool,
    /// The columns as the upstream described them.
    fields: Option<Vec<DescribedField>>,
    looking: Option<Box<Looking>>,
}

#[derive(Debug)]
struct Looking {
    scratch: Scratch,
    columns: Vec<Watched>,
    found: BTreeMap<(usize, Kind), u32>,
    samples: u32,
}

#[derive(Debug)]
struct Watched {
    place: usize,
    column: [Arc<str>; 3],
    type_oid: u32,
    type_modifier: i32,
    binary: bool,
}

impl Watchers {
    /// None where nothing is looked at.
    pub(super) fn new(mode: Detect) -> Option<Self> {
        if mode == Detect::Off {
            return None;
        }
        // The patterns are constants, and a test builds them.
        let detector = Detector::new().ok()?;
        Some(Self { mode, detector, turn: AtomicU64::new(0), kept: Mutex::default() })
    }

    /// How the next request is looked at.
    pub(super) fn next(&self) -> Watch {
        let masks = self.mode == Detect::Mask;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        Watch { due: masks || turn < TURN || turn.is_multiple_of(TURN), masks, fields: None, looking: None }
    }

    fn scratch(&self) -> Scratch {
        let scratch = self.kept.lock().unwrap_or_else(PoisonError::into_inner).scratches.pop();
        scratch.unwrap_or_else(|| self.detector.scratch())
    }

    fn give_back(&self, scratch: Scratch) {
        const SPARE: usize = 8;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.scratches.len() < SPARE {
            kept.scratches.push(scratch);
        }
    }

    /// The columns of a statement's result that carry no class.
    fn unclassified(&self, running: &Running, epoch: u64, snapshot: &Snapshot) -> Arc<[Unclassified]> {
        let key = (running.shape, running.statement);
        let epochs = (epoch, snapshot.epoch());
        if let Some(known) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).columns.get(&key)
            && known.epochs == epochs
        {
            return known.columns.clone();
        }
        let (analysis, outputs) = running.answering();
        let found: Arc<[Unclassified]> = unclassified(analysis, outputs, snapshot).into();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.columns.len() >= MOST {
            kept.columns.clear();
        }
        kept.columns.insert(key, AsOf { epochs, columns: found.clone() });
        found
    }

    /// What of a finding is to be entered now, with what was found since it was entered last; nothing if that is not long
    /// ago.
    fn due_entry(&self, finding: Finding, hits: u32, samples: u32, now: Timestamp) -> Option<(u32, u32)> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.entered.len() >= MOST && !kept.entered.contains_key(&finding) {
            kept.entered.retain(|_, entered| now.since(entered.at) < QUIET);
            if kept.entered.len() >= MOST {
                return None;
            }
        }
        let entered = kept.entered.entry(finding).or_insert(Entered {
            // Long ago: the first finding is entered at once.
            at: Timestamp::from_millis(i64::MIN),
            hits: 0,
            samples: 0,
        });
        entered.hits = entered.hits.saturating_add(hits);
        entered.samples = entered.samples.saturating_add(samples);
        if now.since(entered.at) < QUIET {
            return None;
        }
        entered.at = now;
        Some((std::mem::take(&mut entered.hits), std::mem::take(&mut entered.samples)))
    }
}

fn unclassified(analysis: &Analysis, outputs: &Outputs, snapshot: &Snapshot) -> Vec<Unclassified> {
    let Outputs::Columns(columns) = outputs else { return Vec::new() };
    let mut found = Vec::new();
    for (place, output) in columns.iter().enumerate() {
        let (Flow::Bare(sources) | Flow::Derived(sources)) = &output.flow else { continue };
        let resources = || sources.iter().filter_map(|source| analysis.operations.get(*source)).map(|it| &it.resource);
        // A class, or somebody's word that it needs none, settles it.
        if resources().any(|resource| !snapshot.class_sources(resource).is_empty()) {
            continue;
        }
        // Where views stand between, the table comes last.
        if let Some([_, schema, table, column]) = resources().next_back().map(|resource| resource.path.as_slice()) {
            let column = [schema.clone(), table.clone(), column.clone()];
            found.push(Unclassified { place, column, type_oid: output.type_oid });
        }
    }
    found
}

/// Types whose values are text, or are written as such.
fn is_text(type_oid: u32, binary: bool) -> bool {
    match type_oid {
        // text, varchar, bpchar, json, xml, jsonb, text[], varchar[]
        25 | 1043 | 1042 | 114 | 142 | 3802 | 1009 | 1015 => true,
        // int8, numeric
        20 | 1700 => !binary,
        _ => false,
    }
}

impl Watch {
    /// Are rows rewritten?
    pub(super) fn masks(&self) -> bool {
        self.masks
    }

    /// Remembers the columns as the upstream described them.
    pub(super) fn described(&mut self, fields: Vec<DescribedField>) {
        self.fields = Some(fields);
    }

    fn wants(&self, row: u64) -> bool {
        self.masks || row.is_multiple_of(STEP) && (self.due || row >= LONG) || self.due && row < FIRST
    }
}

impl Running {
    /// Looks at a row that passes as it is.
    pub(super) fn watch(&mut self, tag: u8, body: &[u8], guarded: &Guarded, session: &Session) {
        if tag != b'D' || !self.watch.wants(self.rows) {
            return;
        }
        let Some(watchers) = guarded.watchers() else { return };
        self.look(body, watchers, guarded, session);
    }

    /// Looks at a row that was written to `out` from `start` on, and replaces what it finds if it should.
    pub(super) fn watch_written(
        &mut self,
        tag: u8,
        start: usize,
        out: &mut Vec<u8>,
        guarded: &Guarded,
        session: &Session,
    ) -> Result<(), End> {
        let Some(watchers) = guarded.watchers() else { return Ok(()) };
        if tag != b'D' || out.len() <= start + 5 || !self.watch.wants(self.rows.saturating_sub(1)) {
            return Ok(());
        }
        let body = out.get(start + 5..).unwrap_or_default();
        let replaced = self.look(body, watchers, guarded, session);
        if !self.watch.masks || replaced.is_empty() {
            return Ok(());
        }
        let row = DataRow::decode(body).map_err(|_malformed| End::UpstreamProtocol)?;
        let mut rewritten = Vec::with_capacity(body.len());
        let columns = u16::try_from(row.len()).map_err(|_too_many| End::UpstreamProtocol)?;
        let mut writer = wire::postgres::message::DataRowWriter::new(&mut rewritten, columns);
        for (place, value) in row.columns().enumerate() {
            match replaced.iter().find(|(at, _)| *at == place) {
                Some((_, instead)) => writer.value(*instead),
                None => writer.value(value),
            }
        }
        writer.finish().map_err(|_unencodable| End::UpstreamProtocol)?;
        out.truncate(start);
        out.extend_from_slice(&rewritten);
        Ok(())
    }

    /// Looks at a row; the cells in which something was found, and what stands for them.
    fn look(
        &mut self,
        body: &[u8],
        watchers: &Watchers,
        guarded: &Guarded,
        session: &Session,
    ) -> Vec<(usize, Option<&'static [u8]>)> {
        if self.watch.looking.is_none() {
            let columns = self.watched(watchers, guarded, session);
            let (found, scratch) = (BTreeMap::new(), watchers.scratch());
            self.watch.looking = Some(Box::new(Looking { scratch, columns, found, samples: 0 }));
        }
        let most = if self.watch.masks { usize::MAX } else { PREFIX };
        let Some(looking) = self.watch.looking.as_deref_mut().filter(|looking| !looking.columns.is_empty()) else {
            return Vec::new();
        };
        let Ok(row) = DataRow::decode(body) else { return Vec::new() };
        let mut replaced = Vec::new();
        looking.samples = looking.samples.saturating_add(1);
        let mut watched = looking.columns.iter().enumerate().peekable();
        for (place, value) in row.columns().enumerate() {
            let Some((index, column)) = watched.next_if(|(_, column)| column.place == place) else { continue };
            let Some(value) = value else { continue };
            let looked_at = value.get(..most).unwrap_or(value);
            let mut seen: u32 = 0;
            watchers.detector.scan(&mut looking.scratch, looked_at, |hit| {
                let bit = 1_u32 << hit.kind.place();
                if hit.strength > Strength::Hint && seen & bit == 0 {
                    seen |= bit;
                    *looking.found.entry((index, hit.kind)).or_default() += 1;
                }
            });
            if seen != 0 && self.watch.masks {
                replaced.push((place, column.instead()));
            }
        }
        replaced
    }

    /// The columns that are looked at: without a class, and of a type whose values are text.
    fn watched(&self, watchers: &Watchers, guarded: &Guarded, session: &Session) -> Vec<Watched> {
        let unclassified = watchers.unclassified(self, guarded.epoch(), &session.snapshot());
        let portal = self.portal.as_ref();
        let earlier = portal.and_then(|portal| portal.prepared.described.get());
        let formats = portal.map_or(&[][..], |portal| &portal.formats);
        let watched = |one: &Unclassified| {
            let described = self.watch.fields.as_ref().and_then(|fields| fields.get(one.place));
            let known = described.or_else(|| earlier.and_then(|fields| fields.get(one.place)));
            let type_oid = known.map(|field| field.type_oid).or(one.type_oid)?;
            let binary = match described {
                Some(field) => field.binary,
                // One format stands for all columns, none for text.
                None => {
                    formats.get(one.place).or(formats.first().filter(|_| formats.len() == 1)).copied() == Some(true)
                }
            };
            is_text(type_oid, binary).then(|| Watched {
                place: one.place,
                column: one.column.clone(),
                type_oid,
                type_modifier: known.map_or(0, |field| field.type_modifier),
                binary,
            })
        };
        unclassified.iter().filter_map(watched).collect()
    }

    /// The statement's rows are complete: what was found is suggested and entered, by kinds and counts.
    pub(super) fn report(&mut self, guarded: &Guarded, session: &mut Session) {
        self.watch.fields = None;
        let (Some(looking), Some(watchers)) = (self.watch.looking.take(), guarded.watchers()) else { return };
        let Looking { scratch, columns, found, samples } = *looking;
        watchers.give_back(scratch);
        let now = session.clock().now();
        for ((index, kind), hits) in found {
            let Some(watched) = columns.get(index) else { continue };
            let detection = Detection {
                upstream: guarded.upstream.name.clone(),
                column: watched.column.clone(),
                detector: kind.as_str(),
                class: kind.class(),
                hits,
                samples,
            };
            if let Some((hits, samples)) = watchers.due_entry((watched.column.clone(), kind), hits, samples, now) {
                session.note_detection(&Detection { hits, samples, ..detection.clone() });
            }
            if let Some(classes) = guarded.classes() {
                classes.detected(detection);
            }
        }
    }
}

impl Watched {
    /// What stands for a value in which something was found: of the column's type, or NULL.
    fn instead(&self) -> Option<&'static [u8]> {
        const WORD: &[u8] = b"[redacted]";
        // The modifier of a type with a length is that length and four.
        let fits = self.type_modifier < 0 || self.type_modifier >= 14;
        match (self.type_oid, self.binary) {
            (25, _) => Some(WORD),
            (1043, _) if fits => Some(WORD),
            (114, _) | (3802, false) => Some(b"\"[redacted]\""),
            (3802, true) => Some(b"\x01\"[redacted]\""),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
