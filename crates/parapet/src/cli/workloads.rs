//! `parapet workloads`: who may call, and where they stand.

use clap::{Args, Subcommand};

use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::noun::Noun;
use crate::cli::output::{self, Column, Listing, Shape};
use crate::cli::{id, style};

/// List, inspect, quarantine and release workloads
#[derive(Debug, Args)]
pub(super) struct Workloads {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Every workload
    List,
    /// One workload
    Show {
        /// Its name
        workload: String,
    },
    /// Deny everything a workload asks, and cut its live sessions
    Quarantine {
        /// Its name
        workload: String,
        /// Why, for the audit log and its owner
        #[arg(long)]
        reason: String,
    },
    /// Tokens for what has no issuer of its own: shown once, and never for longer than 90 days
    Token {
        #[command(subcommand)]
        verb: super::tokens::Verb,
    },
    /// Say how risky a workload is, or take back what was said
    Risk {
        #[command(subcommand)]
        verb: super::risk::Verb,
    },
    /// End a workload for good, and cut its live sessions
    Retire {
        /// Its name
        workload: String,
        /// Why, for the audit log and its owner
        #[arg(long)]
        reason: String,
    },
    /// Erase what the audit log keeps of a workload's statements for good; the log goes on to verify
    Shred {
        /// Its name
        workload: String,
        /// Why, for the audit log
        #[arg(long)]
        reason: String,
    },
    /// End a quarantine
    Release {
        /// Its name
        workload: String,
        /// Why, for the audit log and its owner
        #[arg(long)]
        reason: String,
    },
}

pub(super) const LISTING: Listing = Listing {
    schema: "parapet.workloads/v1",
    noun: "workloads",
    id: "/name",
    columns: &[
        Column::new("NAME", &["/name"]),
        Column::new("STATUS", &["/status"]).shape(Shape::Word),
        Column::new("KIND", &["/kind"]),
        Column::new("OWNER", &["/owner"]),
        Column::new("ENVIRONMENT", &["/environment"]),
        Column::new("SESSIONS", &["/sessions"]),
        Column::new("EXPIRES", &["/expires"]).shape(Shape::Time).wide(),
        Column::new("GROUPS", &["/groups"]).shape(Shape::List).wide(),
        Column::new("RISK", &["/risk"]).wide(),
        Column::new("RISK WHY", &["/risk_why"]).shape(Shape::List).wide(),
        Column::new("REVOKED UNTIL", &["/risk_reasons/revoked_before"]).shape(Shape::Time).wide(),
        Column::new("TOKENS", &["/native_tokens"]).wide(),
        Column::new("FLAGS", &["/flags"]).shape(Shape::List).wide(),
        Column::new("PURPOSE", &["/purpose"]).wide(),
        Column::new("WHY", &["/standing/reason"]).wide(),
        Column::new("BY", &["/standing/by"]).wide(),
    ],
};

const WORKLOADS: Noun = Noun {
    one: "workload",
    listing: &LISTING,
    empty: "they are configured as `[workloads.NAME]`, each with a trust rule: parapet config explain workloads",
};

impl Workloads {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        match self.verb {
            Verb::List => WORKLOADS.list(globals).await?,
            Verb::Show { workload } => WORKLOADS.show(globals, &workload).await?,
            Verb::Quarantine { workload, reason } => {
                let name = id::read(&workload)?;
                let client = Client::new(globals)?;
                output::confirm(
                    globals,
                    &format!("This denies everything that {name} asks from now on, and cuts its live sessions."),
                )?;
                WORKLOADS.act(&client, &name, "quarantine", &reason).await?;
                changed(
                    globals,
                    style::Tone::Bad,
                    &format!("{name} is quarantined"),
                    &format!("parapet workloads release {name} --reason …"),
                );
            }
            Verb::Token { verb } => super::tokens::execute(verb, globals).await?,
            Verb::Risk { verb } => super::risk::execute(verb, globals).await?,
            Verb::Retire { workload, reason } => {
                let name = id::read(&workload)?;
                let client = Client::new(globals)?;
                output::confirm(globals, &format!("This ends {name} for good, and cuts its live sessions."))?;
                WORKLOADS.act(&client, &name, "retire", &reason).await?;
                changed(
                    globals,
                    style::Tone::Bad,
                    &format!("{name} is retired"),
                    &format!("parapet workloads show {name}"),
                );
            }
            Verb::Shred { workload, reason } => {
                let name = id::read(&workload)?;
                super::audit::shred(&format!("/v1/workloads/{name}/shred"), &name, &reason, None, globals).await?;
            }
            Verb::Release { workload, reason } => {
                let name = id::read(&workload)?;
                let client = Client::new(globals)?;
                output::confirm(globals, &format!("This lets {name} act again, as policies permit."))?;
                WORKLOADS.act(&client, &name, "release", &reason).await?;
                changed(
                    globals,
                    style::Tone::Good,
                    &format!("{name} is active"),
                    &format!("parapet workloads show {name}"),
                );
            }
        }
        Ok(Exit::Done)
    }
}

/// Says what has changed, and what could be done next.
pub(super) fn changed(globals: &Globals, tone: style::Tone, what: &str, next: &str) {
    output::note(globals, &format!("{}\n  next  {next}", style::Styled(tone, format!("{}{what}", tone.mark()))));
}
