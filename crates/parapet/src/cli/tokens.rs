//! `parapet workloads token`: native tokens, for what has no issuer of its own. A token is printed once, when it is given.

use std::time::Duration;

use clap::Subcommand;
use kernel::secret::Secret;
use serde_json::json;

use crate::cli::client::{Client, encoded, named};
use crate::cli::exit::Failure;
use crate::cli::globals::Globals;
use crate::cli::output::{self, Column, Listing, Shape};
use crate::cli::workloads::changed;
use crate::cli::{id, style};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Give a workload a token, and print it once
    Issue {
        /// The workload
        workload: String,
        /// How long it lives, such as 30d; 90d at most
        #[arg(long, value_name = "DURATION", value_parser = life)]
        life: Duration,
        /// Why it cannot prove itself otherwise, for the audit log
        #[arg(long)]
        reason: String,
    },
    /// Every token, but for what it is
    List {
        /// Of this workload alone
        workload: Option<String>,
    },
    /// End a token, and cut the sessions that it opened
    Revoke {
        /// Its id
        token: String,
        /// Why, for the audit log
        #[arg(long)]
        reason: String,
    },
}

fn life(text: &str) -> Result<Duration, &'static str> {
    crate::config::duration(text)
}

const LISTING: Listing = Listing {
    schema: "parapet.tokens/v1",
    noun: "tokens",
    id: "/id",
    columns: &[
        Column::new("ID", &["/id"]),
        Column::new("WORKLOAD", &["/workload"]),
        Column::new("STATE", &["/state"]).shape(Shape::Word),
        Column::new("EXPIRES", &["/expires_at"]).shape(Shape::Time),
        Column::new("ISSUED", &["/issued_at"]).shape(Shape::Time),
        Column::new("BY", &["/issued_by"]),
        Column::new("REASON", &["/reason"]).wide(),
        Column::new("REVOKED", &["/revoked_at"]).shape(Shape::Time).wide(),
    ],
};

pub(super) async fn execute(verb: Verb, globals: &Globals) -> Result<(), Failure> {
    match verb {
        Verb::Issue { workload, life, reason } => {
            let name = id::read(&workload)?;
            let wanted = json!({ "reason": reason, "life_ms": u64::try_from(life.as_millis()).unwrap_or(u64::MAX) });
            let answer = Client::new(globals)?.post(&format!("/v1/workloads/{name}/tokens"), &wanted).await;
            let answer = named(answer, "workload", &name, "parapet workloads list")?;
            let part = |member: &str| answer.get(member).map(output::scalar).unwrap_or_default();
            if globals.for_programs() {
                output::data(&output::object("parapet.token/v1", &answer));
                return Ok(());
            }
            let token = Secret::new(part("token"));
            output::data(&format!("{}\n", token.expose()));
            let (id, until) = (part("id"), part("expires_at"));
            changed(
                globals,
                style::Tone::Waiting,
                &format!("{id} of {name} counts until {until}; it is not shown again"),
                &format!("parapet workloads token revoke {id}"),
            );
        }
        Verb::List { workload } => {
            let query = match workload {
                Some(workload) => format!("?workload={}", encoded(&id::read(&workload)?)),
                None => String::new(),
            };
            let answer = Client::new(globals)?.get(&format!("/v1/tokens{query}")).await?;
            output::data(&LISTING.render(&answer, globals));
        }
        Verb::Revoke { token, reason } => {
            let token = id::read(&token)?;
            let client = Client::new(globals)?;
            output::confirm(globals, &format!("This ends {token} and cuts the sessions that it opened."))?;
            let answer = client.post(&format!("/v1/tokens/{token}/revoke"), &json!({ "reason": reason })).await;
            named(answer, "token", &token, "parapet workloads token list")?;
            changed(globals, style::Tone::Bad, &format!("{token} is revoked"), "parapet workloads token list");
        }
    }
    Ok(())
}
