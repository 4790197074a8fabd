//! What an OpenAPI document (3.0, 3.1, 3.2; JSON or YAML) says of an upstream: its endpoints, the fields of their bodies, and the classes
//! of what they answer.
//!
//! Read are servers (their paths), paths, operations and their ids, JSON and form bodies of requests, and JSON answers; references within
//! the document. Ours are `x-parapet-classes` on a schema (`[pii]`) and `x-parapet-group` on an operation (`reveal`). Everything else is left
//! alone: a document describes an API and validates nothing. `schema.rs` walks schemas, `reference.rs` follows references.

mod reference;
mod schema;

use std::sync::Arc;

use kernel::operation::ActionGroup;
use serde_json::{Map, Value};

use super::body::is_json;
use super::endpoint::{Endpoint, Template, TemplateError};
use reference::Document;
use schema::Schemas;

/// The largest document, in bytes.
pub const LARGEST_DOCUMENT: usize = 32 << 20;

/// Why a document says nothing that can be relied on. Places are JSON pointers into it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenApiError {
    /// More than [`LARGEST_DOCUMENT`], or than schemas may be.
    #[error("the document is too large")]
    TooLarge,
    /// Neither JSON nor YAML.
    #[error("the document is no json and no yaml: line {line}")]
    Syntax {
        /// The line, from 1; 0 if it is not known.
        line: u64,
    },
    /// Another version, such as Swagger's 2.0.
    #[error("the document is not openapi 3.0, 3.1 or 3.2")]
    Version,
    /// Something is not what OpenAPI says.
    #[error("at `{place}`: {what} expected")]
    Expected {
        /// Where.
        place: Arc<str>,
        /// What belongs there.
        what: &'static str,
    },
    /// A path that is no template.
    #[error("path `{path}`: {error}")]
    Path {
        /// The path with that of the server.
        path: Arc<str>,
        /// What is wrong with it.
        error: TemplateError,
    },
    /// A reference out of the document, to nowhere, or in a circle.
    #[error("reference `{reference}` does not lead to anything in the document")]
    Reference {
        /// As it is written.
        reference: Arc<str>,
    },
    /// A schema in a schema in a schema.
    #[error("at `{place}`: schemas are nested too deeply")]
    TooDeep {
        /// Where it begins.
        place: Arc<str>,
    },
}

impl OpenApiError {
    fn expected(place: &str, what: &'static str) -> Self {
        Self::Expected { place: place.into(), what }
    }
}

/// The endpoints of a document, in its order of paths; what OpenAPI calls trace is not let through and left out.
///
/// # Errors
/// [`OpenApiError`] if the document cannot be read, or says something of ours that makes no sense.
pub fn read(text: &str) -> Result<Vec<Endpoint>, OpenApiError> {
    let root = parse(text)?;
    match root.get("openapi").and_then(Value::as_str) {
        Some(version) if ["3.0", "3.1", "3.2"].iter().any(|known| version.starts_with(known)) => {}
        _ => return Err(OpenApiError::Version),
    }
    let document = Document::new(&root);
    let mut schemas = Schemas::new(document, text.contains(schema::CLASSES));
    let mut endpoints = Vec::new();
    let Some(paths) = root.get("paths") else { return Ok(endpoints) };
    let paths = paths.as_object().ok_or_else(|| OpenApiError::expected("/paths", "an object"))?;
    let bases = bases(&root)?;
    for (path, item) in paths.iter().filter(|(path, _)| path.starts_with('/')) {
        let place = format!("/paths/{path}");
        let item = document.object(item, &place)?;
        let bases =
            if item.contains_key("servers") { self::bases(&Value::Object(item.clone()))? } else { bases.clone() };
        for method in ["get", "head", "options", "post", "put", "patch", "delete"] {
            let Some(operation) = item.get(method) else { continue };
            let place = format!("{place}/{method}");
            let operation = document.object(operation, &place)?;
            let own;
            let bases = if operation.contains_key("servers") {
                own = self::bases(&Value::Object(operation.clone()))?;
                &own
            } else {
                &bases
            };
            for base in bases {
                let path: Arc<str> = format!("{base}{path}").into();
                let template = Template::parse(&path).map_err(|error| OpenApiError::Path { path, error })?;
                let mut endpoint = Endpoint::new(&method.to_ascii_uppercase(), template);
                describe(&mut endpoint, operation, &place, document, &mut schemas)?;
                endpoints.push(endpoint);
            }
        }
    }
    Ok(endpoints)
}

fn parse(text: &str) -> Result<Value, OpenApiError> {
    if text.len() > LARGEST_DOCUMENT {
        return Err(OpenApiError::TooLarge);
    }
    if text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).starts_with('{') {
        let text = text.trim_start_matches('\u{feff}');
        return serde_json::from_str(text).map_err(|error| OpenApiError::Syntax { line: error.line() as u64 });
    }
    let line = |error: serde_saphyr::Error| error.location().map_or(0, |location| location.line());
    serde_saphyr::from_str(text).map_err(|error| OpenApiError::Syntax { line: line(error) })
}

/// The paths of the servers; the empty one if there are none.
fn bases(holder: &Value) -> Result<Vec<String>, OpenApiError> {
    let mut bases = Vec::new();
    let servers = holder.get("servers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for server in servers {
        let url = server.get("url").and_then(Value::as_str);
        let mut url = url.ok_or_else(|| OpenApiError::expected("/servers", "a url"))?.to_owned();
        let variables = server.get("variables").and_then(Value::as_object);
        for (name, variable) in variables.into_iter().flatten() {
            if let Some(value) = variable.get("default").and_then(Value::as_str) {
                url = url.replace(&format!("{{{name}}}"), value);
            }
        }
        let path = match url.split_once("://") {
            Some((_, rest)) => rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or_default(),
            // A relative one begins where the document lies, which is nowhere.
            None => url.strip_prefix('.').unwrap_or(&url),
        };
        let path = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        let path = if path.is_empty() || path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if !bases.contains(&path) {
            bases.push(path);
        }
    }
    if bases.is_empty() {
        bases.push(String::new());
    }
    Ok(bases)
}

fn describe<'d>(
    endpoint: &mut Endpoint,
    operation: &'d Map<String, Value>,
    place: &str,
    document: Document<'d>,
    schemas: &mut Schemas<'d>,
) -> Result<(), OpenApiError> {
    if let Some(id) = operation.get("operationId") {
        let id = id.as_str().filter(|id| !id.is_empty() && id.len() <= 256 && !id.contains(char::is_control));
        endpoint.id = Some(id.ok_or_else(|| OpenApiError::expected(place, "an operationId that is a name"))?.into());
    }
    if let Some(group) = operation.get("x-parapet-group") {
        let known = group.as_str().and_then(|word| ActionGroup::ALL.into_iter().find(|group| group.as_str() == word));
        let known = known.filter(|group| *group != ActionGroup::Connect);
        endpoint.group =
            Some(known.ok_or_else(|| OpenApiError::expected(place, "a group of actions as x-parapet-group"))?);
    }
    if let Some(body) = operation.get("requestBody") {
        let place = format!("{place}/requestBody");
        for schema in contents(document.object(body, &place)?, &is_readable) {
            schemas.body(schema, &mut endpoint.body)?;
        }
    }
    let responses = operation.get("responses").and_then(Value::as_object);
    for (status, response) in responses.into_iter().flatten().filter(|(status, _)| !status.starts_with("x-")) {
        let place = format!("{place}/responses/{status}");
        for schema in contents(document.object(response, &place)?, &is_maskable) {
            schemas.classes(schema, &place, &mut endpoint.fields)?;
        }
    }
    Ok(())
}

/// The schemas of a body, for the media types of a sort.
fn contents<'d>(holder: &'d Map<String, Value>, of: &dyn Fn(&str) -> bool) -> impl Iterator<Item = &'d Value> {
    let contents = holder.get("content").and_then(Value::as_object).into_iter().flatten();
    let matching = contents.filter(|(kind, _)| of(&essence(kind))).flat_map(|(_, media)| {
        // 3.2 has a schema for each item of a stream.
        [media.get("schema"), media.get("itemSchema")]
    });
    matching.flatten().collect::<Vec<_>>().into_iter()
}

fn essence(kind: &str) -> String {
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_readable(kind: &str) -> bool {
    is_json(kind)
        || matches!(kind, "application/x-www-form-urlencoded" | "multipart/form-data" | "*/*" | "application/*")
}

fn is_maskable(kind: &str) -> bool {
    is_json(kind)
        || matches!(kind, "*/*" | "application/*" | "text/event-stream")
        || kind.contains("ndjson")
        || kind.contains("jsonl")
        || kind.ends_with("json-seq")
}

#[cfg(test)]
mod tests;
