//! Masks of numbers. Each is read from its format, masked as a number, and written in the same format, so that text and binary
//! tell the same.
//!
//! `redact` is zero; `hash` is a keyed number in the type's range; `token` keeps the count of digits; `last4` the last four
//! digits; `partial` the first digit, with zeros behind. What is not a finite number becomes NULL.

use std::io::Write as _;

use kernel::verdict::Mask;

use super::decimal::Decimal;
use super::key::MaskKey;
use super::value::Value;

/// From so many digits on, `last4` shows four.
const LONG: u32 = 8;
/// From so many digits on, `partial` shows the first.
const SHORT: u32 = 3;

/// Writes an unsigned number.
pub(super) fn write_digits(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut rest = number;
    let mut begin = digits.len();
    for place in digits.iter_mut().rev() {
        *place = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        begin -= 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(begin..).unwrap_or_default());
}

/// Reads an unsigned number of digits and nothing else.
pub(super) fn read_digits(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

fn read_integer(value: &[u8], binary: bool, bytes: usize) -> Option<i64> {
    if binary {
        return match bytes {
            2 => Some(i64::from(i16::from_be_bytes(value.try_into().ok()?))),
            4 => Some(i64::from(i32::from_be_bytes(value.try_into().ok()?))),
            _ => Some(i64::from_be_bytes(value.try_into().ok()?)),
        };
    }
    match value.strip_prefix(b"-") {
        Some(digits) => 0_i64.checked_sub_unsigned(read_digits(digits)?),
        None => i64::try_from(read_digits(value)?).ok(),
    }
}

fn write_integer(number: i64, binary: bool, bytes: usize, out: &mut Vec<u8>) -> Option<()> {
    if !binary {
        if number < 0 {
            out.push(b'-');
        }
        write_digits(number.unsigned_abs(), out);
        return Some(());
    }
    match bytes {
        2 => out.extend(i16::try_from(number).ok()?.to_be_bytes()),
        4 => out.extend(i32::try_from(number).ok()?.to_be_bytes()),
        _ => out.extend(number.to_be_bytes()),
    }
    Some(())
}

/// Masks an integer of 2, 4 or 8 bytes; `None`, with nothing written, where it is NULL.
pub(super) fn integer(of: Value<'_>, bytes: usize, out: &mut Vec<u8>) -> Option<()> {
    let Value { mask, value, binary, key } = of;
    let number = read_integer(value, binary, bytes)?;
    let most = match bytes {
        2 => i64::from(i16::MAX),
        4 => i64::from(i32::MAX),
        _ => i64::MAX,
    };
    let size = number.unsigned_abs();
    let digits = size.checked_ilog10().map_or(1, |log| log + 1);
    // One bit less than the digest's 64, so that it is never negative.
    let keyed = || i64::try_from(key.number(&number.to_be_bytes()) >> 1).map(|keyed| keyed & most).ok();
    let masked = match mask {
        Mask::Null => return None,
        Mask::Redact => 0,
        Mask::Hash => keyed()?,
        Mask::Token => match permuted(size, digits, most.unsigned_abs(), key) {
            Some(size) if number < 0 => 0_i64.checked_sub_unsigned(size)?,
            Some(size) => i64::try_from(size).ok()?,
            None => keyed()?,
        },
        Mask::Last4 if digits >= LONG => i64::try_from(size % 10_000).ok()?,
        Mask::Partial if digits >= SHORT => number - number % 10_i64.checked_pow(digits - 1)?,
        Mask::Last4 | Mask::Partial => 0,
    };
    write_integer(masked, binary, bytes, out)
}

/// FF1 over numbers with that many digits, walking on until one has as many and is in range. `None` for fewer than six
/// digits, which the standard calls too small a domain.
fn permuted(size: u64, digits: u32, most: u64, key: &MaskKey) -> Option<u64> {
    let least = 10_u64.checked_pow(digits - 1)?;
    let mut number = u128::from(size);
    // At worst, for ten digits of an int4, one number in nine is in range.
    for _ in 0..400 {
        number = key.decimal.as_ref()?.permute(b"integer", number, digits as usize)?;
        if number >= u128::from(least) && number <= u128::from(most) {
            return u64::try_from(number).ok();
        }
    }
    None
}

/// Masks a float of 4 or 8 bytes.
pub(super) fn float(of: Value<'_>, bytes: usize, out: &mut Vec<u8>) -> Option<()> {
    let Value { mask, value, binary, key } = of;
    let number = match (binary, bytes) {
        (true, 4) => f64::from(f32::from_be_bytes(value.try_into().ok()?)),
        (true, _) => f64::from_be_bytes(value.try_into().ok()?),
        (false, 4) => f64::from(std::str::from_utf8(value).ok()?.parse::<f32>().ok()?),
        (false, _) => std::str::from_utf8(value).ok()?.parse().ok()?,
    };
    if !number.is_finite() {
        return None;
    }
    // The largest integers that the type holds exactly.
    let bits = if bytes == 4 { 24 } else { 53 };
    match mask {
        // The last digits of a float are noise, and its first four may be all of it.
        Mask::Null | Mask::Last4 => None,
        Mask::Redact => write_float(0, 0, false, binary, bytes, out),
        Mask::Hash | Mask::Token => {
            // Zero has two signs, and is one value.
            let canonical = if number == 0.0 { 0.0 } else { number };
            let keyed = key.number(&canonical.to_be_bytes()) >> (64 - bits);
            write_float(keyed, 0, false, binary, bytes, out)
        }
        Mask::Partial => {
            let mut written = [0; 32];
            let mut rest = written.as_mut_slice();
            // `-1.5e3`: the digit before the point, and the exponent.
            if bytes == 4 {
                write!(rest, "{:e}", number as f32).ok()?;
            } else {
                write!(rest, "{number:e}").ok()?;
            }
            let length = 32 - rest.len();
            let text = std::str::from_utf8(written.get(..length)?).ok()?;
            let (mantissa, exponent) = text.split_once('e')?;
            let digit = mantissa.trim_start_matches('-').bytes().next()?.checked_sub(b'0')?;
            let exponent: i32 = exponent.parse().ok()?;
            // Below a hundred the digit is most of the value.
            let (digit, exponent) = if exponent < 2 { (0, 0) } else { (digit, exponent) };
            write_float(u64::from(digit), exponent, number < 0.0 && digit > 0, binary, bytes, out)
        }
    }
}

/// Writes `number` times ten to the power of `exponent`.
fn write_float(
    number: u64,
    exponent: i32,
    negative: bool,
    binary: bool,
    bytes: usize,
    out: &mut Vec<u8>,
) -> Option<()> {
    if !binary {
        if negative {
            out.push(b'-');
        }
        write_digits(number, out);
        if exponent > 0 {
            out.extend_from_slice(b"e+");
            write_digits(u64::from(exponent.unsigned_abs()), out);
        }
        return Some(());
    }
    let mut written = [0; 48];
    let mut rest = written.as_mut_slice();
    write!(rest, "{}{number}e{exponent}", if negative { "-" } else { "" }).ok()?;
    let length = 48 - rest.len();
    let text = std::str::from_utf8(written.get(..length)?).ok()?;
    if bytes == 4 {
        out.extend(text.parse::<f32>().ok()?.to_be_bytes());
    } else {
        out.extend(text.parse::<f64>().ok()?.to_be_bytes());
    }
    Some(())
}

/// Masks a `numeric`. The masked number has as many digits behind the point, and never more before it than the column takes.
pub(super) fn numeric(of: Value<'_>, declared: Option<(u32, u32)>, out: &mut Vec<u8>) -> Option<()> {
    let Value { mask, value, binary, key } = of;
    let decimal = if binary { Decimal::from_binary(value)? } else { Decimal::from_text(value)? };
    let masked = match mask {
        Mask::Null => return None,
        Mask::Redact => decimal.zero(),
        Mask::Hash => decimal.keyed(declared, key),
        Mask::Token => decimal.permuted(key).unwrap_or_else(|| decimal.keyed(declared, key)),
        Mask::Last4 => decimal.last_four(LONG as usize),
        Mask::Partial => decimal.leading(SHORT as usize),
    };
    if binary {
        masked.write_binary(out)
    } else {
        masked.write_text(out)
    }
    Some(())
}
