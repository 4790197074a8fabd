//! Native tokens (`ppt_…`): found by their hash, never by a signature. Guesses are counted, by source and in all, with
//! bounded memory; a token that is revoked cuts the sessions that it opened.
//!
//! A token has 256 random bits, so that no rate of guessing finds one; what the limits spare is the audit log, and what they
//! show is that somebody tries.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use kernel::ports::{Clock, NativeTokens};
use kernel::time::Timestamp;
use kernel::trust::{Evidence, VerifiedAttestation};

use crate::sessions::{Cut, Live};

/// What every native token begins with. No JSON Web Token does: those are base64url of `{`.
const PREFIX: &str = "ppt_";
/// Letters of a token that carry its 256 random bits.
const RANDOM: usize = 52;
/// Letters of its checksum, by which scanners know a token from its likeness.
const CHECK: usize = 6;
/// Guesses are counted over so long.
const WINDOW: Duration = Duration::from_secs(60);
/// Different wrong tokens that a source may show in a window.
const MOST_OF_A_SOURCE: u32 = 10;
/// Wrong tokens in a window in all; above it, only sources that have proved themselves lately are heard.
const MOST_IN_ALL: u32 = 600;
/// How long a source counts as proved after a good token.
const PROVED: Duration = Duration::from_secs(3600);
/// Sources that are remembered. Those beyond share the limit of all.
const MOST_SOURCES: usize = 4096;

/// Why a native token proves nothing. For the log alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NativeRefusal {
    /// It is unknown, revoked or expired: which of them, the hash does not say.
    #[error("it is no native token in force")]
    Unknown,
    /// No native token is written so; nothing was looked up.
    #[error("its checksum is wrong: it is mistyped, or was cut off")]
    Mistyped,
    /// It was not looked at.
    #[error("too many wrong native tokens were shown of late; try again in a minute")]
    TooManyGuesses,
}

/// Where native tokens are shown.
pub struct NativeLogins {
    tokens: Arc<dyn NativeTokens>,
    clock: Arc<dyn Clock>,
    guesses: Mutex<Guesses>,
    /// The sessions that each token has opened, by its id.
    opened: Mutex<BTreeMap<Arc<str>, Vec<Weak<Live>>>>,
}

impl fmt::Debug for NativeLogins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeLogins").finish_non_exhaustive()
    }
}

impl NativeLogins {
    /// Over the tokens that were given.
    pub fn new(tokens: Arc<dyn NativeTokens>, clock: Arc<dyn Clock>) -> Self {
        Self { tokens, clock, guesses: Mutex::default(), opened: Mutex::default() }
    }

    /// Is it meant to be a native token? Then nothing else is tried with it.
    pub fn is_meant(password: &str) -> bool {
        password.starts_with(PREFIX)
    }

    /// Finds the token, unless its source, or all together, have guessed too much.
    pub fn verify(&self, token: &str, source: IpAddr) -> Result<VerifiedAttestation, NativeRefusal> {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        let (source, now) = (network(source), self.clock.now());
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        guesses.admit(source, &hash, now)?;
        if !is_whole(token) {
            guesses.wrong(source, hash, now);
            return Err(NativeRefusal::Mistyped);
        }
        let Some(found) = self.tokens.find(&hash) else {
            guesses.wrong(source, hash, now);
            return Err(NativeRefusal::Unknown);
        };
        guesses.proved(source, now);
        #[expect(clippy::disallowed_methods, reason = "the token was found in force by its hash")]
        let attestation = VerifiedAttestation::by_native_token(&found.id, found.workload, found.expires);
        Ok(attestation)
    }

    /// Watches over a session that has begun: it ends when the token that opened it is revoked, also if that happened while
    /// the session began.
    pub fn watch(&self, evidence: &Evidence, live: &Arc<Live>) {
        let Evidence::NativeToken { id } = evidence else { return };
        {
            let mut opened = self.opened();
            opened.retain(|_, sessions| {
                sessions.retain(|session| session.strong_count() > 0);
                !sessions.is_empty()
            });
            opened.entry(Arc::clone(id)).or_default().push(Arc::downgrade(live));
        }
        if !self.tokens.in_force(id) {
            live.cut(Cut::Revoked);
        }
    }

    /// Cuts every session that a token has opened.
    pub fn cut(&self, id: &str) {
        let sessions = self.opened().remove(id).unwrap_or_default();
        for live in sessions.iter().filter_map(Weak::upgrade) {
            live.cut(Cut::Revoked);
        }
    }

    fn opened(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Vec<Weak<Live>>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Is it written as native tokens are: the prefix, 52 letters, and the checksum over them?
fn is_whole(token: &str) -> bool {
    let Some(letters) = token.strip_prefix(PREFIX) else { return false };
    let Some((random, check)) = letters.split_at_checked(RANDOM) else { return false };
    if check.len() != CHECK || !letters.bytes().all(|letter| matches!(letter, b'a'..=b'z' | b'2'..=b'7')) {
        return false;
    }
    let hash = digest(&SHA256, format!("parapet token\n{random}").as_bytes());
    check.bytes().zip(base32(hash.as_ref())).all(|(found, expected)| found == expected)
}

/// Bytes in base 32 (RFC 4648) in lower case, letter by letter.
fn base32(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let bit = |place: usize| bytes.get(place / 8).map_or(0, |byte| (byte >> (7 - place % 8)) & 1);
    (0..bytes.len() * 8 / 5).map(move |letter| {
        let value = (0..5).fold(0, |value, place| value * 2 + bit(letter * 5 + place));
        if value < 26 { b'a' + value } else { b'2' + (value - 26) }
    })
}

/// Whoever has one IPv6 address has the /64 around it.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

/// How often a wrong token was shown in the window that runs.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    began: Option<Timestamp>,
    wrong: u32,
}

impl Count {
    fn at(&self, now: Timestamp) -> u32 {
        if self.runs(now) { self.wrong } else { 0 }
    }

    /// A clock that is set back must not make a window last.
    fn runs(&self, now: Timestamp) -> bool {
        self.began.is_some_and(|began| began <= now && now.since(began) < WINDOW)
    }

    fn add(&mut self, now: Timestamp) {
        if !self.runs(now) {
            *self = Self { began: Some(now), wrong: 0 };
        }
        self.wrong = self.wrong.saturating_add(1);
    }
}

/// What is remembered of a source.
#[derive(Clone, Copy, Debug, Default)]
struct Source {
    count: Count,
    /// The last wrong token's hash: a client that tries the same again and again makes one guess.
    last: Option<[u8; 32]>,
    proved: Option<Timestamp>,
}

impl Source {
    fn has_proved(&self, now: Timestamp) -> bool {
        self.proved.is_some_and(|at| now.since(at) < PROVED)
    }

    fn counts_still(&self, now: Timestamp) -> bool {
        self.count.runs(now) || self.has_proved(now)
    }
}

#[derive(Debug, Default)]
struct Guesses {
    sources: BTreeMap<IpAddr, Source>,
    all: Count,
}

impl Guesses {
    fn admit(&self, source: IpAddr, hash: &[u8; 32], now: Timestamp) -> Result<(), NativeRefusal> {
        let known = self.sources.get(&source).copied().unwrap_or_default();
        if known.last.as_ref() == Some(hash) {
            return Err(NativeRefusal::Unknown);
        }
        let heard = known.has_proved(now) || self.all.at(now) < MOST_IN_ALL;
        if known.count.at(now) < MOST_OF_A_SOURCE && heard { Ok(()) } else { Err(NativeRefusal::TooManyGuesses) }
    }

    fn wrong(&mut self, source: IpAddr, hash: [u8; 32], now: Timestamp) {
        self.all.add(now);
        if let Some(known) = self.remembered(source, now) {
            known.count.add(now);
            known.last = Some(hash);
        }
    }

    fn proved(&mut self, source: IpAddr, now: Timestamp) {
        if let Some(known) = self.remembered(source, now) {
            known.proved = Some(now);
        }
    }

    /// The place of a source, if there is room for it.
    fn remembered(&mut self, source: IpAddr, now: Timestamp) -> Option<&mut Source> {
        if self.sources.len() >= MOST_SOURCES && !self.sources.contains_key(&source) {
            self.sources.retain(|_, known| known.counts_still(now));
            if self.sources.len() >= MOST_SOURCES {
                return None;
            }
        }
        Some(self.sources.entry(source).or_default())
    }
}

#[cfg(test)]
mod tests;
