//! The corpus as data: which attack, by whom, in which forms, what must come of it, and its harmless twin.
//!
//! Strict: an unknown key is a mistake, since a misspelt expectation would otherwise be none. `corpus/README.md` describes
//! the files for those who want to run them against something else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The folder of the data files.
pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/hazards/corpus")
}

/// The whole corpus.
#[derive(Debug)]
pub(super) struct Corpus {
    pub(super) world: Ground,
    pub(super) titles: BTreeMap<String, String>,
    pub(super) entries: Vec<Entry>,
}

/// What the attacks stand on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ground {
    /// SQL for the upstream, run as its superuser before the gateway starts.
    pub(super) setup: String,
    /// Class to columns.
    pub(super) classes: BTreeMap<String, Vec<String>>,
    /// `table.column` whose values must never leave, in any form.
    pub(super) canaries: Vec<String>,
    /// SQL whose answer no attack may change.
    pub(super) tripwire: String,
    /// SQL for the upstream after each attack and each twin: brings back what they changed.
    pub(super) restore: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    titles: BTreeMap<String, String>,
    entries: Vec<Entry>,
}

/// One attack with its twin.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// The hazard, such as `MK02`.
    pub(super) id: String,
    /// What sets it apart from the others of its hazard.
    pub(super) name: String,
    /// SQL for the upstream before the gateway starts.
    #[serde(default)]
    pub(super) setup: String,
    /// SQL for the upstream just before the last step: the world changes under an open session.
    #[serde(default)]
    pub(super) late: String,
    /// SQL for the upstream after the attack.
    #[serde(default)]
    pub(super) undo: String,
    /// The workload.
    #[serde(default = "reporting", rename = "as")]
    pub(super) workload: String,
    /// Parameters of the attack's startup packet.
    #[serde(default)]
    pub(super) startup: BTreeMap<String, String>,
    pub(super) attack: Steps,
    pub(super) expect: Expect,
    /// The SQLSTATE of an error that is expected.
    pub(super) code: Option<String>,
    /// What the answer must contain: the mask.
    pub(super) shows: Option<String>,
    /// Other expectations in some forms.
    #[serde(default)]
    pub(super) but: BTreeMap<Form, Expect>,
    /// The forms; unless given, all that fit the statement.
    pub(super) forms: Option<Vec<Form>>,
    /// The first and the last major that it is about.
    pub(super) since: Option<u32>,
    pub(super) until: Option<u32>,
    pub(super) twin: Steps,
    /// What the twin's answer must contain.
    pub(super) says: Option<String>,
    /// SQL whose answer the attack must not change, beside the world's.
    pub(super) unchanged: Option<String>,
    /// The twin's forms, where it has fewer than the attack.
    pub(super) twin_forms: Option<Vec<Form>>,
}

fn reporting() -> String {
    "reporting".to_owned()
}

impl Entry {
    /// Its name in reports.
    pub(super) fn key(&self) -> String {
        format!("{} {}", self.id, self.name)
    }

    /// Is it about this major?
    pub(super) fn is_about(&self, major: u32) -> bool {
        self.since.is_none_or(|since| since <= major) && self.until.is_none_or(|until| major <= until)
    }
}

/// One step, or several of one session.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Steps {
    One(Step),
    Several(Vec<Step>),
}

impl Steps {
    pub(super) fn list(&self) -> &[Step] {
        match self {
            Self::One(step) => std::slice::from_ref(step),
            Self::Several(steps) => steps,
        }
    }
}

/// What a client sends.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Step {
    /// SQL. `{{N*text}}` stands for N times the text.
    Sql(String),
    /// The body of a message of this tag, where `\xNN` stands for a byte and nothing is added; then Sync, but for `Q`.
    Bytes { tag: char, bytes: String },
    /// A statement with parameters, each as text.
    Bound { sql: String, bind: Vec<String> },
    /// Parse and Describe under a name now, with this SQL.
    Prepare { prepare: String },
    /// Bind and Execute of what `prepare` named, without Describe; in text, or in binary.
    Run { run: RunFormat },
    /// SQL in which `{}` stands for the first cell of the rows that came last.
    Back { back: String },
    /// Rows for a COPY FROM STDIN.
    Copy { copy: String, lines: String },
    /// All in one write, before any answer is read.
    Pipeline { pipeline: Vec<String> },
}

/// The format of a result.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum RunFormat {
    Text,
    Binary,
}

/// How a statement reaches the server, and its rows the client.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(super) enum Form {
    /// A simple query.
    Simple,
    /// Parse, Describe, Bind, Execute: text results.
    Extended,
    /// The same, binary results.
    Binary,
    /// Without a Describe.
    Undescribed,
    /// DECLARE and FETCH.
    Cursor,
    /// COPY (…) TO STDOUT.
    Copy,
    /// COPY (…) TO STDOUT in CSV.
    Csv,
    /// PREPARE and EXECUTE.
    Execute,
}

impl Form {
    /// Every form that a query has.
    pub(super) const QUERY: [Self; 8] = [
        Self::Simple,
        Self::Extended,
        Self::Binary,
        Self::Undescribed,
        Self::Cursor,
        Self::Copy,
        Self::Csv,
        Self::Execute,
    ];
    /// Those of a statement that is no query.
    pub(super) const STATEMENT: [Self; 3] = [Self::Simple, Self::Extended, Self::Binary];
}

/// What must come of an attack. In no case may a canary appear.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Expect {
    /// Rows, without an error.
    Masked,
    /// Rows, without an error, and at least one cell of each is NULL.
    Nulled,
    /// Parapet refuses.
    Refused,
    /// The upstream's own error passes, with its code and without its text.
    Error,
    /// Refused, or rows without the value.
    Hidden,
    /// What the server itself says, row for row; or its error.
    Same,
}

/// Reads every file.
pub(super) fn read() -> Corpus {
    let mut corpus = Corpus { world: parse("world.yaml"), titles: BTreeMap::new(), entries: Vec::new() };
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("PL") || name.starts_with("MK"))
        .collect();
    names.sort();
    for name in names {
        let file: File = parse(&name);
        corpus.titles.extend(file.titles);
        corpus.entries.extend(file.entries);
    }
    corpus
}

fn parse<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every hazard of lexing and masking is there, for each major; no name is there twice.
pub(super) fn assert_complete(corpus: &Corpus) {
    let all: BTreeSet<String> =
        ["PL", "MK"].iter().flat_map(|kind| (1..=19).map(move |n| format!("{kind}{n:02}"))).collect();
    assert_eq!(
        corpus.titles.keys().cloned().collect::<BTreeSet<_>>(),
        all,
        "hazards without a title, or titles without one"
    );
    for major in [15, 18] {
        let held: BTreeSet<String> =
            corpus.entries.iter().filter(|entry| entry.is_about(major)).map(|entry| entry.id.clone()).collect();
        assert_eq!(held, all, "hazards without an attack on {major}");
    }
    let mut keys = BTreeSet::new();
    for entry in &corpus.entries {
        assert!(keys.insert(entry.key()), "`{}` is there twice", entry.key());
    }
}
