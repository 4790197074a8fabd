//! What the API does, a file per noun. Each function gets the context of its call and answers with a JSON object that
//! carries its `schema`.

use kernel::time::Timestamp;
use serde_json::{Value, json};

use crate::problem::Problem;

pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod classes;
pub(crate) mod decisions;
pub(crate) mod incidents;
pub(crate) mod reload;
mod seen;
pub(crate) mod sessions;
pub(crate) mod signals;
pub(crate) mod status;
pub(crate) mod tasks;
pub(crate) mod tokens;
pub(crate) mod upstreams;
pub(crate) mod workloads;

/// An object with its schema before its own members. What is no object has none.
fn object(schema: &str, value: Value) -> Value {
    let mut object = json!({ "schema": schema });
    if let (Some(object), Value::Object(members)) = (object.as_object_mut(), value) {
        object.extend(members);
    }
    object
}

/// A list with its schema.
fn list(schema: &str, items: Vec<Value>) -> Value {
    json!({ "schema": schema, "items": items })
}

/// Gives an object a member.
pub(crate) fn set(object: &mut Value, member: &str, value: impl Into<Value>) {
    if let Some(members) = object.as_object_mut() {
        members.insert(member.to_owned(), value.into());
    }
}

/// A time for programs and people.
fn time(at: Timestamp) -> Value {
    at.to_string().into()
}

/// A person's words: they must say something, and fit an audit entry.
pub(crate) fn said(text: &str) -> Result<&str, Problem> {
    let text = text.trim();
    match text.len() {
        0 => Err(Problem::Unreadable("the reason is empty")),
        1..=2000 => Ok(text),
        _ => Err(Problem::Unreadable("the reason is longer than 2,000 bytes")),
    }
}
