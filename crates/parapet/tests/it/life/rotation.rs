//! Certificates, keys and authorities change under sessions: new handshakes get what is new, nobody is cut, and what cannot
//! be used replaces nothing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::Value;

use crate::bed::Bed;
use crate::bed::clients::{Ran, psql_command, run};
use crate::bed::folder::Folder;
use crate::bed::wait::{self, PATIENCE};

struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
struct Pair {
    certificate: String,
    key: String,
}

impl Authority {
    fn new(called: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, called);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// For the gateway on loopback, or a client's name; with that many days left.
    fn issue(&self, name: &str, days: i64) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let today = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() / 86_400;
        let (year, month, day) = kernel::time::civil_from_days(i64::try_from(today).unwrap() + days);
        let (year, month, day) = (i32::try_from(year).unwrap(), month.try_into().unwrap(), day.try_into().unwrap());
        params.not_after = rcgen::date_time_ymd(year, month, day);
        Pair { certificate: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }
}

/// psql as the workload over TLS that trusts these authorities.
fn psql(bed: &Bed, workload: &str, roots: &Path, identity: Option<&(PathBuf, PathBuf)>) -> std::process::Command {
    let mut command = psql_command(bed, workload, &["-w"]);
    command.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", roots);
    if let Some((certificate, key)) = identity {
        command.env("PGSSLCERT", certificate).env("PGSSLKEY", key).env_remove("PGPASSWORD");
    }
    command
}

/// One psql that stays.
struct Session {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Session {
    fn open(mut command: std::process::Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn ask(&mut self, sql: &str) -> String {
        writeln!(self.child.stdin.as_mut().unwrap(), "{sql};").unwrap();
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The entry of the audit log for the newest change of a certificate.
fn newest(bed: &Bed, action: &str) -> Option<Value> {
    bed.gateway.entries().into_iter().rev().find(|entry| entry["action"] == action)
}

#[test]
fn certificates_change_under_load() {
    let keys = Folder::new("life-rotation-keys");
    let (old, new, clients) = (Authority::new("old"), Authority::new("new"), Authority::new("clients"));
    let roots = |name: &str, authorities: &[&Authority]| {
        keys.write(name, &authorities.iter().map(|authority| authority.0.pem()).collect::<String>())
    };
    let (trust_old, trust_new, trust_both) =
        (roots("old.pem", &[&old]), roots("new.pem", &[&new]), roots("both.pem", &[&old, &new]));
    let client_ca = roots("clients.pem", &[&old]);
    let place = |pair: &Pair| {
        // One after the other, as most tools do it.
        keys.write("certificate.pem", &pair.certificate);
        keys.write("key.pem", &pair.key)
    };
    let key = place(&old.issue("127.0.0.1", 400));
    let tls = format!(
        "{{ certificate = {:?}, key = \"file://{}\", client_ca = {client_ca:?} }}",
        keys.join("certificate.pem"),
        key.display()
    );
    let trust = "\n[[trust]]\nworkload = \"auditor\"\nissuer = \"certificate\"\nclaims = { \"san:dns\" = \"auditor.example\" }\n";
    let Some(bed) = Bed::start_with("life-rotation", |setup| setup.also(trust.to_owned()).listener_tls(tls)) else {
        return;
    };
    let answers = |roots: &Path| run(psql(&bed, "reporting", roots, None).args(["-c", "select 7"]));
    let passes = |ran: &Ran| ran.code == 0 && ran.out.trim() == "7";
    let first = answers(&trust_old);
    assert!(passes(&first) && !passes(&answers(&trust_new)), "{first:?}");
    let mut session = Session::open(psql(&bed, "reporting", &trust_old, None));
    let backend = session.ask("select pg_backend_pid()");
    assert!(backend.parse::<u32>().is_ok(), "{backend}");

    // Logins and statements go on all the while, and none fails.
    let (over, logins) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _client in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let ran = answers(&trust_both);
                    assert!(passes(&ran), "{ran:?}");
                    logins.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let after = |more: usize| {
            let begun = logins.load(Ordering::Relaxed);
            wait::until("logins", PATIENCE, || (logins.load(Ordering::Relaxed) >= begun + more).then_some(()));
        };
        after(3);
        place(&new.issue("127.0.0.1", 9));
        wait::until("the new certificate", PATIENCE, || {
            assert_eq!(session.ask("select pg_backend_pid()"), backend);
            passes(&answers(&trust_new)).then_some(())
        });
        assert!(!passes(&answers(&trust_old)));
        after(3);
        over.store(true, Ordering::Relaxed);
    });
    let loaded = newest(&bed, "certificate load").unwrap();
    assert!(loaded["object"].as_str().unwrap().contains("SHA-256") && loaded["by"].is_null(), "{loaded}");
    // It ends soon, and `doctor` says so without failing for it.
    let doctor = bed.gateway.cli(&["doctor"]);
    let line = doctor.out.lines().find(|line| line.contains("certificate.pem")).unwrap();
    assert!(line.contains("warning") && line.contains("days left"), "{doctor:?}");

    // What does not fit, or has ended, changes nothing, and is told to whoever asks for it.
    for (what, certificate) in [("belong", old.issue("127.0.0.1", 400)), ("not now", new.issue("127.0.0.1", -2))] {
        keys.write("certificate.pem", &certificate.certificate);
        if what == "not now" {
            keys.write("key.pem", &certificate.key);
        }
        let reload = bed.gateway.cli(&["config", "reload"]);
        assert!(reload.code == 3 && reload.err.contains("PAR0413") && reload.err.contains(what), "{reload:?}");
        let refused = newest(&bed, "certificate refuse").unwrap();
        assert!(refused["reason"].as_str().unwrap().contains(what), "{refused}");
        let ran = answers(&trust_new);
        assert!(passes(&ran), "{what}: {ran:?}");
        let doctor = bed.gateway.cli(&["doctor"]);
        let failed = |line: &str| line.starts_with("✗ failed") && line.contains(" certificate ");
        assert!(doctor.code == 1 && doctor.out.lines().any(failed), "{doctor:?}");
    }
    place(&new.issue("127.0.0.1", 400));

    // Whose clients are accepted changes in the same way.
    let identity = |authority: &Authority, name: &str| {
        let pair = authority.issue("auditor.example", 100);
        let key = keys.write(&format!("{name}.key"), &pair.key);
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        (keys.write(&format!("{name}.pem"), &pair.certificate), key)
    };
    let (known, unknown) = (identity(&old, "known"), identity(&clients, "unknown"));
    let enters = |identity| passes(&run(psql(&bed, "auditor", &trust_both, Some(identity)).args(["-c", "select 7"])));
    assert!(enters(&known) && !enters(&unknown));
    roots("clients.pem", &[&clients]);
    bed.gateway.hang_up();
    wait::until("the new authority", PATIENCE, || enters(&unknown).then_some(()));
    assert!(!enters(&known));
    assert_eq!(session.ask("select pg_backend_pid()"), backend);
}
