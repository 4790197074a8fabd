//! A `numeric` value, as its digits, on the stack: read from text or binary, masked, and written in the same format.
//!
//! Binary is base 10,000: the count of digits, the weight of the first, sign, scale, and the digits, 16 bits each
//! (`numeric_send` in PostgreSQL's numeric.c).

use super::key::MaskKey;

/// Longer numbers become NULL when they are masked.
const MOST: usize = 128;

/// The signs of the binary form.
const POSITIVE: u16 = 0;
const NEGATIVE: u16 = 0x4000;

/// A finite decimal number: at least one digit before the point, `scale` behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    /// Each 0 to 9.
    digits: [u8; MOST],
    length: usize,
    scale: usize,
    negative: bool,
}

fn be16(bytes: &[u8], place: usize) -> Option<u16> {
    bytes.get(place..place.checked_add(2)?)?.first_chunk().copied().map(u16::from_be_bytes)
}

impl Decimal {
    fn new(negative: bool) -> Self {
        Self { digits: [0; MOST], length: 0, scale: 0, negative }
    }

    fn push(&mut self, digit: u8) -> Option<()> {
        *self.digits.get_mut(self.length)? = digit;
        self.length += 1;
        Some(())
    }

    fn all(&self) -> &[u8] {
        self.digits.get(..self.length).unwrap_or_default()
    }

    fn integer(&self) -> &[u8] {
        self.digits.get(..self.length - self.scale).unwrap_or_default()
    }

    fn fraction(&self) -> &[u8] {
        self.digits.get(self.length - self.scale..self.length).unwrap_or_default()
    }

    /// Reads the form that the server writes. NaN and infinities are `None`.
    pub(super) fn from_text(text: &[u8]) -> Option<Self> {
        let (negative, text) = match text.strip_prefix(b"-") {
            Some(text) => (true, text),
            None => (false, text),
        };
        let mut decimal = Self::new(negative);
        let mut point = false;
        for byte in text {
            match byte {
                b'0'..=b'9' => {
                    decimal.push(byte - b'0')?;
                    decimal.scale += usize::from(point);
                }
                b'.' if !point && decimal.length > 0 => point = true,
                _ => return None,
            }
        }
        (decimal.length > 0).then_some(decimal)
    }

    /// Reads the binary form.
    pub(super) fn from_binary(value: &[u8]) -> Option<Self> {
        let (groups, weight, sign, scale) = (be16(value, 0)?, be16(value, 2)?, be16(value, 4)?, be16(value, 6)?);
        let (groups, scale) = (usize::from(groups), usize::from(scale));
        let weight = i32::from(weight.cast_signed());
        if !matches!(sign, POSITIVE | NEGATIVE) || value.len() != 8 + 2 * groups || scale >= MOST {
            return None;
        }
        let group = |weight_of: i32| -> Option<u16> {
            match usize::try_from(weight - weight_of) {
                Ok(place) if place < groups => be16(value, 8 + 2 * place).filter(|group| *group < 10_000),
                _ => Some(0),
            }
        };
        let mut decimal = Self::new(sign == NEGATIVE);
        for weight_of in (0..=weight.max(0)).rev() {
            for digit in digits_of(group(weight_of)?) {
                // Zeros in front are not written.
                if decimal.length > 0 || digit > 0 {
                    decimal.push(digit)?;
                }
            }
        }
        if decimal.length == 0 {
            decimal.push(0)?;
        }
        let mut left = scale;
        let mut weight_of = -1;
        while left > 0 {
            for digit in digits_of(group(weight_of)?).into_iter().take(left) {
                decimal.push(digit)?;
                decimal.scale += 1;
                left -= 1;
            }
            weight_of -= 1;
        }
        Some(decimal)
    }

    pub(super) fn write_text(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        out.extend(self.integer().iter().map(|digit| b'0' + digit));
        if self.scale > 0 {
            out.push(b'.');
            out.extend(self.fraction().iter().map(|digit| b'0' + digit));
        }
    }

    pub(super) fn write_binary(&self, out: &mut Vec<u8>) {
        let (integer, fraction) = (self.integer(), self.fraction());
        let before = integer.len().div_ceil(4);
        let begin = out.len();
        out.extend([0; 8]);
        let (mut groups, mut leading) = (0_u16, true);
        // The weight of the first group that is not zero.
        let mut weight = 0_i16;
        let mut last = out.len();
        let aligned = (before * 4 - integer.len()).min(3);
        let padded = std::iter::repeat_n(&0, aligned).chain(integer).chain(fraction);
        let mut group: u16 = 0;
        let total = before * 4 + fraction.len().div_ceil(4) * 4;
        let mut counter = i16::try_from(before).unwrap_or(0);
        for (place, digit) in padded.chain(std::iter::repeat(&0)).take(total).enumerate() {
            group = group * 10 + u16::from(*digit);
            if place % 4 != 3 {
                continue;
            }
            counter -= 1;
            if leading && group == 0 {
                continue;
            }
            if leading {
                (leading, weight) = (false, counter);
            }
            out.extend(group.to_be_bytes());
            groups += 1;
            if group != 0 {
                last = out.len();
            }
            group = 0;
        }
        // Zeros behind are not written.
        groups -= u16::try_from((out.len() - last) / 2).unwrap_or(0);
        out.truncate(last);
        let zero = groups == 0;
        let sign = if self.negative && !zero { NEGATIVE } else { POSITIVE };
        let scale = u16::try_from(self.scale).unwrap_or(0);
        let weight = if zero { 0 } else { weight.cast_unsigned() };
        for (place, part) in [groups, weight, sign, scale].into_iter().enumerate() {
            let at = begin + 2 * place;
            if let Some(slot) = out.get_mut(at..at + 2) {
                slot.copy_from_slice(&part.to_be_bytes());
            }
        }
    }

    /// Zero, with as many digits behind the point.
    pub(super) fn zero(&self) -> Self {
        let mut zero = Self::new(false);
        zero.length = 1 + self.scale;
        zero.scale = self.scale;
        zero
    }

    /// A keyed integer of at most 18 digits, and no more than the column takes.
    pub(super) fn keyed(&self, declared: Option<(u32, u32)>, key: &MaskKey) -> Self {
        let room = declared.map_or(18, |(precision, scale)| (precision - scale).min(18));
        // 1.0 and 1.00 are one value.
        let behind = self.fraction().iter().rposition(|digit| *digit != 0).map_or(0, |place| place + 1);
        let mut canonical = [0; MOST + 1];
        let mut count = 1;
        if let Some(sign) = canonical.first_mut() {
            *sign = u8::from(self.negative) + b'0';
        }
        let point = std::iter::once(&b'.');
        let all = self.integer().iter().skip_while(|digit| **digit == 0).chain(point);
        for (slot, byte) in canonical.iter_mut().skip(1).zip(all.chain(self.fraction().iter().take(behind))) {
            *slot = *byte;
            count += 1;
        }
        let keyed = key.number(canonical.get(..count).unwrap_or_default());
        let mut number = keyed % 10_u64.saturating_pow(room);
        let mut masked = self.zero();
        let width = number.checked_ilog10().map_or(1, |log| log as usize + 1);
        masked.length = (width + self.scale).min(MOST);
        for slot in masked.digits.iter_mut().take(width.min(masked.length)).rev() {
            *slot = u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
        }
        masked
    }

    /// FF1 over all its digits, those behind the point included; a number without an integer part keeps none. `None` if it
    /// has fewer than six digits, or more than thirty-six.
    pub(super) fn permuted(&self, key: &MaskKey) -> Option<Self> {
        let permutation = key.decimal.as_ref()?;
        let whole = self.all();
        let bare = self.integer() == [0];
        let digits = if bare { self.fraction() } else { whole };
        if digits.len() > 36 {
            return None;
        }
        let mut number = digits.iter().fold(0_u128, |number, digit| number * 10 + u128::from(*digit));
        // The first digit stays above zero, or the number would be one of fewer digits.
        let least = if bare { 0 } else { 10_u128.checked_pow(u32::try_from(digits.len()).ok()?.checked_sub(1)?)? };
        for _ in 0..400 {
            number = permutation.permute(b"numeric", number, digits.len())?;
            if number >= least {
                break;
            }
        }
        if number < least {
            return None;
        }
        let mut masked = *self;
        let begin = usize::from(bare);
        for slot in masked.digits.get_mut(begin..self.length)?.iter_mut().rev() {
            *slot = u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
        }
        Some(masked)
    }

    /// The last four digits, if there are at least `long`; else zero. Without a sign.
    pub(super) fn last_four(&self, long: usize) -> Self {
        let mut masked = *self;
        masked.negative = false;
        let shown = if self.length >= long { 4 } else { 0 };
        masked.digits.iter_mut().take(self.length - shown).for_each(|digit| *digit = 0);
        masked.trimmed()
    }

    /// The first digit and zeros, if there are at least `short` before the point; else zero.
    pub(super) fn leading(&self, short: usize) -> Self {
        if self.integer().len() < short {
            return self.zero();
        }
        let mut masked = *self;
        masked.digits.iter_mut().skip(1).for_each(|digit| *digit = 0);
        masked
    }

    /// Without zeros in front.
    fn trimmed(mut self) -> Self {
        let before = self.length - self.scale;
        let zeros = self.integer().iter().take_while(|digit| **digit == 0).count().min(before.saturating_sub(1));
        self.digits.rotate_left(zeros);
        self.length -= zeros;
        self
    }
}

/// The four digits of a group.
fn digits_of(group: u16) -> [u8; 4] {
    let digit = |power: u16| u8::try_from(group / power % 10).unwrap_or(0);
    [digit(1000), digit(100), digit(10), digit(1)]
}
