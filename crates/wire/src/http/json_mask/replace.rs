//! What stands in the place of a masked value.

use kernel::verdict::Mask;

use super::super::json_text::{self, Number};
use crate::mask::{MaskKey, json};

/// What sort of token a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Text,
    Number,
    Word,
}

const NULL: &[u8] = b"null";
const REDACTED: &[u8] = b"\"[redacted]\"";

/// Writes the mask of a value that is not kept: a structure, or a text that is too long.
pub(super) fn write_unseen(mask: Mask, out: &mut Vec<u8>) {
    out.extend_from_slice(if mask == Mask::Null { NULL } else { REDACTED });
}

/// Writes the mask of a value from its token as it came, a text with its quotation marks. Says `false` where the text's
/// escapes are malformed.
pub(super) fn write(
    token: Token,
    mask: Mask,
    raw: &[u8],
    key: &MaskKey,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> bool {
    match (token, mask) {
        (_, Mask::Null) => out.extend_from_slice(NULL),
        (Token::Text, Mask::Redact) => out.extend_from_slice(REDACTED),
        (Token::Text, _) => {
            scratch.clear();
            let content = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
            if json_text::unescape(content, scratch).is_none() {
                return false;
            }
            let mut masked = Vec::new();
            if json::text(mask, scratch, key, &mut masked) {
                write_text(&masked, out);
            } else {
                out.extend_from_slice(NULL);
            }
        }
        (Token::Number, _) => {
            let begin = out.len();
            if !json::number(mask, raw, key, out) || !is_number(out.get(begin..).unwrap_or_default()) {
                out.truncate(begin);
                out.extend_from_slice(NULL);
            }
        }
        (Token::Word, _) => {
            let truth = mask == Mask::Redact && raw != NULL;
            out.extend_from_slice(if truth { b"false" } else { NULL });
        }
    }
    true
}

/// Whether a mask of this key made the value, from its token as it came.
pub(super) fn is_masked(token: Token, raw: &[u8], key: &MaskKey, scratch: &mut Vec<u8>) -> bool {
    match token {
        Token::Text => {
            scratch.clear();
            let content = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
            json_text::unescape(content, scratch).is_some() && key.is_masked(scratch)
        }
        Token::Number => key.is_masked(raw),
        Token::Word => false,
    }
}

/// Writes a text with quotation marks and escapes.
pub(super) fn write_text(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    json_text::escape(text, out);
    out.push(b'"');
}

/// Whether a masked number is one of JSON's.
fn is_number(text: &[u8]) -> bool {
    text.iter().try_fold(Number::Start, |number, byte| number.step(*byte)).is_some_and(Number::is_whole)
}
