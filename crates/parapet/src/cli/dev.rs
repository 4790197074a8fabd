//! `parapet dev`: a gateway in front of a developer's own servers, which blocks nothing yet.

use clap::Args;

use crate::cli::client;
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::dev::{self, DevOptions};

/// Put Parapet in front of your own database; nothing is blocked yet
#[derive(Debug, Args)]
pub(super) struct Dev {
    /// A server to guard, such as postgres://me@localhost/shop; can be given again
    #[arg(long = "upstream", value_name = "URL", required = true)]
    upstreams: Vec<String>,
    /// Throw the state away at the end
    #[arg(long)]
    ephemeral: bool,
}

impl Dev {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        let state = globals.state.clone().or_else(client::development_folder);
        let state = state.ok_or_else(|| {
            Failure::usage("there is no folder for the state")
                .help("set HOME or XDG_STATE_HOME, or give `--state-folder`")
        })?;
        dev::run(DevOptions { upstreams: self.upstreams, ephemeral: self.ephemeral, state }).await?;
        Ok(Exit::Done)
    }
}
