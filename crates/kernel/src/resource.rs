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
    /// What an HTTP API answers at: a path template, or `/**` for paths that none names. Path: template.
    Endpoint,
    /// A field of an endpoint's responses. Path: template, JSON path (`$.email`) or GraphQL path (`Query.customer.email`).
    Field,
    /// A destination of the egress gateway. Path: `host:port`.
    Host,
    /// A secret of a secret store. Path: mount, path.
    Secret,
}

impl ResourceKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Upstream,
        Self::Database,
        Self::Schema,
        Self::Table,
        Self::Column,
        Self::Function,
        Self::Object,
        Self::Endpoint,
        Self::Field,
        Self::Host,
        Self::Secret,
    ];

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
            Self::Endpoint => "Endpoint",
            Self::Field => "Field",
            Self::Host => "Host",
            Self::Secret => "Secret",
        }
    }

    /// How many names the path of such a resource has.
    pub const fn depth(self) -> usize {
        match self {
            Self::Upstream => 0,
            Self::Database | Self::Endpoint | Self::Host => 1,
            Self::Schema | Self::Field | Self::Secret => 2,
            Self::Table | Self::Function | Self::Object => 3,
            Self::Column => 4,
        }
    }

    /// Is it one that HTTP APIs have, whose names are paths and may hold dots?
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Endpoint | Self::Field | Self::Host | Self::Secret)
    }
}

/// Relations, each by schema and name.
pub type Kin = Arc<[(Arc<str>, Arc<str>)]>;

/// One resource of one upstream. Shown as `shop-db/shop.public.orders`; names are as the server stores them, after
/// folding and truncation, and are never quoted here. Those of HTTP APIs are shown as they are asked for:
/// `payments/v1/refunds`, `payments/v1/customers/{id} $.email`, `internet/api.example.com:443`, `vault/kv/app/db`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Resource {
    /// What sort of thing it is.
    pub kind: ResourceKind,
    /// The upstream that holds it.
    pub upstream: Name,
    /// The names from the database (the endpoint) downwards; how many depends on `kind`.
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

    /// What stands behind the upstream's name for a resource of an HTTP API whose names leave no doubt. None for those of
    /// databases, and where the parts could not be told apart.
    pub(crate) fn as_asked(&self) -> Option<String> {
        let unclear = |name: &str| name.is_empty() || name.contains(|c: char| c == '"' || c == ' ' || c.is_control());
        match (self.kind, &*self.path) {
            (ResourceKind::Endpoint, [template]) if template.starts_with('/') && !unclear(template) => {
                Some(template.as_ref().to_owned())
            }
            // Without a space in the template, the first one ends it.
            (ResourceKind::Field, [template, field]) if template.starts_with('/') && !unclear(template) => {
                Some(format!("{template} {field}"))
            }
            (ResourceKind::Host, [host]) if !unclear(host) => Some(format!("/{host}")),
            // A mount may have slashes, and so may a path: `a/b` and `c` are the same secret as `a` and `b/c`.
            (ResourceKind::Secret, [mount, path]) if !unclear(mount) && !unclear(path) => {
                Some(format!("/{mount}/{path}"))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.upstream)?;
        if let Some(below) = self.as_asked() {
            return f.write_str(&below);
        }
        for (i, segment) in self.path.iter().enumerate() {
            write!(f, "{}{segment}", if i == 0 { '/' } else { '.' })?;
        }
        Ok(())
    }
}
