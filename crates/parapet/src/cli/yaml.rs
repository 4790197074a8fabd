//! Writes JSON values as YAML 1.2 in block style, for `-o yaml`. Every string that a reader could take for something else, or that
//! could do something to a terminal, is quoted and escaped: YAML reads it back as it was.

use std::fmt::Write as _;

use serde_json::Value;

/// A document with its schema first.
pub(crate) fn document(schema: &str, value: &Value) -> String {
    let mut out = String::from("---\n");
    member(&mut out, 0, "schema", &Value::from(schema));
    match value {
        Value::Object(members) => {
            for (name, value) in members.iter().filter(|(name, _)| *name != "schema") {
                member(&mut out, 0, name, value);
            }
        }
        other => member(&mut out, 0, "value", other),
    }
    out
}

fn member(out: &mut String, depth: usize, name: &str, value: &Value) {
    indent(out, depth);
    out.push_str(&text(name));
    out.push(':');
    match value {
        Value::Object(members) if !members.is_empty() => {
            out.push('\n');
            block(out, depth + 1, value);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            block(out, depth, value);
        }
        other => {
            let _infallible = writeln!(out, " {}", scalar(other));
        }
    }
}

/// The lines of a mapping or a sequence, each indented.
fn block(out: &mut String, depth: usize, value: &Value) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| member(out, depth, name, value)),
        Value::Array(items) => {
            for item in items {
                indent(out, depth);
                if matches!(item, Value::Object(members) if !members.is_empty())
                    || matches!(item, Value::Array(items) if !items.is_empty())
                {
                    // The first line of the item stands behind the dash, where its indentation would be.
                    let mut lines = String::new();
                    block(&mut lines, depth + 1, item);
                    let _infallible = write!(out, "- {}", lines.trim_start_matches(' '));
                } else {
                    let _infallible = writeln!(out, "- {}", scalar(item));
                }
            }
        }
        other => {
            indent(out, depth);
            let _infallible = writeln!(out, "{}", scalar(other));
        }
    }
}

fn indent(out: &mut String, depth: usize) {
    (0..depth).for_each(|_| out.push_str("  "));
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(string) => text(string),
        // Empty collections, numbers, booleans and null are written as in JSON.
        other => other.to_string(),
    }
}

fn text(string: &str) -> String {
    // What YAML 1.1 and 1.2 readers take for booleans and nothing.
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let plain = string.starts_with(|c: char| c.is_ascii_alphabetic())
        && string.chars().all(|c| c.is_ascii_alphanumeric() || "_-./@".contains(c))
        && !WORDS.iter().any(|word| string.eq_ignore_ascii_case(word));
    if plain {
        return string.to_owned();
    }
    let mut out = String::new();
    for letter in Value::from(string).to_string().chars() {
        let invisible = letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if invisible {
            let _infallible = write!(out, "\\u{:04x}", u32::from(letter));
        } else {
            out.push(letter);
        }
    }
    out
}

#[cfg(test)]
mod tests;
