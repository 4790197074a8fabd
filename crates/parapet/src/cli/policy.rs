//! `parapet policy`: checks, formats and tests policies. None of it needs a gateway.

use clap::{Args, Subcommand};
use std::path::PathBuf;

use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;

/// Check, test and format policies; needs no gateway
#[derive(Debug, Args)]
pub(super) struct Policy {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Report every mistake in the policies
    Check {
        /// Folders or files, instead of the configured folders
        paths: Vec<PathBuf>,
    },
    /// Run the tests that stand beside the policies
    Test {
        /// Folders, instead of the configured ones
        paths: Vec<PathBuf>,
        /// Only tests whose name contains this
        #[arg(short = 'k', long = "only", value_name = "TEXT")]
        only: Option<String>,
    },
    /// Bring policies into the standard form
    Fmt {
        /// Folders or files, instead of the configured folders
        paths: Vec<PathBuf>,
        /// Change nothing; exit 3 if something would change
        #[arg(long)]
        check: bool,
    },
}

impl Policy {
    pub(super) fn execute(self, _globals: &Globals) -> Result<Exit, Failure> {
        Err(Failure::new(Exit::Failed, "PAR0301", "not built yet"))
    }
}
