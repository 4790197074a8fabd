//! Masks of dates and times. `partial` is the beginning of the year, or of the hour; `redact` a fixed moment; `hash`
//! and `token` a keyed day or second of the hundred years from 1970. Infinities, years before Christ, and any text form but ISO
//! become NULL: the client may have set another `DateStyle`.

use kernel::time::civil_from_days;
use kernel::verdict::Mask;

use super::kind::Kind;
use super::number::read_digits;
use super::value::Value;

/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL's binary forms begin to count.
const EPOCH: i64 = 10_957;
/// Days of the hundred years from 1970.
const CENTURY: u64 = 36_525;
const DAY: i64 = 86_400_000_000;
const HOUR: i64 = 3_600_000_000;
const SECOND: i64 = 1_000_000;

/// Days from 1970-01-01, of a date in the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn number(digits: &[u8]) -> Option<i64> {
    i64::try_from(read_digits(digits)?).ok()
}

/// `2026-01-31`.
fn read_date(text: &[u8]) -> Option<i64> {
    let mut parts = text.split(|byte| *byte == b'-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() < 4 || year.len() > 7 || month.len() != 2 || day.len() != 2 {
        return None;
    }
    let (month, day) = (number(month)?, number(day)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    Some(days(number(year)?, month, day))
}

/// `23:59:59.123456`, in microseconds.
fn read_time(text: &[u8]) -> Option<i64> {
    let (clock, fraction) = match text.split_at_checked(8)? {
        (clock, []) => (clock, &b""[..]),
        (clock, [b'.', fraction @ ..]) if (1..=6).contains(&fraction.len()) => (clock, fraction),
        _ => return None,
    };
    let mut parts = clock.split(|byte| *byte == b':');
    let (hours, minutes, seconds) = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    let scale = 10_i64.checked_pow(u32::try_from(6 - fraction.len()).ok()?)?;
    let fraction = if fraction.is_empty() { 0 } else { number(fraction)? * scale };
    Some(hours * HOUR + minutes * 60 * SECOND + seconds * SECOND + fraction)
}

/// `+02`, `-03:30`, `+00:17:30`, in microseconds.
fn read_offset(text: &[u8]) -> Option<i64> {
    let (sign, rest) = text.split_first()?;
    let mut offset = 0;
    let mut unit = HOUR;
    for part in rest.split(|byte| *byte == b':') {
        offset += number(part)? * unit;
        unit /= 60;
    }
    match sign {
        b'+' => Some(offset),
        b'-' => Some(-offset),
        _ => None,
    }
}

/// `2026-01-31 23:59:59`, and an offset if `zoned`: microseconds from 1970 in UTC.
fn read_timestamp(text: &[u8], zoned: bool) -> Option<i64> {
    let space = memchr::memchr(b' ', text)?;
    let (date, rest) = (text.get(..space)?, text.get(space + 1..)?);
    let (time, offset) = if zoned {
        let sign = rest.iter().position(|byte| matches!(byte, b'+' | b'-'))?;
        (rest.get(..sign)?, read_offset(rest.get(sign..)?)?)
    } else {
        (rest, 0)
    };
    Some(read_date(date)?.checked_mul(DAY)? + read_time(time)? - offset)
}

/// Reads a value: days from 1970, microseconds of a day, or microseconds from 1970.
fn read(kind: Kind, value: &[u8], binary: bool) -> Option<i64> {
    match (kind, binary) {
        (Kind::Date, false) => read_date(value),
        (Kind::Date, true) => match i32::from_be_bytes(value.try_into().ok()?) {
            i32::MIN | i32::MAX => None,
            days => Some(i64::from(days) + EPOCH),
        },
        (Kind::Time, false) => read_time(value),
        (Kind::Time, true) => Some(i64::from_be_bytes(value.try_into().ok()?)),
        (_, false) => read_timestamp(value, kind == Kind::TimestampTz),
        (_, true) => match i64::from_be_bytes(value.try_into().ok()?) {
            i64::MIN | i64::MAX => None,
            moment => moment.checked_add(EPOCH * DAY),
        },
    }
}

fn two(number: i64, out: &mut Vec<u8>) {
    let number = u8::try_from(number.rem_euclid(100)).unwrap_or(0);
    out.extend([b'0' + number / 10, b'0' + number % 10]);
}

fn write_date(days: i64, out: &mut Vec<u8>) -> Option<()> {
    let (year, month, day) = civil_from_days(days);
    // A year before Christ is written in another way.
    if year < 1 {
        return None;
    }
    if year >= 10_000 {
        super::number::write_digits(u64::try_from(year / 10_000).ok()?, out);
    }
    two(year / 100, out);
    two(year, out);
    out.push(b'-');
    two(month, out);
    out.push(b'-');
    two(day, out);
    Some(())
}

fn write_time(time: i64, out: &mut Vec<u8>) {
    two(time / HOUR, out);
    out.push(b':');
    two(time / (60 * SECOND) % 60, out);
    out.push(b':');
    two(time / SECOND % 60, out);
}

/// Writes a value without a fraction of a second.
fn write(kind: Kind, moment: i64, binary: bool, out: &mut Vec<u8>) -> Option<()> {
    match (kind, binary) {
        (Kind::Date, true) => out.extend(i32::try_from(moment - EPOCH).ok()?.to_be_bytes()),
        (Kind::Date, false) => write_date(moment, out)?,
        (Kind::Time, true) => out.extend(moment.to_be_bytes()),
        (Kind::Time, false) => write_time(moment, out),
        (_, true) => out.extend((moment - EPOCH * DAY).to_be_bytes()),
        (_, false) => {
            write_date(moment.div_euclid(DAY), out)?;
            out.push(b' ');
            write_time(moment.rem_euclid(DAY), out);
            if kind == Kind::TimestampTz {
                out.extend_from_slice(b"+00");
            }
        }
    }
    Some(())
}

/// Masks a date, a time or a timestamp; `None` where it is NULL.
pub(super) fn moment(of: Value<'_>, kind: Kind, out: &mut Vec<u8>) -> Option<()> {
    let moment = read(kind, of.value, of.binary)?;
    let keyed = |range: u64| i64::try_from(of.key.number(&moment.to_be_bytes()) % range).ok();
    let masked = match (of.mask, kind) {
        (Mask::Null | Mask::Last4, _) => return None,
        (Mask::Redact, _) => 0,
        (Mask::Hash | Mask::Token, Kind::Date) => keyed(CENTURY)?,
        (Mask::Hash | Mask::Token, Kind::Time) => keyed(86_400)? * SECOND,
        (Mask::Hash | Mask::Token, _) => keyed(CENTURY * 86_400)? * SECOND,
        (Mask::Partial, Kind::Time) => moment - moment % HOUR,
        (Mask::Partial, Kind::Date) => days(civil_from_days(moment).0, 1, 1),
        (Mask::Partial, _) => days(civil_from_days(moment.div_euclid(DAY)).0, 1, 1) * DAY,
    };
    write(kind, masked, of.binary, out)
}
