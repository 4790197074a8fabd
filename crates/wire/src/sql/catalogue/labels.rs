//! What the database itself says of a column's classes: `@class(pii, pci)` in a comment, the names alone in a security
//! label. Who wrote it can own the table, so it counts as much as the configuration does.

use std::sync::Arc;

use kernel::workload::Name;

/// Stands for what was meant to be a class and cannot be read, so that it shows. Policies can name it.
const UNREADABLE: &str = "unreadable";

/// What a comment or a security label says of a relation or a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The schema.
    pub schema: Arc<str>,
    /// The table or view.
    pub relation: Arc<str>,
    /// The column; absent where it is about the relation.
    pub column: Option<Arc<str>>,
    /// Who provides the security label; absent for a comment.
    pub provider: Option<Arc<str>>,
    /// The classes that it names. One that cannot be read is the class `unreadable`.
    pub classes: Vec<Arc<str>>,
}

/// The classes in a text, which is a security label or a comment. Names of classes are as in the configuration: letters,
/// digits, `-`, `_` and `.`.
pub(super) fn classes(security_label: bool, text: &str, name: &mut impl FnMut(&str) -> Arc<str>) -> Vec<Arc<str>> {
    let mut found = Vec::new();
    let mut list = |text: &str| {
        for part in text.split(',').map(str::trim) {
            let class = name(if part.parse::<Name>().is_ok() { part } else { UNREADABLE });
            if !found.contains(&class) {
                found.push(class);
            }
        }
    };
    if security_label {
        list(text);
        return found;
    }
    // `@classified` and `@class` in a sentence are no declaration; an open parenthesis without its end is a broken one.
    for (_, rest) in text.match_indices("@class").filter_map(|(at, word)| text.split_at_checked(at + word.len())) {
        if let Some(inside) = rest.trim_start().strip_prefix('(') {
            list(inside.split_once(')').map_or("", |(inside, _)| inside));
        }
    }
    found
}

#[cfg(test)]
mod tests;
