//! Finds the parts of Cedar text by place: statements, scope constraints, conditions and their conjuncts. It judges nothing:
//! Cedar parses every part again, and text that Cedar does not take never gets this far in an explanation.

use std::ops::Range;

/// A token of Cedar text. White space and comments are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token<'t> {
    text: &'t str,
    at: usize,
}

impl Token<'_> {
    fn end(&self) -> usize {
        self.at + self.text.len()
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// How long the string literal at the beginning of `rest` is, with both quotes; all of it, if it does not end.
fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..)
        && let Some(first) = rest.chars().next()
    {
        let length = if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        } else if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        } else if first == '"' {
            string_length(rest)
        } else if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if ["&&", "||", "::", "==", "!=", "<=", ">="].iter().any(|pair| rest.starts_with(pair)) {
            2
        } else {
            first.len_utf8()
        };
        found.push(Token { text: rest.get(..length).unwrap_or(rest), at });
        at += length.max(1);
    }
    found
}

/// The places of the statements of a file, each with its semicolon. Text after the last semicolon is a statement too,
/// so that Cedar says what is wrong with it.
pub(crate) fn statements(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    for token in tokens(text) {
        let begin = *start.get_or_insert(token.at);
        if token.text == ";" {
            found.push(begin..token.end());
            start = None;
        }
    }
    found.extend(start.map(|begin| begin..text.trim_end().len().max(begin)));
    found
}

/// A `when` or `unless` of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    /// Is it an `unless`?
    pub(crate) unless: bool,
    /// What stands between the braces, without white space around.
    pub(crate) body: Range<usize>,
    /// The parts of the body that `&&` joins at the top; the body itself if nothing does.
    pub(crate) conjuncts: Vec<Range<usize>>,
}

/// The parts of a policy, by byte offsets in its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Where `permit` or `forbid` begins.
    pub(crate) effect: usize,
    /// Principal, action and resource, as far as they are there.
    pub(crate) scope: Vec<Range<usize>>,
    /// The conditions in order.
    pub(crate) conditions: Vec<Condition>,
}

/// Splits tokens at a separator that stands outside all brackets, and gives the places of the parts.
fn split(tokens: &[Token<'_>], separator: &str) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut part: Option<Range<usize>> = None;
    let mut depth = 0usize;
    for token in tokens {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            text if text == separator && depth == 0 => {
                parts.extend(part.take());
                continue;
            }
            _ => {}
        }
        part = Some(part.map_or(token.at, |part| part.start)..token.end());
    }
    parts.extend(part);
    parts
}

/// Does a token stand outside all brackets that binds weaker than `&&`?
fn binds_weaker(tokens: &[Token<'_>]) -> bool {
    let mut depth = 0usize;
    tokens.iter().any(|token| {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && matches!(token.text, "||" | "if" | "then" | "else")
    })
}

/// How many of `tokens`, which begin after an opening bracket, come before the bracket that closes it.
fn inside(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0usize;
    tokens
        .iter()
        .position(|token| {
            match token.text {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" if depth == 0 => return true,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            false
        })
        .unwrap_or(tokens.len())
}

/// The parts of one policy's text.
pub(crate) fn parts(text: &str) -> Parts {
    let tokens = tokens(text);
    let mut found = Parts::default();
    // The effect is the first `permit` or `forbid` that is no annotation's name.
    let effect = tokens.windows(2).position(|pair| match pair {
        [before, word] => before.text != "@" && matches!(word.text, "permit" | "forbid"),
        _ => false,
    });
    let head = match (tokens.first().map(|token| token.text), effect) {
        (Some("permit" | "forbid"), _) => 0,
        (_, Some(before)) => before + 1,
        (_, None) => return found,
    };
    found.effect = tokens.get(head).map_or(0, |token| token.at);
    // After the effect and its bracket.
    let mut rest = tokens.get(head + 2..).unwrap_or_default();
    let scope = inside(rest);
    found.scope = split(rest.get(..scope).unwrap_or_default(), ",");
    rest = rest.get(scope + 1..).unwrap_or_default();
    while let [word, _brace, body @ ..] = rest {
        if !matches!(word.text, "when" | "unless") {
            break;
        }
        let length = inside(body);
        let inner = body.get(..length).unwrap_or_default();
        if let (Some(first), Some(last)) = (inner.first(), inner.last()) {
            let whole = first.at..last.end();
            let conjuncts = if binds_weaker(inner) { vec![whole.clone()] } else { split(inner, "&&") };
            found.conditions.push(Condition { unless: word.text == "unless", body: whole, conjuncts });
        }
        rest = body.get(length + 1..).unwrap_or_default();
    }
    found
}

/// The first attribute path in an expression that begins at a variable, such as `principal.environment`; a method's name
/// at its end is left out.
pub(crate) fn first_path(expression: &str) -> Option<&str> {
    let tokens = tokens(expression);
    let start = tokens.iter().position(|token| matches!(token.text, "principal" | "resource" | "context"))?;
    let (variable, mut rest) = tokens.get(start..)?.split_first()?;
    let mut end = None;
    while let [dot, name, after @ ..] = rest
        && dot.text == "."
        && after.first().is_none_or(|token| token.text != "(")
    {
        end = Some(name.end());
        rest = after;
    }
    expression.get(variable.at..end?)
}

#[cfg(test)]
mod tests;
