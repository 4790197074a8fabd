//! `parapet threats`: the lists of addresses that policies know by name, and whether an address stands on one.

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::cli::client::{Client, encoded};
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::output::{self, Column, Listing, Shape};
use crate::cli::style::{Styled, Tone};

/// List threat lists, and look an address up
#[derive(Debug, Args)]
pub(super) struct Threats {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Every list: how large, how old, and what is wrong with it
    List,
    /// The lists that name an address; exit 5 if any does
    Check {
        /// The address
        address: std::net::IpAddr,
    },
}

const LISTING: Listing = Listing {
    schema: "parapet.threats/v1",
    noun: "threat lists",
    id: "/name",
    columns: &[
        Column::new("NAME", &["/name"]),
        Column::new("STATE", &["/state"]).shape(Shape::Word),
        Column::new("NETWORKS", &["/networks"]),
        Column::new("AS OF", &["/as_of"]).shape(Shape::Time),
        Column::new("STALE FROM", &["/stale_from"]).shape(Shape::Time),
        Column::new("SOURCE", &["/source"]),
        Column::new("FAILED", &["/failed"]),
        Column::new("RANGES", &["/ranges"]).wide(),
        Column::new("BYTES", &["/bytes"]).wide(),
        Column::new("PASSED OVER", &["/passed_over"]).wide(),
    ],
};

impl Threats {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        match self.verb {
            Verb::List => {
                let answer = Client::new(globals)?.get("/v1/threats").await?;
                output::data(&LISTING.render(&answer, globals));
                Ok(Exit::Done)
            }
            Verb::Check { address } => {
                let path = format!("/v1/threats/{}", encoded(&address.to_string()));
                let answer = Client::new(globals)?.get(&path).await?;
                let names = |member: &str| {
                    let names = answer.get(member).and_then(Value::as_array).cloned().unwrap_or_default();
                    names.iter().map(output::scalar).collect::<Vec<_>>()
                };
                let (threats, stale) = (names("threats"), names("stale"));
                if globals.for_programs() {
                    output::data(&output::object("parapet.threat_check/v1", &answer));
                } else if threats.is_empty() {
                    let said = format!("{}{address} is on no list", Tone::Good.mark());
                    output::data(&format!("{}\n", Styled(Tone::Good, said)));
                } else {
                    let said = format!("{}{address} is on {}", Tone::Bad.mark(), threats.join(", "));
                    output::data(&format!("{}\n", Styled(Tone::Bad, said)));
                }
                if !stale.is_empty() {
                    output::note(globals, &format!("too old: {}", stale.join(", ")));
                }
                Ok(if threats.is_empty() { Exit::Done } else { Exit::Denied })
            }
        }
    }
}
