//! `parapet signals`: the security events that came, and the streams that they come by.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::output::{self, Column, Listing, Shape};

/// List security events and their streams
#[derive(Debug, Args)]
pub(super) struct Signals {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The newest events, and what followed
    List {
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Every stream: whether it lives, and what it brought
    Streams,
    /// Note that you have seen an event
    Ack {
        /// Its number
        signal: u64,
    },
}

const SIGNALS: Listing = Listing {
    schema: "parapet.signals/v1",
    noun: "signals",
    id: "/number",
    columns: &[
        Column::new("NUMBER", &["/number"]),
        Column::new("AT", &["/at"]).shape(Shape::Time),
        Column::new("STREAM", &["/stream"]),
        Column::new("EVENT", &["/event"]),
        Column::new("OUTCOME", &["/outcome"]).shape(Shape::Word),
        Column::new("WORKLOADS", &["/workloads"]).shape(Shape::List),
        Column::new("SUBJECT", &["/subject"]),
        Column::new("SEEN BY", &["/seen_by"]).wide(),
    ],
};

const STREAMS: Listing = Listing {
    schema: "parapet.streams/v1",
    noun: "streams",
    id: "/name",
    columns: &[
        Column::new("NAME", &["/name"]),
        Column::new("STATE", &["/state"]).shape(Shape::Word),
        Column::new("DELIVERY", &["/delivery"]),
        Column::new("LAST EVENT", &["/last_event"]).shape(Shape::Time),
        Column::new("VERIFIED", &["/verified_at"]).shape(Shape::Time),
        Column::new("UNMATCHED", &["/unmatched"]),
        Column::new("REFUSED", &["/refused"]),
        Column::new("FAULT", &["/fault"]),
        Column::new("ISSUER", &["/issuer"]).wide(),
        Column::new("ASKED", &["/asked_at"]).shape(Shape::Time).wide(),
        Column::new("REFUSED WHY", &["/refused_why"]).wide(),
    ],
};

impl Signals {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        let client = Client::new(globals)?;
        match self.verb {
            Verb::List { limit } => {
                let answer = client.get(&format!("/v1/signals?limit={limit}")).await?;
                output::data(&SIGNALS.render(&answer, globals));
            }
            Verb::Streams => {
                let answer = client.get("/v1/streams").await?;
                output::data(&STREAMS.render(&answer, globals));
            }
            Verb::Ack { signal } => {
                client.post(&format!("/v1/signals/{signal}/ack"), &json!({})).await?;
                output::note(globals, &format!("signal {signal} is seen"));
            }
        }
        Ok(Exit::Done)
    }
}
