//! A real OpenID provider (npm `oidc-provider`) as the issuer, found by discovery: its keys rotate under load, and it goes away.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bed::clients::{environment_with, psql_command, run};
use crate::bed::raw::Raw;
use crate::bed::{Bed, skip, wait};

/// The provider's process.
struct Provider {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    port: u16,
}

impl Provider {
    fn start() -> Option<Self> {
        let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/it-oidc");
        if !installed.join("node_modules/oidc-provider").is_dir() {
            skip("oidc-provider is not installed (scripts/install.sh identity)");
            return None;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/drivers/oidc_provider.mjs");
        let mut child = Command::new("node")
            .args(["--max-old-space-size=256", "--no-warnings"])
            .arg(script)
            .env("PARAPET_IT_OIDC", installed.canonicalize().unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut provider = Self { child, input, output, port: 0 };
        provider.port = provider.line().parse().unwrap();
        Some(provider)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the provider ended");
        line.trim().to_owned()
    }

    /// From now on a new key signs.
    fn rotate(&mut self) {
        writeln!(self.input).unwrap();
        assert!(self.line().starts_with("provider-"));
    }

    fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn configuration(&self) -> String {
        let issuer = self.issuer();
        let mut text = format!("\n[issuers.\"{issuer}\"]\naudience = \"parapet\"\nalgorithms = [\"ES256\"]\n");
        for workload in ["reporting", "auditor"] {
            text.push_str(&format!(
                "\n[[trust]]\nworkload = \"{workload}\"\nissuer = \"{issuer}\"\nclaims = {{ sub = \"client-{workload}\" }}\n"
            ));
        }
        text
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A token by client credentials (RFC 6749, section 4.4).
fn token(port: u16, workload: &str) -> String {
    let body = format!(
        "grant_type=client_credentials&client_id=client-{workload}&client_secret=a+secret+of+the+tests&resource=urn:parapet"
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        stream,
        "POST /token HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\ncontent-length: {}\r\n\
         content-type: application/x-www-form-urlencoded\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    let answer: Value = serde_json::from_str(body).unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

#[test]
fn keys_of_a_real_provider_rotate_under_load() {
    let Some(mut provider) = Provider::start() else { return };
    let tables = provider.configuration();
    let Some(bed) = Bed::start_with("identity-provider", |setup| setup.also(tables)) else { return };
    let (issuing, port) = (provider.port, bed.gateway.postgres());
    let mut command = psql_command(&bed, "reporting", &["-c", "select 7"]);
    let ran = run(environment_with(port, "reporting", &token(issuing, "reporting"), &mut command));
    assert_eq!((ran.code, ran.out.trim()), (0, "7"), "{ran:?}");
    Raw::try_log_in(port, "auditor", &token(issuing, "reporting")).map(drop).unwrap_err();
    let refused = || bed.gateway.entries().iter().filter(|entry| entry["kind"] == "login_refused").count();
    assert_eq!(refused(), 1);
    let (over, logins) = (AtomicBool::new(false), AtomicUsize::new(0));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for client in 0..3 {
            let (over, logins) = (&over, &logins);
            scope.spawn(move || {
                let workload = if client == 0 { "auditor" } else { "reporting" };
                while !over.load(Ordering::SeqCst) && begun.elapsed() < Duration::from_secs(90) {
                    Raw::log_in(port, workload, &token(issuing, workload));
                    logins.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for _rotation in 0..2 {
            // An unknown key is asked for at most every ten seconds.
            let (since, before) = (Instant::now(), logins.load(Ordering::SeqCst));
            wait::until("the floor to pass, under load", Duration::from_secs(60), || {
                let enough = logins.load(Ordering::SeqCst) > before + 20;
                (since.elapsed() > Duration::from_secs(11) && enough).then_some(())
            });
            provider.rotate();
            let before = logins.load(Ordering::SeqCst);
            wait::until("logins by the new key", Duration::from_secs(30), || {
                (logins.load(Ordering::SeqCst) > before + 20).then_some(())
            });
        }
        over.store(true, Ordering::SeqCst);
    });
    assert_eq!(refused(), 1, "a login failed while keys rotated");
    // It goes: what it signed counts on, and the doctor says that nobody refreshes.
    let last = token(issuing, "reporting");
    Raw::log_in(port, "reporting", &last);
    drop(provider);
    Raw::log_in(port, "reporting", &last);
}
