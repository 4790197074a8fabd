//! What one value says, by what it has to be.

use super::{BodyError, BodyFacts, BodyField, Expect, LONGEST_TEXT};

/// The largest whole number that a double tells from its neighbours.
const EXACT: i64 = (1 << 53) - 1;

/// A value as its format tells it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scalar<'v> {
    Null,
    Boolean(bool),
    /// A number of JSON's grammar.
    Number(&'v str),
    Text(&'v str),
    /// A text of a format that has nothing else: an integer in it is one.
    Untyped(&'v str),
    /// An object or an array.
    Structure,
}

/// Adds what a value says to the facts. Null says nothing.
pub(super) fn note(field: &BodyField, value: Scalar<'_>, facts: &mut BodyFacts) -> Result<(), BodyError> {
    let wrong = || BodyError::WrongType { name: field.name.clone(), expect: field.expect };
    let name = || field.name.clone();
    let mut text = |text: &str| {
        if text.len() > LONGEST_TEXT {
            return Err(wrong());
        }
        facts.texts.insert(name(), text.into());
        Ok(())
    };
    let number = match (field.expect, value) {
        (_, Scalar::Null) => return Ok(()),
        (_, Scalar::Structure) => return Err(wrong()),
        (Expect::Any | Expect::Boolean, Scalar::Boolean(value)) => return text(if value { "true" } else { "false" }),
        (Expect::Boolean, Scalar::Untyped(value @ ("true" | "false"))) => return text(value),
        (Expect::Text, Scalar::Text(value) | Scalar::Untyped(value)) => return text(value),
        (Expect::Any, Scalar::Text(value) | Scalar::Untyped(value)) => {
            text(value)?;
            if !looks_numeric(value) {
                return Ok(());
            }
            plain_integer(value)
        }
        (Expect::Any | Expect::Integer, Scalar::Number(value)) => scaled(value, 0),
        (Expect::Integer, Scalar::Untyped(value)) => plain_integer(value),
        (Expect::Decimal(places), Scalar::Number(value)) => scaled(value, places),
        (Expect::Decimal(places), Scalar::Text(value) | Scalar::Untyped(value)) => {
            is_plain_decimal(value).then(|| scaled(value, places)).flatten()
        }
        (Expect::Boolean | Expect::Text | Expect::Integer | Expect::Decimal(_), _) => None,
    };
    facts.numbers.insert(field.name.clone(), number.ok_or_else(wrong)?);
    Ok(())
}

/// Whether some reader takes a text for a number: with blanks around it, a sign, hexadecimal digits, separators, the digits of
/// any script (Java and Python read them all).
fn looks_numeric(text: &str) -> bool {
    let bare: String = text
        .chars()
        .filter(|letter| !matches!(letter, '_' | ',' | '\'') && !letter.is_whitespace())
        .map(|letter| match letter {
            '\u{2212}' | '\u{ff0d}' => '-',
            '\u{ff0b}' => '+',
            '\u{ff0e}' | '\u{66b}' => '.',
            letter if !letter.is_ascii() && letter.is_numeric() => '0',
            letter => letter,
        })
        .collect();
    let unsigned = bare.trim_start_matches(['+', '-']);
    let based = ["0x", "0X", "0o", "0O", "0b", "0B"].iter().any(|base| unsigned.starts_with(base));
    based
        || bare.parse::<f64>().is_ok_and(|_| unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.'))
}

/// `-?(0|[1-9][0-9]*)`, within what a double holds.
fn plain_integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    if !plain || text == "-0" {
        return None;
    }
    text.parse().ok().filter(is_exact)
}

fn is_exact(number: &i64) -> bool {
    (-EXACT..=EXACT).contains(number)
}

/// Digits, perhaps with a point between them, and no zero in front.
fn is_plain_decimal(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').map_or((unsigned, None), |(whole, rest)| (whole, Some(rest)));
    digits(whole) && (whole == "0" || !whole.starts_with('0')) && fraction.is_none_or(digits)
}

/// A number of JSON's grammar times ten to the power of `places`, if that is whole and exact.
pub(super) fn scaled(text: &str, places: u32) -> Option<i64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let digits = digits.trim_start_matches('0');
    let kept = digits.trim_end_matches('0');
    if kept.is_empty() {
        return Some(0);
    }
    let dropped = i32::try_from(digits.len() - kept.len()).ok()?;
    let shift = exponent
        .checked_sub(i32::try_from(fraction.len()).ok()?)?
        .checked_add(i32::try_from(places).ok()?)?
        .checked_add(dropped)?;
    let power = 10_i64.checked_pow(u32::try_from(shift).ok()?)?;
    let number = kept.parse::<i64>().ok()?.checked_mul(power)?;
    Some(if negative { -number } else { number }).filter(is_exact)
}
