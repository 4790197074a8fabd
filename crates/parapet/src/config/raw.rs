//! The configuration as written: each source read as TOML, held against the table of keys, and merged by layer. Every
//! value remembers where it stands.
//!
//! Strict without serde's `deny_unknown_fields`, because that stops at the first mistake: the walk here finds all of them.
//! What values mean is not known here; see `checked`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::keys::{self, Kind};
use crate::config::layers::{Layer, Place, Source, Sources, closest};
use crate::config::problem::Problem;

/// A value that somebody wrote.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A truth value.
    Boolean(bool),
    /// A date and time, as written.
    Datetime(String),
    /// A list.
    List(Vec<Node>),
    /// A table.
    Table(BTreeMap<String, Node>),
    /// A number with a fraction: no key takes one.
    Fraction,
}

impl Value {
    fn is(&self, kind: Kind) -> bool {
        match (kind, self) {
            // TOML has times of its own; wherever text is taken, so is one.
            (Kind::Text | Kind::TextOrTable, Self::Text(_) | Self::Datetime(_))
            | (Kind::TextOrTable | Kind::TextMap | Kind::ListMap, Self::Table(_))
            | (Kind::Integer, Self::Integer(_))
            | (Kind::Boolean, Self::Boolean(_)) => true,
            (Kind::List, Self::List(items)) => items.iter().all(|item| item.value.is(Kind::Text)),
            _ => false,
        }
    }
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// What.
    pub(crate) value: Value,
    /// Where.
    pub(crate) place: Place,
}

impl Node {
    fn scalar(&self) -> Option<String> {
        match &self.value {
            Value::Text(text) | Value::Datetime(text) => Some(text.clone()),
            Value::Integer(number) => Some(number.to_string()),
            Value::Boolean(truth) => Some(truth.to_string()),
            Value::List(_) | Value::Table(_) | Value::Fraction => None,
        }
    }
}

/// The merged configuration, not yet understood.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    root: Node,
    sources: Vec<Source>,
}

impl Raw {
    /// Reads and merges the sources. What is wrong with their form goes to `problems`.
    pub(crate) fn read(sources: Sources, problems: &mut Vec<Problem>) -> Self {
        for unreadable in sources.unreadable {
            let message = format!("`{}` cannot be used", unreadable.name);
            problems.push(Problem::new("PAR0400", &Place::NOWHERE, message).help(unreadable.why));
        }
        let mut root = Node { value: Value::Table(BTreeMap::new()), place: Place::NOWHERE };
        for (index, source) in sources.list.iter().enumerate() {
            let (table, errors) = DeTable::parse_recoverable(&source.text);
            for error in errors {
                problems.push(syntax(index, source, &error));
            }
            let place = Place { source: Some(index), key: 0..0, value: 0..0 };
            let tree = Node { value: Value::Table(convert_table(index, table.get_ref())), place };
            inspect(&tree, &mut Vec::new(), problems);
            merge(&mut root, tree);
        }
        let raw = Self { root, sources: sources.list };
        find_missing(&raw.root, &mut Vec::new(), String::new(), problems);
        raw
    }

    /// The texts that were read, for messages.
    pub(crate) fn into_sources(self) -> Vec<Source> {
        self.sources
    }

    /// The texts that were read.
    pub(crate) fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The root.
    pub(crate) fn root(&self) -> Section<'_> {
        Section { raw: self, node: Some(&self.root), pattern: Vec::new() }
    }

    /// The layer of a place.
    pub(crate) fn layer(&self, place: &Place) -> Layer {
        place.source.and_then(|index| self.sources.get(index)).map_or(Layer::Default, |source| source.layer)
    }

    /// A path that was written at a place: relative ones are relative to the file's folder.
    pub(crate) fn resolve(&self, place: &Place, path: &str) -> PathBuf {
        let folder = place.source.and_then(|index| self.sources.get(index)).map(|source| source.folder.as_path());
        let folder = folder.or_else(|| self.sources.last().map(|source| source.folder.as_path()));
        folder.unwrap_or(Path::new(".")).join(path).components().collect()
    }
}

/// One table of the configuration, read by key.
#[derive(Clone, Debug)]
pub(crate) struct Section<'r> {
    raw: &'r Raw,
    node: Option<&'r Node>,
    pattern: Vec<&'static str>,
}

/// A scalar with its place, as read from a section.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The text; numbers and truth values are written out.
    pub(crate) text: String,
    /// Where it stands; nowhere for a built-in value.
    pub(crate) place: Place,
}

impl<'r> Section<'r> {
    /// A table below this one; empty if it is not there.
    pub(crate) fn section(&self, name: &'static str) -> Self {
        let mut pattern = self.pattern.clone();
        pattern.push(name);
        Self { raw: self.raw, node: self.child(name), pattern }
    }

    /// The tables below this one whose names the user chose.
    pub(crate) fn named(&self) -> Vec<(&'r str, Self)> {
        let Some(Node { value: Value::Table(children), .. }) = self.node else { return Vec::new() };
        let named = |(name, node): (&'r String, &'r Node)| (name.as_str(), self.element(node, "*"));
        children.iter().map(named).collect()
    }

    /// The elements, if this is a list of tables.
    pub(crate) fn elements(&self) -> Vec<Self> {
        let Some(Node { value: Value::List(items), .. }) = self.node else { return Vec::new() };
        items.iter().map(|node| self.element(node, "[]")).collect()
    }

    fn element(&self, node: &'r Node, segment: &'static str) -> Self {
        let mut pattern = self.pattern.clone();
        pattern.push(segment);
        Self { raw: self.raw, node: Some(node), pattern }
    }

    /// Is it there?
    pub(crate) fn exists(&self) -> bool {
        self.node.is_some()
    }

    /// Is it there, and a table?
    pub(crate) fn is_table(&self) -> bool {
        matches!(self.node, Some(Node { value: Value::Table(_), .. }))
    }

    /// Where it stands.
    pub(crate) fn place(&self) -> Place {
        self.node.map_or(Place::NOWHERE, |node| node.place.clone())
    }

    fn child(&self, name: &str) -> Option<&'r Node> {
        match self.node {
            Some(Node { value: Value::Table(children), .. }) => children.get(name),
            _ => None,
        }
    }

    /// A scalar by key, or its built-in value.
    pub(crate) fn get(&self, name: &'static str) -> Option<Entry> {
        match self.child(name) {
            Some(node) => Some(Entry { text: node.scalar()?, place: node.place.clone() }),
            None => Some(Entry { text: self.default(name)?.to_owned(), place: Place::NOWHERE }),
        }
    }

    fn default(&self, name: &'static str) -> Option<&'static str> {
        let pattern: Vec<&str> = self.pattern.iter().copied().chain([name]).collect();
        keys::at(&pattern).and_then(|key| key.default)
    }

    /// A list of texts by key, or its built-in value.
    pub(crate) fn list(&self, name: &'static str) -> Vec<Entry> {
        match self.child(name) {
            Some(node) => texts(node),
            None => {
                // The built-in list is written as TOML in the table of keys.
                let text = format!("list = {}", self.default(name).unwrap_or("[]"));
                let table: Option<BTreeMap<String, Vec<String>>> = toml::from_str(&text).ok();
                let items = table.into_iter().flat_map(|mut table| table.remove("list").unwrap_or_default());
                items.map(|text| Entry { text, place: Place::NOWHERE }).collect()
            }
        }
    }

    /// A table of scalars by key.
    pub(crate) fn map(&self, name: &'static str) -> BTreeMap<String, Entry> {
        let Some(Node { value: Value::Table(children), .. }) = self.child(name) else { return BTreeMap::new() };
        let entry = |(name, node): (&String, &Node)| {
            Some((name.clone(), Entry { text: node.scalar()?, place: node.place.clone() }))
        };
        children.iter().filter_map(entry).collect()
    }

    /// A table of lists by key.
    pub(crate) fn lists(&self, name: &'static str) -> BTreeMap<String, Vec<Entry>> {
        let Some(Node { value: Value::Table(children), .. }) = self.child(name) else { return BTreeMap::new() };
        children.iter().map(|(name, node)| (name.clone(), texts(node))).collect()
    }

    /// The tree that it belongs to.
    pub(crate) fn raw(&self) -> &'r Raw {
        self.raw
    }

    /// The value behind it, for `config explain`.
    pub(crate) fn node(&self) -> Option<&'r Node> {
        self.node
    }
}

fn texts(node: &Node) -> Vec<Entry> {
    let Value::List(items) = &node.value else { return Vec::new() };
    let entry = |item: &Node| Some(Entry { text: item.scalar()?, place: item.place.clone() });
    items.iter().filter_map(entry).collect()
}

fn syntax(index: usize, source: &Source, error: &toml::de::Error) -> Problem {
    let span = error.span().unwrap_or(0..0);
    // From the start of the line to its `=`: what follows could be a password with a quote missing.
    let start = source.text.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let rest = source.text.get(start..).unwrap_or_default();
    let line = rest.lines().next().unwrap_or_default();
    let key = start..start + line.find('=').map_or(line.len(), |at| at + 1);
    let place = Place { source: Some(index), key, value: start..start + line.len() };
    let message = error.message().lines().next().unwrap_or("not TOML").to_owned();
    Problem::new("PAR0401", &place, format!("not TOML: {message}")).key_only()
}

fn convert_table(source: usize, table: &DeTable<'_>) -> BTreeMap<String, Node> {
    let node = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        (key.get_ref().to_string(), convert(source, key.span(), value))
    };
    table.iter().map(node).collect()
}

fn convert(source: usize, key: Range<usize>, value: &Spanned<DeValue<'_>>) -> Node {
    let item = |item: &Spanned<DeValue<'_>>| convert(source, item.span(), item);
    let converted = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        // A number beyond 64 bits is as wrong as one with a fraction.
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Fraction, Value::Integer)
        }
        DeValue::Float(_) => Value::Fraction,
        DeValue::Boolean(truth) => Value::Boolean(*truth),
        DeValue::Datetime(time) => Value::Datetime(time.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(item).collect()),
        DeValue::Table(table) => Value::Table(convert_table(source, table)),
    };
    // The header of a table stands for the table: its span can be far from its keys.
    let span = if matches!(converted, Value::Table(_)) { key.clone() } else { value.span() };
    Node { value: converted, place: Place { source: Some(source), key, value: span } }
}

/// Higher layers win, key by key; lists are replaced as a whole.
fn merge(under: &mut Node, over: Node) {
    match (&mut under.value, over.value) {
        (Value::Table(into), Value::Table(from)) => {
            for (name, node) in from {
                match into.get_mut(&name) {
                    Some(existing) => merge(existing, node),
                    None => {
                        into.insert(name, node);
                    }
                }
            }
            under.place = over.place;
        }
        (_, value) => *under = Node { value, place: over.place },
    }
}

/// Finds unknown keys and values of the wrong type.
fn inspect(node: &Node, pattern: &mut Vec<&'static str>, problems: &mut Vec<Problem>) {
    let known = keys::children(pattern);
    if let Some(key) = keys::at(pattern) {
        let table_with_keys = matches!(node.value, Value::Table(_)) && !known.is_empty();
        if !node.value.is(key.kind) {
            let message = format!("`{}` takes {}", key.path, key.kind.as_str());
            let problem = Problem::new("PAR0404", &node.place, message);
            problems.push(if key.secret { problem.key_only() } else { problem });
            return;
        }
        if !table_with_keys {
            return inspect_map(node, key, problems);
        }
    }
    match &node.value {
        Value::Table(children) if known != ["[]"] => {
            for (name, child) in children {
                let segment = known.iter().copied().find(|known| known == name || *known == "*");
                match segment {
                    Some(segment) => {
                        pattern.push(segment);
                        inspect(child, pattern, problems);
                        pattern.pop();
                    }
                    None => problems.push(unknown(name, child, pattern, &known)),
                }
            }
        }
        Value::List(items) if known == ["[]"] => {
            pattern.push("[]");
            for item in items {
                inspect(item, pattern, problems);
            }
            pattern.pop();
        }
        _ => {
            let wanted = if known == ["[]"] { "a list of tables, `[[…]]`" } else { "a table" };
            let message = format!("`{}` takes {wanted}", pattern.join("."));
            problems.push(Problem::new("PAR0404", &node.place, message).key_only());
        }
    }
}

fn inspect_map(node: &Node, key: &keys::Key, problems: &mut Vec<Problem>) {
    let wanted = match key.kind {
        Kind::TextMap => "text, a number, or true or false",
        Kind::ListMap => "a list of texts",
        _ => return,
    };
    let Value::Table(children) = &node.value else { return };
    for (name, child) in children {
        let fits = match key.kind {
            Kind::ListMap => child.value.is(Kind::List),
            _ => child.scalar().is_some(),
        };
        if !fits {
            let message = format!("`{name}` in `{}` takes {wanted}", key.path);
            problems.push(Problem::new("PAR0404", &child.place, message));
        }
    }
}

fn unknown(name: &str, node: &Node, pattern: &[&str], known: &[&'static str]) -> Problem {
    let table = if pattern.is_empty() { "at the top".to_owned() } else { format!("in `{}`", pattern.join(".")) };
    let problem = Problem::new("PAR0402", &node.place, format!("unknown key `{name}` {table}")).key_only();
    match closest(name, known.iter()) {
        Some(close) => problem.help(format!("did you mean `{close}`?")),
        None => problem.help(format!("known keys: {}", known.join(", "))),
    }
}

/// Finds the required keys that no layer sets.
fn find_missing(node: &Node, pattern: &mut Vec<&'static str>, path: String, problems: &mut Vec<Problem>) {
    let known = keys::children(pattern);
    match &node.value {
        Value::Table(children) => {
            for child in known.iter().filter(|child| **child != "*" && **child != "[]") {
                pattern.push(child);
                let required = keys::at(pattern).is_some_and(|key| key.required);
                match children.get(*child) {
                    Some(node) => find_missing(node, pattern, join(&path, child), problems),
                    None if required => {
                        let message = format!("`{}` is missing", join(&path, child));
                        let about = keys::at(pattern).map_or("", |key| key.about);
                        problems.push(Problem::new("PAR0403", &node.place, message).key_only().help(about));
                    }
                    None => {}
                }
                pattern.pop();
            }
            if known == ["*"] {
                pattern.push("*");
                for (name, child) in children {
                    find_missing(child, pattern, join(&path, name), problems);
                }
                pattern.pop();
            }
        }
        Value::List(items) if known == ["[]"] => {
            pattern.push("[]");
            for item in items {
                find_missing(item, pattern, path.clone(), problems);
            }
            pattern.pop();
        }
        _ => {}
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
