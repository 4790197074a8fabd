//! Carries out the entries of a corpus: each in its forms, then its twin, and says what did not come as it should.

use std::collections::BTreeMap;

use crate::bed::raw::{self, Message, Raw, message};

use super::corpus::{Corpus, Entry, Expect, Form, RunFormat, Step, Steps};
use super::world::World;

/// What did not come as it should.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// `attack` or `twin`.
    pub(super) side: &'static str,
    /// In which form, and what.
    pub(super) why: String,
}

/// What came of one entry.
#[derive(Debug)]
pub(super) struct Result {
    pub(super) id: String,
    pub(super) key: String,
    /// In how many forms it was tried.
    pub(super) forms: usize,
    /// What came of the attack, in words, with how often.
    pub(super) ways: BTreeMap<&'static str, usize>,
    pub(super) failures: Vec<Failure>,
}

/// Every entry that is about the world's server, in order.
pub(super) fn all(world: &World, corpus: &Corpus) -> Vec<Result> {
    let mut run = Run { world, session: None };
    let tripwire = |entry: &Entry| {
        let own = entry.unchanged.as_deref().unwrap_or("select 0");
        world.bed.postgres.sql(&format!("{}; {own}", corpus.world.tripwire))
    };
    let mut results = Vec::new();
    for entry in corpus.entries.iter().filter(|entry| entry.is_about(world.major)) {
        let before = tripwire(entry);
        let mut result = run.entry(entry);
        if tripwire(entry) != before {
            result.failures.push(Failure { side: "attack", why: "the tripwire is changed".to_owned() });
        }
        run.twin(entry, &mut result);
        if !entry.undo.is_empty() {
            world.bed.postgres.sql(&entry.undo);
        }
        results.push(result);
    }
    results
}

/// One run through the entries, which share a session while it is as new.
struct Run<'w> {
    world: &'w World,
    session: Option<(String, Raw)>,
}

impl Run<'_> {
    fn entry(&mut self, entry: &Entry) -> Result {
        let mut result =
            Result { id: entry.id.clone(), key: entry.key(), forms: 0, ways: BTreeMap::new(), failures: Vec::new() };
        for form in forms(entry, &entry.attack) {
            result.forms += 1;
            let came = self.session(entry, form, &entry.attack, true);
            let expect = entry.but.get(&form).copied().unwrap_or(entry.expect);
            let wrong = self.judge(entry, expect, form, &came);
            *result.ways.entry(came.way()).or_default() += 1;
            result.failures.extend(wrong.map(|why| Failure { side: "attack", why: format!("{form:?}: {why}") }));
        }
        result
    }

    fn twin(&mut self, entry: &Entry, result: &mut Result) {
        let mut twin = entry.clone();
        twin.startup.clear();
        twin.late.clear();
        twin.forms = entry.twin_forms.clone().or(twin.forms);
        for form in forms(&twin, &entry.twin) {
            let came = self.session(&twin, form, &entry.twin, false);
            let says = entry.says.as_deref().is_none_or(|says| came.text().contains(says));
            let wrong = if !came.errors().is_empty() {
                Some(format!("refused: {:?}", came.errors()))
            } else if !says {
                Some(format!("does not say `{}`: {}", entry.says.as_deref().unwrap_or_default(), came.start()))
            } else {
                None
            };
            result.failures.extend(wrong.map(|why| Failure { side: "twin", why: format!("{form:?}: {why}") }));
        }
    }

    /// Runs steps in one session.
    fn session(&mut self, entry: &Entry, form: Form, steps: &Steps, is_attack: bool) -> Came {
        let mut came = Came::default();
        let special = !entry.startup.is_empty() && is_attack;
        let lasting = steps.list().len() > 1 || !matches!(steps, Steps::One(Step::Sql(_)));
        let mut raw = match self.session.take() {
            Some((workload, raw)) if workload == entry.workload && !special && !lasting => raw,
            _ => {
                let mut parameters: Vec<(&str, &str)> = vec![("user", &entry.workload), ("database", "shop")];
                if special {
                    parameters.extend(entry.startup.iter().map(|(name, value)| (name.as_str(), value.as_str())));
                }
                let token = self.world.bed.token(&entry.workload);
                match Raw::try_log_in_with(self.world.bed.gateway.postgres(), &parameters, &token) {
                    Ok(raw) => raw,
                    Err(error) => {
                        came.take(vec![error]);
                        return came;
                    }
                }
            }
        };
        let last = steps.list().len() - 1;
        for (place, step) in steps.list().iter().enumerate() {
            if place == last && is_attack && !entry.late.is_empty() {
                self.world.bed.postgres.sql(&entry.late);
            }
            came.rows.clear();
            send(&mut raw, form, step, &mut came);
            if came.closed {
                return came;
            }
        }
        // A session that something may have been left in is not used again.
        if !lasting && !special && raw::status(&came.messages) == 'I' {
            self.session = Some((entry.workload.clone(), raw));
        }
        came
    }

    /// What is wrong with what came.
    fn judge(&self, entry: &Entry, expect: Expect, form: Form, came: &Came) -> Option<String> {
        let bytes: Vec<u8> = came.messages.iter().flat_map(|message| message.body.clone()).collect();
        if let Some(found) = self.world.canaries.find(&bytes) {
            return Some(format!("LEAK of {found}"));
        }
        let errors = came.errors();
        let refused = errors.iter().any(|(_, message)| message.contains("dec_"));
        let wrong = match expect {
            Expect::Refused if refused => None,
            Expect::Refused => Some("is not refused"),
            Expect::Error if refused => Some("is refused by Parapet"),
            Expect::Error if errors.is_empty() => Some("has no error"),
            Expect::Masked | Expect::Nulled if !errors.is_empty() => Some("is refused"),
            Expect::Masked | Expect::Nulled if came.rows.is_empty() && came.copied.is_empty() => Some("has no rows"),
            Expect::Nulled if !came.is_nulled() => Some("has no NULL"),
            Expect::Hidden if !refused && !errors.is_empty() => Some("is refused by the upstream"),
            Expect::Same => return self.differs(entry, came),
            Expect::Error | Expect::Masked | Expect::Nulled | Expect::Hidden => None,
        };
        if let Some(wrong) = wrong {
            return Some(format!("{wrong}: {errors:?} {}", came.start()));
        }
        if let Some(code) = &entry.code
            && !errors.is_empty()
            && !errors.iter().any(|(found, _)| found == code)
        {
            return Some(format!("another code than {code}: {errors:?}"));
        }
        let shows = entry.shows.as_deref().filter(|_| errors.is_empty() && expect == Expect::Masked);
        match shows {
            Some(shows) if !came.text().contains(shows) => {
                Some(format!("does not show `{shows}` in {form:?}: {}", came.start()))
            }
            _ => None,
        }
    }

    /// Does the server itself answer otherwise, past the gateway?
    fn differs(&self, entry: &Entry, came: &Came) -> Option<String> {
        let [Step::Sql(sql)] = entry.attack.list() else { return Some("only SQL can be compared".to_owned()) };
        let direct = self.world.bed.postgres.try_sql(&format!("set role parapet; {}", expand(sql)));
        let rows: Vec<String> = came.rows.iter().map(|row| row.join("|")).collect();
        let (ours, theirs) = (rows.join("\n"), direct.as_deref().unwrap_or("an error").trim_end_matches('\n'));
        match came.errors().first() {
            None if ours == theirs => None,
            Some(_) if direct.is_err() => None,
            found => Some(format!("the server itself says `{theirs}`, not `{ours}` {found:?}")),
        }
    }
}

/// What came back.
#[derive(Default)]
struct Came {
    messages: Vec<Message>,
    /// The rows of the last step, with a mark for NULL.
    rows: Vec<Vec<String>>,
    copied: Vec<u8>,
    closed: bool,
}

impl Came {
    fn take(&mut self, messages: Vec<Message>) {
        self.closed |= !messages.iter().any(|message| message.tag == b'Z');
        for message in &messages {
            match message.tag {
                b'D' => self.rows.push(cells(&message.body)),
                b'd' => self.copied.extend_from_slice(&message.body),
                _ => {}
            }
        }
        self.messages.extend(messages);
    }

    /// SQLSTATE and message of each error.
    fn errors(&self) -> Vec<(String, String)> {
        let errors = self.messages.iter().filter(|message| message.tag == b'E');
        errors.map(|error| (error.field(b'C'), error.field(b'M'))).collect()
    }

    fn is_nulled(&self) -> bool {
        let nulls = |row: &Vec<String>| row.iter().any(|cell| cell == NULL);
        let copied = String::from_utf8_lossy(&self.copied);
        self.rows.iter().all(nulls)
            && copied.lines().all(|line| {
                line.contains("\\N")
                    || line.is_empty()
                    || line.contains(",,")
                    || line.ends_with(',')
                    || line.starts_with(',')
            })
    }

    fn text(&self) -> String {
        let rows: Vec<String> = self.rows.iter().map(|row| row.join("|")).collect();
        let notices = self.messages.iter().filter(|message| matches!(message.tag, b'N' | b'E'));
        let notices: String = notices.map(|notice| notice.field(b'M')).collect();
        format!("{}{}{notices}", rows.join("\n"), String::from_utf8_lossy(&self.copied))
    }

    fn start(&self) -> String {
        let text = self.text();
        format!("[{}] {}", raw::tags(&self.messages), text.chars().take(120).collect::<String>().escape_debug())
    }

    /// In a word.
    fn way(&self) -> &'static str {
        let errors = self.errors();
        if errors.iter().any(|(_, message)| message.contains("dec_")) {
            "refused"
        } else if !errors.is_empty() {
            "failed"
        } else if (!self.rows.is_empty() || !self.copied.is_empty()) && self.is_nulled() {
            "null"
        } else if self.text().contains('*') || self.text().contains("[redacted]") || self.text().contains("tok_") {
            "masked"
        } else {
            "without it"
        }
    }
}

const NULL: &str = "\u{2400}";

/// The cells of a DataRow, binary ones escaped.
fn cells(body: &[u8]) -> Vec<String> {
    let count = u16::from_be_bytes([body[0], body[1]]);
    let mut rest = &body[2..];
    let mut cells = Vec::new();
    for _cell in 0..count {
        let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
        rest = &rest[4..];
        let Ok(length) = usize::try_from(length) else {
            cells.push(NULL.to_owned());
            continue;
        };
        cells.push(match std::str::from_utf8(&rest[..length]) {
            Ok(text) => text.to_owned(),
            Err(_) => rest[..length].escape_ascii().to_string(),
        });
        rest = &rest[length..];
    }
    cells
}

/// The forms that steps are tried in.
fn forms(entry: &Entry, steps: &Steps) -> Vec<Form> {
    if let Some(forms) = &entry.forms {
        return forms.clone();
    }
    match steps.list() {
        [Step::Sql(sql)] if is_query(sql) => Form::QUERY.to_vec(),
        [Step::Sql(sql)] if !sql.trim_end_matches(';').contains(';') => Form::STATEMENT.to_vec(),
        _ => vec![Form::Simple],
    }
}

fn is_query(sql: &str) -> bool {
    let first = sql.trim_start().split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or_default();
    ["select", "with", "table", "values"].contains(&first.to_ascii_lowercase().as_str()) && !sql.contains(';')
}

/// `{{N*text}}` as N times the text.
pub(super) fn expand(sql: &str) -> String {
    let mut out = String::new();
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, after) = after.split_once("}}").unwrap();
        let (times, text) = inside.split_once('*').unwrap();
        out.push_str(before);
        out.push_str(&text.repeat(times.parse().unwrap()));
        rest = after;
    }
    out + rest
}

fn send(raw: &mut Raw, form: Form, step: &Step, came: &mut Came) {
    let bytes = match step {
        Step::Sql(sql) => return send_sql(raw, form, &expand(sql), came),
        Step::Bytes { tag, bytes } => {
            let tag = u8::try_from(*tag).unwrap();
            let sync = if tag == b'Q' { Vec::new() } else { raw::sync() };
            [message(tag, &[&unescape(bytes)]), sync].concat()
        }
        Step::Bound { sql, bind } => bound(sql, bind, form == Form::Binary),
        Step::Prepare { prepare } => {
            [message(b'P', &[b"kept\0", prepare.as_bytes(), b"\0\0\0"]), message(b'D', &[b"Skept\0"]), raw::sync()]
                .concat()
        }
        Step::Run { run } => {
            let format = u8::from(*run == RunFormat::Binary);
            let bind = message(b'B', &[b"\0kept\0\0\0\0\0\0\x01\0", &[format]]);
            [bind, message(b'E', &[b"\0\0\0\0\0"]), raw::sync()].concat()
        }
        Step::Pipeline { pipeline } => {
            let mut bytes: Vec<u8> = pipeline.iter().flat_map(|sql| raw::extended(sql)).collect();
            bytes.extend(raw::sync());
            bytes
        }
    };
    if raw.try_send(&bytes) {
        came.take(raw.until_ready());
    } else {
        came.closed = true;
    }
}

fn bound(sql: &str, values: &[String], binary: bool) -> Vec<u8> {
    let count = u16::try_from(values.len()).unwrap().to_be_bytes();
    let mut parameters = Vec::new();
    for value in values {
        parameters.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        parameters.extend(value.as_bytes());
    }
    [
        message(b'P', &[b"\0", sql.as_bytes(), b"\0\0\0"]),
        message(b'B', &[b"\0\0\0\0", &count, &parameters, b"\0\x01\0", &[u8::from(binary)]]),
        message(b'D', &[b"P\0"]),
        message(b'E', &[b"\0\0\0\0\0"]),
        raw::sync(),
    ]
    .concat()
}

fn send_sql(raw: &mut Raw, form: Form, sql: &str, came: &mut Came) {
    let bare = sql.trim_end().trim_end_matches(';');
    let simple = |sqls: &[String]| sqls.iter().map(|sql| raw::query(sql)).collect::<Vec<_>>();
    let batches = match form {
        Form::Simple => vec![raw::query(sql)],
        Form::Extended => vec![bound(sql, &[], false)],
        Form::Binary => vec![bound(sql, &[], true)],
        Form::Undescribed => vec![[raw::extended(sql), raw::sync()].concat()],
        Form::Cursor => simple(&[
            "begin".to_owned(),
            format!("declare held cursor for {bare}"),
            "fetch all from held".to_owned(),
            "rollback".to_owned(),
        ]),
        Form::Copy => simple(&[format!("copy ({bare}) to stdout")]),
        Form::Csv => simple(&[format!("copy ({bare}) to stdout (format csv)")]),
        Form::Execute => {
            simple(&[format!("prepare held as {bare}"), "execute held".to_owned(), "deallocate all".to_owned()])
        }
    };
    for bytes in batches {
        if !raw.try_send(&bytes) {
            came.closed = true;
            return;
        }
        came.take(raw.until_ready());
    }
}

/// `\xNN` as a byte.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut parts = text.split("\\x");
    out.extend(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        out.push(u8::from_str_radix(&part[..2], 16).unwrap());
        out.extend(&part.as_bytes()[2..]);
    }
    out
}
