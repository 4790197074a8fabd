//! `/v1/signals`, `/v1/threats`, and `/v1/workloads/{name}/risk`.

use std::net::IpAddr;

use axum::Json;
use axum::extract::Path;
use serde::Deserialize;

use super::{Answer, Body, Nothing, Parameters, WithReason};
use crate::app;
use crate::context::Context;
use crate::problem::Problem;

/// How many signals are listed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Most {
    limit: Option<u32>,
}

/// How risky a workload is to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Score {
    score: u8,
    reason: String,
}

pub(crate) async fn list(context: Context, Parameters(most): Parameters<Most>) -> Answer {
    app::signals::list(&context, most.limit.unwrap_or(50).clamp(1, 1000)).await.map(Json)
}

pub(crate) async fn streams(context: Context, Parameters(Nothing {}): Parameters<Nothing>) -> Answer {
    app::signals::streams(&context).await.map(Json)
}

pub(crate) async fn acknowledge(
    context: Context,
    Path(number): Path<String>,
    Body(Nothing {}): Body<Nothing>,
) -> Answer {
    let number = number.parse().map_err(|_| Problem::Unreadable("a signal is named by its number"))?;
    app::signals::acknowledge(&context, number).await.map(Json)
}

pub(crate) async fn threats(context: Context, Parameters(Nothing {}): Parameters<Nothing>) -> Answer {
    Ok(Json(app::signals::threats(&context)))
}

pub(crate) async fn check(context: Context, Path(address): Path<String>) -> Answer {
    let address: IpAddr = address.parse().map_err(|_| Problem::Unreadable("that is no address"))?;
    Ok(Json(app::signals::check(&context, address)))
}

pub(crate) async fn set_risk(context: Context, Path(name): Path<String>, Body(body): Body<Score>) -> Answer {
    if body.score > 100 {
        return Err(Problem::Unreadable("a score is between 0 and 100"));
    }
    app::signals::set_risk(&context, &name, body.score, app::said(&body.reason)?).await.map(Json)
}

pub(crate) async fn clear_risk(context: Context, Path(name): Path<String>, Body(body): Body<WithReason>) -> Answer {
    app::signals::clear_risk(&context, &name, body.checked()?).await.map(Json)
}
