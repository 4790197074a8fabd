//! `parapet completions`: a script for the shell, made from the same command tree as the help pages.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::exit::{Exit, Failure};
use crate::cli::{Cli, output};

/// Print a completion script for a shell
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn execute(self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "parapet", &mut script);
        output::data(&String::from_utf8_lossy(&script));
        Ok(Exit::Done)
    }
}
