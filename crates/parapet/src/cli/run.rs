//! `parapet run`: runs a command as a workload. The gateway's address and the credential are set for the child alone;
//! signals are forwarded; the child's exit code is returned; what was denied or held is said at the end.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use clap::Args;
use kernel::time::Timestamp;
use kernel::workload::Name;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::client::{Client, encoded};
use crate::cli::env::{Access, workload};
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::style::{Styled, Tone};
use crate::cli::{output, page, style, time};

/// Run a command as a workload, through the gateway
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The workload
    #[arg(long = "as", value_name = "WORKLOAD")]
    workload: String,
    /// Exit 5 if something was denied and 6 if something was held, whatever the command says
    #[arg(long)]
    map_denied: bool,
    #[command(flatten)]
    access: Access,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<std::ffi::OsString>,
}

impl Run {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        let name = workload(&self.workload)?;
        wait_for_gateway(globals).await?;
        let variables = self.access.variables(&name, globals).await?;
        let began = time::now();
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(Failure::usage("there is no command after `--`"));
        };
        let mut command = command(program);
        command.args(arguments).kill_on_drop(true);
        for (variable, value) in &variables.0 {
            command.env(variable, value.expose());
        }
        // What the child is must not also be able to administer the gateway.
        command.env_remove("PARAPET_TOKEN").env_remove("PARAPET_WORKLOAD_TOKEN");
        // Before there is a child: a signal that came between would end `run` and leave the child without a parent.
        let signals = Signals::new()?;
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Err(not_started(program, &error)),
        };
        drop(variables);
        let status = supervise(child, signals).await?;
        let summary = summary(&name, began, globals).await;
        Ok(report(globals, self.map_denied, status, summary))
    }
}

#[expect(clippy::disallowed_methods, reason = "running a command is what `parapet run` is for")]
fn command(program: &std::ffi::OsStr) -> tokio::process::Command {
    tokio::process::Command::new(program)
}

/// The shell's rule: 127 for what is not there, 126 for what cannot be run.
fn not_started(program: &std::ffi::OsStr, error: &std::io::Error) -> Failure {
    let program = style::plain(&program.to_string_lossy());
    let (code, why) = match error.kind() {
        std::io::ErrorKind::NotFound => (127, "there is no such command".to_owned()),
        kind => (126, format!("it cannot be executed: {kind}")),
    };
    Failure::new(Exit::Child(code), "PAR0301", format!("`{program}`: {why}"))
}

/// CI starts the gateway and the job at once: the job waits.
async fn wait_for_gateway(globals: &Globals) -> Result<(), Failure> {
    let mut waited = Duration::ZERO;
    let patience = globals.timeout.unwrap_or(Duration::from_secs(30));
    loop {
        let failure = match Client::new(globals) {
            Ok(client) => match client.get("/v1/status").await {
                Ok(_status) => return Ok(()),
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        if failure.exit != Exit::Unreachable || waited >= patience {
            return Err(failure);
        }
        if waited.as_secs().is_multiple_of(15) && waited.subsec_millis() == 0 {
            output::note(globals, &format!("{} s  waiting for the gateway", waited.as_secs()));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
        waited += Duration::from_millis(250);
    }
}

/// Waits for the child, and passes on what a supervisor sends. On a terminal Ctrl-C reaches the child by itself, as it is
/// in the same process group: it is only kept from ending us before the child.
async fn supervise(mut child: tokio::process::Child, signals: Signals) -> Result<ExitStatus, Failure> {
    use std::io::IsTerminal as _;
    let on_terminal = std::io::stdin().is_terminal();
    let Signals { mut interrupt, mut quit, mut terminate, mut hangup, mut user1, mut user2 } = signals;
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    loop {
        let forwarded = tokio::select! {
            status = child.wait() => return Ok(status?),
            Some(()) = next(&mut interrupt) => (!on_terminal).then_some(rustix::process::Signal::INT),
            Some(()) = next(&mut quit) => (!on_terminal).then_some(rustix::process::Signal::QUIT),
            Some(()) = next(&mut terminate) => Some(rustix::process::Signal::TERM),
            Some(()) = next(&mut hangup) => Some(rustix::process::Signal::HUP),
            Some(()) = next(&mut user1) => Some(rustix::process::Signal::USR1),
            Some(()) = next(&mut user2) => Some(rustix::process::Signal::USR2),
        };
        if let (Some(pid), Some(signal)) = (pid, forwarded) {
            // The child may be gone in this very moment; `wait` then says so.
            let _gone = rustix::process::kill_process(pid, signal);
        }
    }
}

/// What a supervisor sends. Each is caught from here on.
struct Signals {
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
    hangup: Signal,
    user1: Signal,
    user2: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }
}

async fn next(signal: &mut Signal) -> Option<()> {
    signal.recv().await
}

/// The shell's rule: the code, or 128 and the signal.
fn child_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// What the gateway says that it denied and held.
#[derive(Debug, Default)]
struct Summary {
    denied: Vec<String>,
    held: Vec<String>,
}

async fn summary(workload: &Name, began: Timestamp, globals: &Globals) -> Result<Summary, Failure> {
    let query = format!("/v1/audit?kind=decision&workload={}&since={}", encoded(workload.as_str()), began.millis());
    let answer = Client::new(globals)?.get(&query).await?;
    let mut summary = Summary::default();
    for entry in output::items(&answer) {
        let entry = entry.get("entry").unwrap_or(&entry);
        match entry.get("verdict").and_then(Value::as_str) {
            Some("deny") => summary.denied.push(line(entry)),
            Some("ask") => summary.held.push(line(entry)),
            _ => {}
        }
    }
    Ok(summary)
}

fn line(entry: &Value) -> String {
    let part = |pointer: &str| entry.pointer(pointer).map(output::scalar).unwrap_or_default();
    let policy = entry.pointer("/reason/policy").or_else(|| entry.pointer("/by/policy")).map(output::scalar);
    let by = policy.map(|policy| format!("by \"{policy}\"")).unwrap_or_default();
    let verb = entry.pointer("/operations/0/verb").or_else(|| entry.pointer("/operations/0/action"));
    let verb = verb.map(output::scalar).unwrap_or_default();
    match part("/operations/0/resource") {
        // What cannot be understood asks for nothing in particular.
        resource if resource.is_empty() => {
            let why = page::undecidable(entry).map(|why| format!(" ({})", why.code())).unwrap_or_default();
            format!("cannot decide{why}  {}", part("/decision"))
        }
        resource => format!("{verb} on {resource}  {by}  {}", part("/decision")),
    }
}

fn report(globals: &Globals, map_denied: bool, status: ExitStatus, summary: Result<Summary, Failure>) -> Exit {
    let child = Exit::Child(child_code(status));
    let summary = match summary {
        Ok(summary) => summary,
        Err(failure) => {
            output::note(globals, &format!("parapet: the summary is missing: {}", failure.message));
            // Asked to report denials and unable to: that must not look like none.
            return if map_denied && status.success() { Exit::Unreachable } else { child };
        }
    };
    for (tone, word, lines) in [(Tone::Bad, "denied", &summary.denied), (Tone::Waiting, "held", &summary.held)] {
        if !lines.is_empty() {
            output::note(
                globals,
                &format!("parapet: {}", Styled(tone, format!("{}{} {word}", tone.mark(), lines.len()))),
            );
            for line in lines.iter().take(10) {
                output::note(globals, &format!("  {line}"));
            }
        }
    }
    match (map_denied, summary.denied.is_empty(), summary.held.is_empty()) {
        (true, false, _) => Exit::Denied,
        (true, true, false) => Exit::NotApproved,
        _ => child,
    }
}
