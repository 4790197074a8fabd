//! `parapet decide`: what would be decided. Nothing reaches the upstream, and nothing is approved.

use std::collections::BTreeMap;

use clap::{ArgGroup, Args};
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
#[command(group = ArgGroup::new("asked").required(true).args(["sql", "http"]))]
pub(super) struct Hypothetical {
    /// The workload that would ask
    #[arg(long = "as", value_name = "WORKLOAD")]
    workload: String,
    /// The upstream that would be asked
    #[arg(long = "on", value_name = "UPSTREAM")]
    upstream: String,
    /// The statement
    #[arg(long, value_name = "STATEMENT")]
    sql: Option<String>,
    /// The HTTP request, such as `POST /v1/refunds`
    #[arg(long, value_name = "REQUEST")]
    http: Option<String>,
    /// A header of the request, `Name: value`; may be repeated
    #[arg(long = "header", value_name = "HEADER", requires = "http")]
    headers: Vec<String>,
    /// The body of the request
    #[arg(long, value_name = "BODY", requires = "http")]
    body: Option<String>,
}

impl Hypothetical {
    fn headers(&self) -> Result<BTreeMap<&str, &str>, Failure> {
        let mut headers = BTreeMap::new();
        for header in &self.headers {
            let Some((name, value)) = header.split_once(':') else {
                return Err(Failure::new(Exit::Usage, "PAR0300", "a header is `Name: value`"));
            };
            headers.insert(name.trim(), value.trim());
        }
        Ok(headers)
    }

    /// What the gateway would decide about it.
    pub(super) async fn decided(&self, globals: &Globals) -> Result<Value, Failure> {
        let mut body = json!({ "as": id::read(&self.workload)?, "on": id::read(&self.upstream)? });
        match &self.http {
            None => set(&mut body, "sql", self.sql.clone().unwrap_or_default()),
            Some(line) => {
                set(&mut body, "http", line.as_str());
                set(&mut body, "headers", json!(self.headers()?));
                if let Some(text) = &self.body {
                    set(&mut body, "body", text.as_str());
                }
            }
        }
        Client::new(globals)?.post("/v1/decide", &body).await
    }
}

impl Decide {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        let mut answer = self.request.decided(globals).await?;
        if let (Some("ask"), Some(sql)) = (verdict(&answer), &self.request.sql) {
            let Hypothetical { workload, upstream, .. } = &self.request;
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
