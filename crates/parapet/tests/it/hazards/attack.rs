//! Carries out the entries of a corpus: each in its forms, then its twin, and says what did not come as it should.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::bed::raw::{self, Raw};
use crate::bed::superuser::Superuser;
use crate::bed::wait;

use super::corpus::{Corpus, Entry, Expect, Form, Step, Steps};
use super::exchange::{Came, WITHHELD, expand, send};
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
    pub(super) took: Duration,
}

/// Every entry that is about the world's server, in order.
pub(super) fn all(world: &World, corpus: &Corpus) -> Vec<Result> {
    let superuser = world.bed.postgres.superuser();
    let mut run = Run { world, superuser, tripwire: &corpus.world.tripwire, session: None, probes: 0 };
    let entries = corpus.entries.iter().filter(|entry| entry.is_about(world.major));
    entries
        .map(|entry| {
            let before = run.tripwire(entry);
            let started = Instant::now();
            let mut result = run.entry(entry);
            if run.tripwire(entry) != before {
                result.failures.push(Failure { side: "attack", why: "the tripwire is changed".to_owned() });
            }
            run.undo(entry, &corpus.world.restore);
            run.twin(entry, &mut result);
            run.undo(entry, &corpus.world.restore);
            result.took = started.elapsed();
            result
        })
        .collect()
}

/// One run through the entries, which share a session while it is as new.
struct Run<'w> {
    world: &'w World,
    superuser: Superuser,
    tripwire: &'w str,
    session: Option<(String, Raw)>,
    probes: usize,
}

impl Run<'_> {
    /// What no attack may change.
    fn tripwire(&mut self, entry: &Entry) -> String {
        let own = entry.unchanged.as_deref().unwrap_or("select 0");
        self.superuser.ask(&format!("{}; {own}", self.tripwire))
    }

    /// Changes the world past the gateway, and waits until the gateway has looked at it: it asks for a table that it cannot
    /// know yet. For how long it may not have looked is said in the documentation, and measured in `promises.rs`.
    fn change(&mut self, sql: &str) {
        self.probes += 1;
        let table = format!("probe_{}", self.probes);
        self.world.bed.postgres.sql(sql);
        self.world.bed.postgres.sql(&format!("create table {table} (n int); alter table {table} owner to parapet"));
        let mut raw = self.world.bed.raw("reporting");
        wait::until("the catalogue to be read again", wait::PATIENCE, || {
            raw::errors(&raw.query(&format!("select n from {table}"))).is_empty().then_some(())
        });
    }

    /// Makes the world as it was. Where an entry changed it, the gateway looks at it again before the next one: it would
    /// refuse what it remembers otherwise.
    fn undo(&mut self, entry: &Entry, restore: &str) {
        self.superuser.ask(&format!("{};\n{restore}", entry.undo));
        if !entry.undo.is_empty() {
            self.change("select 1");
        }
    }

    fn entry(&mut self, entry: &Entry) -> Result {
        let mut result = Result {
            id: entry.id.clone(),
            key: entry.key(),
            forms: 0,
            ways: BTreeMap::new(),
            failures: Vec::new(),
            took: Duration::ZERO,
        };
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
            let says = entry.says.as_deref().is_none_or(|says| came.says(says, form));
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
                self.change(&entry.late);
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
        let refused = came.is_refused();
        let wrong = match expect {
            Expect::Refused if refused => None,
            Expect::Refused => Some("is not refused"),
            Expect::Error if refused => Some("is refused by Parapet"),
            Expect::Error if errors.is_empty() => Some("has no error"),
            Expect::Masked | Expect::Nulled if !errors.is_empty() => Some("is refused"),
            Expect::Masked | Expect::Nulled if came.rows.is_empty() && came.copied.is_empty() => Some("has no rows"),
            Expect::Nulled if !came.is_nulled() => Some("has no NULL"),
            Expect::Hidden if !refused && !errors.iter().all(|(_, message)| message.contains(WITHHELD)) => {
                Some("is refused by the upstream")
            }
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
