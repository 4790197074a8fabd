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

/// Appends the key of `text` to `key`; says whether the lexer understood all of it. The key does not tell texts apart that
/// differ only in constants, white space or the case of words.
pub(super) fn key(text: &[u8], key: &mut Vec<u8>) -> bool {
    let mut rest = text;
    // A number directly behind LIMIT, FIRST or NEXT is kept: the analysis reads it.
    let mut keep = false;
    loop {
        let [first, after @ ..] = rest else { return true };
        match first {
            b' ' | b'\t' | b'\n' | b'\r' => rest = after,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let Some(length) = word(rest) else { return false };
                let (text, after) = rest.split_at(length);
                if after.first() == Some(&b'\'') {
                    // A prefixed string: E, B, X, N, U&, or a type name that touches its literal.
                    return false;
                }
                let start = key.len();
                key.extend(text.iter().map(u8::to_ascii_lowercase));
                keep = matches!(key.get(start..), Some(b"limit" | b"first" | b"next"));
                key.push(GAP);
                rest = after;
                continue;
            }
            b'0'..=b'9' => {
                let Some(length) = number(rest) else { return false };
                let (text, after) = rest.split_at(length);
                if keep {
                    key.extend_from_slice(text);
                } else {
                    key.push(NUMBER);
                }
                key.push(GAP);
                rest = after;
            }
            b'\'' => {
                let Some(after) = string(after) else { return false };
                key.extend([STRING, GAP]);
                rest = after;
            }
            b'$' => {
                let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let (number, behind) = after.split_at(digits);
                // Without digits a dollar quote begins; a letter behind them makes junk; ten digits overflow.
                if digits == 0 || digits > 5 || behind.first().is_some_and(|byte| is_word(*byte)) {
                    return false;
                }
                key.push(b'$');
                key.extend_from_slice(number);
                key.push(GAP);
                rest = behind;
            }
            b'(' | b')' | b',' | b';' | b'[' | b']' => {
                key.extend([*first, GAP]);
                rest = after;
            }
            b'.' => {
                // `.5` is a number, `..` a token of its own.
                if after.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.') {
                    return false;
                }
                key.extend([b'.', GAP]);
                rest = after;
            }
            b':' => {
                // `::` only; `:=` and slices are rare.
                let [b':', behind @ ..] = after else { return false };
                if behind.first() == Some(&b':') {
                    return false;
                }
                key.extend([b':', b':', GAP]);
                rest = behind;
            }
            _ => {
                let length = operator(rest);
                let (text, after) = rest.split_at(length);
                if !is_plain_operator(text) {
                    return false;
                }
                key.extend_from_slice(text);
                key.push(GAP);
                rest = after;
            }
        }
        if !matches!(first, b' ' | b'\t' | b'\n' | b'\r') {
            keep = false;
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// The length of an ASCII word. One with `$` or a letter beyond ASCII, or longer than a name may be, is left alone.
fn word(rest: &[u8]) -> Option<usize> {
    let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    let odd = rest.get(length).is_some_and(|byte| *byte == b'$' || *byte >= 0x80);
    // `u&'` and `u&"` begin Unicode forms.
    let unicode = length == 1 && rest.get(1) == Some(&b'&');
    (!odd && !unicode && length <= 63).then_some(length)
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
    rest.iter().take_while(|byte| b"+-*/<>=~!@#%^&|`?".contains(byte)).count()
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
