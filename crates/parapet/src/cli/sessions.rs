//! `parapet sessions`: the connections that are open now.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::client::{Client, named};
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::output::{self, Column, Listing, Shape};
use crate::cli::workloads::changed;
use crate::cli::{id, style};

/// List, inspect and cut live sessions
#[derive(Debug, Args)]
pub(super) struct Sessions {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Every live session
    List,
    /// One session
    Show {
        /// Its id
        session: String,
    },
    /// Cut a session; its client is told so
    Kill {
        /// Its id
        session: String,
        /// Why, for the audit log
        #[arg(long)]
        reason: String,
    },
}

pub(super) const LISTING: Listing = Listing {
    schema: "parapet.sessions/v1",
    noun: "sessions",
    id: "/id",
    columns: &[
        Column::new("ID", &["/id"]),
        Column::new("WORKLOAD", &["/workload"]),
        Column::new("UPSTREAM", &["/upstream"]),
        Column::new("PROTOCOL", &["/protocol"]).wide(),
        Column::new("SOURCE", &["/source"]),
        Column::new("BEGAN", &["/began"]).shape(Shape::Time),
        Column::new("DECISIONS", &["/decisions"]),
        Column::new("DENIED", &["/denials"]),
        Column::new("ROWS", &["/rows"]).wide(),
        Column::new("LAST", &["/last"]).wide(),
    ],
};

impl Sessions {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        match self.verb {
            Verb::List => {
                let answer = Client::new(globals)?.get("/v1/sessions").await?;
                output::data(&LISTING.render(&answer, globals));
            }
            Verb::Show { session } => {
                let session = id::read(&session)?;
                let answer = Client::new(globals)?.get(&format!("/v1/sessions/{session}")).await;
                let answer = named(answer, "session", &session, "parapet sessions list")?;
                output::data(&LISTING.render_one("parapet.session/v1", &answer, globals));
            }
            Verb::Kill { session, reason } => {
                let named_as = id::read(&session)?;
                let client = Client::new(globals)?;
                let found = client.get(&format!("/v1/sessions/{named_as}")).await;
                let found = named(found, "session", &named_as, "parapet sessions list")?;
                let part = |member: &str| found.get(member).map(output::scalar).unwrap_or_default();
                // By its id from here on: another session may be the last by the time of the answer.
                let session = id::read(&part("id"))?;
                output::confirm(
                    globals,
                    &format!(
                        "This cuts {session} of {} to {}: its statement is cancelled and its transaction rolled back.",
                        part("workload"),
                        part("upstream")
                    ),
                )?;
                let answer = client.post(&format!("/v1/sessions/{session}/kill"), &json!({ "reason": reason })).await;
                named(answer, "session", &session, "parapet sessions list")?;
                changed(globals, style::Tone::Bad, &format!("{session} is cut"), "parapet sessions list");
            }
        }
        Ok(Exit::Done)
    }
}
