//! `parapet audit`: search the log through the gateway, or verify its files without it.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use store::log::{Tampered, Verified, VerifyError};

use crate::cli::client::{Client, encoded, state_folder};
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::output::{self, Column, Listing, Shape};
use crate::cli::style::{Styled, Tone};
use crate::config::{Raw, Sources, variable};
use crate::recorded::set;

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
            Verb::Verify { folder } => verify(folder, globals),
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
            Some(text) => Some(since(text)?),
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

/// Milliseconds since the epoch.
fn since(text: &str) -> Result<String, Failure> {
    let at = match crate::config::duration(text) {
        Ok(ago) => crate::cli::time::now().millis().saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)),
        Err(_) => crate::config::timestamp(text).map_err(Failure::usage)?.millis(),
    };
    Ok(at.to_string())
}

/// Proves the log in a folder, without the gateway: proof is computed by the reader.
fn verify(folder: Option<PathBuf>, globals: &Globals) -> Result<Exit, Failure> {
    let folder = folder.unwrap_or_else(|| log_folder(globals));
    let (view, text, exit) = match store::log::verify(&folder) {
        Ok(verified) => proved(&folder, &verified),
        Err(VerifyError::Tampered(tampered)) => broken(&folder, &tampered),
        Err(error @ (VerifyError::NoLog | VerifyError::Unreadable(_))) => {
            // No log and no proof: that must not look like a proof.
            let failure = Failure::new(Exit::ProofFailed, "PAR0312", format!("{}: {error}", folder.display()));
            return Err(failure.help("name the folder of the log, or check its permissions"));
        }
    };
    output::data(&if globals.for_programs() { output::object("parapet.audit-verify/v1", &view) } else { text });
    Ok(exit)
}

fn proved(folder: &Path, verified: &Verified) -> (Value, String, Exit) {
    let view = json!({
        "verified": true,
        "folder": folder.display().to_string(),
        "entries": verified.entries,
        "chain": verified.chain.to_string(),
        "unfinished_bytes": verified.unfinished,
    });
    let mut text =
        format!("{}: {} entries, chain {}\n", Styled(Tone::Good, "✓ verified"), verified.entries, verified.chain);
    if verified.unfinished > 0 {
        text.push_str(&format!(
            "  {} bytes of an entry that is being written, or was cut off by a crash\n",
            verified.unfinished
        ));
    }
    (view, text, Exit::Done)
}

fn broken(folder: &Path, tampered: &Tampered) -> (Value, String, Exit) {
    let view = json!({
        "verified": false,
        "folder": folder.display().to_string(),
        "first_bad_seq": tampered.seq,
        "file": tampered.file,
        "offset": tampered.offset,
        "why": tampered.why.to_string(),
    });
    let text = format!(
        "{}: the first bad entry is seq {}, in {} at byte {}\n  why   {}\n  next  keep the files as they are, and find out who could write there\n",
        Styled(Tone::Bad, "✗ failed"),
        tampered.seq,
        folder.join(&tampered.file).display(),
        tampered.offset,
        tampered.why,
    );
    (view, text, Exit::ProofFailed)
}

/// The folder of the log: that of the gateway to talk to, or the configured one.
pub(super) fn log_folder(globals: &Globals) -> PathBuf {
    let raw = Raw::read(Sources::discover(variable("PARAPET_CONFIG").as_deref().map(Path::new), &[]), &mut Vec::new());
    match raw.root().section("audit").get("folder").filter(|_| globals.state.is_none()) {
        Some(folder) => raw.resolve(&folder.place, &folder.text),
        None => state_folder(globals).join("audit"),
    }
}
