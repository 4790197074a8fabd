//! `parapet tasks`: tokens for what a run was started for. Issued, listed and ended through the admin API; narrowed, and proved
//! to be held, with a key alone and without the gateway. A token is printed once.

mod holder;
pub(super) mod scope;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kernel::secret::Secret;
use serde_json::{Value, json};

use self::holder::{Narrow, Proof};
use self::scope::{Scope, life};
use crate::cli::client::{Client, named};
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::noun::Noun;
use crate::cli::output::{self, Column, Listing, Shape};
use crate::cli::workloads::changed;
use crate::cli::{id, style};

/// Issue, narrow and end tokens for tasks
#[derive(Debug, Args)]
pub(super) struct Tasks {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Give a workload a token for a task, and print it once
    Issue(Issue),
    /// Tasks that are in force, or ended within a day
    List,
    /// One task
    Show {
        /// Its id, the beginning of it, or `last`
        task: String,
    },
    /// End a task, and cut its sessions
    Revoke {
        /// Its id, or the beginning of it
        task: String,
        /// Why, for the audit log
        #[arg(long)]
        reason: String,
    },
    /// Sign a narrower token with the key that a token is bound to; needs no gateway
    Narrow(Narrow),
    /// Sign a DPoP proof with a key, for one request; needs no gateway
    Proof(Proof),
    /// Make a key, unless the file is there, and print its thumbprint; needs no gateway
    Key {
        /// The file
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Issue {
    /// The workload
    workload: String,
    #[command(flatten)]
    scope: Scope,
    /// What it is for, in a sentence
    #[arg(long)]
    goal: Option<String>,
    /// Why, for the audit log
    #[arg(long)]
    reason: String,
    /// How long it lives; 1h at most
    #[arg(long, value_name = "DURATION", value_parser = life, default_value = "15m")]
    life: std::time::Duration,
    /// Bind the token to the key in this file, which is made if it is not there
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

const LISTING: Listing = Listing {
    schema: "parapet.tasks/v1",
    noun: "tasks",
    id: "/id",
    columns: &[
        Column::new("ID", &["/id"]),
        Column::new("WORKLOAD", &["/workload"]),
        Column::new("STATE", &["/state"]).shape(Shape::Word),
        Column::new("GOAL", &["/goal"]),
        Column::new("EXPIRES", &["/expires_at"]).shape(Shape::Time),
        Column::new("BY", &["/issued_by"]),
        Column::new("RUN", &["/run"]).wide(),
        Column::new("COMMIT", &["/commit"]).wide(),
        Column::new("BOUND", &["/bound"]).wide(),
        Column::new("ALLOWS", &["/authorization_details"]).wide(),
    ],
};

const NOUN: Noun =
    Noun { one: "task", listing: &LISTING, empty: "parapet tasks issue WORKLOAD --goal … --reason … gives one" };

impl Tasks {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        match self.verb {
            Verb::Issue(issue) => issue.execute(globals).await?,
            Verb::List => NOUN.list(globals).await?,
            Verb::Show { task } => NOUN.show(globals, &task).await?,
            Verb::Revoke { task, reason } => {
                let task = id::read(&task)?;
                let client = Client::new(globals)?;
                output::confirm(globals, &format!("This ends {task} and cuts its sessions."))?;
                NOUN.act(&client, &task, "revoke", &reason).await?;
                changed(globals, style::Tone::Bad, &format!("{task} is revoked"), "parapet tasks list");
            }
            Verb::Narrow(narrow) => narrow.execute(globals)?,
            Verb::Proof(proof) => proof.execute()?,
            Verb::Key { file } => {
                let pair = holder::key(&file, true)?;
                output::data(&format!("{}\n", pair.public().thumbprint()));
            }
        }
        Ok(Exit::Done)
    }
}

impl Issue {
    async fn execute(self, globals: &Globals) -> Result<(), Failure> {
        let name = id::read(&self.workload)?;
        let jkt = match &self.key {
            Some(file) => Some(holder::key(file, true)?.public().thumbprint().to_owned()),
            None => None,
        };
        let details = self.scope.details(self.goal.as_deref())?;
        let wanted = wanted(&self.reason, self.life, &details, jkt.as_deref());
        let answer = Client::new(globals)?.post(&format!("/v1/workloads/{name}/tasks"), &wanted).await;
        let answer = named(answer, "workload", &name, "parapet workloads list")?;
        if globals.for_programs() {
            output::data(&output::object("parapet.task/v1", &answer));
            return Ok(());
        }
        let part = |member: &str| answer.get(member).map(output::scalar).unwrap_or_default();
        let token = Secret::new(part("token"));
        output::data(&format!("{}\n", token.expose()));
        let (id, until) = (part("id"), part("expires_at"));
        changed(
            globals,
            style::Tone::Waiting,
            &format!("{id} of {name} counts until {until}; it is not shown again"),
            &format!("parapet tasks revoke {id} --reason …"),
        );
        Ok(())
    }
}

/// The body that asks for a token.
pub(super) fn wanted(reason: &str, life: std::time::Duration, details: &Value, jkt: Option<&str>) -> Value {
    let mut wanted = json!({
        "reason": reason,
        "life_ms": u64::try_from(life.as_millis()).unwrap_or(u64::MAX),
        "authorization_details": details,
    });
    if let (Some(jkt), Some(members)) = (jkt, wanted.as_object_mut()) {
        members.insert("jkt".to_owned(), json!(jkt));
    }
    wanted
}
