//! `parapet audit`: search the log through the gateway, or verify its files without it.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;
use std::path::PathBuf;

use crate::cli::client::{Client, encoded};
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::output::{self, Column, Listing, Shape};

/// Verify and search the audit log
#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Verdict {
    Permit,
    Ask,
    Deny,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Find any changed, missing or reordered entry; needs no gateway
    Verify {
        /// Folder of the log, instead of the configured one
        folder: Option<PathBuf>,
    },
    /// Entries that match, newest last
    Search(Search),
}

#[derive(Debug, Args)]
struct Search {
    /// Of this workload
    #[arg(long)]
    workload: Option<String>,
    /// Of this upstream
    #[arg(long)]
    upstream: Option<String>,
    /// With this verdict
    #[arg(long, value_enum)]
    verdict: Option<Verdict>,
    /// Decided by this policy
    #[arg(long)]
    policy: Option<String>,
    /// Of this kind, such as decision, login, approval or admin
    #[arg(long)]
    kind: Option<String>,
    /// Since then: RFC 3339, or how long ago, such as 2h
    #[arg(long)]
    since: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

pub(super) const LISTING: Listing = Listing {
    schema: "parapet.audit/v1",
    noun: "entries",
    id: "/seq",
    columns: &[
        Column::new("SEQ", &["/seq"]),
        Column::new("AT", &["/at", "/entry/at"]).shape(Shape::Time),
        Column::new("KIND", &["/kind", "/entry/kind"]),
        Column::new("VERDICT", &["/verdict", "/entry/verdict"]).shape(Shape::Word),
        Column::new("WORKLOAD", &["/workload", "/entry/workload"]),
        Column::new("ACTION", &["/operations/0/action", "/entry/operations/0/action", "/action", "/entry/action"]),
        Column::new(
            "RESOURCE",
            &["/operations/0/resource", "/entry/operations/0/resource", "/object", "/entry/object"],
        ),
        Column::new("POLICY", &["/reason/policy", "/entry/reason/policy", "/by/policy", "/entry/by/policy"]).wide(),
        Column::new("DECISION", &["/decision", "/entry/decision"]),
    ],
};

impl Audit {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        match self.verb {
            Verb::Verify { folder } => verify(folder, globals),
            Verb::Search(search) => {
                let answer = Client::new(globals)?.get(&search.path()?).await?;
                output::data(&LISTING.render(&answer, globals));
                Ok(Exit::Done)
            }
        }
    }
}

impl Search {
    fn path(&self) -> Result<String, Failure> {
        let mut path = format!("/v1/audit?limit={}", self.limit);
        let verdict = self.verdict.and_then(|verdict| Some(verdict.to_possible_value()?.get_name().to_owned()));
        let since = match &self.since {
            Some(text) => Some(since(text)?),
            None => None,
        };
        let filters = [
            ("workload", self.workload.clone()),
            ("upstream", self.upstream.clone()),
            ("verdict", verdict),
            ("policy", self.policy.clone()),
            ("kind", self.kind.clone()),
            ("since", since),
        ];
        for (name, value) in filters {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", encoded(&value)));
            }
        }
        Ok(path)
    }
}

/// Milliseconds since the epoch.
fn since(text: &str) -> Result<String, Failure> {
    let at = match crate::config::duration(text) {
        Ok(ago) => crate::cli::time::now().millis().saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)),
        Err(_) => crate::config::timestamp(text).map_err(Failure::usage)?.millis(),
    };
    Ok(at.to_string())
}

fn verify(_folder: Option<PathBuf>, _globals: &Globals) -> Result<Exit, Failure> {
    let _: Option<Value> = None;
    Err(Failure::new(Exit::Failed, "PAR0301", "not built yet"))
}
