//! Digests and templates: what makes two requests equal to policy, and the text without its constants.

use std::hash::Hash as _;

use kernel::operation::Operation;

use super::analysis::Statement;
use super::parse::{self, TokenKind};
use crate::digest::Digest;

/// The digest over operations, facts and outputs. Spans are left out: they say where, not what.
pub(super) fn shape(operations: &[Operation], statements: &[Statement]) -> u128 {
    let mut digest = Digest::new();
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
    digest.shape()
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
