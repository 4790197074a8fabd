//! Joins the crates into a running gateway. The only file that knows every crate.

use std::path::{Path, PathBuf};

use kernel::secret::Secret;
use kernel::workload::Name;

use crate::cli::exit::Exit;
use crate::config::{Configuration, Problems};

/// Reads the configuration again, for a reload.
pub(crate) type Reread = Box<dyn Fn() -> Result<Configuration, Problems> + Send + Sync>;

/// What `demo` was asked to do.
#[derive(Clone, Debug, Default)]
pub(crate) struct DemoOptions {
    /// Use this server instead of starting one.
    pub(crate) upstream: Option<String>,
    /// Keep the state folder.
    pub(crate) keep: bool,
    /// Run all steps unattended.
    pub(crate) tour: bool,
}

/// One step of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DemoStep {
    /// A read with masked columns
    Mask,
    /// A DROP TABLE that is blocked
    Block,
    /// An UPDATE that is held, approved and run
    Approve,
    /// A dump that quarantines its workload
    Quarantine,
}

/// What `dev` was asked to do.
#[derive(Clone, Debug)]
pub(crate) struct DevOptions {
    /// `postgres://user@host/database` of each upstream.
    pub(crate) upstreams: Vec<String>,
    /// Throw the state away at the end.
    pub(crate) ephemeral: bool,
    /// The state folder.
    pub(crate) state: PathBuf,
}

/// Runs the gateway until it is stopped.
pub(crate) async fn serve(_configuration: Configuration, _reread: Reread) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}

/// Runs the demo.
pub(crate) async fn demo(_options: DemoOptions) -> anyhow::Result<Exit> {
    anyhow::bail!("not built yet")
}

/// Runs one step against the running demo.
pub(crate) async fn demo_step(_step: DemoStep, _state: &Path) -> anyhow::Result<Exit> {
    anyhow::bail!("not built yet")
}

/// Runs a gateway in front of a developer's own servers.
pub(crate) async fn dev(_options: DevOptions) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}

/// A token for a workload, signed by the development issuer of a state folder; none if it has no such issuer.
pub(crate) fn mint_development_token(_state: &Path, _workload: &Name) -> anyhow::Result<Option<Secret<String>>> {
    Ok(None)
}
