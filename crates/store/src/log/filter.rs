//! Which entries a search is after.

use kernel::time::Timestamp;
use serde_json::Value;

/// Conditions that must all hold. An absent one holds for every entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The sort of entry: `decision`, `login`, `login_refused`, `session_ended`, `outcome`, `approval`, `kept_request`, `admin`, `configuration`.
    pub kind: Option<String>,
    /// A decision's id, in full.
    pub decision: Option<String>,
    /// A session's id, in full.
    pub session: Option<String>,
    /// An approval's id, in full.
    pub approval: Option<String>,
    /// A workload's name.
    pub workload: Option<String>,
    /// An upstream's name.
    pub upstream: Option<String>,
    /// `permit`, `ask` or `deny`.
    pub verdict: Option<String>,
    /// A policy that permitted, decided, masked, limited or observed.
    pub policy: Option<String>,
    /// A task's id, in full.
    pub task: Option<String>,
    /// A run, such as `github:9912/1`.
    pub run: Option<String>,
    /// A commit.
    pub commit: Option<String>,
    /// The person who acted.
    pub by: Option<String>,
    /// Not earlier than this.
    pub since: Option<Timestamp>,
    /// Earlier than this.
    pub until: Option<Timestamp>,
    /// Stands anywhere in the entry's canonical text, of a short entry in full; ASCII letters of either case are equal.
    pub text: Option<String>,
}

/// Which entries come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest.
    #[default]
    NewestFirst,
    /// The oldest.
    OldestFirst,
}

impl Filter {
    /// Can the entry match at all, judged by its bytes? Spares most of the parsing in a search for one decision.
    pub(super) fn may_match(&self, entry: &[u8]) -> bool {
        let find = |needle: &String| memchr::memmem::find(entry, needle.as_bytes());
        let holds = |needle: &Option<String>| needle.as_ref().is_none_or(|needle| find(needle).is_some());
        // Many entries may be like one decision: what an entry is about stands in it before what it is like.
        let about = |at: usize| entry.get(..at).is_some_and(|before| before.ends_with(b"\"decision\":\""));
        // Ids and kinds stand in the canonical text as they are, without escapes.
        self.decision.as_ref().is_none_or(|decision| find(decision).is_some_and(about))
            && [&self.kind, &self.session, &self.approval].into_iter().all(holds)
    }

    /// Does the entry match, by the members that a short entry has too?
    pub(super) fn matches_own(&self, entry: &Value) -> bool {
        let is = |member: &str, wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| entry.get(member).and_then(Value::as_str) == Some(wanted))
        };
        // The one form of a time in an entry sorts as text.
        let at = entry.get("at").and_then(Value::as_str).unwrap_or_default();
        is("kind", &self.kind)
            && is("decision", &self.decision)
            && is("session", &self.session)
            && is("approval", &self.approval)
            && is("workload", &self.workload)
            && is("upstream", &self.upstream)
            && is("verdict", &self.verdict)
            && is("by", &self.by)
            && self.since.is_none_or(|since| at >= since.to_string().as_str())
            && self.until.is_none_or(|until| at < until.to_string().as_str())
    }

    /// Does the entry match, by what it says in full?
    pub(super) fn matches_body(&self, entry: &Value, text: &[u8]) -> bool {
        let says = |pointer: &str, wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| entry.pointer(pointer).and_then(Value::as_str) == Some(wanted))
        };
        self.policy.as_ref().is_none_or(|policy| names_policy(entry, policy))
            && says("/task/id", &self.task)
            && says("/provenance/run", &self.run)
            && says("/provenance/commit", &self.commit)
            && self.text.as_ref().is_none_or(|wanted| contains(text, wanted.as_bytes()))
    }
}

/// The members in which a decision's entry names policies: see `kernel::audit::decision_body`.
fn names_policy(entry: &Value, policy: &str) -> bool {
    let deciding = ["/by/policy", "/reason/policy"];
    let in_list = |pointer: &str, of: fn(&Value) -> Option<&Value>| {
        let list = entry.pointer(pointer).and_then(Value::as_array);
        list.is_some_and(|list| list.iter().filter_map(of).any(|name| name.as_str() == Some(policy)))
    };
    deciding.iter().any(|pointer| entry.pointer(pointer).and_then(Value::as_str) == Some(policy))
        || in_list("/terms/permits", |name| Some(name))
        || in_list("/terms/observed", |deciding| deciding.get("policy"))
        || in_list("/terms/masks", |mask| mask.get(2))
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || text.windows(wanted.len()).any(|part| part.eq_ignore_ascii_case(wanted))
}

/// Reads a time as RFC 3339 in UTC, such as `2026-11-21T04:00:00Z`, with at most three decimals of a second.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?
    };
    let bytes = text.as_bytes();
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !marks.iter().all(|(at, mark)| bytes.get(*at) == Some(mark)) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let millis = match text.get(19..)?.strip_suffix('Z')? {
        "" => 0,
        fraction => {
            let digits = fraction.strip_prefix('.').filter(|digits| (1..=3).contains(&digits.len()))?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
            format!("{digits:0<3}").parse::<i64>().ok()?
        }
    };
    // Days from the civil date: the year begins in March, so that the leap day is the last.
    let year = year - i64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468;
    let time = Timestamp::from_millis(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + millis);
    // Writing it again shows whether each part was within its bounds: the 30th of February comes back as another day.
    let written = time.to_string();
    (written.get(..19) == text.get(..19)).then_some(time)
}
