//! `/v1/tasks`, and `/v1/workloads/{name}/tasks`.

use std::time::Duration;

use axum::Json;
use axum::extract::Path;
use kernel::secret::Secret;
use serde::Deserialize;
use serde_json::Value;

use super::{Answer, Body, Nothing, Parameters, WithReason};
use crate::app;
use crate::context::Context;

/// Which tasks are listed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfWorkload {
    workload: Option<String>,
}

/// A task that is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    reason: String,
    life_ms: u64,
    authorization_details: Value,
    /// The thumbprint of the key that the token is bound to (RFC 7638).
    jkt: Option<String>,
}

pub(crate) async fn list(context: Context, Parameters(of): Parameters<OfWorkload>) -> Answer {
    Ok(Json(app::tasks::list(&context, of.workload.as_deref())))
}

pub(crate) async fn show(
    context: Context,
    Path(id): Path<String>,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Answer {
    app::tasks::show(&context, &id).map(Json)
}

pub(crate) async fn issue(context: Context, Path(name): Path<String>, Body(wanted): Body<Wanted>) -> Answer {
    let wanted = app::tasks::Wanted {
        reason: app::said(&wanted.reason)?.to_owned(),
        life: Duration::from_millis(wanted.life_ms),
        details: wanted.authorization_details,
        jkt: wanted.jkt,
    };
    app::tasks::issue(&context, &name, wanted).await.map(Json)
}

/// An attestation that is exchanged for a token.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shown {
    subject_token: String,
    authorization_details: Value,
}

pub(crate) async fn exchange(context: Context, Body(shown): Body<Shown>) -> Answer {
    let subject = Secret::new(shown.subject_token);
    app::tasks::exchange(&context, subject, &shown.authorization_details).await.map(Json)
}

pub(crate) async fn revoke(context: Context, Path(id): Path<String>, Body(why): Body<WithReason>) -> Answer {
    app::tasks::revoke(&context, &id, why.checked()?).await.map(Json)
}
