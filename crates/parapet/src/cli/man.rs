//! `parapet man`: manual pages, made from the same command tree as the help pages.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};

use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::{Cli, output};

/// Write manual pages: parapet.1, and one for each command
#[derive(Debug, Args)]
pub(super) struct Man {
    /// Where to, such as ~/.local/share/man/man1
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

impl Man {
    pub(super) fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(Exit::Failed, "PAR0301", format!("{}: {}", self.folder.display(), error.kind()))
        };
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        clap_mangen::generate_to(Cli::command(), &self.folder).map_err(failed)?;
        output::note(globals, &format!("man --local-file {}", self.folder.join("parapet.1").display()));
        Ok(Exit::Done)
    }
}
