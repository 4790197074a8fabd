//! `parapet dev`: a gateway in front of a developer's own servers. Two workloads may do everything; every forbid of the
//! starter pack observes only, so nothing is blocked yet, and what would have been is recorded.

mod traffic;

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::cli::{client, output};
use crate::demo::shop::Upstream;
use crate::{demo, dev_issuer, wiring};

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

const WORKLOADS: [(&str, &str); 2] = [("local-script", "service"), ("local-agent", "agent")];

const PERMITS: &str = r#"// Written by `parapet dev`: the two local workloads may do everything.
@id("dev-permits")
permit (
  principal,
  action,
  resource
)
when { ["local-script", "local-agent"].contains(principal.name) };
"#;

/// Runs until stopped.
pub(crate) async fn run(options: DevOptions) -> anyhow::Result<()> {
    crate::logs::start("warn");
    let state = options.state;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&state)
        .with_context(|| format!("cannot make the state folder {}", state.display()))?;
    let upstreams = prepare(&state, &options.upstreams)?;
    let configuration = demo::configuration(&state)?;
    let log = configuration.audit.folder.clone();
    let gateway = wiring::start(configuration, demo::origin(&state)).await?;
    let ready = gateway.ready();
    let postgres = ready.postgres.map(|address| address.to_string()).unwrap_or_default();
    banner(&state, &ready.admin.to_string(), &postgres, &upstreams);
    let suggest = format!("parapet {}policy suggest", named(&state));
    let ended = tokio::select! {
        ended = gateway.until_stopped() => ended,
        () = traffic::follow(log, &suggest) => Ok(()),
    };
    gateway.stop().await;
    ended?;
    if options.ephemeral {
        fs::remove_dir_all(&state)?;
        output::message("stopped; nothing is left");
    } else {
        output::message(&format!("stopped; the state stays in {}", state.display()));
    }
    Ok(())
}

/// How commands are told of a state folder that is not the usual one.
fn named(state: &Path) -> String {
    let default = client::development_folder().as_deref() == Some(state);
    if default { String::new() } else { format!("--state-folder {} ", state.display()) }
}

fn banner(state: &Path, admin: &str, postgres: &str, upstreams: &[String]) {
    let mut text = format!(
        "parapet {}  (nothing is blocked yet: every forbid observes)\n\n  gateway    {postgres} postgres\n  admin      \
         http://{admin}\n  state      {}\n  policies   {}\n",
        gateway::VERSION,
        state.display(),
        state.join("policies").display(),
    );
    let folder = named(state);
    for (workload, kind) in WORKLOADS {
        text.push_str(&format!("\n  {workload} ({kind})\n"));
        for upstream in upstreams {
            text.push_str(&format!("    postgres://{workload}@{postgres}/{upstream}\n"));
        }
        text.push_str(&format!("    eval \"$(parapet {folder}env {workload})\" && psql   (sets the password, too)\n"));
    }
    text.push_str(&format!(
        "\nWhat would have been blocked:  parapet {folder}audit search,  parapet {folder}explain last\nCtrl-C stops it."
    ));
    output::message(&text);
}

/// Writes the state folder; the names of the upstreams.
fn prepare(state: &Path, urls: &[String]) -> anyhow::Result<Vec<String>> {
    let policies = state.join("policies");
    fs::create_dir_all(&policies)?;
    fs::write(policies.join("dev.cedar"), PERMITS)?;
    for (name, text) in demo::STARTER {
        fs::write(policies.join(name), observing(text))?;
    }
    dev_issuer::ensure(state)?;
    let hash = demo::admin_token(state)?;
    let (admin, postgres) = (demo::free_port(18000), demo::free_port(15432));
    let mut text = format!(
        "[gateway]\nstate = \"{0}\"\npublic_url = \"http://127.0.0.1:{admin}\"\n\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n\n\
         [postgres]\nlisten = \"127.0.0.1:{postgres}\"\ntls = \"off\"\n\n[policies]\nfolders = [\"{0}/policies\"]\n\n\
         [issuers.\"{1}\"]\naudience = \"{2}\"\nalgorithms = [\"ES256\"]\njwks = \"file://{3}\"\n\n\
         [people.\"developer@localhost\"]\ngroups = [\"dba\"]\nadmin = true\ntoken_hash = \"{hash}\"\n",
        state.display(),
        dev_issuer::ISSUER,
        dev_issuer::AUDIENCE,
        dev_issuer::jwks_path(state).display(),
    );
    let mut names: Vec<String> = Vec::new();
    for url in urls {
        let upstream = Upstream::parse(url)?;
        let name = format!("{}-db", upstream.database.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-"));
        if names.contains(&name) {
            bail!(
                "two upstreams have the database `{}`; run a `dev` for each, with `--state-folder`",
                upstream.database
            );
        }
        let secret = state.join(format!("{name}.password"));
        dev_issuer::write_private(&secret, upstream.password.as_bytes())?;
        let password = if upstream.password.is_empty() {
            String::new()
        } else {
            format!("password = \"file://{}\"\n", secret.display())
        };
        text.push_str(&format!(
            "\n[upstreams.{name}]\nprotocol = \"postgres\"\naddress = \"{}:{}\"\ndatabase = \"{}\"\n\
             environment = \"development\"\nuser = \"{}\"\n{password}tls = \"off\"\n",
            upstream.host, upstream.port, upstream.database, upstream.user
        ));
        names.push(name);
    }
    for (name, kind) in WORKLOADS {
        text.push_str(&format!(
            "\n[workloads.{name}]\nowner = \"owner@localhost\"\nkind = \"{kind}\"\nenvironment = \"development\"\n\
             purpose = \"local development\"\n\n[[trust]]\nworkload = \"{name}\"\nissuer = \"{}\"\nclaims = {{ sub = \"{name}\" }}\n",
            dev_issuer::ISSUER
        ));
    }
    fs::write(state.join("parapet.toml"), text)?;
    Ok(names)
}

/// The pack with `@observe` on every forbid. Masks are suspended, too: a developer looks at their own data.
fn observing(pack: &str) -> String {
    pack.lines()
        .map(|line| if line.starts_with("@id(") { format!("@observe\n{line}\n") } else { format!("{line}\n") })
        .collect()
}
