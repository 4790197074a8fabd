//! A point in time as data. The kernel reads no clock: whoever calls it says what time it is.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z. Shown as RFC 3339 in UTC with millisecond precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From whole seconds since the Unix epoch, as in the `exp` of a JWT. Saturates.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Later by `duration`; saturates.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long from `earlier` to here; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Hour of the day in UTC, 0 to 23.
    pub const fn hour(self) -> u8 {
        (self.0.div_euclid(3_600_000).rem_euclid(24)) as u8
    }

    /// Day of the week in UTC, ISO 8601: Monday is 1, Sunday is 7.
    pub const fn weekday(self) -> u8 {
        // 1970-01-01 was a Thursday.
        (self.0.div_euclid(86_400_000) + 3).rem_euclid(7) as u8 + 1
    }
}

impl Timestamp {
    /// The text of `Display`, for years 0 to 9999; later and earlier ones are cut to four digits. The audit log writes one
    /// for each entry, so this does without the formatting machinery.
    pub fn text(self) -> [u8; 24] {
        let (year, month, day) = civil_from_days(self.0.div_euclid(86_400_000));
        let (year, ms) = (year.unsigned_abs() % 10_000, self.0.rem_euclid(86_400_000).unsigned_abs());
        // Of what is below 100.
        let two = |value: u64| [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8];
        let ([y0, y1], [y2, y3]) = (two(year / 100), two(year % 100));
        let ([m0, m1], [d0, d1]) = (two(month.unsigned_abs()), two(day.unsigned_abs()));
        let ([h0, h1], [i0, i1]) = (two(ms / 3_600_000), two(ms / 60_000 % 60));
        let ([s0, s1], [t0, t1]) = (two(ms / 1000 % 60), two(ms % 1000 / 10));
        let t2 = b'0' + (ms % 10) as u8;
        [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', i0, i1, b':', s0, s1, b'.', t0, t1, t2, b'Z']
    }
}

/// Writes times of which most share a second with the one before, as a session's entries do.
#[derive(Clone, Debug)]
pub(crate) struct TimeText {
    second: i64,
    text: [u8; 24],
}

impl Default for TimeText {
    fn default() -> Self {
        Self { second: 0, text: Timestamp(0).text() }
    }
}

impl TimeText {
    /// The same as [`Timestamp::text`].
    pub(crate) fn of(&mut self, at: Timestamp) -> &[u8; 24] {
        let (second, ms) = (at.0.div_euclid(1000), at.0.rem_euclid(1000));
        if second == self.second {
            let digit = |value: i64| b'0' + (value % 10) as u8;
            [self.text[20], self.text[21], self.text[22]] = [digit(ms / 100), digit(ms / 10), digit(ms)];
        } else {
            *self = Self { second, text: at.text() };
        }
        &self.text
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

/// Year, month and day of a day counted from the Unix epoch, in the proleptic Gregorian calendar.
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    // Years are counted from March, so that the leap day is the last of a year; an era is 400 years.
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_rfc_3339() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_233_600_123, "2026-11-21T04:00:00.123Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), expected);
        }
    }

    #[test]
    fn a_time_after_others_has_the_same_text() {
        let mut times = TimeText::default();
        for millis in
            [7, 999, 1000, -1, -1000, -1001, i64::MIN, i64::MIN, i64::MAX, 1_795_233_600_123, 1_795_233_600_999, 0]
        {
            let at = Timestamp::from_millis(millis);
            assert_eq!(*times.of(at), at.text(), "{millis}");
        }
    }

    #[test]
    fn knows_hours_and_weekdays() {
        let saturday = Timestamp::from_millis(1_795_233_600_000);
        assert_eq!((saturday.hour(), saturday.weekday()), (4, 6));
        assert_eq!(Timestamp::from_millis(0).weekday(), 4);
    }
}
