//! `parapet doctor`: a line for each check, with what to do about a failure.

use clap::Args;

use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;

/// Check the configuration, the gateway and its surroundings
#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    layers: super::serve::Layers,
}

impl Doctor {
    pub(super) async fn execute(self, _globals: &Globals) -> Result<Exit, Failure> {
        let _ = self.layers;
        Err(Failure::new(Exit::Failed, "PAR0301", "not built yet"))
    }
}
