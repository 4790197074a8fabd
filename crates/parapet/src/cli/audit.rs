//! `parapet audit`: search the log and see its head through the gateway; verify, prove and export its files without it.

use clap::{Args, Subcommand, ValueEnum};
use kernel::audit::VerifierKey;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

use crate::cli::client::{Client, encoded, state_folder};
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::output::{self, Column, Listing, Shape};
use crate::cli::style::{Styled, Tone};
use crate::config::{Raw, Sources, variable};
use crate::recorded::set;

mod head;
mod prove;
mod verify;

/// Asks the gateway to erase content, after the person has agreed.
pub(super) async fn shred(
    path: &str,
    what: &str,
    reason: &str,
    person: Option<&str>,
    globals: &Globals,
) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    output::confirm(globals, &format!("This erases what the audit log keeps of {what}. Nobody can bring it back."))?;
    let mut wanted = json!({ "reason": reason });
    if let Some(person) = person {
        set(&mut wanted, "person", Value::from(person));
    }
    let answer = client.post(path, &wanted).await?;
    if globals.for_programs() {
        output::data(&output::object("parapet.shredded/v1", &answer));
    } else {
        let pieces = answer.get("pieces").map(output::scalar).unwrap_or_default();
        output::message(&format!("{}: {pieces} pieces of {what}\n", Styled(Tone::Good, "✓ erased")));
    }
    Ok(())
}

fn overlap(text: &str) -> Result<std::time::Duration, &'static str> {
    crate::config::duration(text)
}

/// Search, verify, prove and export the audit log
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
    Verify(verify::Verify),
    /// Prove that an entry stands in the log, or that the log goes on from an older head; needs no gateway
    Prove(prove::Prove),
    /// Write a part of the log as one file that proves itself; needs no gateway
    Export(prove::Export),
    /// How far the log reaches, what is signed, and who witnesses it
    Head {
        /// The signed head itself, to be kept elsewhere; needs no gateway
        #[arg(long)]
        signed: bool,
    },
    /// Where the witnesses of this log stand, and the key by which this node witnesses others
    Witness,
    /// Erase what a person wrote, their reasons, for good; the log goes on to verify
    Shred {
        /// The person
        #[arg(long)]
        person: String,
        /// Why, for the audit log
        #[arg(long)]
        reason: String,
    },
    /// Sign with a new key from now on; the old one signs along for a while
    Rotate {
        /// Why, for the audit log
        #[arg(long)]
        reason: String,
        /// How long the old key signs along
        #[arg(long, default_value = "30d", value_parser = overlap)]
        overlap: std::time::Duration,
    },
    /// Change the master key, over all keys that the gateway keeps; done at its next start
    Rekey {
        /// Why, for the audit log
        #[arg(long)]
        reason: String,
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
    /// Of this task
    #[arg(long)]
    task: Option<String>,
    /// Of this run, such as github:9912/1
    #[arg(long)]
    run: Option<String>,
    /// Of this commit
    #[arg(long)]
    commit: Option<String>,
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
        Column::new("AT", &["/at"]).shape(Shape::Time),
        Column::new("KIND", &["/kind"]),
        Column::new("OUTCOME", &["/shown/outcome", "/verdict", "/state", "/result"]).shape(Shape::Word),
        Column::new("WHO", &["/workload", "/claimed", "/by"]),
        Column::new("WHAT", &["/operations/0/verb", "/operations/0/action", "/action", "/why"]),
        Column::new("ON", &["/operations/0/resource", "/object", "/upstream", "/approval"]),
        Column::new("POLICY", &["/reason/policy", "/shown/policy", "/terms/observed/0/policy"]),
        Column::new("DECISION", &["/decision"]),
        Column::new("SESSION", &["/session"]).wide(),
        Column::new("STATEMENT", &["/statement"]).wide(),
    ],
};

/// For people: what a policy under observation would have stopped must not look as if it had simply passed, and `by` is a
/// person in some entries and a policy in others.
fn for_people(mut entry: Value) -> Value {
    let observed = entry.pointer("/terms/observed").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let policy = entry.pointer("/by/policy").cloned();
    let Some(members) = entry.as_object_mut() else { return entry };
    let mut shown = json!({});
    if observed {
        set(&mut shown, "outcome", Value::from("observed"));
    }
    if let Some(policy) = policy {
        set(&mut shown, "policy", policy);
        members.remove("by");
    }
    members.insert("shown".to_owned(), shown);
    entry
}

impl Audit {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        match self.verb {
            Verb::Verify(verify) => verify.execute(globals),
            Verb::Prove(prove) => prove.execute(globals),
            Verb::Export(export) => export.execute(globals),
            Verb::Head { signed: true } => head::signed(globals),
            Verb::Head { signed: false } => head::head(globals).await,
            Verb::Witness => head::witness(globals).await,
            Verb::Shred { person, reason } => {
                shred("/v1/audit/shred", &person, &reason, Some(&person), globals).await?;
                Ok(Exit::Done)
            }
            Verb::Rotate { reason, overlap } => head::rotate(&reason, overlap, globals).await,
            Verb::Rekey { reason } => head::rekey(&reason, globals).await,
            Verb::Search(search) => {
                let answer = Client::new(globals)?.get(&search.path()?).await?;
                // The gateway gives the newest first; people read the last line first.
                let mut entries: Vec<Value> = output::items(&answer).into_iter().rev().collect();
                if !globals.for_programs() {
                    entries = entries.into_iter().map(for_people).collect();
                }
                output::data(&LISTING.render(&Value::from(entries), globals));
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
            Some(text) => Some(crate::cli::time::since(text)?.millis().to_string()),
            None => None,
        };
        let filters = [
            ("workload", self.workload.clone()),
            ("upstream", self.upstream.clone()),
            ("verdict", verdict),
            ("policy", self.policy.clone()),
            ("task", self.task.clone()),
            ("run", self.run.clone()),
            ("commit", self.commit.clone()),
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

/// The folder of the log: that of the gateway to talk to, or the configured one.
pub(super) fn log_folder(globals: &Globals) -> PathBuf {
    let raw = Raw::read(Sources::discover(variable("PARAPET_CONFIG").as_deref().map(Path::new), &[]), &mut Vec::new());
    match raw.root().section("audit").get("folder").filter(|_| globals.state.is_none()) {
        Some(folder) => raw.resolve(&folder.place, &folder.text),
        None => state_folder(globals).join("audit"),
    }
}

/// The public keys that sign the log of this state folder, from where its signing keys stand; none if it cannot be read.
pub(super) fn trusted_keys(globals: &Globals) -> Vec<VerifierKey> {
    store::log::public_keys(&crate::audit::keys_path(&state_folder(globals))).unwrap_or_default()
}
