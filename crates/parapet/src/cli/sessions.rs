//! `parapet sessions`: the connections that are open now.

use clap::{Args, Subcommand};

use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::noun::Noun;
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
    /// Erase what the audit log keeps of a session's statements for good; the log goes on to verify
    Shred {
        /// Its id
        session: String,
        /// Why, for the audit log
        #[arg(long)]
        reason: String,
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

const SESSIONS: Noun = Noun {
    one: "session",
    listing: &LISTING,
    empty: "one stands here while a client is connected: parapet run --as WORKLOAD -- psql",
};

impl Sessions {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        match self.verb {
            Verb::List => SESSIONS.list(globals).await?,
            Verb::Show { session } => SESSIONS.show(globals, &session).await?,
            Verb::Shred { session, reason } => {
                // It may have ended long ago: its whole id is needed.
                let session = id::read(&session)?;
                super::audit::shred(&format!("/v1/sessions/{session}/shred"), &session, &reason, None, globals).await?;
            }
            Verb::Kill { session, reason } => {
                let client = Client::new(globals)?;
                let found = SESSIONS.find(&client, &session).await?;
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
                SESSIONS.act(&client, &session, "kill", &reason).await?;
                changed(globals, style::Tone::Bad, &format!("{session} is cut"), "parapet sessions list");
            }
        }
        Ok(Exit::Done)
    }
}
