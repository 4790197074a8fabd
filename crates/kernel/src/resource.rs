//! What an upstream holds: a tree from the environment down to a column, so that a policy can be written at any height.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::workload::Name;

/// How deep in the tree a resource stands, and what sort of thing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceKind {
    /// The protected system itself. No path.
    Upstream,
    /// Path: database.
    Database,
    /// Path: database, schema.
    Schema,
    /// A table, view, materialised view, foreign table or sequence. Path: database, schema, relation.
    Table,
    /// Path: database, schema, relation, column.
    Column,
    /// A function, procedure or aggregate. Path: database, schema, function.
    Function,
    /// Anything else that has a name: a role, an extension, a setting, a channel. Path: database, type of object, name.
    Object,
}

impl ResourceKind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Upstream, Self::Database, Self::Schema, Self::Table, Self::Column, Self::Function, Self::Object];

    /// The Cedar entity type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upstream => "Upstream",
            Self::Database => "Database",
            Self::Schema => "Schema",
            Self::Table => "Table",
            Self::Column => "Column",
            Self::Function => "Function",
            Self::Object => "Object",
        }
    }
}

/// Relations, each by schema and name.
pub type Kin = Arc<[(Arc<str>, Arc<str>)]>;

/// One resource of one upstream. Shown as `shop-db/shop.public.orders`; names are as the server stores them, after
/// folding and truncation, and are never quoted here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Resource {
    /// What sort of thing it is.
    pub kind: ResourceKind,
    /// The upstream that holds it.
    pub upstream: Name,
    /// The names from the database downwards; how many depends on `kind`.
    pub path: Vec<Arc<str>>,
    /// For a table and its columns: the relations whose rows are read through it, such as its partitions, by schema and
    /// name. Their classes are its classes too. Always the same for one path and one state of the catalogue.
    #[serde(skip)]
    pub kin: Option<Kin>,
}

impl Resource {
    /// A resource of `upstream` with the given path below it.
    pub fn new<S: AsRef<str>>(kind: ResourceKind, upstream: &Name, path: impl IntoIterator<Item = S>) -> Self {
        let path = path.into_iter().map(|segment| Arc::from(segment.as_ref())).collect();
        Self { kind, upstream: upstream.clone(), path, kin: None }
    }

    /// The last name of the path: the upstream's own for the upstream.
    pub fn name(&self) -> &str {
        self.path.last().map_or(self.upstream.as_str(), |last| last)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.upstream)?;
        for (i, segment) in self.path.iter().enumerate() {
            write!(f, "{}{segment}", if i == 0 { '/' } else { '.' })?;
        }
        Ok(())
    }
}
