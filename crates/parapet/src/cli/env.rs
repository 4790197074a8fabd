//! `parapet env`: the variables with which a client finds the gateway, and where they come from. `run` sets the same.

use clap::Args;
use kernel::secret::Secret;
use kernel::workload::Name;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use zeroize::Zeroizing;

use crate::cli::client::{Client, encoded, named, state_folder};
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::output;
use crate::cli::tasks::{self, scope::Scope};
use crate::config::variable;
use crate::wiring;

/// Print the variables with which a workload's client finds the gateway
#[derive(Debug, Args)]
#[command(after_help = "Use it as `eval \"$(parapet env local-script)\"`. What is printed holds a credential.")]
pub(super) struct Env {
    /// The workload
    workload: String,
    #[command(flatten)]
    access: Access,
}

/// Where a workload's credential comes from, and which database it opens.
#[derive(Debug, Args)]
pub(super) struct Access {
    /// File with the workload's token, instead of PARAPET_WORKLOAD_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Upstream to open, if there are several
    #[arg(id = "on", long = "on", value_name = "UPSTREAM")]
    upstream: Option<String>,
    /// What it is for: the credential is then a token for this task alone
    #[arg(long, value_name = "GOAL")]
    task: Option<String>,
    #[command(flatten)]
    scope: Scope,
}

impl Env {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        let name = workload(&self.workload)?;
        let variables = self.access.variables(&name, globals).await?;
        output::data(&exports(&variables));
        Ok(Exit::Done)
    }
}

/// Reads a workload's name.
pub(super) fn workload(text: &str) -> Result<Name, Failure> {
    text.parse().map_err(|invalid: kernel::workload::InvalidName| Failure::usage(invalid.to_string()))
}

/// Variables for one child or one shell; the password is among them, so it has neither `Debug` nor `Display`.
pub(super) struct Variables(pub(super) Vec<(&'static str, Secret<String>)>);

impl Access {
    /// Where the gateway listens, and the workload's credential.
    pub(super) async fn variables(&self, workload: &Name, globals: &Globals) -> Result<Variables, Failure> {
        let client = Client::new(globals)?;
        let status = client.get("/v1/status").await?;
        let (postgres, egress) = (listener(&status, "postgres"), listener(&status, "egress"));
        if postgres.is_none() && egress.is_none() {
            let failure =
                Failure::new(Exit::Unreachable, "PAR0304", "the gateway has no PostgreSQL listener, and no egress");
            return Err(failure.help("set `postgres.listen` or `egress.listen` in parapet.toml"));
        }
        let token = self.credential(workload, &client, globals).await?;
        let mut variables = Vec::new();
        if let Some(egress) = egress {
            let state = state_folder(globals);
            outward(&egress, workload, &token, &crate::egress::authority_path(&state), &mut variables);
        }
        if let Some(postgres) = postgres {
            let upstream = self.upstream.clone().or_else(|| only_upstream(&status));
            inward(postgres, workload, token, upstream, &mut variables);
        }
        Ok(Variables(variables))
    }

    /// The credential: a token for the task, if one is named, or else the workload's own.
    async fn credential(&self, workload: &Name, client: &Client, globals: &Globals) -> Result<Secret<String>, Failure> {
        if self.task.is_none() && self.scope.is_empty() {
            return self.token(workload, client, globals).await;
        }
        const REASON: &str = "asked for by `run` or `env`";
        let details = self.scope.details(self.task.as_deref())?;
        // Who has an attestation exchanges it; who has none must answer for the workload.
        let answer = match self.token(workload, client, globals).await {
            Ok(attestation) => {
                let wanted = json!({ "subject_token": attestation.expose(), "authorization_details": details });
                client.post("/v1/tasks", &wanted).await
            }
            Err(_none) => {
                let wanted = tasks::wanted(REASON, Duration::from_secs(15 * 60), &details, None);
                let answer = client.post(&format!("/v1/workloads/{workload}/tasks"), &wanted).await;
                named(answer, "workload", workload.as_str(), "parapet workloads list")
            }
        }?;
        let token = answer.get("token").and_then(Value::as_str).map(|token| Secret::new(token.to_owned()));
        token.ok_or_else(|| Failure::new(Exit::Failed, "PAR0301", "the gateway gave no token"))
    }

    async fn token(&self, workload: &Name, client: &Client, globals: &Globals) -> Result<Secret<String>, Failure> {
        if let Some(file) = &self.token_file {
            let text = std::fs::read_to_string(file).map_err(|error| {
                let message = format!("the token in {} cannot be read: {}", file.display(), error.kind());
                Failure::new(Exit::NotAuthenticated, "PAR0313", message)
            })?;
            return Ok(Secret::new(text.trim_end().to_owned()));
        }
        if let Some(token) = variable("PARAPET_WORKLOAD_TOKEN") {
            return Ok(Secret::new(token));
        }
        // The development issuer signs for any name; the login would be refused without a word of why.
        let known = client.get(&format!("/v1/workloads/{workload}")).await;
        named(known, "workload", workload.as_str(), "parapet workloads list")?;
        wiring::mint_development_token(&state_folder(globals), workload)?.ok_or_else(|| {
            let failure = Failure::new(Exit::NotAuthenticated, "PAR0313", format!("there is no token for {workload}"));
            failure.help("give `--token-file`, or set PARAPET_WORKLOAD_TOKEN to an attestation of a trusted issuer")
        })
    }
}

struct Listener {
    host: String,
    port: String,
    tls: bool,
    certificate: Option<String>,
}

fn plain(text: impl Into<String>) -> Secret<String> {
    Secret::new(text.into())
}

/// What clients of PostgreSQL read.
fn inward(
    listener: Listener,
    workload: &Name,
    token: Secret<String>,
    upstream: Option<String>,
    variables: &mut Vec<(&'static str, Secret<String>)>,
) {
    variables.extend([
        ("PGHOST", plain(listener.host)),
        ("PGPORT", plain(listener.port)),
        ("PGUSER", plain(workload.to_string())),
        ("PGPASSWORD", token),
    ]);
    variables.extend(upstream.map(|upstream| ("PGDATABASE", plain(upstream))));
    match listener.certificate {
        Some(certificate) => {
            variables.push(("PGSSLMODE", plain("verify-full")));
            variables.push(("PGSSLROOTCERT", plain(certificate)));
        }
        None if listener.tls => variables.push(("PGSSLMODE", plain("require"))),
        None => variables.push(("PGSSLMODE", plain("disable"))),
    }
    // The token is the password: the client must not look for another, or offer a Kerberos ticket.
    variables.push(("PGGSSENCMODE", plain("disable")));
}

/// Whatever replaces a client's authorities is given those of this machine too; Node adds to its own.
const AUTHORITIES: [&str; 9] = [
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "npm_config_cafile",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
];

/// What clients of HTTP read: the egress as their proxy, with the token as its password, and whom to trust. Both cases of a
/// variable, since programs differ (curl reads `http_proxy` in lower case only).
fn outward(
    listener: &Listener,
    workload: &Name,
    token: &Secret<String>,
    authority: &std::path::Path,
    variables: &mut Vec<(&'static str, Secret<String>)>,
) {
    let scheme = if listener.tls { "https" } else { "http" };
    let (user, password) = (encoded(workload.as_str()), Zeroizing::new(encoded(token.expose())));
    let host = if listener.host.contains(':') { format!("[{}]", listener.host) } else { listener.host.clone() };
    let url = Zeroizing::new(format!("{scheme}://{user}:{}@{host}:{}", *password, listener.port));
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"] {
        variables.push((name, plain(url.as_str())));
    }
    for name in ["NO_PROXY", "no_proxy"] {
        variables.push((name, plain("localhost,127.0.0.1,::1")));
    }
    // Node reads the variables above only then.
    variables.push(("NODE_USE_ENV_PROXY", plain("1")));
    if authority.is_file() {
        let bundle = authority.with_file_name("bundle.pem").display().to_string();
        variables.push(("NODE_EXTRA_CA_CERTS", plain(authority.display().to_string())));
        variables.extend(AUTHORITIES.map(|name| (name, plain(bundle.as_str()))));
    }
}

fn listener(status: &Value, protocol: &str) -> Option<Listener> {
    let listeners = status.get("listeners").map(output::items).unwrap_or_default();
    let is = |listener: &&Value| listener.get("protocol").and_then(Value::as_str) == Some(protocol);
    let found = listeners.iter().find(is)?;
    let address: std::net::SocketAddr = found.get("address")?.as_str()?.parse().ok()?;
    let tls = found.get("tls").is_some_and(|tls| !matches!(tls, Value::Bool(false) | Value::Null) && tls != "off");
    let host = if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { address.ip().to_string() };
    let certificate = found.get("certificate").and_then(Value::as_str).map(str::to_owned);
    Some(Listener { host, port: address.port().to_string(), tls, certificate })
}

fn only_upstream(status: &Value) -> Option<String> {
    let upstreams = status.get("upstreams").map(output::items).unwrap_or_default();
    match upstreams.as_slice() {
        [only] => only.as_str().or_else(|| only.get("name").and_then(Value::as_str)).map(str::to_owned),
        _ => None,
    }
}

/// Lines for a POSIX shell.
fn exports(variables: &Variables) -> String {
    let line = |(name, value): &(&'static str, Secret<String>)| {
        format!("export {name}='{}'\n", value.expose().replace('\'', "'\\''"))
    };
    variables.0.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_every_value_back() {
        let variables = Variables(vec![("PGPASSWORD", Secret::new("it's $(a) `b`".to_owned()))]);
        assert_eq!(exports(&variables), "export PGPASSWORD='it'\\''s $(a) `b`'\n");
    }

    #[test]
    fn finds_the_listener() {
        let status = serde_json::json!({
            "listeners": [{ "protocol": "postgres", "address": "0.0.0.0:15432", "tls": true, "certificate": "/s/ca.pem" }],
            "upstreams": ["shop-db"],
        });
        let listener = listener(&status, "postgres").unwrap();
        assert_eq!((listener.host.as_str(), listener.port.as_str(), listener.tls), ("127.0.0.1", "15432", true));
        assert_eq!(listener.certificate.as_deref(), Some("/s/ca.pem"));
        assert_eq!(only_upstream(&status).as_deref(), Some("shop-db"));
        assert!(super::listener(&status, "egress").is_none());
    }

    #[test]
    fn the_egress_is_the_proxy_and_the_token_its_password() {
        let listener =
            Listener { host: "127.0.0.1".to_owned(), port: "18082".to_owned(), tls: false, certificate: None };
        let mut variables = Vec::new();
        let (workload, token) = ("job-1".parse().unwrap(), Secret::new("a/b+c".to_owned()));
        outward(&listener, &workload, &token, std::path::Path::new("/nowhere/ca.pem"), &mut variables);
        let value =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.expose().clone());
        assert_eq!(value("https_proxy").as_deref(), Some("http://job-1:a%2Fb%2Bc@127.0.0.1:18082"));
        assert_eq!(value("SSL_CERT_FILE"), None);
    }
}
