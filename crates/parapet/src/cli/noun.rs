//! A kind of thing that the admin API lists and shows: one word for its path, its schemas and its verbs. What is done to a
//! thing stands in the file of its noun.

use serde_json::{Value, json};

use crate::cli::client::{Client, named};
use crate::cli::exit::Failure;
use crate::cli::globals::Globals;
use crate::cli::id;
use crate::cli::output::{self, Listing};

/// Such as workloads: `/v1/workloads`, `parapet.workload/v1`, `parapet workloads list`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noun {
    /// One of them.
    pub(super) one: &'static str,
    /// How they are shown.
    pub(super) listing: &'static Listing,
    /// Where there are none: when there will be some, and the command for that.
    pub(super) empty: &'static str,
}

impl Noun {
    /// Shows all of them.
    pub(super) async fn list(&self, globals: &Globals) -> Result<(), Failure> {
        let answer = Client::new(globals)?.get(&format!("/v1/{}s", self.one)).await?;
        output::data(&self.listing.render(&answer, globals));
        if output::items(&answer).is_empty() && !globals.for_programs() {
            output::note(globals, &format!("  {}", self.empty));
        }
        Ok(())
    }

    /// The one that was typed.
    pub(super) async fn find(&self, client: &Client, typed: &str) -> Result<Value, Failure> {
        let id = id::read(typed)?;
        self.named(client.get(&format!("/v1/{}s/{id}", self.one)).await, &id)
    }

    /// Shows the one that was typed.
    pub(super) async fn show(&self, globals: &Globals, typed: &str) -> Result<(), Failure> {
        let answer = self.find(&Client::new(globals)?, typed).await?;
        output::data(&self.listing.render_one(&format!("parapet.{}/v1", self.one), &answer, globals));
        Ok(())
    }

    /// Does something to the one with this id or name, for a reason.
    pub(super) async fn act(&self, client: &Client, id: &str, verb: &str, reason: &str) -> Result<Value, Failure> {
        let answer = client.post(&format!("/v1/{}s/{id}/{verb}", self.one), &json!({ "reason": reason })).await;
        self.named(answer, id)
    }

    fn named(&self, answer: Result<Value, Failure>, id: &str) -> Result<Value, Failure> {
        named(answer, self.one, id, &format!("parapet {}s list", self.one))
    }
}
