//! A peer of the HTTP tests: a real server as a child process, which says on its first line where it listens, and on further
//! ones what it saw. It ends when its standard input does.
//!
//! It says so into a file, before it answers: what a client has an answer to, stands there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::folder::Folder;
use super::{skip, wait};

/// Runs what follows in 4 GB of address space at most: a peer must not take the machine along.
const LIMITED: &str = "ulimit -v 8000000; exec \"$@\"";

/// A running peer.
#[derive(Debug)]
pub(crate) struct Peer {
    child: Child,
    /// The file of its lines.
    said: PathBuf,
}

/// Where a program of the HTTP tests is installed.
pub(crate) fn installed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/it-http").join(name)
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/http/peers").join(name)
}

/// The command that runs a script of `http/peers/`; `None`, and a visible skip, if what runs it is not installed.
pub(crate) fn command(name: &str) -> Option<Command> {
    let python = installed("venv/bin/python");
    if !python.exists() {
        skip("the HTTP tests' clients are not installed (scripts/install.sh http)");
        return None;
    }
    let mut command = if name.ends_with(".mjs") { Command::new("node") } else { Command::new(python) };
    command.arg(script(name));
    Some(command)
}

impl Peer {
    /// Starts a server of `http/peers/` that finds its certificate and files in this folder.
    pub(crate) fn start(name: &str, folder: &Folder) -> Option<Self> {
        let command = command(name)?;
        Some(Self::run(name, &command, &folder.join("")))
    }

    fn run(name: &str, command: &Command, folder: &Path) -> Self {
        let log = File::create(folder.join(format!("{name}.log"))).unwrap();
        let mut limited = Command::new("sh");
        limited.args(["-c", LIMITED, "sh"]).arg(command.get_program()).args(command.get_args()).arg(folder);
        let said = folder.join(format!("{name}.said"));
        let output = File::create(&said).unwrap();
        let child = limited.stdin(Stdio::piped()).stdout(output).stderr(log).spawn().unwrap();
        let peer = Self { child, said };
        wait::until(name, Duration::from_secs(60), || (!peer.lines().is_empty()).then_some(()));
        peer
    }

    /// Its whole lines so far.
    fn lines(&self) -> Vec<Value> {
        let mut bytes = fs::read(&self.said).unwrap();
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1));
        String::from_utf8(bytes).unwrap().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The port that it named so.
    pub(crate) fn port(&self, name: &str) -> u16 {
        let lines = self.lines();
        lines[0][name]
            .as_u64()
            .and_then(|port| port.try_into().ok())
            .unwrap_or_else(|| panic!("{name}: {:?}", lines[0]))
    }

    /// What it saw, in order.
    pub(crate) fn seen(&self) -> Vec<Value> {
        self.lines().split_off(1)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
