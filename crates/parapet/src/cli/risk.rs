//! `parapet workloads risk`: what a person says of a workload's risk, over what signals say.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::client::{Client, named};
use crate::cli::exit::Failure;
use crate::cli::globals::Globals;
use crate::cli::workloads::changed;
use crate::cli::{id, output, style};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Say how risky a workload is; it stays until it is set again or cleared
    Set {
        /// The workload
        workload: String,
        /// 0 to 100; policies read it as `principal.risk`
        #[arg(value_parser = clap::value_parser!(u8).range(0..=100))]
        score: u8,
        /// Why, for the audit log and its owner
        #[arg(long)]
        reason: String,
    },
    /// Take back every reason, and let proofs count again that a signal revoked
    Clear {
        /// The workload
        workload: String,
        /// Why, for the audit log and its owner
        #[arg(long)]
        reason: String,
    },
}

pub(super) async fn execute(verb: Verb, globals: &Globals) -> Result<(), Failure> {
    let (workload, path, wanted) = match &verb {
        Verb::Set { workload, score, reason } => (workload, "risk", json!({ "score": score, "reason": reason })),
        Verb::Clear { workload, reason } => (workload, "risk/clear", json!({ "reason": reason })),
    };
    let name = id::read(workload)?;
    let client = Client::new(globals)?;
    let answer = client.post(&format!("/v1/workloads/{name}/{path}"), &wanted).await;
    let answer = named(answer, "workload", &name, "parapet workloads list")?;
    let score = answer.pointer("/risk/score").map(output::scalar).unwrap_or_default();
    let tone = match answer.pointer("/risk/score").and_then(Value::as_u64) {
        Some(0) => style::Tone::Good,
        _ => style::Tone::Waiting,
    };
    changed(globals, tone, &format!("the risk of {name} is {score}"), &format!("parapet workloads show {name}"));
    Ok(())
}
