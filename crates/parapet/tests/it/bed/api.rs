//! A gateway in front of HTTP APIs: its configuration, its issuer, and what the tests ask of it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::clients::{Ran, run, run_with};
use super::folder::{Folder, files_below};
use super::gateway::{BINARY, Gateway, Registered, identities};
use super::issuer::{self, Issuer};
use super::peer;

/// The host that clients ask for.
pub(crate) const HOST: &str = "shop.internal";
/// The workloads of the tests: `reporting` reads, `deploy` writes too, `triage-bot` is an agent.
const WORKLOADS: &[Registered] = &[
    ("triage-bot", "agent", "\"agents\"", None),
    ("reporting", "service", "", None),
    ("deploy", "ci", "\"migrations\"", None),
    ("auditor", "service", "\"pii-readers\"", None),
];

/// What a gateway of HTTP APIs is started with.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) folder: Folder,
    /// Lines of `[http]`.
    listener: String,
    /// How long a stop lets run what runs.
    drain: &'static str,
    /// The upstreams' tables, and whatever else.
    upstreams: String,
    /// A Cedar text.
    policies: String,
}

/// One that runs.
#[derive(Debug)]
pub(crate) struct ApiBed {
    // Fields drop in this order: the gateway first, the folder last.
    pub(crate) gateway: Gateway,
    pub(crate) issuer: Issuer,
    pub(crate) folder: Folder,
}

impl Api {
    /// With the base policies and no upstream yet.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            folder: Folder::new(name),
            listener: "tls = \"off\"".to_owned(),
            drain: "2s",
            upstreams: String::new(),
            policies: include_str!("../policies/http/http.cedar").to_owned(),
        }
    }

    /// With an upstream `name` at this URL that serves `HOST`, and these further keys and tables of it.
    pub(crate) fn upstream(mut self, name: &str, url: &str, also: &str) -> Self {
        let hosts = if also.contains("hosts =") { String::new() } else { format!("hosts = [\"{HOST}\"]\n") };
        self.upstreams.push_str(&format!(
            "\n[upstreams.{name}]\nprotocol = \"http\"\nurl = \"{url}\"\nenvironment = \"production\"\n{hosts}{also}\n"
        ));
        self
    }

    /// With these lines in `[http]` instead of TLS that is off.
    pub(crate) fn listener(self, listener: &str) -> Self {
        Self { listener: listener.to_owned(), ..self }
    }

    /// With so long for what runs when it is stopped.
    pub(crate) fn drain(self, drain: &'static str) -> Self {
        Self { drain, ..self }
    }

    /// With these tables besides.
    pub(crate) fn also(mut self, also: &str) -> Self {
        self.upstreams.push_str(also);
        self
    }

    /// With these policies besides.
    pub(crate) fn policies(mut self, policies: &str) -> Self {
        self.policies.push_str(policies);
        self
    }

    /// With these policies alone.
    pub(crate) fn only_policies(self, policies: &str) -> Self {
        Self { policies: policies.to_owned(), ..self }
    }

    /// Starts the gateway.
    pub(crate) fn start(self) -> ApiBed {
        let (issuer, text) = self.prepare();
        let gateway = Gateway::start_on(&self.folder.join(""), &text);
        ApiBed { gateway, issuer, folder: self.folder }
    }

    /// What `parapet config check` says of its configuration.
    pub(crate) fn check(self) -> Ran {
        let (_, text) = self.prepare();
        let file = self.folder.write("parapet.toml", &text);
        run(Command::new(BINARY)
            .args(["config", "check", "-c"])
            .arg(file)
            .env("NO_COLOR", "1")
            .env_remove("PARAPET_CONFIG"))
    }

    fn prepare(&self) -> (Issuer, String) {
        let Self { folder, listener, drain, upstreams, policies } = self;
        folder.make("state");
        folder.make("policies");
        folder.write("policies/http.cedar", policies);
        let issuer = Issuer::new(folder);
        let text = format!(
            "[gateway]\nstate = {state:?}\ndrain = \"{drain}\"\n\n[admin]\nlisten = \"127.0.0.1:0\"\n\n\
             [http]\nlisten = \"127.0.0.1:0\"\n{listener}\n\n[policies]\nfolders = [{policies:?}]\n{upstreams}\n\
             [issuers.\"{issuer_name}\"]\naudience = \"{audience}\"\njwks = \"file://{jwks}\"\n{identities}",
            state = folder.join("state"),
            policies = folder.join("policies"),
            issuer_name = issuer::NAME,
            audience = issuer::AUDIENCE,
            jwks = issuer.jwks().display(),
            identities = identities(WORKLOADS),
        );
        (issuer, text)
    }
}

impl ApiBed {
    /// Its port for HTTP.
    pub(crate) fn port(&self) -> u16 {
        self.gateway.listener("http").port()
    }

    /// A token that makes its bearer the workload, for ten minutes.
    pub(crate) fn token(&self, workload: &str) -> String {
        self.issuer.token(workload, Duration::from_secs(600))
    }

    /// Host and credential of a workload, as lines of a head.
    pub(crate) fn lines(&self, workload: &str) -> String {
        format!("Host: {HOST}\r\nAuthorization: Bearer {}\r\n", self.token(workload))
    }

    /// curl through the gateway as a workload: what follows its URL's authority, and further arguments.
    pub(crate) fn curl(&self, workload: &str, path: &str, arguments: &[&str]) -> Ran {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "240", "--noproxy", "*", "--path-as-is"]);
        command.args(["--resolve", &format!("{HOST}:{}:127.0.0.1", self.port())]);
        command.args(["-H", &format!("Authorization: Bearer {}", self.token(workload))]).args(arguments);
        command.arg(format!("http://{HOST}:{}{path}", self.port()));
        run(&mut command)
    }

    /// The steps by httpx, over HTTP/1.1 or over HTTP/2 by prior knowledge.
    pub(crate) fn httpx(&self, workload: &str, http2: bool, steps: Value) -> Option<Vec<Value>> {
        let base = format!("http://127.0.0.1:{}", self.port());
        let given = json!({"base": base, "host": HOST, "token": self.token(workload), "http2": http2, "steps": steps});
        said(peer::command("httpx_steps.py")?, &given)
    }

    /// The steps by Node's fetch.
    pub(crate) fn fetch(&self, workload: &str, steps: Value) -> Option<Vec<Value>> {
        let base = format!("http://{HOST}:{}", self.port());
        said(peer::command("fetch_steps.mjs")?, &json!({"base": base, "token": self.token(workload), "steps": steps}))
    }

    /// The decisions that the log holds: verdict and resources.
    pub(crate) fn decisions(&self) -> Vec<Value> {
        self.gateway.entries().into_iter().filter(|entry| entry.get("decision").is_some()).collect()
    }

    /// Every file below the state folder and the log, as one text of bytes: what may stand nowhere is looked for in it.
    pub(crate) fn everything_written(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = files_below(&self.folder.join("state"));
        found.push((self.folder.join("gateway.log"), self.gateway.log().into_bytes()));
        found
    }
}

/// Runs a script of peers to its end; what it says, as JSON.
pub(crate) fn said<T: serde::de::DeserializeOwned>(mut command: Command, given: &Value) -> Option<T> {
    let ran = run_with(&mut command, &given.to_string());
    assert_eq!(ran.code, 0, "{command:?}: {ran:?}");
    Some(serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}")))
}
