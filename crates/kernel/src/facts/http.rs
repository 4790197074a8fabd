//! What is known about one HTTP request beyond method and resource. The protocol module fills it; policies read it as
//! `context.http`, `context.parameters`, `context.query`, `context.body` and `context.amounts`.
//!
//! Values are the caller's own data. They are judged, and never written: an audit entry, an export and an explanation have
//! the template and the names, not the values.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Named values: of a path's parameters, of a query, of a body.
pub type Texts = BTreeMap<Arc<str>, Arc<str>>;

/// The facts of one HTTP request. Operations of one request share them.
///
/// What no policy of the upstream reads is left empty ([`crate::policy::HttpReads`]), so that requests which differ in
/// nothing that matters have one shape.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpFacts {
    /// The method, in upper case.
    pub method: Arc<str>,
    /// The host that was asked for, in lower case, without a port.
    pub host: Arc<str>,
    /// The canonical path; empty where no policy reads it. Not written anywhere: it holds the parameters' values.
    #[serde(skip)]
    pub path: Arc<str>,
    /// The path template, such as `/v1/refunds/{id}`; `/**` for a path that no endpoint names.
    pub template: Arc<str>,
    /// The endpoint's id: the OpenAPI document's `operationId`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Arc<str>>,
    /// The parameters of the path template.
    #[serde(skip)]
    pub parameters: Texts,
    /// The query's pairs.
    #[serde(skip)]
    pub query: Texts,
    /// Named fields of the body that are texts; truth values are `true` and `false`.
    #[serde(skip)]
    pub texts: Texts,
    /// Named fields of the body that are whole numbers.
    #[serde(skip)]
    pub numbers: BTreeMap<Arc<str>, i64>,
    /// The body's size in bytes, where the head says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The media type of the body, in lower case, without its parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<Arc<str>>,
    /// The protocol that the client wants to change to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Arc<str>>,
    /// How deep a GraphQL document selects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
    /// How many fields a GraphQL document selects, lists counted by their limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<u64>,
}
