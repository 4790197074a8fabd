//! From HTTP to calls of `app/`, and their answers as JSON. Nothing is decided here.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::parts::ControlParts;
use crate::problem::Problem;

pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod classes;
pub(crate) mod decisions;
pub(crate) mod incidents;
pub(crate) mod reload;
pub(crate) mod sessions;
pub(crate) mod signals;
pub(crate) mod status;
pub(crate) mod tasks;
pub(crate) mod tokens;
pub(crate) mod upstreams;
pub(crate) mod workloads;

/// What a handler answers.
pub(crate) type Answer = Result<Json<Value>, Problem>;

/// The JSON body of a request, read strictly. No body at all counts as `{}`.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<ControlParts>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<ControlParts>) -> Result<Self, Problem> {
        // A form that a page submits has another type: it cannot act even where a token leaked into a browser.
        let json = request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| {
            kind.to_str().is_ok_and(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "application/json"))
        });
        let bytes = Bytes::from_request(request, state).await.map_err(|rejected| match rejected.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::TooLarge,
            _ => Problem::Unreadable("its body ended early"),
        })?;
        if bytes.is_empty() {
            return serde_json::from_str("{}").map(Self).map_err(|_| Problem::Unreadable("its body is missing"));
        }
        if !json {
            return Err(Problem::Unreadable("its body is not application/json"));
        }
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|_| Problem::Unreadable("its body has not the members it must"))
    }
}

/// The query of a request, read strictly: an unknown parameter is an error.
#[derive(Debug)]
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<ControlParts>> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &Arc<ControlParts>) -> Result<Self, Problem> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query.map(|Query(query)| Self(query)).map_err(|_| Problem::Unreadable("a parameter is unknown or malformed"))
    }
}

/// A body that says why. Whoever reads the log later has nothing else.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WithReason {
    pub(crate) reason: String,
}

impl WithReason {
    /// The reason, which must say something and fit an entry.
    pub(crate) fn checked(&self) -> Result<&str, Problem> {
        crate::app::said(&self.reason)
    }
}

/// No parameters, no members.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}
