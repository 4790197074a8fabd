//! What `parapet config explain` shows: every value that holds, and the layer that set it.

use crate::config::keys;
use crate::config::layers::{Layer, Source};
use crate::config::raw::{Node, Raw, Value};

/// One value and where it comes from.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Line {
    /// Its path, such as `upstreams.shop-db.address`.
    pub(crate) key: String,
    /// The value as TOML; `(hidden)` where it could be a secret.
    pub(crate) value: String,
    /// The layer that set it.
    pub(crate) layer: String,
    /// The file, variable or flag.
    pub(crate) source: String,
    /// What the key is.
    pub(crate) about: &'static str,
    /// Is it about a secret? Then the value says where that is, at most.
    #[serde(skip)]
    pub(crate) secret: bool,
}

/// Every value that holds, in the order of the reference page; `filter` is a key or the beginning of a path.
pub(crate) fn lines(raw: &Raw, filter: Option<&str>) -> Vec<Line> {
    let mut lines = Vec::new();
    for key in keys::ALL {
        let segments: Vec<&str> = key.segments().collect();
        collect(raw, raw.root().node(), &segments, String::new(), key, &mut lines);
    }
    // What an upstream of one protocol cannot have has no value there either.
    for (name, upstream) in raw.root().section("upstreams").named() {
        let Some(protocol) = upstream.get("protocol") else { continue };
        for key in keys::foreign_to(&protocol.text) {
            let path = format!("upstreams.{name}.{key}");
            lines.retain(|line| line.key != path || line.layer != Layer::Default.to_string());
        }
    }
    lines.retain(|line| filter.is_none_or(|filter| covers(filter, &line.key)));
    lines
}

fn covers(filter: &str, path: &str) -> bool {
    path == filter || path.strip_prefix(filter).is_some_and(|rest| rest.starts_with(['.', '[']))
}

fn collect(
    raw: &Raw,
    node: Option<&Node>,
    rest: &[&str],
    path: String,
    key: &'static keys::Key,
    lines: &mut Vec<Line>,
) {
    let Some((segment, below)) = rest.split_first() else {
        match node {
            // A table whose keys are listed on their own has no line.
            Some(Node { value: Value::Table(_), .. }) if key.kind == keys::Kind::TextOrTable => {}
            Some(node) => lines.push(line(raw, key, path, node)),
            None => {
                if let Some(default) = key.default {
                    let value = if matches!(key.kind, keys::Kind::Text | keys::Kind::TextOrTable) {
                        toml::Value::from(default).to_string()
                    } else {
                        default.to_owned()
                    };
                    let layer = Layer::Default.to_string();
                    let (source, about, secret) = (String::new(), key.about, key.secret);
                    lines.push(Line { key: path, value, layer, source, about, secret });
                }
            }
        }
        return;
    };
    let dotted = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (*segment, node.map(|node| &node.value)) {
        ("*", Some(Value::Table(children))) => {
            for (name, child) in children {
                collect(raw, Some(child), below, dotted(name), key, lines);
            }
        }
        ("[]", Some(Value::List(items))) => {
            for (index, item) in items.iter().enumerate() {
                collect(raw, Some(item), below, format!("{path}[{index}]"), key, lines);
            }
        }
        ("*" | "[]", _) => {}
        (name, Some(Value::Table(children))) => {
            collect(raw, children.get(name), below, dotted(name), key, lines);
        }
        (name, None) if !key.required => collect(raw, None, below, dotted(name), key, lines),
        _ => {}
    }
}

fn line(raw: &Raw, key: &'static keys::Key, path: String, node: &Node) -> Line {
    let source: Option<&Source> = node.place.source.and_then(|index| raw.sources().get(index));
    Line {
        key: path,
        value: if key.secret { secret(node) } else { shown(&node.value) },
        layer: raw.layer(&node.place).to_string(),
        source: source.map_or_else(String::new, |source| source.name.clone()),
        about: key.about,
        secret: key.secret,
    }
}

/// Where a secret is may be shown; anything else could be the secret.
fn secret(node: &Node) -> String {
    match &node.value {
        Value::Text(text) if super::value::secret_source(text).is_some() => shown(&node.value),
        _ => "(hidden)".to_owned(),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => toml::Value::from(text.as_str()).to_string(),
        Value::Datetime(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Fraction => "(not a whole number)".to_owned(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| shown(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(children) => {
            let entries: Vec<String> =
                children.iter().map(|(name, node)| format!("{name} = {}", shown(&node.value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}
