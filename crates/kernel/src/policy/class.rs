//! Which classes (`pii`, `pci`, `secret` …) an upstream's tables and columns carry, by pattern.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::resource::{Resource, ResourceKind};

/// A pattern over `schema.table` or `schema.table.column`, and the class that it gives. `*` stands for any characters within
/// a name. A class of a table holds for each of its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassPattern {
    segments: Vec<String>,
    class: Arc<str>,
}

/// A pattern that is not of the form `schema.table` or `schema.table.column`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a class is given by a pattern over `schema.table` or `schema.table.column`, in which `*` stands for any characters"
)]
pub struct InvalidPattern;

impl ClassPattern {
    /// Reads a pattern.
    pub fn new(pattern: &str, class: &str) -> Result<Self, InvalidPattern> {
        let segments: Vec<String> = pattern.split('.').map(str::to_owned).collect();
        let valid =
            matches!(segments.len(), 2 | 3) && !class.is_empty() && segments.iter().all(|part| !part.is_empty());
        if valid { Ok(Self { segments, class: class.into() }) } else { Err(InvalidPattern) }
    }

    fn matches(&self, names: &[Arc<str>]) -> bool {
        self.segments.len() <= names.len()
            && self.segments.iter().zip(names).all(|(pattern, name)| name_matches(pattern.as_bytes(), name.as_bytes()))
    }
}

/// Does a name match a pattern in which `*` stands for any characters? Linear in both lengths' product at worst.
fn name_matches(pattern: &[u8], name: &[u8]) -> bool {
    let mut pieces = pattern.split(|byte| *byte == b'*');
    let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let pieces: Vec<&[u8]> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else {
        return rest.is_empty();
    };
    for piece in middle.iter().filter(|piece| !piece.is_empty()) {
        let Some(at) = rest.windows(piece.len()).position(|window| window == *piece) else {
            return false;
        };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

/// The classes of a resource: empty for all but tables and columns.
pub(crate) fn classes(patterns: &[ClassPattern], resource: &Resource) -> BTreeSet<Arc<str>> {
    if !matches!(resource.kind, ResourceKind::Table | ResourceKind::Column) {
        return BTreeSet::new();
    }
    // Patterns leave the database out.
    let names = resource.path.get(1..).unwrap_or_default();
    let mut found = BTreeSet::new();
    let mut add = |names: &[Arc<str>]| {
        found.extend(patterns.iter().filter(|pattern| pattern.matches(names)).map(|pattern| pattern.class.clone()));
    };
    add(names);
    for (schema, table) in resource.kin.iter().flat_map(|kin| kin.iter()) {
        let column = names.get(2).cloned();
        let theirs: Vec<Arc<str>> = [schema.clone(), table.clone()].into_iter().chain(column).collect();
        add(&theirs);
    }
    found
}

#[cfg(test)]
mod tests;
