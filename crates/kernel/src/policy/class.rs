//! Which classes (`pii`, `pci`, `secret` …) an upstream's tables and columns carry: by pattern in the configuration, by
//! comments and security labels in the database, and by what a person has confirmed. The sources add up; none takes away
//! what another gives.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

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

/// The word that gives no class: whoever writes it has looked, and nothing needs to be suggested.
pub const NO_CLASS: &str = "none";

/// Who says that a column carries a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassSource {
    /// A pattern in the configuration.
    Configuration,
    /// A comment in the database.
    Comment,
    /// A security label in the database.
    Label,
    /// A person, after a suggestion.
    Confirmed,
    /// Values of a column that carries it were copied there.
    Copied,
}

impl ClassSource {
    /// What people and programs call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Comment => "comment",
            Self::Label => "label",
            Self::Confirmed => "confirmed",
            Self::Copied => "copied",
        }
    }
}

/// A class that is declared of one table, view or column by its exact name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeclaredClass {
    /// The schema.
    pub schema: Arc<str>,
    /// The table or view.
    pub table: Arc<str>,
    /// The column; none for the table, whose class holds for each of its columns.
    pub column: Option<Arc<str>>,
    /// The class, or [`NO_CLASS`].
    pub class: Arc<str>,
    /// Who says so.
    pub source: ClassSource,
}

/// What is declared of a table by name: the column (none for all of them), the class, and who says so.
type OfTable = Vec<(Option<Arc<str>>, Arc<str>, ClassSource)>;

/// Everything that is declared of one upstream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Classes {
    patterns: Vec<ClassPattern>,
    /// By schema and table.
    declared: HashMap<Arc<str>, HashMap<Arc<str>, OfTable>>,
}

impl Classes {
    pub(crate) fn new(patterns: Vec<ClassPattern>) -> Self {
        Self { patterns, declared: HashMap::new() }
    }

    /// The same patterns with these exact names.
    pub(crate) fn declaring(&self, declared: &[DeclaredClass]) -> Self {
        let mut by_name: HashMap<Arc<str>, HashMap<Arc<str>, OfTable>> = HashMap::new();
        for one in declared {
            let tables = by_name.entry(one.schema.clone()).or_default();
            let of_table = tables.entry(one.table.clone()).or_default();
            of_table.push((one.column.clone(), one.class.clone(), one.source));
        }
        Self { patterns: self.patterns.clone(), declared: by_name }
    }

    /// The classes of a resource with their sources, `none` included; nothing for all but tables and columns.
    pub(crate) fn sources(&self, resource: &Resource) -> BTreeSet<(Arc<str>, ClassSource)> {
        let mut found = BTreeSet::new();
        self.visit(resource, |class, source| {
            found.insert((class.clone(), source));
        });
        found
    }

    /// The classes of a resource: empty for all but tables and columns.
    pub(crate) fn of(&self, resource: &Resource) -> BTreeSet<Arc<str>> {
        let mut found = BTreeSet::new();
        self.visit(resource, |class, _| {
            if **class != *NO_CLASS {
                found.insert(class.clone());
            }
        });
        found
    }

    fn visit(&self, resource: &Resource, mut visit: impl FnMut(&Arc<str>, ClassSource)) {
        if !matches!(resource.kind, ResourceKind::Table | ResourceKind::Column) {
            return;
        }
        // Neither patterns nor names have the database.
        let names = resource.path.get(1..).unwrap_or_default();
        let mut visit_names = |names: &[Arc<str>]| {
            for pattern in self.patterns.iter().filter(|pattern| pattern.matches(names)) {
                visit(&pattern.class, ClassSource::Configuration);
            }
            let [schema, table, rest @ ..] = names else { return };
            for (column, class, source) in
                self.declared.get(schema).and_then(|tables| tables.get(table)).into_iter().flatten()
            {
                if column.is_none() || column.as_ref() == rest.first() {
                    visit(class, *source);
                }
            }
        };
        visit_names(names);
        for (schema, table) in resource.kin.iter().flat_map(|kin| kin.iter()) {
            let theirs: Vec<Arc<str>> =
                [schema.clone(), table.clone()].into_iter().chain(names.get(2).cloned()).collect();
            visit_names(&theirs);
        }
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

#[cfg(test)]
mod tests;
