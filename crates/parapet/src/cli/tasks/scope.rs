//! What a task allows, as flags: the one object of `authorization_details` that most tasks need. Others come from a file.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kernel::task::Details;
use serde_json::{Map, Value, json};

use crate::cli::exit::Failure;
use crate::config::variable;

/// What a task allows.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct Scope {
    /// An action or a group of actions that it allows, such as read or sql:update; may repeat
    #[arg(long, value_name = "ACTION")]
    allow: Vec<String>,
    /// The resource that it allows, such as shop.public.orders
    #[arg(long, value_name = "PATH")]
    resource: Option<String>,
    /// An upstream that it allows; may repeat
    #[arg(long, value_name = "UPSTREAM")]
    upstream: Vec<String>,
    /// Rows that may leave in all
    #[arg(long, value_name = "N")]
    rows: Option<u64>,
    /// Requests that may pass in all
    #[arg(long, value_name = "N")]
    uses: Option<u64>,
    /// The run that it belongs to, such as github:9912/1; found in the variables of GitHub and GitLab
    #[arg(long = "run-id", value_name = "RUN")]
    run: Option<String>,
    /// The commit that the run is of; found there too
    #[arg(long)]
    commit: Option<String>,
    /// File with `authorization_details`, instead of the flags
    #[arg(long, value_name = "FILE", conflicts_with_all = ["allow", "resource", "upstream", "rows", "uses"])]
    details: Option<PathBuf>,
}

pub(super) fn life(text: &str) -> Result<Duration, &'static str> {
    crate::config::duration(text)
}

impl Scope {
    /// Does it say nothing?
    pub(in crate::cli) fn is_empty(&self) -> bool {
        let Self { allow, resource, upstream, rows, uses, run, commit, details } = self;
        allow.is_empty()
            && resource.is_none()
            && upstream.is_empty()
            && rows.is_none()
            && uses.is_none()
            && run.is_none()
            && commit.is_none()
            && details.is_none()
    }

    /// The details, of the run that this is, as far as a CI system says so.
    pub(in crate::cli) fn details(&self, goal: Option<&str>) -> Result<Value, Failure> {
        let mut details = self.narrowing(goal)?;
        let known = [("run", self.run.clone().or_else(run_here)), ("commit", self.commit.clone().or_else(commit_here))];
        if let Some(object) = details.get_mut(0).and_then(Value::as_object_mut) {
            for (name, value) in known {
                if let Some(value) = value {
                    object.entry(name).or_insert(json!(value));
                }
            }
        }
        checked(details)
    }

    /// The details without a run: who narrows a token does not say of which run it is.
    pub(super) fn narrowing(&self, goal: Option<&str>) -> Result<Value, Failure> {
        if let Some(file) = &self.details {
            let text = std::fs::read_to_string(file)
                .map_err(|error| Failure::usage(format!("{} cannot be read: {}", file.display(), error.kind())))?;
            let read = Details::parse(&text);
            return read.map(|details| details.value()).map_err(|error| Failure::usage(error.to_string()));
        }
        let mut object = Map::from_iter([("type".to_owned(), json!("parapet_task"))]);
        let mut limits = Map::new();
        for (name, limit) in [("rows", self.rows), ("uses", self.uses)] {
            limits.extend(limit.map(|limit| (name.to_owned(), json!(limit))));
        }
        let lists = [("actions", &self.allow), ("locations", &self.upstream)];
        object.extend(
            lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(name, list)| (name.to_owned(), json!(list))),
        );
        object.extend(self.resource.as_ref().map(|path| ("identifier".to_owned(), json!(path))));
        object.extend(goal.map(|goal| ("goal".to_owned(), json!(goal))));
        if !limits.is_empty() {
            object.insert("limits".to_owned(), Value::Object(limits));
        }
        checked(Value::Array(vec![Value::Object(object)]))
    }
}

fn checked(details: Value) -> Result<Value, Failure> {
    match Details::read(&details) {
        Ok(_) => Ok(details),
        Err(error) => {
            let failure = Failure::usage(format!("the task cannot be asked for: {error}"));
            Err(failure.help("such as `--allow read --resource shop.public.orders --goal \"backfill order status\"`"))
        }
    }
}

/// The run that this is, as GitHub Actions and GitLab CI tell their jobs.
fn run_here() -> Option<String> {
    if let Some(run) = variable("GITHUB_RUN_ID") {
        return Some(format!("github:{run}/{}", variable("GITHUB_RUN_ATTEMPT").unwrap_or_else(|| "1".to_owned())));
    }
    let pipeline = variable("CI_PIPELINE_ID")?;
    Some(format!("gitlab:{pipeline}/{}", variable("CI_JOB_ID")?))
}

fn commit_here() -> Option<String> {
    variable("GITHUB_SHA").or_else(|| variable("CI_COMMIT_SHA"))
}
