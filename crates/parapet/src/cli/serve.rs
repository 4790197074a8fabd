//! `parapet serve`: runs the gateway with a configuration.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::client;
use crate::cli::config::{self as config_command, refused};
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::output;
use crate::config::{Sources, load, variable};
use crate::wiring::{self, Origin};

/// Run the gateway
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    layers: Layers,
    /// Check the configuration and stop
    #[arg(long)]
    check: bool,
}

/// Where the configuration comes from, besides the environment and the user's and the system's files.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Layers {
    /// Configuration file, instead of ./parapet.toml
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Set one key above all files and variables, such as gateway.drain=10s; can be given again
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) settings: Vec<String>,
}

impl Layers {
    /// Reads every layer.
    pub(super) fn sources(&self) -> Sources {
        let file = self.file.clone().or_else(|| variable("PARAPET_CONFIG").map(PathBuf::from));
        Sources::discover(file.as_deref(), &self.settings)
    }

    /// Reads every layer; where no file is named and none is here, that of the `demo` or `dev` that runs now stands in.
    pub(super) fn running_sources(&self, globals: &Globals) -> Sources {
        let named = self.file.is_some() || variable("PARAPET_CONFIG").is_some();
        let generated = client::state_folder(globals).join("parapet.toml");
        if named || Path::new("parapet.toml").exists() || !generated.is_file() {
            return self.sources();
        }
        output::note(globals, &format!("the configuration is {}", generated.display()));
        Sources::discover(Some(&generated), &self.settings)
    }
}

impl Serve {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        let layers = self.layers;
        match load(layers.sources()) {
            Err(problems) => Ok(refused(globals, &problems)),
            Ok(configuration) if self.check => {
                output::data(&config_command::accepted(globals, &configuration));
                Ok(Exit::Done)
            }
            Ok(configuration) => {
                if cfg!(feature = "unaudited") {
                    output::message("✗ this build enters nothing in the audit log: it is for ./bench.sh audit alone");
                }
                let files = layers.sources().files();
                let origin = Origin { reread: Box::new(move || load(layers.sources())), files };
                wiring::serve(configuration, origin).await?;
                Ok(Exit::Done)
            }
        }
    }
}
