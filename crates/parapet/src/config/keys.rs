//! Every key of the configuration: its path, what it takes, its built-in value, and one line about it.
//!
//! Reading, suggestions, `config explain` and the reference page all follow this table, so that they cannot disagree. In a
//! path `*` stands for a name that the user chooses, and `[]` for an element of a list of tables.

mod table;

pub(crate) use table::ALL;

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text.
    Text,
    /// Text, or a table whose keys are listed on their own.
    TextOrTable,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A list of texts.
    List,
    /// A table from any name to text, a number or a boolean.
    TextMap,
    /// A table from any name to a list of texts.
    ListMap,
}

impl Kind {
    /// What people call it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::TextOrTable => "text or a table",
            Self::Integer => "a whole number",
            Self::Boolean => "true or false",
            Self::List => "a list of texts",
            Self::TextMap => "a table of texts",
            Self::ListMap => "a table of lists of texts",
        }
    }
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Its path, such as `upstreams.*.address`.
    pub(crate) path: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// Must it be there where its table is?
    pub(crate) required: bool,
    /// Its value where nobody sets it.
    pub(crate) default: Option<&'static str>,
    /// Could its value be a secret that was put there by mistake? Then no message shows it.
    pub(crate) secret: bool,
    /// What it is, in a line.
    pub(crate) about: &'static str,
}

impl Key {
    /// The variable that sets it: only keys whose path has no chosen name have one.
    pub(crate) fn variable(&self) -> Option<String> {
        let chosen = self.path.contains('*') || self.path.contains("[]");
        (!chosen).then(|| format!("PARAPET_{}", self.path.replace('.', "_").to_ascii_uppercase()))
    }

    /// The path's segments.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.path.split('.')
    }
}

/// The keys of an upstream that only one protocol has.
pub(crate) const OF_PROTOCOL: [(&str, &[&str]); 2] = [
    ("postgres", &["address", "database", "user", "password", "tls", "channel_binding", "classes", "label_providers"]),
    (
        "http",
        &[
            "url",
            "hosts",
            "paths",
            "openapi",
            "unlisted",
            "upgrades",
            "cookies",
            "store",
            "max_body",
            "answer_timeout",
            "idle_timeout",
            "respond_async",
            "kept",
            "endpoints",
            "fields",
            "credential",
        ],
    ),
];

/// The keys that an upstream of this protocol cannot have.
pub(crate) fn foreign_to(protocol: &str) -> impl Iterator<Item = &'static str> {
    OF_PROTOCOL.into_iter().filter(move |(other, _)| *other != protocol).flat_map(|(_, keys)| keys.iter().copied())
}

/// The key that a variable sets.
pub(crate) fn for_variable(name: &str) -> Option<&'static Key> {
    ALL.iter().find(|key| key.variable().as_deref() == Some(name))
}

/// The key of a pattern path.
pub(crate) fn at(pattern: &[&str]) -> Option<&'static Key> {
    ALL.iter().find(|key| key.segments().eq(pattern.iter().copied()))
}

/// What may stand below a pattern path, without repetition.
pub(crate) fn children(pattern: &[&str]) -> Vec<&'static str> {
    let mut children = Vec::new();
    for key in ALL {
        let segments: Vec<&'static str> = key.segments().collect();
        if segments.starts_with(pattern)
            && let Some(child) = segments.get(pattern.len())
            && !children.contains(child)
        {
            children.push(child);
        }
    }
    children
}

const fn key(path: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { path, kind, required: false, default: None, secret: false, about }
}

const fn required(path: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { required: true, ..key(path, kind, about) }
}

const fn defaulted(path: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { default: Some(default), ..key(path, kind, about) }
}

const fn secret(path: &'static str, about: &'static str) -> Key {
    Key { secret: true, ..key(path, Kind::Text, about) }
}
