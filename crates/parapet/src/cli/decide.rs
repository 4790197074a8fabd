//! `parapet decide`: what would be decided. Nothing reaches the upstream, and nothing is approved.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::{id, output, page};

/// Ask what would be decided; nothing reaches the upstream
#[derive(Debug, Args)]
pub(super) struct Decide {
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

impl Decide {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        let body = json!({ "as": id::read(&self.workload)?, "on": id::read(&self.upstream)?, "sql": self.sql });
        let mut answer = Client::new(globals)?.post("/v1/decide", &body).await?;
        if let (Some("ask"), Some(members)) = (verdict(&answer).as_deref(), answer.as_object_mut()) {
            // For a shell, with the statement byte for byte: a grant binds it so.
            let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
            let command = format!(
                "parapet approvals request --as {} --on {} --sql {}",
                self.workload,
                self.upstream,
                quoted(&self.sql)
            );
            members.insert("request".to_owned(), command.into());
        }
        output::data(&page::decision(&answer, globals));
        exit(&answer)
    }
}

fn verdict(answer: &Value) -> Option<String> {
    answer.get("verdict").and_then(Value::as_str).map(str::to_owned)
}

/// How a command ends that asked for this decision.
pub(super) fn exit(answer: &Value) -> Result<Exit, Failure> {
    match answer.get("verdict").and_then(Value::as_str) {
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
