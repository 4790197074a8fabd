//! `parapet doctor`: a line for each check, with what to do about a failure. It changes nothing.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::client::{Client, state_folder};
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::{audit, output, upstreams};
use crate::config::{Configuration, load};
use crate::policy_test;

/// Check the configuration, the gateway and its surroundings
#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    layers: super::serve::Layers,
}

/// One line: check, result, fix.
fn line(check: &str, result: Result<String, (String, &str)>) -> Value {
    match result {
        Ok(detail) => json!({ "check": check, "passed": true, "detail": detail }),
        Err((detail, fix)) => json!({ "check": check, "passed": false, "detail": detail, "fix": fix }),
    }
}

impl Doctor {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        let mut lines = Vec::new();
        match load(self.layers.sources()) {
            Ok(configuration) => {
                lines.push(line("configuration", Ok(format!("{} upstreams", configuration.upstreams.len()))));
                lines.push(line("policies", policies(&configuration)));
            }
            Err(problems) => {
                let count = problems.views().len();
                lines.push(line("configuration", Err((format!("{count} mistakes"), "parapet config check"))));
            }
        }
        let state = state_folder(globals);
        lines.push(line("state folder", folder(&state)));
        if state.is_dir() {
            lines.push(line("disk", disk(&state)));
        }
        lines.push(line("audit log", log(&audit::log_folder(globals))));
        lines.push(line("file descriptors", descriptors()));
        gateway(globals, &mut lines).await;
        let (text, passed) = upstreams::checks(&Value::from(lines), globals);
        output::data(&text);
        Ok(if passed { Exit::Done } else { Exit::Failed })
    }
}

fn policies(configuration: &Configuration) -> Result<String, (String, &'static str)> {
    let fix = "parapet policy check";
    let report = policy_test::run(&configuration.policy_folders, None).map_err(|error| (error.to_string(), fix))?;
    let files = policy_test::policy_files(&configuration.policy_folders).map_err(|error| (error.to_string(), fix))?;
    let bundle =
        kernel::policy::Bundle::load(&files).map_err(|problems| (format!("{} mistakes", problems.len()), fix))?;
    match report.failed() {
        0 => Ok(format!("{} policies, {} tests passed", bundle.policies().len(), report.outcomes.len())),
        failed => Err((format!("{failed} tests failed"), "parapet policy test")),
    }
}

fn folder(state: &Path) -> Result<String, (String, &'static str)> {
    let shown = state.display().to_string();
    let metadata = std::fs::metadata(state)
        .map_err(|error| (format!("{shown}: {}", error.kind()), "create it, or set `gateway.state`"))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err((format!("{shown} can be read by others"), "chmod 700 it: it holds the admin credential"));
    }
    let own = rustix::process::getuid().as_raw();
    if metadata.uid() != own && own != 0 {
        return Err((format!("{shown} belongs to another user"), "run as the user of the gateway"));
    }
    Ok(shown)
}

/// Without room the audit log takes no entries, and then everything is denied.
fn disk(state: &Path) -> Result<String, (String, &'static str)> {
    let fix = "free some space: a full disk denies everything";
    let status = rustix::fs::statvfs(state).map_err(|error| (error.to_string(), fix))?;
    let free = status.f_bavail.saturating_mul(status.f_frsize) >> 20;
    if free < 512 { Err((format!("{free} MiB free"), fix)) } else { Ok(format!("{free} MiB free")) }
}

fn log(folder: &Path) -> Result<String, (String, &'static str)> {
    match store::log::verify(folder) {
        Ok(verified) => Ok(format!("{} entries verified", verified.entries)),
        Err(store::log::VerifyError::NoLog) => Ok("there is none yet".to_owned()),
        Err(error) => Err((error.to_string(), "parapet audit verify")),
    }
}

/// A session takes two, so that many clients need many.
fn descriptors() -> Result<String, (String, &'static str)> {
    match rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        Some(limit) if limit < 4096 => {
            Err((format!("{limit} allowed"), "raise `ulimit -n`, or LimitNOFILE of the service"))
        }
        Some(limit) => Ok(format!("{limit} allowed")),
        None => Ok("no limit".to_owned()),
    }
}

async fn gateway(globals: &Globals, lines: &mut Vec<Value>) {
    let client = match Client::new(globals) {
        Ok(client) => client.patient(Duration::from_secs(60)),
        Err(failure) => return lines.push(from_failure("gateway", &failure)),
    };
    match client.get("/v1/status").await {
        Ok(status) => {
            let version = status.get("version").map(output::scalar).unwrap_or_default();
            let own = env!("CARGO_PKG_VERSION");
            let result = if version.is_empty() || version == own {
                Ok("answers".to_owned())
            } else {
                Err((format!("version {version}, and this is {own}"), "use the same version"))
            };
            lines.push(line("gateway", result));
        }
        Err(failure) => return lines.push(from_failure("gateway", &failure)),
    }
    let upstreams = match client.get("/v1/upstreams").await {
        Ok(answer) => output::items(&answer),
        Err(failure) => return lines.push(from_failure("upstreams", &failure)),
    };
    for name in upstreams.iter().filter_map(|upstream| upstream.get("name").and_then(Value::as_str)) {
        let Ok(name) = crate::cli::id::read(name) else { continue };
        match client.post(&format!("/v1/upstreams/{name}/test"), &json!({})).await {
            Ok(answer) => {
                let checks = answer.get("checks").map_or_else(|| output::items(&answer), output::items);
                for mut check in checks {
                    if let Some(what) = check.get_mut("check") {
                        *what = Value::from(format!("{name} {}", output::scalar(what)));
                    }
                    lines.push(check);
                }
            }
            Err(failure) => lines.push(from_failure(&format!("upstream {name}"), &failure)),
        }
    }
}

fn from_failure(check: &str, failure: &Failure) -> Value {
    json!({ "check": check, "passed": false, "detail": failure.message, "fix": failure.help })
}
