//! Which class a column seems to need: its name and what detectors found in a sample, put together. What comes out are
//! counts and kinds, never values. A person confirms.

use super::names::{Named, by_name};
use super::{Detector, Kind, Scratch, Strength};

/// How many values of a column are looked at, and how much of each.
const ROWS: usize = 200;
const CHARACTERS: usize = 2000;
/// Fewer values than this say nothing by what they lack.
const ENOUGH: u32 = 20;

/// What detectors found in the values of one column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    samples: u32,
    hits: [u32; Kind::ALL.len()],
    /// Those of them that are no mere hints.
    firm: [u32; Kind::ALL.len()],
}

/// How sure a suggestion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Something points there.
    Low,
    /// The name or the values say so.
    Medium,
    /// The values leave little doubt.
    High,
}

impl Confidence {
    /// What people and programs call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// A class for a column, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The class.
    pub class: &'static str,
    /// How sure.
    pub confidence: Confidence,
    /// What the values look like, if any do.
    pub kind: Option<Kind>,
    /// So many of the samples do.
    pub hits: u32,
    /// So many values were looked at; none without a scan.
    pub samples: u32,
    /// What the name says it holds.
    pub name: Option<&'static str>,
}

impl Evidence {
    /// Looks at one value.
    pub fn add(&mut self, detector: &Detector, scratch: &mut Scratch, value: &[u8]) {
        if value.is_empty() {
            return;
        }
        self.samples += 1;
        let (mut seen, mut firm) = (0_u32, 0_u32);
        detector.scan(scratch, value, |hit| {
            let bit = 1 << hit.kind.place();
            seen |= bit;
            if hit.strength > Strength::Hint {
                firm |= bit;
            }
        });
        let counts = self.hits.iter_mut().zip(&mut self.firm);
        for (place, (hits, firmly)) in counts.enumerate() {
            *hits += seen >> place & 1;
            *firmly += firm >> place & 1;
        }
    }

    /// How many values were looked at.
    pub fn samples(&self) -> u32 {
        self.samples
    }

    /// The kind that most values look like, and how sure that makes. A hint counts where nearly every value gives it.
    fn best(&self) -> Option<(Kind, u32, Confidence)> {
        let firm = |place: usize| self.firm.get(place).copied().unwrap_or(0);
        let judge = |(place, (kind, hits)): (usize, (&Kind, &u32))| {
            let share = |hits: u32| u64::from(hits) * 100 / u64::from(self.samples.max(1));
            let confidence = match (share(firm(place)), share(*hits)) {
                (50.., _) => Confidence::High,
                (5.., _) => Confidence::Medium,
                (_, 80..) if self.samples >= ENOUGH => Confidence::Medium,
                _ if firm(place) > 0 => Confidence::Low,
                _ => return None,
            };
            Some((*kind, *hits, confidence))
        };
        let judged = Kind::ALL.iter().zip(&self.hits).enumerate().filter_map(judge);
        judged.max_by_key(|(_, hits, confidence)| (*confidence, *hits))
    }
}

impl Suggestion {
    /// What a column seems to need, by its name and by a sample if there is one.
    pub fn of(column: &str, evidence: Option<&Evidence>) -> Option<Self> {
        let named = by_name(column);
        let samples = evidence.map_or(0, Evidence::samples);
        let name = named.map(|named| named.what);
        let Some((kind, hits, confidence)) = evidence.and_then(Evidence::best) else {
            let Named { class, shows, .. } = named?;
            let misleads = shows && samples >= ENOUGH;
            let confidence = if misleads { Confidence::Low } else { Confidence::Medium };
            return Some(Self { class, confidence, kind: None, hits: 0, samples, name });
        };
        let agrees = named.is_some_and(|named| named.class == kind.class());
        let confidence = if agrees && confidence == Confidence::Medium { Confidence::High } else { confidence };
        // What the name says is more sensitive than what some values mention.
        let class = match named {
            Some(named) if confidence == Confidence::Low => named.class,
            _ => kind.class(),
        };
        Some(Self { class, confidence, kind: Some(kind), hits, samples, name })
    }
}

/// Types whose values are read for a sample: built-in ones, whose output runs no code of the database's users.
pub fn samples_type(oid: u32) -> bool {
    // int8, text, json, xml, inet, bpchar, varchar, numeric, jsonb, text[], varchar[]
    matches!(oid, 20 | 25 | 114 | 142 | 869 | 1042 | 1043 | 1700 | 3802 | 1009 | 1015)
}

/// Reads a sample of some columns of a table as text. Names are quoted, whatever they are.
pub fn sample_query<'c>(schema: &str, table: &str, columns: impl IntoIterator<Item = &'c str>) -> String {
    let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let columns: Vec<String> = columns
        .into_iter()
        .map(|column| {
            // A function before a type of the same name that a user made.
            format!("pg_catalog.left({}::pg_catalog.text, {CHARACTERS})", quote(column))
        })
        .collect();
    format!("SELECT {} FROM ONLY {}.{} LIMIT {ROWS}", columns.join(", "), quote(schema), quote(table))
}
