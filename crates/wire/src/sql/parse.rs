//! The one door to PostgreSQL's grammar. Caps come first, because libpg_query is C in our process.
//!
//! Whatever the grammar does not accept is refused; its message is dropped, because it quotes the client's text.

use kernel::verdict::Undecidable;

use super::analysis::Refused;

pub(super) use pg_query::NodeEnum;
pub(super) use pg_query::protobuf as pb;

/// The longest text that is analysed, in bytes.
pub(super) const MAX_BYTES: usize = 256 * 1024;
/// The deepest nesting of brackets.
const MAX_DEPTH: usize = 500;
/// The most words, numbers and signs, roughly counted; 140 KB of `OR` would keep the parser busy for half a second.
const MAX_PIECES: usize = 65_536;

/// Parses a text into its statements.
pub(super) fn parse(text: &str, server_major: u32) -> Result<Vec<pb::RawStmt>, Refused> {
    check_caps(text, server_major)?;
    // Its own stack guard knows the thread's stack, not the one that `with_stack` brings; 2 MiB is all that it takes.
    match with_stack(|| pg_query::parse(text, 0)) {
        Ok(result) => Ok(result.protobuf.stmts),
        Err(error) => Err(Refused::new(reason(&error))),
    }
}

/// Room for decoding and walking a tree of the greatest depth that the decoder takes, 100 messages. Each level of the
/// decoder needs some 22 KiB of stack, so that a 1 KB statement would overflow a thread of 2 MiB and end the process.
const RED_ZONE: usize = 5 * 1024 * 1024;
/// The stack that is brought where less than that is left. Pages are touched only as far as they are used.
const STACK: usize = 12 * 1024 * 1024;

/// Runs something that recurses over a tree with enough stack.
pub(super) fn with_stack<R>(run: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(RED_ZONE, STACK, run)
}

fn reason(error: &pg_query::Error) -> Undecidable {
    match error {
        // The tree is deeper than the decoder takes.
        pg_query::Error::Decode(_) => Undecidable::TooLarge,
        pg_query::Error::Parse(message) if message.contains("stack depth") || message.contains("memory exhausted") => {
            Undecidable::TooLarge
        }
        pg_query::Error::Parse(_)
        | pg_query::Error::Conversion(_)
        | pg_query::Error::InvalidJson(_)
        | pg_query::Error::InvalidPointer
        | pg_query::Error::Scan(_)
        | pg_query::Error::IsUtility(_)
        | pg_query::Error::Split(_) => Undecidable::Unparseable,
    }
}

/// A token of the scanner.
pub(super) struct Token {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: TokenKind,
}

/// What a token is to those who replace constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A string, bit string or number.
    Constant,
    /// A comment.
    Comment,
    /// Anything else.
    Word,
}

/// The scanner's tokens. `None` if the text cannot be scanned.
pub(super) fn scan(text: &str) -> Option<Vec<Token>> {
    let scanned = pg_query::scan(text).ok()?;
    scanned
        .tokens
        .iter()
        .map(|token| {
            let kind = match token.token() {
                pb::Token::Sconst
                | pb::Token::Usconst
                | pb::Token::Bconst
                | pb::Token::Xconst
                | pb::Token::Iconst
                | pb::Token::Fconst => TokenKind::Constant,
                pb::Token::SqlComment | pb::Token::CComment => TokenKind::Comment,
                _ => TokenKind::Word,
            };
            Some(Token { start: usize::try_from(token.start).ok()?, end: usize::try_from(token.end).ok()?, kind })
        })
        .collect()
}

/// Size, depth and lexis. Quotes are followed only roughly, which is enough for a cap: it can refuse too much, and the
/// grammar has the last word on what it lets through.
fn check_caps(text: &str, server_major: u32) -> Result<(), Refused> {
    if text.len() > MAX_BYTES {
        return Err(Refused::new(Undecidable::TooLarge));
    }
    let (mut depth, mut pieces, mut quote, mut previous) = (0usize, 0usize, None, b' ');
    for byte in text.bytes() {
        match (byte, quote) {
            (0, _) => return Err(Refused::new(Undecidable::Unparseable)),
            (b'\'' | b'"', None) => quote = Some(byte),
            (_, Some(open)) if open == byte => quote = None,
            (_, Some(_)) => {}
            (b'(' | b'[', None) => {
                depth += 1;
                pieces += 1;
            }
            (b')' | b']', None) => {
                depth = depth.saturating_sub(1);
                pieces += 1;
            }
            (_, None) => {
                let starts = is_word(byte) != is_word(previous) || !(is_word(byte) || byte.is_ascii_whitespace());
                pieces += usize::from(starts && !byte.is_ascii_whitespace());
            }
        }
        if depth > MAX_DEPTH || pieces > MAX_PIECES {
            return Err(Refused::new(Undecidable::TooLarge));
        }
        previous = byte;
    }
    if server_major < 16 && may_be_modern(text.as_bytes()) && is_modern(text) {
        return Err(Refused::new(Undecidable::Unparseable));
    }
    Ok(())
}

/// A digit with a letter or underscore behind it, or a vertical tab: cheap, and nearly always absent.
fn may_be_modern(text: &[u8]) -> bool {
    let pairs = text.iter().zip(text.iter().skip(1));
    text.contains(&0x0B)
        || pairs.clone().any(|(digit, next)| {
            digit.is_ascii_digit() && matches!(next, b'_' | b'x' | b'X' | b'o' | b'O' | b'b' | b'B')
        })
}

/// Whether the scanner finds what PostgreSQL 16 brought: `0x1F`, `1_000`, the vertical tab as a space. An older server
/// reads the same text in another way (hazards PL04). What cannot be scanned is refused by the parser.
fn is_modern(text: &str) -> bool {
    let Some(tokens) = scan(text) else { return false };
    let mut done = 0;
    for token in tokens {
        let gap = text.get(done..token.start).unwrap_or_default();
        let word = text.get(token.start..token.end).unwrap_or_default();
        let number =
            token.kind == TokenKind::Constant && word.starts_with(|first: char| first.is_ascii_digit() || first == '.');
        let odd = |letter: char| matches!(letter.to_ascii_lowercase(), '_' | 'x' | 'o' | 'b');
        if gap.contains('\u{b}') || (number && word.contains(odd)) {
            return true;
        }
        done = token.end;
    }
    text.get(done..).unwrap_or_default().contains('\u{b}')
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}
