//! The envelope of a GraphQL request: a JSON object, a batch of them, or the parameters of a query.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::body;
use super::{Gathered, GraphqlError, LARGEST_BATCH, LONGEST_DOCUMENT, Selection, document, gravity};

/// One request. A member that is not of these could name another document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) query: Option<String>,
    operation_name: Option<String>,
    pub(super) variables: Option<Map<String, Value>>,
    extensions: Option<Map<String, Value>>,
}

/// What the body of a POST selects: `application/json`, one request or a batch, or `application/graphql`.
///
/// # Errors
/// [`GraphqlError`] if it cannot be said; then the request is denied.
pub fn read(content_type: Option<&str>, whole: &[u8]) -> Result<Selection, GraphqlError> {
    select(requests(content_type, whole)?)
}

/// The requests in the body of a POST.
pub(super) fn requests(content_type: Option<&str>, whole: &[u8]) -> Result<Vec<Request>, GraphqlError> {
    let kind = content_type.and_then(body::media_type).ok_or(GraphqlError::Envelope)?;
    if !body::is_utf8(&kind.1) {
        return Err(GraphqlError::Envelope);
    }
    if kind.0 == "application/graphql" {
        let query = std::str::from_utf8(whole).map_err(|_| GraphqlError::Malformed)?.to_owned();
        return Ok(vec![Request { query: Some(query), operation_name: None, variables: None, extensions: None }]);
    }
    if !body::is_json(&kind.0) {
        return Err(GraphqlError::Envelope);
    }
    // Members that stand twice, and everything else that is read in two ways.
    body::read(content_type, whole, &[]).map_err(|_| GraphqlError::Envelope)?;
    let first = whole.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'[') {
        return serde_json::from_slice(whole).map_err(|_| GraphqlError::Envelope);
    }
    Ok(vec![serde_json::from_slice(whole).map_err(|_| GraphqlError::Envelope)?])
}

/// What the parameters of a GET select, decoded and each only once.
///
/// # Errors
/// [`GraphqlError`] if it cannot be said, or if it is a mutation.
pub fn read_query<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Result<Selection, GraphqlError> {
    let mut request = Request { query: None, operation_name: None, variables: None, extensions: None };
    let object = |text: &str| serde_json::from_str(text).map_err(|_| GraphqlError::Envelope);
    for (name, value) in pairs {
        let known = match name {
            "query" => request.query.replace(value.to_owned()).is_some(),
            "operationName" => request.operation_name.replace(value.to_owned()).is_some(),
            "variables" => request.variables.replace(object(value)?).is_some(),
            "extensions" => request.extensions.replace(object(value)?).is_some(),
            _ => return Err(GraphqlError::Envelope),
        };
        if known {
            return Err(GraphqlError::Envelope);
        }
    }
    let selection = select(vec![request])?;
    if gravity(selection.action) > 1 { Err(GraphqlError::Method) } else { Ok(selection) }
}

fn select(requests: Vec<Request>) -> Result<Selection, GraphqlError> {
    if requests.is_empty() {
        return Err(GraphqlError::Envelope);
    }
    if requests.len() > LARGEST_BATCH {
        return Err(GraphqlError::TooLarge);
    }
    let mut all = Gathered::nothing();
    for request in requests {
        if request.extensions.is_some_and(|extensions| extensions.contains_key("persistedQuery")) {
            return Err(GraphqlError::Unsupported);
        }
        let query = request.query.filter(|query| !query.is_empty()).ok_or(GraphqlError::Unsupported)?;
        if query.len() > LONGEST_DOCUMENT {
            return Err(GraphqlError::TooLarge);
        }
        let name = request.operation_name.as_deref().filter(|name| !name.is_empty());
        document::select(&query, name, &request.variables.unwrap_or_default(), &mut all)?;
    }
    Ok(all.selection())
}

/// Names of the answer, from its data.
pub(super) type Answer = Vec<Arc<str>>;
