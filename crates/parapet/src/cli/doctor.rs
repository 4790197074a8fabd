//! `parapet doctor`: a line for each check, with what to do about a failure. It changes nothing but what `--fix`
//! mends, and writes nothing but what `--bundle` names; each test of an upstream is entered in the audit log.

mod bundle;
mod certificates;
mod signals;

use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use clap::Args;
use gateway::upstream::dial::{Address, Dialler};
use kernel::time::Timestamp;
use serde_json::{Value, json};

use crate::cli::client::{Client, state_folder};
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::{audit, output, time, upstreams};
use crate::config::checked::{Issuer, JwksSource, UpstreamAddress, UpstreamEntry};
use crate::config::{Configuration, load};
use crate::policy_test;

/// Check the configuration, the gateway and its surroundings
#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    layers: super::serve::Layers,
    /// Mend what is safe to mend: modes in the state folder, the address of a gateway that is gone
    #[arg(long)]
    fix: bool,
    /// Write what was found, the configuration without secrets, and what was decided lately into this new file
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
}

/// One line: check, result, fix.
fn line(check: &str, result: Result<String, (String, &str)>) -> Value {
    match result {
        Ok(detail) => json!({ "check": check, "passed": true, "detail": detail }),
        Err((detail, fix)) => json!({ "check": check, "passed": false, "detail": detail, "fix": fix }),
    }
}

/// A line that fails nothing, and should still be read.
fn warning(check: &str, detail: &str, fix: &str) -> Value {
    json!({ "check": check, "passed": true, "warning": true, "detail": detail, "fix": fix })
}

impl Doctor {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        let mut lines = if self.fix { mended(&state_folder(globals)) } else { Vec::new() };
        let configuration = match load(self.layers.running_sources(globals)) {
            Ok(configuration) => Some(configuration),
            Err(problems) => {
                let mistakes = output::count(problems.views().len(), "mistake");
                lines.push(line("configuration", Err((mistakes, "parapet config check"))));
                None
            }
        };
        if let Some(configuration) = &configuration {
            let upstreams = output::count(configuration.guarded().count(), "upstream");
            let workloads = output::count(configuration.workloads.len(), "workload");
            lines.push(line("configuration", Ok(format!("{upstreams}, {workloads}"))));
            lines.push(line("policies", policies(configuration)));
            lines.extend(configuration.issuers.iter().map(issuer));
            lines.extend(certificates::certificates(configuration, time::now()));
        }
        if cfg!(feature = "unaudited") {
            let enters = "this build enters nothing in the audit log: it is the benchmark's".to_owned();
            lines.push(line("build", Err((enters, "install a release"))));
        }
        let state = state_folder(globals);
        lines.push(line("state folder", folder(&state)));
        if state.is_dir() {
            lines.push(line("disk", disk(&state)));
        }
        lines.extend(master_key(configuration.as_ref(), &state));
        lines.push(line("audit log", log(&audit::log_folder(globals))));
        lines.push(line("file descriptors", descriptors()));
        gateway(globals, configuration.as_ref(), &mut lines).await;
        if let Some(configuration) = &configuration {
            for upstream in &configuration.upstreams {
                lines.push(bypass(upstream).await);
            }
        }
        let lines = Value::from(lines);
        let (text, passed) = upstreams::checks(&lines, globals);
        output::data(&text);
        if let Some(path) = &self.bundle {
            // Which configuration it is has been said.
            let sources = self.layers.running_sources(&Globals { quiet: true, ..globals.clone() });
            let findings = bundle::Findings { checks: &lines, sources };
            bundle::write(path, findings, globals).await?;
            output::note(globals, &format!("{} is written; read it before you send it on", path.display()));
        }
        Ok(if passed { Exit::Done } else { Exit::Failed })
    }
}

fn policies(configuration: &Configuration) -> Result<String, (String, &'static str)> {
    let fix = "parapet policy check";
    let report = policy_test::run(&configuration.policy_folders, None).map_err(|error| (error.to_string(), fix))?;
    let files = policy_test::policy_files(&configuration.policy_folders).map_err(|error| (error.to_string(), fix))?;
    let bundle =
        kernel::policy::Bundle::load(&files).map_err(|problems| (format!("{} mistakes", problems.len()), fix))?;
    match report.failed() {
        0 if report.outcomes.is_empty() => Ok(format!("{} policies, without tests", bundle.policies().len())),
        0 => Ok(format!("{} policies, {} tests passed", bundle.policies().len(), report.outcomes.len())),
        failed => Err((format!("{failed} tests failed"), "parapet policy test")),
    }
}

/// Can the keys of an issuer be had? Keys in files are read here; those behind a URL are fetched by the gateway.
fn issuer(issuer: &Issuer) -> Value {
    let check = format!("issuer {}", issuer.issuer);
    let result = match &issuer.jwks {
        JwksSource::Url(url) => Ok(format!("keys at {url}, fetched by the gateway")),
        JwksSource::Discovery(url) => Ok(format!("keys by discovery at {url}, fetched by the gateway")),
        JwksSource::File(path) => match std::fs::read(path) {
            Err(error) => Err((format!("{}: {}", path.display(), error.kind()), "the gateway's user must read it")),
            Ok(text) => {
                match serde_json::from_slice::<Value>(&text).ok().as_ref().and_then(|set| set.get("keys")?.as_array()) {
                    Some(keys) if !keys.is_empty() => {
                        Ok(format!("{} in {}", output::count(keys.len(), "key"), path.display()))
                    }
                    _ => Err((format!("{} holds no keys", path.display()), "put the issuer's JWK set there")),
                }
            }
        },
    };
    line(&check, result)
}

/// Can the upstream be reached from here without the gateway? On the gateway's own machine it must be; elsewhere it is a way
/// past every policy, so it is a warning and no failure.
async fn bypass(entry: &UpstreamEntry) -> Value {
    let check = format!("{} bypass", entry.upstream.name);
    let (address, shown) = match &entry.connection.address {
        UpstreamAddress::Tcp { host, port } => {
            (Address::Tcp { host: host.clone(), port: *port }, format!("{host}:{port}"))
        }
        UpstreamAddress::Unix(folder) => (Address::Unix(folder.join(".s.PGSQL.5432")), folder.display().to_string()),
    };
    match Dialler::new().dial(&address, Duration::from_secs(3)).await {
        Ok(_stream) => warning(
            &check,
            &format!("{shown} can be reached from here without the gateway"),
            "fine on the gateway's own machine; elsewhere let a firewall or pg_hba.conf admit the gateway alone",
        ),
        Err(_) => line(&check, Ok(format!("{shown} cannot be reached from here without the gateway"))),
    }
}

/// Mends what can be mended without a choice; a line for each change.
fn mended(state: &Path) -> Vec<Value> {
    let mut lines = Vec::new();
    for (path, mode) in [(state.to_owned(), 0o700), (state.join("admin.token"), 0o600)] {
        // A link may lead to what is not the gateway's.
        let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
        let found = metadata.permissions().mode() & 0o777;
        if metadata.is_symlink() || found & 0o077 == 0 {
            continue;
        }
        let changed = std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode));
        let said = format!("{} had mode {found:03o}, now {mode:03o}", path.display());
        let failed = |error: std::io::Error| (format!("{}: {}", path.display(), error.kind()), "run as its owner");
        lines.push(line("fix", changed.map(|()| said).map_err(failed)));
    }
    let path = state.join("admin.addr");
    let address = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse::<SocketAddr>().ok());
    // Whoever can listen there proves that no gateway does.
    if let Some(address) = address.filter(|address| std::net::TcpListener::bind(address).is_ok()) {
        let removed = std::fs::remove_file(&path);
        let failed = |error: std::io::Error| (format!("{}: {}", path.display(), error.kind()), "run as its owner");
        lines.push(line(
            "fix",
            removed.map(|()| format!("no gateway listens at {address}: {} is gone", path.display())).map_err(failed),
        ));
    }
    lines
}

fn folder(state: &Path) -> Result<String, (String, &'static str)> {
    let shown = state.display().to_string();
    let metadata = std::fs::metadata(state)
        .map_err(|error| (format!("{shown}: {}", error.kind()), "create it, or set `gateway.state`"))?;
    if metadata.permissions().mode() & 0o066 != 0 {
        return Err((format!("{shown} can be read by others"), "chmod 700 it: it holds the admin credential"));
    }
    let own = rustix::process::getuid().as_raw();
    if metadata.uid() != own && own != 0 {
        return Err((format!("{shown} belongs to another user"), "run as the user of the gateway"));
    }
    Ok(shown)
}

/// Without room the audit log takes no entries, and then everything is denied.
fn disk(state: &Path) -> Result<String, (String, &'static str)> {
    let fix = "free some space: a full disk denies everything";
    let status = rustix::fs::statvfs(state).map_err(|error| (error.to_string(), fix))?;
    let free = status.f_bavail.saturating_mul(status.f_frsize) >> 20;
    if free < 512 { Err((format!("{free} MiB free"), fix)) } else { Ok(format!("{free} MiB free")) }
}

/// How old the gateway's own master key is, and whether another waits; none where there is none yet.
fn master_key(configuration: Option<&Configuration>, state: &Path) -> Option<Value> {
    const CHECK: &str = "master key";
    if configuration.is_some_and(|configuration| configuration.audit.master_key.is_some()) {
        return Some(line(CHECK, Ok("where `audit.master_key` says".to_owned())));
    }
    let path = crate::audit::master_path(state);
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(&path).ok()?);
    let written = std::fs::metadata(&path).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let written = Timestamp::from_millis(i64::try_from(written.as_millis()).unwrap_or(i64::MAX));
    let age = time::span(time::now().since(written));
    Some(match store::log::MasterKey::from_text(&text) {
        Ok(key) if key.is_changing() => warning(CHECK, "a new one waits for the next start", "restart the gateway"),
        Ok(_) => line(CHECK, Ok(format!("in {}, {age} old", path.display()))),
        Err(error) => line(CHECK, Err((error.to_string(), "take it from a backup: without it no key opens"))),
    })
}

fn log(folder: &Path) -> Result<String, (String, &'static str)> {
    match store::log::verify(folder) {
        Ok(verified) => Ok(format!("{} entries verified", verified.entries)),
        Err(store::log::VerifyError::NoLog) => Ok("there is none yet".to_owned()),
        Err(error) => Err((error.to_string(), "parapet audit verify")),
    }
}

/// A session takes two, so that many clients need many. The gateway raises its own limit to the hard one.
fn descriptors() -> Result<String, (String, &'static str)> {
    match rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum {
        Some(limit) if limit < 4096 => {
            Err((format!("{limit} allowed"), "raise `ulimit -n`, or LimitNOFILE of the service"))
        }
        Some(limit) => Ok(format!("{limit} allowed")),
        None => Ok("no limit".to_owned()),
    }
}

async fn gateway(globals: &Globals, configuration: Option<&Configuration>, lines: &mut Vec<Value>) {
    let client = match Client::new(globals) {
        Ok(client) => client.patient(Duration::from_secs(60)),
        Err(failure) => {
            lines.push(from_failure("gateway", &failure));
            // Nothing listens yet: could it?
            lines.extend(configuration.map(free_ports).unwrap_or_default());
            return;
        }
    };
    let status = match client.get("/v1/status").await {
        Ok(status) => status,
        Err(failure) => return lines.push(from_failure("gateway", &failure)),
    };
    lines.push(line("gateway", version(&status)));
    lines.push(line("clock", clock(&status)));
    for listener in status.get("listeners").map(output::items).unwrap_or_default() {
        lines.push(listening(&listener).await);
    }
    let issuers = status.get("issuers").map(output::items).unwrap_or_default();
    lines.extend(issuers.iter().map(|keys| issuer_keys(keys, status.get("now").and_then(time::read))));
    match client.get("/v1/workloads").await {
        Ok(answer) => lines.extend(output::items(&answer).iter().filter_map(static_keys)),
        Err(failure) => lines.push(from_failure("workloads", &failure)),
    }
    lines.extend(signals::lines(&client).await);
    let upstreams = match client.get("/v1/upstreams").await {
        Ok(answer) => output::items(&answer),
        Err(failure) => return lines.push(from_failure("upstreams", &failure)),
    };
    for name in upstreams.iter().filter_map(|upstream| upstream.get("name").and_then(Value::as_str)) {
        let Ok(name) = crate::cli::id::read(name) else { continue };
        match client.post(&format!("/v1/upstreams/{name}/test"), &json!({})).await {
            Ok(answer) => {
                let checks = answer.get("checks").map_or_else(|| output::items(&answer), output::items);
                for mut check in checks {
                    if let Some(what) = check.get_mut("check") {
                        *what = Value::from(format!("{name} {}", output::scalar(what)));
                    }
                    lines.push(check);
                }
            }
            Err(failure) => lines.push(from_failure(&format!("upstream {name}"), &failure)),
        }
    }
}

/// Has the gateway the keys of an issuer, and can it refresh them?
fn issuer_keys(issuer: &Value, now: Option<kernel::time::Timestamp>) -> Value {
    const FIX: &str = "see that the gateway reaches the issuer, and that its `jwks` is right";
    let text = |member: &str| issuer.get(member).filter(|value| !value.is_null()).map(output::scalar);
    if issuer.get("svid").is_some() {
        return own_svid(text("svid"), text("failed"), text("until"));
    }
    let check = format!("issuer {} keys", text("issuer").unwrap_or_default());
    let count = |member: &str| issuer.get(member).and_then(Value::as_u64).unwrap_or(0);
    // The authorities of X.509-SVIDs are a trust domain's keys as well.
    let keys = count("keys") + count("authorities");
    let known = output::count(usize::try_from(keys).unwrap_or(usize::MAX), "key");
    let over = issuer.get("until").and_then(time::read).zip(now).is_some_and(|(until, now)| until <= now);
    match (text("failed"), text("until")) {
        (None, _) if keys == 0 => line(&check, Ok("none are known until a token comes".to_owned())),
        (None, _) => line(&check, Ok(format!("{known} known"))),
        (Some(why), Some(until)) if keys > 0 && !over => {
            warning(&check, &format!("{why}; {known} known, which serve until {until}"), FIX)
        }
        (Some(why), _) => line(&check, Err((format!("{why}; its tokens are refused"), FIX))),
    }
}

/// Has the gateway its own SVID, and does the SPIFFE agent renew it?
fn own_svid(id: Option<String>, failed: Option<String>, until: Option<String>) -> Value {
    const FIX: &str = "see that the SPIFFE agent runs, and that the gateway is registered there";
    let check = "own SVID";
    match (id.zip(until), failed) {
        (Some((id, until)), None) => line(check, Ok(format!("{id}, until {until}"))),
        (Some((id, until)), Some(why)) => warning(check, &format!("{why}; {id} serves until {until}"), FIX),
        (None, why) => line(check, Err((why.unwrap_or_else(|| "there is none".to_owned()), FIX))),
    }
}

/// A workload with native tokens has a secret that lives long.
fn static_keys(workload: &Value) -> Option<Value> {
    let count = workload.get("native_tokens").and_then(Value::as_u64).filter(|count| *count > 0)?;
    let name = workload.get("name").map(output::scalar).unwrap_or_default();
    let tokens = output::count(usize::try_from(count).unwrap_or(usize::MAX), "native token");
    Some(warning(
        &format!("workload {name}"),
        &format!("NHI7: {tokens} in force"),
        "prove it by an issuer or a certificate instead, then `parapet workloads token revoke`",
    ))
}

fn version(status: &Value) -> Result<String, (String, &'static str)> {
    let version = status.get("version").map(output::scalar).unwrap_or_default();
    let own = env!("CARGO_PKG_VERSION");
    if version == own {
        Ok(format!("version {version} answers"))
    } else {
        Err((format!("version {version}, and this is {own}"), "use the same version"))
    }
}

/// Tokens and grants expire by the gateway's clock.
fn clock(status: &Value) -> Result<String, (String, &'static str)> {
    let fix = "let NTP set the clock: tokens and grants expire by it";
    let Some(theirs) = status.get("now").and_then(time::read) else {
        return Err(("the gateway does not tell its time".to_owned(), fix));
    };
    let skew = time::now().millis().abs_diff(theirs.millis());
    if skew > 5_000 {
        return Err((format!("{skew} ms between the gateway's and this one"), fix));
    }
    if theirs.millis() < BUILT_AFTER {
        return Err((format!("it says {theirs}, before this version was made"), fix));
    }
    Ok(format!("{skew} ms between the gateway's and this one"))
}

/// 2026-01-01: no right clock shows an earlier time.
const BUILT_AFTER: i64 = 1_767_225_600_000;

async fn listening(listener: &Value) -> Value {
    let text = |member: &str| listener.get(member).map(output::scalar).unwrap_or_default();
    let (check, address) = (format!("port {}", text("protocol")), text("address"));
    let parsed: Option<SocketAddr> = address.parse().ok();
    let Some(parsed) = parsed else { return line(&check, Err((address, "use the same version"))) };
    let host = if parsed.ip().is_unspecified() { "127.0.0.1".to_owned() } else { parsed.ip().to_string() };
    let dialled = Dialler::new().dial(&Address::Tcp { host, port: parsed.port() }, Duration::from_secs(3)).await;
    let fix = "a firewall on this machine may keep clients from it";
    line(&check, dialled.map(|_stream| format!("{address} answers")).map_err(|error| (error.to_string(), fix)))
}

/// Are the configured ports free?
fn free_ports(configuration: &Configuration) -> Vec<Value> {
    let postgres = configuration.postgres.as_ref().map(|listener| ("port postgres", listener.listen));
    let ports = [Some(("port admin", configuration.admin.listen)), postgres];
    let check = |(check, address): (&str, SocketAddr)| {
        let bound = std::net::TcpListener::bind(address);
        let fix = "stop what listens there, or configure another port";
        line(
            check,
            bound.map(|_free| format!("{address} is free")).map_err(|error| (format!("{address}: {error}"), fix)),
        )
    };
    ports.into_iter().flatten().map(check).collect()
}

fn from_failure(check: &str, failure: &Failure) -> Value {
    json!({ "check": check, "passed": false, "detail": failure.message, "fix": failure.help })
}
