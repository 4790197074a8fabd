//! `parapet version`.

use clap::Args;
use serde_json::json;

use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::output;

/// Show the version
#[derive(Debug, Args)]
pub(super) struct Version;

impl Version {
    pub(super) fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        let version = if cfg!(feature = "unaudited") {
            concat!(env!("CARGO_PKG_VERSION"), "+unaudited")
        } else {
            env!("CARGO_PKG_VERSION")
        };
        output::data(&if globals.for_programs() {
            output::object("parapet.version/v1", &json!({ "version": version, "target": std::env::consts::ARCH }))
        } else {
            format!("parapet {version}\n")
        });
        Ok(Exit::Done)
    }
}
