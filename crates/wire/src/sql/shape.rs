//! Digests and templates: what makes two requests equal to policy, and the text without its constants.

use std::hash::{Hash, Hasher};

use aws_lc_rs::digest::{Context, SHA256};
use kernel::operation::Operation;

use super::analysis::Statement;
use super::parse::{self, TokenKind};

/// Feeds a SHA-256 from `Hash`, which writes lengths and discriminants, so that no two values share their bytes.
struct Digest(Context);

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// The digest over operations, facts and outputs. Spans are left out: they say where, not what.
pub(super) fn shape(operations: &[Operation], statements: &[Statement]) -> u128 {
    let mut digest = Digest(Context::new(&SHA256));
    operations.len().hash(&mut digest);
    for operation in operations {
        operation.action.hash(&mut digest);
        (operation.resource.kind as u8).hash(&mut digest);
        operation.resource.upstream.hash(&mut digest);
        operation.resource.path.hash(&mut digest);
        operation.resource.kin.hash(&mut digest);
        operation.facts.hash(&mut digest);
        operation.verb.hash(&mut digest);
    }
    for statement in statements {
        statement.operations.hash(&mut digest);
        statement.outputs.hash(&mut digest);
        statement.copied.hash(&mut digest);
    }
    let full = digest.0.finish();
    full.as_ref().iter().take(16).fold(0u128, |shape, byte| (shape << 8) | u128::from(*byte))
}

/// The text with each constant as `$n`, counting on from the text's own parameters, and each comment as a space. A text
/// that cannot be scanned has no template but an ellipsis, because nothing of it may be shown.
pub(super) fn template(text: &str, parameters: u32) -> String {
    let Some(tokens) = parse::scan(text) else { return "…".to_owned() };
    let mut out = String::with_capacity(text.len());
    let (mut next, mut done) = (parameters, 0);
    for token in tokens {
        // A gap between two tokens is white space.
        out.push_str(text.get(done..token.start).unwrap_or(" "));
        match token.kind {
            TokenKind::Constant => {
                next += 1;
                out.push('$');
                out.push_str(&next.to_string());
            }
            TokenKind::Comment => out.push(' '),
            TokenKind::Word => out.push_str(text.get(token.start..token.end).unwrap_or("…")),
        }
        done = token.end;
    }
    out
}
