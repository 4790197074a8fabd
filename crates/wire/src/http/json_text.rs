//! The tokens of JSON, RFC 8259, for the two that read it: `body.rs` a whole document, `json_mask.rs` a stream.

/// Where a number stands in the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Start,
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl Number {
    /// The place after one more byte; `None` if the number does not go on with it.
    pub(super) const fn step(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Start, b'-') => Self::Minus,
            (Self::Start | Self::Minus, b'0') => Self::Zero,
            (Self::Start | Self::Minus, b'1'..=b'9') | (Self::Whole, b'0'..=b'9') => Self::Whole,
            (Self::Zero | Self::Whole, b'.') => Self::Point,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Whole | Self::Fraction, b'e' | b'E') => Self::Exponent,
            (Self::Exponent, b'+' | b'-') => Self::Sign,
            (Self::Exponent | Self::Sign | Self::Power, b'0'..=b'9') => Self::Power,
            _ => return None,
        })
    }

    /// Whether it may end here.
    pub(super) const fn is_whole(self) -> bool {
        matches!(self, Self::Zero | Self::Whole | Self::Fraction | Self::Power)
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The high bit of each byte that is zero; bytes above the first of them may be marked wrongly.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// How many bytes of a string's content come before a quotation mark, a backslash or a control character; eight at a time.
pub(super) fn plain(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (place, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quotes = zeros(word ^ (ONES * b'"' as u64));
        let backslashes = zeros(word ^ (ONES * b'\\' as u64));
        let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let stops = quotes | backslashes | controls;
        if stops != 0 {
            return place * 8 + (stops.trailing_zeros() / 8) as usize;
        }
    }
    let stops = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1F);
    words.len() * 8 + rest.iter().position(stops).unwrap_or(rest.len())
}

/// How many blanks stand here.
pub(super) fn blanks(bytes: &[u8]) -> usize {
    // Mostly one, or a line end and as many as the structure is deep.
    bytes.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).unwrap_or(bytes.len())
}

/// The length of the string that begins here, if all of it is here and it is one.
pub(super) fn string(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(rest) = bytes.get(at..) {
        at += plain(rest);
        match bytes.get(at..) {
            Some([b'"', ..]) => return at + 1,
            Some([b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..]) => at += 2,
            Some([b'\\', b'u', a, b, c, d, ..]) if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) => {
                at += 6
            }
            _ => return 0,
        }
    }
    0
}

/// The length of the number that begins here, if its end is here too and it is one.
pub(super) fn number(bytes: &[u8]) -> usize {
    let mut number = Number::Start;
    for (length, byte) in bytes.iter().enumerate() {
        match number.step(*byte) {
            Some(next) => number = next,
            None if number.is_whole() => return length,
            None => return 0,
        }
    }
    0
}

/// The length of the `true`, `false` or `null` that begins here, if all of it is here.
pub(super) fn word(bytes: &[u8]) -> usize {
    let words: [&[u8]; 3] = [b"true", b"false", b"null"];
    words.into_iter().find(|word| bytes.starts_with(word)).map_or(0, <[u8]>::len)
}

/// What the content of a string held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unescaped {
    /// Halves of surrogate pairs, which were written as U+FFFD.
    pub(super) lone_surrogates: bool,
}

/// Appends the content of a string with its escapes resolved; `None` if an escape is malformed.
pub(super) fn unescape(raw: &[u8], out: &mut Vec<u8>) -> Option<Unescaped> {
    let mut found = Unescaped::default();
    let mut rest = raw;
    while let Some(place) = memchr::memchr(b'\\', rest) {
        let (before, after) = rest.split_at_checked(place)?;
        out.extend_from_slice(before);
        let [_, escape, tail @ ..] = after else { return None };
        rest = tail;
        match escape {
            b'"' | b'\\' | b'/' => out.push(*escape),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let (unit, tail) = hex4(rest)?;
                rest = tail;
                let letter = match unit {
                    0xD800..=0xDBFF => match low_surrogate(rest) {
                        Some((low, tail)) => {
                            rest = tail;
                            char::from_u32(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
                        }
                        None => None,
                    },
                    unit => char::from_u32(unit),
                };
                found.lone_surrogates |= letter.is_none();
                out.extend_from_slice(letter.unwrap_or('\u{FFFD}').encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return None,
        }
    }
    out.extend_from_slice(rest);
    Some(found)
}

fn hex4(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = bytes.split_first_chunk::<4>()?;
    let unit = digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))?;
    Some((unit, rest))
}

fn low_surrogate(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (unit, rest) = hex4(bytes.strip_prefix(b"\\u")?)?;
    (0xDC00..=0xDFFF).contains(&unit).then_some((unit, rest))
}

/// Appends a text as the content of a string, escaped.
pub(super) fn escape(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            0..=0x1F => {
                let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
                out.extend([b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            }
            _ => out.push(*byte),
        }
    }
}
