//! Typed ids: `dec_` decision, `ses_` session, `apr_` approval, `grt_` grant,
//! `tsk_` task. They sort by time.
//!
//! An id is 80 bits: 42 of milliseconds since the Unix epoch, 38 of randomness, as 16 characters of Crockford's base 32. It is
//! written far more often than it is made, so it is kept as these; they sort as the bits do. The caller brings both parts,
//! because the kernel has neither clock nor randomness.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Timestamp;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 16;

/// An id that cannot be read: wrong prefix, length or letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form `{prefix}` and 16 characters")]
pub struct InvalidId {
    prefix: &'static str,
}

/// Builds the 80 bits of an id.
fn compose(now: Timestamp, random: u64) -> u128 {
    let millis = u128::from(now.millis().unsigned_abs() & ((1 << 42) - 1));
    (millis << 38) | u128::from(random & ((1 << 38) - 1))
}

/// An id's 16 characters.
fn encode(bits: u128) -> [u8; LENGTH] {
    let mut out = [0; LENGTH];
    // Two halves of 40 bits: 128-bit shifts cost several times as much.
    let halves = [(bits >> 40) as u64, bits as u64];
    for (half, mut rest) in out.chunks_exact_mut(8).zip(halves) {
        for slot in half.iter_mut().rev() {
            *slot = ALPHABET.get((rest & 31) as usize).copied().unwrap_or(b'0');
            rest >>= 5;
        }
    }
    out
}

/// The bits of these characters; none unless they are of the alphabet.
fn decode(letters: &[u8; LENGTH]) -> Option<u128> {
    letters.iter().try_fold(0u128, |bits, byte| {
        let position = ALPHABET.iter().position(|letter| letter == byte)?;
        Some((bits << 5) | u128::try_from(position).ok()?)
    })
}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; LENGTH]);

        impl $name {
            /// What every id of this type begins with.
            pub const PREFIX: &'static str = $prefix;

            /// A new id from the current time and 38 random bits (the rest of `random` is ignored).
            pub fn new(now: Timestamp, random: u64) -> Self {
                Self(encode(compose(now, random)))
            }

            /// When it was made, to the millisecond.
            pub fn at(&self) -> Timestamp {
                Timestamp::from_millis((decode(&self.0).unwrap_or_default() >> 38) as i64)
            }

            /// The 16 characters after the prefix.
            pub fn letters(&self) -> &[u8; LENGTH] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // In one piece, so that a text made of it is allocated once.
                let mut text = [0; $prefix.len() + LENGTH];
                let letters = $prefix.bytes().chain(self.0);
                text.iter_mut().zip(letters).for_each(|(place, letter)| *place = letter);
                f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix($prefix)
                    .and_then(|text| <[u8; LENGTH]>::try_from(text.as_bytes()).ok())
                    .filter(|letters| decode(letters).is_some())
                    .map(Self)
                    .ok_or(InvalidId { prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

typed_id!(
    /// A verdict made for one request. Every error, audit row, approval and CLI message carries it.
    DecisionId,
    "dec_"
);
typed_id!(
    /// One client connection of one workload to one upstream.
    SessionId,
    "ses_"
);
typed_id!(
    /// A request for approval.
    ApprovalId,
    "apr_"
);
typed_id!(
    /// The approved answer to an Ask.
    GrantId,
    "grt_"
);
typed_id!(
    /// A task: the declared purpose of a run. It correlates everything that the run does.
    TaskId,
    "tsk_"
);
typed_id!(
    /// What was done because of one source, grouped for a person to judge.
    IncidentId,
    "inc_"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_sorts_by_time() {
        let early = DecisionId::new(Timestamp::from_millis(1_795_233_600_000), 7);
        let late = DecisionId::new(Timestamp::from_millis(1_795_233_600_001), 3);
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse(), Ok(early));
        assert_eq!(early.to_string().len(), 20);
        assert_eq!(early.at(), Timestamp::from_millis(1_795_233_600_000));
    }

    #[test]
    fn refuses_other_types_and_letters() {
        for text in ["", "dec_", "ses_01JX8ZQ301JX8ZQ3", "dec_01JX8ZQ301JX8ZQi", "dec_01JX8ZQ301JX8ZQ31"] {
            assert!(text.parse::<DecisionId>().is_err(), "{text}");
        }
    }
}
