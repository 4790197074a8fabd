//! `parapet demo`: a gateway with a database of its own, on loopback, with throw-away state.

use clap::{Args, Subcommand};

use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::demo::{self, DemoOptions, DemoStep};

/// See Parapet guard a database, in one minute
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Demo {
    /// Run all steps unattended; exit 0 only if every outcome is as it should be
    #[arg(long)]
    tour: bool,
    /// Use this PostgreSQL instead of starting one, such as postgres://me@localhost/shop
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Keep the state folder
    #[arg(long)]
    keep: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run one step against the running demo
    Run {
        /// Which
        #[arg(value_enum)]
        step: DemoStep,
    },
}

impl Demo {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        match self.verb {
            Some(Verb::Run { step }) => {
                let folder = match &globals.state {
                    Some(folder) => folder.clone(),
                    None => {
                        demo::running().map_err(|why| Failure::new(Exit::Unreachable, "PAR0304", why.to_string()))?
                    }
                };
                Ok(demo::run_step(step, &folder).await?)
            }
            None => {
                let options = DemoOptions { upstream: self.upstream, keep: self.keep, tour: self.tour };
                Ok(demo::run(options).await?)
            }
        }
    }
}
