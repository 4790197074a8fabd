//! The command line: one file per noun, in the order of the help page.
//!
//! A command parses its arguments, asks the running gateway over the admin API (`client.rs`) or reads files, and shows
//! what it got (`output.rs`). It decides nothing. Data goes to stdout, messages to stderr, exit codes are in `exit.rs`.

mod approvals;
mod audit;
mod classes;
pub(crate) mod client;
pub(crate) mod codes;
mod completions;
mod config;
mod decide;
mod demo;
mod dev;
mod doctor;
mod egress;
mod env;
pub(crate) mod exit;
pub(crate) mod explain;
pub(crate) mod globals;
mod help;
mod id;
mod incidents;
mod man;
mod masks;
mod noun;
pub(crate) mod output;
pub(crate) mod page;
mod policy;
pub(crate) mod proof;
mod risk;
mod run;
mod serve;
mod sessions;
mod signals;
pub(crate) mod style;
mod tasks;
mod threats;
pub(crate) mod time;
mod tokens;
mod trust;
mod upstreams;
mod version;
mod workloads;
pub(crate) mod yaml;

use clap::{Parser, Subcommand};

use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;

/// Runtime guardrails for service accounts, CI jobs, bots and AI agents
#[derive(Debug, Parser)]
#[command(
    name = "parapet",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
#[command(after_help = "Exit codes, environment and output formats: `parapet help exit-codes|environment|formatting`")]
#[command(styles = style::HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Dev(dev::Dev),
    Serve(serve::Serve),
    Run(run::Run),
    Env(env::Env),
    Explain(explain::Explain),
    Decide(decide::Decide),
    Policy(policy::Policy),
    Masks(masks::Masks),
    Workloads(workloads::Workloads),
    Trust(trust::Trust),
    Upstreams(upstreams::Upstreams),
    Tasks(tasks::Tasks),
    Sessions(sessions::Sessions),
    Signals(signals::Signals),
    Incidents(incidents::Incidents),
    Threats(threats::Threats),
    Egress(egress::Egress),
    Approvals(approvals::Approvals),
    Audit(audit::Audit),
    Config(config::Config),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    Man(man::Man),
    Version(version::Version),
    Help(help::Help),
}

impl Cli {
    /// Does what was asked, and says how it ended.
    pub(crate) async fn execute(self) -> Exit {
        let Self { globals, command } = self;
        globals.apply_colour();
        match command.execute(&globals).await {
            Ok(exit) => exit,
            Err(failure) => {
                output::show_failure(&globals, &failure);
                failure.exit
            }
        }
    }
}

impl Command {
    async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        match self {
            Self::Demo(command) => command.execute(globals).await,
            Self::Dev(command) => command.execute(globals).await,
            Self::Serve(command) => command.execute(globals).await,
            Self::Run(command) => command.execute(globals).await,
            Self::Env(command) => command.execute(globals).await,
            Self::Explain(command) => command.execute(globals).await,
            Self::Decide(command) => command.execute(globals).await,
            Self::Policy(command) => command.execute(globals).await,
            Self::Masks(command) => command.execute(globals).await,
            Self::Workloads(command) => command.execute(globals).await,
            Self::Trust(command) => command.execute(globals).await,
            Self::Upstreams(command) => command.execute(globals).await,
            Self::Tasks(command) => command.execute(globals).await,
            Self::Sessions(command) => command.execute(globals).await,
            Self::Signals(command) => command.execute(globals).await,
            Self::Incidents(command) => command.execute(globals).await,
            Self::Threats(command) => command.execute(globals).await,
            Self::Egress(command) => command.execute(globals),
            Self::Approvals(command) => command.execute(globals).await,
            Self::Audit(command) => command.execute(globals).await,
            Self::Config(command) => command.execute(globals).await,
            Self::Doctor(command) => command.execute(globals).await,
            Self::Completions(command) => command.execute(),
            Self::Man(command) => command.execute(globals),
            Self::Version(command) => command.execute(globals),
            Self::Help(command) => command.execute(),
        }
    }
}

#[cfg(test)]
mod tests;
