//! What goes out: curl, git, pip and npm through the egress, destinations that nobody may reach, and tunnels that are cut.

mod hazards;
mod kept;
mod learning;
mod placeholder;
mod rebinding;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, RootCertStore};
use serde_json::Value;

use crate::bed::api::{Api, ApiBed};
use crate::bed::clients::{Ran, run};
use crate::bed::folder::Folder;
use crate::bed::peer::{self, Peer};
use crate::bed::{authority, wait};

/// The key of the upstream, which the job must not have.
const KEY: &str = "canary-upstream-key-7f3d90";

/// What only these hosts may be asked for.
const LISTED: &str = r#"
@id("listed-hosts-only")
@reason("Jobs reach the hosts that are listed")
forbid (principal, action == Action::"http:tunnel", resource) unless { resource.name like "web.test:*" };
"#;

/// A web of the tests' own, behind `web.test`, and an API, behind `api.test`, whose key the gateway has.
struct Outside {
    // Fields drop in this order: the gateway first.
    bed: ApiBed,
    server: Peer,
    folder: Folder,
}

impl Outside {
    fn start(name: &str, egress: &str) -> Option<Self> {
        Self::start_with(name, egress, |api| api.policies(LISTED))
    }

    fn start_with(name: &str, egress: &str, policies: impl FnOnce(Api) -> Api) -> Option<Self> {
        let folder = Folder::new(&format!("{name}-web"));
        folder.make("web");
        folder.write("web/hello.txt", "hello from the web\n");
        let ca = authority::issue(&folder, &["web.test", "127.0.0.1"]);
        folder.write("key", KEY);
        let server = Peer::start("tls_files.py", &folder)?;
        let key = folder.join("key").display().to_string();
        let also = format!(
            "hosts = [\"api.test\"]\nca = {ca:?}\nunlisted = \"allow\"\nrespond_async = true\n\
             [upstreams.api.credential]\nkind = \"bearer\"\nsecret = \"file://{key}\"\n"
        );
        let egress = format!(
            "\n[egress]\nlisten = \"127.0.0.1:0\"\ntls = \"off\"\nenvironment = \"production\"\n\
             hosts = {{ \"web.test\" = \"127.0.0.1\" }}\n{egress}\n"
        );
        let url = format!("https://127.0.0.1:{}", server.port("tls"));
        let bed = policies(Api::new(name).upstream("api", &url, &also).also(&egress)).start();
        Some(Self { bed, server, folder })
    }

    fn port(&self) -> u16 {
        self.bed.gateway.listener("egress").port()
    }

    /// `https://web.test:…`, which is tunnelled.
    fn web(&self) -> String {
        format!("https://web.test:{}", self.server.port("tls"))
    }

    fn authority(&self) -> String {
        self.folder.join("ca.crt").display().to_string()
    }

    /// A program whose way out is the egress, as a workload.
    fn through(&self, workload: &str, program: &str) -> Command {
        let mut command = Command::new(program);
        let proxy = format!("http://{workload}:{}@127.0.0.1:{}", self.bed.token(workload), self.port());
        for name in ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"] {
            command.env(name, &proxy);
        }
        command.env_remove("NO_PROXY").env_remove("no_proxy").env("HOME", self.folder.join(""));
        command
    }

    fn curl(&self, workload: &str, arguments: &[&str]) -> Ran {
        let ca = self.authority();
        run(self.through(workload, "curl").args(["-sS", "--max-time", "30", "--cacert", &ca]).args(arguments))
    }

    /// The headers of the requests that the servers got for a path.
    fn seen(&self, path: &str) -> Vec<Value> {
        self.server
            .seen()
            .into_iter()
            .filter(|request| request["path"] == path)
            .map(|mut seen| seen["headers"].take())
            .collect()
    }
}

#[test]
fn curl_reaches_what_is_listed_and_nothing_else() {
    let Some(outside) = Outside::start("egress-curl", "") else { return };
    let hello = outside.curl("deploy", &[&format!("{}/hello.txt", outside.web())]);
    assert_eq!((hello.code, hello.out.as_str()), (0, "hello from the web\n"), "{hello:?}");
    // The proxy's credential is for the proxy.
    let seen = outside.seen("/hello.txt");
    assert!(seen[0].get("proxy-authorization").is_none() && seen[0].get("authorization").is_none(), "{seen:?}");

    let plain = format!("http://web.test:{}/hello.txt", outside.server.port("plain"));
    let hello = outside.curl("deploy", &["-i", "-H", "X-Of-The-Job: kept", &plain]);
    assert!(hello.out.ends_with("hello from the web\n"), "{hello:?}");
    assert!(hello.out.to_ascii_lowercase().contains("parapet-decision: dec_"), "{hello:?}");
    let seen = outside.seen("/hello.txt");
    assert_eq!(seen.last().unwrap()["x-of-the-job"], "kept");
    assert!(seen.last().unwrap().get("proxy-authorization").is_none(), "{seen:?}");

    // The status line says it, since clients show nothing else.
    let denied = outside.curl("deploy", &["-v", "https://elsewhere.test/"]);
    assert_eq!(denied.code, 56, "{denied:?}");
    assert!(
        denied
            .err
            .contains("403 blocked by policy \"listed-hosts-only\": CONNECT on internet/elsewhere.test:443 [dec_"),
        "{denied:?}"
    );
    let denied = outside.curl("deploy", &["-i", "http://elsewhere.test/path?secret=7"]);
    assert!(denied.out.contains("HTTP/1.1 403 blocked by policy") && !denied.out.contains("secret=7"), "{denied:?}");
    assert!(
        denied.out.contains("application/problem+json") && denied.out.contains("Jobs reach the hosts"),
        "{denied:?}"
    );

    // Nobody, and somebody else.
    let mut nobody = Command::new("curl");
    let proxy = format!("http://127.0.0.1:{}", outside.port());
    let asked = run(nobody.args(["-sS", "-v", "--max-time", "30", "-x", &proxy, "https://elsewhere.test/"]));
    assert!(asked.err.contains("407 Proxy Authentication Required") && asked.err.contains("Basic realm"), "{asked:?}");
    let wrong = format!("http://reporting:{}@127.0.0.1:{}", outside.bed.token("deploy"), outside.port());
    let refused = run(Command::new("curl").args(["-sS", "-v", "--max-time", "30", "-x", &wrong, "https://web.test/"]));
    assert!(refused.err.contains(" 407 "), "{refused:?}");

    let text = serde_json::to_string(&outside.bed.decisions()).unwrap();
    assert!(text.contains("http:tunnel") && text.contains("elsewhere.test:443"), "{text}");
}

#[test]
fn git_clones_through_it() {
    let Some(outside) = Outside::start("egress-git", "") else { return };
    let web = outside.folder.join("web");
    let make = "git init -q -b main work && cd work && git -c user.name=t -c user.email=t@example.com commit -q --allow-empty -m one \
                && cd .. && git clone -q --bare work repository.git && cd repository.git && git update-server-info";
    run(Command::new("sh").args(["-c", make]).current_dir(&web).env("HOME", outside.folder.join(""))).assert_done();
    let mut git = outside.through("deploy", "git");
    git.env("GIT_SSL_CAINFO", outside.authority()).env("GIT_TERMINAL_PROMPT", "0");
    let cloned = run(git
        .args(["clone", "-q"])
        .arg(format!("{}/repository.git", outside.web()))
        .arg(outside.folder.join("clone")));
    cloned.assert_done();
    assert!(outside.folder.join("clone/.git/HEAD").is_file());
    let mut git = outside.through("deploy", "git");
    let refused = run(git.env("GIT_TERMINAL_PROMPT", "0").args(["ls-remote", "https://elsewhere.test/repository.git"]));
    assert!(refused.code != 0 && refused.err.contains("403"), "{refused:?}");
}

#[test]
fn pip_installs_through_it() {
    let Some(outside) = Outside::start("egress-pip", "") else { return };
    let make = "import zipfile, os\n\
                os.makedirs('simple/parapet-demo', exist_ok=True)\n\
                name = 'parapet_demo-1.0-py3-none-any.whl'\n\
                with zipfile.ZipFile('simple/parapet-demo/' + name, 'w') as wheel:\n\
                \x20   wheel.writestr('parapet_demo.py', 'x = 1\\n')\n\
                \x20   info = 'parapet_demo-1.0.dist-info/'\n\
                \x20   wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: parapet-demo\\nVersion: 1.0\\n')\n\
                \x20   wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
                \x20   wheel.writestr(info + 'RECORD', '')\n\
                open('simple/parapet-demo/index.html', 'w').write('<a href=\"%s\">%s</a>' % (name, name))\n";
    run(Command::new("python3").args(["-c", make]).current_dir(outside.folder.join("web"))).assert_done();
    // The machine's own Python may come without pip; that of a virtual environment never does.
    let python = peer::installed("venv/bin/python");
    let mut pip = outside.through("deploy", python.to_str().unwrap());
    for name in ["PIP_FIND_LINKS", "PIP_CONFIG_FILE", "PIP_INDEX_URL", "PIP_PROXY"] {
        pip.env_remove(name);
    }
    let installed = run(pip
        .env("PIP_CERT", outside.authority())
        // What the machine's own environment may say goes before pip's own setting.
        .env("REQUESTS_CA_BUNDLE", outside.authority())
        .env("PIP_CONFIG_FILE", "/dev/null")
        .args([
            "-m",
            "pip",
            "install",
            "-q",
            "--no-cache-dir",
            "--disable-pip-version-check",
            "--root-user-action=ignore",
        ])
        .args(["--retries", "0", "--index-url", &format!("{}/simple/", outside.web()), "--target"])
        .arg(outside.folder.join("site"))
        .arg("parapet-demo"));
    installed.assert_done();
    assert!(outside.folder.join("site/parapet_demo.py").is_file());
}

#[test]
fn npm_installs_through_it() {
    let Some(outside) = Outside::start("egress-npm", "") else { return };
    let web = outside.web();
    let make = format!(
        "mkdir -p package npm && echo '{{\"name\":\"parapet-demo\",\"version\":\"1.0.0\"}}' > package/package.json \
         && tar czf npm/parapet-demo-1.0.0.tgz package && rm -r package \
         && printf '%s' '{{\"name\":\"parapet-demo\",\"dist-tags\":{{\"latest\":\"1.0.0\"}},\"versions\":{{\"1.0.0\":{{\"name\":\"parapet-demo\",\
         \"version\":\"1.0.0\",\"dist\":{{\"tarball\":\"{web}/npm/parapet-demo-1.0.0.tgz\"}}}}}}}}' > npm/parapet-demo"
    );
    run(Command::new("sh").args(["-c", &make]).current_dir(outside.folder.join("web"))).assert_done();
    outside.folder.make("project");
    outside.folder.write("project/package.json", "{\"name\":\"job\",\"version\":\"1.0.0\"}");
    let mut npm = outside.through("deploy", "npm");
    let installed = run(npm
        .current_dir(outside.folder.join("project"))
        .env("npm_config_cafile", outside.authority())
        .args(["install", "--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=0"])
        .args(["--cache", &outside.folder.join("npm-cache").display().to_string()])
        .args(["--registry", &format!("{web}/npm/"), "parapet-demo"]));
    installed.assert_done();
    assert!(outside.folder.join("project/node_modules/parapet-demo/package.json").is_file());
}

/// The first message of a TLS client that wants this server.
fn hello(server: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(config), server.to_owned().try_into().unwrap()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// A tunnel to `web.test` that is open, and in which nothing was said.
fn silent_tunnel(outside: &Outside, workload: &str) -> TcpStream {
    use base64::Engine as _;
    let pair = format!("{workload}:{}", outside.bed.token(workload));
    let pair = base64::engine::general_purpose::STANDARD.encode(pair);
    let to = format!("web.test:{}", outside.server.port("tls"));
    let mut stream = TcpStream::connect(("127.0.0.1", outside.port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let asked = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nProxy-Authorization: Basic {pair}\r\n\r\n");
    stream.write_all(asked.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    stream
}

/// A tunnel to `web.test` through which TLS has begun.
fn tunnel(outside: &Outside, workload: &str) -> TcpStream {
    let mut stream = silent_tunnel(outside, workload);
    stream.write_all(&hello("web.test")).unwrap();
    let mut record = [0; 5];
    stream.read_exact(&mut record).unwrap();
    assert_eq!(record[0], 0x16, "no answer of TLS came through");
    stream
}

#[test]
fn tunnels_are_cut_by_kill_and_by_quarantine() {
    let Some(outside) = Outside::start("egress-cut", "") else { return };
    let gateway = &outside.bed.gateway;
    for (workload, cut, open) in [
        ("deploy", "killed", silent_tunnel as fn(&Outside, &str) -> TcpStream),
        ("deploy", "killed", tunnel),
        ("reporting", "quarantined", tunnel),
    ] {
        let mut stream = open(&outside, workload);
        let id = wait::until("the session", Duration::from_secs(20), || {
            let sessions = gateway.cli(&["sessions", "list", "-o", "json"]);
            sessions.out.split('"').find(|text| text.starts_with("ses_")).map(str::to_owned)
        });
        if cut == "killed" {
            gateway.cli(&["sessions", "kill", &id, "--reason", "a test"]).assert_done();
        } else {
            gateway.cli(&["workloads", "quarantine", workload, "--reason", "a test"]).assert_done();
        }
        let mut rest = Vec::new();
        // An end or a reset, within a second and what the machine adds.
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let ended = stream.read_to_end(&mut rest);
        assert!(
            ended.is_ok() || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset),
            "{cut}"
        );
        let entered = || {
            let entries = gateway.entries();
            entries.iter().any(|entry| entry.get("why").and_then(Value::as_str) == Some(cut)).then_some(())
        };
        wait::until("the end in the log", Duration::from_secs(20), entered);
    }
    let refused = outside.curl("reporting", &["-v", &format!("{}/hello.txt", outside.web())]);
    assert!(refused.code != 0 && refused.err.contains(" 407 "), "{refused:?}");
}
