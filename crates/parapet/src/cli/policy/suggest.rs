//! `parapet policy suggest`: least-privilege permits, and tests, from what the audit log says was done. It reads the log's
//! files, proves them first, and changes nothing but the folder that it is told to write.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use kernel::policy::{Bundle, PolicyFile, Snapshot, SnapshotParts};
use kernel::trust::Trust;
use kernel::workload::Name;
use serde_json::{Value, json};
use store::log::VerifyError;

use super::{formatted, render_problems, run_tests};
use crate::cli::audit::log_folder;
use crate::cli::config::refused;
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::output::{self, count};
use crate::cli::serve::Layers;
use crate::cli::{style, time};
use crate::config::Configuration;
use crate::suggest::usage::{Usage, Window};
use crate::suggest::{Ground, Options, Reach, Rule, cedar, files, rules};

/// The file of the permits.
const PERMITS: &str = "suggested.cedar";

#[derive(Debug, Args)]
pub(in crate::cli) struct Suggest {
    /// For this workload alone
    #[arg(long)]
    workload: Option<String>,
    /// For this upstream alone
    #[arg(long)]
    upstream: Option<String>,
    /// From what was done since then: RFC 3339, or how long ago, such as 30d
    #[arg(long)]
    since: Option<String>,
    /// Propose a schema in place of its tables, from so many tables with the same actions on
    #[arg(long, value_name = "TABLES", value_parser = clap::value_parser!(u16).range(2..))]
    schema_from: Option<u16>,
    /// Write permits and tests into this folder, which must be empty or absent, and run the tests
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    /// Folder of the audit log, instead of the configured one
    #[arg(long, value_name = "FOLDER")]
    log: Option<PathBuf>,
    #[command(flatten)]
    layers: Layers,
}

impl Suggest {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        let configuration = match crate::config::load(self.layers.running_sources(globals)) {
            Ok(configuration) => configuration,
            Err(problems) => return Ok(refused(globals, &problems)),
        };
        if let Some(folder) = &self.into {
            must_be_free(folder)?;
        }
        let log = self.log.clone().unwrap_or_else(|| log_folder(globals));
        prove(&log)?;
        let window = Window {
            workload: self.workload.clone(),
            upstream: self.upstream.clone(),
            since: self.since.as_deref().map(time::since).transpose()?,
            learnable: learnable(&configuration),
        };
        let unreadable = |error: store::log::SearchError| Failure::new(Exit::Failed, "PAR0301", error.to_string());
        let contents = crate::audit::contents(&configuration, &log).await;
        let usage = Usage::read(&log, contents, &window).map_err(unreadable)?;
        let options = Options { schema_from: self.schema_from.map(usize::from) };
        let proposed = rules(&usage, &labels(&configuration)?, options);
        if proposed.is_empty() {
            let failure = Failure::new(Exit::Failed, "PAR0315", "the audit log holds nothing that passed");
            return Err(failure.help("let the workload do its work for a while, on an upstream that observes"));
        }
        let seen = format!("{} of the audit log{}", decisions(&usage), span(&proposed));
        let text = cedar::file(&proposed, &usage, options, &seen);
        let text = formatted(&text).unwrap_or(text);
        // What it prints must load: a name in the log must not have made it something else.
        let file = PolicyFile { name: PERMITS.into(), text: text.as_str().into() };
        if let Err(problems) = Bundle::load(std::slice::from_ref(&file)) {
            output::errors(&render_problems(&problems, &[file]));
            return Ok(Exit::Invalid);
        }
        match &self.into {
            None => {
                if globals.for_programs() {
                    output::data(&output::object("parapet.policy-suggest/v1", &view(&proposed, &usage, &text)));
                } else {
                    output::data(&text);
                    output::note(
                        globals,
                        &format!("{}; `--into FOLDER` writes it with tests", said(&proposed, &usage)),
                    );
                }
                Ok(Exit::Done)
            }
            Some(folder) => {
                let mut all = files::all(&usage, &configuration, &labels(&configuration)?);
                all.push((PERMITS, text.clone()));
                written(folder, &all)?;
                let report = run_tests(std::slice::from_ref(folder), None)?;
                let exit = if report.failed() == 0 { Exit::Done } else { Exit::Invalid };
                if globals.for_programs() {
                    let mut view = view(&proposed, &usage, &text);
                    crate::recorded::set(&mut view, "tests", report.json());
                    crate::recorded::set(&mut view, "folder", folder.display().to_string());
                    output::data(&output::object("parapet.policy-suggest/v1", &view));
                } else {
                    output::data(&report.text(globals.verbose));
                    let next =
                        format!("read {}, then add the folder to `policies.folders`", folder.join(PERMITS).display());
                    output::note(globals, &format!("{}\n  next  {next}", said(&proposed, &usage)));
                }
                Ok(exit)
            }
        }
    }
}

fn must_be_free(folder: &Path) -> Result<(), Failure> {
    let free = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    if free {
        return Ok(());
    }
    let failure = Failure::new(Exit::Conflict, "PAR0310", format!("{} is not an empty folder", folder.display()));
    Err(failure.help("name another: nothing is overwritten"))
}

/// Policies must not be made of a log that somebody has changed.
fn prove(log: &Path) -> Result<(), Failure> {
    match store::log::verify(log) {
        Ok(_verified) => Ok(()),
        Err(VerifyError::NoLog) => {
            let failure = Failure::new(Exit::Failed, "PAR0315", format!("there is no audit log in {}", log.display()));
            Err(failure.help("name its folder with `--log`, or the gateway's with `--state-folder`"))
        }
        Err(error @ VerifyError::Unreadable(_)) => Err(Failure::new(Exit::Failed, "PAR0301", error.to_string())),
        Err(error) => {
            let message = format!("{}: {error}", log.display());
            Err(Failure::new(Exit::ProofFailed, "PAR0312", message).help("parapet audit verify"))
        }
    }
}

/// The APIs, and the egress.
fn learnable(configuration: &Configuration) -> BTreeSet<Name> {
    let apis = configuration.apis.iter().map(|entry| &entry.upstream);
    let egress = configuration.egress.iter().map(|egress| &egress.upstream);
    apis.chain(egress).map(|upstream| upstream.name.clone()).collect()
}

/// What knows the labels of columns and fields: the configured upstreams, without a policy.
fn labels(configuration: &Configuration) -> Result<Snapshot, Failure> {
    let parts = SnapshotParts {
        epoch: 1,
        policies: Vec::new(),
        workloads: configuration.workloads.clone(),
        upstreams: configuration.guarded().cloned().collect(),
        trust: Trust::default(),
    };
    Snapshot::build(parts)
        .map_err(|_| Failure::new(Exit::Invalid, "PAR0405", "the classes of an upstream cannot be read"))
}

fn written(folder: &Path, files: &[(&str, String)]) -> Result<(), Failure> {
    let failed = |path: &Path, error: std::io::Error| {
        Failure::new(Exit::Failed, "PAR0301", format!("{}: {}", path.display(), error.kind()))
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

fn decisions(usage: &Usage) -> String {
    count(usize::try_from(usage.decisions).unwrap_or(usize::MAX), "decision")
}

/// From when to when.
fn span(rules: &[Rule]) -> String {
    let first = rules.iter().map(|rule| &rule.tally.first).min();
    let last = rules.iter().map(|rule| &rule.tally.last).max();
    first.zip(last).map(|(first, last)| format!(", {first} to {last}")).unwrap_or_default()
}

/// In a line for people.
fn said(rules: &[Rule], usage: &Usage) -> String {
    let permits = rules.iter().filter(|rule| rule.ground == Ground::Permitted).count();
    let open = rules.len() - permits;
    let mut text = format!("{} from {}", count(permits, "permit"), decisions(usage));
    if open > 0 {
        text.push_str(&format!("; {open} more for a person to decide"));
    }
    if !usage.denied.is_empty() {
        let denied: u64 = usage.denied.values().map(|tally| tally.count).sum();
        let denied = usize::try_from(denied).unwrap_or(usize::MAX);
        text.push_str(&format!("; {} denied, not proposed", count(denied, "request")));
    }
    style::plain(&text)
}

fn view(rules: &[Rule], usage: &Usage, cedar: &str) -> Value {
    let rule = |rule: &Rule| {
        let (reach, columns) = match &rule.reach {
            Reach::Below(_) => ("below", Vec::new()),
            Reach::Exactly(_) => ("exactly", Vec::new()),
            Reach::Parts(_, parts) => ("columns", parts.iter().map(ToString::to_string).collect()),
        };
        let resource = rule.reach.resource();
        json!({
            "id": rule.id,
            "workload": rule.workload,
            "actions": rule.actions,
            "resource": resource.to_string(),
            "kind": resource.kind,
            "reach": reach,
            "columns": columns,
            "permitted": rule.ground == Ground::Permitted,
            "denied": rule.ground == Ground::Denied,
            "count": rule.tally.count,
            "first": rule.tally.first,
            "last": rule.tally.last,
            "example": rule.tally.example,
            "would_be": rule.tally.would_be,
        })
    };
    let denied = usage.denied.iter().map(|(denied, tally)| {
        json!({
            "workload": denied.workload,
            "upstream": denied.upstream,
            "why": denied.why,
            "count": tally.count,
            "example": tally.example,
        })
    });
    json!({
        "decisions": usage.decisions,
        "incomplete": usage.cut,
        "rules": rules.iter().map(rule).collect::<Vec<_>>(),
        "denied": denied.collect::<Vec<_>>(),
        "cedar": cedar,
    })
}
