//! A peer of the HTTP tests: a real server as a child process, which says on its first line where it listens, and on further
//! ones what it saw. It ends when its standard input does.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
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
    lines: Arc<Mutex<Vec<Value>>>,
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
        let mut child = limited.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (heard, output) = (Arc::clone(&lines), BufReader::new(child.stdout.take().unwrap()));
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Ok(value) = serde_json::from_str(&line) {
                    heard.lock().unwrap().push(value);
                }
            }
        });
        let peer = Self { child, lines };
        wait::until(name, Duration::from_secs(30), || (!peer.lines.lock().unwrap().is_empty()).then_some(()));
        peer
    }

    /// The port that it named so.
    pub(crate) fn port(&self, name: &str) -> u16 {
        let lines = self.lines.lock().unwrap();
        lines[0][name]
            .as_u64()
            .and_then(|port| port.try_into().ok())
            .unwrap_or_else(|| panic!("{name}: {:?}", lines[0]))
    }

    /// What it saw, in order.
    pub(crate) fn seen(&self) -> Vec<Value> {
        self.lines.lock().unwrap()[1..].to_vec()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
