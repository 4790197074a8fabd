//! From what run a session comes: run, commit, workflow, actor and pod, as its attestation's issuer says, and its task. It
//! stands on every decision, and policies read it.
//!
//! It says where a proven workload came from; it never makes anybody a workload.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::task::Task;
use crate::trust::Claims;

/// From what run a session comes. Each part is absent where the attestation does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Provenance {
    /// The run, such as `github:9912/1` or `gitlab:77/1234`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Arc<str>>,
    /// The commit that it is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<Arc<str>>,
    /// The workflow or pipeline configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<Arc<str>>,
    /// Who set it off, by the issuer's own id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<Arc<str>>,
    /// The pod that it runs in: namespace, name and uid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Arc<str>>,
    /// What it was started for. An entry has it as a member of its own.
    #[serde(skip)]
    pub task: Option<Arc<Task>>,
}

impl Provenance {
    /// What verified claims say of the run (standards §1.1: GitHub Actions, GitLab CI, Kubernetes).
    pub fn of_claims(claims: &Claims) -> Self {
        let text = |name: &str| claims.get(name).map(String::as_str);
        let named = |name: &str| text(name).map(short);
        let run = match (text("run_id"), text("pipeline_id")) {
            (Some(run), _) => Some(short(&format!("github:{run}/{}", text("run_attempt").unwrap_or("1")))),
            (None, Some(pipeline)) => Some(short(&format!("gitlab:{pipeline}/{}", text("job_id").unwrap_or("0")))),
            (None, None) => None,
        };
        let pod = text("/kubernetes.io/pod/name").map(|pod| {
            let (namespace, uid) = (text("/kubernetes.io/namespace"), text("/kubernetes.io/pod/uid"));
            short(&format!("{}/{pod}/{}", namespace.unwrap_or_default(), uid.unwrap_or_default()))
        });
        Self {
            run,
            commit: named("sha"),
            workflow: named("job_workflow_ref")
                .or_else(|| named("workflow_ref"))
                .or_else(|| named("ci_config_ref_uri")),
            actor: named("actor_id").or_else(|| named("user_id")),
            pod,
            task: None,
        }
    }

    /// Does it say nothing?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Does it say nothing of a run? It may still have a task.
    pub(crate) fn names_no_run(&self) -> bool {
        let Self { run, commit, workflow, actor, pod, task: _ } = self;
        [run, commit, workflow, actor, pod].iter().all(|part| part.is_none())
    }
}

/// Fit for an entry: an issuer writes what it likes.
fn short(text: &str) -> Arc<str> {
    const LONGEST: usize = 256;
    text.chars().filter(|letter| !letter.is_control()).take(LONGEST).collect::<String>().into()
}

#[cfg(test)]
mod tests;
