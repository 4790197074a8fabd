//! `parapet decide`: what would be decided. Nothing reaches the upstream, and nothing is approved.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::{id, output, page};
use crate::recorded::set;

/// Ask what would be decided; nothing reaches the upstream
#[derive(Debug, Args)]
pub(super) struct Decide {
    #[command(flatten)]
    request: Hypothetical,
}

/// A request that nobody has made: what `decide` and `masks preview` ask about.
#[derive(Debug, Args)]
pub(super) struct Hypothetical {
    /// The workload that would ask
    #[arg(long = "as", value_name = "WORKLOAD")]
    workload: String,
    /// The upstream that would be asked
    #[arg(long = "on", value_name = "UPSTREAM")]
    upstream: String,
    /// The statement
    #[arg(long, value_name = "STATEMENT")]
    sql: String,
}

impl Hypothetical {
    /// What the gateway would decide about it.
    pub(super) async fn decided(&self, globals: &Globals) -> Result<Value, Failure> {
        let body = json!({ "as": id::read(&self.workload)?, "on": id::read(&self.upstream)?, "sql": self.sql });
        Client::new(globals)?.post("/v1/decide", &body).await
    }
}

impl Decide {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        let mut answer = self.request.decided(globals).await?;
        if verdict(&answer) == Some("ask") {
            let Hypothetical { workload, upstream, sql } = &self.request;
            // For a shell, with the statement byte for byte: a grant binds it so.
            let quoted = format!("'{}'", sql.replace('\'', "'\\''"));
            let command = format!("parapet approvals request --as {workload} --on {upstream} --sql {quoted}");
            set(&mut answer, "request", command);
        }
        output::data(&page::decision(&answer, globals));
        exit(&answer)
    }
}

/// The verdict in an answer.
pub(super) fn verdict(answer: &Value) -> Option<&str> {
    answer.get("verdict").and_then(Value::as_str)
}

/// How a command ends that asked for this decision.
pub(super) fn exit(answer: &Value) -> Result<Exit, Failure> {
    match verdict(answer) {
        Some("permit") => Ok(Exit::Done),
        Some("ask") => Ok(Exit::NotApproved),
        Some("deny") => Ok(Exit::Denied),
        // What is not understood must not look like a permission.
        _ => Err(Failure::new(
            Exit::Unreachable,
            "PAR0306",
            "the gateway's answer has no verdict that this version knows",
        )),
    }
}
