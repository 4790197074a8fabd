//! How risky a workload is: a score from 0 to 100 that follows from reasons. Each reason has a weight, came from one signal,
//! and either halves in a day or stays until a person releases it. Pure: the time is an argument.
//!
//! The score chooses nothing by itself: policies read it as `principal.risk`.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// In this time a reason that fades loses half of its weight.
pub const HALF_LIFE: Duration = Duration::from_secs(86_400);
/// The most reasons that are kept for a workload. Beyond it the weightless go first, then the oldest that fade.
pub const MOST_REASONS: usize = 64;

/// The level that a CAEP event states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// Hardly any.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
}

impl Level {
    /// What it weighs at first.
    pub const fn weight(self) -> u8 {
        match self {
            Self::Low => 20,
            Self::Medium => 50,
            Self::High => 90,
        }
    }

    /// Whether it fades: `HIGH` stays until a person releases it.
    pub const fn fading(self) -> Fading {
        match self {
            Self::Low | Self::Medium => Fading::Halves,
            Self::High => Fading::Stays,
        }
    }

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
        }
    }

    /// By the word on the wire.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Low, Self::Medium, Self::High].into_iter().find(|level| level.as_str() == name)
    }
}

/// What time does to a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fading {
    /// Its weight halves in [`HALF_LIFE`].
    Halves,
    /// Its weight stays until a person releases it.
    Stays,
}

/// Why a workload is risky.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskReason {
    /// Who says so: a stream, a person, a detector. The same voice about the same thing replaces what it said before.
    pub by: Arc<str>,
    /// About what, such as `risk-level-change`.
    pub about: Arc<str>,
    /// What was said, for people. Never data.
    pub said: Arc<str>,
    /// 0 to 100 at `at`.
    pub weight: u8,
    /// When it was said.
    pub at: Timestamp,
    /// What time does to it.
    pub fading: Fading,
}

impl RiskReason {
    /// What it weighs at `now`, 0 to 100.
    pub fn weight_at(&self, now: Timestamp) -> f64 {
        let weight = f64::from(self.weight.min(100));
        match self.fading {
            Fading::Stays => weight,
            Fading::Halves => {
                let halves = now.since(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
                weight * (-halves).exp2()
            }
        }
    }
}

/// The reasons of one workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Risk(Vec<RiskReason>);

impl Risk {
    /// From reasons that were kept.
    pub fn of(reasons: Vec<RiskReason>) -> Self {
        Self(reasons)
    }

    /// The reasons, oldest first.
    pub fn reasons(&self) -> &[RiskReason] {
        &self.0
    }

    /// The score at `now`: each reason takes its share of what the others leave, so that two of 50 make 75, and no number of
    /// small ones exceeds 100.
    pub fn score(&self, now: Timestamp) -> u8 {
        let left = self.0.iter().fold(1.0, |left, reason| left * (1.0 - reason.weight_at(now) / 100.0));
        let score = (100.0 * (1.0 - left)).round().clamp(0.0, 100.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 100, rounded")]
        let score = score as u8;
        score
    }

    /// Adds a reason. What the same voice said before about the same thing is replaced, but for what stays until a person
    /// releases it: no later word of the same voice takes that back.
    pub fn add(&mut self, reason: RiskReason, now: Timestamp) {
        let same = |other: &RiskReason| other.by == reason.by && other.about == reason.about;
        if self.0.iter().any(|other| same(other) && other.fading == Fading::Stays && other.weight >= reason.weight) {
            return;
        }
        self.0.retain(|other| !same(other) && other.weight_at(now) >= 0.5);
        if self.0.len() >= MOST_REASONS {
            let oldest = self.0.iter().position(|other| other.fading == Fading::Halves).unwrap_or(0);
            self.0.remove(oldest);
        }
        self.0.push(reason);
    }

    /// What a voice has said is taken back; whether there was anything.
    pub fn release(&mut self, by: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|reason| *reason.by != *by);
        self.0.len() != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_233_600_000);

    fn days(days: u64) -> Timestamp {
        NOW.after(HALF_LIFE * u32::try_from(days).unwrap())
    }

    fn reason(by: &str, weight: u8, fading: Fading) -> RiskReason {
        RiskReason { by: by.into(), about: "test".into(), said: "said".into(), weight, at: NOW, fading }
    }

    fn level(by: &str, level: Level) -> RiskReason {
        reason(by, level.weight(), level.fading())
    }

    #[test]
    fn scores_combine_and_fade() {
        use Fading::{Halves, Stays};
        for (reasons, now, expected) in [
            (vec![], 0, 0),
            (vec![("a", 50, Halves)], 0, 50),
            (vec![("a", 50, Halves)], 1, 25),
            (vec![("a", 50, Halves)], 3, 6),
            (vec![("a", 50, Halves)], 30, 0),
            (vec![("a", 90, Stays)], 365, 90),
            (vec![("a", 50, Halves), ("b", 50, Halves)], 0, 75),
            (vec![("a", 50, Halves), ("b", 20, Halves)], 0, 60),
            (vec![("a", 90, Stays), ("b", 50, Halves)], 0, 95),
            (vec![("a", 100, Stays), ("b", 50, Halves)], 0, 100),
            (vec![("a", 200, Stays)], 0, 100),
        ] {
            let risk = Risk::of(reasons.iter().map(|(by, weight, fading)| reason(by, *weight, *fading)).collect());
            assert_eq!(risk.score(days(now)), expected, "{reasons:?} after {now} days");
        }
        // A clock that is set back makes nothing heavier.
        assert_eq!(Risk::of(vec![reason("a", 50, Halves)]).score(Timestamp::from_millis(0)), 50);
    }

    #[test]
    fn high_stays_until_it_is_released_and_the_rest_is_replaced() {
        let mut risk = Risk::default();
        for (said, expected) in [(Level::Low, 20), (Level::Medium, 50), (Level::Low, 20), (Level::High, 90)] {
            risk.add(level("idp", said), NOW);
            assert_eq!(risk.score(NOW), expected, "{said:?}");
        }
        for later in [Level::Low, Level::Medium, Level::High] {
            risk.add(level("idp", later), NOW);
            assert_eq!(risk.score(NOW), 90, "{later:?} took HIGH back");
        }
        risk.add(level("other", Level::Low), NOW);
        assert_eq!(risk.score(NOW), 92);
        assert!(risk.release("idp") && !risk.release("idp"));
        assert_eq!(risk.score(NOW), 20);
    }

    #[test]
    fn reasons_are_bounded() {
        let mut risk = Risk::default();
        risk.add(level("first", Level::High), NOW);
        for i in 0..1000 {
            risk.add(reason(&format!("detector {i}"), 1, Fading::Halves), NOW);
        }
        assert_eq!(risk.reasons().len(), MOST_REASONS);
        assert!(risk.score(NOW) >= 90, "what stays was pushed out");
    }

    #[test]
    fn levels_read_what_they_write() {
        for level in [Level::Low, Level::Medium, Level::High] {
            assert_eq!(Level::named(level.as_str()), Some(level));
        }
        assert_eq!(Level::named("high"), None);
    }
}
