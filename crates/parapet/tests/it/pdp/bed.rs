//! A gateway with a decision point, and the stock programs that ask it. They listen on Unix sockets of the test's folder.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::bed::api::{Api, ApiBed};
use crate::bed::clients::run_with;
use crate::bed::{skip, wait};

/// The token by which the tests' callers prove themselves.
pub(super) const TOKEN: &str = "the-callers-own-token";

/// A table of `[pdp]` without TLS, with a caller that may do everything.
pub(super) fn pdp(caller: &str) -> String {
    let hash = digest(&SHA256, TOKEN.as_bytes());
    let hash = hash.as_ref().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    format!(
        "\n[pdp]\nlisten = \"127.0.0.1:0\"\ntls = \"off\"\nsubjects = [\"user\"]\n\n[pdp.callers.tests]\n\
         token_hash = \"sha256:{hash}\"\nmay = [\"evaluate\", \"search\", \"request\", \"check\"]\ndisclosure = \"full\"\n{caller}\n"
    )
}

/// The HTTP API of the tests, which nothing serves: whoever asks is its gateway.
pub(super) fn shop(name: &str) -> Api {
    Api::new(name)
        .upstream(
            "shop",
            "http://127.0.0.1:9",
            "unlisted = \"deny\"\n\n[[upstreams.shop.endpoints]]\nmethod = \"GET\"\npath = \"/v1/things/{id}\"\n\n\
             [[upstreams.shop.endpoints]]\nmethod = \"POST\"\npath = \"/v1/things\"\n\n\
             [[upstreams.shop.endpoints]]\nmethod = \"POST\"\npath = \"/v1/refunds\"\nbody = { amount = \"$.amount\" }\n\n\
             [[upstreams.shop.endpoints]]\nmethod = \"DELETE\"\npath = \"/v1/things/{id}\"\n",
        )
        .policies(
            "\n@id(\"small-refunds\") forbid (principal, action == Action::\"http:POST\", resource == Endpoint::\"shop/v1/refunds\")\n\
             unless { context.amounts.hasTag(\"amount\") && context.amounts.getTag(\"amount\") <= 100 };\n\
             @id(\"things-ask\") @approve(\"dba\") forbid (principal == Workload::\"deploy\", action == Action::\"http:POST\",\n\
             resource == Endpoint::\"shop/v1/things\");\n",
        )
}

/// What came back.
#[derive(Debug)]
pub(super) struct Came {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Came {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The value of a header, if it stands there once.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.head.lines().filter_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then_some(value.trim())
        });
        let first = found.next();
        assert_eq!(found.next(), None, "{name} stands twice: {self:?}");
        first
    }
}

/// curl with these arguments; what comes after the last head is the body.
pub(super) fn curl(arguments: &[&str], body: &str) -> Came {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "30", "--noproxy", "*", "--path-as-is", "-i", "--http1.1"]).args(arguments);
    if !body.is_empty() {
        command.args(["--data-binary", "@-"]);
    }
    let ran = run_with(&mut command, body);
    ran.assert_done();
    let (head, body) = ran.out.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{ran:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{ran:?}"));
    Came { status, head: head.to_owned(), body: body.to_owned() }
}

/// Posts JSON to the decision point as the tests' caller.
pub(super) fn post(bed: &ApiBed, path: &str, body: &Value) -> Came {
    send(bed, path, &body.to_string(), &[])
}

/// The same with a text, and further arguments.
pub(super) fn send(bed: &ApiBed, path: &str, body: &str, also: &[&str]) -> Came {
    let url = format!("http://{}{path}", bed.gateway.listener("pdp"));
    let token = format!("Authorization: Bearer {TOKEN}");
    let mut arguments = vec!["-X", "POST", "-H", &token];
    if !also.iter().any(|argument| argument.starts_with("Content-Type")) {
        arguments.extend(["-H", "Content-Type: application/json"]);
    }
    arguments.extend(also);
    arguments.push(&url);
    curl(&arguments, body)
}

/// A server as a child, which ends with the test.
#[derive(Debug)]
pub(super) struct Served(Child);

impl Served {
    /// Starts it, and waits until it listens on these sockets.
    pub(super) fn start(name: &str, command: &mut Command, folder: &Path, sockets: &[&Path]) -> Self {
        let log = File::create(folder.join(format!("{name}.log"))).unwrap();
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let served = Self(child);
        for socket in sockets {
            wait::until(name, Duration::from_secs(60), || std::os::unix::net::UnixStream::connect(socket).ok());
        }
        served
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// nginx with these servers, in a folder of its own; none if the machine has none.
pub(super) fn nginx(folder: &Path, servers: &str, socket: &Path) -> Option<Served> {
    let program = ["/usr/sbin/nginx", "/usr/bin/nginx"].map(PathBuf::from).into_iter().find(|path| path.exists());
    let Some(program) = program else {
        skip("no nginx (scripts/install.sh http)");
        return None;
    };
    let own = folder.join("nginx");
    std::fs::create_dir_all(&own).unwrap();
    let text = format!(
        "daemon off; master_process off; pid {own}/pid; error_log {own}/error.log;\nevents {{}}\nhttp {{\naccess_log off;\n\
         client_body_temp_path {own}/b; proxy_temp_path {own}/p; fastcgi_temp_path {own}/f; uwsgi_temp_path {own}/u;\n\
         scgi_temp_path {own}/s;\n{servers}\n}}\n",
        own = own.display(),
    );
    let file = own.join("nginx.conf");
    std::fs::write(&file, text).unwrap();
    let mut command = limited(&program);
    command.arg("-p").arg(&own).arg("-c").arg(&file).arg("-e").arg(own.join("start.log"));
    Some(Served::start("nginx", &mut command, folder, &[socket]))
}

/// A server of nginx that says who was let through to it.
pub(super) fn backend(socket: &Path) -> String {
    format!(
        "server {{ listen unix:{}; location / {{ return 200 \"reached by $http_parapet_workload under $http_parapet_decision\"; }} }}",
        socket.display()
    )
}

/// Envoy with this bootstrap, which makes `grpc.sock` and `http.sock`; none if it is not installed.
pub(super) fn envoy(folder: &Path, bootstrap: &Value) -> Option<Served> {
    let program = crate::bed::peer::installed("venv/bin/envoy");
    if !program.exists() {
        skip("no Envoy (scripts/install.sh http)");
        return None;
    }
    let file = folder.join("envoy.json");
    std::fs::write(&file, bootstrap.to_string()).unwrap();
    let mut command = Command::new(program);
    command.arg("-c").arg(&file).args(["--disable-hot-restart", "--concurrency", "1", "-l", "warn"]);
    let sockets = ["grpc.sock", "http.sock"].map(|name| folder.join(name));
    Some(Served::start("envoy", &mut command, folder, &sockets.each_ref().map(PathBuf::as_path)))
}

/// In 4 GB of address space at most.
fn limited(program: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 4000000; exec \"$@\"", "sh"]).arg(program);
    command
}

/// The entries of decisions that were asked for by others.
pub(super) fn answered(bed: &ApiBed) -> Vec<Value> {
    bed.decisions().into_iter().filter(|entry| entry["asked_by"] != json!(null)).collect()
}
