//! `parapet egress`: what clients of the egress gateway must know.

use clap::{Args, Subcommand};

use crate::cli::client::state_folder;
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::output;
use crate::egress;

/// What clients of the egress gateway must know
#[derive(Debug, Args)]
pub(super) struct Egress {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print the certificate of the authority that clients must trust
    #[command(after_help = "It vouches for configured HTTP upstreams only; its key stays in the state folder.")]
    Ca {
        /// With the authorities that this machine trusts, for SSL_CERT_FILE and its like
        #[arg(long)]
        bundle: bool,
    },
}

impl Egress {
    pub(super) fn execute(&self, globals: &Globals) -> Result<Exit, Failure> {
        let Verb::Ca { bundle } = self.verb;
        let state = state_folder(globals);
        let path = if bundle { egress::bundle_path(&state) } else { egress::authority_path(&state) };
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let failure = Failure::new(
                Exit::Failed,
                "PAR0301",
                format!("the egress's authority in {} cannot be read: {}", path.display(), error.kind()),
            );
            failure.help(
                "it is made when a gateway with `egress.listen` starts; name its state folder with `--state-folder`",
            )
        })?;
        output::data(&text);
        Ok(Exit::Done)
    }
}
