//! `parapet demo`: a gateway with a database and an HTTP API of its own, on loopback, with throw-away state; and the steps that
//! show what it does. `--tour` runs them all unattended and is the end-to-end test of the first five minutes.

mod curl;
mod payments;
mod postgres;
pub(crate) mod shop;
mod steps;

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use kernel::time::Timestamp;

use crate::cli::exit::Exit;
use crate::cli::{output, time};
use crate::config::{Sources, load};
use crate::wiring::{self, Origin, Ready};
use crate::{dev_issuer, policy_test};

pub(crate) use steps::{DemoStep, run as run_step};

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

/// The state folder; deleted at the end unless it is kept.
struct State {
    folder: PathBuf,
    keep: bool,
}

impl Drop for State {
    fn drop(&mut self) {
        if !self.keep {
            // Nothing is to be done about a folder that cannot be deleted; the next start tries again.
            let _left = fs::remove_dir_all(&self.folder);
        }
    }
}

/// The starter pack, embedded so that the binary needs no files.
pub(crate) const STARTER: [(&str, &str); 6] = [
    ("agents-never-destroy.cedar", include_str!("../../../../policies/starter/agents-never-destroy.cedar")),
    ("bounded-writes.cedar", include_str!("../../../../policies/starter/bounded-writes.cedar")),
    ("hot.cedar", include_str!("../../../../policies/starter/hot.cedar")),
    ("mask-pii.cedar", include_str!("../../../../policies/starter/mask-pii.cedar")),
    ("no-exfiltration.cedar", include_str!("../../../../policies/starter/no-exfiltration.cedar")),
    ("schema-needs-dba.cedar", include_str!("../../../../policies/starter/schema-needs-dba.cedar")),
];
/// The pack's tests, so that `parapet policy test` runs in the demo as it would in a repository.
const TESTS: [(&str, &str); 3] = [
    ("tests.yaml", include_str!("../../../../policies/starter/tests.yaml")),
    ("fixtures.yaml", include_str!("../../../../policies/starter/fixtures.yaml")),
    ("schema.sql", include_str!("../../../../policies/starter/schema.sql")),
];
/// In a state folder that is kept: the next demo leaves it alone.
const KEPT: &str = "kept";
/// What the demo's own workloads may do.
const PERMITS: (&str, &str) = ("demo.cedar", include_str!("../../../../policies/starter/demo.cedar"));

/// Runs the demo until it is stopped, or through its tour.
pub(crate) async fn run(options: DemoOptions) -> anyhow::Result<Exit> {
    crate::logs::start("warn");
    clean_stale();
    let state = new_state(options.keep)?;
    let folder = state.folder.clone();
    let began = time::now();
    let (server, address) = match &options.upstream {
        Some(url) => (None, shop::Upstream::parse(url)?),
        None => {
            let password = shop::random_word()?;
            let server = postgres::Server::start(&folder, &password)?;
            let upstream = shop::create(&server, &password)?;
            (Some(server), upstream)
        }
    };
    let payments = payments::Payments::start(&folder).await?;
    prepare(&folder, &address, &payments, options.tour)?;
    let configuration = configuration(&folder)?;
    let gateway = wiring::start(configuration, origin(&folder)).await?;
    banner(gateway.ready(), &folder, server.as_ref(), &address, began);
    if options.tour {
        let tour = steps::tour(&folder).await;
        gateway.stop().await;
        payments.stop().await;
        return tour;
    }
    let ended = gateway.until_stopped().await;
    gateway.stop().await;
    payments.stop().await;
    ended?;
    if options.keep {
        output::message(&format!("stopped; the state is in {}", folder.display()));
    } else {
        output::message("stopped; nothing is left");
    }
    Ok(Exit::Done)
}

fn root() -> PathBuf {
    std::env::temp_dir()
}

/// Deletes what demos left behind whose process is gone.
fn clean_stale() {
    for entry in fs::read_dir(root()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().and_then(is_running) == Some(false) && !entry.path().join(KEPT).exists() {
            // Somebody else's folder stays.
            let _left = fs::remove_dir_all(entry.path());
        }
    }
}

/// Does the demo run that made the folder of this name? None if no demo made it.
fn is_running(name: &str) -> Option<bool> {
    let pid = name.strip_prefix("parapet-demo-")?.parse().ok()?;
    Some(rustix::process::test_kill_process(rustix::process::Pid::from_raw(pid)?).is_ok())
}

fn new_state(keep: bool) -> anyhow::Result<State> {
    let folder = root().join(format!("parapet-demo-{}", std::process::id()));
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("cannot make the state folder {}", folder.display()))?;
    if keep {
        fs::write(folder.join(KEPT), "")?;
    }
    Ok(State { folder, keep })
}

/// The port, or any other if it is taken: the first five minutes must not end at a busy port.
pub(crate) fn free_port(preferred: u16) -> u16 {
    if std::net::TcpListener::bind(("127.0.0.1", preferred)).is_ok() { preferred } else { 0 }
}

fn sources(folder: &Path) -> Sources {
    let file = folder.join("parapet.toml");
    let text = fs::read_to_string(&file).unwrap_or_default();
    Sources::text(&file.display().to_string(), folder, &text)
}

/// A configuration that Parapet wrote itself, alone: no other layer can change it.
pub(crate) fn origin(folder: &Path) -> Origin {
    let (files, folder) = (vec![folder.join("parapet.toml")], folder.to_owned());
    Origin { reread: Box::new(move || load(sources(&folder))), files }
}

pub(crate) fn configuration(folder: &Path) -> anyhow::Result<crate::config::Configuration> {
    load(sources(folder)).map_err(|problems| anyhow::anyhow!("the demo's own configuration is refused:\n{problems}"))
}

/// Writes policies, issuer, people and configuration into the state folder.
fn prepare(
    folder: &Path,
    upstream: &shop::Upstream,
    payments: &payments::Payments,
    any_port: bool,
) -> anyhow::Result<()> {
    let policies = folder.join("policies");
    fs::create_dir(&policies)?;
    for (name, text) in STARTER.into_iter().chain([PERMITS, payments::POLICIES]).chain(TESTS) {
        fs::write(policies.join(name), text)?;
    }
    dev_issuer::ensure(folder)?;
    dev_issuer::write_private(&folder.join("upstream.password"), upstream.password.as_bytes())?;
    let hash = admin_token(folder)?;
    let text = shop::configuration(folder, upstream, &hash, any_port);
    let text = text + &payments::configuration(folder, payments.address, any_port);
    fs::write(folder.join("parapet.toml"), text)?;
    Ok(())
}

/// Makes the administrator's token and keeps it in the state folder; its hash for the configuration.
pub(crate) fn admin_token(folder: &Path) -> anyhow::Result<String> {
    let token = control::Token::generate()?;
    dev_issuer::write_private(&folder.join("admin.token"), token.expose().as_bytes())?;
    Ok(token.hash().to_string())
}

fn banner(
    ready: &Ready,
    folder: &Path,
    server: Option<&postgres::Server>,
    upstream: &shop::Upstream,
    began: Timestamp,
) {
    let started = match server {
        Some(server) => format!(
            "postgres {}, started from {}   (3 tables, 10 000 rows, {} ms)",
            server.version,
            server.binary.join("postgres").display(),
            time::now().since(began).as_millis()
        ),
        None => format!("postgres at {}:{}", upstream.host, upstream.port),
    };
    let address = |listener: Option<std::net::SocketAddr>| listener.map(|it| it.to_string()).unwrap_or_default();
    let (postgres, http) = (address(ready.postgres), address(ready.http));
    let fate = if folder.join(KEPT).exists() { "kept" } else { "deleted on exit" };
    output::message(&format!(
        "parapet {}  (loopback only, state in {}, {fate})\n\n  \
         upstream   shop-db    {started}\n  \
         upstream   payments   an HTTP API, served by this process\n  \
         gateway    {postgres} postgres   {http} http\n  \
         admin      http://{}   (token in {})\n  \
         policies   pack \"starter\": {}\n\n  \
         1 mask        parapet demo run mask        select name, email, card from customers\n  \
         2 block       parapet demo run block       drop table orders\n  \
         3 approve     parapet demo run approve     alter table orders add column note text\n  \
         4 quarantine  parapet demo run quarantine  a CI job starts to dump customers\n  \
         5 http        parapet demo run http        a job refunds more than it may, over HTTP\n  \
         6 explain     parapet explain last\n\n\
         Your own client:  eval \"$(parapet env triage-bot)\" && psql\n\
         Ctrl-C stops everything.   parapet demo --tour runs 1 to 6 unattended.",
        gateway::VERSION,
        folder.display(),
        ready.admin,
        folder.join("admin.token").display(),
        pack(folder).unwrap_or_else(|| format!("{} policies", ready.policies)),
    ));
}

/// How many guardrails enforce and observe, and how their tests went.
fn pack(folder: &Path) -> Option<String> {
    let folders = [folder.join("policies")];
    let bundle = kernel::policy::Bundle::load(&policy_test::policy_files(&folders).ok()?).ok()?;
    let forbids = || bundle.policies().iter().filter(|policy| policy.forbids());
    let observed = forbids().filter(|policy| policy.observed()).count();
    let report = policy_test::run(&folders, None).ok()?;
    let (enforced, failed) = (forbids().count() - observed, report.failed());
    let failed = if failed == 0 { String::new() } else { format!(", {failed} failed") };
    let passed = report.outcomes.len() - report.failed();
    Some(format!("{enforced} enforced, {observed} observed, {}{failed}", output::count(passed, "test") + " passed"))
}

/// Is there exactly one demo running? Its state folder.
pub(crate) fn running() -> anyhow::Result<PathBuf> {
    let mut folders = all_running();
    match (folders.pop(), folders.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => bail!("several demos run; say which with `--state-folder`"),
        (None, _) => bail!("no demo runs; start one with `parapet demo`"),
    }
}

/// The state folders of every demo that runs.
pub(crate) fn all_running() -> Vec<PathBuf> {
    let entries = fs::read_dir(root()).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.join("admin.addr").is_file() && is_demo(path)).collect()
}

fn is_demo(path: &Path) -> bool {
    // What a killed demo left behind is none.
    path.file_name().and_then(|name| name.to_str()).and_then(is_running) == Some(true)
}
