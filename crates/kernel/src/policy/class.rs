//! Which classes (`pii`, `pci`, `secret` …) an upstream's tables, columns and response fields carry: by pattern in the configuration, by
//! comments and security labels in the database, and by what a person has confirmed. The sources add up; none takes away
//! what another gives.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::resource::{Resource, ResourceKind};

/// A pattern, and the class that it gives. `*` stands for any characters within a name.
///
/// Of a database: `schema.table` or `schema.table.column`; a class of a table holds for each of its columns. Of an HTTP API: a
/// field of responses by its JSON path, exactly as the endpoint's fields are written (`$.customers[*].email`), of all endpoints
/// or, behind a path template, of one (`/v1/customers/{id} $.email`, with a method before it if that helps people); or a GraphQL
/// path (`Query.customer.email`, `Query.*.email`), where `*` stands for names too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassPattern {
    of: Pattern,
    class: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// Names from the schema downwards.
    Names(Vec<String>),
    /// A JSON path, of one template or of all.
    Json { template: Option<String>, path: String },
    /// A GraphQL path.
    Selection(String),
}

/// A pattern that is not of one of the known forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a class is given by a pattern over `schema.table` or `schema.table.column`, in which `*` stands for any characters, or \
     by a field of responses, such as `$.email`, `GET /v1/customers/{{id}} $.email` or `Query.customer.email`"
)]
pub struct InvalidPattern;

impl ClassPattern {
    /// Reads a pattern.
    pub fn new(pattern: &str, class: &str) -> Result<Self, InvalidPattern> {
        if class.is_empty() {
            return Err(InvalidPattern);
        }
        let of = match pattern.find('$') {
            Some(at) if at == 0 || pattern.starts_with('/') || pattern.contains(" $") => json(pattern, at)?,
            _ if ["Query.", "Mutation.", "Subscription."].iter().any(|root| pattern.starts_with(root)) => {
                Pattern::Selection(pattern.to_owned())
            }
            _ => {
                let segments: Vec<String> = pattern.split('.').map(str::to_owned).collect();
                if !matches!(segments.len(), 2 | 3) || segments.iter().any(String::is_empty) {
                    return Err(InvalidPattern);
                }
                Pattern::Names(segments)
            }
        };
        Ok(Self { of, class: class.into() })
    }

    /// Does it give its class to a table or column? `names` begin with the schema.
    fn matches(&self, names: &[Arc<str>]) -> bool {
        let matched = |segments: &[&str]| {
            segments.len() <= names.len()
                && segments.iter().zip(names).all(|(pattern, name)| name_matches(pattern.as_bytes(), name.as_bytes()))
        };
        match &self.of {
            Pattern::Names(segments) => matched(&segments.iter().map(String::as_str).collect::<Vec<_>>()),
            // A schema can be called `Query`.
            Pattern::Selection(path) => matched(&path.split('.').collect::<Vec<_>>()),
            Pattern::Json { .. } => false,
        }
    }

    /// Does it give its class to a field of responses?
    fn matches_field(&self, template: &str, field: &str) -> bool {
        match &self.of {
            Pattern::Names(_) => false,
            Pattern::Json { template: only, path } => {
                path == field && only.as_deref().is_none_or(|only| only == template)
            }
            Pattern::Selection(pattern) => name_matches(pattern.as_bytes(), field.as_bytes()),
        }
    }
}

/// `$.email`, `/v1/customers/{id} $.email`, `GET /v1/customers/{id} $.email`
fn json(pattern: &str, at: usize) -> Result<Pattern, InvalidPattern> {
    let (before, path) = pattern.split_at_checked(at).ok_or(InvalidPattern)?;
    if path.len() < 2 || path.chars().any(char::is_control) {
        return Err(InvalidPattern);
    }
    let template = match before.split(' ').collect::<Vec<_>>().as_slice() {
        [""] => None,
        [template, ""] if template.starts_with('/') => Some((*template).to_owned()),
        [method, template, ""] if template.starts_with('/') && !method.is_empty() => Some((*template).to_owned()),
        _ => return Err(InvalidPattern),
    };
    Ok(Pattern::Json { template, path: path.to_owned() })
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

    /// The classes of a resource with their sources, `none` included; nothing for all but tables, columns and fields.
    pub(crate) fn sources(&self, resource: &Resource) -> BTreeSet<(Arc<str>, ClassSource)> {
        let mut found = BTreeSet::new();
        self.visit(resource, |class, source| {
            found.insert((class.clone(), source));
        });
        found
    }

    /// The classes of a resource: empty for all but tables, columns and fields.
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
        if let (ResourceKind::Field, [template, field]) = (resource.kind, &*resource.path) {
            for pattern in self.patterns.iter().filter(|pattern| pattern.matches_field(template, field)) {
                visit(&pattern.class, ClassSource::Configuration);
            }
        }
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
