//! `parapet incidents`: what a stream or a policy did to workloads, as one thing, with the one undo.

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::noun::Noun;
use crate::cli::output::{self, Column, Listing, Shape, scalar};
use crate::cli::workloads::changed;
use crate::cli::{id, style};

/// List incidents, and undo what they did
#[derive(Debug, Args)]
pub(super) struct Incidents {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The newest incidents: who did what to how many workloads
    List,
    /// One incident, with everything that was done
    Show {
        /// Its id
        incident: String,
    },
    /// Take back what it did: release its quarantines, let proofs count again, forget its reasons for risk
    Undo {
        /// Its id
        incident: String,
        /// Why; it stands in the audit log
        #[arg(long)]
        reason: String,
    },
    /// Let stand what it did
    Close {
        /// Its id
        incident: String,
        /// Why; it stands in the audit log
        #[arg(long)]
        reason: String,
    },
}

const INCIDENTS: Noun = Noun {
    one: "incident",
    listing: &LISTING,
    empty: "an incident opens when a stream revokes, or a policy quarantines: parapet signals streams",
};

const LISTING: Listing = Listing {
    schema: "parapet.incidents/v1",
    noun: "incidents",
    id: "/id",
    columns: &[
        Column::new("ID", &["/id"]),
        Column::new("STATE", &["/state"]).shape(Shape::Word),
        Column::new("SOURCE", &["/source"]),
        Column::new("OPENED", &["/opened_at"]).shape(Shape::Time),
        Column::new("QUARANTINED", &["/quarantined"]),
        Column::new("REVOKED", &["/revoked"]),
        Column::new("WORKLOADS", &["/workloads"]).shape(Shape::List),
        Column::new("LAST", &["/last_at"]).shape(Shape::Time).wide(),
        Column::new("ENDED BY", &["/ended_by"]).wide(),
    ],
};

impl Incidents {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        match self.verb {
            Verb::List => INCIDENTS.list(globals).await?,
            Verb::Show { incident } => show(globals, &incident).await?,
            Verb::Undo { incident, reason } => {
                let (id, client) = (id::read(&incident)?, Client::new(globals)?);
                let known = INCIDENTS.find(&client, &id).await?;
                let whom = list(&known, "workloads").into_iter().map(scalar).collect::<Vec<_>>().join(", ");
                output::confirm(
                    globals,
                    &format!("This lets {whom} act again, as before, and proofs count that were revoked."),
                )?;
                let undone = INCIDENTS.act(&client, &id, "undo", &reason).await?;
                if globals.for_programs() {
                    output::data(&output::object("parapet.incident/v1", &undone));
                    return Ok(Exit::Done);
                }
                for left in list(&undone, "left") {
                    let part = |member: &str| left.get(member).map(scalar).unwrap_or_default();
                    output::note(globals, &format!("  {}: {}", part("workload"), part("why")));
                }
                changed(
                    globals,
                    style::Tone::Good,
                    &format!("{id} is undone"),
                    &format!("parapet incidents show {id}"),
                );
            }
            Verb::Close { incident, reason } => {
                let (id, client) = (id::read(&incident)?, Client::new(globals)?);
                INCIDENTS.act(&client, &id, "close", &reason).await?;
                changed(globals, style::Tone::Good, &format!("{id} is closed"), "parapet incidents list");
            }
        }
        Ok(Exit::Done)
    }
}

fn list<'v>(value: &'v Value, member: &str) -> Vec<&'v Value> {
    value.get(member).and_then(Value::as_array).into_iter().flatten().collect()
}

async fn show(globals: &Globals, typed: &str) -> Result<(), Failure> {
    let answer = INCIDENTS.find(&Client::new(globals)?, typed).await?;
    output::data(&INCIDENTS.listing.render_one("parapet.incident/v1", &answer, globals));
    if globals.for_programs() {
        return Ok(());
    }
    for effect in list(&answer, "effects") {
        let part = |member: &str| effect.get(member).map(scalar).unwrap_or_default();
        let times = if part("times") == "1" { String::new() } else { format!(", {} times", part("times")) };
        let what = format!("  {}  {} {}: {}{times}\n", part("at"), part("workload"), part("effect"), part("cause"));
        output::data(&what);
    }
    Ok(())
}
