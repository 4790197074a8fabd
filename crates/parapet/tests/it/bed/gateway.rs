//! The real gateway binary with a configuration of its own, on ports that it chose itself.
//!
//! Once it is ready it leaves `ports.json` in its state folder: `{"admin": "127.0.0.1:…", "postgres": "127.0.0.1:…"}`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use store::log::{ContentReader, MasterKey};

use super::clients::{Ran, run};
use super::folder::Folder;
use super::issuer::{self, Issuer};
use super::postgres::{Postgres, UPSTREAM_PASSWORD};
use super::{shop, wait};

/// The gateway's binary.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_parapet");

/// The people of the tests: name, groups, may administer.
const PEOPLE: [(&str, &str, bool); 4] = [
    ("dana@example.com", "dba", false),
    ("dirk@example.com", "dba", false),
    ("mara@example.com", "dba", false),
    ("root@example.com", "", true),
];

/// A workload: name, kind, groups, expiry. Mara owns them all.
pub(crate) type Registered = (&'static str, &'static str, &'static str, Option<&'static str>);

/// The workloads of the tests.
const WORKLOADS: &[Registered] = &[
    ("triage-bot", "agent", "\"agents\"", None),
    ("reporting", "service", "", None),
    ("deploy", "ci", "\"migrations\"", None),
    ("auditor", "service", "\"pii-readers\"", None),
    ("left-over", "service", "", Some("2026-01-01T00:00:00Z")),
];

/// What a gateway is started with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    folder: PathBuf,
    policies: Vec<PathBuf>,
    upstream_port: u16,
    authority: PathBuf,
    jwks: PathBuf,
    hold: String,
    mode: &'static str,
    disclosure: &'static str,
    upstream_tls: bool,
    /// What stands at `postgres.tls`.
    listener_tls: String,
    max_sessions: u32,
    workloads: &'static [Registered],
    classes: String,
    /// Further keys of the upstream.
    upstream_also: String,
    also: String,
}

/// The classes of the shop's columns.
const CLASSES: &str = r#"pii = ["public.customers.email", "public.customers.name"]
pci = ["public.customers.card"]"#;

impl Setup {
    /// The tests' base policies, enforced, over loopback without TLS.
    pub(crate) fn new(folder: &Folder, postgres: &Postgres, issuer: &Issuer) -> Self {
        folder.make("state");
        folder.write("upstream-password", UPSTREAM_PASSWORD);
        Self {
            folder: folder.join(""),
            policies: vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/policies/base")],
            upstream_port: postgres.port(),
            authority: postgres.authority(),
            jwks: issuer.jwks().clone(),
            hold: "20s".to_owned(),
            mode: "enforce",
            disclosure: "full",
            upstream_tls: false,
            listener_tls: "\"off\"".to_owned(),
            max_sessions: 1000,
            workloads: WORKLOADS,
            classes: CLASSES.to_owned(),
            upstream_also: String::new(),
            also: String::new(),
        }
    }

    /// With policies from this folder alone.
    pub(crate) fn policies(self, folder: &Path) -> Self {
        Self { policies: vec![folder.to_owned()], ..self }
    }

    /// A copy of the base policies that the test may change: the folder `policies`.
    pub(crate) fn own_policies(&self) -> PathBuf {
        let folder = self.folder.join("policies");
        super::folder::make(&folder, 0o700);
        for entry in fs::read_dir(&self.policies[0]).unwrap().flatten() {
            fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
        folder
    }

    /// How long a request may wait for its approval.
    pub(crate) fn hold(self, hold: &str) -> Self {
        Self { hold: hold.to_owned(), ..self }
    }

    /// Nothing is blocked, everything is recorded.
    pub(crate) fn observe(self) -> Self {
        Self { mode: "observe", ..self }
    }

    /// Refusals tell no more than the decision's id.
    pub(crate) fn discreet(self) -> Self {
        Self { disclosure: "id", ..self }
    }

    /// With so many sessions of the upstream at most.
    pub(crate) fn max_sessions(self, max_sessions: u32) -> Self {
        Self { max_sessions, ..self }
    }

    /// With something between the gateway and the server: it gets the server's port and gives its own.
    pub(crate) fn upstream_behind(self, start: impl FnOnce(u16) -> u16) -> Self {
        Self { upstream_port: start(self.upstream_port), ..self }
    }

    /// With these workloads instead.
    pub(crate) fn workloads(self, workloads: &'static [Registered]) -> Self {
        Self { workloads, ..self }
    }

    /// With these classes instead: lines of `[upstreams.*.classes]`.
    pub(crate) fn classes(self, classes: String) -> Self {
        Self { classes, ..self }
    }

    /// With these keys of the upstream besides.
    pub(crate) fn upstream_also(self, upstream_also: String) -> Self {
        Self { upstream_also, ..self }
    }

    /// With these tables besides.
    pub(crate) fn also(self, also: String) -> Self {
        Self { also: self.also + &also, ..self }
    }

    /// TLS on both sides.
    pub(crate) fn tls(self) -> Self {
        Self { upstream_tls: true, ..self.listener_tls("\"self-signed\"".to_owned()) }
    }

    /// TLS to the upstream alone.
    pub(crate) fn upstream_tls(self) -> Self {
        Self { upstream_tls: true, ..self }
    }

    /// With this at `postgres.tls`.
    pub(crate) fn listener_tls(self, listener_tls: String) -> Self {
        Self { listener_tls, ..self }
    }

    fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The configuration file.
    fn toml(&self) -> String {
        let mut text = String::new();
        let policies: Vec<String> = self.policies.iter().map(|path| format!("{path:?}")).collect();
        let upstream = if self.upstream_tls {
            format!("tls = \"verify-full\"\nca = {:?}", self.authority)
        } else {
            "tls = \"off\"".to_owned()
        };
        write!(
            text,
            r#"[gateway]
state = {state:?}
drain = "2s"

[admin]
listen = "127.0.0.1:0"

[postgres]
listen = "127.0.0.1:0"
tls = {client}

[policies]
folders = [{policies}]

[upstreams.shop-db]
address = "localhost:{port}"
database = "{database}"
environment = "production"
user = "parapet"
password = "file://{folder}/upstream-password"
{upstream}
mode = "{mode}"
disclosure = "{disclosure}"
hold = "{hold}"
max_sessions = {max_sessions}
{upstream_also}

[upstreams.shop-db.classes]
{classes}

[issuers."{issuer}"]
audience = "{audience}"
jwks = "file://{jwks}"
"#,
            state = self.state(),
            client = self.listener_tls,
            policies = policies.join(", "),
            port = self.upstream_port,
            database = shop::NAME,
            folder = self.folder.display().to_string().trim_end_matches('/'),
            mode = self.mode,
            classes = self.classes,
            disclosure = self.disclosure,
            hold = self.hold,
            max_sessions = self.max_sessions,
            upstream_also = self.upstream_also,
            issuer = issuer::NAME,
            audience = issuer::AUDIENCE,
            jwks = self.jwks.display(),
        )
        .unwrap();
        text.push_str(&identities(self.workloads));
        text.push_str(&self.also);
        text
    }
}

/// The tables of the workloads, of the rules that trust the tests' issuer for them, and of the people.
pub(crate) fn identities(workloads: &[Registered]) -> String {
    let mut text = String::new();
    for (name, kind, groups, expires) in workloads {
        let expires = expires.map(|time| format!("expires = \"{time}\"\n")).unwrap_or_default();
        // A CI job also proves from where it runs.
        let place = if *kind == "ci" { ", ref = \"refs/heads/main\"" } else { "" };
        write!(
            text,
            "\n[workloads.{name}]\nowner = \"mara@example.com\"\nkind = \"{kind}\"\nenvironment = \"production\"\n\
                 purpose = \"the tests\"\ngroups = [{groups}]\n{expires}\n[[trust]]\nworkload = \"{name}\"\n\
                 issuer = \"{}\"\nclaims = {{ sub = \"workload:{name}\"{place} }}\n",
            issuer::NAME
        )
        .unwrap();
    }
    for (name, group, admin) in PEOPLE {
        let groups = if group.is_empty() { String::new() } else { format!("\"{group}\"") };
        let hash = sha256(&token_of(name));
        let hash = hash.as_ref().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        write!(text, "\n[people.\"{name}\"]\ngroups = [{groups}]\nadmin = {admin}\ntoken_hash = \"sha256:{hash}\"\n")
            .unwrap();
    }
    text
}

/// The API token of a person, the same at each call: `ppt_`, 52 letters, and a checksum of six.
pub(crate) fn token_of(person: &str) -> String {
    let random = base32(sha256(person).as_ref(), 52);
    let check = base32(sha256(&format!("parapet token\n{random}")).as_ref(), 6);
    format!("ppt_{random}{check}")
}

fn sha256(text: &str) -> aws_lc_rs::digest::Digest {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes())
}

/// The first letters of the base 32 (RFC 4648, lower case) of bytes.
fn base32(bytes: &[u8], letters: usize) -> String {
    let bit = |place: usize| bytes.get(place / 8).map_or(0, |byte| usize::from((byte >> (7 - place % 8)) & 1));
    let letter =
        |at: usize| b"abcdefghijklmnopqrstuvwxyz234567"[(0..5).fold(0, |value, next| value * 2 + bit(at * 5 + next))];
    (0..letters).map(|at| char::from(letter(at))).collect()
}

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    folder: PathBuf,
    ports: Value,
}

impl Gateway {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(setup: Setup) -> Self {
        Self::start_on(&setup.folder, &setup.toml())
    }

    /// Starts one with this configuration, whose state is the folder `state` of this folder, and waits until it is ready.
    pub(crate) fn start_on(folder: &Path, configuration: &str) -> Self {
        fs::write(folder.join("parapet.toml"), configuration).unwrap();
        let (child, ports) = launch(folder);
        Self { child, folder: folder.to_owned(), ports }
    }

    /// The address of one of its listeners.
    pub(crate) fn listener(&self, name: &str) -> SocketAddr {
        self.ports[name].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{name}: {}", self.ports))
    }

    /// Its port for PostgreSQL clients.
    pub(crate) fn postgres(&self) -> u16 {
        self.listener("postgres").port()
    }

    /// The address of its admin API.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.listener("admin")
    }

    fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The folder of its audit log.
    pub(crate) fn audit(&self) -> PathBuf {
        self.state().join("audit")
    }

    /// What it wrote to its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("gateway.log")).unwrap()
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Runs `parapet` against it as the administrator.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Ran {
        self.cli_as("root@example.com", arguments)
    }

    /// Runs `parapet` against it as a person.
    pub(crate) fn cli_as(&self, person: &str, arguments: &[&str]) -> Ran {
        run(self.command().args(arguments).env("PARAPET_TOKEN", token_of(person)))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command
            .current_dir(&self.folder)
            .env("NO_COLOR", "1")
            .env("PARAPET_CONFIG", self.folder.join("parapet.toml"))
            .arg("--state-folder")
            .arg(self.state())
            .args(["--yes", "--no-input"]);
        command
    }

    /// The entries of the audit log, in order, read from its files, with the content that stands beside them.
    pub(crate) fn entries(&self) -> Vec<Value> {
        let mut contents = self.contents();
        let mut entries = Vec::new();
        for segment in self.segments() {
            let mut bytes = fs::read(segment).unwrap();
            // A zero is space that is reserved behind the last record, or the first byte of what is being written just now.
            bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
            bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1));
            for line in String::from_utf8(bytes).unwrap().lines() {
                // `SEQUENCE CHAIN ENTRY`
                let entry = line.splitn(3, ' ').nth(2).unwrap();
                let restored = contents.as_mut().and_then(|contents| contents.entry(entry.as_bytes()).unwrap());
                entries.push(serde_json::from_slice(restored.as_deref().unwrap_or(entry.as_bytes())).unwrap());
            }
        }
        entries
    }

    fn contents(&self) -> Option<ContentReader> {
        let master = fs::read_to_string(self.state().join("master.key")).ok()?;
        Some(ContentReader::new(&self.audit(), MasterKey::from_text(&master).unwrap()))
    }

    /// The files of the audit log, in order.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.audit()).unwrap().flatten().map(|entry| entry.path());
        let mut segments: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
        segments.sort();
        segments
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        wait::until("the gateway to stop", Duration::from_secs(60), || self.child.try_wait().unwrap())
    }

    /// Tells it to read its configuration again.
    pub(crate) fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Starts it again with the same state.
    pub(crate) fn restart(&mut self) {
        (self.child, self.ports) = launch(&self.folder);
    }

    /// Its resident memory in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        let _gone = kill_process(pid, signal);
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn launch(folder: &Path) -> (Child, Value) {
    let ports = folder.join("state/ports.json");
    // What a killed gateway left must not be taken for the answer of the new one.
    let _first_start = fs::remove_file(&ports);
    let log = File::options().create(true).append(true).open(folder.join("gateway.log")).unwrap();
    let mut child = Command::new(BINARY)
        .current_dir(folder)
        .args(["serve", "-c", "parapet.toml"])
        .env("NO_COLOR", "1")
        // Settings of tests, which the gateway would take for misspelt ones of its own.
        .env_remove("PARAPET_CANARY_SECONDS")
        .env_remove("PARAPET_CANARY_SEED")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let ports: Value = wait::until("the gateway to be ready", Duration::from_secs(60), || {
        if let Some(status) = child.try_wait().unwrap() {
            let log = fs::read_to_string(folder.join("gateway.log")).unwrap();
            panic!("the gateway ended with {status} before it was ready:\n{log}");
        }
        serde_json::from_str(&fs::read_to_string(&ports).ok()?).ok()
    });
    (child, ports)
}
