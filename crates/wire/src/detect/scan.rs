//! One lazy DFA over the beginnings of everything that is looked for. It stops at the first byte at which something could
//! be there; what validates then looks around that place. Time is linear: every validator is bounded, or goes on behind
//! what it has read.

use std::sync::{Mutex, PoisonError};

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind};

use super::secrets::{self, FAMILIES};
use super::{Hit, Kind, Strength, digits, letters};

/// What is looked at where a pattern has matched.
#[derive(Clone, Copy, Debug)]
enum Look {
    At,
    Digits,
    Country,
    SpacedNino,
    Nie,
    CodiceFiscale,
    Corsican,
    Colons,
    Jwt,
    Pem,
    Putty,
    Hash,
}

/// In the order of the patterns; the families of tokens stand behind them. Patterns are short, so that the automaton has
/// few states.
const LOOKS: [(&str, Look); 18] = [
    ("@[A-Za-z0-9\\x80-\\xff]", Look::At),
    ("[0-9](?:[ .\\-/]?[0-9]){7}", Look::Digits),
    ("\\+[1-9][0-9 (.\\-]", Look::Digits),
    ("\\([0-9]{2,5}\\)[ \\-]?[0-9]", Look::Digits),
    ("[0-9]\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]", Look::Digits),
    ("[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z]", Look::CodiceFiscale),
    ("[A-Za-z]{2}[0-9]{2} ?[A-Za-z0-9]{4}", Look::Country),
    ("[A-Z]{2} [0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]", Look::SpacedNino),
    ("[XYZxyz]-?[0-9]{7}-?[A-Za-z]", Look::Nie),
    ("[12] ?[0-9]{2} ?[0-9]{2} ?2[ABab]", Look::Corsican),
    ("[0-9A-Fa-f]{3,4}:[0-9A-Fa-f]{0,4}:", Look::Colons),
    ("eyJ[A-Za-z0-9_\\-]", Look::Jwt),
    ("-----BEGIN ", Look::Pem),
    ("PuTTY-User-Key-File-", Look::Putty),
    ("\\$(?:2[abxy]|argon2(?:id|i|d)|[1567y]|P|H|scrypt|pbkdf2-sha(?:256|512))\\$", Look::Hash),
    ("SCRAM-SHA-256\\$|pbkdf2_sha(?:256|1)\\$", Look::Hash),
    ("\\{(?:SSHA|SSHA512|CRYPT)\\}", Look::Hash),
    ("md5[0-9A-Fa-f]{4}", Look::Hash),
];

/// The patterns could not be built. It cannot happen: they are constants, and a test builds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the detectors' patterns could not be built")]
pub struct Unbuildable;

/// Finds what looks sensitive. Shared; each user has a [`Scratch`] of its own.
#[derive(Debug)]
pub struct Detector {
    dfa: DFA,
    /// What users have given back, with all that it has worked out.
    spare: Mutex<Vec<Scratch>>,
}

/// So many are kept.
const SPARE: usize = 4;

/// What the lazy DFA works out as it goes: states, at most 2 MiB of them.
#[derive(Debug)]
pub struct Scratch(Cache);

impl Detector {
    /// Compiles the patterns: some hundred microseconds, to be done once.
    ///
    /// # Errors
    /// [`Unbuildable`] if the patterns cannot be compiled.
    pub fn new() -> Result<Self, Unbuildable> {
        let looks = LOOKS.iter().map(|(pattern, _)| *pattern);
        let patterns: Vec<&str> = looks.chain(FAMILIES.iter().map(|family| family.pattern)).collect();
        let dfa = DFA::builder()
            .configure(DFA::config().match_kind(MatchKind::LeftmostFirst).cache_capacity(2 << 20))
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .thompson(thompson::Config::new().utf8(false))
            .build_many(&patterns)
            .map_err(|_impossible| Unbuildable)?;
        Ok(Self { dfa, spare: Mutex::default() })
    }

    /// A working memory for it. One that was kept saves most of a short text's price.
    pub fn scratch(&self) -> Scratch {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| Scratch(self.dfa.create_cache()))
    }

    /// Keeps a working memory of this detector's for the next user.
    pub fn keep(&self, scratch: Scratch) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE {
            spare.push(scratch);
        }
    }

    /// Everything that it finds in a text, in order, without overlaps.
    pub fn scan(&self, scratch: &mut Scratch, text: &[u8], mut visit: impl FnMut(Hit)) {
        // Where to go on, and where the last hit ended: what was no number can be part of an address.
        let (mut at, mut taken) = (0, 0);
        while at < text.len() {
            let input = Input::new(text).range(at..).earliest(true);
            // It fails only where it was told to give up, which it was not.
            let Ok(Some(found)) = self.dfa.try_search_fwd(&mut scratch.0, &input) else { break };
            let floors = Floors { read: at, taken };
            at = look(text, floors, found.offset(), found.pattern().as_usize(), &mut |hit: Hit| {
                taken = hit.end;
                visit(hit);
            });
        }
    }

    /// The strongest thing in a text.
    pub fn strongest(&self, scratch: &mut Scratch, text: &[u8]) -> Option<(Kind, Strength)> {
        let mut strongest: Option<(Kind, Strength)> = None;
        self.scan(scratch, text, |hit| {
            if strongest.is_none_or(|(_, strength)| hit.strength > strength) {
                strongest = Some((hit.kind, hit.strength));
            }
        });
        strongest
    }
}

/// Before these places nothing is looked at as a part of what is found.
#[derive(Clone, Copy, Debug)]
struct Floors {
    /// What was read as digits: it is not read twice.
    read: usize,
    /// What was found.
    taken: usize,
}

/// Validates a candidate that ends at `end`. Returns where to go on.
fn look(text: &[u8], floors: Floors, end: usize, pattern: usize, visit: &mut impl FnMut(Hit)) -> usize {
    let hit = match LOOKS.get(pattern) {
        Some((_, look)) => match look {
            Look::Digits => return digits::visit(text, floors.read, end.saturating_sub(1), visit),
            Look::At => letters::email(text, floors.taken, end.saturating_sub(2)),
            Look::Country => letters::country(text, end),
            Look::SpacedNino => spaced_nino(text, end),
            Look::Nie => letters::nie(text, end),
            Look::CodiceFiscale => letters::codice_fiscale(text, end),
            Look::Corsican => letters::corsican(text, end),
            Look::Colons => letters::ipv6(text, floors.taken, end),
            Look::Jwt => {
                let (hit, on) = secrets::jwt(text, end);
                if let Some(hit) = hit.filter(|hit| hit.start >= floors.taken) {
                    visit(hit);
                }
                return on;
            }
            Look::Pem => secrets::pem(text, end),
            Look::Putty => secrets::putty(text, end),
            Look::Hash => secrets::hash(text, end),
        },
        None => pattern
            .checked_sub(LOOKS.len())
            .and_then(|place| FAMILIES.get(place))
            .and_then(|family| secrets::token(text, end, family)),
    };
    match hit.filter(|hit| hit.start >= floors.taken) {
        Some(hit) => {
            visit(hit);
            hit.end.max(end)
        }
        None => end,
    }
}

/// `AB 12 34 56 C`, with some of the blanks left out, ends at `end`.
fn spaced_nino(text: &[u8], end: usize) -> Option<Hit> {
    (10..=13).rev().filter_map(|length| end.checked_sub(length)).find_map(|start| letters::nino(text, start))
}
