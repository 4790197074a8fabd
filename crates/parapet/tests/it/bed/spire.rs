//! A real SPIRE: its server, and an agent that joined it by a token; each in the test's folder, bounded in memory, on a port of
//! its own. The agent knows processes by their user (the unix attestor).
//!
//! Everything that a test may ask for runs as the same user here, so that each process is given every SVID and picks one by
//! its id.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::clients::{Ran, run};
use super::folder::Folder;
use super::{skip, wait};

/// The trust domain.
pub(crate) const DOMAIN: &str = "spire.example";
/// Runs what follows in 4 GB of address space at most, with a Go heap that stays small.
const LIMITED: &str = "ulimit -v 4000000; export GOMEMLIMIT=300MiB; exec \"$@\"";
const NODE: &str = "spiffe://spire.example/node";

/// A server and its agent.
#[derive(Debug)]
pub(crate) struct Spire {
    agent: Option<Child>,
    server: Child,
    folder: Folder,
}

/// An X.509-SVID in files.
#[derive(Debug)]
pub(crate) struct SvidFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// The authorities of its trust domain.
    pub(crate) authorities: PathBuf,
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/it-spire/bin").join(name)
}

fn limited(name: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", LIMITED, "sh"]).arg(program(name)).stdin(Stdio::null());
    command
}

/// Starts a server on a port that was free a moment ago, and again on another if somebody took it.
fn launch(folder: &Folder) -> (Child, u16) {
    let (data, socket, log) = (folder.make("server"), folder.join("server.sock"), folder.join("server.log"));
    for _attempt in 0..5 {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let configuration = format!(
            r#"server {{
  bind_address = "127.0.0.1"
  bind_port = "{port}"
  socket_path = "{socket}"
  trust_domain = "{DOMAIN}"
  data_dir = "{data}"
  log_level = "WARN"
  ca_key_type = "ec-p256"
  jwt_key_type = "ec-p256"
  ca_ttl = "1h"
  default_x509_svid_ttl = "10m"
  default_jwt_svid_ttl = "5m"
}}
plugins {{
  DataStore "sql" {{ plugin_data {{ database_type = "sqlite3" connection_string = "{data}/entries.sqlite3" }} }}
  KeyManager "memory" {{ plugin_data {{}} }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
}}
"#,
            socket = socket.display(),
            data = data.display(),
        );
        let file = folder.write("server.conf", &configuration);
        let output = File::options().create(true).append(true).open(&log).unwrap();
        let mut command = limited("spire-server");
        command.args(["run", "-config"]).arg(file).stdout(output.try_clone().unwrap()).stderr(output);
        let mut server = command.spawn().unwrap();
        if ready("spire-server", &socket, &mut server) {
            return (server, port);
        }
    }
    panic!("the server does not start: see {}", log.display());
}

/// Waits until it answers; false if it gave up.
fn ready(name: &str, socket: &Path, child: &mut Child) -> bool {
    wait::until(name, Duration::from_secs(30), || {
        if child.try_wait().unwrap().is_some() {
            return Some(false);
        }
        let asked = run(limited(name).args(["healthcheck", "-socketPath"]).arg(socket));
        (asked.code == 0).then_some(true)
    })
}

impl Spire {
    /// Starts both; `None`, and a visible skip, if SPIRE is not there.
    pub(crate) fn start(name: &str) -> Option<Self> {
        if !program("spire-agent").is_file() || !program("spire-server").is_file() {
            skip("SPIRE is not installed (scripts/install.sh identity)");
            return None;
        }
        let folder = Folder::new(name);
        let (server, port) = launch(&folder);
        let at = |name: &str| folder.join(name).display().to_string();
        let configuration = format!(
            r#"agent {{
  data_dir = "{data}"
  log_level = "WARN"
  server_address = "127.0.0.1"
  server_port = "{port}"
  socket_path = "{socket}"
  trust_domain = "{DOMAIN}"
  trust_bundle_path = "{bundle}"
}}
plugins {{
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  KeyManager "disk" {{ plugin_data {{ directory = "{data}" }} }}
  WorkloadAttestor "unix" {{ plugin_data {{}} }}
}}
"#,
            socket = at("agent.sock"),
            data = folder.make("agent").display(),
            bundle = at("bootstrap.pem"),
        );
        folder.write("agent.conf", &configuration);
        let mut spire = Self { agent: None, server, folder };
        spire.folder.write("bootstrap.pem", &spire.server(&["bundle", "show"]).out);
        let token = spire.server(&["token", "generate", "-spiffeID", NODE, "-output", "json"]);
        let token: Value = serde_json::from_str(&token.out).unwrap();
        spire.start_agent(Some(token["value"].as_str().unwrap()));
        Some(spire)
    }

    /// Starts the agent, the first time with its token.
    pub(crate) fn start_agent(&mut self, token: Option<&str>) {
        let log = File::options().create(true).append(true).open(self.folder.join("agent.log")).unwrap();
        let mut command = limited("spire-agent");
        command.args(["run", "-config"]).arg(self.folder.join("agent.conf"));
        if let Some(token) = token {
            command.args(["-joinToken", token]);
        }
        self.agent = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        let agent = self.agent.as_mut().unwrap();
        assert!(ready("spire-agent", &self.folder.join("agent.sock"), agent), "the agent ended: see agent.log");
    }

    /// Ends the agent at once.
    pub(crate) fn kill_agent(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().unwrap();
            agent.wait().unwrap();
        }
    }

    /// The agent's socket, as the configuration has it.
    pub(crate) fn socket(&self) -> String {
        format!("unix://{}", self.folder.join("agent.sock").display())
    }

    /// Runs a command of the server.
    pub(crate) fn server(&self, arguments: &[&str]) -> Ran {
        let ran = run(limited("spire-server").args(arguments).arg("-socketPath").arg(self.folder.join("server.sock")));
        ran.assert_done();
        ran
    }

    /// Registers an id for the processes of this user; its X.509-SVIDs live for so many seconds.
    pub(crate) fn register(&self, id: &str, life: u32) {
        let user = format!("unix:uid:{}", rustix::process::getuid().as_raw());
        let life = life.to_string();
        let mut arguments = vec!["entry", "create", "-parentID", NODE, "-spiffeID", id];
        arguments.extend(["-selector", &user, "-x509SVIDTTL", &life, "-dns", "localhost"]);
        self.server(&arguments);
        // The agent asks the server every five seconds.
        wait::until(id, Duration::from_secs(30), || self.try_svid(id));
    }

    fn api(&self, arguments: &[&str]) -> Option<Value> {
        let mut command = limited("spire-agent");
        command.args(["api", "fetch"]).args(arguments).args(["-output", "json", "-timeout", "30s", "-socketPath"]);
        let ran = run(command.arg(self.folder.join("agent.sock")));
        (ran.code == 0).then(|| serde_json::from_str(&ran.out).unwrap())
    }

    fn try_svid(&self, id: &str) -> Option<Value> {
        let answer = self.api(&["x509"])?;
        answer["svids"].as_array().unwrap().iter().find(|svid| svid["spiffe_id"] == id).cloned()
    }

    /// A fresh JWT-SVID.
    pub(crate) fn jwt_svid(&self, id: &str, audience: &str) -> String {
        let answer = self.api(&["jwt", "-audience", audience, "-spiffeID", id]).unwrap();
        answer[0]["svids"][0]["svid"].as_str().unwrap().to_owned()
    }

    /// The newest X.509-SVID, in files whose names begin so.
    pub(crate) fn x509_svid(&self, id: &str, name: &str) -> SvidFiles {
        let svid = self.try_svid(id).unwrap();
        let write = |member: &str, extension: &str, label: &str| {
            let der = STANDARD.decode(svid[member].as_str().unwrap()).unwrap();
            let mut pem = String::new();
            for certificate in split(&der) {
                let text = STANDARD.encode(certificate);
                let lines: Vec<&str> =
                    text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
                pem.push_str(&format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")));
            }
            self.folder.write(&format!("{name}.{extension}"), &pem)
        };
        SvidFiles {
            certificate: write("x509_svid", "pem", "CERTIFICATE"),
            key: write("x509_svid_key", "key", "PRIVATE KEY"),
            authorities: write("bundle", "ca.pem", "CERTIFICATE"),
        }
    }

    /// Prepares a new X.509 authority, and waits until the agent has it.
    pub(crate) fn prepare_authority(&self) -> String {
        self.prepare("x509")
    }

    /// Prepares a new JWT authority.
    pub(crate) fn prepare_jwt_authority(&self) -> String {
        self.prepare("jwt")
    }

    fn prepare(&self, kind: &str) -> String {
        let ran = self.server(&["localauthority", kind, "prepare", "-output", "json"]);
        let prepared: Value = serde_json::from_str(&ran.out).unwrap();
        prepared["prepared_authority"]["authority_id"].as_str().unwrap().to_owned()
    }

    /// Signs by the prepared authority from now on.
    pub(crate) fn activate(&self, kind: &str, authority: &str) {
        self.server(&["localauthority", kind, "activate", "-authorityID", authority]);
    }
}

/// The values of a sequence of DER.
fn split(mut der: &[u8]) -> Vec<&[u8]> {
    let mut values = Vec::new();
    while !der.is_empty() {
        let length = match der[1] {
            short @ 0..=0x7f => 2 + usize::from(short),
            0x81 => 3 + usize::from(der[2]),
            0x82 => 4 + usize::from(u16::from_be_bytes([der[2], der[3]])),
            long => panic!("a length of {long:#x}"),
        };
        let (value, rest) = der.split_at(length);
        values.push(value);
        der = rest;
    }
    values
}

impl Drop for Spire {
    fn drop(&mut self) {
        self.kill_agent();
        let _gone = self.server.kill();
        let _reaped = self.server.wait();
    }
}
