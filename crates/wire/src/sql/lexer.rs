//! The normalised key of a statement: its tokens, with constants as typed holes.
//!
//! A lexer by hand is a parser differential in waiting, so it takes only what is beyond doubt: ASCII words, `$1`, plain
//! numbers, plain strings, punctuation and operators. Comments, quoted names, backslashes, dollar quotes, prefixed
//! strings, continued strings, exponents and letters behind numbers make it give up, and the statement is then looked at
//! in full. A differential test holds it against PostgreSQL's scanner.

/// A hole where a constant stood. These bytes appear in no text that the lexer takes.
const NUMBER: u8 = 0x01;
const STRING: u8 = 0x02;
/// Between two tokens.
const GAP: u8 = 0x03;

/// For bytes of a word their lower case, for those that may follow a word [`GAP`], and for others zero: quotes and dollars
/// that touch a word, and letters beyond ASCII.
static WORD: [u8; 256] = {
    let mut table = [0; 256];
    let mut rest: &mut [u8] = &mut table;
    let mut byte = 0u8;
    while let [slot, after @ ..] = rest {
        *slot = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => byte.to_ascii_lowercase(),
            b'\'' | b'$' | 0x80.. => 0,
            _ => GAP,
        };
        byte = byte.wrapping_add(1);
        rest = after;
    }
    table
};

/// Appends the key of `text` to `key`; says whether the lexer understood all of it. The key does not tell texts apart that
/// differ only in constants, white space or the case of words.
pub(super) fn key(text: &[u8], key: &mut Vec<u8>) -> bool {
    let start = key.len();
    // Tokens of one byte, with a gap behind each, take the most room.
    key.resize(start + 2 * text.len(), 0);
    let Some(length) = tokens(text, key.split_at_mut(start).1) else { return false };
    key.truncate(start + length);
    true
}

/// Writes the tokens of a text; says how many bytes they take, if it is understood.
fn tokens(text: &[u8], room: &mut [u8]) -> Option<usize> {
    let mut rest = text;
    let mut written = 0;
    while let [first, after @ ..] = rest {
        let (token, behind) = match first {
            b' ' | b'\t' | b'\n' | b'\r' => {
                rest = after;
                continue;
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let length = word(rest, room.get_mut(written..)?)?;
                written += length;
                (&[][..], rest.get(length..)?)
            }
            b'0'..=b'9' => {
                let (number, behind) = rest.split_at_checked(number(rest)?)?;
                // Directly behind LIMIT, FIRST or NEXT it is kept: the analysis reads it.
                let before = room.get(..written)?.rsplit(|byte| *byte == GAP).nth(1);
                let keep = matches!(before, Some(b"limit" | b"first" | b"next"));
                (if keep { number } else { &[NUMBER] }, behind)
            }
            b'\'' => (&[STRING][..], string(after)?),
            b'$' => {
                let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let (parameter, behind) = rest.split_at_checked(1 + digits)?;
                // Without digits a dollar quote begins; a letter behind them makes junk; ten digits overflow.
                if digits == 0 || digits > 5 || behind.first().is_some_and(|byte| is_word(*byte)) {
                    return None;
                }
                (parameter, behind)
            }
            b'(' | b')' | b',' | b';' | b'[' | b']' => rest.split_at_checked(1)?,
            // `.5` is a number, `..` a token of its own.
            b'.' if after.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.') => return None,
            b'.' => rest.split_at_checked(1)?,
            // `::` only; `:=` and slices are rare.
            b':' if after.first() != Some(&b':') || after.get(1) == Some(&b':') => return None,
            b':' => rest.split_at_checked(2)?,
            _ => {
                let (operator, behind) = rest.split_at_checked(operator(rest))?;
                if !is_plain_operator(operator) {
                    return None;
                }
                (operator, behind)
            }
        };
        for byte in token {
            *room.get_mut(written)? = *byte;
            written += 1;
        }
        *room.get_mut(written)? = GAP;
        written += 1;
        rest = behind;
    }
    Some(written)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// Writes an ASCII word in lower case; says how long it is. One with `$` or a letter beyond ASCII, or longer than a name may
/// be, is left alone.
fn word(text: &[u8], room: &mut [u8]) -> Option<usize> {
    let mut length = 0;
    for (byte, slot) in text.iter().zip(room) {
        let lower = WORD.get(usize::from(*byte)).copied().unwrap_or_default();
        if lower <= GAP {
            // A prefixed string: E, B, X, N, U&, or a type name that touches its literal. `u&'` and `u&"` begin Unicode forms.
            if lower != GAP || length == 1 && *byte == b'&' {
                return None;
            }
            break;
        }
        *slot = lower;
        length += 1;
    }
    (length <= 63).then_some(length)
}

/// The length of `12` or `1.5`.
fn number(rest: &[u8]) -> Option<usize> {
    let digits = |from: usize| rest.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
    let mut length = digits(0);
    if rest.get(length) == Some(&b'.') {
        let fraction = digits(length + 1);
        if fraction == 0 {
            return None;
        }
        length += 1 + fraction;
    }
    let odd = rest.get(length).is_some_and(|byte| is_word(*byte) || *byte == b'.');
    (!odd).then_some(length)
}

/// What follows a plain string whose opening quote was taken.
fn string(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let end = memchr::memchr2(b'\'', b'\\', rest)?;
        let (_, quote) = rest.split_at(end);
        match quote {
            [b'\'', b'\'', after @ ..] => rest = after,
            [b'\'', after @ ..] => {
                // `'a'⏎'b'` is one string.
                let gap = after.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == 0x0B).count();
                return (after.get(gap) != Some(&b'\'')).then_some(after);
            }
            _ => return None,
        }
    }
}

/// The run of operator characters.
fn operator(rest: &[u8]) -> usize {
    rest.iter().take_while(|byte| is_operator(**byte)).count()
}

fn is_operator(byte: u8) -> bool {
    matches!(byte, b'!' | b'#' | b'%' | b'&' | b'*' | b'+' | b'-' | b'/' | b'<'..=b'@' | b'^' | b'`' | b'|' | b'~')
}

/// The operators whose extent is beyond doubt: no run that the scanner might cut into several, and no comment.
fn is_plain_operator(text: &[u8]) -> bool {
    matches!(
        text,
        b"=" | b"<"
            | b">"
            | b"<="
            | b">="
            | b"<>"
            | b"!="
            | b"+"
            | b"-"
            | b"*"
            | b"/"
            | b"%"
            | b"||"
            | b"->"
            | b"->>"
            | b"#>"
            | b"#>>"
            | b"@>"
            | b"<@"
            | b"&&"
            | b"~"
            | b"~*"
            | b"!~"
            | b"!~*"
            | b"?"
            | b"^"
    )
}
