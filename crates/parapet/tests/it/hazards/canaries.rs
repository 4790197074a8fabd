//! Planted values, and everything that may be made of them, looked for in bytes.
//!
//! Of a text: every run of six of its letters (eight of digits and ten of hexadecimal digits, which are common), in either case, forwards and backwards,
//! as it is, in hexadecimal and in base64 at each of its three alignments; and its MD5 and SHA-256. Of any type: its binary
//! form. Separators are left out of the runs, since masks show them.

use std::collections::HashSet;

use crate::bed::postgres::Postgres;

/// Letters in a row that count as the value.
const RUN: usize = 6;
/// Digits in a row that count as the value.
const DIGITS: usize = 8;
/// Hexadecimal digits in a row that count as the value, where it has no other letters: audit logs are full of them.
const HEX: usize = 10;
/// Hexadecimal digits of a hash in a row that count as the value.
const HASH: usize = 12;
/// Hexadecimal digits of a SHA-256.
const DIGEST: usize = 64;

/// Values to look for.
#[derive(Clone, Debug, Default)]
pub(super) struct Canaries {
    /// In lower case.
    runs: Parts,
    /// As they are.
    exact: Parts,
}

/// Strings of at least four bytes, found fast in megabytes of logs.
#[derive(Clone, Debug, Default)]
struct Parts {
    all: HashSet<Vec<u8>>,
    lengths: Vec<usize>,
    /// At the slot of its first four bytes: does any begin so?
    starts: Vec<bool>,
}

impl Parts {
    fn insert(&mut self, part: Vec<u8>) {
        self.all.insert(part);
    }

    fn finish(&mut self) {
        self.lengths = self.all.iter().map(Vec::len).collect();
        self.lengths.sort_unstable();
        self.lengths.dedup();
        self.starts = vec![false; 1 << 20];
        for part in &self.all {
            self.starts[slot(part)] = true;
        }
    }

    fn find<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let starts = (0..bytes.len().saturating_sub(3)).filter(|at| self.starts[slot(&bytes[*at..])]);
        let mut parts = starts.flat_map(|at| self.lengths.iter().filter_map(move |length| bytes.get(at..at + length)));
        parts.find(|part| self.all.contains(*part))
    }
}

/// Of four bytes, twenty bits.
fn slot(bytes: &[u8]) -> usize {
    let key = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    usize::try_from(key.wrapping_mul(2_654_435_761) >> 12).unwrap()
}

impl Canaries {
    /// The values of columns, `table.column`, asked from the server itself.
    pub(super) fn planted(postgres: &Postgres, columns: &[String]) -> Self {
        let mut canaries = Self::default();
        for column in columns {
            let (table, column) = column.rsplit_once('.').unwrap();
            let send = postgres.sql(&format!(
                "select t.typsend::oid::regproc from pg_attribute a join pg_type t on t.oid = a.atttypid \
                 where a.attrelid = '{table}'::regclass and a.attname = '{column}'"
            ));
            let rows = postgres.sql(&format!(
                "select translate({column}::text, e'\\n\\t', '  ') || e'\\t' || encode({send}({column}), 'hex') from {table} where {column} is not null"
            ));
            for row in rows.lines() {
                let (text, binary) = row.split_once('\t').unwrap();
                canaries.add(text, &unhex(binary));
            }
            let hashes = postgres.sql(&format!(
                "select md5(v) || ' ' || md5(lower(v)) || ' ' || md5(upper(v)) || ' ' || encode(sha256(v::bytea), 'hex') \
                 from (select {column}::text as v from {table} where {column} is not null) as s where v !~ '\\\\'"
            ));
            for hash in hashes.split_whitespace() {
                canaries.add_runs(hash.as_bytes(), HASH);
            }
        }
        canaries.finish();
        canaries
    }

    /// Adds a value by its text and its binary form; [`Self::finish`] comes after the last.
    pub(super) fn add(&mut self, text: &str, binary: &[u8]) {
        for run in text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|run| run.len() >= RUN) {
            let length = match run {
                run if run.bytes().all(|byte| byte.is_ascii_digit()) => DIGITS,
                run if run.trim_start_matches('x').bytes().all(|byte| byte.is_ascii_hexdigit()) => HEX,
                _ => RUN,
            };
            if run.len() < length {
                continue;
            }
            let lower = run.to_ascii_lowercase();
            let backwards: String = lower.chars().rev().collect();
            for text in [run, &lower, &run.to_ascii_uppercase()] {
                for part in text.as_bytes().windows(length) {
                    self.runs.insert(hex(part).into_bytes());
                    self.exact.insert(base64_whole(part));
                }
            }
            self.add_runs(lower.as_bytes(), length);
            self.add_runs(backwards.as_bytes(), length);
        }
        // What is not made of letters has its text as a whole: a date, a range.
        if text.len() >= DIGITS {
            self.runs.insert(text.to_ascii_lowercase().into_bytes());
        }
        // The digits of a numeric follow eight bytes of weight, sign and scale.
        let binary = if binary.len() > 12 && text.parse::<f64>().is_ok() { &binary[8..] } else { binary };
        if binary.len() >= 4 && !binary.is_ascii() {
            self.exact.insert(binary.to_vec());
        }
    }

    fn add_runs(&mut self, text: &[u8], length: usize) {
        self.runs.all.extend(text.windows(length).map(<[u8]>::to_vec));
    }

    /// Makes it ready to look.
    pub(super) fn finish(&mut self) {
        self.runs.finish();
        self.exact.finish();
    }

    /// The first find, said without telling it all.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<String> {
        let bytes = without_ids(bytes);
        let lower = bytes.to_ascii_lowercase();
        let found = self.runs.find(&lower).or_else(|| self.exact.find(&bytes));
        found.map(|found| format!("`{}`", found.escape_ascii()))
    }

    /// The same in the gateway's own files. They hold thousands of its digests, in which any six digits occur by chance: those
    /// count only if they are a canary's own.
    pub(super) fn find_in_log(&self, bytes: &[u8]) -> Option<String> {
        let mut bytes = bytes.to_vec();
        let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let mut at = 0;
        while at < bytes.len() {
            let length = bytes[at..].iter().take_while(|byte| is_hex(byte)).count();
            let run = at..at + length;
            if length == DIGEST && !bytes[run.clone()].windows(HASH).any(|part| self.runs.all.contains(part)) {
                bytes[run].fill(b'-');
            }
            at += length + 1;
        }
        self.find(&bytes)
    }

    /// Is there anything to look for?
    pub(super) fn is_empty(&self) -> bool {
        self.runs.all.is_empty() && self.exact.all.is_empty()
    }
}

/// The bytes with Parapet's own ids, sixteen random capitals and digits, blotted out: in megabytes of them everything occurs.
fn without_ids(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for at in 0..bytes.len().saturating_sub(19) {
        let id = &bytes[at + 4..at + 20];
        if [b"dec_", b"ses_", b"apr_"].iter().any(|kind| bytes[at..].starts_with(*kind))
            && id.iter().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit())
        {
            out[at + 4..at + 20].fill(b'-');
        }
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap()).collect()
}

/// The letters of base64 that depend on these bytes alone, if they begin a group of three.
fn base64_whole(bytes: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let whole = bytes.len() / 3 * 3;
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(&bytes[..whole]).into_bytes()
}

#[test]
fn canaries_are_found_in_every_form() {
    let mut canaries = Canaries::default();
    canaries.add("Vq7Zk4wM9xBt", b"Vq7Zk4wM9xBt");
    canaries.add("1931-07-19", &[0xff, 0xff, 0x9c, 0x33]);
    canaries.finish();
    assert!(!canaries.is_empty());
    for text in [
        "…Vq7Zk4wM9xBt…",
        "q7zk4w",
        "Q7ZK4W",
        "tbx9mw4kz7qv",
        "\\x567137",
        "5671375a6b34774d39784274",
        "VnE3Wms0d005eEJ0",
        "born 1931-07-19",
    ] {
        assert_eq!(canaries.find(text.as_bytes()).is_some(), text != "\\x567137", "{text}");
    }
    assert!(canaries.find(b"xxVnE3Wms0d005eEJ0").is_some());
    assert!(canaries.find(&[1, 0xff, 0xff, 0x9c, 0x33]).is_some());
    assert!(canaries.find(b"[dec_D1ZQ7ZK4WM9XBTAA]").is_none());
    assert!(canaries.find(b"[dec_q7zk4wm9xbt]").is_some());
    assert!(canaries.find(b"V*********** 07-19 1931 Vq7Zk").is_none());
    // Six digits of the value's own form in a digest of the gateway's mean nothing; the value's own digest does.
    canaries.add_runs(&[b'7'; 16], HASH);
    canaries.add_runs(b"232224", 6);
    canaries.finish();
    let digest = format!("6260 {}232224{} {{", "a".repeat(20), "b".repeat(38));
    assert!(canaries.find(digest.as_bytes()).is_some() && canaries.find_in_log(digest.as_bytes()).is_none());
    assert!(canaries.find_in_log(format!("{}{}", "7".repeat(16), "b".repeat(48)).as_bytes()).is_some());
    assert!(canaries.find_in_log(b"x 232224 y Vq7Zk4wM9xBt").is_some());
}
